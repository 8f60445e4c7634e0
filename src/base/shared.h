/* Shared: immutable bytes with an atomic count, the only thing workers share. Written by its maker
 * before it is handed on, never after. */
#pragma once

#include <stddef.h>

#include "base/slice.h"

typedef struct Shared Shared;

/* Count 1. Aborts when memory is out. */
Shared *shared_new(size_t len);

/* NULL when memory is out: for sizes that a peer chose. */
Shared *shared_try_new(size_t len);

/* The same with a reference to under, which goes with it: bytes of both are held by one. Takes
 * under.
 */
Shared *shared_new_over(size_t len, Shared *under);

/* As long as nobody else has it: less of it, in place as a rule. */
Shared *shared_shrink(Shared *shared, size_t len);

Shared *shared_ref(Shared *shared);

/* NULL-safe; the last one frees. */
void shared_unref(Shared *shared);

/* Writable only while the count is 1 and nobody else has it. */
char *shared_bytes(Shared *shared);
size_t shared_len(const Shared *shared);
