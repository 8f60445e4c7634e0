/* A request arrives at the port on worker 0, is mailed to the main worker as a ServiceCall, which
 * makes the page there and goes back with the answer. */
#include "server/services.h"

#include <string.h>

#include "base/mem.h"
#include "io/clock.h"
#include "proto/json.h"
#include "proto/timefmt.h"

typedef enum AnswerKind {
    ANSWER_DATA,    /* {"server":{...},"data":PAGE} */
    ANSWER_ACTION,  /* the same; only services have the page */
    ANSWER_STATSZ,  /* the page is named "statsz" */
    ANSWER_ID,      /* name, host and id: no page */
    ANSWER_HEALTH,  /* with the status code */
    ANSWER_ACCOUNT, /* the detail of one account */
} AnswerKind;

typedef struct Endpoint {
    Slice name, path;
    AnswerKind answer;
    bool is_of_server, is_of_account;
} Endpoint;

static const Endpoint endpoints[] = {
    {LIT("STATSZ"), LIT("/statsz"), ANSWER_STATSZ, true, false},
    {LIT("IDZ"), {0}, ANSWER_ID, true, false},
    {LIT("VARZ"), LIT("/varz"), ANSWER_DATA, true, false},
    {LIT("CONNZ"), LIT("/connz"), ANSWER_DATA, true, true},
    {LIT("SUBSZ"), LIT("/subsz"), ANSWER_DATA, true, true},
    {LIT("JSZ"), LIT("/jsz"), ANSWER_DATA, true, false},
    {LIT("HEALTHZ"), LIT("/healthz"), ANSWER_HEALTH, true, false},
    {LIT("ACCOUNTZ"), LIT("/accountz"), ANSWER_DATA, true, false},
    {LIT("ROUTEZ"), LIT("/routez"), ANSWER_DATA, true, false},
    {LIT("GATEWAYZ"), LIT("/gatewayz"), ANSWER_DATA, true, false},
    {LIT("LEAFZ"), LIT("/leafz"), ANSWER_DATA, true, true},
    {LIT("SCRUBZ"), LIT("/scrubz"), ANSWER_DATA, true, false},
    {LIT("SCRUB"), LIT("/scrub"), ANSWER_ACTION, true, false},
    {LIT("STATZ"), LIT("/accstatz"), ANSWER_DATA, false, true},
    {LIT("INFO"), LIT("/accountz"), ANSWER_ACCOUNT, false, true},
};
enum { ENDPOINT_COUNT = sizeof endpoints / sizeof endpoints[0] };

struct Services {
    Port port; /* on worker 0 */
    Worker *main;
    Pages *pages; /* of the server */
    Pages *own;   /* those that only services have */
    const VarzFacts *facts;
    Account *account; /* the system's, on worker 0 */
    uint64_t sequence;
};

typedef struct ServiceCall {
    Mail mail; /* first */
    Page page;
    Services *services;
    const Endpoint *endpoint;
    Buf account, reply, body, query, answer; /* account: empty = all */
} ServiceCall;

static void on_request(Port *port, Sub *sub, const Message *message);
static const PortOps port_ops = {.kind = PORT_API, .deliver = on_request};

static void call_free(ServiceCall *call) {
    buf_done(&call->account);
    buf_done(&call->reply);
    buf_done(&call->body);
    buf_done(&call->query);
    buf_done(&call->answer);
    buf_done(&call->page.body);
    mem_free(call);
}

/* What a request may say, and the parameters of pages that it stands for. */
typedef struct ServiceBody {
    bool auth, subscriptions, subscriptions_detail, streams, config, direct_consumer, details,
        include_unused, js_enabled, js_enabled_only;
    int64_t offset, limit, state;
    uint64_t cid;
    Slice sort, user, acc, account, filter_subject, test, stream;
    Slice accounts, consumer; /* true, or something else with other endpoints */
} ServiceBody;

