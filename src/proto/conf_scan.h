/* ConfScan: a place in the text of one configuration file, and the values that need no other place:
 * strings, numbers, dates, blocks. Part of conf; its functions return false after the first error,
 * whose text is in `error`. */
#pragma once

#include "base/buf.h"
#include "proto/conf_private.h"

typedef struct ConfScan {
    Conf *conf;
    const char *at, *end, *line_start;
    unsigned line;
    Slice file;
    Buf *error;
} ConfScan;

enum { CONF_END = -1 };

/* The next byte, CONF_END at the end. */
static inline int scan_peek(const ConfScan *scan) {
    return scan->at < scan->end ? (unsigned char)*scan->at : CONF_END;
}

static inline unsigned scan_column(const ConfScan *scan) {
    return (unsigned)(scan->at - scan->line_start) + 1;
}

static inline bool scan_is_blank(int c) {
    return c == ' ' || c == '\t';
}

static inline bool scan_is_newline(int c) {
    return c == '\n' || c == '\r';
}

static inline bool scan_is_space(int c) {
    return scan_is_blank(c) || scan_is_newline(c) || c == '\v' || c == '\f';
}

/* Steps over the next byte, counting lines. */
void scan_step(ConfScan *scan);

/* "Parse error on line 5: '...' (file:5:12)". Returns false. The format's last "%s" stands for the
 * next character when shows_next. */
bool scan_fail(ConfScan *scan, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The next character as messages show it: UTF-8, "\n" escaped, "EOF". Borrowed until the next call
 * with that out. */
const char *scan_next_shown(const ConfScan *scan, char out[8]);

/* The text up to the closing quote, which is stepped over; the opening one was. */
bool scan_quoted(ConfScan *scan, char quote, Slice *out_text);

/* Any scalar that begins here, except variables: a bare word with "$" in front comes as CONF_STRING
 * with *out_is_variable. */
bool scan_scalar(ConfScan *scan, ConfValue **out_value, bool *out_is_variable);
