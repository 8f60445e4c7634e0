/* Listener: a listening TCP socket on a worker (the main one). */
#pragma once

#include <stdint.h>

#include "base/status.h"
#include "io/worker.h"

typedef struct Listener Listener;

/* on_accept takes fd, which is non-blocking, close-on-exec and without delay. port -1 or 0 = any
 * free one. host is an address or a name; "", "0.0.0.0" and "::" mean all addresses, IPv6 included
 * where there is any. Names are looked up, blocking. A port in use is waited for, half a
 * second at most: who had it may be just about to end. ERR_NOT_FOUND: no such host. Text of the OS
 * error in errno when ERR_IO. */
MUST_CHECK Status listener_open(Worker *worker, const char *host, int port,
                                void (*on_accept)(Listener *, int fd), void *cookie,
                                Listener **out_listener);
void *listener_cookie(const Listener *listener);
uint16_t listener_port(const Listener *listener);
/* The address as bound: "127.0.0.1", "0.0.0.0", "::". */
const char *listener_host(const Listener *listener);
/* Out of descriptors: accepting pauses for a moment by itself, nothing to do for the caller.
 * NULL-safe. Not from inside on_accept. */
void listener_close(Listener *listener);
