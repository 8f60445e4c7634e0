#include "stream/msg_index.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "stream/msg_base.h"

struct MsgPage {
    uint64_t number;
    uint64_t live[MSG_PAGE_WORDS];
    uint16_t count, cap; /* cap < MSG_PAGE_SLOTS: packed */
    bool is_aside;       /* does not change, and is freed by who set it aside */
    MsgSlot slots[];
};

/* The first page of a small index begins packed and grows: most streams are small. */
enum { PACK_MIN = 4, GROW_BELOW = MSG_PAGE_SLOTS };

/* Inline: the least x86-64 has no instruction for it, and a call costs more. */
static inline unsigned bits_in(uint64_t word) {
    word -= word >> 1 & 0x5555555555555555;
    word = (word & 0x3333333333333333) + (word >> 2 & 0x3333333333333333);
    word = (word + (word >> 4)) & 0x0f0f0f0f0f0f0f0f;
    return (unsigned)(word * 0x0101010101010101 >> 56);
}

static size_t page_bytes(unsigned cap) {
    return sizeof(MsgPage) + cap * sizeof(MsgSlot);
}

static bool page_is_packed(const MsgPage *page) {
    return page->cap < MSG_PAGE_SLOTS;
}

static bool page_has(const MsgPage *page, unsigned i) {
    return page->live[i / 64] >> (i % 64) & 1;
}

static unsigned page_rank_of_word(const MsgPage *page, unsigned word) {
    unsigned rank = 0;
    for (unsigned w = 0; w < word; w++)
        rank += bits_in(page->live[w]);
    return rank;
}

static uint64_t bits_below(unsigned bit) {
    return (1ull << bit) - 1;
}

static unsigned page_slot_at(const MsgPage *page, unsigned i) {
    if (!page_is_packed(page))
        return i;
    return page_rank_of_word(page, i / 64) + bits_in(page->live[i / 64] & bits_below(i % 64));
}

