/* Groups that are held: what is appended meanwhile waits. */
#include <string.h>

#include "base/mem.h"
#include "journal/journal_private.h"

typedef struct HeldEntry {
    struct HeldEntry *next;
    Record record;
    Ticket ticket;
    bool is_small;
    char bytes[];
} HeldEntry;

void journal_hold(Journal *journal, Group *group, void (*drained)(Group *group, void *cookie),
                  void *cookie) {
    ASSERT_HOME(journal);
    ASSERT(group->hold == NULL);
    GroupHold *hold = mem_zalloc(sizeof *hold);
    hold->group = group;
    hold->drained = drained;
    hold->cookie = cookie;
    list_push_back(&journal->holds, &hold->link);
    group->hold = hold;
    journal_check_holds(journal);
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

void journal_keep_held(Group *group, const Record *draft, const Ticket *ticket, bool is_small) {
    GroupHold *hold = group->hold;
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
    if (hold->last)
        hold->last->next = entry;
    else
        hold->first = entry;
    hold->last = entry;
    group->held++;
    group->in_flight++;
}

static HeldEntry *end_hold(Group *group) {
    GroupHold *hold = group->hold;
    HeldEntry *first = hold->first;
    list_remove(&hold->link);
    mem_free(hold);
    group->hold = NULL;
    group->in_flight -= group->held;
    group->held = 0;
    return first;
}

void journal_release(Journal *journal, Group *group) {
    ASSERT_HOME(journal);
    ASSERT(group->hold != NULL);
    for (HeldEntry *entry = end_hold(group), *next; entry; entry = next) {
        next = entry->next;
        journal_append(journal, group, &entry->record, &entry->ticket, entry->is_small);
        mem_free(entry);
    }
}

void journal_drop_hold(Group *group) {
    for (HeldEntry *entry = end_hold(group), *next; entry; entry = next) {
        next = entry->next;
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
