/* The consumer at the origin: asked for as the original asks, so that either may be the other
 * side. */
#include "base/log.h"
#include "base/nuid.h"
#include "proto/headers.h"
#include "proto/json.h"
#include "proto/subject.h"
#include "proto/timefmt.h"
#include "stream/copy_source.h"

void copy_unsubscribe(CopySource *source) {
    if (source->reply_sub)
        sub_remove(source->reply_sub);
    if (source->deliver_sub)
        sub_remove(source->deliver_sub);
    source->reply_sub = source->deliver_sub = NULL;
}

static void write_inbox(CopySource *source, Buf *out, Slice prefix) {
    char token[COPY_TOKEN_LEN];
    nuid_write(&copy_home(source)->rand, token, sizeof token);
    buf_append(out, prefix);
    buf_append_char(out, '.');
    buf_append_bytes(out, token, sizeof token);
}

static void subscribe(CopySource *source, Buf *reply, Buf *deliver) {
    const SourceConfig *config = source->config;
    Account *account = copy_stream(source)->account;
    Slice prefix = source->is_mirror ? LIT("$JS.M") : LIT("$JS.S");
    if (config->has_external && config->external_deliver.len)
        prefix = config->external_deliver;
    write_inbox(source, reply, LIT("$JSC.R"));
    if (config->has_consumer)
        buf_append(deliver, config->consumer_deliver);
    else
        write_inbox(source, deliver, prefix);
    source->reply_sub =
        sub_add(account, &source->port, buf_slice(reply), (Slice){0}, (Slice){0}, false);
    source->deliver_sub =
        sub_add(account, &source->port, buf_slice(deliver), (Slice){0}, (Slice){0}, false);
}

