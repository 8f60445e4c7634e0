#include <string.h>

#include "bus/bus.h"

#include <stddef.h>

#include "base/assert.h"
#include "base/mem.h"
#include "bus/bus_private.h"

Bus *bus_new(Worker *home, const Slice *account_names, size_t account_count) {
    ASSERT(account_count > 0 && account_count <= UINT16_MAX);
    Bus *bus = mem_zalloc(sizeof *bus);
    bus->home = home;
    bus->accounts = mem_zalloc(account_count * sizeof *bus->accounts);
    bus->account_count = account_count;
    for (size_t i = 0; i < account_count; i++) {
        Account *account = &bus->accounts[i];
        account->bus = bus;
        account->index = i;
        account->name = slice_to_text(account_names[i]);
        interest_init(&account->interest, &bus->busy);
        (void)map_put(&bus->names, account_name(account), account);
    }
    exchange_init(bus);
    congestion_init(bus);
    watches_init(bus);
    home->bus = bus;
    return bus;
}

void bus_free(Bus *bus) {
    if (bus == NULL)
        return;
    ASSERT(bus->busy.depth == 0);
    bus->home->bus = NULL;
    exchange_done(bus);
    congestion_done(bus);
    task_cancel(&bus->watch_task);
    for (size_t i = 0; i < bus->account_count; i++) {
        Account *account = &bus->accounts[i];
        account_set_mappings(account, NULL, 0);
        mem_free(account->trace_dest);
        interest_done(&account->interest);
        map_done(&account->watches);
        mem_free(account->name);
    }
    busy_done(&bus->busy);
    buf_done(&bus->mapped);
    map_done(&bus->names);
    mem_free(bus->accounts);
    mem_free(bus);
}

size_t bus_account_count(const Bus *bus) {
    return bus->account_count;
}

Account *bus_account(Bus *bus, size_t index) {
    ASSERT(index < bus->account_count);
    return &bus->accounts[index];
}

Account *bus_account_by_name(Bus *bus, Slice name) {
    return map_get(&bus->names, name);
}

Slice account_name(const Account *account) {
    return slice_of_text(account->name);
}

size_t account_index(const Account *account) {
    return account->index;
}

Bus *account_bus(const Account *account) {
    return account->bus;
}

static Sub *add(Account *account, Port *port, Slice subject, Slice queue, Slice sid, bool is_local,
                uint32_t members) {
    Bus *bus = account->bus;
    ASSERT_HOME(bus);
    ASSERT(port->home == bus->home);
    ASSERT(subject.len <= UINT16_MAX && queue.len <= UINT16_MAX && sid.len <= UINT16_MAX);

    Sub *sub = mem_alloc(offsetof(Sub, text) + subject.len + queue.len + sid.len);
    memset(sub, 0, offsetof(Sub, text));
    sub->port = port;
    sub->account_index = (uint32_t)account->index;
    sub->subject_len = (uint16_t)subject.len;
    sub->queue_len = (uint16_t)queue.len;
    sub->sid_len = (uint16_t)sid.len;
    sub->flags = is_local ? SUB_LOCAL : 0;
    sub->max = queue_is_far(queue) ? members : 0;
    memcpy(sub->text, subject.ptr, subject.len);
    if (queue.len)
        memcpy(sub->text + subject.len, queue.ptr, queue.len);
    if (sid.len)
        memcpy(sub->text + subject.len + queue.len, sid.ptr, sid.len);

    interest_add(&account->interest, sub);
    bus->stats.subscriptions++;
    bus->stats.inserts++;
    if (!is_local)
        exchange_send_interest(account, subject, queue, members);
    watches_tell(account, subject, queue, members, port);
    return sub;
}

Sub *sub_add(Account *account, Port *port, Slice subject, Slice queue, Slice sid, bool is_local) {
    return add(account, port, subject, queue, sid, is_local, 1);
}

