#include "store/store_check.h"

#include <stdlib.h>

#include "store/checkpoint.h"
#include "store/path.h"
#include "store/store_check_files.h"

typedef struct Walk {
    StoreScan scan;
    const StoreVisitor *visit;
    StoreCheck *check;
    bool has_previous;
    BlockHead previous;
    uint64_t previous_end;
    uint64_t durable;
} Walk;

static StoreDamage *note(Walk *walk, uint64_t segment, uint64_t offset, uint64_t bytes,
                         const char *what) {
    StoreDamage damage = {.segment = segment, .offset = offset, .bytes = bytes, .what = what};
    vec_push(&walk->check->damages, damage);
    return &walk->check->damages.at[walk->check->damages.len - 1];
}

static void add_group(StoreDamage *damage, uint32_t group) {
    size_t i = 0;
    while (i < damage->groups.len && damage->groups.at[i] < group)
        i++;
    if (i < damage->groups.len && damage->groups.at[i] == group)
        return;
    vec_push(&damage->groups, 0);
    for (size_t k = damage->groups.len - 1; k > i; k--)
        damage->groups.at[k] = damage->groups.at[k - 1];
    damage->groups.at[i] = group;
}

static void visit_record(Walk *walk, const Record *record) {
    walk->check->records++;
    if (walk->visit && walk->visit->record)
        walk->visit->record(walk->visit->cookie, record);
}

static uint32_t u32_at(Slice bytes, size_t at) {
    uint32_t value;
    memcpy(&value, bytes.ptr + at, sizeof value);
    return value;
}

/* A damaged body: its readable records, and whose the others say they are. */
static void check_bad_body(Walk *walk, const ScanBlock *block) {
    StoreDamage *damage = note(walk, block->head.segment, block->head.offset,
                               block_bytes(block->head.body_len), "block checksum");
    Slice rest;
    if (store_scan_records(&walk->scan, block, &rest) != OK)
        return;
    while (rest.len >= RECORD_HEADER_BYTES) {
        Record record;
        size_t used;
        if (record_parse(rest, &record, &used) == OK) {
            visit_record(walk, &record);
        } else {
            add_group(damage, u32_at(rest, 8));
            used = (u32_at(rest, 0) + (size_t)7) & ~(size_t)7;
            if (used < RECORD_HEADER_BYTES || used > rest.len)
                return;
        }
        rest = slice_from_at(rest, used);
    }
}

static void check_good_body(Walk *walk, const ScanBlock *block) {
    Slice rest;
    uint64_t records = 0;
    Status status = store_scan_records(&walk->scan, block, &rest);
    if (status == ERR_DENIED) {
        walk->check->is_locked = true;
        walk->check->records += block->head.record_count;
        return;
    }
    if (status != OK) {
        note(walk, block->head.segment, block->head.offset, block->body.len, "cannot be decrypted");
        return;
    }
    uint64_t end = block->head.offset + block_records_at(&block->head) + rest.len;
    while (rest.len) {
        Record record;
        size_t used;
        if (record_parse(rest, &record, &used) != OK) {
            StoreDamage *damage =
                note(walk, block->head.segment, end - rest.len, rest.len, "record checksum");
            if (rest.len >= RECORD_HEADER_BYTES)
                add_group(damage, u32_at(rest, 8));
            return;
        }
        records++;
        visit_record(walk, &record);
        rest = slice_from_at(rest, used);
    }
    if (records != block->head.record_count)
        note(walk, block->head.segment, block->head.offset, block->body.len, "record count");
}

/* What lies between this block and the one before. */
static void check_chain(Walk *walk, const ScanBlock *block) {
    const BlockHead *head = &block->head, *previous = &walk->previous;
    bool is_same = walk->has_previous && previous->segment == head->segment;
    uint64_t expected = is_same ? walk->previous_end : 0;
    if (head->offset > expected &&
        (is_same || head->segment >= place_segment(walk->scan.super.floor)))
        note(walk, head->segment, expected, head->offset - expected, "blocks unreadable");
    if (!walk->has_previous)
        return;
    bool may_lack = !is_same && head->segment > previous->segment + 1 &&
                    previous->segment < place_segment(walk->scan.super.floor);
    if (head->number != previous->number + 1) {
        if (!may_lack && head->offset == expected)
            note(walk, head->segment, head->offset, 0, "blocks missing before");
    } else if (head->previous != previous->head_checksum) {
        note(walk, head->segment, head->offset, 0, "chain broken");
    }
}

static void check_block(Walk *walk, const ScanBlock *block) {
    check_chain(walk, block);
    walk->check->blocks++;
    if (!block->are_heads_good)
        note(walk, block->head.segment, block->head.offset, BLOCK_HEAD_BYTES,
             "one of two block heads");
    if (block->is_body_good)
        check_good_body(walk, block);
    else
        check_bad_body(walk, block);
    if (block->head.durable > walk->durable)
        walk->durable = block->head.durable;
    walk->has_previous = true;
    walk->previous = block->head;
    walk->previous_end = scan_block_end(block);
    walk->check->last_block = block->head.number;
}