static void write_start(const CopySource *source, Buf *out) {
    const SourceConfig *config = source->config;
    uint64_t position = copy_position(source);
    uint64_t seq = position ? position + 1 : config->opt_start_seq;
    if (seq) {
        buf_append_lit(out, ",\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":");
        buf_append_u64(out, seq);
    } else if (config->has_opt_start_time) {
        buf_append_lit(out, ",\"deliver_policy\":\"by_start_time\",\"opt_start_time\":\"");
        time_write(out, config->opt_start_time_ns);
        buf_append_char(out, '"');
    } else {
        buf_append_lit(out, ",\"deliver_policy\":\"all\"");
    }
}

static void write_filter(const SourceConfig *config, Buf *out) {
    if (config->transform_count > 1) {
        buf_append_lit(out, ",\"filter_subjects\":[");
        for (size_t i = 0; i < config->transform_count; i++) {
            if (i)
                buf_append_char(out, ',');
            json_write_string(out, config->transforms[i].src);
        }
        buf_append_char(out, ']');
        return;
    }
    Slice filter = config->transform_count ? config->transforms[0].src : config->filter_subject;
    if (filter.len) {
        buf_append_lit(out, ",\"filter_subject\":");
        json_write_string(out, filter);
    }
}

static void write_metadata(const CopySource *source, Buf *out) {
    const Stream *stream = copy_stream(source);
    const char *kind = source->is_mirror ? "mirror" : "src";
    buf_printf(out, ",\"metadata\":{\"_nats.%s.acc\":", kind);
    json_write_string(out, account_name(stream->account));
    if (stream->js->options->domain.len) {
        buf_printf(out, ",\"_nats.%s.domain\":", kind);
        json_write_string(out, stream->js->options->domain);
    }
    buf_printf(out, ",\"_nats.%s.stream\":", kind);
    json_write_string(out, stream_name(stream));
    buf_append_char(out, '}');
}

static void write_create(const CopySource *source, Slice deliver, Buf *out) {
    buf_append_lit(out, "{\"stream_name\":");
    json_write_string(out, source->config->name);
    buf_append_lit(out, ",\"config\":{\"name\":");
    json_write_string(out, copy_name(source));
    write_start(source, out);
    buf_append_lit(out, ",\"ack_policy\":\"none\",\"ack_wait\":79200000000000,\"max_deliver\":1");
    write_filter(source->config, out);
    buf_append_lit(out,
                   ",\"replay_policy\":\"instant\",\"flow_control\":true,\"deliver_subject\":");
    json_write_string(out, deliver);
    buf_append_lit(out, ",\"idle_heartbeat\":1000000000,\"inactive_threshold\":10000000000,"
                        "\"num_replicas\":0,\"direct\":true,\"sourcing\":true");
    write_metadata(source, out);
    buf_append_lit(out, "},\"action\":\"\"}");
}

static void write_subject(const CopySource *source, Slice verb, Slice consumer, Buf *out) {
    const SourceConfig *config = source->config;
    bool is_other = config->has_external && config->external_api.len;
    buf_append(out, is_other ? config->external_api : LIT("$JS.API"));
    buf_append(out, verb);
    buf_append(out, config->name);
    if (consumer.len) {
        buf_append_char(out, '.');
        buf_append(out, consumer);
    }
}

static void write_headers(const CopySource *source, Buf *out) {
    if (source->is_mirror && source->config->has_consumer)
        return;
    header_begin(out, (Slice){0});
    if (source->is_mirror) {
        header_append_u64(out, LIT("Nats-Required-Api-Level"), 4);
    } else {
        const CopyPosition *position = copy_positions_find(&source->copies->positions, source->key);
        Slice identity = {0};
        if (position && !source->has_forgotten && position->identity[0])
            identity = slice_from(position->identity, COPY_IDENTITY_LEN);
        header_append_u64(out, LIT("Nats-Required-Api-Level"), 5);
        header_append(out, LIT("Nats-Stream-Identity"), identity);
    }
    header_end(out);
}

static size_t publish(CopySource *source, Buf *subject, Slice reply, Buf *headers, Buf *body) {
    Message message = {.subject = buf_slice(subject),
                       .reply = reply,
                       .headers = headers ? buf_slice(headers) : (Slice){0},
                       .payload = body ? buf_slice(body) : (Slice){0}};
    return bus_publish(copy_stream(source)->account, message.subject, &message, NULL,
                       BUS_NO_MAPPINGS);
}

void copy_ask(CopySource *source) {
    const SourceConfig *config = source->config;
    Buf subject = {0}, reply = {0}, deliver = {0}, headers = {0}, body = {0};

    copy_unsubscribe(source);
    /* The last one; a durable one keeps what is not acknowledged. */
    if (source->consumer.len && !slice_equal(buf_slice(&source->consumer), copy_name(source)))
        copy_give_up_consumer(source);
    buf_clear(&source->consumer);
    subscribe(source, &reply, &deliver);
    source->tried_ns = copy_home(source)->now_ns;
    source->state = COPY_ASKING;
    source->has_dseq = source->has_missed = false;
    source->taken_seq = copy_position(source);
    write_headers(source, &headers);
    if (config->has_consumer) {
        write_subject(source, LIT(".CONSUMER.RESET."), config->consumer_name, &subject);
        if (source->taken_seq || config->opt_start_seq)
            buf_printf(&body, "{\"seq\":%llu}",
                       (unsigned long long)(source->taken_seq ? source->taken_seq + 1
                                                              : config->opt_start_seq));
    } else {
        Slice filter =
            config->transform_count == 1 ? config->transforms[0].src : config->filter_subject;
        Buf tail = {0};
        if (filter.len)
            buf_printf(&tail, "%s.%.*s", source->name, SLICE_ARG(filter));
        write_subject(source, LIT(".CONSUMER.CREATE."), buf_slice(&tail), &subject);
        write_create(source, buf_slice(&deliver), &body);
        buf_done(&tail);
    }
    (void)publish(source, &subject, buf_slice(&reply), &headers, &body);
    buf_done(&subject);
    buf_done(&reply);
    buf_done(&deliver);
    buf_done(&headers);
    buf_done(&body);
}

void copy_give_up_consumer(CopySource *source) {
    Buf subject = {0}, reply = {0};
    if (!source->config->has_consumer) {
        write_subject(source, LIT(".CONSUMER.DELETE."), buf_slice(&source->consumer), &subject);
        write_inbox(source, &reply, LIT("$JSC.R"));
        (void)publish(source, &subject, buf_slice(&reply), NULL, NULL);
    }
    buf_done(&subject);
    buf_done(&reply);
}

/* What an answer says; the rest of consumer info is passed over. */
typedef struct Answer {
    bool has_error;
    int64_t http, code;
    Slice text, name, ack_policy;
    bool has_config, has_delivered;
    uint64_t num_pending, delivered_dseq;
} Answer;

static const JsonField error_rows[] = {
    JSON_ROW(Answer, http, "code", JSON_INT),
    JSON_ROW(Answer, code, "err_code", JSON_INT),
    JSON_ROW(Answer, text, "description", JSON_STRING),
};
static const JsonSchema error_schema = JSON_SCHEMA("ApiError", error_rows);
static const JsonField config_rows[] = {
    JSON_ROW(Answer, ack_policy, "ack_policy", JSON_STRING),
};
static const JsonSchema config_schema = JSON_SCHEMA("ConsumerConfig", config_rows);
static const JsonField delivered_rows[] = {
    JSON_ROW(Answer, delivered_dseq, "consumer_seq", JSON_UINT),
};
static const JsonSchema delivered_schema = JSON_SCHEMA("SequenceInfo", delivered_rows);
static const JsonField answer_rows[] = {
    JSON_OBJECT_ROW("error", &error_schema, offsetof(Answer, has_error)),
    JSON_ROW(Answer, name, "name", JSON_STRING),
    JSON_OBJECT_ROW("config", &config_schema, offsetof(Answer, has_config)),
    JSON_OBJECT_ROW("delivered", &delivered_schema, offsetof(Answer, has_delivered)),
    JSON_ROW(Answer, num_pending, "num_pending", JSON_UINT),
};
static const JsonSchema answer_schema = JSON_SCHEMA("JSApiConsumerCreateResponse", answer_rows);

static void note_error(CopySource *source, uint16_t http, uint16_t code, Slice text) {
    source->error_http = http;
    source->error_code = code;
    buf_clear(&source->error);
    buf_append(&source->error, text);
}

static void on_error(CopySource *source, const Answer *answer) {
    if (answer->code == JSConsumerStreamIdentityMismatchF)
        source->has_forgotten = true;
    else
        note_error(source, (uint16_t)answer->http, (uint16_t)answer->code, answer->text);
    LOG_DEBUG("source consumer refused", "stream=%.*s origin=%.*s error=%.*s",
              SLICE_ARG(stream_name(copy_stream(source))), SLICE_ARG(source->config->name),
              SLICE_ARG(answer->text));
    copy_source_restart(source);
}

void copy_on_answer(CopySource *source, const Message *message) {
    Answer answer = {0};
    Slice identity;
    if (source->state != COPY_ASKING)
        return;
    if (json_read(message->payload, &answer_schema, JSON_LOOSE, copy_home(source)->turn, &answer,
                  NULL)) {
        copy_source_restart(source); /* no such thing as no responders */
        return;
    }
    if (answer.has_error || !answer.name.len) {
        on_error(source, &answer);
        return;
    }
    if (!asset_name_is_valid(answer.name) || !subject_is_literal(answer.name)) {
        copy_source_restart(source); /* it would become a part of subjects */
        return;
    }
    source->acks_by_flow = slice_equal(answer.ack_policy, LIT("flow_control"));
    if (source->config->has_consumer && !source->acks_by_flow) {
        ApiError error = api_error(source->is_mirror ? JSMirrorConsumerRequiresAckFCErr
                                                     : JSSourceConsumerRequiresAckFCErr);
        note_error(source, error.http, error.code, error.text);
        copy_source_restart(source);
        return;
    }
    memset(source->identity, 0, sizeof source->identity);
    if (message->headers.len &&
        header_get(message->headers, LIT("Nats-Stream-Identity"), &identity) &&
        identity.len == COPY_IDENTITY_LEN)
        memcpy(source->identity, identity.ptr, COPY_IDENTITY_LEN);
    buf_clear(&source->consumer);
    buf_append(&source->consumer, answer.name);
    note_error(source, 0, 0, (Slice){0});
    if (!source->acks_by_flow && !source->has_dseq) {
        source->dseq = answer.delivered_dseq;
        source->has_dseq = true;
    }
    source->lag = answer.num_pending;
    source->failures = 0;
    source->state = COPY_RUNNING;
    if (source->has_missed) {
        copy_source_restart(source);
        return;
    }
    if (!source->heard_ns || source->heard_ns < source->tried_ns)
        source->heard_ns = source->tried_ns;
    timer_set(copy_home(source), &source->timer, copy_home(source)->now_ns + 1);
}
