#include "stream/consumer_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "io/clock.h"
#include "stream/push.h"

static const char *text_of(Slice slice) {
    return (const char *)arena_copy(rig->worker.turn, slice).ptr;
}

Rig *rig_new(Storage storage, Retention retention) {
    static Slice subjects[] = {LIT("s.>")};
    Rig *r = rig = mem_zalloc(sizeof *r);
    r->worker.count = 1;
    r->worker.all = r->all;
    r->all[0] = &r->worker;
    r->worker.turn = arena_new();
    r->worker.now_ns = 1000000000;
    rand_init(&r->worker.rand, 7);
    r->wall_ns = 1700000000000000000;
    r->options.max_consumers_default = -1;
    r->options.limits.is_strict = true;
    r->options.limits.max_stream_bytes = -1;
    r->js = (JetStream){.home = &r->worker, .options = &r->options};
    r->config = (StreamConfig){.name = LIT("S"),
                               .subjects = subjects,
                               .subject_count = 1,
                               .retention = retention,
                               .max_consumers = -1,
                               .max_msgs = -1,
                               .max_bytes = -1,
                               .max_msgs_per_subject = -1,
                               .max_msg_size = -1,
                               .storage = storage,
                               .num_replicas = 1};
    r->stream = (Stream){.js = &r->js, .account = &rig_account, .config = &r->config};
    r->stream.group.home = &r->worker;
    r->stream.group.is_memory = storage == STORAGE_MEMORY;
    list_init(&r->ready);
    list_init(&r->soon);
    list_init(&r->drains);
    list_init(&r->fetches);
    r->set = r->stream.consumers = consumer_set_new(&r->stream);
    consumer_set_start(r->set);
    return r;
}

ConsumerSet *rig_other_set(Rig *r) {
    return consumer_set_new(&r->stream);
}

static void entry_done(RigEntry *entry) {
    mem_free(entry->name);
    mem_free(entry->payload);
    mem_free(entry->replies);
    mem_free(entry->call);
}

static void free_texts(char **texts, size_t count) {
    for (size_t i = 0; i < count; i++)
        mem_free(texts[i]);
}

void rig_free(Rig *r) {
    consumer_set_free(r->set);
    for (size_t i = 0; i < r->msgs.len; i++) {
        mem_free(r->msgs.at[i].subject);
        mem_free(r->msgs.at[i].payload);
        mem_free(r->msgs.at[i].headers);
    }
    for (size_t i = 0; i < r->proposals.len; i++)
        entry_done(&r->proposals.at[i]);
    for (size_t i = 0; i < r->log.len; i++)
        entry_done(&r->log.at[i]);
    free_texts(r->subs.at, r->subs.len);
    free_texts(r->congested.at, r->congested.len);
    ASSERT(r->timers.len == 0 && r->watches.len == 0 && list_is_empty(&r->ready) &&
           list_is_empty(&r->soon) && list_is_empty(&r->drains) && list_is_empty(&r->fetches));
    vec_done(&r->msgs);
    vec_done(&r->proposals);
    vec_done(&r->log);
    vec_done(&r->events);
    vec_done(&r->subs);
    vec_done(&r->congested);
    vec_done(&r->timers);
    vec_done(&r->watches);
    buf_done(&r->trace);
    buf_done(&r->reply);
    arena_free(r->worker.turn);
    mem_free(r);
    rig = NULL;
}

uint64_t rig_store_with(Rig *r, const char *subject, const char *headers, const char *payload) {
    RigMsg stored = {.is_live = true, .time_ns = r->wall_ns};
    uint64_t seq = r->stream.state.last_seq + 1;
    if (r->config.retention == RETENTION_INTEREST &&
        !consumer_set_wants(r->set, slice_of_text(subject)))
        stored.is_live = false;
    stored.subject = mem_copy(subject, strlen(subject));
    stored.payload = mem_copy(payload, strlen(payload));
    stored.headers = mem_copy(headers, strlen(headers));
    vec_push(&r->msgs, stored);
    r->stream.state.last_seq = seq;
    rig_set_first(r);
    RigEvent event = {EVENT_STORED, seq, 0};
    vec_push(&r->events, event);
    StoredMsg msg;
    if (stream_read(&r->stream, seq, &msg) == OK)
        consumer_set_on_stored(r->set, &msg);
    rig_run(r);
    return seq;
}

uint64_t rig_store(Rig *r, const char *subject, const char *payload) {
    return rig_store_with(r, subject, "", payload);
}

void rig_delete(Rig *r, uint64_t seq, bool has_advisory) {
    rig_remove(seq, has_advisory);
    rig_run(r);
}

void rig_purge_below(Rig *r, uint64_t seq) {
    for (uint64_t i = 1; i < seq; i++)
        rig_remove(i, false);
    consumer_set_on_purged(r->set, (Slice){0});
    rig_run(r);
}

void rig_purge_all(Rig *r) {
    consumer_set_on_purged_all(r->set, r->stream.state.last_seq);
    for (size_t i = 0; i < r->msgs.len; i++)
        r->msgs.at[i].is_live = false;
    rig_set_first(r);
    RigEvent event = {EVENT_PURGED, r->stream.state.last_seq, 0};
    vec_push(&r->events, event);
    rig_run(r);
}

