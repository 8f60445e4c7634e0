/* Finding what is to be moved, in the order of messages: by their places, without reading. */
#include "io/clock.h"
#include "stream/msg_base.h"
#include "stream/stream_move_private.h"

enum {
    SLICE_NS = 500 * 1000, /* of a turn */
    SLICE_PAGES = 4,       /* pages between two looks at the clock */
};

bool stream_move_has_time(uint64_t began_ns, unsigned look, unsigned *left) {
    if (--*left)
        return true;
    *left = look;
    return clock_mono_ns() - began_ns < SLICE_NS;
}

static bool is_leaving(const GroupMove *move, Place place) {
    uint64_t segment = place_segment(place);
    size_t low = 0, high = move->segment_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (move->segments[middle] < segment)
            low = middle + 1;
        else
            high = middle;
    }
    return low < move->segment_count && move->segments[low] == segment;
}

/* Whether one between the two places may be leaving. */
static bool may_leave(const GroupMove *move, Place least, Place greatest) {
    if (move->kind != MOVE_OUT)
        return least < MSG_FRAME && place_segment(least) < move->to_segment &&
               (greatest >= MSG_FRAME || place_segment(greatest) >= move->from_segment);
    if (greatest >= MSG_REF || (greatest & MSG_FRAME) != (least & MSG_FRAME))
        return true;
    for (size_t i = 0; i < move->segment_count; i++)
        if (move->segments[i] >= place_segment(least) &&
            move->segments[i] <= place_segment(greatest))
            return true;
    return false;
}

static bool is_plain(const GroupMove *move, Place place) {
    return !(place & (MSG_REF | MSG_FRAME)) && place_segment(place) >= move->from_segment &&
           place_segment(place) < move->to_segment;
}

static void count_plain(GroupMove *move, Place place, size_t bytes) {
    move->plain_bytes += bytes;
    if (place_segment(place) >= move->floor_segment)
        move->plain_new_bytes += bytes;
}

/* What is only in memory, or known to be damaged, stays. */
static void look_at(StreamMove *self, uint64_t seq, const MsgSlot *slot) {
    GroupMove *move = self->move;
    if (slot->place & MSG_IN_HEAP || slot->size & (MSG_DAMAGED | MSG_UNSEEN) ||
        !(move->kind == MOVE_OUT ? is_leaving(move, slot->place) : is_plain(move, slot->place)))
        return;
    Slice subject = {0};
    if (slot->subject)
        subject =
            subject_entry_text(subject_index_entry(&self->stream->parts->subjects, slot->subject));
    size_t bytes = stream_record_bytes(subject.len, slot->size);
    if (move->kind != MOVE_OUT && !frame_takes(bytes))
        return;
    if (move->kind == MOVE_LOOK) {
        count_plain(move, slot->place, bytes);
        return;
    }
    vec_push(&self->found, ((Candidate){seq, slot->place}));
    self->found_bytes += bytes;
}

static bool has_enough(const StreamMove *self) {
    return self->found_bytes >= self->move->entry_bytes;
}

/* A page of the base that holds nothing that leaves is passed as a whole. The first sequence to
 * look at, not below from. */
static uint64_t skip_pages(const StreamMove *self, uint64_t from) {
    const MsgBase *base = self->stream->index->base;
    size_t page = msg_base_lower(base, from / MSG_PAGE_SLOTS);
    Place least, greatest;
    if (page == base->len)
        return msg_index_base_end(self->stream->index);
    const MsgBasePage *at = &base->pages[page];
    uint64_t begin = at->number * MSG_PAGE_SLOTS;
    bool may = at->has_moves || at->has_edits ||
               (run_page_places(base->run, &base->written[page], &least, &greatest) &&
                may_leave(self->move, least, greatest));
    if (at->count && may)
        return from > begin ? from : begin;
    return begin + MSG_PAGE_SLOTS;
}

/* From self->seq on to the end of its page. */
static void walk_page(StreamMove *self) {
    const MsgIndex *index = self->stream->index;
    uint64_t end = (self->seq / MSG_PAGE_SLOTS + 1) * MSG_PAGE_SLOTS, seq;
    MsgScan scan;
    const MsgSlot *slot;
    msg_scan_up(&scan, index, self->seq);
    self->seq = end;
    while ((slot = msg_scan_next_up(&scan, &seq))) {
        if (seq >= end) { /* the next page that is there, of the base or not */
            self->seq = seq < msg_index_base_end(index) ? end : seq;
            return;
        }
        look_at(self, seq, slot);
        if (has_enough(self)) {
            self->seq = seq + 1;
            return;
        }
    }
    self->is_walked = true;
}

bool stream_move_find(StreamMove *self, uint64_t began_ns) {
    unsigned left = SLICE_PAGES;
    while (!self->is_walked && !has_enough(self)) {
        if (!stream_move_has_time(began_ns, SLICE_PAGES, &left))
            return false;
        uint64_t base_end = msg_index_base_end(self->stream->index);
        if (self->seq < base_end) {
            uint64_t seq = skip_pages(self, self->seq);
            if (seq != self->seq && seq % MSG_PAGE_SLOTS == 0) {
                self->seq = seq;
                continue;
            }
        }
        walk_page(self);
    }
    return true;
}
