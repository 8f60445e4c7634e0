#include "auth/reads.h"
#include "base/log.h"
#include "bus/trace.h"
#include "front/client/client_private.h"
#include "proto/subject.h"

static bool is_permitted(Client *client, const NatsOp *op, const TraceWish *wish);
static void stall_if_congested(Client *client, Slice subject);

static bool is_user_info(Slice subject) {
    const Slice name = LIT("$SYS.REQ.USER.INFO");
    return subject.len == name.len && memcmp(subject.ptr, name.ptr, name.len) == 0;
}

void client_publish(Client *client, const NatsOp *op) {
    Clients *clients = client->clients;
    const size_t size = op->header.len + op->payload.len;

    if (__builtin_expect(op->verb == NATS_HPUB && !client->has_headers, 0)) {
        CLIENT_LOG(client, LOG_ERROR, "message headers not supported");
        client_close(client, CLOSE_PROTOCOL_VIOLATION, NULL);
        return;
    }
    client->in_msgs++;
    client->in_bytes += size;
    clients->stats.in_msgs++;
    clients->stats.in_bytes += size;
    if (client->is_pedantic && !subject_is_literal(op->subject))
        client_send_error(client, "Invalid Publish Subject");
    TraceWish wish = op->header.len ? client_trace_wish(client, op->header) : (TraceWish){0};
    if (!is_permitted(client, op, &wish))
        return;
    if (client->is_verbose)
        client_send_ok(client);
    Message message = {
        .subject = op->subject,
        .reply = op->reply,
        .headers = op->header,
        .payload = op->payload,
        .from = &client->port,
    };
    /* Large ones are copied once for all receivers that queue them; a stream does not. */
    MessageCopy copy = {0};
    if (size >= CLIENT_SHARED_PAYLOAD_BYTES)
        message.copy = &copy;
    if (__builtin_expect(wish.dest.len != 0, 0))
        message.trace = client_trace_message(client, op, &wish, (Slice){0});
    else if (__builtin_expect(wish.is_off, 0))
        message.headers = client_trace_off(client, op->header);
    if (__builtin_expect(op->header.len && client->user->permissions, 0))
        message.headers =
            reads_withhold(client->user->permissions, message.headers, clients->home->turn);
    size_t receivers = bus_publish(client->account, op->subject, &message, &client->port, 0);
    if (__builtin_expect(message.trace != NULL, 0))
        trace_release(message.trace);
    shared_unref(copy.hold);
    if (__builtin_expect(is_user_info(op->subject), 0) && op->reply.len &&
        !is_user_info(op->reply)) {
        client_answer_user_info(client, op->reply);
        return;
    }
    if (receivers == 0) {
        if (client->wants_no_responders && op->reply.len)
            client_send_no_responders(client, op->subject, op->reply);
        return;
    }
    stall_if_congested(client, op->subject);
}

/* Replies of other servers' gateways and of service imports: nobody may ask for answers there. */
static bool is_reserved_reply(Slice reply) {
    if (reply.len < 4 || (reply.ptr[0] != '_' && reply.ptr[0] != '$'))
        return false;
    return slice_starts_with(reply, LIT("_R_.")) ||
           (reply.len > 22 && slice_starts_with(reply, LIT("_GR_."))) ||
           (reply.len > 12 && slice_starts_with(reply, LIT("$GR.")));
}

static bool may_publish(Client *client, Slice subject) {
    Permissions *permissions = client->user->permissions;
    return !permissions || permissions_may_publish(permissions, subject) ||
           (client->responses &&
            responses_use(client->responses, subject, client->clients->home->now_ns));
}

bool client_is_restricted(Port *port) {
    return CONTAINER_OF(port, Client, port)->user->permissions != NULL;
}

