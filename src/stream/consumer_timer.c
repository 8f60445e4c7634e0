#include "base/hash.h"
#include "io/clock.h"
#include "stream/consumer.h"
#include "stream/priority.h"
#include "stream/pull.h"
#include "stream/push.h"

void consumer_arm(Consumer *consumer, uint64_t due_ns) {
    if (due_ns == 0 || consumer->is_gone || !consumer->is_started)
        return;
    if (!timer_is_set(&consumer->timer) || due_ns < consumer->timer.due_ns)
        timer_set(consumer->home, &consumer->timer, due_ns);
}

void consumer_refresh_pause(Consumer *consumer) {
    const ConsumerConfig *config = consumer_config(consumer);
    int64_t now_ns = clock_wall_ns();
    consumer->is_paused = config->has_pause_until && config->pause_until_ns > now_ns;
    if (consumer->is_paused)
        consumer_arm(consumer,
                     consumer->home->now_ns + (uint64_t)(config->pause_until_ns - now_ns));
}

/* Pull consumers and push consumers that never had a subscriber get up to a second more. */
static uint64_t inactive_due(const Consumer *consumer) {
    int64_t threshold_ns = consumer_config(consumer)->inactive_threshold_ns;
    if (consumer->inactive_ns == 0 || threshold_ns <= 0 || consumer->is_deleting)
        return 0;
    uint64_t jitter_ns = consumer->pull ? hash_u64((uint64_t)consumer->created_ns) % NS_PER_S : 0;
    return consumer->inactive_ns + (uint64_t)threshold_ns + jitter_ns;
}

void consumer_set_active(Consumer *consumer, bool is_active) {
    consumer->inactive_ns = is_active ? 0 : consumer->home->now_ns;
    consumer_arm(consumer, inactive_due(consumer));
}

static void sooner(uint64_t *next_ns, uint64_t due_ns) {
    if (due_ns != 0 && (*next_ns == 0 || due_ns < *next_ns))
        *next_ns = due_ns;
}

static void tick_pause(Consumer *consumer) {
    if (!consumer->is_paused)
        return;
    consumer_refresh_pause(consumer);
    if (!consumer->is_paused)
        consumer_advise_pause(consumer);
}

static uint64_t tick_acks(Consumer *consumer, uint64_t now_ns) {
    Acks *acks = consumer->acks;
    int64_t max_deliver = consumer_config(consumer)->max_deliver;
    if (acks == NULL)
        return 0;
    PendingEntry *entry;
    for (uint64_t at = 0; (entry = pending_next_due(&acks->pending, now_ns, &at)) != NULL;) {
        if (max_deliver > 0 && entry->deliveries >= max_deliver)
            consumer_give_up(consumer, entry);
        else
            consumer_queue(consumer, entry);
    }
    return pending_due(&acks->pending);
}

/* True when the consumer ended. */
static bool tick_inactive(Consumer *consumer, uint64_t now_ns, uint64_t *next_ns) {
    uint64_t due_ns = inactive_due(consumer);
    if (due_ns != 0 && due_ns <= now_ns && consumer->pull && pull_count(consumer) > 0) {
        consumer->inactive_ns = now_ns;
        due_ns = inactive_due(consumer);
    }
    if (due_ns == 0 || due_ns > now_ns) {
        sooner(next_ns, due_ns);
        return false;
    }
    consumer_propose_delete(consumer, NULL);
    return true;
}

void consumer_on_timer(Timer *timer) {
    Consumer *consumer = CONTAINER_OF(timer, Consumer, timer);
    uint64_t now_ns = consumer->home->now_ns, next_ns = 0;
    consumer_set_note_time(consumer->set);
    consumer->is_pumping = true; /* what it sends must not come back to it before the end */
    if (!tick_inactive(consumer, now_ns, &next_ns)) {
        tick_pause(consumer);
        sooner(&next_ns, tick_acks(consumer, now_ns));
        sooner(&next_ns, consumer->push ? push_tick(consumer, now_ns) : 0);
        sooner(&next_ns, priority_tick(consumer, now_ns));
    }
    consumer->is_pumping = false;
    if (consumer->is_gone)
        return;
    consumer_arm(consumer, next_ns);
    consumer_pump(consumer);
    if (consumer->pacing)
        consumer_arm(consumer, consumer->pacing->due_ns);
}
