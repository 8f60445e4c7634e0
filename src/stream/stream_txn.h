/* The part of a transaction that one stream has: what its home does. Private to txn*.c and
 * stream*.c.
 *
 * A part is made on worker 0 and goes as mail to the home and back: hold, then store or let go. It
 * is owned by who has it; what its slices point into is the transaction's and does not change. */
#pragma once

#include "stream/stream_parts.h"

typedef struct Txn Txn;

typedef struct TxnOp {
    size_t number; /* in the request */
    Slice subject, headers, payload;
    bool is_write, has_expected;
    uint64_t expected;
    uint64_t seq; /* result: where it was stored, or what a check found */
} TxnOp;

typedef struct TxnPart {
    Mail mail; /* first */
    Txn *txn;
    Worker *from;
    Slice stream; /* its name */
    uint32_t group;
    Worker *home;
    TxnOp *ops;
    size_t op_count;
    void (*back)(struct TxnPart *part); /* on worker 0, after each step */

    /* From the home. */
    bool is_held;
    int64_t time_ns;     /* of the members: before those that wait for the release */
    unsigned error_code; /* 0: agreed */
    unsigned error_http;
    Buf error_text;
    size_t failed_number;
    uint64_t current_seq;
    Buf members; /* as they will be stored */
    bool is_memory;
    uint64_t bytes; /* what they take of the account's limit */

    /* For storing. */
    uint64_t index;
    Place place;
    size_t members_at; /* in the payload of the entry */
    Shared *hold;
    Slice stored;
} TxnPart;

/* On worker 0: the part goes to its home; back is called there when that is done. Store runs at
 * once when the home is worker 0 itself, before anything else may look at the stream. */
void txn_part_hold(TxnPart *part);
void txn_part_store(TxnPart *part);
void txn_part_let_go(TxnPart *part);

/* Stores the members of a part; part is NULL in recovery. place: as if members were the payload of
 * a record that begins there. */
void stream_txn_store(Stream *stream, uint64_t index, Slice members, Place place, Shared *hold,
                      TxnPart *part);
/* Recovery: stores members unless the stream has them. */
void stream_txn_replay(Stream *stream, uint64_t index, Slice members, Place place, Shared *hold);

/* Recovery: members are damaged; unless the stream has them, their sequences are taken. */
void stream_txn_lost(Stream *stream, uint64_t index, Slice members, Place place, Shared *hold);

/* Section of the checkpoint. */
void stream_txn_save(Stream *stream, Buf *out);
MUST_CHECK Status stream_txn_load(Stream *stream, Slice bytes);
