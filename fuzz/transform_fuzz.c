/* src, dest and a subject on lines of their own. What is accepted must apply without empty tokens
 * from valid subjects. */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "proto/subject.h"
#include "proto/transform.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Slice rest = slice_from(data, size), src = {0}, dest = {0}, subject = {0};
    if (size == 0)
        return 0;
    bool is_strict = (data[0] & 1) != 0;
    rest = slice_from_at(rest, 1);
    (void)(slice_cut(&rest, '\n', &src) && slice_cut(&rest, '\n', &dest) &&
           slice_cut(&rest, '\n', &subject));

    Transform *transform = NULL;
    Buf error = {0}, out = {0};
    Rand rand;
    rand_init(&rand, size);
    if (transform_new(src, dest, is_strict, &error, &transform) != OK) {
        ASSERT(error.len > 0);
    } else {
        bool is_covered = transform_apply(transform, subject, &rand, &out);
        ASSERT(is_covered == subject_matches(src.len ? src : LIT(">"), subject));
        if (is_covered && subject_is_valid(subject))
            ASSERT(out.len > 0 && out.ptr[0] != '.' &&
                   slice_find_slice(buf_slice(&out), LIT("..")) == out.len);
    }
    transform_free(transform);
    buf_done(&error);
    buf_done(&out);
    return 0;
}
