#include "stream/copy_source.h"

#include "base/hash.h"
#include "base/mem.h"
#include "stream/account_hash.h"

enum { NS_PER_MS = 1000000 };
static const uint64_t retry_ns = 2000ull * NS_PER_MS, retry_max_ns = 10000ull * NS_PER_MS,
                      silence_ns = 10000ull * NS_PER_MS, answer_ns = 5000ull * NS_PER_MS;

static void on_deliver(Port *port, Sub *sub, const Message *message) {
    CopySource *source = CONTAINER_OF(port, CopySource, port);
    if (sub == source->reply_sub)
        copy_on_answer(source, message);
    else if (sub == source->deliver_sub)
        copy_on_message(source, message);
}

static const PortOps port_ops = {.kind = PORT_CONSUMER, .deliver = on_deliver};

static void on_timer(Timer *timer) {
    CopySource *source = CONTAINER_OF(timer, CopySource, timer);
    uint64_t now_ns = copy_home(source)->now_ns;
    switch (source->state) {
    case COPY_STOPPED:
        break;
    case COPY_WAITING:
        if (source->in_flight == 0)
            copy_ask(source);
        if (source->state == COPY_ASKING)
            timer_set(copy_home(source), timer, now_ns + answer_ns);
        break;
    case COPY_ASKING: /* no answer */
        copy_source_restart(source);
        break;
    case COPY_RUNNING:
        if (now_ns - source->heard_ns >= silence_ns)
            copy_source_restart(source);
        else
            timer_set(copy_home(source), timer, source->heard_ns + silence_ns);
        break;
    }
}

static void join(Buf *out, Slice text, bool is_first) {
    if (!is_first)
        buf_append_char(out, '\f');
    buf_append(out, text.len ? text : LIT(">"));
}

/* As Nats-Stream-Source names the source. */
static void write_parts(const SourceConfig *config, Buf *origin, Buf *filters, Buf *dests) {
    buf_append(origin, config->name);
    if (config->has_external && config->external_api.len) {
        char hash[ACCOUNT_HASH_LEN];
        account_hash_write(config->external_api, hash);
        buf_append_char(origin, ':');
        buf_append_bytes(origin, hash, sizeof hash);
    }
    if (config->transform_count == 0) {
        join(filters, config->filter_subject, true);
        join(dests, (Slice){0}, true);
    }
    for (size_t i = 0; i < config->transform_count; i++) {
        join(filters, config->transforms[i].src, i == 0);
        join(dests, config->transforms[i].dest, i == 0);
    }
}

uint64_t copy_key(const SourceConfig *config) {
    Buf text = {0}, filters = {0}, dests = {0};
    write_parts(config, &text, &filters, &dests);
    buf_append_char(&text, ' ');
    buf_append(&text, buf_slice(&filters));
    buf_append_char(&text, ' ');
    buf_append(&text, buf_slice(&dests));
    uint64_t key = hash_checksum(text.ptr, text.len);
    buf_done(&text);
    buf_done(&filters);
    buf_done(&dests);
    return key;
}

/* The same for the same source of the same stream. */
static void write_name(CopySource *source) {
    const Stream *stream = copy_stream(source);
    static const Slice mirror = LIT("JS_MIRROR_"), other = LIT("JS_SRC_");
    Slice start = source->is_mirror ? mirror : other;
    Buf text = {0};
    buf_append(&text, stream_name(stream));
    buf_append_char(&text, ' ');
    buf_append(&text, account_name(stream->account));
    if (!source->is_mirror)
        buf_printf(&text, " %.*s %.*s %.*s", SLICE_ARG(buf_slice(&source->origin)),
                   SLICE_ARG(buf_slice(&source->filters)), SLICE_ARG(buf_slice(&source->dests)));
    memcpy(source->name, start.ptr, start.len);
    account_hash_write(buf_slice(&text), source->name + start.len);
    source->name[start.len + ACCOUNT_HASH_LEN] = 0;
    buf_done(&text);
}

CopySource *copy_source_new(Copies *copies, const SourceConfig *config, bool is_mirror) {
    CopySource *source = mem_zalloc(sizeof *source);
    source->port = (Port){.ops = &port_ops, .home = copies->stream->group.home};
    source->copies = copies;
    source->config = config;
    source->is_mirror = is_mirror;
    write_parts(config, &source->origin, &source->filters, &source->dests);
    source->key = copy_key(config);
    write_name(source);
    source->transforms = mem_zalloc((config->transform_count + 1) * sizeof(Transform *));
    for (size_t i = 0; i < config->transform_count; i++)
        if (transform_new(config->transforms[i].src, config->transforms[i].dest, false, NULL,
                          &source->transforms[source->transform_count]) == OK)
            source->transform_count++;
    timer_init(&source->timer, on_timer);
    link_init(&source->counter_wait.link);
    return source;
}

void copy_source_free(CopySource *source) {
    if (!source)
        return;
    timer_cancel(copy_home(source), &source->timer);
    stream_cancel_wait(&source->counter_wait);
    for (size_t i = 0; i < source->transform_count; i++)
        transform_free(source->transforms[i]);
    mem_free(source->transforms);
    buf_done(&source->origin);
    buf_done(&source->filters);
    buf_done(&source->dests);
    buf_done(&source->consumer);
    buf_done(&source->flow.reply);
    buf_done(&source->error);
    mem_free(source);
}

uint64_t copy_position(const CopySource *source) {
    if (source->is_mirror)
        return copy_stream(source)->state.last_seq;
    const CopyPosition *position = copy_positions_find(&source->copies->positions, source->key);
    return position && !source->has_forgotten ? position->seq : 0;
}

void copy_source_start(CopySource *source) {
    source->state = COPY_WAITING;
    timer_set(copy_home(source), &source->timer, copy_home(source)->now_ns);
}

void copy_source_restart(CopySource *source) {
    if (source->state == COPY_STOPPED)
        return;
    if (source->state == COPY_RUNNING || source->state == COPY_ASKING)
        source->failures = source->state == COPY_RUNNING ? 0 : source->failures + 1;
    copy_unsubscribe(source);
    buf_clear(&source->flow.reply);
    source->state = COPY_WAITING;
    uint64_t wait_ns = retry_ns << (source->failures < 3 ? source->failures : 3);
    if (wait_ns > retry_max_ns)
        wait_ns = retry_max_ns;
    uint64_t now_ns = copy_home(source)->now_ns, due_ns = source->tried_ns + wait_ns;
    timer_set(copy_home(source), &source->timer, due_ns > now_ns ? due_ns : now_ns);
}

void copy_source_stop(CopySource *source) {
    timer_cancel(copy_home(source), &source->timer);
    copy_unsubscribe(source);
    if (source->consumer.len)
        copy_give_up_consumer(source);
    buf_clear(&source->consumer);
    source->state = COPY_STOPPED;
}

void copy_source_settled(CopySource *source) {
    copy_answer_flow(source);
    if (source->state == COPY_WAITING && source->in_flight == 0 && !timer_is_set(&source->timer))
        timer_set(copy_home(source), &source->timer, copy_home(source)->now_ns);
}
