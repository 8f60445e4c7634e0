/* Reads: what a publish may show of a stream when it is refused (HW-Want-Current,
 * docs/EXTENSIONS.md). Who published is not known any more where the stream is, so it is decided
 * where the message comes in. */
#pragma once

#include "auth/permissions.h"
#include "base/arena.h"

/* headers, or, when they ask for a message that the user may not get from every stream, a copy in
 * arena that asks for its number only. One search where the header is not there. */
Slice reads_withhold(const Permissions *permissions, Slice headers, Arena *arena);
