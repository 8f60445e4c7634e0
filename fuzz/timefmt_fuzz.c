/* Times and durations of any bytes; what is understood can be written and read again to the same.
 */
#include <assert.h>
#include <stddef.h>

#include "proto/timefmt.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Slice text = slice_from(data, size);
    Buf out = {0};
    int64_t ns, again;

    if (time_parse_explained(text, &ns, &out) == OK) {
        buf_clear(&out);
        time_write(&out, ns);
        Status status = time_parse(buf_slice(&out), &again);
        /* What lies before the smallest time that ns hold is cut to it. */
        assert(status == OK && (again == ns || ns == INT64_MIN + 1));
    }
    buf_clear(&out);
    if (duration_parse(text, &ns) == OK) {
        duration_write(&out, ns);
        Status status = duration_parse(buf_slice(&out), &again);
        assert(status == OK);
    }
    buf_done(&out);
    return 0;
}
