#include "stream/consumer_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "io/clock.h"
#include "proto/subject.h"
#include "proto/timefmt.h"
#include "stream/push.h"

static Rig *rig; /* the one in use */

static const char *text_of(Slice slice) {
    return (const char *)arena_copy(rig->worker.turn, slice).ptr;
}

/* --- clock, worker, timers --- */

uint64_t clock_mono_ns(void) {
    return rig->worker.now_ns;
}

int64_t clock_wall_ns(void) {
    return rig->wall_ns;
}

bool worker_is_current(const Worker *worker) {
    return worker == &rig->worker;
}

void task_init(Task *task, void (*run)(Task *task)) {
    link_init(&task->link);
    task->run = run;
}

void worker_ready(Worker *worker, Task *task) {
    (void)worker;
    if (!link_is_listed(&task->link))
        list_push_back(&rig->ready, &task->link);
}

void worker_soon(Worker *worker, Task *task) {
    (void)worker;
    if (!link_is_listed(&task->link))
        list_push_back(&rig->soon, &task->link);
}

void task_cancel(Task *task) {
    list_remove(&task->link);
}

void timer_init(Timer *timer, void (*fire)(Timer *timer)) {
    *timer = (Timer){.fire = fire};
}

void timer_cancel(Worker *worker, Timer *timer) {
    (void)worker;
    for (size_t i = 0; i < rig->timers.len; i++)
        if (rig->timers.at[i] == timer) {
            vec_remove_unordered(&rig->timers, i);
            break;
        }
    timer->heap_at = 0;
}

void timer_set(Worker *worker, Timer *timer, uint64_t due_mono_ns) {
    timer_cancel(worker, timer);
    timer->due_ns = due_mono_ns;
    timer->heap_at = 1;
    vec_push(&rig->timers, timer);
}

/* --- bus --- */

struct Account {
    int unused;
};
static Account the_account;

Slice account_name(const Account *account) {
    (void)account;
    return LIT("$G");
}

Bus *account_bus(const Account *account) {
    (void)account;
    return NULL;
}

static bool is_in(char **texts, size_t count, Slice subject) {
    for (size_t i = 0; i < count; i++) {
        Slice pattern = slice_of_text(texts[i]);
        pattern = slice_first(pattern, slice_find(pattern, ' '));
        if (slice_equal(pattern, subject) || subject_matches(pattern, subject))
            return true;
    }
    return false;
}

bool bus_has_interest(Account *account, Slice literal) {
    (void)account;
    return is_in(rig->subs.at, rig->subs.len, literal);
}

bool bus_is_congested(Account *account, Slice literal) {
    (void)account;
    return rig->congested.len && is_in(rig->congested.at, rig->congested.len, literal);
}

static void trace_headers(Slice headers) {
    Slice text = headers;
    while (slice_ends_with(text, LIT("\r\n")))
        text = slice_first(text, text.len - 2);
    if (slice_starts_with(text, LIT("NATS/1.0")))
        text = slice_from_at(text, 8);
    while (text.len && (text.ptr[0] == ' ' || text.ptr[0] == '\r' || text.ptr[0] == '\n'))
        text = slice_from_at(text, 1);
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] == '\r')
            buf_append_char(&rig->trace, '|');
        else if (text.ptr[i] != '\n')
            buf_append_char(&rig->trace, text.ptr[i]);
}

/* "$JS.ACK.S.C.1.2.3.<time>.4": subject and 1.2.3.4 */
static void trace_delivery(const Message *message) {
    Buf *out = &rig->trace;
    buf_append(out, message->subject);
    buf_append_char(out, ' ');
    for (size_t i = 4; i < 9; i++) {
        if (i == 7)
            continue;
        if (i > 4)
            buf_append_char(out, '.');
        buf_append(out, subject_token(message->reply, i));
    }
    if (message->payload.len) {
        buf_append_char(out, ' ');
        buf_append(out, slice_first(message->payload, 20));
    }
    if (message->headers.len) {
        buf_append_lit(out, " {");
        trace_headers(message->headers);
        buf_append_char(out, '}');
    }
}

size_t bus_publish(Account *account, Slice to, const Message *message, Port *from, unsigned flags) {
    (void)from;
    (void)flags;
    rig->sends++;
    if (rig->is_silent)
        return 1;
    Buf *out = &rig->trace;
    buf_append(out, to);
    buf_append_char(out, ' ');
    if (slice_starts_with(message->reply, LIT("$JS.ACK."))) {
        trace_delivery(message);
    } else if (message->headers.len) {
        trace_headers(message->headers);
        if (message->reply.len) {
            buf_append_lit(out, " -> ");
            buf_append(out, message->reply);
        }
    } else {
        buf_append_lit(out, "-");
    }
    buf_append_char(out, '\n');
    return bus_has_interest(account, to);
}