/* Position of the first page whose number is >= number. */
static size_t lower_page(const MsgIndex *index, uint64_t number) {
    size_t low = index->head, high = index->len;
    if (low == high || index->pages[high - 1].number < number)
        return high;

    uint64_t base = index->pages[low].number;
    if (number <= base)
        return low;
    uint64_t guess = low + (number - base);
    if (guess < high) {
        if (index->pages[guess].number == number)
            return guess;
        high = guess + 1;
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (index->pages[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- pages of the base and of the heap, one behind the other ---- */

static size_t base_len(const MsgIndex *index) {
    return index->base ? index->base->len - index->base->head : 0;
}

static size_t page_count(const MsgIndex *index) {
    return base_len(index) + index->len - index->head;
}

/* A position in both to one in the base, which it is in, or in pages. */
static bool in_base(const MsgIndex *index, size_t at, size_t *out_at) {
    size_t below = base_len(index);
    *out_at = at < below ? index->base->head + at : index->head + at - below;
    return at < below;
}

static uint64_t number_at(const MsgIndex *index, size_t at) {
    size_t i;
    return in_base(index, at, &i) ? index->base->pages[i].number : index->pages[i].number;
}

static const uint64_t *live_at(const MsgIndex *index, size_t at) {
    size_t i;
    return in_base(index, at, &i) ? index->base->pages[i].live : index->pages[i].page->live;
}

static unsigned count_at(const MsgIndex *index, size_t at) {
    size_t i;
    return in_base(index, at, &i) ? index->base->pages[i].count : index->pages[i].page->count;
}

/* Position in both of the first page whose number is >= number. */
static size_t lower_of_both(const MsgIndex *index, uint64_t number) {
    size_t below = base_len(index);
    if (below && number <= index->base->pages[index->base->len - 1].number)
        return msg_base_lower(index->base, number) - index->base->head;
    return below + lower_page(index, number) - index->head;
}

/* True when seq is live in the base; *out_page says where. */
static bool is_in_base(const MsgIndex *index, uint64_t seq, size_t *out_page) {
    const MsgBase *base = index->base;
    if (!base || base->head == base->len)
        return false;
    uint64_t number = seq / MSG_PAGE_SLOTS;
    size_t at = msg_base_lower(base, number);
    unsigned i = seq % MSG_PAGE_SLOTS;
    *out_page = at;
    return at < base->len && base->pages[at].number == number &&
           base->pages[at].live[i / 64] >> (i % 64) & 1;
}

static MsgPage *find_page(const MsgIndex *index, uint64_t number, size_t *out_at) {
    size_t at = lower_page(index, number);
    *out_at = at;
    return at < index->len && index->pages[at].number == number ? index->pages[at].page : NULL;
}

static void page_free(MsgPage *page) {
    if (!page->is_aside)
        mem_free(page);
}

void msg_index_done(MsgIndex *index) {
    for (size_t i = index->head; i < index->len; i++)
        page_free(index->pages[i].page);
    mem_free(index->pages);
    msg_base_free(index->base);
    *index = (MsgIndex){0};
}

static void drop_front_pages(MsgIndex *index) {
    memmove(index->pages, index->pages + index->head,
            (index->len - index->head) * sizeof *index->pages);
    index->len -= index->head;
    index->head = 0;
}

static MsgPage *append_page(MsgIndex *index, uint64_t number) {
    if (index->head > 64 && index->head > index->len / 2)
        drop_front_pages(index);
    if (index->len == index->cap) {
        index->cap = index->cap ? index->cap + index->cap / 2 : 4;
        index->pages = mem_realloc(index->pages, index->cap * sizeof *index->pages);
    }
    unsigned cap = index->live < GROW_BELOW ? PACK_MIN : MSG_PAGE_SLOTS;
    MsgPage *page = mem_alloc(page_bytes(cap));
    memset(page, 0, sizeof *page);
    page->number = number;
    page->cap = (uint16_t)cap;
    index->pages[index->len++] = (MsgPageRef){number, page};
    index->bytes += page_bytes(cap);
    return page;
}

/* The last page is packed and full: twice the room; at last one slot for each sequence. */
static MsgPage *grow_page(MsgIndex *index, MsgPage *page) {
    unsigned cap = page->cap * 2u < MSG_PAGE_SLOTS / 2 ? page->cap * 2u : MSG_PAGE_SLOTS;
    MsgPage *grown = mem_alloc(page_bytes(cap));
    memcpy(grown, page, sizeof *page);
    grown->cap = (uint16_t)cap;
    if (page_is_packed(grown)) {
        memcpy(grown->slots, page->slots, page->count * sizeof(MsgSlot));
    } else {
        unsigned from = 0;
        for (unsigned word = 0; word < MSG_PAGE_WORDS; word++)
            for (uint64_t bits = page->live[word]; bits; bits &= bits - 1)
                grown->slots[word * 64 + (unsigned)__builtin_ctzll(bits)] = page->slots[from++];
    }
    index->bytes += page_bytes(cap) - page_bytes(page->cap);
    index->pages[index->len - 1].page = grown;
    mem_free(page);
    return grown;
}

static void remove_page(MsgIndex *index, size_t at) {
    index->bytes -= page_bytes(index->pages[at].page->cap);
    page_free(index->pages[at].page);
    if (at == index->head) {
        index->head++;
        if (index->head == index->len)
            index->head = index->len = 0;
        return;
    }
    memmove(index->pages + at, index->pages + at + 1, (index->len - at - 1) * sizeof *index->pages);
    index->len--;
}

/* The page, to be changed. */
static MsgPage *own_page(MsgIndex *index, size_t at) {
    MsgPage *page = index->pages[at].page;
    if (!page->is_aside)
        return page;
    MsgPage *copy = mem_alloc(page_bytes(page->cap));
    memcpy(copy, page, page_bytes(page->cap));
    copy->is_aside = false;
    index->pages[at].page = copy;
    return copy;
}

/* Ids of what was set aside change when a subject is taken over. */
static MsgSlot *settled(const MsgIndex *index, const MsgPage *page, MsgSlot *slot) {
    MsgAside *aside = index->aside;
    if (!aside || page->number >= aside->cut / MSG_PAGE_SLOTS || !slot->subject)
        return slot;
    SubjectId id = subject_index_settle(aside->subjects, slot->subject);
    if (id == slot->subject)
        return slot;
    if (page->is_aside) {
        MsgSlot *copy = &aside->copies[aside->copy_at++ % MSG_ASIDE_COPIES];
        *copy = *slot;
        slot = copy;
    }
    slot->subject = id;
    return slot;
}

/* Keeps only live slots. */
static MsgPage *pack_page(MsgIndex *index, const MsgPage *page) {
    unsigned cap = page->count < PACK_MIN ? PACK_MIN : page->count;
    MsgPage *packed = mem_alloc(page_bytes(cap));
    memcpy(packed, page, sizeof *page);
    packed->cap = (uint16_t)cap;

    unsigned to = 0;
    for (unsigned word = 0; word < MSG_PAGE_WORDS; word++)
        for (uint64_t bits = page->live[word]; bits; bits &= bits - 1) {
            unsigned i = word * 64 + (unsigned)__builtin_ctzll(bits);
            packed->slots[to++] = page->slots[page_slot_at(page, i)];
        }
    index->bytes += page_bytes(cap);
    return packed;
}

MsgSlot *msg_index_add(MsgIndex *index, uint64_t seq) {
    uint64_t number = seq / MSG_PAGE_SLOTS;
    unsigned i = seq % MSG_PAGE_SLOTS;
    MsgPage *page = NULL;

    if (index->len > index->head) {
        page = index->pages[index->len - 1].page;
        ASSERT(page->number <= number);
        if (page->number != number) {
            if (page->count == 0)
                remove_page(index, index->len - 1);
            page = NULL;
        }
    }
    if (!page)
        page = append_page(index, number);
    index->tail = number;
    if (page_is_packed(page) && page->count == page->cap)
        page = grow_page(index, page);
    ASSERT(page->count == 0 || !(page->live[i / 64] >> (i % 64)));
    unsigned slot = page_is_packed(page) ? page->count : i;
    page->live[i / 64] |= 1ull << (i % 64);
    page->count++;
    index->live++;
    memset(&page->slots[slot], 0, sizeof page->slots[slot]);
    return &page->slots[slot];
}

void msg_index_remove(MsgIndex *index, uint64_t seq) {
    size_t at;
    unsigned i = seq % MSG_PAGE_SLOTS;
    if (index->aside && seq < index->aside->cut)
        vec_push(&index->aside->removed, seq);
    if (is_in_base(index, seq, &at)) {
        msg_base_remove(index->base, at, i);
        index->live--;
        return;
    }
    MsgPage *page = find_page(index, seq / MSG_PAGE_SLOTS, &at);
    ASSERT(page && page_has(page, i));
    page = own_page(index, at);

    if (page_is_packed(page)) {
        unsigned slot = page_slot_at(page, i);
        memmove(page->slots + slot, page->slots + slot + 1,
                (page->count - slot - 1u) * sizeof(MsgSlot));
    }
    page->live[i / 64] &= ~(1ull << (i % 64));
    page->count--;
    index->live--;
    if (page->number == index->tail)
        return;
    if (page->count == 0) {
        remove_page(index, at);
    } else if (page->count <= page->cap / 2 && page->cap > PACK_MIN) {
        index->pages[at].page = pack_page(index, page);
        index->bytes -= page_bytes(page->cap);
        mem_free(page);
    }
}

MsgSlot *msg_index_get(const MsgIndex *index, uint64_t seq) {
    size_t at;
    unsigned i = seq % MSG_PAGE_SLOTS;
    if (is_in_base(index, seq, &at))
        return msg_base_slot(index->base, at, i);
    MsgPage *page = find_page(index, seq / MSG_PAGE_SLOTS, &at);
    if (!page || !page_has(page, i))
        return NULL;
    return settled(index, page, &page->slots[page_slot_at(page, i)]);
}

void msg_index_prefetch(const MsgIndex *index, uint64_t seq) {
    size_t at;
    if (seq < msg_index_base_end(index))
        return;
    const MsgPage *page = find_page(index, seq / MSG_PAGE_SLOTS, &at);
    if (!page)
        return;
    __builtin_prefetch(page->live);
    if (!page_is_packed(page))
        __builtin_prefetch(&page->slots[seq % MSG_PAGE_SLOTS]);
}

MsgSlot *msg_index_edit(MsgIndex *index, uint64_t seq) {
    size_t at;
    if (index->aside && seq < index->aside->cut)
        vec_push(&index->aside->edited, seq);
    if (is_in_base(index, seq, &at))
        return msg_base_edit(index->base, at, seq % MSG_PAGE_SLOTS);
    MsgPage *page = find_page(index, seq / MSG_PAGE_SLOTS, &at);
    unsigned i = seq % MSG_PAGE_SLOTS;
    ASSERT(page && page_has(page, i));
    page = own_page(index, at);
    return settled(index, page, &page->slots[page_slot_at(page, i)]);
}

void msg_index_move(MsgIndex *index, uint64_t seq, uint64_t place, uint64_t bytes_from,
                    uint64_t bytes_to) {
    size_t at;
    unsigned i = seq % MSG_PAGE_SLOTS;
    const uint64_t from = msg_index_get(index, seq)->place;
    if (index->aside && seq < index->aside->cut)
        vec_push(&index->aside->moved, ((MsgMove){seq, from, place, bytes_from, bytes_to}));
    if (is_in_base(index, seq, &at)) {
        msg_base_move_bytes(index->base, from, place, bytes_from, bytes_to);
        msg_base_move(index->base, at, i, place);
        return;
    }
    MsgPage *page = find_page(index, seq / MSG_PAGE_SLOTS, &at);
    ASSERT(page && page_has(page, i));
    page = own_page(index, at);
    page->slots[page_slot_at(page, i)].place = place;
}

uint64_t msg_index_next(const MsgIndex *index, uint64_t seq) {
    uint64_t number = seq / MSG_PAGE_SLOTS;
    size_t at = lower_of_both(index, number), len = page_count(index);
    unsigned i = at < len && number_at(index, at) == number ? seq % MSG_PAGE_SLOTS : 0;
    for (; at < len; at++, i = 0) {
        const uint64_t *live = live_at(index, at);
        uint64_t mask = ~bits_below(i % 64);
        for (unsigned word = i / 64; word < MSG_PAGE_WORDS; word++, mask = ~0ull)
            if (live[word] & mask)
                return number_at(index, at) * MSG_PAGE_SLOTS + word * 64 +
                       (unsigned)__builtin_ctzll(live[word] & mask);
    }
    return 0;
}

uint64_t msg_index_prev(const MsgIndex *index, uint64_t seq) {
    MsgScan scan;
    uint64_t found;
    msg_scan_down(&scan, index, seq);
    return msg_scan_next_down(&scan, &found) ? found : 0;
}

/* Live slots of a page at or above its i-th. */
static unsigned count_from(const uint64_t *live, unsigned i) {
    unsigned count = bits_in(live[i / 64] & ~bits_below(i % 64));
    for (unsigned word = i / 64 + 1; word < MSG_PAGE_WORDS; word++)
        count += bits_in(live[word]);
    return count;
}

uint64_t msg_index_count_from(const MsgIndex *index, uint64_t seq) {
    uint64_t number = seq / MSG_PAGE_SLOTS;
    size_t at = lower_of_both(index, number), len = page_count(index);
    uint64_t inside = 0, whole = 0, left = 0;
    size_t above = at;

    if (at < len && number_at(index, at) == number) {
        inside = count_from(live_at(index, at), seq % MSG_PAGE_SLOTS);
        left = count_at(index, at);
        above = at + 1;
    }
    if (len - above <= at) {
        for (size_t i = above; i < len; i++)
            whole += count_at(index, i);
        return inside + whole;
    }
    for (size_t i = 0; i < at; i++)
        whole += count_at(index, i);
    return index->live - whole - left + inside;
}

static MsgSlot *slot_at(const MsgIndex *index, size_t at, unsigned i) {
    size_t page;
    if (in_base(index, at, &page))
        return msg_base_slot(index->base, page, i);
    MsgPage *of_heap = index->pages[page].page;
    return settled(index, of_heap, &of_heap->slots[page_slot_at(of_heap, i)]);
}

/* Time of the last live slot of the page; count > 0. */
static int64_t page_last_time(const MsgIndex *index, size_t at) {
    const uint64_t *live = live_at(index, at);
    unsigned word = MSG_PAGE_WORDS - 1;
    while (!live[word])
        word--;
    return slot_at(index, at, word * 64 + 63 - (unsigned)__builtin_clzll(live[word]))->time_ns;
}

uint64_t msg_index_at_time(const MsgIndex *index, int64_t time_ns) {
    size_t low = 0, len = page_count(index), high = len;
    while (low < high) {
        size_t middle = low + (high - low) / 2, at = middle;
        while (at < high && count_at(index, at) == 0)
            at++; /* of the base, or the one that is added to */
        if (at < high && page_last_time(index, at) < time_ns)
            low = at + 1;
        else
            high = middle;
    }
    if (low == len)
        return 0;

    MsgScan scan;
    uint64_t seq;
    MsgSlot *slot;
    msg_scan_up(&scan, index, number_at(index, low) * MSG_PAGE_SLOTS);
    while ((slot = msg_scan_next_up(&scan, &seq)))
        if (slot->time_ns >= time_ns)
            return seq;
    return 0;
}

static void scan_enter_word(MsgScan *scan, uint64_t mask) {
    size_t at;
    scan->word_bits = live_at(scan->index, scan->at)[scan->word];
    scan->bits = scan->word_bits & mask;
    scan->rank = 0;
    if (!in_base(scan->index, scan->at, &at)) {
        const MsgPage *page = scan->index->pages[at].page;
        scan->rank = page_is_packed(page) ? page_rank_of_word(page, scan->word) : 0;
    }
}

static MsgSlot *scan_slot(const MsgScan *scan, unsigned bit, uint64_t *out_seq) {
    size_t at;
    unsigned i = scan->word * 64 + bit;
    *out_seq = number_at(scan->index, scan->at) * MSG_PAGE_SLOTS + i;
    if (in_base(scan->index, scan->at, &at))
        return msg_base_slot(scan->index->base, at, i);
    MsgPage *page = scan->index->pages[at].page;
    if (!page_is_packed(page))
        return settled(scan->index, page, &page->slots[i]);
    return settled(scan->index, page,
                   &page->slots[scan->rank + bits_in(scan->word_bits & bits_below(bit))]);
}

void msg_scan_up(MsgScan *scan, const MsgIndex *index, uint64_t from) {
    uint64_t number = from / MSG_PAGE_SLOTS;
    unsigned i = from % MSG_PAGE_SLOTS;
    *scan = (MsgScan){.index = index, .at = lower_of_both(index, number)};
    if (scan->at == page_count(index)) {
        scan->is_over = true;
        return;
    }
    if (number_at(index, scan->at) != number)
        i = 0;
    scan->word = i / 64;
    scan_enter_word(scan, ~bits_below(i % 64));
}

MsgSlot *msg_scan_next_up(MsgScan *scan, uint64_t *out_seq) {
    while (!scan->bits) {
        if (scan->is_over)
            return NULL;
        if (++scan->word == MSG_PAGE_WORDS) {
            scan->word = 0;
            if (++scan->at >= page_count(scan->index)) {
                scan->is_over = true;
                return NULL;
            }
        }
        scan_enter_word(scan, ~0ull);
    }
    unsigned bit = (unsigned)__builtin_ctzll(scan->bits);
    scan->bits &= scan->bits - 1;
    return scan_slot(scan, bit, out_seq);
}

void msg_scan_down(MsgScan *scan, const MsgIndex *index, uint64_t from) {
    uint64_t number = from / MSG_PAGE_SLOTS;
    unsigned i = from % MSG_PAGE_SLOTS;
    *scan = (MsgScan){.index = index, .at = lower_of_both(index, number)};
    if (scan->at == page_count(index) || number_at(index, scan->at) != number) {
        if (scan->at == 0) {
            scan->is_over = true;
            return;
        }
        scan->at--;
        i = MSG_PAGE_SLOTS - 1;
    }
    scan->word = i / 64;
    scan_enter_word(scan, bits_below(i % 64) | 1ull << (i % 64));
}

MsgSlot *msg_scan_next_down(MsgScan *scan, uint64_t *out_seq) {
    while (!scan->bits) {
        if (scan->is_over)
            return NULL;
        if (scan->word-- == 0) {
            if (scan->at == 0) {
                scan->is_over = true;
                return NULL;
            }
            scan->at--;
            scan->word = MSG_PAGE_WORDS - 1;
        }
        scan_enter_word(scan, ~0ull);
    }
    unsigned bit = 63 - (unsigned)__builtin_clzll(scan->bits);
    scan->bits &= ~(1ull << bit);
    return scan_slot(scan, bit, out_seq);
}

uint64_t msg_index_base_end(const MsgIndex *index) {
    const MsgBase *base = index->base;
    return base && base->len ? (base->pages[base->len - 1].number + 1) * MSG_PAGE_SLOTS : 0;
}

void msg_index_drop_bytes(MsgIndex *index, uint64_t seq, uint64_t place, uint64_t bytes) {
    size_t page;
    if (index->aside && seq < index->aside->cut)
        vec_push(&index->aside->dead, ((MsgDead){place, bytes}));
    if (is_in_base(index, seq, &page))
        msg_base_drop_bytes(index->base, place, bytes);
}

/* ---- setting aside ---- */

MsgAside *msg_index_set_aside(MsgIndex *index, uint64_t cut, const SubjectIndex *subjects) {
    ASSERT(!index->aside && cut % MSG_PAGE_SLOTS == 0);
    MsgAside *aside = mem_zalloc(sizeof *aside);
    size_t end = lower_page(index, cut / MSG_PAGE_SLOTS);
    aside->cut = cut;
    aside->subjects = subjects;
    aside->pages = mem_alloc((end - index->head + 1) * sizeof *aside->pages);
    for (size_t at = index->head; at < end; at++) {
        MsgPage *page = index->pages[at].page;
        if (page->count == 0)
            continue; /* the one that is added to */
        page->is_aside = true;
        aside->pages[aside->page_count++] = page;
    }
    index->aside = aside;
    return aside;
}

MsgBase *msg_index_rebase(MsgIndex *index, MsgBase *next) {
    MsgBase *old = index->base;
    size_t end = lower_page(index, index->aside->cut / MSG_PAGE_SLOTS);
    for (; index->head < end; index->head++) {
        index->bytes -= page_bytes(index->pages[index->head].page->cap);
        page_free(index->pages[index->head].page);
    }
    if (index->head == index->len)
        index->head = index->len = 0;
    else
        drop_front_pages(index);
    index->base = next;
    index->aside = NULL;
    return old;
}

void msg_index_take_back(MsgIndex *index) {
    MsgAside *aside = index->aside;
    for (size_t i = 0; i < aside->page_count; i++) {
        MsgPage *page = aside->pages[i];
        size_t at;
        if (find_page(index, page->number, &at) != page)
            mem_free(page); /* it was copied, or emptied */
        else
            page->is_aside = false;
    }
    aside->page_count = 0;
    index->aside = NULL;
}

bool msg_index_settle_page(MsgIndex *index, uint64_t *number) {
    size_t at = lower_page(index, *number);
    if (at >= index->len || index->pages[at].number >= index->aside->cut / MSG_PAGE_SLOTS)
        return false;
    MsgPage *page = own_page(index, at);
    *number = page->number + 1;
    for (unsigned i = 0; i < MSG_PAGE_SLOTS; i++)
        if (page_has(page, i))
            (void)settled(index, page, &page->slots[page_slot_at(page, i)]);
    return true;
}

void msg_aside_free(MsgAside *aside) {
    if (!aside)
        return;
    for (size_t i = 0; i < aside->page_count; i++)
        mem_free(aside->pages[i]);
    mem_free(aside->pages);
    vec_done(&aside->edited);
    vec_done(&aside->removed);
    vec_done(&aside->dead);
    vec_done(&aside->moved);
    mem_free(aside);
}

void msg_aside_page(const MsgAside *aside, size_t n, RunFill *out_fill, const MsgSlot **out_slots) {
    const MsgPage *page = aside->pages[n];
    out_fill->number = page->number;
    out_fill->count = 0;
    memcpy(out_fill->has, page->live, sizeof out_fill->has);
    for (unsigned word = 0; word < MSG_PAGE_WORDS; word++)
        for (uint64_t bits = page->live[word]; bits; bits &= bits - 1) {
            unsigned i = word * 64 + (unsigned)__builtin_ctzll(bits);
            const MsgSlot *slot =
                page_is_packed(page) ? &page->slots[out_fill->count] : &page->slots[i];
            out_slots[out_fill->count] = slot;
            out_fill->messages[out_fill->count++] =
                (RunMessage){.place = slot->place & MSG_IN_HEAP ? 0 : slot->place,
                             .time_ns = slot->time_ns,
                             .size = slot->size,
                             .subject = slot->subject,
                             .is_marked = slot->is_tombstone};
        }
}
