#include "stream/api.h"

#include <string.h>

#include "base/mem.h"
#include "proto/subject.h"
#include "stream/api_private.h"
#include "stream/direct_queue.h"
#include "stream/mirror_direct.h"

/* Sub.cookie: which of the four prefixes. */
enum { ON_API, ON_ACK, ON_FLOW, ON_DOMAIN, PREFIX_COUNT };

static const Slice prefixes[] = {LIT("$JS.API."), LIT("$JS.ACK."), LIT("$JS.FC.")};

static void on_message(Port *port, Sub *sub, const Message *message);
static void on_api(ApiPort *port, const Message *message);
static void on_ack(ApiPort *port, const Message *message);
static void on_flow(ApiPort *port, const Message *message);
static void on_domain(ApiPort *port, const Message *message);
static ApiCall *new_call(ApiPort *port, const Message *message);

static const PortOps port_ops = {.kind = PORT_API, .deliver = on_message};

static Sub *subscribe(ApiPort *port, Slice prefix, uint16_t cookie) {
    Buf subject = {0};

    buf_append(&subject, prefix);
    buf_append_char(&subject, '>');
    Sub *sub =
        sub_add(port->account, &port->port, buf_slice(&subject), (Slice){0}, (Slice){0}, true);
    sub->cookie = cookie;
    buf_done(&subject);
    return sub;
}

static void open_port(Api *api, ApiPort *port, size_t index) {
    Worker *home = api->js->home;

    *port = (ApiPort){
        .port = {.ops = &port_ops, .home = home},
        .api = api,
        .account = bus_account(home->bus, index),
        .index = (uint32_t)index,
        .is_enabled = api->js->options->account_is_enabled[index],
    };
    account_hash_write(account_name(port->account), port->hash);
    port->subs[ON_API] = subscribe(port, prefixes[ON_API], ON_API);
    if (port->is_enabled) {
        port->subs[ON_ACK] = subscribe(port, prefixes[ON_ACK], ON_ACK);
        port->subs[ON_FLOW] = subscribe(port, prefixes[ON_FLOW], ON_FLOW);
        if (api->domain.len)
            port->subs[ON_DOMAIN] = subscribe(port, buf_slice(&api->domain), ON_DOMAIN);
    }
}

Api *api_new(JetStream *js) {
    Api *api = mem_zalloc(sizeof *api);

    api->js = js;
    api->direct = direct_queue_new(js->home);
    list_init(&api->waits);
    if (js->options->domain.len)
        buf_printf(&api->domain, "$JS.%.*s.API.", SLICE_ARG(js->options->domain));
    api->port_count = bus_account_count(js->home->bus);
    api->ports = mem_zalloc(api->port_count * sizeof *api->ports);
    for (size_t i = 0; i < api->port_count; i++)
        open_port(api, &api->ports[i], i);
    return api;
}

void api_free(Api *api) {
    if (!api)
        return;
    api->is_closing = true;
    direct_queue_free(api->direct);
    LIST_FOR_EACH(link, &api->waits) {
        ApiWait *wait = CONTAINER_OF(link, ApiWait, link);
        stream_cancel_wait(&wait->wait);
        list_remove(&wait->link);
        wait->gone(wait);
    }
    for (size_t i = 0; i < api->port_count; i++)
        for (size_t k = 0; k < PREFIX_COUNT; k++)
            if (api->ports[i].subs[k])
                sub_remove(api->ports[i].subs[k]);
    buf_done(&api->domain);
    buf_done(&api->headers);
    mem_free(api->ports);
    mem_free(api);
}

static void on_message(Port *base, Sub *sub, const Message *message) {
    ApiPort *port = CONTAINER_OF(base, ApiPort, port);

    ASSERT_HOME(base);
    switch (sub->cookie) {
    case ON_ACK:
        on_ack(port, message);
        break;
    case ON_FLOW:
        on_flow(port, message);
        break;
    case ON_API:
        on_api(port, message);
        break;
    default:
        on_domain(port, message);
        break;
    }
}