/* A bad block with nothing good behind it, whose sync nobody saw return. */
static bool is_torn(const Walk *walk, const ScanBlock *block, bool is_last_segment) {
    ScanBlock next;
    if (block->is_body_good || !is_last_segment || block->head.number <= walk->durable)
        return false;
    uint64_t at = scan_block_end(block);
    const BlockHead *head = &block->head;
    while (store_scan_next(&walk->scan, at, head, &next)) {
        if (next.is_body_good || next.head.durable >= block->head.number)
            return false;
        at = scan_block_end(&next);
    }
    return true;
}

static Status check_segment(Walk *walk, uint64_t number, bool is_last) {
    Status status = store_scan_read(&walk->scan, number);
    if (status == ERR_NOT_FOUND) /* a running server gave it up */
        return OK;
    if (status != OK)
        return status;
    ScanBlock block;
    BlockHead previous;
    uint64_t at = 0;
    walk->check->segments++;
    for (bool is_first = true;
         store_scan_next(&walk->scan, at, is_first ? NULL : &previous, &block); is_first = false) {
        if (is_torn(walk, &block, is_last)) {
            walk->check->torn_bytes += walk->scan.bytes_len - block.head.offset;
            return OK;
        }
        check_block(walk, &block);
        previous = block.head;
        at = scan_block_end(&block);
    }
    if (at == 0 && !is_last && super_sealed_at(&walk->scan.super, number) != 0)
        note(walk, number, 0, walk->scan.bytes_len, "nothing readable");
    return OK;
}

static void check_checkpoints(Walk *walk) {
    bool is_visited = false;
    for (size_t i = walk->scan.checkpoints.len; i-- > 0;) {
        uint64_t generation = walk->scan.checkpoints.at[i];
        const StoreVisitor *visit = is_visited ? NULL : walk->visit;
        Status status = checkpoint_read(walk->scan.dir, generation, NULL, NULL, NULL, NULL);
        if (status == ERR_NOT_FOUND)
            continue;
        if (status != OK) {
            vec_push(&walk->check->bad_checkpoints, generation);
            continue;
        }
        vec_push(&walk->check->checkpoints, generation);
        if (visit && visit->state)
            is_visited = checkpoint_read(walk->scan.dir, generation, walk->scan.cipher,
                                         visit->state, visit->cookie, NULL) == OK;
    }
}

static void check_end(Walk *walk) {
    uint64_t last = walk->has_previous ? walk->previous.number : 0;
    uint64_t durable =
        walk->durable > walk->scan.super.durable ? walk->durable : walk->scan.super.durable;
    if (durable > last)
        note(walk, walk->has_previous ? walk->previous.segment : 0, walk->previous_end, 0,
             "blocks missing at the end");
}

Status store_check(const char *dir, Slice key, const StoreVisitor *visit, StoreCheck *out_check) {
    Walk walk = {.visit = visit, .check = out_check};
    *out_check = (StoreCheck){0};
    Status status = store_scan_open(dir, &walk.scan);
    if (status != OK)
        return status;
    if (key.len)
        status = store_scan_unlock(&walk.scan, key);
    if (status != OK) {
        store_scan_done(&walk.scan);
        return status;
    }
    out_check->is_super_half = walk.scan.is_super_half;
    out_check->is_super_lost = walk.scan.is_super_lost;
    walk.durable = walk.scan.super.durable;
    check_checkpoints(&walk);
    status = store_check_files(walk.scan.dir, out_check);
    for (size_t i = 0; i < walk.scan.segments.len && status == OK; i++)
        status = check_segment(&walk, walk.scan.segments.at[i], i + 1 == walk.scan.segments.len);
    if (status == OK)
        check_end(&walk);
    store_scan_done(&walk.scan);
    if (status != OK)
        store_check_done(out_check);
    return status;
}

bool store_check_is_whole(const StoreCheck *check) {
    for (size_t i = 0; i < check->runs.len; i++)
        if (check->runs.at[i].damage)
            return false;
    return check->damages.len == 0 && check->bad_checkpoints.len == 0 && !check->is_super_half &&
           !check->is_super_lost;
}

void store_check_done(StoreCheck *check) {
    for (size_t i = 0; i < check->damages.len; i++)
        vec_done(&check->damages.at[i].groups);
    for (size_t i = 0; i < check->unknown.len; i++)
        path_free(check->unknown.at[i]);
    vec_done(&check->unknown);
    vec_done(&check->runs);
    vec_done(&check->damages);
    vec_done(&check->checkpoints);
    vec_done(&check->bad_checkpoints);
    *check = (StoreCheck){0};
}
