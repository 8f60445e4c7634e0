#include "stream/subject_chain.h"

#include "base/assert.h"

static void set_next(MsgSlot *slot, uint64_t distance) {
    slot->next = distance < MSG_NEXT_FAR ? (uint32_t)distance & MSG_NEXT_FAR : MSG_NEXT_FAR;
}

void subject_chain_add(MsgIndex *index, const SubjectIndex *subjects, SubjectId id, uint64_t seq,
                       MsgSlot *slot) {
    SubjectEntry *entry = subject_index_entry(subjects, id);
    slot->subject = id;
    if (entry->count == 0)
        entry->first = seq;
    else
        set_next(msg_index_edit(index, entry->last), seq - entry->last);
    entry->last = seq;
    entry->count++;
}

uint64_t subject_chain_next(const MsgIndex *index, uint64_t seq, const MsgSlot *slot) {
    if (slot->next != MSG_NEXT_FAR)
        return slot->next ? seq + slot->next : 0;

    MsgScan scan;
    uint64_t found;
    const MsgSlot *other;
    SubjectId subject = slot->subject; /* the slot may be a copy that goes */
    msg_scan_up(&scan, index, seq + MSG_NEXT_FAR);
    while ((other = msg_scan_next_up(&scan, &found)))
        if (other->subject == subject)
            return found;
    return 0;
}

uint64_t subject_chain_seek(const MsgIndex *index, const SubjectIndex *subjects, SubjectId id,
                            uint64_t from) {
    id = subject_index_settle(subjects, id);
    const SubjectEntry *entry = subject_index_entry(subjects, id);
    if (entry->count == 0 || from > entry->last)
        return 0;
    if (from <= entry->first)
        return entry->first;

    const MsgSlot *before = msg_index_get(index, from - 1);
    if (before && before->subject == id)
        return subject_chain_next(index, from - 1, before);

    MsgScan scan;
    uint64_t chained = entry->first, scanned;
    msg_scan_up(&scan, index, from);
    for (;;) {
        const MsgSlot *slot = msg_scan_next_up(&scan, &scanned);
        if (slot && slot->subject == id)
            return scanned;
        chained = subject_chain_next(index, chained, msg_index_get(index, chained));
        if (chained == 0 || chained >= from)
            return chained;
    }
}

uint64_t subject_chain_upto(const MsgIndex *index, const SubjectIndex *subjects, SubjectId id,
                            uint64_t upto) {
    id = subject_index_settle(subjects, id);
    const SubjectEntry *entry = subject_index_entry(subjects, id);
    if (entry->count == 0 || upto < entry->first)
        return 0;
    if (upto >= entry->last)
        return entry->last;

    MsgScan scan;
    uint64_t chained = entry->first, scanned;
    msg_scan_down(&scan, index, upto);
    for (;;) {
        const MsgSlot *slot = msg_scan_next_down(&scan, &scanned);
        if (slot && slot->subject == id)
            return scanned;
        uint64_t next = subject_chain_next(index, chained, msg_index_get(index, chained));
        if (next == 0 || next > upto)
            return chained;
        chained = next;
    }
}

void subject_chain_remove(MsgIndex *index, const SubjectIndex *subjects, uint64_t seq,
                          const MsgSlot *slot) {
    SubjectEntry *entry = subject_index_entry(subjects, slot->subject);
    ASSERT(entry->count > 0);

    if (entry->count == 1) {
        entry->count = 0;
        return;
    }
    uint64_t next = subject_chain_next(index, seq, slot);
    if (seq == entry->first) {
        entry->first = next;
    } else {
        uint64_t before = subject_chain_upto(index, subjects, slot->subject, seq - 1);
        set_next(msg_index_edit(index, before), next ? next - before : 0);
        if (seq == entry->last)
            entry->last = before;
    }
    entry->count--;
}

uint64_t subject_chain_count(const MsgIndex *index, const SubjectIndex *subjects, SubjectId id,
                             uint64_t from) {
    const SubjectEntry *entry = subject_index_entry(subjects, id);
    if (entry->count == 0 || from > entry->last)
        return 0;
    if (from <= entry->first)
        return entry->count;
    if (entry->count == index->live)
        return msg_index_count_from(index, from);

    bool is_near_end = entry->last - from < from - entry->first;
    uint64_t counted = 0;
    uint64_t seq = is_near_end ? subject_chain_seek(index, subjects, id, from) : entry->first;
    for (; seq && (is_near_end || seq < from); counted++)
        seq = subject_chain_next(index, seq, msg_index_get(index, seq));
    return is_near_end ? counted : entry->count - counted;
}
