#include "store/path.h"

#include "base/buf.h"
#include "base/mem.h"

char *path_join(const char *dir, const char *name) {
    Buf path = {0};
    buf_printf(&path, "%s/%s", dir, name);
    (void)buf_text(&path);
    return path.ptr;
}

char *path_numbered(const char *dir, const char *prefix, uint64_t number, const char *suffix) {
    Buf path = {0};
    buf_printf(&path, "%s/%s%llu%s", dir, prefix, (unsigned long long)number, suffix);
    (void)buf_text(&path);
    return path.ptr;
}

void path_free(char *path) {
    mem_free(path);
}

bool path_number_of(const char *name, const char *prefix, const char *suffix,
                    uint64_t *out_number) {
    Slice rest = slice_of_text(name);
    Slice head = slice_of_text(prefix), tail = slice_of_text(suffix);
    if (!slice_starts_with(rest, head) || rest.len < head.len + tail.len ||
        !slice_ends_with(rest, tail))
        return false;
    rest = slice_from(rest.ptr + head.len, rest.len - head.len - tail.len);
    uint64_t number;
    if (slice_parse_u64(rest, &number) != OK || (rest.ptr[0] == '0' && rest.len > 1))
        return false;
    *out_number = number;
    return true;
}
