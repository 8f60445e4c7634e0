/* Writing a run: subjects in order first, which numbers them; then the messages from the last to
 * the first, so that each knows the one behind it and the subject's state comes along; then all
 * that was counted. */
#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/vec.h"
#include "store/run_file.h"

typedef struct SortKey {
    uint64_t prefix;
    Slice text;
    uint32_t index;
} SortKey;

/* A subject that has more than one message. */
typedef struct Several {
    uint64_t last, count;
} Several;

typedef struct Merge {
    const RunInput *in;
    RunFile *out;
    uint32_t base_subjects;
    uint64_t *base_alive;        /* bit for each subject of base that still has messages */
    uint32_t *of_base, *of_text; /* new ordinals */
    SortKey *keys;
    uint32_t subject_count, subject_max;
    uint16_t *text_len; /* by new ordinal */
    RunBucket *buckets;
    Buf text; /* the last one written */
    VEC(uint64_t) text_index;
    uint64_t *nearest; /* by new ordinal: the message met last; 0 = none */
    uint32_t *several; /* by new ordinal: index + 1 in severals */
    VEC(Several) severals;
    VEC(RunPage) pages; /* from the last to the first */
    VEC(RunSegment) segments;
    uint64_t slots_at, message_count;
} Merge;

/* ---- subjects ---- */

static int by_text(const void *a, const void *b) {
    const SortKey *x = a, *y = b;
    if (x->prefix != y->prefix)
        return x->prefix < y->prefix ? -1 : 1;
    size_t len = x->text.len < y->text.len ? x->text.len : y->text.len;
    int order = memcmp(x->text.ptr, y->text.ptr, len);
    return order ? order : x->text.len < y->text.len ? -1 : x->text.len > y->text.len;
}

static int compare(Slice a, Slice b) {
    size_t len = a.len < b.len ? a.len : b.len;
    int order = memcmp(a.ptr, b.ptr, len);
    return order ? order : a.len < b.len ? -1 : a.len > b.len;
}

/* The 8 bytes behind what all texts begin with decide most comparisons. */
static void sort_texts(Merge *merge) {
    const RunInput *in = merge->in;
    size_t same = in->text_count ? in->texts[0].len : 0;
    for (size_t i = 1; i < in->text_count; i++) {
        size_t n = 0;
        while (n < same && n < in->texts[i].len && in->texts[i].ptr[n] == in->texts[0].ptr[n])
            n++;
        same = n;
    }
    merge->keys = mem_alloc((in->text_count + 1) * sizeof *merge->keys);
    for (size_t i = 0; i < in->text_count; i++) {
        Slice text = in->texts[i];
        uint64_t prefix = 0;
        for (size_t n = 0; n < 8; n++)
            prefix = prefix << 8 | (same + n < text.len ? (uint8_t)text.ptr[same + n] : 0);
        merge->keys[i] = (SortKey){prefix, text, (uint32_t)i};
    }
    if (in->text_count > 1)
        qsort(merge->keys, in->text_count, sizeof *merge->keys, by_text);
}

/* Nothing of the base went. */
static bool is_whole(const RunInput *in, const RunPage *pages, size_t page_count) {
    for (size_t p = 0; p < page_count; p++)
        if (memcmp(in->base_has[p], pages[p].has, sizeof pages[p].has) != 0)
            return false;
    return true;
}

static void find_alive(Merge *merge) {
    const RunInput *in = merge->in;
    size_t page_count;
    const RunPage *pages = run_pages(in->base, &page_count);
    merge->base_alive = mem_zalloc((merge->base_subjects / 64 + 1) * sizeof(uint64_t));
    if (is_whole(in, pages, page_count)) {
        memset(merge->base_alive, 0xff, (merge->base_subjects / 64 + 1) * sizeof(uint64_t));
        return;
    }
    for (size_t p = 0; p < page_count; p++)
        for (unsigned i = 0; i < RUN_PAGE_SLOTS; i++) {
            RunMessage message;
            if (!(in->base_has[p][i / 64] >> (i % 64) & 1))
                continue;
            run_message(in->base, &pages[p], i, &message);
            if (message.subject != RUN_NO_SUBJECT)
                merge->base_alive[message.subject / 64] |= 1ull << (message.subject % 64);
        }
}

static void bucket_put(Merge *merge, Slice text, uint32_t ordinal) {
    uint64_t hash = hash_checksum(text.ptr, text.len), count = merge->out->head.bucket_count;
    for (uint64_t b = run_bucket_of(hash, count);; b = b + 1 == count ? 0 : b + 1) {
        RunBucket *bucket = &merge->buckets[b];
        for (unsigned i = 0; i < RUN_BUCKET_IDS; i++)
            if (!bucket->tags[i]) {
                bucket->tags[i] = run_tag_of(hash);
                bucket->ids[i] = ordinal;
                return;
            }
        bucket->passed++;
    }
}