#define BOOL_FIELD(field, name) JSON_ROW(ServiceBody, field, name, JSON_BOOL)
#define TEXT_FIELD(field)       JSON_ROW(ServiceBody, field, #field, JSON_STRING)
static const JsonField body_fields[] = {
    BOOL_FIELD(auth, "auth"),
    BOOL_FIELD(subscriptions, "subscriptions"),
    BOOL_FIELD(subscriptions_detail, "subscriptions_detail"),
    BOOL_FIELD(streams, "streams"),
    BOOL_FIELD(config, "config"),
    BOOL_FIELD(direct_consumer, "direct_consumer"),
    BOOL_FIELD(details, "details"),
    BOOL_FIELD(include_unused, "include_unused"),
    BOOL_FIELD(js_enabled, "js-enabled"),
    BOOL_FIELD(js_enabled_only, "js-enabled-only"),
    JSON_ROW(ServiceBody, offset, "offset", JSON_INT, .go_type = "int"),
    JSON_ROW(ServiceBody, limit, "limit", JSON_INT, .go_type = "int"),
    JSON_ROW(ServiceBody, state, "state", JSON_INT, .go_type = "int"),
    JSON_ROW(ServiceBody, cid, "cid", JSON_UINT),
    TEXT_FIELD(sort),
    TEXT_FIELD(user),
    TEXT_FIELD(acc),
    TEXT_FIELD(account),
    TEXT_FIELD(filter_subject),
    TEXT_FIELD(test),
    TEXT_FIELD(stream),
    JSON_ROW(ServiceBody, accounts, "accounts", JSON_RAW),
    JSON_ROW(ServiceBody, consumer, "consumer", JSON_RAW),
};
static const JsonSchema body_schema = JSON_SCHEMA("EventOptions", body_fields);

static void put_text(Buf *query, const char *name, Slice value) {
    static const char digits[] = "0123456789ABCDEF";
    if (value.len == 0)
        return;
    buf_printf(query, "&%s=", name);
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];
        if ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') {
            buf_append_char(query, (char)c);
        } else {
            buf_append_char(query, '%');
            buf_append_char(query, digits[c >> 4]);
            buf_append_char(query, digits[c & 15]);
        }
    }
}

static void put_bool(Buf *query, const char *name, bool value) {
    if (value)
        buf_printf(query, "&%s=1", name);
}

static void put_int(Buf *query, const char *name, int64_t value) {
    if (value)
        buf_printf(query, "&%s=%lld", name, (long long)value);
}

static void write_query(Buf *query, const ServiceBody *body) {
    static const char *const states[] = {"open", "closed", "all"};
    if (body->subscriptions_detail)
        put_text(query, "subs", LIT("detail"));
    put_bool(query, "subs", body->subscriptions);
    put_bool(query, "auth", body->auth);
    put_bool(query, "streams", body->streams);
    put_bool(query, "config", body->config);
    put_bool(query, "details", body->details);
    put_bool(query, "direct-consumers", body->direct_consumer);
    put_bool(query, "js-enabled", body->js_enabled);
    put_bool(query, "js-enabled-only", body->js_enabled_only);
    put_bool(query, "unused", body->include_unused);
    put_bool(query, "accounts", slice_equal(body->accounts, LIT("true")));
    put_bool(query, "consumers", slice_equal(body->consumer, LIT("true")));
    if (body->consumer.len > 2 && body->consumer.ptr[0] == '"')
        put_text(query, "consumer", slice_from(body->consumer.ptr + 1, body->consumer.len - 2));
    put_int(query, "offset", body->offset);
    put_int(query, "limit", body->limit);
    put_int(query, "cid", (int64_t)body->cid);
    if (body->state > 0 && body->state <= 2)
        put_text(query, "state", slice_of_text(states[body->state]));
    put_text(query, "sort", body->sort);
    put_text(query, "user", body->user);
    put_text(query, "acc", body->acc.len ? body->acc : body->account);
    put_text(query, "account", body->account);
    put_text(query, "filter_subject", body->filter_subject);
    put_text(query, "test", body->test);
    put_text(query, "stream", body->stream);
}

