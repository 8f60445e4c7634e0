#include <string.h>

#include "proto/json.h"
#include "proto/timefmt.h"

/* Bytes of the UTF-8 rune at text; 0 when it is malformed. */
static size_t rune_len(Slice text, uint32_t *out_rune) {
    const unsigned char *s = (const unsigned char *)text.ptr;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t len = s[0] < 0x80   ? 1
                 : s[0] < 0xc2 ? 0
                 : s[0] < 0xe0 ? 2
                 : s[0] < 0xf0 ? 3
                 : s[0] < 0xf5 ? 4
                               : 0;

    if (len == 0 || len > text.len)
        return 0;
    uint32_t rune = len == 1 ? s[0] : s[0] & (0xffu >> (len + 1));
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        rune = rune << 6 | (s[i] & 0x3f);
    }
    if (len > 1 && (rune < least[len] || rune > 0x10ffff || (rune >= 0xd800 && rune < 0xe000)))
        return 0;
    *out_rune = rune;
    return len;
}

static bool is_plain(unsigned char c) {
    return c >= ' ' && c < 0x80 && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&';
}

static void write_escape(Buf *out, uint32_t rune) {
    static const char shorts[] = "\bb\ff\nn\rr\tt\"\"\\\\";

    for (size_t i = 0; i + 1 < sizeof shorts; i += 2)
        if ((uint32_t)shorts[i] == rune) {
            buf_append_char(out, '\\');
            buf_append_char(out, shorts[i + 1]);
            return;
        }
    buf_printf(out, "\\u%04x", rune);
}

void json_write_string(Buf *out, Slice text) {
    buf_append_char(out, '"');
    while (text.len) {
        size_t plain = 0;
        while (plain < text.len && is_plain((unsigned char)text.ptr[plain]))
            plain++;
        buf_append_bytes(out, text.ptr, plain);
        text = slice_from_at(text, plain);
        if (text.len == 0)
            break;

        uint32_t rune = 0;
        size_t len = rune_len(text, &rune);
        if (len == 0) {
            buf_append_lit(out, "\\ufffd");
            len = 1;
        } else if (len == 1 || rune == 0x2028 || rune == 0x2029) {
            write_escape(out, rune);
        } else {
            buf_append_bytes(out, text.ptr, len);
        }
        text = slice_from_at(text, len);
    }
    buf_append_char(out, '"');
}

void json_go_quote(Buf *out, Slice text) {
    static const char shorts[] = "\aa\bb\ff\nn\rr\tt\vv\"\"\\\\";

    buf_append_char(out, '"');
    while (text.len) {
        uint32_t rune = 0;
        size_t len = rune_len(text, &rune), i = 0;
        while (len && i + 1 < sizeof shorts && (uint32_t)shorts[i] != rune)
            i += 2;
        if (len == 0) {
            buf_printf(out, "\\x%02x", (unsigned char)text.ptr[0]);
            len = 1;
        } else if (i + 1 < sizeof shorts) {
            buf_append_char(out, '\\');
            buf_append_char(out, shorts[i + 1]);
        } else if (rune < ' ' || rune == 0x7f) {
            buf_printf(out, "\\x%02x", rune);
        } else if (rune >= 0x80 && rune < 0xa1) {
            buf_printf(out, "\\u%04x", rune);
        } else {
            buf_append_bytes(out, text.ptr, len);
        }
        text = slice_from_at(text, len);
    }
    buf_append_char(out, '"');
}

