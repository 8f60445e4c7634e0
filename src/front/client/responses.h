/* Responses: reply subjects a client may answer once or a few times (allow_responses). Bounded:
 * when there are RESPONSES_MAX, the oldest permit goes. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum { RESPONSES_MAX = 16384 };

typedef struct Responses Responses;

/* max messages within expire_ns each; 0 = no limit. */
Responses *responses_new(uint64_t max, uint64_t expire_ns);
/* NULL-safe. */
void responses_free(Responses *responses);

/* A message with that reply was delivered. A repeated one starts anew. */
void responses_permit(Responses *responses, Slice reply, uint64_t now_ns);

/* Whether a message to that subject is permitted; counts it. */
bool responses_use(Responses *responses, Slice subject, uint64_t now_ns);
