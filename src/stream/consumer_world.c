/* The world around the consumers under test: clock, worker, bus, API and stream. */
#include "stream/consumer_rig.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"
#include "io/clock.h"
#include "proto/subject.h"
#include "proto/timefmt.h"
#include "stream/push.h"

Rig *rig;

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

Account rig_account;

size_t account_index(const Account *account) {
    (void)account;
    return 0;
}

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

void api_finish_with(ApiCall *call, Slice headers, Buf *out) {
    (void)headers;
    api_finish(call, out);
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

RigMsg *rig_msg(uint64_t seq) {
    return seq >= 1 && seq <= rig->msgs.len ? &rig->msgs.at[seq - 1] : NULL;
}

bool filters_match(const Filters *filters, Slice subject) {
    for (size_t i = 0; i < filters->count; i++)
        if (subject_matches(filters->patterns[i], subject))
            return true;
    return filters->count == 0;
}

static bool wanted(const Filters *filters, uint64_t seq) {
    RigMsg *msg = rig_msg(seq);
    return msg && msg->is_live && filters_match(filters, slice_of_text(msg->subject));
}

Status stream_read(Stream *stream, uint64_t seq, StoredMsg *out_msg) {
    (void)stream;
    RigMsg *msg = rig_msg(seq);
    if (msg == NULL || !msg->is_live)
        return ERR_NOT_FOUND;
    if (msg->is_refused)
        return ERR_IO;
    if (msg->is_damaged)
        return ERR_CORRUPT;
    if (msg->is_cold)
        return ERR_AGAIN;
    *out_msg = (StoredMsg){seq,
                           msg->time_ns,
                           slice_of_text(msg->subject),
                           slice_of_text(msg->headers),
                           slice_of_text(msg->payload),
                           NULL};
    return OK;
}

void stored_msg_done(StoredMsg *msg) {
    (void)msg;
}

void stream_fetch(Stream *stream, uint64_t seq, StreamWait *wait) {
    (void)stream;
    for (uint64_t i = seq; i < seq + 4 && rig_msg(i); i++)
        rig_msg(i)->is_cold = false;
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

bool stream_covers_all(Stream *stream, const Filters *filters) {
    (void)stream;
    (void)filters;
    return false;
}

uint64_t stream_next_of_all(const Stream *stream, uint64_t from) {
    (void)stream;
    (void)from;
    ASSERT(false); /* nothing covers all */
}

uint64_t stream_last(Stream *stream, const Filters *filters, uint64_t upto) {
    for (uint64_t seq = upto ? upto : stream->state.last_seq; seq > 0; seq--)
        if (wanted(filters, seq))
            return seq;
    return 0;
}

uint64_t stream_seq_at_time(Stream *stream, int64_t time_ns) {
    for (uint64_t seq = 1; seq <= stream->state.last_seq; seq++)
        if (rig_msg(seq)->is_live && rig_msg(seq)->time_ns >= time_ns)
            return seq;
    return stream->state.last_seq + 1;
}

uint64_t stream_count(Stream *stream, const Filters *filters, uint64_t from) {
    uint64_t count = 0;
    for (uint64_t seq = from; seq <= stream->state.last_seq; seq++)
        count += wanted(filters, seq);
    return count;
}

size_t stream_last_per_subject(Stream *stream, const Filters *filters, uint64_t upto,
                               uint64_t **out_seqs) {
    uint64_t last = upto ? upto : stream->state.last_seq;
    uint64_t *seqs = NULL;
    size_t n = 0;
    for (uint64_t seq = 1; seq <= last; seq++) {
        bool is_last = wanted(filters, seq);
        for (uint64_t later = seq + 1; is_last && later <= last; later++)
            is_last = !wanted(filters, later) ||
                      strcmp(rig_msg(seq)->subject, rig_msg(later)->subject) != 0;
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
    RigMsg *msg = rig_msg(seq);
    if (msg == NULL || !msg->is_live)
        return ERR_NOT_FOUND;
    *out_subject = slice_of_text(msg->subject);
    return OK;
}

void rig_set_first(Rig *r) {
    uint64_t seq = 1;
    while (seq <= r->msgs.len && !r->msgs.at[seq - 1].is_live)
        seq++;
    r->stream.state.first_seq = r->msgs.len ? seq : 0;
}

void rig_remove(uint64_t seq, bool has_advisory) {
    RigMsg *msg = rig_msg(seq);
    if (msg == NULL || !msg->is_live)
        return;
    consumer_set_on_removed(rig->set, seq, slice_of_text(msg->subject), has_advisory);
    msg->is_live = false;
    rig_set_first(rig);
    RigEvent event = {EVENT_REMOVED, seq, 0};
    vec_push(&rig->events, event);
}

bool stream_log_works(const Stream *stream) {
    (void)stream;
    return true;
}

void stream_on_consumed(Stream *stream, Consumer *consumer, uint64_t seq) {
    (void)consumer;
    RigMsg *msg = rig_msg(seq);
    if (stream->config->retention == RETENTION_LIMITS || msg == NULL || !msg->is_live ||
        consumer->set != rig->set)
        return;
    if (!consumer_set_needs(stream->consumers, seq, slice_of_text(msg->subject)))
        rig_remove(seq, false);
}

void stream_on_consumer_gone(Stream *stream, const Filters *filters, uint64_t from) {
    if (stream->config->retention != RETENTION_INTEREST)
        return;
    for (uint64_t seq = from; seq <= stream->state.last_seq; seq++)
        if (rig_msg(seq)->is_live && filters_match(filters, slice_of_text(rig_msg(seq)->subject)) &&
            !consumer_set_needs(stream->consumers, seq, slice_of_text(rig_msg(seq)->subject)))
            rig_remove(seq, false);
}

void stream_propose_consumer(Stream *stream, const ConsumerProposal *proposal) {
    RigEntry entry = {
        .type = proposal->type,
        .name = mem_copy(proposal->name.ptr, proposal->name.len),
        .payload =
            mem_copy(proposal->payload.ptr ? proposal->payload.ptr : "", proposal->payload.len),
        .payload_len = proposal->payload.len,
        .replies = mem_copy(proposal->ack_replies.ptr ? proposal->ack_replies.ptr : "",
                            proposal->ack_replies.len),
        .replies_len = proposal->ack_replies.len,
        .call = proposal->call,
    };
    ASSERT(!stream->group.is_memory);
    vec_push(&rig->proposals, entry);
}