/* Messages that go straight to a stream or consumer: no ApiCall. From another worker than the home
 * they travel as a Forward. */

typedef struct Forward {
    Mail mail;
    bool is_far; /* another server sent it */
    uint32_t account, kind;
    uint32_t subject_len, reply_len, headers_len, payload_len;
    char bytes[];
} Forward;

/* Stands for a server that sent what was forwarded. */
static const PortOps far_ops = {.kind = PORT_LEAF};
static Port far_port = {.ops = &far_ops};

static void forward_arrived(Worker *here, Mail *mail) {
    Forward *forward = CONTAINER_OF(mail, Forward, mail);
    JetStream *js = here->jetstream;
    ApiPort *port = &js->api->ports[forward->account];
    const char *at = forward->bytes;
    Message message = {.subject = slice_from(at, forward->subject_len)};

    if (forward->is_far)
        message.from = &far_port;
    at += forward->subject_len;
    message.reply = slice_from(at, forward->reply_len);
    at += forward->reply_len;
    message.headers = slice_from(at, forward->headers_len);
    at += forward->headers_len;
    message.payload = slice_from(at, forward->payload_len);
    if (forward->kind == ON_ACK)
        on_ack(port, &message);
    else if (forward->kind == ON_FLOW)
        on_flow(port, &message);
    else
        on_api(port, &message);
    mem_free(forward);
}

static void forward_to(ApiPort *port, Worker *to, uint32_t kind, const Message *message) {
    size_t len =
        message->subject.len + message->reply.len + message->headers.len + message->payload.len;
    Forward *forward = mem_try_alloc(sizeof *forward + len);

    if (!forward)
        return;
    *forward = (Forward){
        .mail = {.arrive = forward_arrived},
        .is_far = message->from && message->from->ops->kind == PORT_LEAF,
        .account = port->index,
        .kind = kind,
        .subject_len = (uint32_t)message->subject.len,
        .reply_len = (uint32_t)message->reply.len,
        .headers_len = (uint32_t)message->headers.len,
        .payload_len = (uint32_t)message->payload.len,
    };
    const Slice parts[] = {message->subject, message->reply, message->headers, message->payload};
    char *at = forward->bytes;
    for (size_t i = 0; i < 4; i++) {
        if (parts[i].len)
            memcpy(at, parts[i].ptr, parts[i].len);
        at += parts[i].len;
    }
    worker_post(port->port.home, to, &forward->mail);
}

/* Nobody here takes that acknowledgement or answer to flow control: said unless others may take it,
 * on this server or the one it came from. */
static void send_unknown(ApiPort *port, const Message *message) {
    bool is_from_far = message->from && message->from->ops->kind == PORT_LEAF;
    if (message->reply.len && !is_from_far &&
        !bus_has_other_interest(port->account, message->subject, &port->port))
        api_send_no_responders(port, message);
}

/* The consumer when it lives here; else NULL, and the message was forwarded to its home or refused.
 */
static Consumer *find_consumer(ApiPort *port, Slice stream, Slice consumer, uint32_t kind,
                               const Message *message) {
    StreamRef *ref = jetstream_find(port->api->js, port->account, stream);

    if (ref && ref->home != port->port.home) {
        forward_to(port, ref->home, kind, message);
        return NULL;
    }
    Consumer *found =
        ref && ref->stream ? consumer_set_find(ref->stream->consumers, consumer) : NULL;
    if (!found)
        send_unknown(port, message);
    return found;
}

/* Cuts up to max tokens; more than max make max + 1. */
static size_t cut_tokens(Slice text, Slice *tokens, size_t max) {
    size_t count = 0;
    const char *start = text.ptr, *end = text.ptr + text.len;

    for (;;) {
        const char *dot = memchr(start, '.', (size_t)(end - start));
        if (count == max)
            return max + 1;
        tokens[count++] = slice_from(start, (size_t)((dot ? dot : end) - start));
        if (!dot)
            return count;
        start = dot + 1;
    }
}

