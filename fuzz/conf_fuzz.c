/* Any bytes may be given to the parser; what it accepts is a tree whose JSON is JSON. Includes come
 * from the same bytes, so that nesting is tried too. */
#include "base/assert.h"
#include "proto/conf.h"
#include "proto/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static Status read_half(void *cookie, const char *path, Buf *out_text, Buf *out_error) {
    const Slice *whole = cookie;
    if (path[0] == 'x') {
        buf_append_lit(out_error, "open x: no such file or directory");
        return ERR_NOT_FOUND;
    }
    buf_append(out_text, slice_from_at(*whole, whole->len / 2));
    return OK;
}

static const char *environment(void *cookie, const char *name) {
    static const struct {
        const char *name, *text;
    } set[] = {{"A", "1"}, {"B", "[$A, $C]"}, {"C", "$B"}, {"D", "{a: "}};
    for (size_t i = 0; i < sizeof set / sizeof set[0]; i++)
        if (strcmp(set[i].name, name) == 0)
            return set[i].text;
    return NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    Slice text = slice_from(bytes, len);
    ConfSource source = {&text, read_half, environment};
    Buf error = {0}, json = {0}, plain = {0};
    Conf *conf;

    if (len > 64 * 1024)
        return 0;
    if (conf_parse(LIT("dir/f.conf"), text, &source, &error, &conf) == OK) {
        size_t at = 0;
        conf_write_json(&json, conf_root(conf));
        conf_write_plain(&plain, conf_root(conf));
        ASSERT(json_check(buf_slice(&json), &at, false, &error) == OK);
        conf_free(conf);
    } else {
        ASSERT(error.len > 0);
    }
    buf_done(&error);
    buf_done(&json);
    buf_done(&plain);
    return 0;
}
