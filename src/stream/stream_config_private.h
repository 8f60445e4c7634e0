/* What the files that check a config share. Private to stream_config*.c and source_config*.c. */
#pragma once

#include "stream/stream_config.h"

typedef struct Check {
    StreamConfig *config;
    const ConfigLimits *limits;
    bool is_pedantic;
    Arena *arena; /* for texts */
} Check;

/* The row of the code with its placeholder replaced. */
ApiError config_refuse(const Check *check, unsigned code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define INVALID(...)  config_refuse(check, JSStreamInvalidConfigF, __VA_ARGS__)
#define PEDANTIC(...) config_refuse(check, JSPedanticErrF, __VA_ARGS__)

/* Parts of the check, in the order in which they run. */
ApiError check_mirror(Check *check);
ApiError check_sources(Check *check);
/* Prefixes of other accounts and domains. */
ApiError check_externals(Check *check);
/* A stream that gets its own messages back, over any chain of streams of this account. */
ApiError check_cycle(Check *check);
/* Filters of origins; on create only, as in the original. */
ApiError check_filters(Check *check);