static int hex_value(char c) {
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

static uint32_t read_hex4(const char *at) {
    uint32_t value = 0;
    for (int i = 0; i < 4; i++)
        value = value << 4 | (uint32_t)hex_value(at[i]);
    return value;
}

static char *write_rune(char *to, uint32_t rune) {
    if (rune < 0x80) {
        *to++ = (char)rune;
    } else if (rune < 0x800) {
        *to++ = (char)(0xc0 | rune >> 6);
        *to++ = (char)(0x80 | (rune & 0x3f));
    } else if (rune < 0x10000) {
        *to++ = (char)(0xe0 | rune >> 12);
        *to++ = (char)(0x80 | (rune >> 6 & 0x3f));
        *to++ = (char)(0x80 | (rune & 0x3f));
    } else {
        *to++ = (char)(0xf0 | rune >> 18);
        *to++ = (char)(0x80 | (rune >> 12 & 0x3f));
        *to++ = (char)(0x80 | (rune >> 6 & 0x3f));
        *to++ = (char)(0x80 | (rune & 0x3f));
    }
    return to;
}

/* The rune of "\uXXXX" at raw, with the second half of a surrogate pair; lone halves become U+FFFD.
 */
static size_t read_unicode(Slice raw, uint32_t *out_rune) {
    uint32_t rune = read_hex4(raw.ptr + 2);

    if (rune >= 0xd800 && rune < 0xe000) {
        if (rune < 0xdc00 && raw.len >= 12 && raw.ptr[6] == '\\' && raw.ptr[7] == 'u') {
            uint32_t low = read_hex4(raw.ptr + 8);
            if (low >= 0xdc00 && low < 0xe000) {
                *out_rune = 0x10000 + ((rune - 0xd800) << 10) + (low - 0xdc00);
                return 12;
            }
        }
        rune = 0xfffd;
    }
    *out_rune = rune;
    return 6;
}

Slice json_unescape(Slice raw, Arena *arena) {
    char *start = arena_alloc(arena, raw.len * 3 + 1), *to = start; /* a bad byte becomes three */
    static const char from_names[] = "b\bf\fn\nr\rt\t";

    while (raw.len) {
        uint32_t rune = 0;
        size_t len;
        if (raw.ptr[0] == '\\' && raw.len >= 2) {
            rune = (unsigned char)raw.ptr[1];
            len = 2;
            const char *name = memchr(from_names, raw.ptr[1], sizeof from_names - 1);
            if (raw.ptr[1] == 'u' && raw.len >= 6)
                len = read_unicode(raw, &rune);
            else if (name && (name - from_names) % 2 == 0)
                rune = (unsigned char)name[1];
        } else if ((len = rune_len(raw, &rune)) == 0) {
            rune = 0xfffd;
            len = 1;
        }
        to = write_rune(to, rune);
        raw = slice_from_at(raw, len);
    }
    *to = 0;
    return slice_from(start, (size_t)(to - start));
}

/* Fields. */

static bool is_absent(const JsonField *field, const char *base) {
    const char *at = field->offset == JSON_NONE ? NULL : base + field->offset;

    switch (field->kind) {
    case JSON_BOOL:
    case JSON_ENUM_BOOL:
        return !*(const bool *)at;
    case JSON_ENUM:
        return *(const uint32_t *)(const void *)at == 0;
    case JSON_INT:
    case JSON_INT32:
    case JSON_UINT:
    case JSON_DURATION:
        return *(const uint64_t *)(const void *)at == 0;
    case JSON_STRING:
    case JSON_RAW:
        return ((const Slice *)(const void *)at)->len == 0;
    case JSON_STRINGS:
    case JSON_DURATIONS:
    case JSON_MAP:
    case JSON_OBJECTS:
        return *(const size_t *)(const void *)(base + field->count_offset) == 0;
    case JSON_TIME:
    case JSON_OBJECT:
        return field->has_offset != JSON_NONE && !*(const bool *)(base + field->has_offset);
    }
    return true;
}

static void write_list(Buf *out, const JsonField *field, const char *base) {
    size_t n = *(const size_t *)(const void *)(base + field->count_offset);
    const void *list = *(void *const *)(const void *)(base + field->offset);

    buf_append_char(out, field->kind == JSON_MAP ? '{' : '[');
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            buf_append_char(out, ',');
        if (field->kind == JSON_STRINGS) {
            json_write_string(out, ((const Slice *)list)[i]);
        } else if (field->kind == JSON_OBJECTS) {
            json_write(out, field->schema, (const char *)list + i * field->size);
        } else if (field->kind == JSON_DURATIONS) {
            buf_append_i64(out, ((const int64_t *)list)[i]);
        } else {
            json_write_string(out, ((const JsonPair *)list)[i].key);
            buf_append_char(out, ':');
            json_write_string(out, ((const JsonPair *)list)[i].value);
        }
    }
    buf_append_char(out, field->kind == JSON_MAP ? '}' : ']');
}

static void write_value(Buf *out, const JsonField *field, const char *base) {
    const void *at = field->offset == JSON_NONE ? NULL : base + field->offset;

    switch (field->kind) {
    case JSON_BOOL:
        buf_append(out, *(const bool *)at ? LIT("true") : LIT("false"));
        break;
    case JSON_ENUM_BOOL:
        json_write_string(out, slice_of_text(field->choices->names[*(const bool *)at]));
        break;
    case JSON_ENUM:
        json_write_string(out, slice_of_text(field->choices->names[*(const uint32_t *)at]));
        break;
    case JSON_INT:
    case JSON_INT32:
    case JSON_DURATION:
        buf_append_i64(out, *(const int64_t *)at);
        break;
    case JSON_UINT:
        buf_append_u64(out, *(const uint64_t *)at);
        break;
    case JSON_STRING:
        json_write_string(out, *(const Slice *)at);
        break;
    case JSON_RAW:
        buf_append(out, ((const Slice *)at)->len ? *(const Slice *)at : LIT("null"));
        break;
    case JSON_STRINGS:
    case JSON_DURATIONS:
    case JSON_MAP:
    case JSON_OBJECTS:
        write_list(out, field, base);
        break;
    case JSON_TIME:
        if (field->text_offset != JSON_NONE &&
            ((const Slice *)(const void *)(base + field->text_offset))->len) {
            json_write_string(out, *(const Slice *)(const void *)(base + field->text_offset));
            break;
        }
        buf_append_char(out, '"');
        time_write(out, *(const int64_t *)at);
        buf_append_char(out, '"');
        break;
    case JSON_OBJECT:
        json_write(out, field->schema, base + (field->offset == JSON_NONE ? 0 : field->offset));
        break;
    }
}

bool json_write_fields(Buf *out, const JsonSchema *schema, const void *from, bool is_first) {
    for (size_t i = 0; i < schema->field_count; i++) {
        const JsonField *field = &schema->fields[i];
        if ((field->flags & JSON_READ_ONLY) ||
            ((field->flags & JSON_OMIT_EMPTY) && is_absent(field, from)))
            continue;
        buf_append(out, is_first ? LIT("\"") : LIT(",\""));
        buf_append(out, slice_of_text(field->name));
        buf_append_lit(out, "\":");
        write_value(out, field, from);
        is_first = false;
    }
    return is_first;
}

void json_write(Buf *out, const JsonSchema *schema, const void *from) {
    buf_append_char(out, '{');
    (void)json_write_fields(out, schema, from, true);
    buf_append_char(out, '}');
}
