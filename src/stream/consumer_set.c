#include "stream/consumer_set.h"

#include <stdlib.h>

#include "io/clock.h"
#include "stream/consumer.h"
#include "stream/priority.h"
#include "stream/pull.h"

static void sweep(ConsumerSet *set) {
    for (size_t i = 0; i < set->gone.len; i++)
        consumer_free(set->gone.at[i]);
    vec_done(&set->gone);
    for (size_t i = 0; i < set->retired.len; i++)
        mem_free(set->retired.at[i]);
    vec_done(&set->retired);
}

static void run_sweep(Task *task) {
    sweep(CONTAINER_OF(task, ConsumerSet, sweep));
}

ConsumerSet *consumer_set_new(Stream *stream) {
    ConsumerSet *set = mem_zalloc(sizeof *set);
    set->home = stream->group.home;
    set->stream = stream;
    list_init(&set->behind);
    list_init(&set->drafts);
    task_init(&set->sweep, run_sweep);
    return set;
}

void consumer_set_free(ConsumerSet *set) {
    if (set == NULL)
        return;
    consumer_set_drop_drafts(set);
    while (set->all.len > 0)
        consumer_free(set->all.at[set->all.len - 1]);
    task_cancel(&set->sweep);
    sweep(set);
    vec_done(&set->all);
    map_done(&set->by_name);
    map64_done(&set->options);
    name_order_done(&set->order);
    filter_index_done(&set->index);
    filter_index_done(&set->in_flight);
    mem_free(set);
}

void consumer_set_note_time(ConsumerSet *set) {
    set->wall_ns = clock_wall_ns();
}

size_t consumer_set_count(const ConsumerSet *set) {
    return set->all.len;
}

size_t consumer_set_visible_count(const ConsumerSet *set) {
    return set->all.len - set->direct_count;
}

Consumer *consumer_set_find(const ConsumerSet *set, Slice name) {
    return map_get(&set->by_name, name);
}

static int compare_names(const void *a, const void *b) {
    return slice_compare(consumer_name(*(Consumer *const *)a),
                         consumer_name(*(Consumer *const *)b));
}

void consumer_sort(Consumer **consumers, size_t n) {
    if (n > 1)
        qsort(consumers, n, sizeof *consumers, compare_names);
}

void consumer_set_note_shown(ConsumerSet *set, Consumer *consumer) {
    if (set->is_ordered)
        name_order_add(&set->order, consumer);
}

void consumer_set_note_hidden(ConsumerSet *set, const Consumer *consumer) {
    if (set->is_ordered)
        name_order_remove(&set->order, consumer);
}

static Slice name_of(const void *consumer) {
    return consumer_name(consumer);
}

static void make_order(ConsumerSet *set) {
    name_order_init(&set->order, name_of);
    set->is_ordered = true;
    for (size_t i = 0; i < set->all.len; i++)
        if (!consumer_config(set->all.at[i])->direct)
            name_order_add(&set->order, set->all.at[i]);
}

size_t consumer_set_page(ConsumerSet *set, size_t from, size_t max, Consumer ***out_consumers) {
    size_t count = consumer_set_visible_count(set);
    if (!set->is_ordered)
        make_order(set);
    ASSERT(set->order.len == count);
    from = from < count ? from : count;
    max = max < count - from ? max : count - from;
    *out_consumers = arena_alloc(set->home->turn, (max + 1) * sizeof(Consumer *));
    return name_order_page(&set->order, from, max, (void **)*out_consumers);
}

void consumer_set_start(ConsumerSet *set) {
    ASSERT_HOME(set);
    set->is_started = true;
    set->seen_seq = set->stream->state.last_seq;
    consumer_set_note_time(set);
    for (size_t i = 0; i < set->all.len; i++)
        consumer_start(set->all.at[i]);
}

void consumer_set_stop(ConsumerSet *set) {
    ASSERT_HOME(set);
    while (set->all.len > 0)
        consumer_remove(set->all.at[set->all.len - 1]);
    consumer_set_drop_drafts(set);
    set->is_started = false;
}

static bool offer_to_node(void *cookie, FilterNode *node) {
    const StoredMsg *msg = cookie;
    for (size_t i = 0, n = node->slots.len; i < n; i++) {
        Consumer *consumer = node->slots.at[i].owner;
        if (consumer == NULL || !consumer->is_started || msg->seq < consumer->next_seq)
            continue;
        consumer->num_pending++;
        consumer_offer(consumer, msg);
    }
    return false;
}