static void run_list(List *list) {
    List now;
    list_init(&now);
    for (Link *link; (link = list_pop_front(list)) != NULL;)
        list_push_back(&now, link);
    for (Link *link; (link = list_pop_front(&now)) != NULL;) {
        Task *task = CONTAINER_OF(link, Task, link);
        task->run(task);
    }
}

void rig_run_without_commit(Rig *r) {
    for (size_t turns = 0;; turns++) {
        ASSERT(turns < 100000);
        run_list(&r->ready);
        for (Link *link; (link = list_pop_front(&r->fetches)) != NULL;) {
            StreamWait *wait = CONTAINER_OF(link, StreamWait, link);
            wait->ready(wait);
        }
        run_list(&r->soon);
        if (list_is_empty(&r->ready) && list_is_empty(&r->soon) && list_is_empty(&r->fetches))
            return;
    }
}

static RigEntry take_proposal(Rig *r) {
    RigEntry entry = r->proposals.at[0];
    vec_remove_ordered(&r->proposals, 0);
    return entry;
}

static Record record_of(const RigEntry *entry) {
    return (Record){.type = entry->type,
                    .time_ns = rig->wall_ns,
                    .subject = slice_of_text(entry->name),
                    .payload = slice_from(entry->payload, entry->payload_len)};
}

void rig_commit_one(Rig *r) {
    RigEntry entry = take_proposal(r);
    RigEvent event = {EVENT_ENTRY, 0, r->log.len};
    Record record = record_of(&entry);
    ApiCall *call = entry.call;
    entry.call = NULL;
    vec_push(&r->log, entry);
    vec_push(&r->events, event);
    consumer_set_apply(r->set, &record, call, slice_from(entry.replies, entry.replies_len), false);
    rig_run_without_commit(r);
}

void rig_commit(Rig *r) {
    while (r->proposals.len > 0)
        rig_commit_one(r);
}

static void replay_event(Rig *r, ConsumerSet *set, const RigEvent *event, bool is_new) {
    switch (event->kind) {
    case EVENT_STORED:
        r->stream.state.last_seq = event->seq;
        rig_msg(event->seq)->is_live = true;
        break;
    case EVENT_REMOVED:
        if (is_new)
            consumer_set_on_removed(set, event->seq, slice_of_text(rig_msg(event->seq)->subject),
                                    false);
        rig_msg(event->seq)->is_live = false;
        break;
    case EVENT_PURGED:
        if (is_new)
            consumer_set_on_purged_all(set, event->seq);
        for (uint64_t seq = 1; seq <= event->seq; seq++)
            rig_msg(seq)->is_live = false;
        break;
    case EVENT_ENTRY: {
        Record record = record_of(&r->log.at[event->entry]);
        if (is_new)
            consumer_set_apply(set, &record, NULL, (Slice){0}, true);
        break;
    }
    }
}

void rig_replay(Rig *r, ConsumerSet *set, size_t from) {
    StreamState state = r->stream.state;
    r->stream.state = (StreamState){0};
    for (size_t i = 0; i < r->msgs.len; i++)
        r->msgs.at[i].is_live = false;
    for (size_t i = 0; i < r->events.len; i++)
        replay_event(r, set, &r->events.at[i], i >= from);
    r->stream.state = state;
}

void rig_refuse(Rig *r, Status why) {
    while (r->proposals.len > 0) {
        RigEntry entry = take_proposal(r);
        Record record = record_of(&entry);
        consumer_set_refused(r->set, &record, entry.call, why);
        entry.call = NULL;
        entry_done(&entry);
    }
    rig_run(r);
}

void rig_run(Rig *r) {
    do {
        rig_run_without_commit(r);
        if (!r->holds_commits)
            rig_commit(r);
    } while (!list_is_empty(&r->ready) || !list_is_empty(&r->soon));
}

void rig_advance_ms(Rig *r, int64_t ms) {
    uint64_t until = r->worker.now_ns + (uint64_t)ms * NS_PER_MS;
    rig_run(r);
    for (size_t fired = 0;; fired++) {
        Timer *first = NULL;
        ASSERT(fired < 1000000);
        for (size_t i = 0; i < r->timers.len; i++)
            if (first == NULL || r->timers.at[i]->due_ns < first->due_ns)
                first = r->timers.at[i];
        if (first == NULL || first->due_ns > until)
            break;
        if (first->due_ns > r->worker.now_ns) {
            r->wall_ns += (int64_t)(first->due_ns - r->worker.now_ns);
            r->worker.now_ns = first->due_ns;
        }
        timer_cancel(&r->worker, first);
        first->fire(first);
        rig_run(r);
    }
    r->wall_ns += (int64_t)(until - r->worker.now_ns);
    r->worker.now_ns = until;
    arena_reset(r->worker.turn);
}

