/* BatchView: what the messages of a batch that were looked at would change, so that later ones are
 * decided as if those were stored. Borrows subjects and ids. */
#pragma once

#include <stdint.h>

#include "base/map.h"
#include "base/slice.h"

typedef struct BatchSubject {
    uint64_t count, bytes; /* bytes: headers and payloads */
} BatchSubject;

typedef struct BatchView {
    uint64_t count;           /* sequences taken */
    uint64_t messages, bytes; /* stored, as accounted */
    Map subjects;             /* subject -> BatchSubject, of those stored */
    Map ids;                  /* message ids */
    BatchSubject *pool;
    size_t pool_len, pool_cap;
} BatchView;

/* For at most so many messages. */
void batch_view_init(BatchView *view, size_t messages_max);
void batch_view_done(BatchView *view);

/* NULL when no earlier message has that subject. */
const BatchSubject *batch_view_find(const BatchView *view, Slice subject);

/* The next message. id may be empty; accounted is 0 for one that only takes a sequence. */
void batch_view_add(BatchView *view, Slice subject, Slice id, uint64_t bytes, uint64_t accounted);
