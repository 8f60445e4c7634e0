#include "proto/conf_scan.h"

#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "proto/timefmt.h"

void scan_step(ConfScan *scan) {
    if (*scan->at == '\n') {
        scan->line++;
        scan->line_start = scan->at + 1;
    }
    scan->at++;
}

bool scan_fail(ConfScan *scan, const char *format, ...) {
    va_list args;
    if (scan->error == NULL)
        return false;
    buf_printf(scan->error, "Parse error on line %u: '", scan->line);
    va_start(args, format);
    buf_vprintf(scan->error, format, args);
    va_end(args);
    buf_printf(scan->error, "' (%.*s:%u:%u)", SLICE_ARG(scan->file), scan->line, scan_column(scan));
    return false;
}

const char *scan_next_shown(const ConfScan *scan, char out[8]) {
    int c = scan_peek(scan);
    if (c == CONF_END)
        return "EOF";
    if (c == '\n')
        return "\\n";
    if (c == '\r')
        return "\\r";
    size_t len = c < 0xC0 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    if (len > (size_t)(scan->end - scan->at))
        len = (size_t)(scan->end - scan->at);
    memcpy(out, scan->at, len);
    out[len] = '\0';
    return out;
}

bool scan_quoted(ConfScan *scan, char quote, Slice *out_text) {
    const char *begin = scan->at;
    while (scan_peek(scan) != quote) {
        if (scan_peek(scan) == CONF_END)
            return scan_fail(scan, "Unexpected EOF.");
        scan_step(scan);
    }
    *out_text = slice_from(begin, (size_t)(scan->at - begin));
    scan->at++;
    return true;
}

static int hex_digit(int c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Behind the backslash. */
static bool scan_escape(ConfScan *scan, Buf *out) {
    static const char names[] = "tnr\"\\", bytes[] = "\t\n\r\"\\";
    char shown[8];
    int c = scan_peek(scan);
    const char *known = c > 0 ? strchr(names, c) : NULL;

    if (known != NULL) {
        buf_append_char(out, bytes[known - names]);
        scan->at++;
        return true;
    }
    if (c != 'x')
        return scan_fail(
            scan,
            "Invalid escape character '%s'. Only the following escape characters are allowed: "
            "\\xXX, \\t, \\n, \\r, \\\", \\\\.",
            scan_next_shown(scan, shown));
    scan->at++;
    Slice digits = slice_first(slice_from(scan->at, (size_t)(scan->end - scan->at)), 2);
    int high = digits.len == 2 ? hex_digit(digits.ptr[0]) : -1;
    int low = digits.len == 2 ? hex_digit(digits.ptr[1]) : -1;
    if (high < 0 || low < 0)
        return scan_fail(scan, "Expected two hexadecimal digits after '\\x', but got '%.*s'",
                         SLICE_ARG(digits));
    buf_append_char(out, (char)(high * 16 + low));
    scan->at += 2;
    return true;
}

static bool ends_word(int c) {
    return c == CONF_END || scan_is_newline(c) || scan_is_blank(c) || c == ';' || c == ',' ||
           c == ']' || c == '}';
}

/* From begin (before scan->at when a number turned out to be a word) to the end of the word or the
 * closing quote. *out_is_plain: no escape was in it. */
static bool scan_escaped(ConfScan *scan, const char *begin, bool is_quoted, Slice *out_text,
                         bool *out_is_plain) {
    const char *text_begin = begin;
    Buf parts = {0};
    bool is_good = true;

    *out_is_plain = true;
    for (;;) {
        int c = scan_peek(scan);
        if (is_quoted ? c == '"' : ends_word(c) || c == '\'')
            break;
        if (c == CONF_END) {
            is_good = scan_fail(scan, "Unexpected EOF.");
            break;
        }
        if (c != '\\') {
            scan_step(scan);
            continue;
        }
        buf_append_bytes(&parts, begin, (size_t)(scan->at - begin));
        scan->at++;
        *out_is_plain = false;
        if (!(is_good = scan_escape(scan, &parts)))
            break;
        begin = scan->at;
    }
    if (is_good) {
        *out_text = slice_from(begin, (size_t)(scan->at - begin));
        if (!*out_is_plain) {
            buf_append(&parts, *out_text);
            *out_text = arena_copy(scan->conf->arena, buf_slice(&parts));
            /* A secret must be in one place, so that it can be wiped there. */
            explicit_bzero((char *)(uintptr_t)text_begin, (size_t)(scan->at - text_begin));
            explicit_bzero(parts.ptr, parts.len);
        }
        if (scan_peek(scan) == (is_quoted ? '"' : '\''))
            scan->at++;
    }
    buf_done(&parts);
    return is_good;
}

static ConfValue *string_value(ConfScan *scan, Slice text) {
    ConfValue *value = conf_value_new(scan->conf, CONF_STRING);
    value->text = text;
    return value;
}

static ConfValue *bare_value(ConfScan *scan, Slice word) {
    static const struct {
        Slice word;
        bool flag;
    } words[] = {
        {{"true", 4}, true},   {{"yes", 3}, true}, {{"on", 2}, true},
        {{"false", 5}, false}, {{"no", 2}, false}, {{"off", 3}, false},
    };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (!slice_equal_ignoring_case(word, words[i].word))
            continue;
        ConfValue *value = conf_value_new(scan->conf, CONF_BOOL);
        value->flag = words[i].flag;
        return value;
    }
    return string_value(scan, word);
}