static void write_server(Buf *out, Services *services) {
    const VarzFacts *facts = services->facts;
    buf_append_lit(out, "{\"server\":{\"name\":");
    json_write_string(out, facts->monitor->server_name);
    buf_append_lit(out, ",\"host\":");
    json_write_string(out, facts->clients->host);
    buf_append_lit(out, ",\"id\":");
    json_write_string(out, facts->monitor->server_id);
    buf_append_lit(out, ",\"ver\":");
    json_write_string(out, facts->clients->version);
    buf_printf(out, ",\"jetstream\":%s,\"flags\":%d,\"seq\":%llu,\"time\":\"",
               facts->monitor->jetstream ? "true" : "false", facts->monitor->jetstream ? 7 : 0,
               (unsigned long long)++services->sequence);
    time_write(out, clock_wall_ns());
    buf_append_lit(out, "\"}");
}

static void write_id(Buf *out, const VarzFacts *facts) {
    buf_append_lit(out, "{\"name\":");
    json_write_string(out, facts->monitor->server_name);
    buf_append_lit(out, ",\"host\":");
    json_write_string(out, facts->clients->host);
    buf_append_lit(out, ",\"id\":");
    json_write_string(out, facts->monitor->server_id);
    buf_append_char(out, '}');
}

static void write_error(Buf *out, unsigned code, Slice text) {
    buf_printf(out, ",\"error\":{\"code\":%u,\"description\":", code);
    json_write_string(out, text);
    buf_append_lit(out, "}}");
}

/* The value of "account_detail" in the page of accounts. */
static Slice account_detail(Slice page) {
    size_t at = 0;
    Slice key, value;
    while (json_next_member(page, &at, &key, &value))
        if (slice_equal(key, LIT("account_detail")))
            return value;
    return LIT("null");
}

static void answer_arrives(Worker *here, Mail *mail) {
    ServiceCall *call = CONTAINER_OF(mail, ServiceCall, mail);
    Message message = {.subject = buf_slice(&call->reply), .payload = buf_slice(&call->answer)};
    (void)here;
    (void)bus_publish(call->services->account, message.subject, &message, NULL, BUS_NO_MAPPINGS);
    call_free(call);
}

static void send_answer(ServiceCall *call) {
    Worker *main = call->services->main;
    call->mail.arrive = answer_arrives;
    worker_post(main, main->all[0], &call->mail);
}

static void on_page(Page *page) {
    ServiceCall *call = CONTAINER_OF(page, ServiceCall, page);
    Slice body = buf_slice(&page->body);
    Buf *out = &call->answer;

    write_server(out, call->services);
    if (page->is_failed) {
        write_error(out, page->status, body);
    } else if (call->endpoint->answer == ANSWER_HEALTH && body.len > 1) {
        size_t comma = slice_find_slice(body, LIT(",\"status_code\""));
        size_t state = slice_find(body, ',') < body.len ? slice_find(body, ',') : body.len - 1;
        buf_append_lit(out, ",\"data\":");
        buf_append(out, slice_first(body, state));
        if (comma == body.len)
            buf_printf(out, ",\"status_code\":%u", page->status);
        buf_append(out, slice_from_at(body, state));
        buf_append_char(out, '}');
    } else {
        bool is_statsz = call->endpoint->answer == ANSWER_STATSZ;
        buf_append(out, is_statsz ? LIT(",\"statsz\":") : LIT(",\"data\":"));
        buf_append(out, call->endpoint->answer == ANSWER_ACCOUNT ? account_detail(body) : body);
        buf_append_char(out, '}');
    }
    send_answer(call);
}

