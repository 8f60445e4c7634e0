#include "proto/json.h"

#include <string.h>

/* Go's scanner: which byte is refused, and in which words. */

enum { DEPTH_MAX = 10000 };

typedef enum Place {
    AT_VALUE,        /* a value must begin */
    AT_VALUE_OR_END, /* first element of an array */
    AT_KEY,          /* a key must begin */
    AT_KEY_OR_END,   /* first key of an object */
    AFTER_KEY,       /* the colon */
    AFTER_VALUE,     /* comma or end */
} Place;

typedef struct Scanner {
    Slice text;
    size_t at;
    bool with_offset;
    Buf *error;
    size_t depth;
    uint8_t is_object[DEPTH_MAX / 8 + 1]; /* a bit per level */
} Scanner;

/* Bytes of the rune that text begins with; a byte that begins none counts alone. */
static size_t rune_bytes(Slice text) {
    unsigned char c = (unsigned char)text.ptr[0];
    size_t len = c < 0xc2 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 1;

    if (len > text.len)
        return 1;
    for (size_t i = 1; i < len; i++)
        if (((unsigned char)text.ptr[i] & 0xc0) != 0x80)
            return 1;
    return len;
}

static void describe_char(Buf *out, Slice rune) {
    if (slice_equal(rune, LIT("'"))) {
        buf_append_lit(out, "'\\''");
    } else if (slice_equal(rune, LIT("\""))) {
        buf_append_lit(out, "'\"'");
    } else {
        Buf quoted = {0};
        json_go_quote(&quoted, rune);
        buf_append_char(out, '\'');
        buf_append_bytes(out, quoted.ptr + 1, quoted.len - 2);
        buf_append_char(out, '\'');
        buf_done(&quoted);
    }
}

static Status refuse(Scanner *scan, const char *context) {
    if (!scan->error)
        return ERR_SYNTAX;
    if (scan->at >= scan->text.len) {
        buf_append(scan->error,
                   scan->with_offset ? LIT("unexpected EOF") : LIT("unexpected end of JSON input"));
        return ERR_SYNTAX;
    }
    Slice rest = slice_from_at(scan->text, scan->at), rune = slice_first(rest, rune_bytes(rest));
    buf_append_lit(scan->error, "invalid character ");
    describe_char(scan->error, rune);
    buf_append_char(scan->error, ' ');
    buf_append(scan->error, slice_of_text(context));
    if (scan->with_offset)
        buf_printf(scan->error, " at offset %zu", scan->at + rune.len);
    return ERR_SYNTAX;
}

static int peek(const Scanner *scan) {
    return scan->at < scan->text.len ? (unsigned char)scan->text.ptr[scan->at] : -1;
}

