#include "stream/subject_order.h"

#include <string.h>

#include "base/mem.h"
#include "store/run.h"

enum { BLOCK_IDS = 512, CHECK_STEP = 16 };

/* Whether the run's order is this one. */
typedef struct OrderCheck {
    RunScan scan;
    Buf before;
} OrderCheck;

struct OrderBlock {
    size_t count;
    SubjectId ids[BLOCK_IDS];
};

static unsigned rank(char c) {
    return c == '.' ? 0 : (unsigned char)c;
}

int subject_order_compare(Slice a, Slice b) {
    size_t both = a.len < b.len ? a.len : b.len, i = 0;
    for (uint64_t x, y; i + sizeof x <= both; i += sizeof x) {
        memcpy(&x, a.ptr + i, sizeof x);
        memcpy(&y, b.ptr + i, sizeof y);
        if (x != y)
            break;
    }
    while (i < both && a.ptr[i] == b.ptr[i])
        i++;
    if (i < both)
        return rank(a.ptr[i]) < rank(b.ptr[i]) ? -1 : 1;
    return (a.len > b.len) - (a.len < b.len);
}

static Slice text_of(const SubjectOrder *order, SubjectId id) {
    return subject_entry_text(subject_index_entry(order->index, id));
}

/* The block in which text is or would be. */
static size_t block_of(const SubjectOrder *order, Slice text) {
    size_t low = 0, high = order->len;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (subject_order_compare(text_of(order, order->blocks[middle]->ids[0]), text) <= 0)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* First place in the block that is not before text. */
static size_t place_in(const SubjectOrder *order, const OrderBlock *block, Slice text) {
    size_t low = 0, high = block->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (subject_order_compare(text_of(order, block->ids[middle]), text) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void insert_block(SubjectOrder *order, size_t at, OrderBlock *block) {
    if (order->len == order->cap) {
        order->cap = order->cap ? order->cap * 2 : 8;
        order->blocks = mem_realloc(order->blocks, order->cap * sizeof(OrderBlock *));
    }
    memmove(order->blocks + at + 1, order->blocks + at, (order->len - at) * sizeof(OrderBlock *));
    order->blocks[at] = block;
    order->len++;
}

/* Full blocks are split in the middle, the last one at its end: keys often come in order. */
static void split(SubjectOrder *order, size_t b) {
    OrderBlock *block = order->blocks[b], *behind = mem_alloc(sizeof *behind);
    size_t keep = b + 1 == order->len ? BLOCK_IDS - BLOCK_IDS / 8 : BLOCK_IDS / 2;
    behind->count = block->count - keep;
    memcpy(behind->ids, block->ids + keep, behind->count * sizeof(SubjectId));
    block->count = keep;
    insert_block(order, b + 1, behind);
}

static void add(SubjectOrder *order, SubjectId id) {
    Slice text = text_of(order, id);
    if (order->len == 0) {
        OrderBlock *first = mem_alloc(sizeof *first);
        first->count = 0;
        insert_block(order, 0, first);
    }
    size_t b = block_of(order, text);
    if (order->blocks[b]->count == BLOCK_IDS) {
        split(order, b);
        b = block_of(order, text);
    }
    OrderBlock *block = order->blocks[b];
    size_t at = place_in(order, block, text);
    memmove(block->ids + at + 1, block->ids + at, (block->count - at) * sizeof(SubjectId));
    block->ids[at] = id;
    block->count++;
}

static bool take_away(SubjectOrder *order, SubjectId id) {
    if (order->len == 0)
        return false;
    Slice text = text_of(order, id);
    size_t b = block_of(order, text);
    OrderBlock *block = order->blocks[b];
    size_t at = place_in(order, block, text);
    if (at == block->count || block->ids[at] != id)
        return false;
    block->count--;
    memmove(block->ids + at, block->ids + at + 1, (block->count - at) * sizeof(SubjectId));
    if (block->count == 0) {
        mem_free(block);
        order->len--;
        memmove(order->blocks + b, order->blocks + b + 1, (order->len - b) * sizeof(OrderBlock *));
    }
    return true;
}

static void take_list(void *cookie, const SubjectId *ids, size_t count) {
    SubjectOrder *order = cookie;
    if (order->snapshot_len + count > order->snapshot_cap) {
        order->snapshot_cap = (order->snapshot_len + count) * 2;
        order->snapshot =
            mem_realloc(order->snapshot, order->snapshot_cap * sizeof *order->snapshot);
    }
    memcpy(order->snapshot + order->snapshot_len, ids, count * sizeof *ids);
    order->snapshot_len += count;
}

void subject_order_begin(SubjectIndex *index) {
    SubjectOrder *order = mem_zalloc(sizeof *order);
    order->index = index;
    index->order = order;
    order->run = subject_index_run(index);
    if (order->run) {
        order->check = mem_zalloc(sizeof *order->check);
        run_scan_begin(&order->check->scan, order->run, (Slice){0});
    }
    subject_index_each_of_heap(index, take_list, order);
}

static void end_check(SubjectOrder *order) {
    if (!order->check)
        return;
    run_scan_done(&order->check->scan);
    buf_done(&order->check->before);
    mem_free(order->check);
    order->check = NULL;
}

/* True when it is over. */
static bool check_some(SubjectOrder *order, size_t max) {
    OrderCheck *check = order->check;
    uint32_t ordinal;
    Slice text;
    for (; max && run_scan_next(&check->scan, &ordinal, &text); max--) {
        if (ordinal && subject_order_compare(buf_slice(&check->before), text) >= 0) {
            end_check(order);
            order->run = NULL;
            subject_index_each_of_run(order->index, take_list, order);
            return true;
        }
        buf_clear(&check->before);
        buf_append(&check->before, text);
    }
    if (!max)
        return false;
    end_check(order);
    return true;
}

bool subject_order_build(SubjectOrder *order, size_t max) {
    if (order->check && !check_some(order, max * CHECK_STEP))
        return false;
    if (!order->snapshot)
        return true;
    for (; max && order->snapshot_at < order->snapshot_len; max--) {
        SubjectId id = order->snapshot[order->snapshot_at++];
        if (!order->touched.len || !map64_get(&order->touched, id))
            add(order, id);
    }
    if (order->snapshot_at < order->snapshot_len)
        return false;
    mem_free(order->snapshot);
    order->snapshot = NULL;
    map64_done(&order->touched);
    order->touched = (Map64){0};
    return true;
}

void subject_order_free(SubjectOrder *order) {
    if (!order)
        return;
    end_check(order);
    for (size_t i = 0; i < order->len; i++)
        mem_free(order->blocks[i]);
    mem_free(order->blocks);
    mem_free(order->snapshot);
    map64_done(&order->touched);
    mem_free(order);
}

OrderCursor subject_order_seek(const SubjectOrder *order, Slice text, bool is_after) {
    OrderCursor cursor = {0};
    if (order->run)
        cursor.ordinal = run_lower(order->run, text, is_after, subject_order_compare);
    if (order->len == 0)
        return cursor;
    cursor.block = block_of(order, text);
    const OrderBlock *block = order->blocks[cursor.block];
    cursor.at = place_in(order, block, text);
    if (is_after && cursor.at < block->count &&
        slice_equal(text_of(order, block->ids[cursor.at]), text))
        cursor.at++;
    return cursor;
}

static SubjectId next_of_blocks(const SubjectOrder *order, OrderCursor *cursor) {
    while (cursor->block < order->len) {
        const OrderBlock *block = order->blocks[cursor->block];
        if (cursor->at < block->count)
            return block->ids[cursor->at];
        cursor->block++;
        cursor->at = 0;
    }
    return 0;
}

/* Those that were taken over are in blocks. */
static SubjectId next_of_run(const SubjectOrder *order, OrderCursor *cursor) {
    uint32_t count = order->run ? run_subject_count(order->run) : 0;
    for (; cursor->ordinal < count; cursor->ordinal++) {
        SubjectId id = subject_id_of_run(order->index, cursor->ordinal);
        if (subject_is_of_run(id))
            return id;
    }
    return 0;
}

SubjectId subject_order_next(const SubjectOrder *order, OrderCursor *cursor) {
    SubjectId in_blocks = next_of_blocks(order, cursor), in_run = next_of_run(order, cursor);
    bool is_of_run = in_run && (!in_blocks || subject_order_compare(text_of(order, in_run),
                                                                    text_of(order, in_blocks)) < 0);
    if (is_of_run)
        cursor->ordinal++;
    else
        cursor->at += in_blocks != 0;
    return is_of_run ? in_run : in_blocks;
}

void subject_order_on_added(SubjectOrder *order, SubjectId id) {
    if (order->snapshot)
        map64_put(&order->touched, id, order);
    add(order, id);
}

void subject_order_on_removed(SubjectOrder *order, SubjectId id) {
    if (order->run && subject_is_of_run(id))
        return; /* it never was in a block */
    if (!take_away(order, id) && order->snapshot)
        map64_put(&order->touched, id, order);
}