enum {
    ACK_TOKENS = 7, /* stream, consumer, delivered, stream and consumer sequence, time, pending */
    ACK_TOKENS_LONG = 9, /* domain and account before these */
    ACK_TOKENS_MAX = 10, /* and one behind them that is not for us */
    FLOW_TOKENS = 3,     /* stream, consumer, token */
    FLOW_TOKENS_LONG = 5,
};

static bool is_ours(const ApiPort *port, Slice domain, Slice account) {
    Slice mine = port->api->js->options->domain;

    return slice_equal(domain, mine.len ? mine : LIT("_")) &&
           slice_equal(account, slice_from(port->hash, sizeof port->hash));
}

static void on_ack(ApiPort *port, const Message *message) {
    Slice tokens[ACK_TOKENS_MAX], *names = tokens;
    size_t count =
        cut_tokens(slice_from_at(message->subject, prefixes[ON_ACK].len), tokens, ACK_TOKENS_MAX);

    if (count == ACK_TOKENS_LONG || count == ACK_TOKENS_MAX) {
        names += 2;
        count = is_ours(port, tokens[0], tokens[1]) ? ACK_TOKENS : 0;
    }
    if (count != ACK_TOKENS) {
        send_unknown(port, message);
        return;
    }
    Consumer *consumer = find_consumer(port, names[0], names[1], ON_ACK, message);
    if (!consumer)
        return;
    const char *end = names[ACK_TOKENS - 1].ptr + names[ACK_TOKENS - 1].len;
    Slice rest = slice_from(names[2].ptr, (size_t)(end - names[2].ptr));
    if (!consumer_takes_acks(consumer) || !consumer_on_ack(consumer, rest, message))
        send_unknown(port, message);
}

static void on_flow(ApiPort *port, const Message *message) {
    Slice tokens[FLOW_TOKENS_LONG], *names = tokens;
    size_t count = cut_tokens(slice_from_at(message->subject, prefixes[ON_FLOW].len), tokens,
                              FLOW_TOKENS_LONG);

    if (count == FLOW_TOKENS_LONG) {
        names += 2;
        count = is_ours(port, tokens[0], tokens[1]) ? FLOW_TOKENS : 0;
    }
    if (count != FLOW_TOKENS) {
        send_unknown(port, message);
        return;
    }
    Consumer *consumer = find_consumer(port, names[0], names[1], ON_FLOW, message);
    if (consumer && consumer_has_flow_control(consumer))
        consumer_on_flow_reply(consumer, names[2], message);
    else if (consumer)
        send_unknown(port, message);
}

/* A request that does not wait, for a consumer that has nothing while messages are on their way: a
 * client that did not wait for its acknowledgements finds what it sent. */
static bool is_early(const Consumer *consumer, const Message *message) {
    return consumer_awaits_entries(consumer) &&
           memmem(message->payload.ptr, message->payload.len, "no_wait", 7) != NULL;
}

static void pull_settled(ApiCall *call) {
    Stream *stream = api_call_stream(call);
    Consumer *consumer = stream ? consumer_set_find(stream->consumers, call->consumer) : NULL;
    Message message = {.subject = call->subject,
                       .reply = call->reply,
                       .headers = call->headers,
                       .payload = call->body};

    if (consumer)
        consumer_on_pull(consumer, &message);
    else
        api_send_no_responders(&call->js->api->ports[account_index(call->account)], &message);
    api_drop(call);
}

static const ApiEndpoint settled_pull = {.run = pull_settled};

