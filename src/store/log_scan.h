/* LogScan: a segment as it stands on disk, and the blocks that can be made out in it. For recovery,
 * which goes through one segment while the next one is read and summed up on a thread of its own.
 * Private to log_recovery.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/vec.h"
#include "store/log_private.h"

typedef struct FoundBlock {
    BlockHead head;
    bool is_body_good, are_heads_good;
} FoundBlock;

typedef struct LogScan {
    Log *log;
    size_t index; /* of the segment in log->segments; SIZE_MAX = of none */
    char *bytes;  /* of the segment */
    uint64_t len; /* of them count: what lies behind a seal does not */
    VEC(FoundBlock) found;
    Buf text; /* what is to be reported */
    Status status;
    Thread *thread; /* that reads; NULL = none */
} LogScan;

/* Room for the largest segment. ERR_MEMORY; ERR_VERSION: there is one that no place can name. */
MUST_CHECK Status log_scan_init(LogScan *scan, Log *log);
/* Waits for what was begun. Zero-initialised is done. */
void log_scan_done(LogScan *scan);

/* Reads segment index and finds its blocks. Sets log->super.store_id, and seals, when SUPER is
 * lost. */
MUST_CHECK Status log_scan_read(LogScan *scan, size_t index);
/* The same on a thread of its own, until log_scan_wait; at once when there is none to be had. Waits
 * first for what was begun before. Not when SUPER is lost. */
void log_scan_begin(LogScan *scan, size_t index);
MUST_CHECK Status log_scan_wait(LogScan *scan);

/* A block of a later version of this program is among it. */
bool log_scan_holds_newer(const LogScan *scan);