static uint64_t exact_count(Slice subject, Slice queue) {
    uint64_t count = 0;
    for (size_t i = 0; i < rig->subs.len; i++) {
        Slice text = slice_of_text(rig->subs.at[i]);
        size_t blank = slice_find(text, ' ');
        Slice have_queue = blank < text.len ? slice_from_at(text, blank + 1) : (Slice){0};
        count += slice_equal(slice_first(text, blank), subject) && slice_equal(have_queue, queue);
    }
    return count;
}

void interest_watch_add(Account *account, InterestWatch *watch) {
    (void)account;
    watch->count = exact_count(watch->subject, watch->queue);
    vec_push(&rig->watches, watch);
}

void interest_watch_remove(Account *account, InterestWatch *watch) {
    (void)account;
    for (size_t i = 0; i < rig->watches.len; i++)
        if (rig->watches.at[i] == watch) {
            vec_remove_unordered(&rig->watches, i);
            return;
        }
}

void bus_wait_for_drain(Bus *bus, DrainWait *wait) {
    (void)bus;
    list_push_back(&rig->drains, &wait->link);
}

void bus_cancel_wait(DrainWait *wait) {
    list_remove(&wait->link);
}

static void interest_changed(void) {
    for (size_t i = 0; i < rig->watches.len; i++) {
        InterestWatch *watch = rig->watches.at[i];
        uint64_t before = watch->count;
        watch->count = exact_count(watch->subject, watch->queue);
        if ((before == 0) != (watch->count == 0))
            watch->changed(watch);
    }
    rig_run(rig);
}

void rig_sub(Rig *r, const char *subject) {
    vec_push(&r->subs, mem_copy(subject, strlen(subject)));
    interest_changed();
}

void rig_unsub(Rig *r, const char *subject) {
    for (size_t i = 0; i < r->subs.len; i++)
        if (strcmp(r->subs.at[i], subject) == 0) {
            mem_free(r->subs.at[i]);
            vec_remove_unordered(&r->subs, i);
            break;
        }
    interest_changed();
}

void rig_congest(Rig *r, const char *subject, bool is_congested) {
    if (is_congested) {
        vec_push(&r->congested, mem_copy(subject, strlen(subject)));
        return;
    }
    for (size_t i = 0; i < r->congested.len; i++)
        mem_free(r->congested.at[i]);
    vec_clear(&r->congested);
    List drains;
    list_init(&drains);
    for (Link *link; (link = list_pop_front(&r->drains)) != NULL;)
        list_push_back(&drains, link);
    for (Link *link; (link = list_pop_front(&drains)) != NULL;) {
        DrainWait *wait = CONTAINER_OF(link, DrainWait, link);
        wait->drained(wait);
    }
    rig_run(r);
}

/* --- api --- */

bool api_advisory_is_wanted(JetStream *js, Account *account, Slice tail) {
    (void)js;
    (void)account;
    (void)tail;
    return !rig->hides_advisories && !rig->is_silent;
}

void api_advisory(JetStream *js, Account *account, Slice tail, Slice type, Slice fields) {
    (void)js;
    (void)account;
    (void)tail;
    buf_append_lit(&rig->trace, "! ");
    buf_append(&rig->trace, type);
    buf_append_char(&rig->trace, ' ');
    buf_append(&rig->trace, slice_from_at(fields, 1));
    buf_append_char(&rig->trace, '\n');
}

ApiCall *rig_call(Rig *r) {
    ApiCall *call = mem_zalloc(sizeof *call);
    call->home = &r->worker;
    return call;
}

void api_begin(ApiCall *call, Buf *out) {
    (void)call;
    *out = (Buf){0};
    buf_append_lit(out, "{\"type\":\"t\"");
}

static void set_reply(Slice text) {
    buf_clear(&rig->reply);
    buf_append(&rig->reply, text);
}

void api_finish(ApiCall *call, Buf *out) {
    buf_append_char(out, '}');
    set_reply(buf_slice(out));
    buf_done(out);
    mem_free(call);
}

void api_reply_error(ApiCall *call, ApiError error) {
    buf_clear(&rig->reply);
    buf_printf(&rig->reply, "%u %.*s", error.code, SLICE_ARG(error.text));
    mem_free(call);
}

