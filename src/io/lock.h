/* Lock: for the few tables that workers share and change (store/chunk_table.h). Held for a look-up,
 * never over anything that waits. */
#pragma once

#include <pthread.h>

typedef struct Lock {
    pthread_mutex_t mutex;
} Lock;

static inline void lock_init(Lock *lock) {
    (void)pthread_mutex_init(&lock->mutex, NULL);
}
static inline void lock_done(Lock *lock) {
    (void)pthread_mutex_destroy(&lock->mutex);
}
static inline void lock_take(Lock *lock) {
    (void)pthread_mutex_lock(&lock->mutex);
}
static inline void lock_give(Lock *lock) {
    (void)pthread_mutex_unlock(&lock->mutex);
}
