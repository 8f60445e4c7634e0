#include "stream/zones.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "io/disk.h"

enum { NAME_BYTES_MAX = 255, FILE_BYTES_MAX = 256 * 1024 };

typedef struct Named {
    TimeZone *zone;
    size_t name_len;
    char name[];
} Named;

static void named_free(Named *named) {
    time_zone_free(named->zone);
    mem_free(named);
}

void zones_done(Zones *zones) {
    Slice name;
    void *named;
    for (size_t i = 0; map_next(&zones->by_name, &i, &name, &named);)
        named_free(named);
    map_done(&zones->by_name);
}

/* Nothing that leaves the folder; a file has one name, whatever "." and empty parts are put in. */
static bool make_name(Slice asked, Buf *out) {
    Slice part = {0};
    if (!asked.len || asked.len > NAME_BYTES_MAX || asked.ptr[0] == '/' || asked.ptr[0] == '\\' ||
        asked.ptr[asked.len - 1] == '/' || slice_find_slice(asked, LIT("..")) != asked.len ||
        memchr(asked.ptr, '\0', asked.len))
        return false;
    for (Slice rest = asked; slice_cut(&rest, '/', &part);) {
        if (!part.len || slice_equal(part, LIT(".")))
            continue;
        if (out->len)
            buf_append_char(out, '/');
        buf_append(out, part);
    }
    return !slice_equal(part, LIT("."));
}

static Status read_zone(const char *path, TimeZone **out_zone) {
    char *text;
    size_t len;
    if (disk_read_file(path, FILE_BYTES_MAX, &text, &len))
        return ERR_NOT_FOUND;
    Status status = time_zone_parse(slice_from(text, len), out_zone);
    mem_free(text);
    return status ? ERR_NOT_FOUND : OK;
}

static Status find(Zones *zones, Slice name, const TimeZone **out_zone) {
    Named *named = map_get(&zones->by_name, name);
    if (!named) {
        TimeZone *zone;
        Buf path = {0};
        if (slice_equal(name, LIT("Local")))
            buf_append_lit(&path, "/etc/localtime");
        else
            buf_printf(&path, "/usr/share/zoneinfo/%.*s", SLICE_ARG(name));
        Status status = read_zone(buf_text(&path), &zone);
        buf_done(&path);
        if (status && slice_equal(name, LIT("Local"))) { /* a system without one runs on UTC */
            *out_zone = NULL;
            return OK;
        }
        if (status)
            return status;
        named = mem_alloc(sizeof *named + name.len);
        *named = (Named){.zone = zone, .name_len = name.len};
        memcpy(named->name, name.ptr, name.len);
        map_put(&zones->by_name, slice_from(named->name, name.len), named);
    }
    *out_zone = named->zone;
    return OK;
}

Status zones_get(Zones *zones, Slice name, const TimeZone **out_zone) {
    Buf plain = {0};
    if (slice_equal(name, LIT("UTC"))) {
        *out_zone = NULL;
        return OK;
    }
    Status status =
        make_name(name, &plain) ? find(zones, buf_slice(&plain), out_zone) : ERR_NOT_FOUND;
    buf_done(&plain);
    return status;
}
