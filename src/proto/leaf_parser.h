/* The parser of what servers say to each other over a leafnode connection: one operation at a time,
 * in place, no copy, as nats_parser.h does for clients.
 *
 *     LS+ subject                                   LS+ subject queue members
 *     LS- subject                                   LS- subject queue
 *     LMSG subject size                             LMSG subject reply size
 *     LMSG subject + reply queue... size            LMSG subject | queue... size
 *     HMSG, the same four, with header-size size    INFO, CONNECT, PING, PONG, +OK, -ERR as ever
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

typedef enum LeafVerb {
    LEAF_INFO,    /* args = the JSON */
    LEAF_CONNECT, /* args = the JSON */
    LEAF_SUB,
    LEAF_UNSUB,
    LEAF_MESSAGE,
    LEAF_PING,
    LEAF_PONG,
    LEAF_OK,
    LEAF_ERROR, /* args = what it says, with its quotes */
} LeafVerb;

typedef struct LeafOp {
    LeafVerb verb;
    Slice args;       /* rest of the control line, trimmed */
    Slice subject;    /* LS+, LS-, LMSG */
    Slice queue;      /* LS+, LS-; empty = plain */
    uint32_t members; /* LS+ with queue; at least 1 */
    Slice reply;
    Slice queues; /* of LMSG: names with blanks between them; leaf_cut_queue */
    Slice header, payload;
} LeafOp;

typedef enum LeafParse {
    LEAF_PARSE_OP,   /* *op is set, *out_used bytes were used */
    LEAF_PARSE_MORE, /* *out_used = bytes needed in all if known, else 0 */
    LEAF_PARSE_UNKNOWN_VERB,
    LEAF_PARSE_BAD_ARGUMENTS,
    LEAF_PARSE_LINE_TOO_LONG,
    LEAF_PARSE_PAYLOAD_TOO_BIG,
} LeafParse;

typedef struct LeafParser {
    size_t searched; /* bytes of an incomplete line known to hold no LF */
    size_t control_line_max;
    uint64_t payload_max;
} LeafParser;

LeafParse leaf_parse(LeafParser *parser, char *data, size_t len, LeafOp *op, size_t *out_used);

/* Cuts the next name off. */
bool leaf_cut_queue(Slice *queues, Slice *out_name);

/* "LS+ subject" or "LS+ subject queue members", with its line end. Appends. */
void leaf_write_sub(Buf *out, Slice subject, Slice queue, uint64_t members);
void leaf_write_unsub(Buf *out, Slice subject, Slice queue);

/* The line of a message, HMSG when header_len is not 0, with its line end. Returns its end; to has
 * leaf_message_room bytes. reply_suffix: appended to reply behind "@", where both are there. */
typedef struct LeafMessageLine {
    Slice subject, reply, reply_suffix;
    const Slice *queues;
    size_t queue_count;
    size_t header_len, size; /* size: header and payload together */
} LeafMessageLine;
size_t leaf_message_room(const LeafMessageLine *line);
char *leaf_write_message(char *to, const LeafMessageLine *line);
