#include "stream/consumer.h"

#include "base/limits.h"
#include "base/log.h"
#include "io/clock.h"
#include "proto/subject.h"
#include "stream/pacing.h"
#include "stream/priority.h"
#include "stream/pull.h"
#include "stream/push.h"

static const Slice ACK_PREFIX = LIT("$JS.ACK.");

Slice consumer_name(const Consumer *consumer) {
    return slice_from(consumer->text + consumer->name_at, consumer->name_len);
}

bool consumer_takes_acks(const Consumer *consumer) {
    return consumer->ack_policy == ACK_EXPLICIT || consumer->ack_policy == ACK_ALL;
}

static void write_text(Consumer *consumer, Slice stream, Slice name) {
    char *to = consumer->text;
    memcpy(to, ACK_PREFIX.ptr, ACK_PREFIX.len);
    to += ACK_PREFIX.len;
    memcpy(to, stream.ptr, stream.len);
    to += stream.len;
    *to++ = '.';
    consumer->name_at = (uint16_t)(to - consumer->text);
    consumer->name_len = (uint16_t)name.len;
    memcpy(to, name.ptr, name.len);
    to[name.len] = '.';
}

static void index_filters(Consumer *consumer) {
    FilterIndex *index = &consumer->set->index;
    const ConsumerFilters *filters = consumer->filters;
    if (filters == NULL || filters->count == 1) {
        Slice filter = filters ? filters->patterns[0] : (Slice){0};
        filter_index_add(index, filter, consumer, &consumer->link);
        return;
    }
    consumer->links = mem_zalloc(filters->count * sizeof *consumer->links);
    for (size_t i = 0; i < filters->count; i++)
        filter_index_add(index, filters->patterns[i], consumer, &consumer->links[i]);
}

static void unindex_filters(Consumer *consumer) {
    filter_index_remove(&consumer->set->index, &consumer->link);
    for (size_t i = 0; consumer->links && i < consumer->filters->count; i++)
        filter_index_remove(&consumer->set->index, &consumer->links[i]);
    mem_free(consumer->links);
    consumer->links = NULL;
}

static void initial_free(Consumer *consumer) {
    if (consumer->initial)
        mem_free(consumer->initial->seqs);
    mem_free(consumer->initial);
    consumer->initial = NULL;
}

/* The last message of each subject up to initial_upto, those not delivered yet. */
static void initial_build(Consumer *consumer) {
    initial_free(consumer);
    Initial *initial = mem_zalloc(sizeof *initial);
    Filters filters = consumer_filters(consumer);
    initial->len = stream_last_per_subject(consumer_stream(consumer), &filters,
                                           consumer->initial_upto, &initial->seqs);
    while (initial->at < initial->len && initial->seqs[initial->at] <= consumer->delivered.sseq)
        initial->at++;
    consumer->initial = initial;
}

/* With one message per subject at most, the last of each subject are all there are. */
static uint64_t start_at_last_per_subject(Consumer *consumer) {
    Stream *stream = consumer_stream(consumer);
    if (stream->config->max_msgs_per_subject == 1)
        return stream->state.first_seq;
    consumer->initial_upto = stream->state.last_seq;
    initial_build(consumer);
    Initial *initial = consumer->initial;
    uint64_t start = initial->len ? initial->seqs[0] : stream->state.last_seq + 1;
    consumer->is_initial = initial->len > 0;
    if (!consumer->is_initial || !consumer->set->is_started)
        initial_free(consumer);
    return start;
}

static uint64_t start_sequence(Consumer *consumer) {
    Stream *stream = consumer_stream(consumer);
    const ConsumerConfig *config = consumer_config(consumer);
    Filters filters = consumer_filters(consumer);
    switch (config->deliver_policy) {
    case DELIVER_LAST:
        return stream_last(stream, &filters, 0);
    case DELIVER_NEW:
        return stream->state.last_seq + 1;
    case DELIVER_BY_START_SEQUENCE:
        return config->opt_start_seq;
    case DELIVER_BY_START_TIME:
        return stream_seq_at_time(stream, config->opt_start_time_ns);
    case DELIVER_LAST_PER_SUBJECT:
        return start_at_last_per_subject(consumer);
    case DELIVER_ALL:
        break;
    }
    return stream->state.first_seq;
}

