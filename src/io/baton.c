#include "io/baton.h"

#include <pthread.h>

#include "base/assert.h"
#include "base/mem.h"

struct Baton {
    pthread_mutex_t mutex;
};

Baton *baton_new(void) {
    Baton *baton = mem_zalloc(sizeof *baton);
    int failed = pthread_mutex_init(&baton->mutex, NULL);
    ASSERT(failed == 0);
    return baton;
}

void baton_free(Baton *baton) {
    if (baton == NULL)
        return;
    (void)pthread_mutex_destroy(&baton->mutex);
    mem_free(baton);
}

void baton_take(Baton *baton) {
    int failed = pthread_mutex_lock(&baton->mutex);
    ASSERT(failed == 0);
}

bool baton_try(Baton *baton) {
    return pthread_mutex_trylock(&baton->mutex) == 0;
}

void baton_release(Baton *baton) {
    int failed = pthread_mutex_unlock(&baton->mutex);
    ASSERT(failed == 0);
}
