#include "proto/nats_parser.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { TOKENS_MAX = 4 }; /* of the longest line, HPUB */

typedef struct Line {
    char *args, *end; /* between verb and line end, CR excluded */
    Slice tokens[TOKENS_MAX];
    unsigned token_count; /* TOKENS_MAX + 1 stands for more */
    size_t len;           /* whole line with its LF */
} Line;

static NatsParse parse_publish(NatsParser *parser, char *data, size_t len, NatsOp *op,
                               size_t *out_used, size_t verb_len);
static NatsParse parse_line(NatsParser *parser, char *data, size_t len, NatsOp *op,
                            size_t *out_used, size_t verb_len);
static NatsParse parse_other_verb(NatsParser *parser, char *data, size_t len, NatsOp *op,
                                  size_t *out_used);

static uint32_t first_four_lowered(const char *data) {
    uint32_t word;
    memcpy(&word, data, sizeof word);
    return word | 0x20202020;
}

static uint32_t four(const char *text) {
    uint32_t word;
    memcpy(&word, text, sizeof word);
    return word;
}

NatsParse nats_parse(NatsParser *parser, char *data, size_t len, NatsOp *op, size_t *out_used) {
    *out_used = 0;
    if (len >= 5) { /* the two that matter; a tab behind the verb takes the long way */
        uint32_t word = first_four_lowered(data);
        if (word == four("pub ") && data[3] == ' ') {
            op->verb = NATS_PUB;
            return parse_publish(parser, data, len, op, out_used, 3);
        }
        if (word == four("hpub") && data[4] == ' ') {
            op->verb = NATS_HPUB;
            return parse_publish(parser, data, len, op, out_used, 4);
        }
    }
    return parse_other_verb(parser, data, len, op, out_used);
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* First blank, or end. */
static inline char *find_blank(char *at, char *end) {
#ifdef __SSE2__
    const __m128i limit = _mm_set1_epi8(' ');
    while (end - at >= 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        unsigned mask =
            (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(bytes, limit), bytes));
        while (mask) {
            char *hit = at + __builtin_ctz(mask);
            if (is_blank(*hit))
                return hit;
            mask &= mask - 1; /* another control byte: part of the token */
        }
        at += 16;
    }
#endif
    while (at < end && !is_blank(*at))
        at++;
    return at;
}

static NatsParse need_more(NatsParser *parser, const char *data, size_t len, size_t verb_len) {
    /* Nothing is complete, but the line is already longer than a complete one may be. */
    size_t args_len = len > verb_len + 1 ? len - verb_len - 1 : 0;
    if (args_len && data[len - 1] == '\r')
        args_len--;
    if (args_len > parser->control_line_max)
        return NATS_PARSE_LINE_TOO_LONG;
    parser->searched = len;
    return NATS_PARSE_MORE;
}

/* Cuts the line into tokens while it looks for its end. False when the end is not there yet. */
static inline bool cut_line(NatsParser *parser, char *data, size_t len, size_t verb_len,
                            Line *line) {
    char *end = data + len, *at = data + verb_len;
    unsigned count = 0;

    if (parser->searched) { /* trickling in: do not cut again and again */
        if (parser->searched >= len ||
            !memchr(data + parser->searched, '\n', len - parser->searched))
            return false;
    }
    line->args = line->end = at;
    for (;;) {
        while (at < end && is_blank(*at) && *at != '\n')
            at++;
        if (at == end)
            return false;
        if (*at == '\n')
            break;
        char *token = at;
        at = find_blank(at, end);
        if (at == end)
            return false;
        if (count == 0)
            line->args = token;
        line->end = at;
        if (count < TOKENS_MAX) {
            line->tokens[count++] = slice_from(token, (size_t)(at - token));
            continue;
        }
        count = TOKENS_MAX + 1;
        char *lf = memchr(at, '\n', (size_t)(end - at));
        if (!lf)
            return false;
        line->end = at = lf;
        while (is_blank(line->end[-1]))
            line->end--;
        break;
    }
    line->token_count = count;
    line->len = (size_t)(at - data) + 1;
    parser->searched = 0;
    return true;
}

static bool is_line_too_long(const NatsParser *parser, const char *data, const Line *line,
                             size_t verb_len) {
    size_t args_len = line->len - 1;
    if (data[args_len - 1] == '\r')
        args_len--;
    return args_len > verb_len + 1 && args_len - verb_len - 1 > parser->control_line_max;
}

