/* What comes from an origin's consumer: messages, heartbeats, questions of flow control. */
#include "base/log.h"
#include "proto/headers.h"
#include "proto/subject.h"
#include "stream/copy_source.h"

/* Where a delivery stands, from its ack subject. */
typedef struct Delivered {
    uint64_t sseq, dseq, pending;
    int64_t time_ns;
} Delivered;

enum { ACK_TOKENS = 9, ACK_TOKENS_LONG = 11, ACK_TOKENS_MAX = 12 };

/* $JS.ACK.<stream>.<consumer>.<deliveries>.<sseq>.<dseq>.<time>.<pending>, or with domain and
 * account before the stream. */
static bool parse_ack(Slice reply, Delivered *out_delivered) {
    Slice tokens[ACK_TOKENS_MAX], token;
    size_t count = 0;
    while (count < ACK_TOKENS_MAX && slice_cut(&reply, '.', &token))
        tokens[count++] = token;
    if (count != ACK_TOKENS && count < ACK_TOKENS_LONG)
        return false;
    const Slice *numbers = tokens + (count == ACK_TOKENS ? 5 : 7);
    uint64_t time_ns;
    if (slice_parse_u64(numbers[0], &out_delivered->sseq) ||
        slice_parse_u64(numbers[1], &out_delivered->dseq) ||
        slice_parse_u64(numbers[2], &time_ns) ||
        slice_parse_u64(numbers[3], &out_delivered->pending) || time_ns > INT64_MAX ||
        out_delivered->sseq == 0 || out_delivered->sseq == UINT64_MAX)
        return false;
    out_delivered->time_ns = (int64_t)time_ns;
    return true;
}

static bool is_dropped(Slice name, void *cookie) {
    const CopySource *source = cookie;
    return slice_starts_with(name, LIT("Nats-Expected-")) ||
           slice_starts_with(name, LIT("Nats-Batch-")) ||
           (!source->is_mirror && slice_equal(name, LIT("Nats-Stream-Source")));
}

static bool has_dropped(Slice headers) {
    return slice_find_slice(headers, LIT("\nNats-Expected-")) < headers.len ||
           slice_find_slice(headers, LIT("\nNats-Batch-")) < headers.len;
}

/* <stream> <seq> <filters> <destinations> <subject> <identity> */
static void write_source_header(const CopySource *source, const Message *message, uint64_t sseq,
                                Buf *out) {
    buf_append_lit(out, "Nats-Stream-Source: ");
    buf_append(out, buf_slice(&source->origin));
    buf_append_char(out, ' ');
    buf_append_u64(out, sseq);
    buf_append_char(out, ' ');
    buf_append(out, buf_slice(&source->filters));
    buf_append_char(out, ' ');
    buf_append(out, buf_slice(&source->dests));
    buf_append_char(out, ' ');
    buf_append(out, message->subject);
    if (source->identity[0]) {
        buf_append_char(out, ' ');
        buf_append_bytes(out, source->identity, COPY_IDENTITY_LEN);
    }
    buf_append_lit(out, "\r\n");
}

static Slice make_headers(CopySource *source, const Message *message, uint64_t sseq) {
    Buf *out = &source->copies->headers;
    if (source->is_mirror && !has_dropped(message->headers))
        return message->headers;
    buf_clear(out);
    header_copy_open(out, message->headers, is_dropped, source);
    if (!source->is_mirror)
        write_source_header(source, message, sseq, out);
    else if (slice_equal(buf_slice(out), LIT("NATS/1.0\r\n")))
        return (Slice){0};
    header_end(out);
    return buf_slice(out);
}

static Slice make_subject(CopySource *source, Slice subject) {
    Buf *out = &source->copies->subject;
    for (size_t i = 0; i < source->transform_count; i++) {
        buf_clear(out);
        if (transform_apply(source->transforms[i], subject, &copy_home(source)->rand, out)) {
            subject = buf_slice(out);
            break;
        }
    }
    return stream_transformed(copy_stream(source), subject);
}

static void on_counter_read(StreamWait *wait) {
    (void)wait; /* the next try finds it */
}

/* Makes draft the copy of a counter's message; false: later. What is none is passed over. */
static bool count(CopySource *source, Record *draft) {
    Stream *stream = copy_stream(source);
    CounterValue origin;
    Status status = counter_read(draft->headers, draft->payload, &origin)
                        ? ERR_SYNTAX
                        : counters_propose(stream, draft, origin.total);
    if (status == OK)
        return true;
    if (status == ERR_AGAIN) {
        stream_cancel_wait(&source->counter_wait);
        source->counter_wait.ready = on_counter_read;
        counters_fetch(stream, draft->subject, &source->counter_wait);
        copy_source_restart(source);
        return false;
    }
    draft->flags |= COPY_NOTHING;
    return true;
}

/* Nothing is in flight: what the applied state refuses now, it would refuse then. Keeps entries
 * that do nothing out of the log while a stream stays full. */
