/* BatchCounts: how many batches are open on the server, of all workers together. Any thread. */
#pragma once

#include <stdint.h>

typedef struct BatchCounts BatchCounts;

typedef enum BatchCount {
    BATCHES_OPEN,       /* atomic ones */
    BATCHES_OPEN_BYTES, /* what these hold */
    BATCHES_FAST,
    BATCH_COUNT_KINDS,
} BatchCount;

BatchCounts *batch_counts_new(void);
void batch_counts_free(BatchCounts *counts);

/* Return the new value. */
uint64_t batch_counts_add(BatchCounts *counts, BatchCount kind, uint64_t n);
uint64_t batch_counts_sub(BatchCounts *counts, BatchCount kind, uint64_t n);