const char *rig_create_with(Rig *r, const char *name, const char *config, ConsumerAction action) {
    ConsumerRequest request;
    Buf json = {0};
    buf_printf(&json, "{\"stream_name\":\"S\",\"config\":%s}", config);
    ApiError error =
        consumer_request_parse(buf_slice(&json), &r->options.limits, r->worker.turn, &request);
    buf_done(&json);
    if (api_failed(error)) {
        api_reply_error(rig_call(r), error);
        return buf_text(&r->reply);
    }
    request.action = action;
    buf_clear(&r->reply);
    consumer_set_create(r->set, &request, slice_of_text(name), rig_call(r));
    rig_run(r);
    return buf_text(&r->reply);
}

const char *rig_create(Rig *r, const char *name, const char *config) {
    return rig_create_with(r, name, config, CONSUMER_CREATE_OR_UPDATE);
}

const char *rig_delete_consumer(Rig *r, const char *name) {
    buf_clear(&r->reply);
    consumer_set_delete(r->set, slice_of_text(name), rig_call(r));
    rig_run(r);
    return buf_text(&r->reply);
}

const char *rig_reset(Rig *r, const char *name, uint64_t seq) {
    buf_clear(&r->reply);
    consumer_set_reset(r->set, slice_of_text(name), seq, rig_call(r));
    rig_run(r);
    return buf_text(&r->reply);
}

const char *rig_pause(Rig *r, const char *name, int64_t until_ns) {
    buf_clear(&r->reply);
    consumer_set_pause(r->set, slice_of_text(name), until_ns, rig_call(r));
    rig_run(r);
    return buf_text(&r->reply);
}

const char *rig_unpin(Rig *r, const char *name, const char *group) {
    buf_clear(&r->reply);
    consumer_set_unpin(r->set, slice_of_text(name), slice_of_text(group), rig_call(r));
    rig_run(r);
    return buf_text(&r->reply);
}

Consumer *rig_consumer(Rig *r, const char *name) {
    Consumer *consumer = consumer_set_find(r->set, slice_of_text(name));
    ASSERT(consumer != NULL);
    return consumer;
}

void rig_pull(Rig *r, const char *name, const char *inbox, const char *body) {
    Message message = {.reply = slice_of_text(inbox), .payload = slice_of_text(body)};
    consumer_on_pull(rig_consumer(r, name), &message);
    rig_run(r);
}

bool rig_collect_ack(Rig *r, const char *name, const char *tokens, const char *body,
                     const char *reply) {
    Message message = {.reply = slice_of_text(reply), .payload = slice_of_text(body)};
    Buf all = {0};
    /* "deliveries.sseq.dseq" is completed */
    buf_printf(&all, "%s.1700000000000000000.0", tokens);
    bool is_taken = consumer_on_ack(rig_consumer(r, name), buf_slice(&all), &message);
    buf_done(&all);
    return is_taken;
}

bool rig_ack(Rig *r, const char *name, const char *tokens, const char *body, const char *reply) {
    bool is_taken = rig_collect_ack(r, name, tokens, body, reply);
    rig_run(r);
    return is_taken;
}

void rig_flow_reply(Rig *r, const char *name, const char *headers) {
    Consumer *consumer = rig_consumer(r, name);
    Message message = {.headers = slice_of_text(headers)};
    char token[4];
    memcpy(token, consumer->push->token, sizeof token);
    consumer_on_flow_reply(consumer, slice_from(token, sizeof token), &message);
    rig_run(r);
}

const char *rig_info_json(Rig *r, const char *name) {
    Buf out = {0};
    buf_append_char(&out, '{');
    consumer_info_write(&out, rig_consumer(r, name), true);
    buf_append_char(&out, '}');
    const char *text = text_of(buf_slice(&out));
    buf_done(&out);
    return text;
}

static uint64_t number_after(const char *text, const char *key, size_t nth) {
    for (;;) {
        text = strstr(text, key);
        ASSERT(text != NULL);
        text += strlen(key);
        if (nth-- == 0)
            return strtoull(text, NULL, 10);
    }
}

const char *rig_info(Rig *r, const char *name) {
    const char *json = rig_info_json(r, name);
    Buf out = {0};
    static const char *const keys[] = {"num_ack_pending", "num_redelivered", "num_waiting",
                                       "num_pending"};
    static const char *const words[] = {"ack", "redelivered", "waiting", "pending"};
    buf_printf(&out, "delivered %llu/%llu floor %llu/%llu",
               (unsigned long long)number_after(json, "consumer_seq\":", 0),
               (unsigned long long)number_after(json, "stream_seq\":", 0),
               (unsigned long long)number_after(json, "consumer_seq\":", 1),
               (unsigned long long)number_after(json, "stream_seq\":", 1));
    for (size_t i = 0; i < 4; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "\"%s\":", keys[i]);
        buf_printf(&out, " %s %llu", words[i], (unsigned long long)number_after(json, key, 0));
    }
    const char *text = text_of(buf_slice(&out));
    buf_done(&out);
    return text;
}

const char *rig_trace(Rig *r) {
    const char *text = text_of(buf_slice(&r->trace));
    buf_clear(&r->trace);
    return text;
}
