/* Messages with Nats-Trace-Dest, or with a sampled traceparent in accounts that want to hear of
 * those: an event says where they went. */
#include <stdlib.h>

#include "base/mem.h"
#include "bus/trace.h"
#include "front/client/client_private.h"
#include "proto/headers.h"
#include "proto/json.h"
#include "proto/subject.h"
#include "proto/timefmt.h"

static const Slice dest_name = LIT("Nats-Trace-Dest");

typedef struct ClientTrace {
    Trace trace; /* first */
    Clients *clients;
    Account *account;
    Slice dest; /* of text */
    Buf request;
    char text[];
} ClientTrace;

typedef struct Line {
    Slice name, value;
    size_t at;
} Line;

static int by_name(const void *a, const void *b) {
    const Line *x = a, *y = b;
    int order = slice_compare(x->name, y->name);
    return order ? order : (x->at > y->at) - (x->at < y->at);
}

static void write_headers(Buf *out, Slice block) {
    VEC(Line) lines = {0};
    Slice name, value;
    for (size_t at = 0; header_next(block, &at, &name, &value);)
        if (value.len)
            vec_push(&lines, ((Line){name, value, at}));
    if (lines.len)
        qsort(lines.at, lines.len, sizeof lines.at[0], by_name);
    buf_append_lit(out, "\"header\":{");
    for (size_t i = 0; i < lines.len; i++) {
        bool is_more = i && slice_equal(lines.at[i].name, lines.at[i - 1].name);
        if (is_more) {
            buf_append_char(out, ',');
        } else {
            buf_append(out, i ? LIT("],") : (Slice){0});
            json_write_string(out, lines.at[i].name);
            buf_append_lit(out, ":[");
        }
        json_write_string(out, lines.at[i].value);
    }
    buf_append(out, lines.len ? LIT("]},") : LIT("},"));
    vec_done(&lines);
}

void client_describe(Port *port, Buf *out) {
    const Client *client = CONTAINER_OF(port, Client, port);
    Slice name = client_name(client);
    buf_printf(out, ",\"kind\":0,\"cid\":%llu", (unsigned long long)client->cid);
    if (name.len) {
        buf_append_lit(out, ",\"name\":");
        json_write_string(out, name);
    }
}

static void write_server(Buf *out, Clients *clients) {
    const ClientOptions *options = clients->options;
    buf_append_lit(out, "{\"server\":{\"name\":");
    json_write_string(out, options->server_name);
    buf_append_lit(out, ",\"host\":");
    json_write_string(out, options->host);
    buf_append_lit(out, ",\"id\":");
    json_write_string(out, options->server_id);
    buf_append_lit(out, ",\"ver\":");
    json_write_string(out, options->version);
    buf_printf(out, ",\"jetstream\":%s,\"flags\":%d,\"seq\":%llu,\"time\":\"",
               options->jetstream ? "true" : "false", options->jetstream ? 7 : 0,
               (unsigned long long)++clients->traces);
    time_write(out, clock_wall_ns());
    buf_append_lit(out, "\"}");
}

static void tell(ClientTrace *own) {
    Buf out = {0};
    write_server(&out, own->clients);
    buf_append(&out, buf_slice(&own->request));
    buf_append_lit(&out, ",\"events\":[");
    buf_append(&out, slice_from_at(buf_slice(&own->trace.events), 1));
    buf_append_lit(&out, "]}");
    Message message = {.subject = own->dest, .payload = buf_slice(&out)};
    bus_publish(own->account, own->dest, &message, NULL, BUS_NO_MAPPINGS);
    buf_done(&out);
}

static void finish(Trace *trace) {
    ClientTrace *own = CONTAINER_OF(trace, ClientTrace, trace);
    if (!trace->is_silent)
        tell(own);
    buf_done(&own->request);
    buf_done(&trace->events);
    mem_free(own);
}