void consumer_set_on_stored(ConsumerSet *set, const StoredMsg *msg) {
    ASSERT_HOME(set);
    if (!set->is_started)
        return;
    set->seen_seq = msg->seq;
    if (set->index.links == 0)
        return;
    consumer_set_note_time(set);
    (void)filter_index_visit(&set->index, msg->subject, offer_to_node, (void *)msg);
}

static bool is_in_initial(const Consumer *consumer, uint64_t seq) {
    const Initial *initial = consumer->initial;
    size_t low = initial->at, high = initial->len;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (initial->seqs[middle] < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low < initial->len && initial->seqs[low] == seq;
}

/* Counted in num_pending: seen, not delivered, wanted. */
static bool is_awaited(const Consumer *consumer, uint64_t seq, Slice subject) {
    if (!consumer->is_started || seq > consumer->set->seen_seq)
        return false;
    if (consumer->initial && is_in_initial(consumer, seq))
        return true;
    Filters filters = consumer_filters(consumer);
    return seq >= consumer->next_seq && filters_match(&filters, subject);
}

static void on_removed(Consumer *consumer, uint64_t seq, Slice subject, bool has_advisory) {
    PendingEntry *entry = consumer->acks ? pending_find(&consumer->acks->pending, seq) : NULL;
    if (is_awaited(consumer, seq, subject)) {
        ASSERT(consumer->num_pending > 0);
        consumer->num_pending--;
    }
    if (entry && has_advisory)
        consumer_advise_terminated(consumer, entry->dseq, seq, entry->deliveries,
                                   LIT("Unacknowledged message was deleted"));
    bool was_stalling = consumer_drop_removed(consumer, seq);
    if ((was_stalling && consumer->num_pending > 0) ||
        (consumer->is_started && pull_has_hasty(consumer)))
        consumer_pump_soon(consumer);
}

/* A message that goes. */
typedef struct Removal {
    uint64_t seq;
    Slice subject;
    bool has_advisory;
    size_t slots; /* of the nodes that cover subject */
} Removal;

static void pass_removed(Consumer *consumer, const Removal *removal) {
    on_removed(consumer, removal->seq, removal->subject, removal->has_advisory);
    if (consumer->is_started && consumer_is_quiet(consumer))
        consumer_leave_behind(consumer);
}

static bool count_slots(void *cookie, FilterNode *node) {
    Removal *removal = cookie;
    removal->slots += node->slots.len;
    return false;
}

static bool pass_removed_to_node(void *cookie, FilterNode *node) {
    const Removal *removal = cookie;
    for (size_t i = 0, n = node->slots.len; i < n; i++) {
        Consumer *consumer = node->slots.at[i].owner;
        if (consumer && link_is_listed(&consumer->behind))
            pass_removed(consumer, removal);
    }
    return false;
}

/* To those that are behind, or to those whose filters cover the subject: whichever are fewer. */
void consumer_set_on_removed(ConsumerSet *set, uint64_t seq, Slice subject, bool has_advisory) {
    ASSERT_HOME(set);
    if (list_is_empty(&set->behind))
        return;
    if (set->is_started)
        consumer_set_note_time(set);
    Removal removal = {seq, subject, has_advisory, 0};
    bool is_covered_known = set->odd_count == 0 && subject.len > 0 && set->behind_count > 1;
    if (is_covered_known) {
        (void)filter_index_visit(&set->index, subject, count_slots, &removal);
        if (removal.slots < set->behind_count) {
            (void)filter_index_visit(&set->index, subject, pass_removed_to_node, &removal);
            return;
        }
    }
    LIST_FOR_EACH(link, &set->behind)
    pass_removed(CONTAINER_OF(link, Consumer, behind), &removal);
}

static bool pass_purged_to_node(void *cookie, FilterNode *node) {
    Slice filter = *(const Slice *)cookie;
    for (size_t i = 0, n = node->slots.len; i < n; i++)
        if (node->slots.at[i].owner)
            consumer_pass_purged(node->slots.at[i].owner, filter);
    return false;
}

/* One with several filters that overlap may be told twice, which changes nothing. */
void consumer_set_on_purged(ConsumerSet *set, Slice filter) {
    ASSERT_HOME(set);
    (void)filter_index_visit_overlaps(&set->index, filter, pass_purged_to_node, &filter);
}

void consumer_set_on_purged_all(ConsumerSet *set, uint64_t last_seq) {
    ASSERT_HOME(set);
    if (set->is_started)
        consumer_set_note_time(set);
    for (size_t i = 0; i < set->all.len; i++)
        consumer_pass_all(set->all.at[i], last_seq);
}

static bool needs(const Consumer *consumer, uint64_t seq) {
    if (consumer->acks && consumer_find_given_up(consumer, seq))
        return true;
    if (!consumer_tracks_acks(consumer))
        return seq > (consumer->delta ? consumer->delta->consumed_sseq : consumer->delivered.sseq);
    if (seq > consumer->delivered.sseq)
        return true;
    return consumer->acks && pending_find(&consumer->acks->pending, seq);
}

/* Whoever needed the last message that was asked for is asked first: of many equal consumers, each
 * is passed over once on the way to the slowest. */
static bool node_needs(void *cookie, FilterNode *node) {
    uint64_t seq = *(const uint64_t *)cookie;
    size_t len = node->slots.len, at = node->last_at < len ? node->last_at : 0;
    for (size_t i = 0; i < len; i++, at = at + 1 < len ? at + 1 : 0) {
        if (node->slots.at[at].owner && needs(node->slots.at[at].owner, seq)) {
            node->last_at = (uint32_t)at;
            return true;
        }
    }
    return false;
}

/* Asking does not change the index; only the count of visits is touched. */
static FilterIndex *index_of(const ConsumerSet *set) {
    return (FilterIndex *)&set->index;
}

bool consumer_set_needs(const ConsumerSet *set, uint64_t seq, Slice subject) {
    return filter_index_visit(index_of(set), subject, node_needs, &seq);
}

static bool node_wants(void *cookie, FilterNode *node) {
    (void)cookie;
    for (size_t i = 0; i < node->slots.len; i++)
        if (node->slots.at[i].owner)
            return true;
    return false;
}

bool consumer_set_wants(const ConsumerSet *set, Slice subject) {
    return filter_index_visit(index_of(set), subject, node_wants, NULL);
}

void consumer_set_on_config(ConsumerSet *set) {
    ASSERT_HOME(set);
    for (size_t i = 0; i < set->all.len; i++)
        consumer_on_stream_config(set->all.at[i]);
}

void consumer_set_delete(ConsumerSet *set, Slice name, ApiCall *call) {
    ASSERT_HOME(set);
    Consumer *consumer = consumer_set_find(set, name);
    if (consumer)
        consumer_propose_delete(consumer, call);
    else
        api_reply_error(call, api_error(JSConsumerNotFoundErr));
}

void consumer_set_unpin(ConsumerSet *set, Slice name, Slice group, ApiCall *call) {
    ASSERT_HOME(set);
    Consumer *consumer = consumer_set_find(set, name);
    Buf out = {0};
    if (consumer == NULL) {
        api_reply_error(call, api_error(JSConsumerNotFoundErr));
    } else if (!priority_unpin(consumer, group)) {
        api_reply_error(call, api_error(JSConsumerInvalidPriorityGroupErr));
    } else {
        api_begin(call, &out);
        api_finish(call, &out);
    }
}

/* 0: *out_why says why not. */
static uint64_t reset_target(const Consumer *consumer, uint64_t seq, Slice *out_why) {
    const ConsumerConfig *config = consumer_config(consumer);
    SeqPair floor = consumer_tracks_acks(consumer) ? consumer->floor : consumer->delivered;
    if (seq == 0)
        return floor.sseq + 1;
    uint64_t least = 1;
    switch (config->deliver_policy) {
    case DELIVER_ALL:
        break;
    case DELIVER_BY_START_SEQUENCE:
        least = config->opt_start_seq;
        *out_why = LIT("below start seq");
        break;
    case DELIVER_BY_START_TIME:
        least = stream_seq_at_time(consumer_stream(consumer), config->opt_start_time_ns);
        *out_why = LIT("below start time");
        break;
    case DELIVER_LAST:
    case DELIVER_NEW:
    case DELIVER_LAST_PER_SUBJECT:
        *out_why = LIT("not allowed");
        return 0;
    }
    return seq < least ? 0 : seq;
}

void consumer_set_reset(ConsumerSet *set, Slice name, uint64_t seq, ApiCall *call) {
    ASSERT_HOME(set);
    Consumer *consumer = consumer_set_find(set, name);
    Slice why = {0};
    if (consumer == NULL) {
        api_drop(call);
        return;
    }
    ApiError error = consumer_check_identity(set, call);
    if (api_failed(error)) {
        api_reply_error(call, error);
        return;
    }
    uint64_t target = reset_target(consumer, seq, &why);
    if (target == 0) {
        api_reply_error(call, api_error_with(set->home->turn, JSConsumerInvalidResetErr, why));
        return;
    }
    consumer_propose_reset(consumer, target, call);
}