static void place_at_start(Consumer *consumer) {
    uint64_t start = start_sequence(consumer);
    if (start < consumer_stream(consumer)->state.first_seq)
        start = consumer_stream(consumer)->state.first_seq;
    if (start == 0)
        start = 1;
    consumer->delivered = consumer->floor = (SeqPair){0, start - 1};
    consumer->next_seq = start;
}

/* What hangs on the config and is made anew when it changes. */
static void make_parts(Consumer *consumer, const ConsumerConfig *config) {
    consumer->ack_policy = (uint8_t)config->ack_policy;
    consumer->is_durable = config->durable_name.len > 0;
    consumer->has_given_name = config->name.len > 0;
    if (config->deliver_subject.len)
        push_new(consumer, config->deliver_subject, config->deliver_group);
    else if (consumer->pull == NULL)
        pull_new(consumer);
    pacing_refresh(consumer);
    priority_refresh(consumer);
}

Consumer *consumer_new(ConsumerSet *set, const ConsumerConfig *config, const ConsumerBirth *birth) {
    Slice stream = stream_name(set->stream);
    Consumer *consumer =
        mem_zalloc(sizeof *consumer + ACK_PREFIX.len + stream.len + birth->name.len + 2);
    consumer->home = set->home;
    consumer->set = set;
    consumer->created_ns = birth->created_ns;
    consumer->is_logged = birth->is_logged;
    link_init(&consumer->behind);
    link_init(&consumer->fetch.link);
    consumer->fetch.ready = consumer_on_fetched;
    timer_init(&consumer->timer, consumer_on_timer);
    write_text(consumer, stream, birth->name);
    consumer->options = consumer_options_take(&set->options, config);
    consumer->filters = consumer_filters_new(config);
    make_parts(consumer, config);
    place_at_start(consumer);
    index_filters(consumer);
    consumer->set_at = (uint32_t)set->all.len;
    consumer->saved_in = set->save_round; /* what is being saved knows nothing of it */
    vec_push(&set->all, consumer);
    map_put(&set->by_name, consumer_name(consumer), consumer);
    set->direct_count += config->direct;
    if (!config->direct)
        consumer_set_note_shown(set, consumer);
    if (consumer->ack_policy == ACK_NONE &&
        (consumer->is_logged || set->stream->config->retention != RETENTION_LIMITS))
        consumer_need_delta(consumer);
    return consumer;
}

static void leave_set(Consumer *consumer) {
    ConsumerSet *set = consumer->set;
    consumer_will_change(consumer);
    consumer_will_change(set->all.at[set->all.len - 1]); /* it may move to where all are saved */
    unindex_filters(consumer);
    map_remove(&set->by_name, consumer_name(consumer));
    set->all.at[consumer->set_at] = set->all.at[set->all.len - 1];
    set->all.at[consumer->set_at]->set_at = consumer->set_at;
    set->all.len--;
    set->direct_count -= consumer_config(consumer)->direct;
    if (!consumer_config(consumer)->direct)
        consumer_set_note_hidden(set, consumer);
    consumer_leave_behind(consumer);
}

static void stop_waiting(Consumer *consumer) {
    timer_cancel(consumer->home, &consumer->timer);
    if (consumer->pump_task.run)
        task_cancel(&consumer->pump_task);
    if (consumer->is_fetching)
        stream_cancel_wait(&consumer->fetch);
    consumer->is_fetching = false;
}

static void forget_acks(Consumer *consumer) {
    if (consumer->acks == NULL)
        return;
    pending_done(&consumer->acks->pending);
    seq_queue_done(&consumer->acks->queue);
    vec_done(&consumer->acks->given_up);
    *consumer->acks = (Acks){0};
}

