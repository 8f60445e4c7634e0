/* Writing a run: subjects in order first, which numbers them; then the messages from the last to
 * the first, so that each knows the one behind it and the subject's state comes along; then all
 * that was counted. */
#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "store/run_merge.h"

/* ---- messages ---- */

static void count_bytes(RunMerge *merge, Place place, uint64_t bytes) {
    uint64_t segment = place_segment(place & ~PLACE_REF);
    size_t at = merge->segment_at;
    if (at >= merge->segments.len || merge->segments.at[at].segment != segment)
        for (at = merge->segments.len; at-- > 0;)
            if (merge->segments.at[at].segment == segment)
                break;
    if (at == SIZE_MAX) {
        at = merge->segments.len;
        vec_push(&merge->segments, ((RunSegment){segment, 0}));
    }
    merge->segments.at[at].bytes += bytes;
    merge->segment_at = at;
}

/* From the last message to the first. */
static void meet(RunMerge *merge, uint64_t seq, RunMessage *message) {
    if (message->subject == RUN_NO_SUBJECT) {
        message->subject = merge->subject_count;
        message->next = 0;
        return;
    }
    RunChain *chain = run_chain_of(merge, message->subject);
    if (!chain)
        return; /* of base, and as it was there */
    uint64_t after = chain->nearest;
    message->next = !after ? 0 : after - seq < INT32_MAX ? (uint32_t)(after - seq) : INT32_MAX;
    chain->nearest = seq;
    if (chain->count++ == 0)
        chain->last = seq;
}

static void least(const RunFill *page, RunSlotsHead *out_head) {
    RunSlotsHead head = {.place = UINT64_MAX,
                         .time_ns = INT64_MAX,
                         .size = UINT32_MAX,
                         .subject = UINT32_MAX,
                         .place_shift = 3};
    for (size_t i = 0; i < page->count; i++) {
        const RunMessage *message = &page->messages[i];
        if (message->place && message->place < head.place)
            head.place = message->place;
        if (message->time_ns < head.time_ns)
            head.time_ns = message->time_ns;
        if (message->size < head.size)
            head.size = message->size;
        if (message->subject < head.subject)
            head.subject = message->subject;
    }
    for (size_t i = 0; i < page->count; i++)
        if (page->messages[i].place && (page->messages[i].place - head.place) & 7)
            head.place_shift = 0;
    *out_head = head;
}

typedef struct Columns {
    uint64_t place[RUN_PAGE_SLOTS], time[RUN_PAGE_SLOTS], size[RUN_PAGE_SLOTS],
        subject[RUN_PAGE_SLOTS], next[RUN_PAGE_SLOTS];
} Columns;

/* What follows one another in the file; with room for the 8 bytes of the last value. */
typedef struct Packed {
    char bytes[sizeof(RunSlotsHead) + sizeof(Columns) + 8];
    size_t len;
} Packed;

static void pack(Packed *packed, const uint64_t *values, size_t count, unsigned width) {
    char *to = packed->bytes + packed->len;
    for (size_t i = 0; i < count && width; i++, to += width)
        memcpy(to, &values[i], sizeof values[i]);
    packed->len += count * width;
}

static void put_slots(RunMerge *merge, const RunFill *page) {
    RunSlotsHead head;
    Columns columns;
    Packed packed = {.len = sizeof head};
    uint64_t all[5] = {0};
    least(page, &head);
    for (size_t i = 0; i < page->count; i++) {
        const RunMessage *message = &page->messages[i];
        columns.place[i] =
            message->place ? ((message->place - head.place) >> head.place_shift) + 1 : 0;
        columns.time[i] = (uint64_t)message->time_ns - (uint64_t)head.time_ns;
        columns.size[i] = message->size - head.size;
        columns.subject[i] = message->subject - head.subject;
        columns.next[i] = (uint64_t)message->next << 1 | message->is_marked;
        all[0] |= columns.place[i];
        all[1] |= columns.time[i];
        all[2] |= columns.size[i];
        all[3] |= columns.subject[i];
        all[4] |= columns.next[i];
    }
    head.place_width = (uint8_t)run_width_of(all[0]);
    head.time_width = (uint8_t)run_width_of(all[1]);
    head.size_width = (uint8_t)run_width_of(all[2]);
    head.subject_width = (uint8_t)run_width_of(all[3]);
    head.next_width = (uint8_t)run_width_of(all[4]);
    memcpy(packed.bytes, &head, sizeof head);
    pack(&packed, columns.place, page->count, head.place_width);
    pack(&packed, columns.time, page->count, head.time_width);
    pack(&packed, columns.size, page->count, head.size_width);
    pack(&packed, columns.subject, page->count, head.subject_width);
    pack(&packed, columns.next, page->count, head.next_width);
    run_file_put(merge->out, packed.bytes, packed.len);
}