static void pull_when_settled(ApiPort *port, const Message *message) {
    static const Slice verb = LIT("CONSUMER.MSG.NEXT.");
    ApiCall *call = new_call(port, message);

    if (!call)
        return;
    Slice names = slice_from_at(call->subject, prefixes[ON_API].len + verb.len);
    call->endpoint = &settled_pull;
    (void)(slice_cut(&names, '.', &call->stream) && slice_cut(&names, '.', &call->consumer));
    stream_run_settled(api_call_stream(call), call);
}

static void on_pull(ApiPort *port, Slice names, const Message *message) {
    Slice tokens[2];

    if (cut_tokens(names, tokens, 2) != 2) {
        api_send_no_responders(port, message);
        return;
    }
    Consumer *consumer = find_consumer(port, tokens[0], tokens[1], ON_API, message);
    if (!consumer)
        return;
    if (api_level_is_met(message->headers) && is_early(consumer, message))
        pull_when_settled(port, message);
    else if (api_level_is_met(message->headers))
        consumer_on_pull(consumer, message);
    else
        api_send_status(port->api, port->account, message->reply, LIT("412 Required Api Level"));
}

void api_direct(ApiPort *port, Slice names, const Message *message) {
    size_t dot = slice_find(names, '.');
    StreamRef *ref = jetstream_find(port->api->js, port->account, slice_first(names, dot));

    if (ref && ref->home != port->port.home) {
        forward_to(port, ref->home, ON_API, message);
        return;
    }
    Slice rest = slice_from_at(names, dot + 1);
    if (!ref || !ref->stream || !ref->stream->config->allow_direct) {
        if (!mirror_direct_pass(port->account, slice_first(names, dot), message))
            api_send_no_responders(port, message);
        return;
    }
    if (api_level_is_met(message->headers))
        api_direct_get(port->api, ref->stream, rest, message);
    else
        api_send_status(port->api, port->account, message->reply, LIT("412 Required Api Level"));
}

static void on_direct(ApiPort *port, Slice names, const Message *message) {
    DirectQueue *queue = port->api->direct;

    if (direct_queue_takes(message, names)) {
        direct_queue_add(queue, port, message, names);
        return;
    }
    direct_queue_run(queue); /* those before it */
    api_direct(port, names, message);
}

/* Endpoints with JSON. */

/* Who makes a snapshot or a restore is told in advisories of their own. */
static bool has_own_advisories(Slice subject) {
    return slice_starts_with(subject, LIT("$JS.API.STREAM.SNAPSHOT.")) ||
           slice_starts_with(subject, LIT("$JS.API.STREAM.RESTORE."));
}

/* Only where advisories are wanted, since it is longer than most requests. */
static Slice identity_of_sender(const ApiPort *port, const Message *message, Buf *out) {
    Port *from = message->from;

    if (from && from->ops->identify &&
        (has_own_advisories(message->subject) ||
         api_advisory_is_wanted(port->api->js, port->account, LIT("ADVISORY.API"))))
        from->ops->identify(from, out);
    return buf_slice(out);
}

/* Of who wants to bind a lease to the connection. */
static Slice presence_of_sender(const Message *message, Buf *out) {
    Port *from = message->from;

    if (from && from->ops->presence &&
        slice_starts_with(message->subject, LIT("$JS.API.HW.TOUCH.")) &&
        slice_find_slice(message->payload, LIT("\"connection\"")) < message->payload.len)
        from->ops->presence(from, out);
    return buf_slice(out);
}

static void set_call_bytes(ApiCall *call, const Message *message, Slice client, Slice presence) {
    struct {
        Slice from, *to;
    } parts[] = {
        {message->subject, &call->subject},
        {message->reply, &call->reply},
        {message->headers, &call->headers},
        {message->payload, &call->body},
        {client, &call->client},
        {presence, &call->presence},
    };
    char *at = call->bytes;

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i].from.len)
            memcpy(at, parts[i].from.ptr, parts[i].from.len);
        *parts[i].to = slice_from(at, parts[i].from.len);
        at += parts[i].from.len;
    }
}

