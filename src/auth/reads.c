#include "auth/reads.h"

#include "proto/headers.h"

static const Slice want_current = LIT("HW-Want-Current"), any_get = LIT("$JS.API.STREAM.MSG.GET.*");

static bool is_want_current(Slice name, void *cookie) {
    bool *has_it = cookie, is_it = slice_equal(name, want_current);
    *has_it |= is_it;
    return is_it;
}

Slice reads_withhold(const Permissions *permissions, Slice headers, Arena *arena) {
    bool has_it = false;
    if (slice_find_slice(headers, want_current) == headers.len ||
        permissions_may_publish_all(permissions, any_get))
        return headers;
    Buf text = {0};
    header_copy_open(&text, headers, is_want_current, &has_it);
    if (has_it)
        header_append(&text, want_current, LIT("1"));
    header_end(&text);
    Slice copy = arena_copy(arena, buf_slice(&text));
    buf_done(&text);
    return copy;
}
