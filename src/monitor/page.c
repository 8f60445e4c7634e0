#include "monitor/page.h"

#include <stdarg.h>

#include "base/vec.h"
#include "proto/json.h"

typedef struct Row {
    Slice path;
    PageHandler *handler;
    void *cookie;
    uint64_t requests;
} Row;

struct Pages {
    VEC(Row) rows;
};

Pages *pages_new(void) {
    return mem_zalloc(sizeof(Pages));
}

void pages_free(Pages *pages) {
    if (pages == NULL)
        return;
    vec_done(&pages->rows);
    mem_free(pages);
}

void pages_add(Pages *pages, Slice path, PageHandler *handler, void *cookie) {
    vec_push(&pages->rows, ((Row){path, handler, cookie, 0}));
}

bool pages_serve(Pages *pages, Slice path, Page *page) {
    for (size_t i = 0; i < pages->rows.len; i++) {
        Row *row = &pages->rows.at[i];
        if (!slice_equal(row->path, path))
            continue;
        row->requests++;
        page->status = 200;
        row->handler(page, row->cookie);
        return true;
    }
    return false;
}

void pages_write_counts(const Pages *pages, Buf *out) {
    bool is_first = true;
    buf_append_char(out, '{');
    for (size_t i = 0; i < pages->rows.len; i++) {
        const Row *row = &pages->rows.at[i];
        if (row->requests == 0)
            continue;
        buf_printf(out, "%s\"%.*s\":%llu", is_first ? "" : ",", SLICE_ARG(row->path),
                   (unsigned long long)row->requests);
        is_first = false;
    }
    buf_append_char(out, '}');
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static Slice unescape(Page *page, Slice raw) {
    char *text = arena_alloc(page->home->turn, raw.len + 1);
    size_t len = 0;
    for (size_t i = 0; i < raw.len; i++) {
        char c = raw.ptr[i];
        if (c == '%' && i + 2 < raw.len + 0 && hex_digit(raw.ptr[i + 1]) >= 0 &&
            hex_digit(raw.ptr[i + 2]) >= 0) {
            c = (char)(hex_digit(raw.ptr[i + 1]) * 16 + hex_digit(raw.ptr[i + 2]));
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        text[len++] = c;
    }
    return slice_from(text, len);
}

bool page_text(Page *page, Slice name, Slice *out) {
    Slice rest = page->query, pair;
    if (rest.ptr == NULL)
        return false;
    while (slice_cut(&rest, '&', &pair)) {
        size_t at = slice_find(pair, '=');
        if (!slice_equal(slice_first(pair, at), name))
            continue;
        *out = unescape(page, slice_from_at(pair, at + 1));
        return true;
    }
    return false;
}

static bool fail_decoding(Page *page, const char *kind, Slice name, const char *function,
                          Slice value, Status why) {
    Buf quoted = {0};
    json_go_quote(&quoted, value);
    page_fail(page, 400, "Error decoding %s for '%.*s': strconv.%s: parsing %.*s: %s", kind,
              SLICE_ARG(name), function, SLICE_ARG(buf_slice(&quoted)),
              why == ERR_RANGE ? "value out of range" : "invalid syntax");
    buf_done(&quoted);
    return false;
}

bool page_bool(Page *page, Slice name, bool *out) {
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};
    Slice value;
    if (!page_text(page, name, &value) || value.len == 0)
        return true;
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        if (slice_equal(value, slice_of_text(yes[i]))) {
            *out = true;
            return true;
        }
        if (slice_equal(value, slice_of_text(no[i]))) {
            *out = false;
            return true;
        }
    }
    return fail_decoding(page, "boolean", name, "ParseBool", value, ERR_SYNTAX);
}

bool page_int(Page *page, Slice name, int64_t *out) {
    Slice value;
    if (!page_text(page, name, &value) || value.len == 0)
        return true;
    Status status = slice_parse_i64(value, out);
    return status == OK || fail_decoding(page, "int", name, "Atoi", value, status);
}

bool page_u64(Page *page, Slice name, uint64_t *out) {
    Slice value;
    if (!page_text(page, name, &value) || value.len == 0)
        return true;
    Status status = slice_parse_u64(value, out);
    return status == OK || fail_decoding(page, "uint64", name, "ParseUint", value, status);
}

void page_finish(Page *page) {
    page->done(page);
}

void page_fail(Page *page, unsigned status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    buf_clear(&page->body);
    buf_vprintf(&page->body, format, args);
    va_end(args);
    page->status = status;
    page->is_text = true;
    page->is_failed = true;
    page->done(page);
}

static void new_line(Buf *out, size_t depth) {
    buf_append_char(out, '\n');
    for (size_t i = 0; i < depth; i++)
        buf_append_lit(out, "  ");
}

void json_indent(Buf *out, Slice compact) {
    size_t depth = 0;
    bool in_text = false;
    for (size_t i = 0; i < compact.len; i++) {
        char c = compact.ptr[i];
        char next = i + 1 < compact.len ? compact.ptr[i + 1] : '\0';
        if (in_text) {
            buf_append_char(out, c);
            if (c == '\\' && i + 1 < compact.len)
                buf_append_char(out, compact.ptr[++i]);
            else if (c == '"')
                in_text = false;
        } else if ((c == '{' && next == '}') || (c == '[' && next == ']')) {
            buf_append_char(out, c);
            buf_append_char(out, next);
            i++;
        } else if (c == '{' || c == '[') {
            buf_append_char(out, c);
            new_line(out, ++depth);
        } else if (c == '}' || c == ']') {
            depth -= depth ? 1 : 0;
            new_line(out, depth);
            buf_append_char(out, c);
        } else if (c == ',') {
            buf_append_char(out, c);
            new_line(out, depth);
        } else if (c == ':') {
            buf_append_lit(out, ": ");
        } else {
            in_text = c == '"';
            buf_append_char(out, c);
        }
    }
}