static bool scan_word(ConfScan *scan, const char *begin, ConfValue **out_value,
                      bool *out_is_variable) {
    Slice word;
    bool is_plain;

    if (!scan_escaped(scan, begin, false, &word, &is_plain))
        return false;
    if (is_plain && word.len > 0 && word.ptr[0] == '$') {
        *out_is_variable = true;
        *out_value = string_value(scan, slice_from_at(word, 1));
        return true;
    }
    *out_value = is_plain ? bare_value(scan, word) : string_value(scan, word);
    return true;
}

/* "( ... )", the closing one alone on its line; "(" was stepped over. */
static bool scan_block(ConfScan *scan, ConfValue **out_value) {
    const char *begin = scan->at;
    for (;;) {
        int c = scan_peek(scan);
        if (c == CONF_END)
            return scan_fail(scan, "Unexpected EOF processing block.");
        if (c == ')' && scan->at > begin && scan->at[-1] == '\n') {
            const char *next = scan->at + 1;
            if (next < scan->end && *next == '\r')
                next++;
            if (next == scan->end || *next == '\n')
                break;
        }
        scan_step(scan);
    }
    *out_value = string_value(scan, slice_from(begin, (size_t)(scan->at - begin)));
    scan->at++;
    return true;
}

static bool scan_date(ConfScan *scan, const char *begin, ConfValue **out_value) {
    static const char form[] = "0000-00-00T00:00:00Z";
    char shown[8];
    int64_t time_ns;

    for (size_t i = 4; form[i] != '\0'; i++) {
        int c = scan_peek(scan);
        if (form[i] == '0' && (c < '0' || c > '9'))
            return scan_fail(scan, "Expected digit in ISO8601 datetime, but found '%s' instead.",
                             scan_next_shown(scan, shown));
        if (form[i] != '0' && c != form[i])
            return scan_fail(scan, "Expected '%c' in ISO8601 datetime, but found '%s' instead.",
                             form[i], scan_next_shown(scan, shown));
        scan->at++;
    }
    Slice text = slice_from(begin, (size_t)(scan->at - begin));
    if (time_parse(text, &time_ns) != OK)
        return scan_fail(scan, "expected Zulu formatted DateTime, but got '%.*s'", SLICE_ARG(text));
    *out_value = conf_value_new(scan->conf, CONF_DATE);
    (*out_value)->time_ns = time_ns;
    return true;
}

static void skip_digits(ConfScan *scan) {
    while (scan_peek(scan) >= '0' && scan_peek(scan) <= '9')
        scan->at++;
}

/* At the dot behind digits: a float, or with a second dot an address like 127.0.0.1:4222. */
static bool scan_float_or_address(ConfScan *scan, const char *begin, ConfValue **out_value) {
    char shown[8], text[64];

    scan->at++;
    if (scan_peek(scan) < '0' || scan_peek(scan) > '9')
        return scan_fail(scan, "Floats must have a digit after the '.', but got '%s' instead.",
                         scan_next_shown(scan, shown));
    skip_digits(scan);
    if (scan_peek(scan) == '.') {
        while (scan_peek(scan) > 0 && strchr("0123456789.:-", scan_peek(scan)) != NULL)
            scan->at++;
        *out_value = string_value(scan, slice_from(begin, (size_t)(scan->at - begin)));
        return true;
    }
    size_t len = (size_t)(scan->at - begin);
    if (len >= sizeof text)
        return scan_fail(scan, "float '%.*s' is out of the range", (int)len, begin);
    memcpy(text, begin, len);
    text[len] = '\0';
    *out_value = conf_value_new(scan->conf, CONF_FLOAT);
    (*out_value)->number = strtod(text, NULL);
    return true;
}

