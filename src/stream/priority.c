#include "stream/priority.h"

#include "base/nuid.h"

void priority_free(Consumer *consumer) {
    if (consumer->priority)
        consumer_retire(consumer, consumer->priority);
    consumer->priority = NULL;
}

void priority_refresh(Consumer *consumer) {
    const ConsumerConfig *config = consumer_config(consumer);
    size_t count = config->priority_policy == PRIORITY_PINNED ? config->priority_group_count : 0;
    if (consumer->priority && consumer->priority->count == count)
        return;
    priority_free(consumer);
    if (count == 0)
        return;
    consumer->priority = mem_zalloc(sizeof *consumer->priority + count * sizeof(Pin));
    consumer->priority->count = count;
}

static Pin *pin_of(const Consumer *consumer, int16_t group) {
    Priority *priority = consumer->priority;
    return priority && group >= 0 && (size_t)group < priority->count ? &priority->pins[group]
                                                                     : NULL;
}

static bool is_any_pinned(const Consumer *consumer) {
    for (size_t i = 0; consumer->priority && i < consumer->priority->count; i++)
        if (consumer->priority->pins[i].is_set)
            return true;
    return false;
}

static int16_t find_group(const ConsumerConfig *config, Slice name) {
    for (size_t i = 0; i < config->priority_group_count && i < INT16_MAX; i++)
        if (slice_equal(config->priority_groups[i], name))
            return (int16_t)i;
    return GROUP_NONE;
}

static void renew(Consumer *consumer, Pin *pin) {
    pin->due_ns = consumer->home->now_ns + (uint64_t)consumer_config(consumer)->priority_timeout_ns;
    consumer_arm(consumer, pin->due_ns);
}

bool priority_on_request(Consumer *consumer, Slice inbox, const PullBody *body,
                         int16_t *out_group) {
    const ConsumerConfig *config = consumer_config(consumer);
    Slice refusal = {0};
    int16_t group = find_group(config, body->group);
    Pin *pin = pin_of(consumer, group);
    if ((body->min_pending > 0 || body->min_ack_pending > 0) &&
        config->priority_policy != PRIORITY_OVERFLOW)
        refusal = LIT("400 Bad Request - Not a Overflow Priority consumer");
    else if (body->id.len && config->priority_policy != PRIORITY_PINNED)
        refusal = LIT("400 Bad Request - Not a Pinned Client Priority consumer");
    else if (config->priority_policy == PRIORITY_NONE || !body->is_formal)
        group = GROUP_NONE;
    else if (body->group.len == 0)
        refusal = LIT("400 Bad Request - Priority Group missing");
    else if (group == GROUP_NONE)
        refusal = LIT("400 Bad Request - Invalid Priority Group");
    else if (pin && pin->is_set && body->id.len) {
        if (slice_equal(body->id, slice_from(pin->id, PIN_BYTES)))
            renew(consumer, pin);
        else
            refusal = LIT("423 Nats-Pin-Id mismatch");
    }
    if (refusal.len) {
        consumer_send_status(consumer, inbox, (Slice){0}, refusal, (Slice){0});
        return false;
    }
    *out_group = group;
    return true;
}

static bool is_over_threshold(const Consumer *consumer, const PullRequest *request) {
    if (request->min_pending <= 0 && request->min_ack_pending <= 0)
        return true;
    if (request->min_pending > 0 && consumer->num_pending >= (uint64_t)request->min_pending)
        return true;
    return request->min_ack_pending > 0 &&
           consumer_pending_count(consumer) >= (uint64_t)request->min_ack_pending;
}

static bool holds(const PullRequest *request, const Pin *pin) {
    return request->has_pin && memcmp(request->pin, pin->id, PIN_BYTES) == 0;
}

bool priority_admits(const Consumer *consumer, const PullRequest *request) {
    switch (consumer_config(consumer)->priority_policy) {
    case PRIORITY_NONE:
    case PRIORITY_PRIORITIZED:
        return true;
    case PRIORITY_OVERFLOW:
        return is_over_threshold(consumer, request);
    case PRIORITY_PINNED:
        break;
    }
    const Pin *pin = pin_of(consumer, request->group);
    if (pin == NULL) /* names no group: served while nobody is pinned */
        return !is_any_pinned(consumer);
    return pin->is_set ? holds(request, pin) : !request->has_pin;
}

bool priority_has_lost_pin(const Consumer *consumer, const PullRequest *request) {
    const Pin *pin = pin_of(consumer, request->group);
    return pin && request->has_pin && !(pin->is_set && holds(request, pin));
}

bool priority_on_serve(Consumer *consumer, PullRequest *request, Slice *out_pin) {
    if (consumer->priority == NULL)
        return false;
    Pin *pin = pin_of(consumer, request->group);
    if (pin == NULL) {
        *out_pin = (Slice){0};
        return true;
    }
    if (!pin->is_set) {
        nuid_write(&consumer->home->rand, pin->id, PIN_BYTES);
        pin->is_set = true;
        pin->since_ns = consumer->set->wall_ns;
        renew(consumer, pin);
        memcpy(request->pin, pin->id, PIN_BYTES);
        request->has_pin = true;
        consumer_advise_pinned(consumer, consumer_config(consumer)->priority_groups[request->group],
                               slice_from(pin->id, PIN_BYTES));
    }
    *out_pin = slice_from(pin->id, PIN_BYTES);
    return true;
}

static void unset(Pin *pin) {
    *pin = (Pin){0};
}

uint64_t priority_tick(Consumer *consumer, uint64_t now_ns) {
    uint64_t next_ns = 0;
    for (size_t i = 0; consumer->priority && i < consumer->priority->count; i++) {
        Pin *pin = &consumer->priority->pins[i];
        if (!pin->is_set)
            continue;
        if (pin->due_ns <= now_ns) {
            unset(pin);
            consumer_advise_unpinned(consumer, consumer_config(consumer)->priority_groups[i],
                                     LIT("timeout"));
        } else if (next_ns == 0 || pin->due_ns < next_ns) {
            next_ns = pin->due_ns;
        }
    }
    return next_ns;
}

bool priority_unpin(Consumer *consumer, Slice group) {
    int16_t at = find_group(consumer_config(consumer), group);
    if (at == GROUP_NONE)
        return false;
    Pin *pin = pin_of(consumer, at);
    if (pin)
        unset(pin);
    consumer_advise_unpinned(consumer, group, LIT("admin"));
    consumer_pump_soon(consumer);
    return true;
}
