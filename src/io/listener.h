/* Listener: a listening TCP socket on a worker (the main one). */
#pragma once

#include <stdint.h>

#include "base/status.h"
#include "io/worker.h"

typedef struct Listener Listener;

/* on_accept takes fd. port -1 or 0 = any free one. text of the OS error in errno when ERR_IO. */
MUST_CHECK Status listener_open(Worker *worker, const char *host, int port, void (*on_accept)(Listener *, int fd),
                                void *cookie, Listener **out_listener);
void *listener_cookie(const Listener *listener);
uint16_t listener_port(const Listener *listener);
/* The address as bound: "127.0.0.1", "0.0.0.0", "::". */
const char *listener_host(const Listener *listener);
/* Out of descriptors: accepting pauses for a moment by itself, nothing to do for the caller. */
void listener_close(Listener *listener);