/* k m g t p e are powers of 1000; kb ki kib and so on powers of 1024. */
static bool apply_suffix(Slice suffix, int64_t *number) {
    static const char letters[] = "kmgtpe";
    if (suffix.len == 0)
        return true;
    const char *letter = strchr(letters, suffix.ptr[0] | 0x20);
    Slice rest = slice_from_at(suffix, 1);
    bool is_binary = slice_equal_ignoring_case(rest, LIT("b")) ||
                     slice_equal_ignoring_case(rest, LIT("i")) ||
                     slice_equal_ignoring_case(rest, LIT("ib"));
    if (letter == NULL || (rest.len > 0 && !is_binary))
        return false;
    for (const char *step = letters; step <= letter; step++)
        if (__builtin_mul_overflow(*number, is_binary ? 1024 : 1000, number))
            return false;
    return true;
}

static bool integer_value(ConfScan *scan, const char *begin, const char *suffix,
                          ConfValue **out_value) {
    Slice digits = slice_from(begin, (size_t)(suffix - begin));
    int64_t number;

    if (slice_parse_i64(digits, &number) != OK ||
        !apply_suffix(slice_from(suffix, (size_t)(scan->at - suffix)), &number))
        return scan_fail(scan, "integer '%.*s' is out of the range", (int)(scan->at - begin),
                         begin);
    *out_value = conf_value_new(scan->conf, CONF_INT);
    (*out_value)->integer = number;
    return true;
}

/* Digits may begin an integer, a float, a date, an address or a word such as 5s. */
static bool scan_number(ConfScan *scan, ConfValue **out_value, bool *out_is_variable) {
    const char *begin = scan->at;
    bool is_negative = *begin == '-';
    char shown[8];

    if (is_negative)
        scan->at++;
    if (scan_peek(scan) == '.')
        return scan_fail(scan, "Floats must start with a digit, not '.'.");
    if (scan_peek(scan) < '0' || scan_peek(scan) > '9')
        return scan_fail(scan, "Expected a digit but got '%s'.", scan_next_shown(scan, shown));
    skip_digits(scan);

    int c = scan_peek(scan);
    if (c == '.')
        return scan_float_or_address(scan, begin, out_value);
    if (c == '-' && !is_negative) {
        if (scan->at - begin != 4)
            return scan_fail(scan, "All ISO8601 dates must be in full Zulu form.");
        return scan_date(scan, begin, out_value);
    }
    const char *suffix = scan->at;
    if (c > 0 && strchr("kKmMgGtTpPeE", c) != NULL) {
        scan->at++;
        while (scan_peek(scan) > 0 && strchr("bBiI", scan_peek(scan)) != NULL)
            scan->at++;
    }
    if (ends_word(scan_peek(scan)) || (is_negative && scan->at == suffix))
        return integer_value(scan, begin, suffix, out_value);
    return scan_word(scan, begin, out_value, out_is_variable);
}

bool scan_scalar(ConfScan *scan, ConfValue **out_value, bool *out_is_variable) {
    Slice text;
    bool is_plain;
    int c = scan_peek(scan);

    *out_is_variable = false;
    switch (c) {
    case '\'':
        scan->at++;
        if (!scan_quoted(scan, '\'', &text))
            return false;
        *out_value = string_value(scan, text);
        return true;
    case '"':
        scan->at++;
        if (!scan_escaped(scan, scan->at, true, &text, &is_plain))
            return false;
        *out_value = string_value(scan, text);
        return true;
    case '(':
        scan->at++;
        return scan_block(scan, out_value);
    case '.':
        return scan_fail(scan, "Floats must start with a digit");
    default:
        if (c == '-' || (c >= '0' && c <= '9'))
            return scan_number(scan, out_value, out_is_variable);
        return scan_word(scan, scan->at, out_value, out_is_variable);
    }
}
