/* The figures of the store on /metrics: holdwater_*. */
#pragma once

#include "journal/scrubber.h"
#include "store/log_figures.h"
#include "stream/jetstream.h"

typedef struct StoreFigures {
    JournalSpace space;
    LogFigures log;
    ScrubStatus scrub;
    uint64_t chunks, chunk_bytes, chunks_damaged;
} StoreFigures;

/* On worker 0. */
void store_figures_take(const JetStream *js, StoreFigures *out_figures);
void store_figures_write(const StoreFigures *figures, const JetStreamUsage *usage, Status journal,
                         Slice labels, Buf *out);
