/* Two subjects, split at the first line feed: relations between the functions of proto/subject.h.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "proto/subject.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Slice all = slice_from(data, size);
    size_t at = slice_find(all, '\n');
    Slice a = slice_first(all, at), b = slice_from_at(all, at + 1);
    bool a_valid = subject_is_valid(a), b_valid = subject_is_valid(b),
         b_literal = subject_is_literal(b);

    ASSERT(!subject_is_literal(a) || a_valid);
    ASSERT(!a_valid || subject_is_literal(a) != subject_has_wildcard(a));
    ASSERT(subject_overlaps(a, b) == subject_overlaps(b, a));
    (void)subject_matches(a, b);
    if (a_valid && b_literal) {
        bool is_match = subject_matches(a, b);
        ASSERT(is_match == subject_is_subset(b, a));
        ASSERT(is_match == subject_overlaps(a, b));
    }
    if (a_valid && b_valid && subject_is_subset(a, b))
        ASSERT(subject_overlaps(a, b));

    size_t count = subject_token_count(a), len = 0;
    for (size_t i = 0; i < count && i < 64; i++)
        len += subject_token(a, i).len + 1;
    ASSERT(count > 64 || count == 0 || len == a.len + 1);
    ASSERT(subject_token(a, count).ptr == NULL);
    return 0;
}
