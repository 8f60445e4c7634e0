/* The parser of a client's bytes: one complete operation at a time, in place, no copy.
 *
 * nats_parse looks at data and either gives one operation and how many bytes it took, or asks for
 * more. It keeps no state of its own between calls except what NatsParser holds (how far an
 * incomplete line was searched). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

typedef enum NatsVerb {
    NATS_CONNECT, /* args = the JSON */
    NATS_PUB,
    NATS_HPUB,
    NATS_SUB,
    NATS_UNSUB,
    NATS_PING,
    NATS_PONG,
    NATS_INFO,
    NATS_OK,
    NATS_ERR,
} NatsVerb;

typedef struct NatsOp {
    NatsVerb verb;
    Slice args;            /* rest of the control line, trimmed: for traces and CONNECT */
    Slice subject, reply;  /* PUB, HPUB; SUB: subject */
    Slice queue, sid;      /* SUB, UNSUB */
    uint64_t max;          /* UNSUB; 0 = none given */
    Slice header, payload; /* HPUB: header block; payload without the final CRLF */
} NatsOp;

typedef enum NatsParse {
    NATS_PARSE_OP,            /* *op is set, *out_used bytes were used */
    NATS_PARSE_MORE,          /* *out_used = bytes needed in all if known (payload), else 0 */
    NATS_PARSE_UNKNOWN_VERB,  /* -ERR 'Unknown Protocol Operation', close; also payload without CRLF
                               */
    NATS_PARSE_BAD_ARGUMENTS, /* close without -ERR */
    NATS_PARSE_LINE_TOO_LONG, /* -ERR 'maximum control line exceeded', close */
    NATS_PARSE_PAYLOAD_TOO_BIG, /* -ERR 'Maximum Payload Violation', close */
} NatsParse;

typedef struct NatsParser {
    size_t searched; /* bytes of an incomplete line known to hold no LF */
    size_t control_line_max;
    uint64_t payload_max;
} NatsParser;

NatsParse nats_parse(NatsParser *parser, char *data, size_t len, NatsOp *op, size_t *out_used);
