/* Any bytes: four digits for each three begun, and both alphabets say the same. */
#include <assert.h>
#include <stddef.h>

#include "proto/base64.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Buf standard = {0}, url = {0};

    base64_write(&standard, slice_from(data, size));
    base64_write_url(&url, slice_from(data, size));
    assert(standard.len == (size + 2) / 3 * 4 && url.len == standard.len);
    for (size_t i = 0; i < url.len; i++) {
        char c = url.ptr[i] == '-' ? '+' : url.ptr[i] == '_' ? '/' : url.ptr[i];
        assert(c == standard.ptr[i]);
    }
    buf_done(&standard);
    buf_done(&url);
    return 0;
}
