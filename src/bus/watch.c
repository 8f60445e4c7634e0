/* Watches of the interest in one exact subject. Owners are told by a task of the same turn, so that
 * nothing of theirs runs in the middle of a subscription's coming or going. */
#include "base/assert.h"
#include "bus/bus_private.h"

static void tell_due(Task *task) {
    Bus *bus = CONTAINER_OF(task, Bus, watch_task);
    for (Link *link; (link = list_pop_front(&bus->due_watches));) {
        InterestWatch *watch = CONTAINER_OF(link, InterestWatch, due);
        bool is_wanted = watch->count > 0;
        if (is_wanted == watch->was_wanted)
            continue;
        watch->was_wanted = is_wanted;
        watch->changed(watch);
    }
}

void watches_init(Bus *bus) {
    list_init(&bus->due_watches);
    task_init(&bus->watch_task, tell_due);
}

/* An own one that goes is still counted, any other change is in place. */
static void tell_tap(Account *account, Slice subject, Slice queue, int64_t delta,
                     const Port *port) {
    uint64_t now = account_interest(account, subject, queue);
    bool is_going = delta < 0 && port != NULL;
    uint64_t size = (uint64_t)(delta < 0 ? -delta : delta);
    uint64_t before = delta > 0 ? (now > size ? now - size : 0) : is_going ? now : now + size;
    uint64_t after = is_going ? (now > size ? now - size : 0) : now;
    account->tap->changed(account->tap, subject, queue, before, after);
}

void watches_tell(Account *account, Slice subject, Slice queue, int64_t delta, const Port *port) {
    if (account->tap && !(port && port->ops->kind == PORT_LEAF))
        tell_tap(account, subject, queue, delta, port);
    if (account->watches.len == 0)
        return;
    Bus *bus = account->bus;
    queue = queue_name(queue);
    for (InterestWatch *watch = map_get(&account->watches, subject); watch; watch = watch->next) {
        if (!slice_equal(watch->queue, queue))
            continue;
        uint64_t before = watch->count;
        watch->count = delta < 0 && before < (uint64_t)-delta ? 0 : before + (uint64_t)delta;
        if ((before == 0) == (watch->count == 0) || link_is_listed(&watch->due))
            continue;
        if (list_is_empty(&bus->due_watches))
            worker_soon(bus->home, &bus->watch_task);
        list_push_back(&bus->due_watches, &watch->due);
    }
}

void interest_watch_add(Account *account, InterestWatch *watch) {
    ASSERT_HOME(account->bus);
    watch->account = account;
    watch->count = interest_count(&account->interest, watch->subject, watch->queue);
    if (watch->queue.len)
        watch->count += interest_count_far(&account->interest, watch->subject, watch->queue);
    watch->was_wanted = watch->count > 0;
    link_init(&watch->due);
    watch->previous = watch->next = NULL;
    InterestWatch *first = map_get(&account->watches, watch->subject);
    if (first) {
        watch->previous = first;
        watch->next = first->next;
        if (watch->next)
            watch->next->previous = watch;
        first->next = watch;
        return;
    }
    (void)map_put(&account->watches, watch->subject, watch);
}

void interest_watch_remove(Account *account, InterestWatch *watch) {
    ASSERT_HOME(account->bus);
    ASSERT(watch->account == account);
    list_remove(&watch->due);
    if (watch->next)
        watch->next->previous = watch->previous;
    if (watch->previous) {
        watch->previous->next = watch->next;
    } else {
        ASSERT(map_remove(&account->watches, watch->subject) == watch);
        if (watch->next)
            (void)map_put(&account->watches, watch->next->subject, watch->next);
    }
    watch->previous = watch->next = NULL;
    watch->account = NULL;
}