static bool is_full(Stream *stream, const Record *draft) {
    const StreamConfig *config = stream->config;
    if (stream->group.in_flight || (!config->sealed && config->discard != DISCARD_NEW))
        return false;
    stream_expire_quietly(stream, draft->time_ns);
    return config->sealed || stream_check_discard_new(stream, draft, NULL);
}

static void append(CopySource *source, const Message *message, const Delivered *delivered) {
    Copies *copies = source->copies;
    Stream *stream = copies->stream;
    CopyEntry entry = {.seq = delivered->sseq,
                       .before = source->taken_seq,
                       .key = source->key,
                       .time_ns = delivered->time_ns,
                       .is_mirror = source->is_mirror};
    memcpy(entry.identity, source->identity, COPY_IDENTITY_LEN);
    uint8_t flags = source->is_mirror ? COPY_OF_MIRROR : COPY_OF_SOURCE;
    if (!stream->config->allow_msg_ttl)
        flags |= COPY_NO_TTL;
    Record draft = {.type = RECORD_COPY,
                    .flags = flags,
                    .time_ns = stream_clock(stream),
                    .subject = make_subject(source, message->subject),
                    .headers = make_headers(source, message, delivered->sseq),
                    .payload = message->payload};
    if (is_full(stream, &draft)) {
        copy_source_restart(source);
        return;
    }
    if (stream->config->allow_msg_counter && !count(source, &draft))
        return;
    buf_clear(&copies->payload);
    copy_entry_write(&copies->payload, &entry);
    buf_append(&copies->payload, draft.payload);
    draft.payload = buf_slice(&copies->payload);
    Ticket ticket = {.kind = TICKET_COPY};
    source->taken_seq = delivered->sseq;
    source->in_flight++;
    source->appended++;
    stream_submit(stream, &draft, &ticket);
}

static void on_data(CopySource *source, const Message *message) {
    Delivered delivered;
    if (source->state == COPY_ASKING)
        source->has_missed = true;
    if (source->state != COPY_RUNNING || !parse_ack(message->reply, &delivered))
        return;
    source->heard_ns = copy_home(source)->now_ns;
    if (source->has_dseq && delivered.dseq <= source->dseq)
        return;
    if (source->has_dseq && delivered.dseq != source->dseq + 1) {
        copy_source_restart(source);
        return;
    }
    source->has_dseq = true;
    source->dseq = delivered.dseq;
    source->lag = delivered.pending;
    if (delivered.sseq <= source->taken_seq) /* delivered once more */
        return;
    if (api_failed(stream_check_server(copy_stream(source), NULL))) {
        copy_source_restart(source);
        return;
    }
    append(source, message, &delivered);
}

void copy_answer_flow(CopySource *source) {
    CopyFlow *flow = &source->flow;
    if (!flow->reply.len || source->applied < flow->appended_at)
        return;
    Buf headers = {0};
    Message message = {.subject = buf_slice(&flow->reply)};
    if (source->acks_by_flow && flow->dseq) {
        header_begin(&headers, (Slice){0});
        header_append_u64(&headers, LIT("Nats-Last-Consumer"), flow->dseq);
        header_append_u64(&headers, LIT("Nats-Last-Stream"), flow->sseq);
        header_end(&headers);
        message.headers = buf_slice(&headers);
    }
    (void)bus_publish(copy_stream(source)->account, message.subject, &message, NULL,
                      BUS_NO_MAPPINGS);
    buf_clear(&flow->reply);
    buf_done(&headers);
}

static void on_question(CopySource *source, Slice reply) {
    CopyFlow *flow = &source->flow;
    buf_clear(&flow->reply);
    buf_append(&flow->reply, reply);
    flow->appended_at = source->appended;
    flow->dseq = source->has_dseq ? source->dseq : 0;
    flow->sseq = source->taken_seq;
    copy_answer_flow(source);
}

static void on_heartbeat(CopySource *source, const Message *message) {
    Slice text;
    uint64_t dseq;
    if (header_get(message->headers, LIT("Nats-Last-Consumer"), &text) &&
        slice_parse_u64(text, &dseq) == OK && source->has_dseq && dseq > source->dseq) {
        copy_source_restart(source);
        return;
    }
    if (header_get(message->headers, LIT("Nats-Consumer-Stalled"), &text) &&
        subject_is_literal(text) && !source->flow.reply.len)
        on_question(source, text);
}

void copy_on_message(CopySource *source, const Message *message) {
    static const Slice control = LIT("NATS/1.0 100 ");
    if (slice_starts_with(message->headers, control) && message->payload.len == 0) {
        if (source->state != COPY_RUNNING)
            return;
        source->heard_ns = copy_home(source)->now_ns;
        if (message->reply.len)
            on_question(source, message->reply);
        else
            on_heartbeat(source, message);
        return;
    }
    on_data(source, message);
}
