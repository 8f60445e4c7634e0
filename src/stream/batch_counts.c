#include "stream/batch_counts.h"

#include "base/mem.h"
#include "io/counter.h"

struct BatchCounts {
    Counter at[BATCH_COUNT_KINDS];
};

BatchCounts *batch_counts_new(void) {
    return mem_zalloc(sizeof(BatchCounts));
}

void batch_counts_free(BatchCounts *counts) {
    mem_free(counts);
}

uint64_t batch_counts_add(BatchCounts *counts, BatchCount kind, uint64_t n) {
    return counter_add(&counts->at[kind], n);
}

uint64_t batch_counts_sub(BatchCounts *counts, BatchCount kind, uint64_t n) {
    return counter_sub(&counts->at[kind], n);
}