static void note_page(RunMerge *merge, uint64_t number, const uint64_t *has, size_t count) {
    RunPage ref = {
        .number = number, .at = run_file_position(merge->out) - merge->slots_at, .count = count};
    memcpy(ref.has, has, sizeof ref.has);
    vec_push(&merge->pages, ref);
    merge->message_count += count;
}

/* Sequence within the page of each message. */
static void sequences_of(const uint64_t *has, uint16_t *out_at) {
    size_t n = 0;
    for (unsigned word = 0; word < RUN_PAGE_WORDS; word++)
        for (uint64_t bits = has[word]; bits; bits &= bits - 1)
            out_at[n++] = (uint16_t)(word * 64 + (unsigned)__builtin_ctzll(bits));
}

static void put_page(RunMerge *merge, RunFill *page) {
    uint16_t at[RUN_PAGE_SLOTS];
    if (!page->count)
        return;
    sequences_of(page->has, at);
    for (size_t i = page->count; i-- > 0;)
        meet(merge, page->number * RUN_PAGE_SLOTS + at[i], &page->messages[i]);
    note_page(merge, page->number, page->has, page->count);
    put_slots(merge, page);
}

static void put_new_page(RunMerge *merge, size_t p, RunFill *page) {
    merge->in->page(merge->in->cookie, p, page);
    for (size_t i = 0; i < page->count; i++)
        if (page->messages[i].place && page->messages[i].subject != RUN_NO_SUBJECT)
            count_bytes(merge, page->messages[i].place, page->bytes[i]);
    put_page(merge, page);
}

/* ---- messages of base ---- */