static uint32_t put_subject(Merge *merge, Slice text) {
    RunFile *out = merge->out;
    uint32_t ordinal = merge->subject_count++;
    size_t shared = 0;
    if (ordinal % RUN_TEXT_BLOCK == 0)
        vec_push(&merge->text_index, run_file_position(out) - out->head.sections[RUN_TEXTS].at);
    else
        while (shared < merge->text.len && shared < text.len &&
               merge->text.ptr[shared] == text.ptr[shared])
            shared++;
    char numbers[20];
    size_t n = run_write_number(numbers, shared);
    n += run_write_number(numbers + n, text.len - shared);
    run_file_put(out, numbers, n);
    run_file_put(out, text.ptr + shared, text.len - shared);
    bucket_put(merge, text, ordinal);
    merge->text_len[ordinal] = (uint16_t)text.len;
    buf_clear(&merge->text);
    buf_append(&merge->text, text);
    return ordinal;
}

/* The next subject of base that is alive. */
static bool next_of_base(Merge *merge, RunScan *scan, uint32_t *out_ordinal, Slice *out_text) {
    if (!merge->in->base)
        return false;
    while (run_scan_next(scan, out_ordinal, out_text))
        if (merge->base_alive[*out_ordinal / 64] >> (*out_ordinal % 64) & 1)
            return true;
    return false;
}

static void merge_subjects(Merge *merge) {
    const RunInput *in = merge->in;
    RunScan scan = {0};
    uint32_t ordinal;
    Slice text;
    if (in->base)
        run_scan_begin(&scan, in->base, (Slice){0});
    bool has_old = next_of_base(merge, &scan, &ordinal, &text);
    for (size_t i = 0; (has_old || i < in->text_count) && merge->out->status == OK;) {
        int order = !has_old ? 1 : i == in->text_count ? -1 : compare(text, merge->keys[i].text);
        uint32_t number = put_subject(merge, order <= 0 ? text : merge->keys[i].text);
        if (order >= 0)
            merge->of_text[merge->keys[i++].index] = number;
        if (order <= 0) {
            merge->of_base[ordinal] = number;
            has_old = next_of_base(merge, &scan, &ordinal, &text);
        }
    }
    run_scan_done(&scan);
}

static void write_subjects(Merge *merge) {
    const RunInput *in = merge->in;
    RunFile *out = merge->out;
    if (in->base) {
        merge->base_subjects = run_subject_count(in->base);
        find_alive(merge);
    }
    sort_texts(merge);
    uint64_t max = merge->base_subjects + in->text_count;
    merge->of_base = mem_alloc((merge->base_subjects + 1) * sizeof(uint32_t));
    merge->of_text = mem_alloc((in->text_count + 1) * sizeof(uint32_t));
    merge->text_len = mem_alloc((max + 1) * sizeof(uint16_t));
    out->head.bucket_count = max / RUN_BUCKET_FULL + 1;
    merge->buckets = mem_zalloc(out->head.bucket_count * sizeof(RunBucket));
    run_file_begin_section(out, RUN_TEXTS);
    merge_subjects(merge);
    run_file_end_section(out, RUN_TEXTS);
    run_file_put_section(out, RUN_TEXT_INDEX, merge->text_index.at,
                         merge->text_index.len * sizeof(uint64_t));
    run_file_put_section(out, RUN_HASH, merge->buckets, out->head.bucket_count * sizeof(RunBucket));
    out->head.subject_count = merge->subject_count;
    mem_free(merge->buckets);
    merge->buckets = NULL;
    mem_free(merge->keys);
    merge->keys = NULL;
}

/* ---- messages ---- */

typedef struct Page {
    uint64_t number, has[RUN_PAGE_WORDS];
    RunMessage messages[RUN_PAGE_SLOTS]; /* [0, count), ascending */
    uint16_t at[RUN_PAGE_SLOTS];         /* their sequences within the page */
    size_t count;
} Page;

static void count_bytes(Merge *merge, const RunMessage *message) {
    if (!message->place)
        return;
    uint64_t segment = place_segment(message->place & ~PLACE_REF);
    uint64_t bytes =
        merge->in->live_bytes(merge->text_len[message->subject], message->place, message->size);
    for (size_t i = merge->segments.len; i-- > 0;)
        if (merge->segments.at[i].segment == segment) {
            merge->segments.at[i].bytes += bytes;
            return;
        }
    vec_push(&merge->segments, ((RunSegment){segment, bytes}));
}