static bool is_yes(Slice value) {
    return slice_equal_ignoring_case(value, LIT("true")) || slice_equal(value, LIT("1")) ||
           slice_equal_ignoring_case(value, LIT("on"));
}

/* "<version>-<trace>-<parent>-<flags>", of which the last bit says that it is sampled. Only the
 * form is looked at, as the original does: flags are a signed byte in two characters. */
static bool is_sampled(Slice value) {
    Slice field;
    int64_t flags = 0;
    unsigned fields = 0;
    while (slice_cut(&value, '-', &field))
        fields++;
    if (fields != 4 || field.len != 2)
        return false;
    for (size_t i = 0; i < 2; i++) {
        char c = field.ptr[i];
        if (i == 0 && c == '+')
            continue;
        if (c >= '0' && c <= '9')
            flags = flags * 16 + (c - '0');
        else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
            flags = flags * 16 + ((c | 0x20) - 'a' + 10);
        else
            return false;
    }
    return flags <= INT8_MAX && (flags & 1);
}

static bool has_sampled_parent(Slice headers) {
    Slice name, value;
    for (size_t at = 0; header_next(headers, &at, &name, &value);)
        if (name.len == 11 && slice_equal_ignoring_case(name, LIT("traceparent")) &&
            is_sampled(value))
            return true;
    return false;
}

TraceWish client_trace_wish(Client *client, Slice headers) {
    TraceWish wish = {0};
    Slice dest, origin;
    Slice account_dest = account_trace_dest(client->account);
    if (header_get(headers, dest_name, &dest)) {
        if (!subject_is_valid(dest) || !subject_is_literal(dest))
            return wish;
    } else if (account_dest.len && has_sampled_parent(headers)) {
        dest = account_dest;
        wish.is_external = true;
        wish.is_off =
            rand_below(&client->clients->home->rand, 100) >= account_trace_percent(client->account);
    } else {
        return wish;
    }
    /* Only between servers: a client that says where the message is from is not believed. */
    wish.is_off = wish.is_off || header_get(headers, LIT("Nats-Trace-Origin-Account"), &origin);
    if (!wish.is_off)
        wish.dest = dest;
    return wish;
}

static bool is_dest(Slice name, void *cookie) {
    (void)cookie;
    return slice_equal(name, dest_name);
}

Slice client_trace_off(const Client *client, Slice headers) {
    Buf text = {0};
    header_copy_open(&text, headers, is_dest, NULL);
    header_append(&text, dest_name, LIT("trace disabled"));
    header_end(&text);
    Slice copy = arena_copy(client->clients->home->turn, buf_slice(&text));
    buf_done(&text);
    return copy;
}

Trace *client_trace_message(Client *client, const NatsOp *op, const TraceWish *wish, Slice error) {
    Slice only = {0}, dest = wish->dest;
    if (!wish->is_external)
        (void)header_get(op->header, LIT("Nats-Trace-Only"), &only);
    ClientTrace *own = mem_zalloc(sizeof *own + dest.len);
    trace_init(&own->trace, client->clients->home, is_yes(only), finish);
    own->clients = client->clients;
    own->account = client->account;
    memcpy(own->text, dest.ptr, dest.len);
    own->dest = slice_from(own->text, dest.len);
    buf_append_lit(&own->request, ",\"request\":{");
    write_headers(&own->request, op->header);
    buf_printf(&own->request, "\"msgsize\":%zu}", op->header.len + op->payload.len);
    Buf *out = trace_event(&own->trace, "in");
    client_describe(&client->port, out);
    buf_append_lit(out, ",\"acc\":");
    json_write_string(out, account_name(client->account));
    buf_append_lit(out, ",\"subj\":");
    json_write_string(out, op->subject);
    if (error.len) {
        buf_append_lit(out, ",\"error\":");
        json_write_string(out, error);
    }
    buf_append_char(out, '}');
    return &own->trace;
}