static ApiCall *new_call(ApiPort *port, const Message *message) {
    Buf identity = {0}, subject = {0};
    Slice client = identity_of_sender(port, message, &identity);
    Slice presence = presence_of_sender(message, &subject);
    size_t len = message->subject.len + message->reply.len + message->headers.len +
                 message->payload.len + client.len + presence.len;
    ApiCall *call = port->api->calls < API_CALLS_MAX ? mem_try_alloc(sizeof *call + len) : NULL;

    if (call) {
        *call = (ApiCall){.home = port->port.home, .js = port->api->js, .account = port->account};
        set_call_bytes(call, message, client, presence);
        port->api->calls++;
    }
    buf_done(&identity);
    buf_done(&subject);
    return call;
}

/* What can be said without looking at anything: API_OK when nothing. */
static ApiError refuse_early(const ApiPort *port, const ApiCall *call) {
    const ApiEndpoint *endpoint = call->endpoint;
    bool looks_first = endpoint->flags & API_BODY_FIRST;

    if (endpoint->flags & API_BY_CONSUMER)
        return API_OK;
    if (endpoint->flags & API_CLUSTER)
        return api_error(JSClusterRequiredErr);
    if (!api_level_is_met(call->headers))
        return api_error(JSRequiredApiLevelErr);
    if (!port->is_enabled && !looks_first)
        return api_error(JSNotEnabledForAccountErr);
    if (endpoint->body == API_BODY_EMPTY && !json_is_empty_object(call->body))
        return api_error(JSNotEmptyRequestErr);
    if (endpoint->body == API_BODY_REQUIRED && json_is_empty_object(call->body))
        return api_error(JSBadRequestErr);
    return API_OK;
}

/* The system account has no JetStream of its own; there the original says so under a name that no
 * endpoint has, except to account info. */
static const ApiEndpoint in_system_account = {.type = LIT("system_response")};

static bool is_refused_in_system(const ApiPort *port, const ApiEndpoint *endpoint) {
    return port->index == 1 && !port->is_enabled &&
           (!endpoint || !(endpoint->flags & (API_SYSTEM | API_OF_ACCOUNT)));
}

static Worker *place_of_call(const ApiCall *call) {
    if (call->endpoint->place == API_CATALOGUE)
        return call->home->all[0];
    if (call->endpoint->place == API_STREAM) {
        StreamRef *ref = jetstream_find(call->js, call->account, call->stream);
        return ref ? ref->home : call->home->all[0]; /* it may be on its way */
    }
    return call->home;
}

/* Nobody answers: endpoints of the system account elsewhere, and those of them that need a cluster.
 */
static bool is_for_others(const ApiPort *port, const ApiEndpoint *endpoint) {
    return endpoint->flags & API_SYSTEM && (port->index != 1 || endpoint->flags & API_CLUSTER);
}

static void run_call(ApiPort *port, const Message *message) {
    ApiCall *call = new_call(port, message);

    if (!call)
        return;
    /* The names are slices of the call's own copy. */
    Slice tail = slice_from_at(call->subject, prefixes[ON_API].len);
    call->endpoint = api_find_endpoint(tail, &call->stream, &call->consumer, &call->rest);
    if (is_refused_in_system(port, call->endpoint)) {
        call->endpoint = &in_system_account;
        api_reply_error(call, api_error(JSNotEnabledForAccountErr));
        return;
    }
    if (!call->endpoint || is_for_others(port, call->endpoint)) {
        api_drop(call);
        return;
    }
    ApiError error = refuse_early(port, call);
    if (api_failed(error)) {
        api_reply_error(call, error);
        return;
    }
    if (call->endpoint->flags & API_WRITES && !api_is_permitted(call, message->from))
        return;
    Worker *place = place_of_call(call);
    if (place == call->home)
        api_run(call);
    else
        api_move(call, place);
}