bool client_may_publish(Port *port, Slice subject, bool is_told) {
    Client *client = CONTAINER_OF(port, Client, port);
    Permissions *permissions = client->user->permissions;
    if (!permissions || permissions_may_publish(permissions, subject))
        return true;
    if (is_told) {
        CLIENT_LOG(client, LOG_ERROR, "Publish Violation - Subject \"%.*s\"", SLICE_ARG(subject));
        client_send_error(client, "Permissions Violation for Publish to \"%.*s\"",
                          SLICE_ARG(subject));
    }
    return false;
}

/* To the client, and to who traces it. with: "" or " with Reply of". */
static void refuse(Client *client, const NatsOp *op, const TraceWish *wish, const char *with,
                   Slice subject) {
    Buf text = {0};
    CLIENT_LOG(client, LOG_ERROR, "Publish Violation - %s \"%.*s\"", *with ? "Reply" : "Subject",
               SLICE_ARG(subject));
    buf_printf(&text, "Permissions Violation for Publish%s \"%.*s\"", *with ? with : " to",
               SLICE_ARG(subject));
    client_send_error(client, "%.*s", SLICE_ARG(buf_slice(&text)));
    if (wish->dest.len)
        trace_release(client_trace_message(client, op, wish, buf_slice(&text)));
    buf_done(&text);
}

/* What is said of a traced message is a message of the client's as well. */
static bool is_permitted(Client *client, const NatsOp *op, const TraceWish *wish) {
    if (__builtin_expect(wish->dest.len != 0, 0) && !may_publish(client, wish->dest))
        refuse(client, op, &(TraceWish){0}, "", wish->dest);
    else if (!may_publish(client, op->subject))
        refuse(client, op, wish, "", op->subject);
    else if (__builtin_expect(is_reserved_reply(op->reply), 0))
        refuse(client, op, wish, " with Reply of", op->reply);
    else
        return true;
    return false;
}

/* Who publishes faster than a receiver takes waits a moment: bounded, so that one bad receiver
 * cannot stop others. */
static void stall_if_congested(Client *client, Slice subject) {
    Clients *clients = client->clients;

    if (clients->congested == 0) {
        if (++client->unchecked_publishes < CLIENT_PUBLISHES_PER_STALL_CHECK)
            return;
        client->unchecked_publishes = 0;
    }
    if (clients->options->no_fast_producer_stall || link_is_listed(&client->stall_link) ||
        !bus_is_congested(client->account, subject))
        return;
    conn_pause_reading(&client->conn);
    client->stalled_until_ns = clients->home->now_ns + (uint64_t)CLIENT_STALL_MS * NS_PER_MS;
    client->stalls++;
    clients->stats.stalled_clients++;
    list_push_back(&clients->stalled, &client->stall_link);
    if (!timer_is_set(&clients->stall_timer))
        timer_set(clients->home, &clients->stall_timer, client->stalled_until_ns);
}

void client_go_on(Client *client) {
    list_remove(&client->stall_link);
    if (client_is_open(client) && !client->is_waiting)
        conn_resume_reading(&client->conn);
}

void client_resume_stalled(Clients *clients) {
    Link *link;
    List waiting;

    if (list_is_empty(&clients->stalled))
        return;
    /* Going on may stall again: only those of now. */
    list_init(&waiting);
    while ((link = list_pop_front(&clients->stalled)))
        list_push_back(&waiting, link);
    while ((link = list_pop_front(&waiting)))
        client_go_on(CONTAINER_OF(link, Client, stall_link));
}

void client_on_stall_timer(Timer *timer) {
    Clients *clients = CONTAINER_OF(timer, Clients, stall_timer);
    uint64_t now_ns = clients->home->now_ns;

    while (!list_is_empty(&clients->stalled)) {
        Client *client = CONTAINER_OF(clients->stalled.next, Client, stall_link);
        if (client->stalled_until_ns > now_ns) {
            timer_set(clients->home, &clients->stall_timer, client->stalled_until_ns);
            return;
        }
        client_go_on(client);
    }
}