/* From the last message to the first. */
static void meet(Merge *merge, uint64_t seq, RunMessage *message) {
    message->next = 0;
    if (message->subject == RUN_NO_SUBJECT) {
        message->subject = merge->subject_count;
        return;
    }
    uint32_t ordinal = message->subject;
    uint64_t after = merge->nearest[ordinal];
    merge->nearest[ordinal] = seq;
    count_bytes(merge, message);
    if (!after)
        return;
    message->next = after - seq < INT32_MAX ? (uint32_t)(after - seq) : INT32_MAX;
    if (!merge->several[ordinal]) {
        vec_push(&merge->severals, ((Several){after, 1}));
        merge->several[ordinal] = (uint32_t)merge->severals.len;
    }
    merge->severals.at[merge->several[ordinal] - 1].count++;
}

typedef struct Columns {
    uint64_t place[RUN_PAGE_SLOTS], time[RUN_PAGE_SLOTS], size[RUN_PAGE_SLOTS],
        subject[RUN_PAGE_SLOTS], next[RUN_PAGE_SLOTS];
} Columns;

static void least(const Page *page, RunSlotsHead *out_head) {
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

static void put_slots(Merge *merge, const Page *page) {
    RunSlotsHead head;
    Columns columns;
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
    run_file_put(merge->out, &head, sizeof head);
    run_file_put_column(merge->out, columns.place, page->count, head.place_width);
    run_file_put_column(merge->out, columns.time, page->count, head.time_width);
    run_file_put_column(merge->out, columns.size, page->count, head.size_width);
    run_file_put_column(merge->out, columns.subject, page->count, head.subject_width);
    run_file_put_column(merge->out, columns.next, page->count, head.next_width);
}

static void put_page(Merge *merge, Page *page) {
    if (!page->count)
        return;
    for (size_t i = page->count; i-- > 0;)
        meet(merge, page->number * RUN_PAGE_SLOTS + page->at[i], &page->messages[i]);
    RunPage ref = {.number = page->number,
                   .at = run_file_position(merge->out) - merge->slots_at,
                   .count = page->count};
    memcpy(ref.has, page->has, sizeof ref.has);
    put_slots(merge, page);
    vec_push(&merge->pages, ref);
    merge->message_count += page->count;
}

static void page_add(Page *page, uint64_t seq, const RunMessage *message) {
    unsigned i = seq % RUN_PAGE_SLOTS;
    page->number = seq / RUN_PAGE_SLOTS;
    page->has[i / 64] |= 1ull << (i % 64);
    page->at[page->count] = (uint16_t)i;
    page->messages[page->count++] = *message;
}

static const RunSize *find_resized(const RunInput *in, uint64_t seq) {
    size_t low = 0, high = in->resized_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (in->resized[middle].seq < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low < in->resized_count && in->resized[low].seq == seq ? &in->resized[low] : NULL;
}

static void fill_from_base(Merge *merge, size_t p, Page *page) {
    const RunInput *in = merge->in;
    size_t page_count;
    const RunPage *from = &run_pages(in->base, &page_count)[p];
    page->count = 0;
    memset(page->has, 0, sizeof page->has);
    for (unsigned i = 0; i < RUN_PAGE_SLOTS; i++) {
        RunMessage message;
        if (!(in->base_has[p][i / 64] >> (i % 64) & 1))
            continue;
        uint64_t seq = from->number * RUN_PAGE_SLOTS + i;
        run_message(in->base, from, i, &message);
        if (message.subject != RUN_NO_SUBJECT)
            message.subject = merge->of_base[message.subject];
        const RunSize *resized = in->resized_count ? find_resized(in, seq) : NULL;
        if (resized)
            message.size = resized->size;
        page_add(page, seq, &message);
    }
}

/* Added messages [*at, end) that share a page; moves *at down. */
static void fill_from_added(Merge *merge, size_t *at, Page *page) {
    const RunNew *added = merge->in->added;
    size_t end = *at;
    uint64_t number = added[end - 1].seq / RUN_PAGE_SLOTS;
    while (*at && added[*at - 1].seq / RUN_PAGE_SLOTS == number)
        --*at;
    page->count = 0;
    memset(page->has, 0, sizeof page->has);
    for (size_t i = *at; i < end; i++) {
        RunMessage message = added[i].message;
        if (message.subject != RUN_NO_SUBJECT)
            message.subject = merge->of_text[message.subject];
        page_add(page, added[i].seq, &message);
    }
}

static void write_messages(Merge *merge) {
    const RunInput *in = merge->in;
    RunFile *out = merge->out;
    size_t base_pages = 0;
    Page *page = mem_alloc(sizeof *page);
    merge->nearest = mem_zalloc((merge->subject_count + 1) * sizeof(uint64_t));
    merge->several = mem_zalloc((merge->subject_count + 1) * sizeof(uint32_t));
    run_file_begin_section(out, RUN_SLOTS);
    merge->slots_at = run_file_position(out);
    for (size_t at = in->added_count; at && out->status == OK;) {
        fill_from_added(merge, &at, page);
        put_page(merge, page);
    }
    if (in->base)
        (void)run_pages(in->base, &base_pages);
    for (size_t p = base_pages; p-- > 0 && out->status == OK;) {
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

static void put_states(Merge *merge, uint32_t from, size_t count) {
    uint64_t first[RUN_STATE_BLOCK], span[RUN_STATE_BLOCK], more[RUN_STATE_BLOCK], all[3] = {0};
    RunStatesHead head = {.first = UINT64_MAX};
    for (size_t i = 0; i < count; i++) {
        uint32_t several = merge->several[from + i];
        first[i] = merge->nearest[from + i];
        span[i] = several ? merge->severals.at[several - 1].last - first[i] : 0;
        more[i] = several ? merge->severals.at[several - 1].count - 1 : 0;
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
    run_file_put(merge->out, &head, sizeof head);
    run_file_put_column(merge->out, first, count, head.first_width);
    run_file_put_column(merge->out, span, count, head.span_width);
    run_file_put_column(merge->out, more, count, head.count_width);
}

static void write_states(Merge *merge) {
    RunFile *out = merge->out;
    VEC(uint64_t) index = {0};
    run_file_begin_section(out, RUN_STATES);
    for (uint32_t from = 0; from < merge->subject_count; from += RUN_STATE_BLOCK) {
        uint32_t left = merge->subject_count - from;
        vec_push(&index, run_file_position(out) - out->head.sections[RUN_STATES].at);
        put_states(merge, from, left < RUN_STATE_BLOCK ? left : RUN_STATE_BLOCK);
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

static void put_piece(RunFile *out, PlacesPiece *piece) {
    static const char zeros[8];
    if (!piece->page_count)
        return;
    RunPlacesHead head = {.bytes = (uint32_t)piece->bytes.len, .page_count = piece->page_count};
    head.checksum = run_places_checksum(&head, piece->bytes.ptr);
    run_file_put(out, &head, sizeof head);
    run_file_put(out, piece->bytes.ptr, piece->bytes.len);
    run_file_put(out, zeros, -piece->bytes.len & 7);
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

/* Both sources hold places as they were: read again, upwards. */
static void write_places(Merge *merge) {
    const RunInput *in = merge->in;
    PlacesPiece piece = {0};
    size_t page_count = 0, at = 0;
    const RunPage *pages = in->base ? run_pages(in->base, &page_count) : NULL;
    run_file_begin_section(merge->out, RUN_PLACES);
    for (size_t p = merge->pages.len, base = 0; p-- > 0;) {
        const RunPage *page = &merge->pages.at[p];
        while (base < page_count && pages[base].number < page->number)
            base++;
        bool is_of_base = base < page_count && pages[base].number == page->number;
        piece_begin_page(&piece, page->number, page->has);
        for (unsigned i = 0; i < RUN_PAGE_SLOTS; i++) {
            RunMessage message;
            if (!(page->has[i / 64] >> (i % 64) & 1))
                continue;
            if (is_of_base)
                run_message(in->base, &pages[base], i, &message);
            else
                message = in->added[at++].message;
            piece_add(&piece, message.place);
        }
        if (piece.page_count == RUN_PLACES_PAGES)
            put_piece(merge->out, &piece);
    }
    put_piece(merge->out, &piece);
    run_file_end_section(merge->out, RUN_PLACES);
    buf_done(&piece.bytes);
}

/* ---- the file ---- */

static void write_body(RunFile *out, const RunInput *in) {
    static const char zeros[RUN_HEAD_BYTES];
    Merge merge = {.in = in, .out = out};
    write_subjects(&merge);
    write_messages(&merge);
    write_states(&merge);
    run_file_put_section(out, RUN_SEGMENTS, merge.segments.at,
                         merge.segments.len * sizeof(RunSegment));
    run_file_put_section(out, RUN_DUES, in->dues, in->due_count * sizeof(RunDue));
    run_file_put(out, zeros, RUN_SLACK + (-run_file_position(out) & 7));
    run_file_put_sums(out);
    write_places(&merge);
    mem_free(merge.base_alive);
    mem_free(merge.of_base);
    mem_free(merge.of_text);
    mem_free(merge.text_len);
    mem_free(merge.nearest);
    mem_free(merge.several);
    vec_done(&merge.severals);
    vec_done(&merge.pages);
    vec_done(&merge.segments);
    vec_done(&merge.text_index);
    buf_done(&merge.text);
}

Status run_write(const char *dir, const char *path, const RunInput *input) {
    RunFile out;
    if (input->base && !run_is_whole(input->base))
        return ERR_CORRUPT;
    Status status = run_file_open(path, &out);
    if (status != OK)
        return status;
    out.is_hurried = input->is_hurried;
    write_body(&out, input);
    return run_file_finish(&out, dir, path);
}
