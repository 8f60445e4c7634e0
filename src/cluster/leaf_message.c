/* Messages, both ways. */
#include "auth/reads.h"
#include "cluster/leaf_private.h"
#include "proto/json.h"
#include "proto/subject.h"

static void forward(Port *port, const Forwarding *forwarding);
static bool wants(Port *port, Slice to, const Port *from);
static bool is_congested(Port *port);
static bool is_restricted(Port *port);
static bool may_publish(Port *port, Slice subject, bool is_told);
static void describe(Port *port, Buf *out);
static void identify(Port *port, Buf *out);

const PortOps LEAF_PORT_OPS = {.kind = PORT_LEAF,
                               .is_congested = is_congested,
                               .describe = describe,
                               .identify = identify,
                               .is_restricted = is_restricted,
                               .may_publish = may_publish,
                               .forward = forward,
                               .wants = wants};

static LeafConn *leaf_of(Port *port) {
    return CONTAINER_OF(port, LeafConn, port);
}

static bool is_congested(Port *port) {
    return conn_is_congested(&leaf_of(port)->conn);
}

static void describe(Port *port, Buf *out) {
    const LeafConn *leaf = leaf_of(port);
    buf_printf(out, ",\"kind\":3,\"cid\":%llu,\"name\":", (unsigned long long)leaf->id);
    json_write_string(out, leaf->name);
}

static void identify(Port *port, Buf *out) {
    const LeafConn *leaf = leaf_of(port);
    buf_append_lit(out, "{\"host\":");
    json_write_string(out, slice_of_text(leaf->ip));
    buf_printf(out, ",\"id\":%llu,\"acc\":", (unsigned long long)leaf->id);
    json_write_string(out, account_name(leaf->account->account));
    buf_append_lit(out, ",\"name\":");
    json_write_string(out, leaf->name);
    buf_append_lit(out, ",\"kind\":\"Leafnode\"}");
}

/* What came from a leafnode does not go to another one of the same cluster, which has it. */
static bool wants(Port *port, Slice to, const Port *from) {
    LeafConn *leaf = leaf_of(port);
    if (leaf->phase != LEAF_OPENED)
        return false;
    if (from && from->ops->kind == PORT_LEAF) {
        const LeafConn *origin = leaf_of((Port *)(uintptr_t)from);
        if (origin == leaf ||
            (origin->cluster.len > 0 && slice_equal(origin->cluster, leaf->cluster)))
            return false;
    }
    return permissions_may_publish(leaf->rules.send, to);
}

/* A consumer's message is matched by one subject and shown under another: that one travels behind
 * the reply, which names the consumer. */
static Slice shown_subject(const Forwarding *forwarding) {
    const Message *message = forwarding->message;
    bool is_other = !slice_equal(forwarding->to, message->subject);
    return is_other && message->reply.len ? message->subject : (Slice){NULL, 0};
}

static void forward(Port *port, const Forwarding *forwarding) {
    LeafConn *leaf = leaf_of(port);
    const Message *message = forwarding->message;
    Slice headers = leaf->has_headers ? message->headers : (Slice){NULL, 0};
    const size_t size = headers.len + message->payload.len;
    if (leaf->phase != LEAF_OPENED)
        return;

    Message room;
    const Message *held = message->payload.len >= LEAF_SHARED_PAYLOAD_BYTES
                              ? message_with_hold(message, &room)
                              : NULL;
    const LeafMessageLine line = {
        .subject = forwarding->to,
        .reply = message->reply,
        .reply_suffix = shown_subject(forwarding),
        .queues = forwarding->queues,
        .queue_count = forwarding->queue_count,
        .header_len = headers.len,
        .size = size,
    };
    char *start = conn_reserve(&leaf->conn, leaf_message_room(&line) + headers.len + 2 +
                                                (held ? 0 : message->payload.len));
    char *to = leaf_write_message(start, &line);
    if (__builtin_expect(log_wants(LOG_TRACE_LEVEL), 0))
        leaf_log(leaf, LOG_TRACE_LEVEL, "->> [%.*s]", (int)(to - start - 2), start);
    if (headers.len)
        to = mempcpy(to, headers.ptr, headers.len);
    if (held) {
        conn_commit(&leaf->conn, (size_t)(to - start));
        conn_append_shared(&leaf->conn, held->hold, held->payload);
        conn_append(&leaf->conn, LIT("\r\n"));
    } else {
        if (message->payload.len)
            to = mempcpy(to, message->payload.ptr, message->payload.len);
        *to++ = '\r';
        *to++ = '\n';
        conn_commit(&leaf->conn, (size_t)(to - start));
    }
    leaf->out_msgs++;
    leaf->out_bytes += size;
}

