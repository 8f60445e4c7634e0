/* Dial: connections that we make. A name is looked up first, which blocks; connecting does not. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { DIAL_ADDRESSES_MAX = 16 };

/* An address with its port. */
typedef struct DialAddress {
    uint32_t len;
    _Alignas(8) char bytes[28];
} DialAddress;

/* Blocks: for offload threads. host may be an address. At most DIAL_ADDRESSES_MAX of what there is.
 * ERR_NOT_FOUND: no such host; text of getaddrinfo in out_reason (may be NULL). */
MUST_CHECK Status dial_resolve(const char *host, uint16_t port, DialAddress *out_addresses,
                               size_t *out_count, const char **out_reason);

/* Starts to connect. The socket is non-blocking, without delay, closed on exec: conn_open takes it
 * at once. Whether it came about shows when it can be read or written. ERR_IO: errno. */
MUST_CHECK Status dial_start(const DialAddress *address, int *out_fd);

/* "127.0.0.1". out has 46 bytes. */
void dial_address_text(const DialAddress *address, char *out);

/* Of a socket that was dialled: 0, or why it did not connect. */
int dial_error(int fd);
