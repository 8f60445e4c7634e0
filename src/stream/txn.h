/* Transactions: writes and conditions on several streams of an account, all or nothing
 * ($JS.API.HW.TXN, docs/EXTENSIONS.md).
 *
 * Worker 0 runs one after the other. It holds the catalogue's group, then those of all streams that
 * take part: what comes in meanwhile waits, so that each home decides on a state that stays. When
 * all agree, one entry of group 0 has the messages of all parts: it is in the log or it is not.
 * When it is durable each home stores its part and lets go. Recovery does the same at the entry's
 * place; what a checkpoint has is told by the number that each stream keeps. */
#pragma once

#include "stream/catalogue.h"
#include "stream/stream_txn.h"

enum {
    /* Operations of one transaction, and bytes of its messages: over it, 19200. */
    TXN_OPS_MAX = 1000,
    TXN_BYTES_MAX = 32 * 1024 * 1024,
    /* Transactions that wait: over it, 10167. */
    TXN_WAITING_MAX = 1000,
};

/* Endpoint; takes call. */
void txn_on_request(ApiCall *call);

/* Entries of group 0. */
void txn_apply(Catalogue *catalogue, const Record *record, Place place, Shared *hold,
               const Ticket *ticket);
void txn_refused(Txn *txn, Status why);
/* Recovery. hold may be NULL. */
void txn_replay(Catalogue *catalogue, const Record *record, Place place, Shared *hold);
/* Recovery: the entry is damaged; record is what its bytes say. */
void txn_lost(Catalogue *catalogue, const Record *record, Place place);
/* With the catalogue. */
void txns_free(Catalogue *catalogue);

/* txn_request.c: the operations of a body; false: answered. */
typedef struct TxnRequest {
    TxnOp *ops;
    Slice *streams; /* of each operation */
    size_t count;
} TxnRequest;
MUST_CHECK bool txn_request_read(ApiCall *call, Arena *arena, TxnRequest *out_request);
/* Whether who asks may publish each message itself, and publish or get what is checked; false:
 * answered. */
MUST_CHECK bool txn_request_is_permitted(ApiCall *call, Port *from);
void txn_refuse(ApiCall *call, size_t number, ApiError error, const uint64_t *current_seq);
