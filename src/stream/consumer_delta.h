/* ConsumerDelta: what one consumer did in a turn, as the payload of RECORD_CONSUMER_STATE; codec
 * only.
 *
 *   u8 version (1), then operations:
 *   u8 kind | varint zigzag(dseq - previous dseq) | varint zigzag(sseq - previous sseq) | varint n
 * n is the length of a run for DELIVERED and ACK (dseq and sseq both rise by one), the count of
 * deliveries for REDELIVERED, the time for DELAY, else 0. "Previous" are the numbers of the last
 * operation (of the end of its run), 0 at first. All numbers are absolute, so that an operation
 * that is already in a checkpoint does no harm when it is applied again. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

typedef enum DeltaKind {
    DELTA_DELIVERED = 1, /* first delivery, an ack is awaited */
    DELTA_REDELIVERED = 2,
    DELTA_ACK = 3,
    DELTA_ACK_ALL = 4,
    DELTA_GIVEN_UP = 5,
    DELTA_POSITION = 6, /* ack none: delivered up to here */
    DELTA_RESET = 7,    /* sseq: the next one to deliver */
    DELTA_DELAY = 8,    /* count: when it is to be redelivered, wall time in ns */
} DeltaKind;

typedef struct DeltaOp {
    DeltaKind kind;
    uint64_t dseq, sseq;
    uint64_t count; /* of deliveries: REDELIVERED; DELAY */
} DeltaOp;

/* Zero-initialised is empty. */
typedef struct DeltaWriter {
    Buf ops;
    uint64_t dseq, sseq; /* of the last operation written */
    DeltaOp run;         /* its first operation; kind 0 = none */
    uint64_t run_length;
} DeltaWriter;

void delta_add(DeltaWriter *writer, const DeltaOp *op);
/* The payload; borrowed until the next call. */
Slice delta_finish(DeltaWriter *writer);
bool delta_is_empty(const DeltaWriter *writer);
void delta_clear(DeltaWriter *writer);

/* for (DeltaReader reader = delta_read(payload); delta_next(&reader, &op);)   then check
 * reader.status: OK, ERR_CORRUPT, ERR_VERSION. */
typedef struct DeltaReader {
    Slice rest;
    DeltaOp op;
    uint64_t run_left;
    Status status;
} DeltaReader;
DeltaReader delta_read(Slice payload);
bool delta_next(DeltaReader *reader, DeltaOp *out_op);

/* Varints, also for the checkpoint. */
void varint_write(Buf *out, uint64_t value);
MUST_CHECK Status varint_read(Slice *rest, uint64_t *out_value);