void consumer_free(Consumer *consumer) {
    if (consumer == NULL)
        return;
    if (!consumer->is_gone)
        leave_set(consumer);
    stop_waiting(consumer);
    push_free(consumer);
    pull_free(consumer);
    pacing_free(consumer);
    priority_free(consumer);
    consumer_delta_free(consumer);
    initial_free(consumer);
    forget_acks(consumer);
    mem_free(consumer->acks);
    consumer_options_release(&consumer->set->options, consumer->options);
    mem_free(consumer->filters);
    mem_free(consumer);
}

void consumer_remove(Consumer *consumer) {
    ConsumerSet *set = consumer->set;
    ASSERT(!consumer->is_gone);
    if (consumer->pull)
        pull_end_all(consumer, LIT("409 Consumer Deleted"));
    consumer_advise_action(consumer, false);
    leave_set(consumer);
    consumer->is_gone = true;
    stop_waiting(consumer);
    if (consumer->push)
        push_stop(consumer);
    consumer_delta_free(consumer);
    vec_push(&set->gone, consumer);
    worker_ready(set->home, &set->sweep);
}

Acks *consumer_need_acks(Consumer *consumer) {
    if (consumer->acks == NULL)
        consumer->acks = mem_zalloc(sizeof *consumer->acks);
    return consumer->acks;
}

void consumer_retire(Consumer *consumer, void *memory) {
    if (!consumer->is_pumping) {
        mem_free(memory);
        return;
    }
    vec_push(&consumer->set->retired, memory);
    worker_ready(consumer->home, &consumer->set->sweep);
}

void consumer_note_behind(Consumer *consumer) {
    if (consumer->is_gone || link_is_listed(&consumer->behind) || consumer_is_quiet(consumer))
        return;
    list_push_back(&consumer->set->behind, &consumer->behind);
    consumer->set->behind_count++;
}

static void set_odd(Consumer *consumer, bool is_odd) {
    if (consumer->is_odd == is_odd)
        return;
    consumer->is_odd = is_odd;
    if (is_odd)
        consumer->set->odd_count++;
    else
        consumer->set->odd_count--;
}

void consumer_leave_behind(Consumer *consumer) {
    set_odd(consumer, false);
    if (!link_is_listed(&consumer->behind))
        return;
    list_remove(&consumer->behind);
    consumer->set->behind_count--;
}

uint64_t consumer_first_needed(const Consumer *consumer) {
    uint64_t seq = consumer->delivered.sseq + 1;
    if (!consumer_tracks_acks(consumer))
        return consumer->delta ? consumer->delta->consumed_sseq + 1 : seq;
    if (consumer->acks == NULL)
        return seq;
    const PendingEntry *entry = pending_above(&consumer->acks->pending, 0);
    if (entry && entry->sseq < seq)
        seq = entry->sseq;
    if (consumer->acks->given_up.len && consumer->acks->given_up.at[0].sseq < seq)
        seq = consumer->acks->given_up.at[0].sseq;
    return seq;
}

void consumer_recount(Consumer *consumer) {
    Stream *stream = consumer_stream(consumer);
    Filters filters = consumer_filters(consumer);
    if (consumer->is_initial && consumer->delivered.sseq < consumer->initial_upto) {
        if (consumer->initial == NULL)
            initial_build(consumer);
        consumer->next_seq = consumer->initial_upto + 1;
        consumer->num_pending = consumer->initial->len - consumer->initial->at;
    } else {
        initial_free(consumer);
        consumer->is_initial = false;
        consumer->next_seq = consumer->delivered.sseq + 1;
        consumer->num_pending = 0;
    }
    if (consumer->set->seen_seq < stream->state.last_seq)
        consumer->set->seen_seq = stream->state.last_seq;
    if (consumer->next_seq <= stream->state.last_seq)
        consumer->num_pending += stream_count(stream, &filters, consumer->next_seq);
    consumer_note_behind(consumer);
}

