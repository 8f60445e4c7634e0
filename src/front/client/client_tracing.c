/* Messages with Nats-Trace-Dest: an event says where they went. */
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

static void finish(Trace *trace) {
    ClientTrace *own = CONTAINER_OF(trace, ClientTrace, trace);
    Buf out = {0};
    write_server(&out, own->clients);
    buf_append(&out, buf_slice(&own->request));
    buf_append_lit(&out, ",\"events\":[");
    buf_append(&out, slice_from_at(buf_slice(&trace->events), 1));
    buf_append_lit(&out, "]}");
    Message message = {.subject = own->dest, .payload = buf_slice(&out)};
    bus_publish(own->account, own->dest, &message, NULL, BUS_NO_MAPPINGS);
    buf_done(&out);
    buf_done(&own->request);
    buf_done(&trace->events);
    mem_free(own);
}

static bool is_yes(Slice value) {
    return slice_equal_ignoring_case(value, LIT("true")) || slice_equal(value, LIT("1")) ||
           slice_equal_ignoring_case(value, LIT("on"));
}

Slice client_trace_dest(Slice headers) {
    Slice dest;
    if (!header_get(headers, dest_name, &dest) || !subject_is_valid(dest) ||
        !subject_is_literal(dest))
        return (Slice){0};
    return dest;
}

Trace *client_trace_message(Client *client, const NatsOp *op, Slice dest) {
    Slice only = {0};
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
    buf_append_char(out, '}');
    return &own->trace;
}