static bool is_blank(int c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_digit(int c) {
    return c >= '0' && c <= '9';
}

static bool is_hex(int c) {
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static void skip_blanks(Scanner *scan) {
    while (is_blank(peek(scan)))
        scan->at++;
}

/* Behind the backslash. */
static Status scan_escape(Scanner *scan) {
    int c = peek(scan);
    size_t start = scan->at - 1, len = c == 'u' ? 6 : 2;
    bool is_good = c > 0 && strchr("bfnrt\\/\"u", c) != NULL;

    if (start + len > scan->text.len) {
        scan->at = scan->text.len;
        return refuse(scan, "");
    }
    for (size_t i = 2; i < len; i++)
        is_good = is_good && is_hex((unsigned char)scan->text.ptr[start + i]);
    scan->at = start + len;
    if (is_good)
        return OK;
    if (scan->error) {
        buf_append_lit(scan->error, "invalid escape sequence `");
        buf_append_bytes(scan->error, scan->text.ptr + start, len);
        buf_append_lit(scan->error, "` in string");
        if (scan->with_offset)
            buf_printf(scan->error, " at offset %zu", scan->at);
    }
    return ERR_SYNTAX;
}

static Status scan_string(Scanner *scan) {
    scan->at++;
    for (;;) {
        int c = peek(scan);
        if (c < ' ')
            return refuse(scan, "in string");
        scan->at++;
        if (c == '"')
            return OK;
        if (c != '\\')
            continue;
        Status status = scan_escape(scan);
        if (status != OK)
            return status;
    }
}

static Status scan_digits(Scanner *scan) {
    if (!is_digit(peek(scan)))
        return refuse(scan, "in numeric literal");
    while (is_digit(peek(scan)))
        scan->at++;
    return OK;
}

static Status scan_number(Scanner *scan) {
    Status status;

    if (peek(scan) == '-') {
        scan->at++;
        if (!is_digit(peek(scan)))
            return refuse(scan, "in numeric literal");
    }
    if (peek(scan) == '0')
        scan->at++;
    else if ((status = scan_digits(scan)))
        return status;
    if (peek(scan) == '.') {
        scan->at++;
        if ((status = scan_digits(scan)))
            return status;
    }
    if (peek(scan) == 'e' || peek(scan) == 'E') {
        scan->at++;
        if (peek(scan) == '+' || peek(scan) == '-')
            scan->at++;
        if ((status = scan_digits(scan)))
            return status;
    }
    return OK;
}

static Status scan_word(Scanner *scan, const char *word) {
    for (size_t i = 0; word[i]; i++, scan->at++)
        if (peek(scan) != word[i]) {
            Buf context = {0};
            buf_printf(&context, "in literal %s (expecting '%c')", word, word[i]);
            Status status = refuse(scan, buf_text(&context));
            buf_done(&context);
            return status;
        }
    return OK;
}

static bool in_object(const Scanner *scan) {
    return scan->is_object[scan->depth / 8] >> (scan->depth % 8) & 1;
}

static Status open_level(Scanner *scan, bool is_object) {
    if (++scan->depth > DEPTH_MAX) {
        if (scan->error)
            buf_append_lit(scan->error, "exceeded max depth");
        return ERR_SYNTAX;
    }
    uint8_t bit = (uint8_t)(1u << (scan->depth % 8));
    uint8_t *byte = &scan->is_object[scan->depth / 8];
    *byte = (uint8_t)(is_object ? *byte | bit : *byte & ~bit);
    scan->at++;
    return OK;
}

static Status scan_scalar(Scanner *scan) {
    switch (peek(scan)) {
    case '"':
        return scan_string(scan);
    case 't':
        return scan_word(scan, "true");
    case 'f':
        return scan_word(scan, "false");
    case 'n':
        return scan_word(scan, "null");
    default:
        if (peek(scan) == '-' || is_digit(peek(scan)))
            return scan_number(scan);
        return refuse(scan, "looking for beginning of value");
    }
}

/* One step between blanks; *place says what may come and is moved on. */
static Status scan_step(Scanner *scan, Place *place) {
    int c = peek(scan);
    Status status = OK;

    switch (*place) {
    case AT_VALUE_OR_END:
        if (c == ']')
            break;
        /* fall through */
    case AT_VALUE:
        if (c == '{' || c == '[') {
            *place = c == '{' ? AT_KEY_OR_END : AT_VALUE_OR_END;
            return open_level(scan, c == '{');
        }
        *place = AFTER_VALUE;
        return scan_scalar(scan);
    case AT_KEY_OR_END:
        if (c == '}')
            break;
        /* fall through */
    case AT_KEY:
        if (c != '"')
            return refuse(scan, "looking for beginning of object key string");
        *place = AFTER_KEY;
        return scan_string(scan);
    case AFTER_KEY:
        if (c != ':')
            return refuse(scan, "after object key");
        *place = AT_VALUE;
        scan->at++;
        return status;
    case AFTER_VALUE:
        if (c == ',') {
            *place = in_object(scan) ? AT_KEY : AT_VALUE;
            scan->at++;
            return status;
        }
        if (c != (in_object(scan) ? '}' : ']'))
            return refuse(scan,
                          in_object(scan) ? "after object key:value pair" : "after array element");
        break;
    }
    scan->at++; /* a closing bracket */
    scan->depth--;
    *place = AFTER_VALUE;
    return status;
}

Status json_check(Slice text, size_t *at, bool with_offset, Buf *out_error) {
    Scanner scan;
    scan.text = text;
    scan.at = *at;
    scan.with_offset = with_offset;
    scan.error = out_error;
    scan.depth = 0;

    skip_blanks(&scan);
    if (scan.at >= text.len) {
        *at = scan.at;
        return ERR_NOT_FOUND;
    }
    Place place = AT_VALUE;
    do {
        skip_blanks(&scan);
        Status status = scan_step(&scan, &place);
        if (status != OK)
            return status;
    } while (scan.depth > 0);
    *at = scan.at;
    return OK;
}

/* What follows walks text that json_check accepted. */

static size_t after_blanks(Slice text, size_t at) {
    while (at < text.len && is_blank((unsigned char)text.ptr[at]))
        at++;
    return at;
}

static size_t after_string(Slice text, size_t at) {
    for (at++; at < text.len && text.ptr[at] != '"'; at++)
        if (text.ptr[at] == '\\')
            at++;
    return at < text.len ? at + 1 : text.len;
}

static size_t after_value(Slice text, size_t at) {
    size_t depth = 0;

    for (; at < text.len;) {
        char c = text.ptr[at];
        if (c == '"') {
            at = after_string(text, at);
        } else if (c == '{' || c == '[') {
            depth++;
            at++;
        } else if (c == '}' || c == ']') {
            depth--;
            at++;
        } else if (depth == 0) {
            while (at < text.len && !is_blank((unsigned char)text.ptr[at]) &&
                   !strchr(",]}:", text.ptr[at]))
                at++;
        } else {
            at++;
        }
        if (depth == 0)
            break;
    }
    return at;
}

bool json_next_element(Slice array, size_t *at, Slice *out_value) {
    size_t start = after_blanks(array, *at == 0 ? after_blanks(array, 0) + 1 : *at);

    if (start < array.len && array.ptr[start] == ',')
        start = after_blanks(array, start + 1);
    if (start >= array.len || array.ptr[start] == ']' || array.ptr[start] == '}')
        return false;
    *at = after_value(array, start);
    *out_value = slice_from(array.ptr + start, *at - start);
    return true;
}

bool json_next_member(Slice object, size_t *at, Slice *out_key, Slice *out_value) {
    Slice key;

    if (!json_next_element(object, at, &key))
        return false;
    size_t start = after_blanks(object, after_blanks(object, *at) + 1);
    *at = after_value(object, start);
    *out_key = slice_from(key.ptr + 1, key.len - 2);
    *out_value = slice_from(object.ptr + start, *at - start);
    return true;
}

bool json_is_empty_object(Slice text) {
    size_t at = 0;
    Slice key, value;

    if (text.len == 0)
        return true;
    if (json_check(text, &at, false, NULL) != OK || after_blanks(text, at) != text.len)
        return false;
    at = 0;
    return text.ptr[after_blanks(text, 0)] == '{' && !json_next_member(text, &at, &key, &value);
}

bool json_looks_structured(Slice text) {
    size_t at = after_blanks(text, 0);
    return at < text.len && (text.ptr[at] == '{' || text.ptr[at] == '[');
}