/* From the wall's clock to the one of deadlines. */
static void wake_delayed(Consumer *consumer, PendingEntry *entry, uint64_t wall_ns) {
    uint64_t due_ns = entry->due_ns > wall_ns ? entry->due_ns - wall_ns : 0;
    pending_set_due(&consumer->acks->pending, entry, consumer->home->now_ns + due_ns);
    entry->flags |= PENDING_DELAYED;
}

/* After recovery: messages that are gone are not pending, deadlines begin anew, but for those that
 * a client chose. */
static void wake_pending(Consumer *consumer) {
    Acks *acks = consumer->acks;
    if (acks == NULL)
        return;
    Stream *stream = consumer_stream(consumer);
    Filters filters = consumer_filters(consumer);
    Slice subject;
    bool is_odd = false;
    uint64_t wall_ns = (uint64_t)clock_wall_ns();
    for (PendingEntry *entry = pending_above(&acks->pending, 0); entry;) {
        uint64_t sseq = entry->sseq;
        int64_t wait_ns = consumer_ack_wait(consumer, entry->deliveries);
        bool is_there = stream_subject_of(stream, sseq, &subject) == OK;
        is_odd |= is_there && !filters_match(&filters, subject);
        if (!is_there)
            consumer_drop_removed(consumer, sseq);
        else if (entry->flags & PENDING_DELAYED)
            wake_delayed(consumer, entry, wall_ns);
        else if (wait_ns > 0 && entry->due_ns == 0)
            pending_set_due(&acks->pending, entry, consumer->home->now_ns + (uint64_t)wait_ns);
        entry = pending_above(&acks->pending, sseq);
    }
    for (size_t i = acks->given_up.len; i-- > 0;)
        if (stream_subject_of(stream, acks->given_up.at[i].sseq, &subject) == ERR_NOT_FOUND)
            vec_remove_ordered(&acks->given_up, i);
        else
            is_odd |= !filters_match(&filters, subject);
    set_odd(consumer, is_odd);
    consumer_arm(consumer, pending_due(&acks->pending));
}

void consumer_start(Consumer *consumer) {
    consumer->is_started = true;
    wake_pending(consumer);
    consumer_recount(consumer);
    pacing_refresh(consumer);
    consumer_refresh_pause(consumer);
    if (consumer->push)
        push_start(consumer);
    else
        consumer_set_active(consumer, false);
    consumer_pump_soon(consumer);
}

void consumer_change(Consumer *consumer, const ConsumerConfig *config) {
    ConsumerSet *set = consumer->set;
    ConsumerOptions *old = consumer->options;
    bool has_new_filters = !consumer_filters_equal(consumer->filters, config);
    bool was_active = consumer->push && push_is_active(consumer);
    set->direct_count += (uint32_t)config->direct - (uint32_t)old->config.direct;
    if (config->direct && !old->config.direct)
        consumer_set_note_hidden(set, consumer);
    else if (!config->direct && old->config.direct)
        consumer_set_note_shown(set, consumer);
    push_free(consumer);
    ConsumerFilters *old_filters = NULL;
    Filters before = consumer_filters(consumer);
    if (has_new_filters) {
        unindex_filters(consumer);
        old_filters = consumer->filters;
        consumer->filters = consumer_filters_new(config);
        set_odd(consumer, consumer_pending_count(consumer) > 0 ||
                              (consumer->acks && consumer->acks->given_up.len > 0));
    }
    if (consumer->filters)
        consumer->filters->are_plural = config->filters_are_plural;
    consumer->options = consumer_options_take(&set->options, config);
    make_parts(consumer, config);
    if (has_new_filters) {
        index_filters(consumer);
        consumer->is_initial = false;
    }
    consumer_options_release(&set->options, old);
    if (consumer->is_started && has_new_filters) {
        consumer_recount(consumer);
        stream_on_consumer_gone(set->stream, &before, consumer_first_needed(consumer));
    }
    mem_free(old_filters);
    if (!consumer->is_started)
        return;
    consumer_refresh_pause(consumer);
    if (consumer->push)
        push_start(consumer);
    if (was_active != (consumer->push && push_is_active(consumer)) || consumer->inactive_ns)
        consumer_set_active(consumer, consumer->push && push_is_active(consumer));
    consumer_pump_soon(consumer);
}

