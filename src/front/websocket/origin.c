#include "front/websocket/origin.h"

static bool split_port(Slice authority, Slice *out_host, uint64_t *out_port) {
    size_t colon = authority.len;
    while (colon > 0 && authority.ptr[colon - 1] != ':' && authority.ptr[colon - 1] != ']')
        colon--;
    *out_host = authority;
    if (colon == 0 || authority.ptr[colon - 1] == ']')
        return true;
    *out_host = slice_first(authority, colon - 1);
    return slice_parse_u64(slice_from_at(authority, colon), out_port) == OK && *out_port <= 65535;
}

Status origin_parse(Slice url, Origin *out) {
    size_t at = slice_find_slice(url, LIT("://"));
    if (at == 0 || at >= url.len)
        return ERR_SYNTAX;
    out->scheme = slice_first(url, at);
    Slice rest = slice_from_at(url, at + 3);
    uint64_t port = slice_equal_ignoring_case(out->scheme, LIT("https")) ? 443 : 80;
    if (!split_port(slice_first(rest, slice_find(rest, '/')), &out->host, &port) ||
        out->host.len == 0)
        return ERR_SYNTAX;
    out->port = (unsigned)port;
    return OK;
}

static bool is_same(const Origin *origin, Slice host_header) {
    Slice host;
    uint64_t port = 80; /* without TLS */
    return split_port(host_header, &host, &port) && slice_equal_ignoring_case(origin->host, host) &&
           origin->port == port;
}

bool origin_is_allowed(Slice text, Slice same_host, const Slice *allowed, size_t count) {
    Origin origin, other;
    if (same_host.len == 0 && count == 0)
        return true;
    if (text.len == 0) /* no browser */
        return true;
    if (origin_parse(text, &origin) != OK)
        return false;
    if (same_host.len && !is_same(&origin, same_host))
        return false;
    for (size_t i = 0; i < count; i++)
        if (origin_parse(allowed[i], &other) == OK && origin.port == other.port &&
            slice_equal_ignoring_case(origin.scheme, other.scheme) &&
            slice_equal_ignoring_case(origin.host, other.host))
            return true;
    return count == 0;
}
