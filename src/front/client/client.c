#include "front/client/client_private.h"

#include <stdarg.h>

#include "base/log.h"
#include "base/mem.h"

static size_t on_data(Conn *conn, char *data, size_t len);
static void on_drained(Conn *conn);
static void on_closed(Conn *conn, ConnEnd end);

static const ConnOps CONN_OPS = {on_data, on_drained, on_closed};

static Client *client_of(Conn *conn) {
    return CONTAINER_OF(conn, Client, conn);
}

static void remember_peer(Client *client) {
    char ip[46];
    uint16_t port = 0;
    Slice text = LIT("0.0.0.0");
    if (conn_peer(&client->conn, ip, &port) == OK)
        text = slice_of_text(ip);
    client->texts = mem_copy(text.ptr, text.len);
    client->ip_len = (uint16_t)text.len;
    client->peer_port = port;
}

void client_open(Clients *clients, int fd, ConnCodec *codec, uint64_t cid, bool is_over_limit) {
    Client *client = mem_zalloc(sizeof *client);
    Worker *home = clients->home;

    if (conn_open(&client->conn, home, fd, &CONN_OPS) != OK) {
        mem_free(client);
        if (codec)
            conn_codec_free(codec);
        closed_client_send_gone(clients);
        return;
    }
    if (codec)
        conn_set_codec(&client->conn, codec);
    client->port = (Port){.ops = &CLIENT_PORT_OPS, .home = home};
    client->clients = clients;
    client->cid = cid;
    client->start_ns = client->last_ns = home->now_ns;
    client->is_verbose = client->is_pedantic = true;
    client->payload_max = clients->options->max_payload;
    client->subs_max = UINT32_MAX;
    link_init(&client->stall_link);
    remember_peer(client);
    client_apply_limits(client);
    map64_put(&clients->by_cid, cid, client);
    clients->stats.open++;
    CLIENT_LOG(client, LOG_DEBUG_LEVEL, "Client connection created");
    client_send_info(client, INFO_FIRST);
    if (is_over_limit) {
        CLIENT_LOG(client, LOG_ERROR, "maximum connections exceeded");
        client_close(client, CLOSE_MAX_CONNECTIONS, "maximum connections exceeded");
        return;
    }
    if (!auth_is_required(clients->credentials))
        client_bind(client, auth_anonymous(clients->credentials));
    client_start_timer(client);
}

/* False when nothing more is to be read now. */
static bool act(Client *client, const NatsOp *op) {
    switch (op->verb) {
    case NATS_PUB:
    case NATS_HPUB:
        client_publish(client, op);
        break;
    case NATS_PING:
        client_on_ping(client);
        break;
    case NATS_PONG:
        client_on_pong(client);
        break;
    case NATS_SUB:
        client_subscribe(client, op);
        break;
    case NATS_UNSUB:
        client_unsubscribe(client, op);
        break;
    case NATS_CONNECT:
        client_connect(client, op->args);
        break;
    case NATS_INFO:
    case NATS_OK:
        break;
    case NATS_ERR:
        CLIENT_LOG(client, LOG_ERROR, "Client Error %.*s", SLICE_ARG(op->args));
        client_close(client, CLOSE_PARSE_ERROR, NULL);
        break;
    }
    return client_is_open(client) && !client->conn.is_reading_paused;
}

static void refuse_bytes(Client *client, NatsParse parse, Slice bytes) {
    const Slice shown = slice_first(bytes, 32);
    switch (parse) {
    case NATS_PARSE_LINE_TOO_LONG:
        CLIENT_LOG(client, LOG_ERROR, "maximum control line exceeded");
        client_close(client, CLOSE_MAX_CONTROL_LINE, "maximum control line exceeded");
        break;
    case NATS_PARSE_PAYLOAD_TOO_BIG:
        CLIENT_LOG(client, LOG_ERROR, "maximum payload exceeded: %llu",
                   (unsigned long long)client->payload_max);
        client_close(client, CLOSE_MAX_PAYLOAD, "Maximum Payload Violation");
        break;
    case NATS_PARSE_UNKNOWN_VERB:
        CLIENT_LOG(client, LOG_ERROR, "client parser ERROR, proto='%.*s...'", SLICE_ARG(shown));
        client_close(client, CLOSE_PROTOCOL_VIOLATION, "Unknown Protocol Operation");
        break;
    default:
        CLIENT_LOG(client, LOG_ERROR, "client argument ERROR, proto='%.*s...'", SLICE_ARG(shown));
        client_close(client, CLOSE_PROTOCOL_VIOLATION, NULL);
        break;
    }
}

/* Before authentication nothing but CONNECT counts, except for clients that need none. */
static bool may_begin_with(Client *client, char first) {
    if (first == 'C' || first == 'c')
        return true;
    return client_connect_anonymously(client);
}

static size_t on_data(Conn *conn, char *data, size_t len) {
    Client *client = client_of(conn);
    NatsParser parser = {client->searched, client->clients->options->max_control_line,
                         client->payload_max};
    const bool is_traced = log_wants(LOG_TRACE_LEVEL);
    size_t at = 0;

    client->last_ns = conn->home->now_ns;
    if (!client_is_open(client) || client->is_waiting)
        return 0;
    while (at < len) {
        NatsOp op;
        size_t used;
        if (__builtin_expect(!client->user, 0) && !may_begin_with(client, data[at]))
            return len;
        NatsParse parse = nats_parse(&parser, data + at, len - at, &op, &used);
        if (__builtin_expect(parse == NATS_PARSE_OP, 1)) {
            at += used;
            if (__builtin_expect(is_traced, 0))
                client_trace_in(client, &op);
            if (!act(client, &op))
                break;
            parser.payload_max = client->payload_max; /* CONNECT may have changed it */
            continue;
        }
        if (parse != NATS_PARSE_MORE) {
            refuse_bytes(client, parse, slice_from(data + at, len - at));
            return len;
        }
        if (used > len - at)
            conn_want(conn, used);
        break;
    }
    client->searched = parser.searched;
    return client_is_open(client) ? at : len;
}

