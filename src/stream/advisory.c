#include "base/nuid.h"
#include "io/clock.h"
#include "proto/timefmt.h"
#include "stream/api_private.h"

/* "$JS.EVENT.<tail>" in the turn's arena. */
static Slice event_subject(JetStream *js, Slice tail) {
    static const Slice prefix = LIT("$JS.EVENT.");
    char *to = arena_alloc(js->home->turn, prefix.len + tail.len);

    memcpy(to, prefix.ptr, prefix.len);
    memcpy(to + prefix.len, tail.ptr, tail.len);
    return slice_from(to, prefix.len + tail.len);
}

bool api_advisory_is_wanted(JetStream *js, Account *account, Slice subject_tail) {
    return bus_has_interest(account, event_subject(js, subject_tail));
}

void api_advisory(JetStream *js, Account *account, Slice subject_tail, Slice type, Slice fields) {
    Slice subject = event_subject(js, subject_tail);
    char id[NUID_LEN];
    Buf out = {0};

    if (!bus_has_interest(account, subject))
        return;
    nuid_write(&js->home->rand, id, NUID_LEN);
    /* Metrics have a family of types of their own. */
    buf_append(&out, slice_starts_with(subject_tail, LIT("METRIC."))
                         ? LIT("{\"type\":\"io.nats.jetstream.metric.v1.")
                         : LIT("{\"type\":\"io.nats.jetstream.advisory.v1."));
    buf_append(&out, type);
    buf_append_lit(&out, "\",\"id\":\"");
    buf_append_bytes(&out, id, NUID_LEN);
    buf_append_lit(&out, "\",\"timestamp\":\"");
    time_write(&out, clock_wall_ns());
    buf_append_char(&out, '"');
    buf_append(&out, fields);
    if (js->options->domain.len) {
        buf_append_lit(&out, ",\"domain\":");
        json_write_string(&out, js->options->domain);
    }
    buf_append_char(&out, '}');
    Message message = {.subject = subject, .payload = buf_slice(&out)};
    (void)bus_publish(account, subject, &message, NULL, BUS_NO_MAPPINGS);
    buf_done(&out);
}

void api_advise_stream(JetStream *js, Account *account, Slice stream, Slice action) {
    Buf tail = {0}, fields = {0};

    buf_append(&tail, slice_equal(action, LIT("create"))   ? LIT("ADVISORY.STREAM.CREATED.")
                      : slice_equal(action, LIT("modify")) ? LIT("ADVISORY.STREAM.UPDATED.")
                                                           : LIT("ADVISORY.STREAM.DELETED."));
    buf_append(&tail, stream);
    if (api_advisory_is_wanted(js, account, buf_slice(&tail))) {
        buf_append_lit(&fields, ",\"stream\":");
        json_write_string(&fields, stream);
        buf_append_lit(&fields, ",\"action\":");
        json_write_string(&fields, action);
        api_advisory(js, account, buf_slice(&tail), LIT("stream_action"), buf_slice(&fields));
    }
    buf_done(&tail);
    buf_done(&fields);
}

void api_write_client(const ApiCall *call, Buf *out) {
    if (call->client.len) {
        buf_append(out, call->client);
        return;
    }
    buf_append_lit(out, "{\"acc\":");
    json_write_string(out, account_name(call->account));
    buf_append_char(out, '}');
}

void api_audit(ApiCall *call, Slice response) {
    static const Slice tail = LIT("ADVISORY.API");
    Buf fields = {0};

    if (!api_advisory_is_wanted(call->js, call->account, tail))
        return;
    buf_append_lit(&fields, ",\"server\":");
    json_write_string(&fields, call->js->options->server_name);
    buf_append_lit(&fields, ",\"client\":");
    api_write_client(call, &fields);
    buf_append_lit(&fields, ",\"subject\":");
    json_write_string(&fields, call->subject);
    if (call->body.len) {
        buf_append_lit(&fields, ",\"request\":");
        json_write_string(&fields, call->body);
    }
    buf_append_lit(&fields, ",\"response\":");
    json_write_string(&fields, response);
    api_advisory(call->js, call->account, tail, LIT("api_audit"), buf_slice(&fields));
    buf_done(&fields);
}
