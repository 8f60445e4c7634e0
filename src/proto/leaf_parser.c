#include "proto/leaf_parser.h"

#include <string.h>

enum { FIXED_TOKENS = 4 };

static const struct {
    char text[8];
    uint8_t len;
    LeafVerb verb;
    bool has_header;
    bool takes_blank;
} VERBS[] = {
    {"lmsg", 4, LEAF_MESSAGE, false, true}, {"hmsg", 4, LEAF_MESSAGE, true, true},
    {"ls+", 3, LEAF_SUB, false, true},      {"ls-", 3, LEAF_UNSUB, false, true},
    {"ping", 4, LEAF_PING, false, false},   {"pong", 4, LEAF_PONG, false, false},
    {"info", 4, LEAF_INFO, false, true},    {"connect", 7, LEAF_CONNECT, false, true},
    {"+ok", 3, LEAF_OK, false, false},      {"-err", 4, LEAF_ERROR, false, true},
};

typedef struct Line {
    size_t verb; /* in VERBS */
    Slice args;
    size_t len; /* with its line end */
} Line;

static char lowered(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* LEAF_PARSE_OP: one of VERBS; MORE: it may become one. */
static LeafParse find_verb(const char *data, size_t len, size_t *out_verb) {
    for (size_t i = 0; i < sizeof VERBS / sizeof VERBS[0]; i++) {
        size_t verb_len = VERBS[i].len, same = 0;
        while (same < verb_len && same < len && lowered(data[same]) == VERBS[i].text[same])
            same++;
        if (same == verb_len && len > verb_len) {
            if (VERBS[i].takes_blank && data[verb_len] != ' ' && data[verb_len] != '\t')
                return LEAF_PARSE_UNKNOWN_VERB;
            *out_verb = i;
            return LEAF_PARSE_OP;
        }
        if (same == len)
            return LEAF_PARSE_MORE;
    }
    return LEAF_PARSE_UNKNOWN_VERB;
}

static LeafParse cut_line(LeafParser *parser, char *data, size_t len, Line *line) {
    LeafParse parse = find_verb(data, len, &line->verb);
    if (parse != LEAF_PARSE_OP)
        return parse;
    size_t verb_len = VERBS[line->verb].len;
    size_t from = parser->searched < len ? parser->searched : len;
    const char *end = memchr(data + from, '\n', len - from);
    size_t line_len = end ? (size_t)(end - data) : len;
    if (line_len > verb_len + 1 && line_len - verb_len - 1 > parser->control_line_max + 1)
        return LEAF_PARSE_LINE_TOO_LONG; /* a CR does not count */
    if (!end) {
        parser->searched = len;
        return LEAF_PARSE_MORE;
    }
    parser->searched = 0;
    line->args = slice_trim(slice_from(data + verb_len, line_len - verb_len));
    line->len = line_len + 1;
    return LEAF_PARSE_OP;
}

/* False: none left. */
static bool cut_token(Slice *rest, Slice *out) {
    size_t at = 0, end;
    while (at < rest->len && is_blank(rest->ptr[at]))
        at++;
    for (end = at; end < rest->len && !is_blank(rest->ptr[end]); end++)
        ;
    if (end == at)
        return false;
    *out = slice_from(rest->ptr + at, end - at);
    *rest = slice_from_at(*rest, end);
    return true;
}

/* Cuts the last token off. */
static bool cut_last(Slice *rest, Slice *out) {
    Slice text = slice_trim(*rest);
    size_t at = text.len;
    while (at > 0 && !is_blank(text.ptr[at - 1]))
        at--;
    if (at == text.len)
        return false;
    *out = slice_from_at(text, at);
    *rest = slice_trim(slice_first(text, at));
    return true;
}

bool leaf_cut_queue(Slice *queues, Slice *out_name) {
    return cut_token(queues, out_name);
}

/* Sizes beyond 18 digits are no numbers to us. */
static bool parse_size(Slice digits, uint64_t *out_value) {
    uint64_t value = 0;
    if (digits.len == 0 || digits.len > 18)
        return false;
    for (size_t i = 0; i < digits.len; i++) {
        unsigned digit = (unsigned)(unsigned char)digits.ptr[i] - '0';
        if (digit > 9)
            return false;
        value = value * 10 + digit;
    }
    *out_value = value;
    return true;
}

static LeafParse parse_sub(Slice args, LeafOp *op) {
    Slice tokens[FIXED_TOKENS];
    size_t count = 0;
    while (count < FIXED_TOKENS && cut_token(&args, &tokens[count]))
        count++;
    size_t with_queue = op->verb == LEAF_SUB ? 3 : 2;
    if (count != 1 && count != with_queue)
        return LEAF_PARSE_BAD_ARGUMENTS;
    op->subject = tokens[0];
    op->queue = count > 1 ? tokens[1] : (Slice){NULL, 0};
    op->members = 0;
    if (op->verb == LEAF_SUB && count > 1) {
        uint64_t members = 0;
        bool is_number = parse_size(tokens[2], &members);
        op->members = !is_number || members == 0 ? 1
                      : members > 100000         ? 100000
                                                 : (uint32_t)members;
    }
    return LEAF_PARSE_OP;
}

/* What stands between subject and sizes. */
static bool parse_middle(Slice rest, LeafOp *op) {
    Slice first;
    op->reply = op->queues = (Slice){NULL, 0};
    if (!cut_token(&rest, &first))
        return true;
    if (rest.len == 0) {
        op->reply = first;
        return true;
    }
    bool has_reply = slice_equal(first, LIT("+"));
    if (!has_reply && !slice_equal(first, LIT("|")))
        return false;
    if (has_reply && !cut_token(&rest, &op->reply))
        return false;
    op->queues = slice_trim(rest);
    return op->queues.len > 0 || has_reply;
}

static LeafParse parse_message(LeafParser *parser, char *data, size_t len, const Line *line,
                               LeafOp *op, size_t *out_used) {
    Slice rest = line->args, digits;
    uint64_t size = 0, header_size = 0;

    if (!cut_token(&rest, &op->subject) || !cut_last(&rest, &digits) || !parse_size(digits, &size))
        return LEAF_PARSE_BAD_ARGUMENTS;
    if (VERBS[line->verb].has_header &&
        (!cut_last(&rest, &digits) || !parse_size(digits, &header_size) || header_size > size))
        return LEAF_PARSE_BAD_ARGUMENTS;
    if (!parse_middle(rest, op))
        return LEAF_PARSE_BAD_ARGUMENTS;
    if (size > parser->payload_max)
        return LEAF_PARSE_PAYLOAD_TOO_BIG;
    *out_used = line->len + size + 2;
    if (len < *out_used)
        return LEAF_PARSE_MORE;
    const char *body = data + line->len;
    if (body[size] != '\r' || body[size + 1] != '\n')
        return LEAF_PARSE_UNKNOWN_VERB;
    op->header = slice_from(body, header_size);
    op->payload = slice_from(body + header_size, size - header_size);
    return LEAF_PARSE_OP;
}

LeafParse leaf_parse(LeafParser *parser, char *data, size_t len, LeafOp *op, size_t *out_used) {
    Line line;
    *out_used = 0;
    LeafParse parse = cut_line(parser, data, len, &line);
    if (parse != LEAF_PARSE_OP)
        return parse;
    op->verb = VERBS[line.verb].verb;
    op->args = line.args;
    if (op->verb == LEAF_MESSAGE)
        return parse_message(parser, data, len, &line, op, out_used);
    if (op->verb == LEAF_SUB || op->verb == LEAF_UNSUB)
        parse = parse_sub(line.args, op);
    *out_used = line.len;
    return parse;
}

void leaf_write_sub(Buf *out, Slice subject, Slice queue, uint64_t members) {
    buf_append_lit(out, "LS+ ");
    buf_append(out, subject);
    if (queue.len) {
        buf_append_char(out, ' ');
        buf_append(out, queue);
        buf_append_char(out, ' ');
        buf_append_u64(out, members);
    }
    buf_append_lit(out, "\r\n");
}

void leaf_write_unsub(Buf *out, Slice subject, Slice queue) {
    buf_append_lit(out, "LS- ");
    buf_append(out, subject);
    if (queue.len) {
        buf_append_char(out, ' ');
        buf_append(out, queue);
    }
    buf_append_lit(out, "\r\n");
}

enum { LINE_EXTRA = 5 + 1 + 2 + 1 + 1 + 20 + 1 + 20 + 2 };

size_t leaf_message_room(const LeafMessageLine *line) {
    size_t room = LINE_EXTRA + line->subject.len + line->reply.len + line->reply_suffix.len;
    for (size_t i = 0; i < line->queue_count; i++)
        room += line->queues[i].len + 1;
    return room;
}

static char *put(char *to, Slice text) {
    if (text.len)
        memcpy(to, text.ptr, text.len);
    return to + text.len;
}

char *leaf_write_message(char *to, const LeafMessageLine *line) {
    to = put(to, line->header_len ? LIT("HMSG ") : LIT("LMSG "));
    to = put(to, line->subject);
    *to++ = ' ';
    if (line->queue_count)
        to = put(to, line->reply.len ? LIT("+ ") : LIT("| "));
    if (line->reply.len) {
        to = put(to, line->reply);
        if (line->reply_suffix.len) {
            *to++ = '@';
            to = put(to, line->reply_suffix);
        }
        *to++ = ' ';
    }
    for (size_t i = 0; i < line->queue_count; i++) {
        to = put(to, line->queues[i]);
        *to++ = ' ';
    }
    if (line->header_len) {
        to += u64_to_decimal(line->header_len, to);
        *to++ = ' ';
    }
    to += u64_to_decimal(line->size, to);
    return put(to, LIT("\r\n"));
}