static void on_drained(Conn *conn) {
    Client *client = client_of(conn);
    if (client->is_congested_counted) {
        client->is_congested_counted = false;
        client->clients->congested--;
    }
    bus_port_drained(&client->port);
    client_resume_stalled(client->clients);
}

/* The end as far as others can see: no subscription, not counted, no more input. */
static void end(Client *client, CloseReason reason) {
    Clients *clients = client->clients;

    client->closed = closed_client_new(client, reason);
    client->reason = (uint8_t)reason;
    CLIENT_LOG(client, LOG_DEBUG_LEVEL, "Client connection closed: %s", close_reason_text(reason));
    timer_cancel(client->clients->home, &client->timer);
    list_remove(&client->stall_link);
    client_remove_subs(client);
    client_end_presence(client);
    clients->stats.open--;
    if (client->is_congested_counted) {
        client->is_congested_counted = false;
        clients->congested--;
        bus_port_drained(&client->port);
    }
    ClientInfo info;
    client_info(client, &info);
    info.reason = close_reason_text(reason);
    if (client->is_announced && clients->events.on_disconnect)
        clients->events.on_disconnect(clients->events.cookie, clients->home, &info);
    else if (reason == CLOSE_AUTH_FAILURE && clients->events.on_auth_error)
        clients->events.on_auth_error(clients->events.cookie, clients->home, &info);
    if (client->user) {
        ClientsStats *account = &clients->by_account[account_index(client->account)];
        account->in_msgs += client->in_msgs;
        account->in_bytes += client->in_bytes;
        account->out_msgs += client->out_msgs;
        account->out_bytes += client->out_bytes;
        client_unbind(client);
    }
}

void client_close(Client *client, CloseReason reason, const char *error) {
    if (!client_is_open(client))
        return;
    if (error)
        client_send_error(client, "%s", error);
    end(client, reason);
    if (reason == CLOSE_MAX_PAYLOAD)
        conn_reset_after_flush(&client->conn); /* all of the payload may be still to come */
    else
        conn_close_after_flush(&client->conn);
}

void client_discard(Client *client) {
    timer_cancel(client->clients->home, &client->timer);
    conn_done(&client->conn);
    sub_table_done(&client->subs); /* the bus frees what is left in it */
    responses_free(client->responses);
    closed_client_free(client->closed);
    mem_free(client->texts);
    mem_free(client);
}

static CloseReason reason_of(ConnEnd end) {
    switch (end) {
    case CONN_END_READ_ERROR:
        return CLOSE_READ_ERROR;
    case CONN_END_WRITE_ERROR:
        return CLOSE_WRITE_ERROR;
    case CONN_END_PENDING_BYTES:
        return CLOSE_PENDING_BYTES;
    case CONN_END_WRITE_DEADLINE:
        return CLOSE_WRITE_DEADLINE;
    case CONN_END_PEER:
    case CONN_END_OURS:
        break;
    }
    return CLOSE_CLIENT;
}

static void count_slow_consumer(Client *client, CloseReason reason) {
    Clients *clients = client->clients;
    if (reason != CLOSE_PENDING_BYTES && reason != CLOSE_WRITE_DEADLINE)
        return;
    clients->stats.slow_consumers++;
    if (client->account)
        clients->by_account[account_index(client->account)].slow_consumers++;
    if (reason == CLOSE_PENDING_BYTES)
        CLIENT_LOG(client, LOG_INFO_LEVEL, "Slow Consumer Detected: MaxPending of %zu Exceeded",
                   clients->options->max_pending);
    else
        CLIENT_LOG(client, LOG_INFO_LEVEL,
                   "Slow Consumer Detected: WriteDeadline of %llums exceeded with %zu total bytes",
                   (unsigned long long)(clients->options->write_deadline_ns / NS_PER_MS),
                   client->conn.pending_bytes);
}

static void on_closed(Conn *conn, ConnEnd conn_end) {
    Client *client = client_of(conn);
    Clients *clients = client->clients;

    if (client_is_open(client)) {
        CloseReason reason = reason_of(conn_end);
        count_slow_consumer(client, reason);
        end(client, reason);
    }
    closed_client_send(clients, client->closed);
    map64_remove(&clients->by_cid, client->cid);
    mem_free(client->texts);
    mem_free(client);
}

void client_send_error(Client *client, const char *format, ...) {
    Buf line = {0};
    va_list args;

    buf_append_lit(&line, "-ERR '");
    va_start(args, format);
    buf_vprintf(&line, format, args);
    va_end(args);
    if (log_wants(LOG_TRACE_LEVEL)) {
        Buf traced = {0};
        buf_append_lit(&traced, "-ERR ");
        buf_append(&traced, slice_from_at(buf_slice(&line), 6));
        client_trace_out(client, buf_slice(&traced));
        buf_done(&traced);
    }
    buf_append_lit(&line, "'\r\n");
    conn_append(&client->conn, buf_slice(&line));
    buf_done(&line);
}

void client_send_ok(Client *client) {
    if (log_wants(LOG_TRACE_LEVEL))
        client_trace_out(client, LIT("OK"));
    conn_append(&client->conn, LIT("+OK\r\n"));
}
