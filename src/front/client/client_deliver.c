#include "base/log.h"
#include "front/client/client_private.h"

static void deliver(Port *port, Sub *sub, const Message *message);
static bool is_congested(Port *port);

const PortOps CLIENT_PORT_OPS = {
    .kind = PORT_CLIENT,
    .deliver = deliver,
    .is_congested = is_congested,
    .describe = client_describe,
    .identify = client_identify,
    .presence = client_presence,
    .is_restricted = client_is_restricted,
    .may_publish = client_may_publish,
};

static Client *client_of(Port *port) {
    return CONTAINER_OF(port, Client, port);
}

static bool is_congested(Port *port) {
    return conn_is_congested(&client_of(port)->conn);
}

static inline char *put(char *to, Slice text) {
    memcpy(to, text.ptr, text.len);
    return to + text.len;
}

/* The same for what is short mostly: no call, two moves that overlap. */
static inline char *put_short(char *to, Slice text) {
    const char *from = text.ptr;
    size_t n = text.len;
    if (n > 16)
        return put(to, text);
    if (n >= 8) {
        uint64_t first, last;
        memcpy(&first, from, 8);
        memcpy(&last, from + n - 8, 8);
        memcpy(to, &first, 8);
        memcpy(to + n - 8, &last, 8);
    } else if (n >= 4) {
        uint32_t first, last;
        memcpy(&first, from, 4);
        memcpy(&last, from + n - 4, 4);
        memcpy(to, &first, 4);
        memcpy(to + n - 4, &last, 4);
    } else if (n) {
        char middle = from[n / 2], last = from[n - 1];
        to[0] = from[0];
        to[n / 2] = middle;
        to[n - 1] = last;
    }
    return to + n;
}

static inline char *put_u64(char *to, uint64_t value) {
    if (value >= 1000)
        return to + u64_to_decimal(value, to);
    unsigned small = (unsigned)value;
    if (small >= 100)
        *to++ = (char)('0' + small / 100);
    if (small >= 10)
        *to++ = (char)('0' + small / 10 % 10);
    *to++ = (char)('0' + small % 10);
    return to;
}

/* "MSG subject sid [reply] size" or "HMSG subject sid [reply] header-size size", without its line
 * end. Room for both numbers and the rest: LINE_EXTRA bytes beyond the texts. */
enum { LINE_EXTRA = 5 + 1 + 1 + 1 + 20 + 1 + 20 + 2 };

static inline char *put_line(char *to, Slice subject, Slice sid, Slice reply, size_t header_len,
                             size_t size) {
    if (header_len) {
        memcpy(to, "HMSG ", 5);
        to += 5;
    } else {
        memcpy(to, "MSG ", 4);
        to += 4;
    }
    to = put_short(to, subject);
    *to++ = ' ';
    to = put_short(to, sid);
    *to++ = ' ';
    if (reply.len) {
        to = put_short(to, reply);
        *to++ = ' ';
    }
    if (header_len) {
        to = put_u64(to, header_len);
        *to++ = ' ';
    }
    return put_u64(to, size);
}

static void trace(const Client *client, Slice line, Slice headers, Slice payload) {
    client_trace_out(client, line);
    client_trace_payload(client, "->>", headers, payload);
}

static void after_delivery(Client *client, Sub *sub, const Message *message) {
    if (client->responses && message->reply.len)
        responses_permit(client->responses, message->reply, client->clients->home->now_ns);
    if (client->conn.is_congested && !client->is_congested_counted) {
        client->is_congested_counted = true;
        client->clients->congested++;
    }
    if (sub->max && sub->delivered >= sub->max)
        client_remove_sub(client, sub);
}

static void deliver(Port *port, Sub *sub, const Message *message) {
    Client *client = client_of(port);
    Clients *clients = client->clients;
    Slice headers = client->has_headers ? message->headers : (Slice){NULL, 0};
    const size_t size = headers.len + message->payload.len;

    if (__builtin_expect(!client_is_open(client), 0))
        return;
    if (__builtin_expect(sub->cookie & SUB_IS_FILTERED, 0) && client->user->permissions &&
        !permissions_may_receive(client->user->permissions, message->subject))
        return;

    Message room;
    const Message *held = message->payload.len >= CLIENT_SHARED_PAYLOAD_BYTES
                              ? message_with_hold(message, &room)
                              : NULL;
    const bool is_shared = held != NULL;
    Slice sid = sub_sid(sub);
    char *start = conn_reserve(&client->conn, message->subject.len + sid.len + message->reply.len +
                                                  LINE_EXTRA + headers.len + 2 +
                                                  (is_shared ? 0 : message->payload.len));
    char *to = put_line(start, message->subject, sid, message->reply, headers.len, size);
    if (__builtin_expect(log_wants(LOG_TRACE_LEVEL), 0))
        trace(client, slice_from(start, (size_t)(to - start)), headers, message->payload);
    *to++ = '\r';
    *to++ = '\n';
    if (headers.len)
        to = put(to, headers);
    if (is_shared) {
        conn_commit(&client->conn, (size_t)(to - start));
        conn_append_shared(&client->conn, held->hold, held->payload);
        conn_append(&client->conn, LIT("\r\n"));
    } else {
        if (message->payload.len)
            to = put(to, message->payload);
        *to++ = '\r';
        *to++ = '\n';
        conn_commit(&client->conn, (size_t)(to - start));
    }
    client->out_msgs++;
    client->out_bytes += size;
    client->last_ns = clients->home->now_ns;
    clients->stats.out_msgs++;
    clients->stats.out_bytes += size;
    after_delivery(client, sub, message);
}

void client_send_no_responders(Client *client, Slice subject, Slice reply) {
    Sub *sub = bus_find_sub(client->account, &client->port, reply);
    if (!sub)
        return;
    const Slice begin = LIT("NATS/1.0 503\r\nNats-Subject: ");
    const size_t header_len = begin.len + subject.len + 4;
    Slice sid = sub_sid(sub);
    char *start = conn_reserve(&client->conn, reply.len + sid.len + LINE_EXTRA + header_len + 4);
    char *to = put_line(start, reply, sid, (Slice){NULL, 0}, header_len, header_len);
    if (log_wants(LOG_TRACE_LEVEL))
        client_trace_out(client, slice_from(start, (size_t)(to - start)));
    to = put(to, LIT("\r\n"));
    to = put(to, begin);
    to = put(to, subject);
    to = put(to, LIT("\r\n\r\n\r\n"));
    conn_commit(&client->conn, (size_t)(to - start));
}
