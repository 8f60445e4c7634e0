/* Origin: which web pages may connect. Source: reference/config-monitoring.md, websocket. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/slice.h"
#include "base/status.h"

/* Of "https://host:port/..."; borrowed. port is the scheme's when there is none. */
typedef struct Origin {
    Slice scheme, host;
    unsigned port;
} Origin;

/* ERR_SYNTAX: no URL with scheme and host. */
MUST_CHECK Status origin_parse(Slice url, Origin *out);

/* The value of an Origin header, against the Host header of the request (same_host; empty = not
 * asked for) and a list (none = all). */
bool origin_is_allowed(Slice origin, Slice same_host, const Slice *allowed, size_t count);
