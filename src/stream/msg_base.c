#include "stream/msg_base.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "stream/subject_base.h"

MsgBase *msg_base_new(Run *run, const SubjectIndex *subjects) {
    MsgBase *base = mem_zalloc(sizeof *base);
    base->run = run;
    base->subjects = subjects;
    base->written = run_pages(run, &base->len);
    base->pages = mem_alloc((base->len + 1) * sizeof *base->pages);
    for (size_t i = 0; i < base->len; i++) {
        const RunPage *from = &base->written[i];
        MsgBasePage *page = &base->pages[i];
        *page = (MsgBasePage){.number = from->number, .count = (uint32_t)from->count};
        memcpy(page->live, from->has, sizeof page->live);
    }
    const RunSegment *segments = run_segments(run, &base->segment_count);
    base->segments = mem_alloc((base->segment_count + 1) * sizeof *segments);
    if (base->segment_count)
        memcpy(base->segments, segments, base->segment_count * sizeof *segments);
    return base;
}

void msg_base_free(MsgBase *base) {
    uint64_t seq;
    void *slot;
    if (!base)
        return;
    for (size_t at = 0; map64_next(&base->edits, &at, &seq, &slot);)
        mem_free(slot);
    map64_done(&base->edits);
    map64_done(&base->moved);
    map64_done(&base->frozen);
    mem_free(base->segments);
    mem_free(base->pages);
    run_free(base->run);
    mem_free(base);
}

size_t msg_base_lower(const MsgBase *base, uint64_t number) {
    size_t low = base->head, high = base->len;
    if (low == high || base->pages[high - 1].number < number)
        return high;
    uint64_t first = base->pages[low].number;
    if (number <= first)
        return low;
    uint64_t guess = low + (number - first);
    if (guess < high) {
        if (base->pages[guess].number == number)
            return guess;
        high = guess + 1;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (base->pages[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static MsgSlot *find_edit(const MsgBase *base, size_t page, unsigned i) {
    const MsgBasePage *at = &base->pages[page];
    return at->has_edits ? map64_get(&base->edits, at->number * MSG_PAGE_SLOTS + i) : NULL;
}

static SubjectId subject_id(const MsgBase *base, uint32_t ordinal) {
    return base->subjects ? subject_id_of_run(base->subjects, ordinal) : ordinal | SUBJECT_OF_RUN;
}

static uint64_t moved_place(const MsgBase *base, uint64_t seq) {
    uintptr_t place = base->moved.len ? (uintptr_t)map64_get(&base->moved, seq) : 0;
    if (!place && base->frozen.len)
        place = (uintptr_t)map64_get(&base->frozen, seq);
    return place;
}

uint64_t msg_base_moved(const MsgBase *base, size_t page, unsigned i) {
    const MsgBasePage *at = &base->pages[page];
    return at->has_moves ? moved_place(base, at->number * MSG_PAGE_SLOTS + i) : 0;
}

static void read_slot(const MsgBase *base, size_t page, unsigned i, MsgSlot *out_slot) {
    RunMessage message;
    run_message(base->run, &base->written[page], i, &message);
    uint64_t moved = msg_base_moved(base, page, i);
    if (moved)
        message.place = moved;
    *out_slot = (MsgSlot){
        .place = message.place,
        .time_ns = message.time_ns,
        .size = message.size,
        .next = message.next & MSG_NEXT_FAR,
        .is_tombstone = message.is_marked,
        .subject = message.subject == RUN_NO_SUBJECT ? 0 : subject_id(base, message.subject)};
}

MsgSlot *msg_base_slot(MsgBase *base, size_t page, unsigned i) {
    MsgSlot *edit = find_edit(base, page, i);
    if (edit) {
        edit->subject = subject_index_settle(base->subjects, edit->subject);
        return edit;
    }
    MsgSlot *copy = &base->copies[base->copy_at++ % MSG_BASE_COPIES];
    read_slot(base, page, i, copy);
    return copy;
}

MsgSlot *msg_base_edit(MsgBase *base, size_t page, unsigned i) {
    MsgSlot *edit = find_edit(base, page, i);
    if (edit)
        return edit;
    edit = mem_alloc(sizeof *edit);
    read_slot(base, page, i, edit);
    map64_put(&base->edits, base->pages[page].number * MSG_PAGE_SLOTS + i, edit);
    base->pages[page].has_edits = true;
    return edit;
}

void msg_base_settle(MsgBase *base) {
    uint64_t seq;
    void *value;
    for (size_t at = 0; map64_next(&base->edits, &at, &seq, &value);) {
        MsgSlot *edit = value;
        edit->subject = subject_index_settle(base->subjects, edit->subject);
    }
}

void msg_base_remove(MsgBase *base, size_t page, unsigned i) {
    MsgBasePage *at = &base->pages[page];
    if (at->has_edits)
        mem_free(map64_remove(&base->edits, at->number * MSG_PAGE_SLOTS + i));
    if (at->has_moves && base->moved.len)
        (void)map64_remove(&base->moved, at->number * MSG_PAGE_SLOTS + i);
    at->live[i / 64] &= ~(1ull << (i % 64));
    at->count--;
    base->removed++;
    while (base->head < base->len && base->pages[base->head].count == 0)
        base->head++;
}

void msg_base_drop_bytes(MsgBase *base, uint64_t place, uint64_t bytes) {
    for (size_t i = 0; i < base->segment_count; i++)
        if (base->segments[i].segment == place_segment(place)) {
            base->segments[i].bytes -= bytes;
            return;
        }
}

static void add_bytes(MsgBase *base, uint64_t place, uint64_t bytes) {
    for (size_t i = base->segment_count; i-- > 0;)
        if (base->segments[i].segment == place_segment(place)) {
            base->segments[i].bytes += bytes;
            return;
        }
    base->segments =
        mem_realloc(base->segments, (base->segment_count + 1) * sizeof *base->segments);
    base->segments[base->segment_count++] = (RunSegment){place_segment(place), bytes};
}

void msg_base_move_bytes(MsgBase *base, uint64_t from, uint64_t to, uint64_t bytes_from,
                         uint64_t bytes_to) {
    msg_base_drop_bytes(base, from & ~MSG_REF, bytes_from);
    add_bytes(base, to & ~MSG_REF, bytes_to);
}

void msg_base_move(MsgBase *base, size_t page, unsigned i, uint64_t place) {
    MsgBasePage *at = &base->pages[page];
    MsgSlot *edit = find_edit(base, page, i);
    if (edit)
        edit->place = place;
    (void)map64_put(&base->moved, at->number * MSG_PAGE_SLOTS + i, (void *)(uintptr_t)place);
    at->has_moves = true;
}

void msg_base_freeze_moved(MsgBase *base) {
    uint64_t seq;
    void *place;
    if (!base->frozen.len) {
        map64_done(&base->frozen);
        base->frozen = base->moved;
        base->moved = (Map64){0};
        return;
    }
    /* The run that was made of them could not be written. */
    for (size_t at = 0; map64_next(&base->moved, &at, &seq, &place);)
        (void)map64_put(&base->frozen, seq, place);
    map64_done(&base->moved);
    base->moved = (Map64){0};
}