Sub *sub_add_far(Account *account, Port *port, Slice subject, Slice name, uint32_t members) {
    ASSERT(members > 0);
    Buf queue = {0};
    buf_append_char(&queue, SUB_FAR_MARK);
    buf_append(&queue, name);
    Sub *sub = add(account, port, subject, buf_slice(&queue), (Slice){0}, false, members);
    buf_done(&queue);
    return sub;
}

void sub_set_members(Sub *sub, uint32_t members) {
    ASSERT(members > 0 && queue_is_far(sub_queue(sub)));
    Account *account = sub_account(sub);
    int64_t delta = (int64_t)members - (int64_t)sub->max;
    if (delta == 0)
        return;
    ASSERT_HOME(account->bus);
    sub->max = members;
    exchange_send_interest(account, sub_subject(sub), sub_queue(sub), delta);
    watches_tell(account, sub_subject(sub), sub_queue(sub), delta, sub->port);
}

Account *sub_account(const Sub *sub) {
    return bus_account(sub->port->home->bus, sub->account_index);
}

void sub_remove(Sub *sub) {
    Account *account = sub_account(sub);
    Bus *bus = account->bus;
    ASSERT_HOME(bus);
    ASSERT(!(sub->flags & SUB_GONE));

    congestion_forget_sub(sub);
    bus->stats.subscriptions--;
    bus->stats.removes++;
    if (!(sub->flags & SUB_LOCAL))
        exchange_send_interest(account, sub_subject(sub), sub_queue(sub),
                               -(int64_t)sub_members(sub));
    watches_tell(account, sub_subject(sub), sub_queue(sub), -(int64_t)sub_members(sub), sub->port);
    interest_remove(&account->interest, sub);
}

void bus_stats(const Bus *bus, BusStats *out) {
    BusStats stats = bus->stats;
    for (size_t i = 0; i < bus->account_count; i++) {
        const Interest *interest = &bus->accounts[i].interest;
        stats.cache_entries += interest->cache.entry_count;
        stats.matches += interest->matches;
        stats.cache_hits += interest->cache_hits;
    }
    *out = stats;
}

void account_each_sub(Account *account, void (*each)(void *cookie, Sub *sub), void *cookie) {
    ASSERT_HOME(account->bus);
    interest_each(&account->interest, each, cookie);
}

void account_set_tap(Account *account, InterestTap *tap) {
    ASSERT_HOME(account->bus);
    account->tap = tap;
}

uint64_t account_interest(Account *account, Slice subject, Slice queue) {
    return interest_count(&account->interest, subject, queue) +
           (queue.len ? 0 : account_mapping_at(account, subject));
}

typedef struct EachInterest {
    Account *account;
    void (*each)(void *cookie, Slice subject, Slice queue, uint64_t count);
    void *cookie;
} EachInterest;

static void each_count(void *cookie, Slice subject, Slice queue, uint64_t count) {
    const EachInterest *all = cookie;
    if (queue.len == 0)
        count += account_mapping_at(all->account, subject);
    all->each(all->cookie, subject, queue, count);
}

void account_each_interest(Account *account,
                           void (*each)(void *cookie, Slice subject, Slice queue, uint64_t count),
                           void *cookie) {
    ASSERT_HOME(account->bus);
    interest_each_count(&account->interest, each_count, &(EachInterest){account, each, cookie});
    account_each_bare_mapping(account, each, cookie);
}

void account_set_trace(Account *account, Slice dest, unsigned percent) {
    ASSERT_HOME(account->bus);
    mem_free(account->trace_dest);
    account->trace_dest = dest.len ? mem_alloc(dest.len) : NULL;
    account->trace_dest_len = dest.len;
    account->trace_percent = percent;
    if (dest.len)
        memcpy(account->trace_dest, dest.ptr, dest.len);
}

Slice account_trace_dest(const Account *account) {
    return slice_from(account->trace_dest, account->trace_dest_len);
}

unsigned account_trace_percent(const Account *account) {
    return account->trace_percent;
}