void api_reply_success(ApiCall *call) {
    set_reply(LIT("success"));
    mem_free(call);
}

void api_drop(ApiCall *call) {
    set_reply(LIT("silence"));
    mem_free(call);
}

/* --- stream --- */

static RigMsg *msg_at(uint64_t seq) {
    return seq >= 1 && seq <= rig->msgs.len ? &rig->msgs.at[seq - 1] : NULL;
}

bool filters_match(const Filters *filters, Slice subject) {
    for (size_t i = 0; i < filters->count; i++)
        if (subject_matches(filters->patterns[i], subject))
            return true;
    return filters->count == 0;
}

static bool wanted(const Filters *filters, uint64_t seq) {
    RigMsg *msg = msg_at(seq);
    return msg && msg->is_live && filters_match(filters, slice_of_text(msg->subject));
}

Status stream_read(Stream *stream, uint64_t seq, StoredMsg *out_msg) {
    (void)stream;
    RigMsg *msg = msg_at(seq);
    if (msg == NULL || !msg->is_live)
        return ERR_NOT_FOUND;
    if (msg->is_damaged)
        return ERR_CORRUPT;
    if (msg->is_cold)
        return ERR_AGAIN;
    *out_msg = (StoredMsg){seq, msg->time_ns, slice_of_text(msg->subject), slice_of_text(msg->headers),
                           slice_of_text(msg->payload), NULL};
    return OK;
}

void stored_msg_done(StoredMsg *msg) {
    (void)msg;
}

void stream_fetch(Stream *stream, uint64_t seq, StreamWait *wait) {
    (void)stream;
    for (uint64_t i = seq; i < seq + 4 && msg_at(i); i++)
        msg_at(i)->is_cold = false;
    list_push_back(&rig->fetches, &wait->link);
}

void stream_cancel_wait(StreamWait *wait) {
    list_remove(&wait->link);
}

uint64_t stream_next(Stream *stream, const Filters *filters, uint64_t from) {
    for (uint64_t seq = from > 0 ? from : 1; seq <= stream->state.last_seq; seq++)
        if (wanted(filters, seq))
            return seq;
    return 0;
}

uint64_t stream_last(Stream *stream, const Filters *filters, uint64_t upto) {
    for (uint64_t seq = upto ? upto : stream->state.last_seq; seq > 0; seq--)
        if (wanted(filters, seq))
            return seq;
    return 0;
}

uint64_t stream_seq_at_time(Stream *stream, int64_t time_ns) {
    for (uint64_t seq = 1; seq <= stream->state.last_seq; seq++)
        if (msg_at(seq)->is_live && msg_at(seq)->time_ns >= time_ns)
            return seq;
    return stream->state.last_seq + 1;
}

uint64_t stream_count(Stream *stream, const Filters *filters, uint64_t from) {
    uint64_t count = 0;
    for (uint64_t seq = from; seq <= stream->state.last_seq; seq++)
        count += wanted(filters, seq);
    return count;
}

size_t stream_last_per_subject(Stream *stream, const Filters *filters, uint64_t upto, uint64_t **out_seqs) {
    uint64_t last = upto ? upto : stream->state.last_seq;
    uint64_t *seqs = NULL;
    size_t n = 0;
    for (uint64_t seq = 1; seq <= last; seq++) {
        bool is_last = wanted(filters, seq);
        for (uint64_t later = seq + 1; is_last && later <= last; later++)
            is_last = !wanted(filters, later) || strcmp(msg_at(seq)->subject, msg_at(later)->subject) != 0;
        if (!is_last)
            continue;
        seqs = mem_realloc(seqs, (n + 1) * sizeof *seqs);
        seqs[n++] = seq;
    }
    *out_seqs = seqs;
    return n;
}

Status stream_subject_of(Stream *stream, uint64_t seq, Slice *out_subject) {
    (void)stream;
    RigMsg *msg = msg_at(seq);
    if (msg == NULL || !msg->is_live)
        return ERR_NOT_FOUND;
    *out_subject = slice_of_text(msg->subject);
    return OK;
}

static void set_first(Rig *r) {
    uint64_t seq = 1;
    while (seq <= r->msgs.len && !r->msgs.at[seq - 1].is_live)
        seq++;
    r->stream.state.first_seq = r->msgs.len ? seq : 0;
}