static void on_api(ApiPort *port, const Message *message) {
    static const Slice direct = LIT("DIRECT.GET."), pull = LIT("CONSUMER.MSG.NEXT."),
                       bare = LIT("DIRECT.GET");
    Slice tail = slice_from_at(message->subject, prefixes[ON_API].len);
    bool is_direct = slice_starts_with(tail, direct), is_pull = slice_starts_with(tail, pull);

    if ((!is_direct && !is_pull && !slice_starts_with(tail, bare)) ||
        is_refused_in_system(port, NULL)) {
        run_call(port, message);
        return;
    }
    if (!port->is_enabled || (!is_direct && !is_pull))
        api_send_no_responders(port, message);
    else if (is_direct)
        on_direct(port, slice_from_at(tail, direct.len), message);
    else
        on_pull(port, slice_from_at(tail, pull.len), message);
}

/* $JS.<domain>.API.<tail> stands for $JS.API.<tail>, or for <tail> itself when that is a bucket's
 * subject. */

typedef struct Republish {
    Mail mail;
    uint32_t account;
    Slice subject, reply, headers, payload;
    char bytes[];
} Republish;

static void republish_arrived(Worker *here, Mail *mail) {
    Republish *again = CONTAINER_OF(mail, Republish, mail);
    Account *account = bus_account(here->bus, again->account);
    Message message = {.subject = again->subject,
                       .reply = again->reply,
                       .headers = again->headers,
                       .payload = again->payload};

    if (bus_publish(account, again->subject, &message, NULL, BUS_NO_MAPPINGS) == 0)
        api_send_no_responders(&((JetStream *)here->jetstream)->api->ports[again->account],
                               &message);
    mem_free(again);
}

/* In a later turn, since the bus is in the middle of a delivery. */
static void republish(ApiPort *port, Slice subject, const Message *message) {
    const Slice parts[] = {subject, message->reply, message->headers, message->payload};
    size_t len = 0;

    for (size_t i = 0; i < 4; i++)
        len += parts[i].len;
    Republish *again = mem_try_alloc(sizeof *again + len);
    if (!again)
        return;
    *again = (Republish){.mail = {.arrive = republish_arrived}, .account = port->index};
    Slice *const to[] = {&again->subject, &again->reply, &again->headers, &again->payload};
    char *at = again->bytes;
    for (size_t i = 0; i < 4; i++) {
        if (parts[i].len)
            memcpy(at, parts[i].ptr, parts[i].len);
        *to[i] = slice_from(at, parts[i].len);
        at += parts[i].len;
    }
    worker_post(port->port.home, port->port.home, &again->mail);
}

static void on_domain(ApiPort *port, const Message *message) {
    static const Slice mapped[] = {LIT("STREAM."), LIT("CONSUMER."), LIT("DIRECT."), LIT("META."),
                                   LIT("SERVER."), LIT("ACCOUNT."),  LIT("HW.")};
    Slice tail = slice_from_at(message->subject, port->api->domain.len);

    if (slice_starts_with(tail, LIT("$KV.")) || slice_starts_with(tail, LIT("$OBJ."))) {
        republish(port, tail, message);
        return;
    }
    bool is_mapped = slice_equal(tail, LIT("INFO"));
    for (size_t i = 0; i < sizeof mapped / sizeof mapped[0]; i++)
        is_mapped = is_mapped || slice_starts_with(tail, mapped[i]);
    if (!is_mapped) {
        api_send_no_responders(port, message);
        return;
    }
    Message plain = *message;
    char *subject = arena_alloc(port->port.home->turn, prefixes[ON_API].len + tail.len);
    memcpy(subject, prefixes[ON_API].ptr, prefixes[ON_API].len);
    memcpy(subject + prefixes[ON_API].len, tail.ptr, tail.len);
    plain.subject = slice_from(subject, prefixes[ON_API].len + tail.len);
    on_api(port, &plain);
}
