/* Baton: whoever holds it may touch what it guards. For the rare thing that several threads write
 * in turns; who cannot get it at once hands the work over by mail instead of waiting. */
#pragma once

#include <stdbool.h>

typedef struct Baton Baton;

Baton *baton_new(void);
/* NULL-safe; nobody holds it. */
void baton_free(Baton *baton);

/* Waits. Not for workers. */
void baton_take(Baton *baton);
/* False when somebody else holds it. */
bool baton_try(Baton *baton);
void baton_release(Baton *baton);
