#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/nuid.h"
#include "io/clock.h"
#include "proto/headers.h"
#include "proto/timefmt.h"
#include "stream/api_private.h"
#include "stream/catalogue.h"

/* A call's way: made where the request came in, moved to where it runs, answered there, freed. */

static void free_call(ApiCall *call) {
    ASSERT_HOME(call);
    if (call->js->api) /* not while closing */
        call->js->api->calls--;
    mem_free(call);
}

Arena *api_arena(const ApiCall *call) {
    return call->home->turn;
}

void api_begin_as(ApiCall *call, Slice type, Buf *out) {
    (void)call;
    *out = (Buf){0};
    buf_append_lit(out, "{\"type\":\"io.nats.jetstream.api.v1.");
    buf_append(out, type);
    buf_append_char(out, '"');
}

void api_begin(ApiCall *call, Buf *out) {
    api_begin_as(call, call->endpoint->type, out);
}

static void send_and_free(ApiCall *call, Slice headers, Buf *out, bool is_error) {
    Api *api = call->js->api;

    if (api && !api->is_closing) {
        JetStreamUsage *usage = &call->js->usage[account_index(call->account)];
        buf_append_char(out, '}');
        usage->api_total++;
        usage->api_errors += is_error;
        unsigned flags = call->endpoint->flags;
        api_send(api, call->account, call->reply, headers, buf_slice(out));
        if (!(flags & (is_error ? API_UNAUDITED : API_QUIET)))
            api_audit(call, buf_slice(out));
    }
    buf_done(out);
    free_call(call);
}

void api_finish(ApiCall *call, Buf *out) {
    send_and_free(call, (Slice){0}, out, false);
}

void api_finish_with(ApiCall *call, Slice headers, Buf *out) {
    send_and_free(call, headers, out, false);
}

void api_reply_error(ApiCall *call, ApiError error) {
    Buf out;

    api_begin(call, &out);
    buf_printf(&out, ",\"error\":{\"code\":%u,\"err_code\":%u,\"description\":", error.http,
               error.code);
    json_write_string(&out, error.text);
    buf_append_char(&out, '}');
    buf_append(&out, call->endpoint->error_fields);
    send_and_free(call, (Slice){0}, &out, true);
}

void api_reply_success(ApiCall *call) {
    Buf out;

    api_begin(call, &out);
    buf_append(&out, call->endpoint->flags & API_INITIATED ? LIT(",\"initiated\":true")
                                                           : LIT(",\"success\":true"));
    api_finish(call, &out);
}

void api_drop(ApiCall *call) {
    free_call(call);
}

ApiCall *api_call_make(Api *api, Account *account, const ApiEndpoint *endpoint, Slice subject,
                       Slice stream, Slice reply, Slice body) {
    const Slice from[] = {subject, stream, reply, body};
    ApiCall *call = mem_zalloc(sizeof *call + subject.len + stream.len + reply.len + body.len);
    Slice *const to[] = {&call->subject, &call->stream, &call->reply, &call->body};
    char *at = call->bytes;

    call->home = api->js->home;
    call->js = api->js;
    call->account = account;
    call->endpoint = endpoint;
    for (size_t i = 0; i < 4; i++) {
        if (from[i].len)
            memcpy(at, from[i].ptr, from[i].len);
        *to[i] = slice_from(at, from[i].len);
        at += from[i].len;
    }
    api->calls++;
    return call;
}

void api_detach(ApiCall *call) {
    ASSERT_HOME(call);
    call->js->api->calls--;
}

void api_attach(ApiCall *call, Worker *here) {
    call->home = here;
    call->js = here->jetstream;
    call->account = bus_account(here->bus, account_index(call->account));
    call->js->api->calls++;
}

/* On the catalogue's home: calls for what is on its way, streams that have just come included.
 * True: call was taken. */
static bool is_for_catalogue(ApiCall *call) {
    Catalogue *catalogue = call->js->catalogue;
    uint8_t place = call->endpoint->place;

    if (!catalogue || (place != API_CATALOGUE && place != API_STREAM))
        return false;
    StreamRef *ref =
        place == API_STREAM ? jetstream_find(call->js, call->account, call->stream) : NULL;
    if (ref && ref->home != call->home) {
        api_move(call, ref->home);
        return true;
    }
    return !ref && catalogue_defer(catalogue, call);
}

void api_run(ApiCall *call) {
    if (is_for_catalogue(call))
        return;
    Stream *stream = call->endpoint->flags & API_SETTLED ? api_call_stream(call) : NULL;

    if (stream)
        stream_run_settled(stream, call);
    else
        call->endpoint->run(call);
}