/* First one at or above seq. */
static size_t find_resized(const RunInput *in, uint64_t seq) {
    size_t low = 0, high = in->resized_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (in->resized[middle].seq < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_whole(const RunInput *in, const RunPage *page, size_t p) {
    return memcmp(in->base_has[p], page->has, sizeof page->has) == 0;
}

static bool has_resized(const RunInput *in, uint64_t number) {
    size_t at = in->resized_count ? find_resized(in, number * RUN_PAGE_SLOTS) : 0;
    return at < in->resized_count && in->resized[at].seq / RUN_PAGE_SLOTS == number;
}

/* Position of the first of those that moved whose sequence is >= seq. */
static size_t find_moved(const RunInput *in, uint64_t seq) {
    size_t low = 0, high = in->moved_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (in->moved[middle].seq < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool has_moved(const RunInput *in, uint64_t number) {
    size_t at = in->moved_count ? find_moved(in, number * RUN_PAGE_SLOTS) : 0;
    return at < in->moved_count && in->moved[at].seq / RUN_PAGE_SLOTS == number;
}

static void fill_from_base(const RunMerge *merge, size_t p, RunFill *page) {
    const RunInput *in = merge->in;
    size_t page_count;
    const RunPage *from = &run_pages(in->base, &page_count)[p];
    const uint64_t *has = in->base_has[p];
    size_t resized = in->resized_count ? find_resized(in, from->number * RUN_PAGE_SLOTS) : 0;
    size_t moved = in->moved_count ? find_moved(in, from->number * RUN_PAGE_SLOTS) : 0;
    page->number = from->number;
    page->count = 0;
    memcpy(page->has, has, sizeof page->has);
    for (unsigned word = 0; word < RUN_PAGE_WORDS; word++)
        for (uint64_t bits = has[word]; bits; bits &= bits - 1) {
            unsigned i = word * 64 + (unsigned)__builtin_ctzll(bits);
            uint64_t seq = from->number * RUN_PAGE_SLOTS + i;
            RunMessage *message = &page->messages[page->count++];
            run_message(in->base, from, i, message);
            if (message->subject != RUN_NO_SUBJECT)
                message->subject = merge->of_base[message->subject];
            while (resized < in->resized_count && in->resized[resized].seq < seq)
                resized++;
            if (resized < in->resized_count && in->resized[resized].seq == seq)
                message->size = in->resized[resized].size;
            while (moved < in->moved_count && in->moved[moved].seq < seq)
                moved++;
            if (moved < in->moved_count && in->moved[moved].seq == seq)
                message->place = in->moved[moved].place;
        }
}

/* Takes over the columns of a page to which nothing happened; only its subjects may have other
 * numbers. False: something did. */
static bool put_as_it_is(RunMerge *merge, size_t p) {
    const RunInput *in = merge->in;
    size_t page_count, count;
    const RunPage *page = &run_pages(in->base, &page_count)[p];
    const char *at = run_section(in->base, RUN_SLOTS).ptr + page->at;
    uint64_t subjects[RUN_PAGE_SLOTS], all = 0;
    RunSlotsHead head;
    Packed packed;
    count = page->count;
    if (!is_whole(in, page, p) || has_resized(in, page->number) || has_moved(in, page->number))
        return false;
    memcpy(&head, at, sizeof head);
    at += sizeof head;
    size_t before = (size_t)(head.place_width + head.time_width + head.size_width) * count;
    uint32_t low = UINT32_MAX;
    for (size_t i = 0; i < count; i++) {
        uint64_t old = head.subject + run_column_get(at + before, head.subject_width, i);
        if (old >= merge->base_subjects)
            return false;
        uint32_t now = merge->of_base[old];
        if (run_bit(merge->chained, now))
            return false;
        subjects[i] = now;
        low = now < low ? now : low;
    }
    for (size_t i = 0; i < count; i++)
        all |= subjects[i] -= low;
    unsigned width = head.subject_width;
    head.subject = low;
    head.subject_width = (uint8_t)run_width_of(all);
    memcpy(packed.bytes, &head, sizeof head);
    memcpy(packed.bytes + sizeof head, at, before);
    packed.len = sizeof head + before;
    pack(&packed, subjects, count, head.subject_width);
    memcpy(packed.bytes + packed.len, at + before + width * count, head.next_width * count);
    packed.len += head.next_width * count;
    note_page(merge, page->number, page->has, count);
    run_file_put(merge->out, packed.bytes, packed.len);
    return true;
}

static void write_messages(RunMerge *merge) {
    const RunInput *in = merge->in;
    RunFile *out = merge->out;
    size_t base_pages = 0;
    RunFill *page = mem_alloc(sizeof *page);
    for (size_t i = 0; i < in->base_segment_count; i++)
        if (in->base_segments[i].bytes)
            vec_push(&merge->segments, in->base_segments[i]);
    run_file_begin_section(out, RUN_SLOTS);
    merge->slots_at = run_file_position(out);
    for (size_t p = in->page_count; p-- > 0 && out->status == OK;)
        put_new_page(merge, p, page);
    if (in->base)
        (void)run_pages(in->base, &base_pages);
    for (size_t p = base_pages; p-- > 0 && out->status == OK;) {
        if (put_as_it_is(merge, p))
            continue;
        fill_from_base(merge, p, page);
        put_page(merge, page);
    }
    run_file_end_section(out, RUN_SLOTS);
    mem_free(page);
    run_file_begin_section(out, RUN_PAGES);
    for (size_t p = merge->pages.len; p-- > 0;)
        run_file_put(out, &merge->pages.at[p], sizeof(RunPage));
    run_file_end_section(out, RUN_PAGES);
    out->head.message_count = merge->message_count;
}

/* ---- states ---- */

/* The next ordinal of base at or above old that is alive. */
static uint32_t next_alive(const RunMerge *merge, uint32_t old) {
    while (old < merge->base_subjects && run_bit(merge->dead, old))
        old++;
    return old;
}

/* *old goes along with the subjects of base. */
static RunSubject state_of(const RunMerge *merge, uint32_t ordinal, uint32_t *old) {
    RunSubject state = {0};
    bool is_of_base = *old < merge->base_subjects && merge->of_base[*old] == ordinal;
    const RunChain *chain = run_chain_of(merge, ordinal);
    if (chain)
        state = (RunSubject){chain->count, chain->nearest, chain->last};
    else if (is_of_base)
        run_subject(merge->in->base, *old, &state);
    if (is_of_base)
        *old = next_alive(merge, *old + 1);
    return state;
}

static void put_states(RunMerge *merge, uint32_t from, size_t count, uint32_t *old) {
    uint64_t first[RUN_STATE_BLOCK], span[RUN_STATE_BLOCK], more[RUN_STATE_BLOCK], all[3] = {0};
    RunStatesHead head = {.first = UINT64_MAX};
    Packed packed = {.len = sizeof head};
    for (size_t i = 0; i < count; i++) {
        RunSubject state = state_of(merge, from + (uint32_t)i, old);
        first[i] = state.first;
        span[i] = state.last - state.first;
        more[i] = state.count - 1;
        if (first[i] < head.first)
            head.first = first[i];
    }
    for (size_t i = 0; i < count; i++) {
        first[i] -= head.first;
        all[0] |= first[i];
        all[1] |= span[i];
        all[2] |= more[i];
    }
    head.first_width = (uint8_t)run_width_of(all[0]);
    head.span_width = (uint8_t)run_width_of(all[1]);
    head.count_width = (uint8_t)run_width_of(all[2]);
    memcpy(packed.bytes, &head, sizeof head);
    pack(&packed, first, count, head.first_width);
    pack(&packed, span, count, head.span_width);
    pack(&packed, more, count, head.count_width);
    run_file_put(merge->out, packed.bytes, packed.len);
}

static void write_states(RunMerge *merge) {
    RunFile *out = merge->out;
    VEC(uint64_t) index = {0};
    uint32_t old = next_alive(merge, 0);
    run_file_begin_section(out, RUN_STATES);
    for (uint32_t from = 0; from < merge->subject_count; from += RUN_STATE_BLOCK) {
        uint32_t left = merge->subject_count - from;
        vec_push(&index, run_file_position(out) - out->head.sections[RUN_STATES].at);
        put_states(merge, from, left < RUN_STATE_BLOCK ? left : RUN_STATE_BLOCK, &old);
    }
    run_file_end_section(out, RUN_STATES);
    run_file_put_section(out, RUN_STATE_INDEX, index.at, index.len * sizeof(uint64_t));
    vec_done(&index);
}

/* ---- places ---- */

typedef struct PlacesPiece {
    Buf bytes;
    uint32_t page_count;
    Place last;
} PlacesPiece;

static void put_piece_of(RunFile *out, const RunPlacesHead *head, const char *bytes) {
    static const char zeros[8];
    run_file_put(out, head, sizeof *head);
    run_file_put(out, bytes, head->bytes);
    run_file_put(out, zeros, -(size_t)head->bytes & 7);
}

static void put_piece(RunFile *out, PlacesPiece *piece) {
    if (!piece->page_count)
        return;
    RunPlacesHead head = {.bytes = (uint32_t)piece->bytes.len, .page_count = piece->page_count};
    head.checksum = run_places_checksum(&head, piece->bytes.ptr);
    put_piece_of(out, &head, piece->bytes.ptr);
    buf_clear(&piece->bytes);
    piece->page_count = 0;
    piece->last = 0;
}

static void piece_begin_page(PlacesPiece *piece, uint64_t number, const uint64_t *has) {
    buf_append_bytes(&piece->bytes, &number, sizeof number);
    buf_append_bytes(&piece->bytes, has, RUN_PAGE_WORDS * sizeof *has);
    piece->page_count++;
}

static void piece_add(PlacesPiece *piece, Place place) {
    char *to = buf_reserve(&piece->bytes, 10);
    if (!place) {
        piece->bytes.len += run_write_number(to, 0);
        return;
    }
    int64_t distance = (int64_t)(place - piece->last);
    piece->last = place;
    uint64_t zigzag = (uint64_t)distance << 1 ^ (uint64_t)(distance >> 63);
    piece->bytes.len += run_write_number(to, zigzag + 1);
}

static void piece_add_page(PlacesPiece *piece, const RunFill *page) {
    piece_begin_page(piece, page->number, page->has);
    for (size_t i = 0; i < page->count; i++)
        piece_add(piece, page->messages[i].place);
}

/* Takes over pieces from the beginning, as long as nothing happened to their pages. Returns the
 * pages that are dealt with. */
static size_t put_kept_pieces(RunMerge *merge) {
    const RunInput *in = merge->in;
    size_t page_count, done = 0, at = 0;
    if (!in->base)
        return 0;
    const RunPage *pages = run_pages(in->base, &page_count);
    Slice from = run_section(in->base, RUN_PLACES);
    while (done + RUN_PLACES_PAGES <= page_count && from.len - at >= sizeof(RunPlacesHead)) {
        RunPlacesHead head;
        memcpy(&head, from.ptr + at, sizeof head);
        const char *bytes = from.ptr + at + sizeof head;
        if (head.page_count != RUN_PLACES_PAGES || head.bytes > from.len - at - sizeof head ||
            run_places_checksum(&head, bytes) != head.checksum)
            break;
        size_t same = 0;
        while (same < RUN_PLACES_PAGES && is_whole(in, &pages[done + same], done + same) &&
               !has_moved(in, pages[done + same].number))
            same++;
        if (same < RUN_PLACES_PAGES)
            break;
        put_piece_of(merge->out, &head, bytes);
        at += (sizeof head + head.bytes + 7) & ~(size_t)7;
        done += RUN_PLACES_PAGES;
    }
    return done;
}

/* Both sources are read again, upwards. */
static void write_places(RunMerge *merge) {
    const RunInput *in = merge->in;
    PlacesPiece piece = {0};
    size_t page_count = 0;
    RunFill *page = mem_alloc(sizeof *page);
    if (in->base)
        (void)run_pages(in->base, &page_count);
    run_file_begin_section(merge->out, RUN_PLACES);
    for (size_t p = put_kept_pieces(merge); p < page_count + in->page_count; p++) {
        if (merge->out->status != OK)
            break;
        if (p < page_count)
            fill_from_base(merge, p, page);
        else
            in->page(in->cookie, p - page_count, page);
        if (page->count)
            piece_add_page(&piece, page);
        if (piece.page_count == RUN_PLACES_PAGES)
            put_piece(merge->out, &piece);
    }
    put_piece(merge->out, &piece);
    run_file_end_section(merge->out, RUN_PLACES);
    buf_done(&piece.bytes);
    mem_free(page);
}

/* ---- the file ---- */

static void write_body(RunFile *out, const RunInput *in) {
    static const char zeros[RUN_HEAD_BYTES];
    RunMerge merge = {.in = in, .out = out};
    run_merge_texts(&merge);
    write_messages(&merge);
    if (out->status == OK)
        write_states(&merge);
    run_file_put_section(out, RUN_SEGMENTS, merge.segments.at,
                         merge.segments.len * sizeof(RunSegment));
    run_file_put_section(out, RUN_DUES, in->dues, in->due_count * sizeof(RunDue));
    run_file_put(out, zeros, RUN_SLACK + (-run_file_position(out) & 7));
    run_file_put_sums(out);
    write_places(&merge);
    mem_free(merge.dead);
    mem_free(merge.touched);
    run_merge_free_of_base(&merge);
    mem_free(merge.chained);
    mem_free(merge.chained_before);
    mem_free(merge.chains);
    run_merge_free_hash(&merge);
    vec_done(&merge.fresh);
    vec_done(&merge.pages);
    vec_done(&merge.segments);
    if (in->base)
        run_forget(in->base);
}

Status run_write(const char *dir, const char *path, const RunInput *input) {
    RunFile out;
    if (input->base && !run_is_whole(input->base))
        return ERR_CORRUPT;
    Status status = run_file_open(path, input->cipher, &out);
    if (status != OK)
        return status;
    out.is_hurried = input->is_hurried;
    write_body(&out, input);
    return run_file_finish(&out, dir, path);
}
