#include "stream/msg_index.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

struct MsgPage {
    uint64_t number;
    uint64_t live[MSG_PAGE_WORDS];
    uint16_t count, cap; /* cap < MSG_PAGE_SLOTS: packed */
    MsgSlot slots[];
};

enum { PACK_MIN = 4 };

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

static MsgPage *find_page(const MsgIndex *index, uint64_t number, size_t *out_at) {
    size_t at = lower_page(index, number);
    *out_at = at;
    return at < index->len && index->pages[at].number == number ? index->pages[at].page : NULL;
}

void msg_index_done(MsgIndex *index) {
    for (size_t i = index->head; i < index->len; i++)
        mem_free(index->pages[i].page);
    mem_free(index->pages);
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
    MsgPage *page = mem_alloc(page_bytes(MSG_PAGE_SLOTS));
    memset(page, 0, sizeof *page);
    page->number = number;
    page->cap = MSG_PAGE_SLOTS;
    index->pages[index->len++] = (MsgPageRef){number, page};
    index->bytes += page_bytes(MSG_PAGE_SLOTS);
    return page;
}

static void remove_page(MsgIndex *index, size_t at) {
    index->bytes -= page_bytes(index->pages[at].page->cap);
    mem_free(index->pages[at].page);
    if (at == index->head) {
        index->head++;
        if (index->head == index->len)
            index->head = index->len = 0;
        return;
    }
    memmove(index->pages + at, index->pages + at + 1, (index->len - at - 1) * sizeof *index->pages);
    index->len--;
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
    ASSERT(!page_is_packed(page) && !page_has(page, i));
    page->live[i / 64] |= 1ull << (i % 64);
    page->count++;
    index->live++;
    memset(&page->slots[i], 0, sizeof page->slots[i]);
    return &page->slots[i];
}

void msg_index_remove(MsgIndex *index, uint64_t seq) {
    size_t at;
    MsgPage *page = find_page(index, seq / MSG_PAGE_SLOTS, &at);
    unsigned i = seq % MSG_PAGE_SLOTS;
    ASSERT(page && page_has(page, i));

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
    MsgPage *page = find_page(index, seq / MSG_PAGE_SLOTS, &at);
    unsigned i = seq % MSG_PAGE_SLOTS;
    if (!page || !page_has(page, i))
        return NULL;
    return &page->slots[page_slot_at(page, i)];
}

uint64_t msg_index_next(const MsgIndex *index, uint64_t seq) {
    MsgScan scan;
    uint64_t found;
    msg_scan_up(&scan, index, seq);
    return msg_scan_next_up(&scan, &found) ? found : 0;
}

uint64_t msg_index_prev(const MsgIndex *index, uint64_t seq) {
    MsgScan scan;
    uint64_t found;
    msg_scan_down(&scan, index, seq);
    return msg_scan_next_down(&scan, &found) ? found : 0;
}

/* Live slots of the page at or above its i-th. */
static unsigned page_count_from(const MsgPage *page, unsigned i) {
    return page->count - page_rank_of_word(page, i / 64) -
           bits_in(page->live[i / 64] & bits_below(i % 64));
}

uint64_t msg_index_count_from(const MsgIndex *index, uint64_t seq) {
    uint64_t number = seq / MSG_PAGE_SLOTS;
    size_t at = lower_page(index, number);
    uint64_t inside = 0, whole = 0;
    size_t above = at;

    if (at < index->len && index->pages[at].number == number) {
        inside = page_count_from(index->pages[at].page, seq % MSG_PAGE_SLOTS);
        above = at + 1;
    }
    if (index->len - above <= at - index->head) {
        for (size_t i = above; i < index->len; i++)
            whole += index->pages[i].page->count;
        return inside + whole;
    }
    for (size_t i = index->head; i < at; i++)
        whole += index->pages[i].page->count;
    uint64_t page_count = above > at ? index->pages[at].page->count : 0;
    return index->live - whole - page_count + inside;
}

/* Time of the last live slot of the page; count > 0. */
static int64_t page_last_time(const MsgPage *page) {
    unsigned word = MSG_PAGE_WORDS - 1;
    while (!page->live[word])
        word--;
    unsigned i = word * 64 + 63 - (unsigned)__builtin_clzll(page->live[word]);
    return page->slots[page_slot_at(page, i)].time_ns;
}

uint64_t msg_index_at_time(const MsgIndex *index, int64_t time_ns) {
    size_t low = index->head, high = index->len;
    if (high > low && index->pages[high - 1].page->count == 0)
        high--; /* only the page that is added to may be empty */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (page_last_time(index->pages[middle].page) < time_ns)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == index->len)
        return 0;

    MsgScan scan;
    uint64_t seq;
    MsgSlot *slot;
    msg_scan_up(&scan, index, index->pages[low].number * MSG_PAGE_SLOTS);
    while ((slot = msg_scan_next_up(&scan, &seq)))
        if (slot->time_ns >= time_ns)
            return seq;
    return 0;
}

static void scan_enter_word(MsgScan *scan, uint64_t mask) {
    const MsgPage *page = scan->index->pages[scan->at].page;
    scan->word_bits = page->live[scan->word];
    scan->bits = scan->word_bits & mask;
    scan->rank = page_is_packed(page) ? page_rank_of_word(page, scan->word) : 0;
}

static MsgSlot *scan_slot(const MsgScan *scan, unsigned bit, uint64_t *out_seq) {
    MsgPage *page = scan->index->pages[scan->at].page;
    *out_seq = page->number * MSG_PAGE_SLOTS + scan->word * 64 + bit;
    if (!page_is_packed(page))
        return &page->slots[scan->word * 64 + bit];
    return &page->slots[scan->rank + bits_in(scan->word_bits & bits_below(bit))];
}

void msg_scan_up(MsgScan *scan, const MsgIndex *index, uint64_t from) {
    uint64_t number = from / MSG_PAGE_SLOTS;
    unsigned i = from % MSG_PAGE_SLOTS;
    *scan = (MsgScan){.index = index, .at = lower_page(index, number)};
    if (scan->at == index->len) {
        scan->is_over = true;
        return;
    }
    if (index->pages[scan->at].number != number)
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
            if (++scan->at >= scan->index->len) {
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
    *scan = (MsgScan){.index = index, .at = lower_page(index, number)};
    if (scan->at == index->len || index->pages[scan->at].number != number) {
        if (scan->at == index->head) {
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
            if (scan->at == scan->index->head) {
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