static void remove_one(uint64_t seq, bool has_advisory) {
    RigMsg *msg = msg_at(seq);
    if (msg == NULL || !msg->is_live)
        return;
    consumer_set_on_removed(rig->set, seq, slice_of_text(msg->subject), has_advisory);
    msg->is_live = false;
    set_first(rig);
    RigEvent event = {EVENT_REMOVED, seq, 0};
    vec_push(&rig->events, event);
}

void stream_on_consumed(Stream *stream, Consumer *consumer, uint64_t seq) {
    (void)consumer;
    RigMsg *msg = msg_at(seq);
    if (stream->config->retention == RETENTION_LIMITS || msg == NULL || !msg->is_live || consumer->set != rig->set)
        return;
    if (!consumer_set_needs(stream->consumers, seq, slice_of_text(msg->subject)))
        remove_one(seq, false);
}

void stream_on_consumer_gone(Stream *stream) {
    if (stream->config->retention != RETENTION_INTEREST)
        return;
    for (uint64_t seq = 1; seq <= stream->state.last_seq; seq++)
        if (msg_at(seq)->is_live && !consumer_set_needs(stream->consumers, seq, slice_of_text(msg_at(seq)->subject)))
            remove_one(seq, false);
}

void stream_propose_consumer(Stream *stream, const ConsumerProposal *proposal) {
    RigEntry entry = {
        .type = proposal->type,
        .name = mem_copy(proposal->name.ptr, proposal->name.len),
        .payload = mem_copy(proposal->payload.ptr ? proposal->payload.ptr : "", proposal->payload.len),
        .payload_len = proposal->payload.len,
        .replies = mem_copy(proposal->ack_replies.ptr ? proposal->ack_replies.ptr : "", proposal->ack_replies.len),
        .replies_len = proposal->ack_replies.len,
        .call = proposal->call,
    };
    ASSERT(!stream->group.is_memory);
    vec_push(&rig->proposals, entry);
}

/* --- the rig --- */

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
    r->stream = (Stream){.js = &r->js, .account = &the_account, .config = &r->config};
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
    ASSERT(r->timers.len == 0 && r->watches.len == 0 && list_is_empty(&r->ready) && list_is_empty(&r->soon) &&
           list_is_empty(&r->drains) && list_is_empty(&r->fetches));
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
    if (r->config.retention == RETENTION_INTEREST && !consumer_set_wants(r->set, slice_of_text(subject)))
        stored.is_live = false;
    stored.subject = mem_copy(subject, strlen(subject));
    stored.payload = mem_copy(payload, strlen(payload));
    stored.headers = mem_copy(headers, strlen(headers));
    vec_push(&r->msgs, stored);
    r->stream.state.last_seq = seq;
    set_first(r);
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
    remove_one(seq, has_advisory);
    rig_run(r);
}

void rig_purge_below(Rig *r, uint64_t seq) {
    for (uint64_t i = 1; i < seq; i++)
        remove_one(i, false);
    rig_run(r);
}

void rig_purge_all(Rig *r) {
    consumer_set_on_purged_all(r->set, r->stream.state.last_seq);
    for (size_t i = 0; i < r->msgs.len; i++)
        r->msgs.at[i].is_live = false;
    set_first(r);
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
        msg_at(event->seq)->is_live = true;
        break;
    case EVENT_REMOVED:
        if (is_new)
            consumer_set_on_removed(set, event->seq, slice_of_text(msg_at(event->seq)->subject), false);
        msg_at(event->seq)->is_live = false;
        break;
    case EVENT_PURGED:
        if (is_new)
            consumer_set_on_purged_all(set, event->seq);
        for (uint64_t seq = 1; seq <= event->seq; seq++)
            msg_at(seq)->is_live = false;
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
    ApiError error = consumer_request_parse(buf_slice(&json), &r->options.limits, r->worker.turn, &request);
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

bool rig_ack(Rig *r, const char *name, const char *tokens, const char *body, const char *reply) {
    Message message = {.reply = slice_of_text(reply), .payload = slice_of_text(body)};
    Buf all = {0};
    /* "deliveries.sseq.dseq" is completed */
    buf_printf(&all, "%s.1700000000000000000.0", tokens);
    bool is_taken = consumer_on_ack(rig_consumer(r, name), buf_slice(&all), &message);
    buf_done(&all);
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
    static const char *const keys[] = {"num_ack_pending", "num_redelivered", "num_waiting", "num_pending"};
    static const char *const words[] = {"ack", "redelivered", "waiting", "pending"};
    buf_printf(&out, "delivered %llu/%llu floor %llu/%llu", (unsigned long long)number_after(json, "consumer_seq\":", 0),
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
