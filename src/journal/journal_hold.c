/* Groups that are held, or gated: what is appended meanwhile waits. */
#include <string.h>

#include "base/mem.h"
#include "journal/journal_private.h"

/* What waits: an entry; one that is to be decided on; or where a hold begins. */
typedef struct HeldEntry {
    struct HeldEntry *next;
    Record record;
    Ticket ticket;
    GroupDecide *decide; /* NULL: it is appended as it is */
    bool is_small;
    bool is_hold;
    void (*drained)(Group *group, void *cookie); /* of a hold */
    void *cookie;
    char bytes[];
} HeldEntry;

static GroupHold *begin(Journal *journal, Group *group) {
    GroupHold *hold = mem_zalloc(sizeof *hold);
    hold->group = group;
    list_push_back(&journal->holds, &hold->link);
    group->hold = hold;
    return hold;
}

static void push(GroupHold *hold, HeldEntry *entry) {
    if (hold->last)
        hold->last->next = entry;
    else
        hold->first = entry;
    hold->last = entry;
}

void journal_hold(Journal *journal, Group *group, void (*drained)(Group *group, void *cookie),
                  void *cookie) {
    ASSERT_HOME(journal);
    ASSERT(!journal_is_held(group));
    GroupHold *hold = group->hold;
    if (hold) { /* gated: behind what waits already */
        HeldEntry *entry = mem_zalloc(sizeof *entry);
        entry->is_hold = true;
        entry->drained = drained;
        entry->cookie = cookie;
        push(hold, entry);
        hold->is_held = true;
        return;
    }
    hold = begin(journal, group);
    hold->is_held = true;
    hold->drained = drained;
    hold->cookie = cookie;
    journal_check_holds(journal);
}

bool journal_is_held(const Group *group) {
    return group->hold && group->hold->is_held;
}

static GroupHold *next_drained(Journal *journal) {
    LIST_FOR_EACH(link, &journal->holds) {
        GroupHold *hold = CONTAINER_OF(link, GroupHold, link);
        if (hold->drained && hold->group->in_flight == hold->group->held)
            return hold;
    }
    return NULL;
}

/* From the start each time: a callback may change the list. */
void journal_check_holds(Journal *journal) {
    for (GroupHold *hold; (hold = next_drained(journal));) {
        void (*drained)(Group * group, void *cookie) = hold->drained;
        hold->drained = NULL;
        drained(hold->group, hold->cookie);
    }
}

static HeldEntry *keep(Group *group, const Record *draft, const Ticket *ticket, bool is_small) {
    Slice data = ticket ? ticket->data : (Slice){0};
    HeldEntry *entry = mem_alloc(sizeof *entry + draft->subject.len + draft->headers.len +
                                 draft->payload.len + data.len);
    *entry = (HeldEntry){.record = *draft, .is_small = is_small};
    if (ticket)
        entry->ticket = *ticket;
    Slice *const parts[] = {&entry->record.subject, &entry->record.headers, &entry->record.payload,
                            &entry->ticket.data};
    char *to = entry->bytes;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (parts[i]->len)
            memcpy(to, parts[i]->ptr, parts[i]->len);
        parts[i]->ptr = to;
        to += parts[i]->len;
    }
    push(group->hold, entry);
    group->held++;
    group->in_flight++;
    return entry;
}

void journal_keep_held(Group *group, const Record *draft, const Ticket *ticket, bool is_small) {
    (void)keep(group, draft, ticket, is_small);
}

void journal_gate(Journal *journal, Group *group, const Record *draft, const Ticket *ticket,
                  GroupDecide *decide) {
    ASSERT_HOME(journal);
    if (!group->hold)
        begin(journal, group)->is_gated = true;
    keep(group, draft, ticket, false)->decide = decide;
}

static HeldEntry *end(Group *group) {
    GroupHold *hold = group->hold;
    HeldEntry *first = hold->first;
    list_remove(&hold->link);
    mem_free(hold);
    group->hold = NULL;
    group->in_flight -= group->held;
    group->held = 0;
    return first;
}

/* The rest of what waited waits on. */
static GroupHold *begin_again(Journal *journal, Group *group, HeldEntry *rest) {
    GroupHold *hold = begin(journal, group);
    hold->first = rest;
    for (HeldEntry *entry = rest; entry; entry = entry->next) {
        hold->last = entry;
        hold->is_held |= entry->is_hold;
        group->held += !entry->is_hold;
    }
    group->in_flight += group->held;
    return hold;
}

static void hold_now(Journal *journal, Group *group, HeldEntry *entry) {
    GroupHold *hold = begin_again(journal, group, entry->next);
    hold->is_held = true;
    hold->drained = entry->drained;
    hold->cookie = entry->cookie;
    mem_free(entry);
    journal_check_holds(journal);
}

/* Appends what waits, up to what cannot be decided yet, or where a hold begins. */
static void go_on(Journal *journal, Group *group) {
    for (HeldEntry *entry = end(group), *next; entry; entry = next) {
        next = entry->next;
        if (entry->is_hold) {
            hold_now(journal, group, entry);
            return;
        }
        if (!entry->decide) {
            journal_append(journal, group, &entry->record, &entry->ticket, entry->is_small);
        } else if (!entry->decide(group, &entry->record, &entry->ticket)) {
            begin_again(journal, group, entry)->is_gated = true;
            return;
        }
        mem_free(entry);
    }
}

/* It never came to be: what it waited for goes on alone. */
static void cancel_hold(GroupHold *hold) {
    HeldEntry *before = NULL, *entry = hold->first;
    for (; !entry->is_hold; entry = entry->next)
        before = entry;
    if (before)
        before->next = entry->next;
    else
        hold->first = entry->next;
    if (hold->last == entry)
        hold->last = before;
    hold->is_held = false;
    mem_free(entry);
}

void journal_release(Journal *journal, Group *group) {
    ASSERT_HOME(journal);
    ASSERT(journal_is_held(group));
    if (group->hold->is_gated)
        cancel_hold(group->hold);
    else
        go_on(journal, group);
}

void journal_ungate(Journal *journal, Group *group) {
    ASSERT_HOME(journal);
    if (group->hold && group->hold->is_gated)
        go_on(journal, group);
}

void journal_drop_hold(Group *group) {
    for (HeldEntry *entry = end(group), *next; entry; entry = next) {
        next = entry->next;
        if (!entry->is_hold)
            group->ops->refused(group, &entry->record, &entry->ticket, ERR_CLOSED);
        mem_free(entry);
    }
}

void journal_append_held(Journal *journal, Group *group, const Record *draft, const Ticket *ticket,
                         bool is_small) {
    GroupHold *hold = group->hold;
    group->hold = NULL;
    journal_append(journal, group, draft, ticket, is_small);
    group->hold = hold;
}