void consumer_pass_all(Consumer *consumer, uint64_t last_seq) {
    consumer_will_change(consumer);
    if (consumer->is_started && consumer_pending_count(consumer) > 0)
        consumer->acked_at_ns = consumer->set->wall_ns;
    forget_acks(consumer);
    initial_free(consumer);
    consumer->is_initial = false;
    if (consumer->delivered.sseq < last_seq)
        consumer->delivered.sseq = last_seq;
    consumer->floor = consumer->delivered;
    if (consumer->next_seq <= consumer->delivered.sseq)
        consumer->next_seq = consumer->delivered.sseq + 1;
    consumer->num_pending = 0;
    if (consumer->is_started && pull_has_hasty(consumer))
        consumer_pump_soon(consumer);
}

/* The first sequence that may still be of interest after a purge; 0 when the purge does not concern
 * the consumer. */
static uint64_t first_after_purge(const Consumer *consumer, Slice filter) {
    Stream *stream = consumer_stream(consumer);
    Filters wanted = consumer_filters(consumer);
    bool is_whole = filter.len == 0 || slice_equal(filter, LIT(">"));
    bool is_subset = wanted.count > 0, is_concerned = is_whole || wanted.count == 0;
    for (size_t i = 0; i < wanted.count && !is_whole; i++) {
        is_subset &= subject_is_subset(wanted.patterns[i], filter);
        is_concerned |= subject_overlaps(wanted.patterns[i], filter);
    }
    if (!is_concerned)
        return 0;
    if (is_whole || !is_subset)
        return stream->state.first_seq;
    uint64_t next = stream_next(stream, &(Filters){&filter, 1}, 0);
    return next ? next : stream->state.last_seq + 1;
}

void consumer_pass_purged(Consumer *consumer, Slice filter) {
    uint64_t first = first_after_purge(consumer, filter);
    if (first <= consumer->delivered.sseq + 1 || consumer->is_initial)
        return;
    consumer_will_change(consumer);
    consumer->delivered.sseq = first - 1;
    if (consumer->next_seq < first)
        consumer->next_seq = first;
    if (consumer_pending_count(consumer) == 0)
        consumer->floor = consumer->delivered;
}

void consumer_on_stream_config(Consumer *consumer) {
    pacing_refresh(consumer);
    if (consumer->is_started)
        consumer_pump_soon(consumer);
}

void consumer_reset(Consumer *consumer, uint64_t seq) {
    consumer_will_change(consumer);
    forget_acks(consumer);
    consumer->delivered = consumer->floor = (SeqPair){0, seq - 1};
    consumer->delivered_at_ns = consumer->acked_at_ns = 0;
    consumer->next_seq = seq;
    if (consumer->delta)
        consumer->delta->consumed_sseq = seq - 1;
    initial_free(consumer);
    consumer->is_initial = consumer_config(consumer)->deliver_policy == DELIVER_LAST_PER_SUBJECT &&
                           consumer_stream(consumer)->config->max_msgs_per_subject != 1;
    consumer->initial_upto = consumer->is_initial ? consumer_stream(consumer)->state.last_seq : 0;
    consumer->is_resetting = false;
    if (!consumer->is_started)
        return;
    consumer_recount(consumer);
    consumer_pump_soon(consumer);
}

ConsumerConfig consumer_whole_config(const Consumer *consumer) {
    ConsumerConfig config = *consumer_config(consumer);
    if (consumer->filters) {
        config.filters = consumer->filters->patterns;
        config.filter_count = consumer->filters->count;
        config.filters_are_plural = consumer->filters->are_plural;
    }
    if (consumer->is_durable)
        config.durable_name = consumer_name(consumer);
    if (consumer->has_given_name)
        config.name = consumer_name(consumer);
    if (consumer->push)
        config.deliver_subject = push_subject(consumer);
    return config;
}
