#include "store/salvage.h"

#include <string.h>

/* Bytes that may be summed up while looking for the next record, per byte of the body. Hostile
 * payloads could make every position look like the start of a long record; past the limit the rest
 * counts as lost. */
enum { SALVAGE_EFFORT = 64 };

typedef struct Walk {
    Slice body;
    uint64_t effort;
    bool is_trusting_lengths;
    Pieces pieces;
    uint32_t readable, gaps;
} Walk;

static void push(Walk *walk, size_t at, size_t end, bool is_readable) {
    Piece piece = {(uint32_t)at, (uint32_t)(end - at), is_readable};
    vec_push(&walk->pieces, piece);
    walk->readable += is_readable;
    walk->gaps += !is_readable;
}

static size_t record_at(Walk *walk, size_t at) {
    Record record;
    size_t used;
    Slice rest = slice_from_at(walk->body, at);
    if (record_parse_trusted(rest, &record, &used) != OK)
        return 0;
    if (walk->effort < used) {
        walk->effort = 0;
        return 0;
    }
    walk->effort -= used;
    return record_parse(rest, &record, &used) == OK ? used : 0;
}

/* Where reading can go on after the damaged record at `at`. */
static size_t resume_at(Walk *walk, size_t at) {
    uint32_t len = 0;
    if (walk->body.len - at >= sizeof len)
        memcpy(&len, walk->body.ptr + at, sizeof len);
    size_t end = at + ((len + (size_t)7) & ~(size_t)7);
    if (walk->is_trusting_lengths && len >= RECORD_HEADER_BYTES && end <= walk->body.len &&
        (end == walk->body.len || record_at(walk, end)))
        return end;
    for (size_t next = at + 8; next < walk->body.len; next += 8)
        if (record_at(walk, next))
            return next;
    return walk->body.len;
}

static void walk_body(Walk *walk) {
    for (size_t at = 0; at < walk->body.len;) {
        size_t used = record_at(walk, at);
        size_t end = used ? at + used : resume_at(walk, at);
        push(walk, at, end, used != 0);
        at = end;
    }
}

/* More records than there are: those right after the first gap must lie inside a damaged one. */
static void drop_excess(Walk *walk, uint32_t record_count) {
    size_t to = 0, first = 0;
    while (first < walk->pieces.len && walk->pieces.at[first].is_readable)
        first++;
    if (first == walk->pieces.len)
        return;
    size_t last = first;
    while (last + 1 < walk->pieces.len && walk->readable + walk->gaps > record_count) {
        last++;
        if (walk->pieces.at[last].is_readable)
            walk->readable--;
        else
            walk->gaps--;
    }
    Piece *gap = &walk->pieces.at[first];
    gap->len = walk->pieces.at[last].at + walk->pieces.at[last].len - gap->at;
    to = first + 1;
    for (size_t from = last + 1; from < walk->pieces.len; from++)
        walk->pieces.at[to++] = walk->pieces.at[from];
    walk->pieces.len = to;
}

static Walk begin(Slice body, bool is_trusting_lengths) {
    Walk walk = {.body = body, .is_trusting_lengths = is_trusting_lengths};
    walk.effort = body.len * SALVAGE_EFFORT;
    walk_body(&walk);
    return walk;
}

/* A length that is itself damaged may leap over good records, and a search may find copies of
 * records inside a payload: the way that accounts for every record is the right one. */
uint64_t salvage(Slice body, uint32_t record_count, Pieces *out_pieces) {
    Walk by_length = begin(body, true);
    Walk best = by_length;
    if (by_length.readable + by_length.gaps != record_count) {
        Walk by_search = begin(body, false);
        bool is_search_exact = by_search.readable + by_search.gaps == record_count;
        bool is_better = by_search.readable > by_length.readable &&
                         by_search.readable + by_search.gaps <= record_count;
        if (is_search_exact || is_better || by_length.readable + by_length.gaps > record_count)
            best = by_search;
        if (best.pieces.at == by_search.pieces.at)
            vec_done(&by_length.pieces);
        else
            vec_done(&by_search.pieces);
        if (best.readable + best.gaps > record_count)
            drop_excess(&best, record_count);
    }
    *out_pieces = best.pieces;
    return record_count > best.readable ? record_count - best.readable : best.gaps;
}