static void call_arrived(Worker *here, Mail *mail) {
    ApiCall *call = CONTAINER_OF(mail, ApiCall, mail);

    api_attach(call, here);
    api_run(call);
}

void api_move(ApiCall *call, Worker *to) {
    api_detach(call);
    call->mail.arrive = call_arrived;
    worker_post(call->home, to, &call->mail);
}

bool api_is_enabled(const ApiCall *call) {
    return call->js->options->account_is_enabled[account_index(call->account)];
}

Stream *api_call_stream(ApiCall *call) {
    StreamRef *ref = jetstream_find(call->js, call->account, call->stream);

    return ref && ref->home == call->home ? ref->stream : NULL;
}

static void wait_ready(StreamWait *stream_wait) {
    ApiWait *wait = CONTAINER_OF(stream_wait, ApiWait, wait);

    list_remove(&wait->link);
    wait->ready(wait);
}

void api_wait(ApiWait *wait, Api *api, Stream *stream, uint64_t seq) {
    wait->stream = stream;
    wait->wait.ready = wait_ready;
    list_push_back(&api->waits, &wait->link);
    stream_fetch(stream, seq, &wait->wait);
}

void api_stream_gone(Api *api, Stream *stream) {
    LIST_FOR_EACH(link, &api->waits) {
        ApiWait *wait = CONTAINER_OF(link, ApiWait, link);
        if (wait->stream != stream)
            continue;
        stream_cancel_wait(&wait->wait);
        list_remove(&wait->link);
        wait->gone(wait);
    }
}

bool api_read_body(ApiCall *call, const JsonSchema *schema, JsonMode mode, void *out) {
    Buf why = {0};
    bool is_strict = call->js->options->limits.is_strict;
    bool is_good =
        json_read(call->body, schema, mode == JSON_STRICT && is_strict ? JSON_STRICT : JSON_LOOSE,
                  api_arena(call), out, &why) == OK;

    if (!is_good)
        api_reply_error(call, api_error_with(api_arena(call), JSInvalidJSONErr, buf_slice(&why)));
    buf_done(&why);
    return is_good;
}

ApiError api_error_of_status(Arena *arena, Status status) {
    if (status == ERR_FULL)
        return api_error(JSStorageResourcesExceededErr);
    Buf text = {0};
    buf_printf(&text, "store failed: %s", status_text(status));
    ApiError error = api_error_with(arena, JSStreamStoreFailedF, buf_slice(&text));
    buf_done(&text);
    return error;
}

void api_write_page(Buf *out, uint64_t total, uint64_t offset, uint64_t limit) {
    buf_printf(out, ",\"total\":%llu,\"offset\":%llu,\"limit\":%llu", (unsigned long long)total,
               (unsigned long long)offset, (unsigned long long)limit);
}

uint64_t api_clamp_offset(int64_t offset, uint64_t total) {
    if (offset <= 0)
        return 0;
    return (uint64_t)offset < total ? (uint64_t)offset : total;
}

void api_send(Api *api, Account *account, Slice reply, Slice headers, Slice payload) {
    if (reply.len == 0 || api->is_closing)
        return;
    Message message = {.subject = reply, .headers = headers, .payload = payload};
    (void)bus_publish(account, reply, &message, NULL, BUS_NO_MAPPINGS);
}

void api_send_status(Api *api, Account *account, Slice reply, Slice status) {
    Buf *headers = &api->headers;

    buf_clear(headers);
    header_begin(headers, status);
    header_end(headers);
    api_send(api, account, reply, buf_slice(headers), (Slice){0});
}

void api_send_no_responders(ApiPort *port, const Message *message) {
    Buf *headers = &port->api->headers;

    if (message->reply.len == 0)
        return;
    buf_clear(headers);
    header_begin(headers, LIT("503"));
    header_append(headers, LIT("Nats-Subject"), message->subject);
    header_end(headers);
    api_send(port->api, port->account, message->reply, buf_slice(headers), (Slice){0});
}

bool api_level_is_met(Slice headers) {
    Slice value;
    int64_t level;

    if (headers.len == 0 || !header_get(headers, LIT("Nats-Required-Api-Level"), &value))
        return true;
    /* The original cuts blanks before the value only. */
    bool is_clean = value.ptr[value.len] == '\r' || value.ptr[value.len] == '\n';
    return is_clean && slice_parse_i64(value, &level) == OK && level <= SERVER_API_LEVEL;
}