static void request_arrives(Worker *main, Mail *mail) {
    ServiceCall *call = CONTAINER_OF(mail, ServiceCall, mail);
    Services *services = call->services;
    ServiceBody body = {0};
    Buf why = {0};

    call->page = (Page){.home = main, .is_compact = true, .done = on_page};
    if (call->endpoint->answer == ANSWER_ID) {
        write_id(&call->answer, services->facts);
        send_answer(call);
        return;
    }
    Slice text = buf_slice(&call->body);
    Status status = json_is_empty_object(text)
                        ? OK
                        : json_read(text, &body_schema, JSON_LOOSE, main->turn, &body, &why);
    if (status != OK) {
        write_server(&call->answer, services);
        write_error(&call->answer, 400, buf_slice(&why));
        send_answer(call);
    } else {
        put_text(&call->query, "acc", buf_slice(&call->account));
        write_query(&call->query, &body);
        call->page.query = slice_from_at(buf_slice(&call->query), 1);
        bool is_own =
            call->endpoint->answer == ANSWER_STATSZ || call->endpoint->answer == ANSWER_ACTION;
        Pages *pages = is_own ? services->own : services->pages;
        bool is_served = pages_serve(pages, call->endpoint->path, &call->page);
        ASSERT(is_served);
    }
    buf_done(&why);
}

/* The account in "$SYS.REQ.ACCOUNT.<account>.<endpoint>"; empty for PING, which is all. */
static Slice account_of(Slice subject) {
    static const Slice before = LIT("$SYS.REQ.ACCOUNT.");
    if (!slice_starts_with(subject, before))
        return (Slice){0};
    Slice rest = slice_from_at(subject, before.len);
    Slice name = slice_first(rest, slice_find(rest, '.'));
    return slice_equal(name, LIT("PING")) ? (Slice){0} : name;
}

static void on_request(Port *port, Sub *sub, const Message *message) {
    Services *services = CONTAINER_OF(port, Services, port);
    if (message->reply.len == 0)
        return;
    ServiceCall *call = mem_zalloc(sizeof *call);
    call->mail.arrive = request_arrives;
    call->services = services;
    call->endpoint = &endpoints[sub->cookie];
    buf_append(&call->account, account_of(message->subject));
    buf_append(&call->reply, message->reply);
    buf_append(&call->body, message->payload);
    worker_post(port->home, services->main, &call->mail);
}

static void subscribe(Services *services, uint32_t endpoint, const char *format, Slice middle) {
    Buf subject = {0};
    buf_printf(&subject, format, SLICE_ARG(middle), SLICE_ARG(endpoints[endpoint].name));
    Sub *sub = sub_add(services->account, &services->port, buf_slice(&subject), (Slice){0},
                       (Slice){0}, false);
    sub->cookie = (uint16_t)endpoint;
    buf_done(&subject);
}

Services *services_new(Worker *main, Pages *pages, const VarzFacts *facts) {
    Services *services = mem_zalloc(sizeof *services);
    Worker *first = main->all[0];

    services->port = (Port){.ops = &port_ops, .home = first};
    services->main = main;
    services->pages = pages;
    services->own = pages_new();
    services->facts = facts;
    services->account = bus_account_by_name(first->bus, facts->monitor->system_account);
    statsz_add_page(services->own, facts);
    monitor_add_actions(services->own, facts->monitor);
    if (services->account == NULL)
        return services;
    for (uint32_t i = 0; i < ENDPOINT_COUNT; i++) {
        if (endpoints[i].is_of_server) {
            subscribe(services, i, "$SYS.REQ.SERVER.%.*s.%.*s", LIT("PING"));
            subscribe(services, i, "$SYS.REQ.SERVER.%.*s.%.*s", facts->monitor->server_id);
        }
        if (endpoints[i].is_of_account)
            subscribe(services, i, "$SYS.REQ.ACCOUNT.%.*s.%.*s", LIT("*"));
    }
    Sub *ping = sub_add(services->account, &services->port, LIT("$SYS.REQ.SERVER.PING"), (Slice){0},
                        (Slice){0}, false);
    ping->cookie = 0; /* STATSZ */
    return services;
}

void services_free(Services *services) {
    if (services == NULL)
        return;
    pages_free(services->own);
    mem_free(services);
}
