#include "io/dial.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static_assert(sizeof(struct sockaddr_in6) <= sizeof((DialAddress){0}.bytes), "an address fits");

Status dial_resolve(const char *host, uint16_t port, DialAddress *out_addresses, size_t *out_count,
                    const char **out_reason) {
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
    char service[8];
    size_t count = 0;

    (void)snprintf(service, sizeof service, "%u", port);
    int failed = getaddrinfo(host, service, &hints, &found);
    if (failed != 0) {
        if (out_reason)
            *out_reason = gai_strerror(failed);
        return ERR_NOT_FOUND;
    }
    for (const struct addrinfo *one = found; one && count < DIAL_ADDRESSES_MAX;
         one = one->ai_next) {
        if (one->ai_addrlen > sizeof out_addresses->bytes)
            continue;
        out_addresses[count].len = (uint32_t)one->ai_addrlen;
        memcpy(out_addresses[count].bytes, one->ai_addr, one->ai_addrlen);
        count++;
    }
    freeaddrinfo(found);
    *out_count = count;
    if (count == 0 && out_reason)
        *out_reason = "no address";
    return count ? OK : ERR_NOT_FOUND;
}

static int family_of(const DialAddress *address) {
    struct sockaddr head;
    memcpy(&head, address->bytes, sizeof head);
    return head.sa_family;
}

Status dial_start(const DialAddress *address, int *out_fd) {
    struct sockaddr_storage to = {0};
    int on = 1, fd = socket(family_of(address), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return ERR_IO;
    memcpy(&to, address->bytes, address->len);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd, (struct sockaddr *)&to, address->len) != 0 && errno != EINPROGRESS) {
        int why = errno;
        (void)close(fd);
        errno = why;
        return ERR_IO;
    }
    *out_fd = fd;
    return OK;
}

void dial_address_text(const DialAddress *address, char *out) {
    struct sockaddr_storage from = {0};
    memcpy(&from, address->bytes, address->len);
    const void *bytes = from.ss_family == AF_INET6
                            ? (const void *)&((struct sockaddr_in6 *)(void *)&from)->sin6_addr
                            : (const void *)&((struct sockaddr_in *)(void *)&from)->sin_addr;
    if (!inet_ntop(from.ss_family, bytes, out, 46))
        out[0] = 0;
}

int dial_error(int fd) {
    int why = 0;
    socklen_t len = sizeof why;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &len) == 0 ? why : errno;
}