/* Incoming. */

static bool is_answer(Slice subject) {
    return slice_starts_with(subject, LIT("_R_.")) || slice_starts_with(subject, LIT("$JS.ACK."));
}

static bool is_accepted(const LeafConn *leaf, Slice subject) {
    if (is_answer(subject))
        return true;
    if (leaf->is_spoke)
        return permissions_may_subscribe(leaf->rules.send, subject, (Slice){0}) != SUB_DENIED;
    return leaf->rules.accept == NULL || permissions_may_publish(leaf->rules.accept, subject);
}

static bool is_restricted(Port *port) {
    const LeafConn *leaf = leaf_of(port);
    return leaf->is_spoke || leaf->rules.accept != NULL;
}

/* The other side knows its permissions: it is not told. */
static bool may_publish(Port *port, Slice subject, bool is_told) {
    return is_accepted(leaf_of(port), subject);
}

/* A spoke knows by itself what it must not send; a hub is told by nobody else. */
static void refuse(LeafConn *leaf, Slice subject) {
    if (leaf->is_spoke)
        return;
    leaf->reconnect_delay_ns = LEAF_LONG_DELAY_NS;
    leaf_send_error(leaf, "Permissions Violation for Publish to \"%.*s\"", SLICE_ARG(subject));
    LEAF_LOG(leaf, LOG_ERROR, "Publish Violation on \"%.*s\" - Check other side configuration",
             SLICE_ARG(subject));
    leaf_close(leaf, "Protocol Violation", NULL);
}

/* $JS.ACK.<stream>.<consumer>.<3 numbers>.<time>.<pending>@<subject>: the first "@" behind eight
 * dots; names may hold others. reply.len when there is none. */
static size_t find_shown_subject(Slice reply) {
    size_t dots = 0;
    if (reply.len < 8 || !slice_starts_with(reply, LIT("$JS.ACK.")))
        return reply.len;
    for (size_t i = 0; i < reply.len; i++) {
        dots += reply.ptr[i] == '.';
        if (reply.ptr[i] == '@' && dots >= 8)
            return i;
    }
    return reply.len;
}

void leaf_on_message(LeafConn *leaf, const LeafOp *op) {
    const size_t size = op->header.len + op->payload.len;
    VEC(Slice) queues = {0};
    Slice rest = op->queues, name;

    leaf->in_msgs++;
    leaf->in_bytes += size;
    if (!is_accepted(leaf, op->subject)) {
        refuse(leaf, op->subject);
        return;
    }
    while (leaf_cut_queue(&rest, &name))
        vec_push(&queues, name);
    MessageCopy copy = {0};
    Message message = {
        .subject = op->subject,
        .reply = op->reply,
        .headers = op->header,
        .payload = op->payload,
        .copy = size >= LEAF_SHARED_PAYLOAD_BYTES ? &copy : NULL,
        .from = &leaf->port,
    };
    if (op->header.len && leaf->rules.accept)
        message.headers = reads_withhold(leaf->rules.accept, op->header, leaf->port.home->turn);
    size_t at = find_shown_subject(op->reply);
    if (at + 1 < op->reply.len) {
        message.reply = slice_first(op->reply, at);
        message.subject = slice_from_at(op->reply, at + 1);
    }
    (void)bus_publish_directed(leaf->account->account, op->subject, &message, &leaf->port,
                               queues.at, queues.len);
    shared_unref(copy.hold);
    vec_done(&queues);
}
