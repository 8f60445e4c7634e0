/* Lingering: sockets whose connection is over, kept until the peer has read our last words. Private
 * to io/.
 *
 * Closing a socket with unread input resets the connection, and the peer may lose what it was sent
 * last, such as why it was closed. So after the last write our side is shut down, and what still
 * comes in is thrown away until the peer closes, or for a moment at most.
 *
 * With a reset our side is not shut down: once the peer has what it was sent and was silent for a
 * while, it gets the reset. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"

typedef struct Worker Worker;

typedef struct Lingering {
    List all;
    size_t count;
} Lingering;

/* Takes fd; closes it now or later. */
void linger_start(Worker *worker, int fd, bool with_reset);
/* Closes all. */
void lingering_done(Worker *worker);
