/* What restore*.c share. */
#pragma once

#include "base/list.h"
#include "io/timer.h"
#include "proto/archive.h"
#include "stream/api_private.h"
#include "stream/restore.h"

enum {
    /* Entries proposed and not durable: over it, pieces wait for their answer. */
    RESTORE_IN_FLIGHT_BYTES_MAX = 16 * 1024 * 1024,
    /* Taken in one turn; the rest in the next. */
    RESTORE_BYTES_PER_TURN = 1024 * 1024,
    /* Published without waiting for answers: over it, the restore fails. */
    RESTORE_HELD_BYTES_MAX = 64 * 1024 * 1024,
};

struct Restore {
    Stream *stream;
    JetStream *js;
    Account *account;
    Port port;
    Sub *sub;
    ArchiveReader *reader;
    Timer idle;
    Task task;
    Buf replies;       /* of pieces not answered yet, NUL separated */
    ApiCall *end_call; /* the end was asked for */
    Buf why;           /* it failed */
    bool is_failed, is_whole, is_decided;
    uint64_t bytes;
    int64_t start_ns, created_ns;
    uint64_t seq_last; /* proposed */
    uint64_t state_last_seq;
    int64_t state_last_ns;
    Buf consumer; /* scratch */
    Buf client;   /* who asked, a JSON object */
};

void restore_fail(Restore *restore, Slice why);
/* Proposes what the item says. */
void restore_take(Restore *restore, const ArchiveItem *item);
/* All was taken: what the state says of the end. */
void restore_take_end(Restore *restore);