/* Sizes beyond 18 digits are no numbers to us. */
static inline bool parse_size(Slice digits, uint64_t *out_value) {
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

static NatsParse parse_publish(NatsParser *parser, char *data, size_t len, NatsOp *op,
                               size_t *out_used, size_t verb_len) {
    Line line;
    unsigned sizes = op->verb == NATS_HPUB ? 2 : 1;
    uint64_t header_size = 0, size;

    if (!cut_line(parser, data, len, verb_len, &line))
        return need_more(parser, data, len, verb_len);
    if (is_line_too_long(parser, data, &line, verb_len))
        return NATS_PARSE_LINE_TOO_LONG;
    unsigned n = line.token_count;
    if (n != sizes + 1 && n != sizes + 2)
        return NATS_PARSE_BAD_ARGUMENTS;
    if (!parse_size(line.tokens[n - 1], &size))
        return NATS_PARSE_BAD_ARGUMENTS;
    if (sizes == 2 && (!parse_size(line.tokens[n - 2], &header_size) || header_size > size))
        return NATS_PARSE_BAD_ARGUMENTS;
    if (size > parser->payload_max)
        return NATS_PARSE_PAYLOAD_TOO_BIG;

    char *body = data + line.len;
    size_t have = len - line.len;
    if (have < size + 2) {
        if (have == size + 1 && body[size] != '\r')
            return NATS_PARSE_UNKNOWN_VERB;
        *out_used = line.len + size + 2;
        return NATS_PARSE_MORE;
    }
    if (body[size] != '\r' || body[size + 1] != '\n')
        return NATS_PARSE_UNKNOWN_VERB;
    op->args = slice_from(line.args, (size_t)(line.end - line.args));
    op->subject = line.tokens[0];
    op->reply = n == sizes + 2 ? line.tokens[1] : (Slice){NULL, 0};
    op->header = slice_from(body, header_size);
    op->payload = slice_from(body + header_size, size - header_size);
    *out_used = line.len + size + 2;
    return NATS_PARSE_OP;
}

static const struct {
    char text[8];
    uint8_t len;
    NatsVerb verb;
    bool takes_blank; /* must follow; otherwise whatever follows up to the line end is ignored */
} VERBS[] = {
    {"ping", 4, NATS_PING, false},       {"pong", 4, NATS_PONG, false},
    {"sub", 3, NATS_SUB, true},          {"unsub", 5, NATS_UNSUB, true},
    {"pub", 3, NATS_PUB, true},          {"hpub", 4, NATS_HPUB, true},
    {"connect", 7, NATS_CONNECT, false}, {"+ok", 3, NATS_OK, false},
    {"-err", 4, NATS_ERR, true},         {"info", 4, NATS_INFO, true},
};

static char lowered(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static NatsParse parse_other_verb(NatsParser *parser, char *data, size_t len, NatsOp *op,
                                  size_t *out_used) {
    for (size_t i = 0; i < sizeof VERBS / sizeof VERBS[0]; i++) {
        size_t verb_len = VERBS[i].len, same = 0;
        while (same < verb_len && same < len && lowered(data[same]) == VERBS[i].text[same])
            same++;
        if (same < verb_len) {
            if (same == len)
                return NATS_PARSE_MORE; /* so far so good */
            continue;
        }
        if (len == verb_len)
            return NATS_PARSE_MORE;
        if (VERBS[i].takes_blank && data[verb_len] != ' ' && data[verb_len] != '\t')
            return NATS_PARSE_UNKNOWN_VERB;
        op->verb = VERBS[i].verb;
        if (op->verb == NATS_PUB || op->verb == NATS_HPUB)
            return parse_publish(parser, data, len, op, out_used, verb_len);
        return parse_line(parser, data, len, op, out_used, verb_len);
    }
    return NATS_PARSE_UNKNOWN_VERB;
}

static NatsParse parse_line(NatsParser *parser, char *data, size_t len, NatsOp *op,
                            size_t *out_used, size_t verb_len) {
    Line line;

    if (!cut_line(parser, data, len, verb_len, &line))
        return need_more(parser, data, len, verb_len);
    if (is_line_too_long(parser, data, &line, verb_len))
        return NATS_PARSE_LINE_TOO_LONG;
    op->args = slice_from(line.args, (size_t)(line.end - line.args));
    op->subject = op->reply = op->queue = op->sid = op->header = op->payload = (Slice){NULL, 0};
    op->max = 0;
    if (op->verb == NATS_SUB) {
        if (line.token_count != 2 && line.token_count != 3)
            return NATS_PARSE_BAD_ARGUMENTS;
        op->subject = line.tokens[0];
        if (line.token_count == 3)
            op->queue = line.tokens[1];
        op->sid = line.tokens[line.token_count - 1];
    } else if (op->verb == NATS_UNSUB) {
        if (line.token_count != 1 && line.token_count != 2)
            return NATS_PARSE_BAD_ARGUMENTS;
        op->sid = line.tokens[0];
        if (line.token_count == 2 && !parse_size(line.tokens[1], &op->max))
            op->max = 0; /* what is no number counts as none */
    }
    *out_used = line.len;
    return NATS_PARSE_OP;
}
