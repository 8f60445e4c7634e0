/* Finding messages by filter and time. Never reads a message: slots and subjects say all that is
 * asked. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "proto/subject.h"
#include "stream/stream_parts.h"

enum {
    /* Slots that are looked at one by one before the subjects are asked, which then looks at as
     * many subjects: four times as many each time. */
    LOOK_FIRST = 64,
    LOOK_MOST = 16384,
    SUBJECTS_FEW = 64, /* up to so many matching subjects are sought one by one */
    VERDICTS = 512,
    RADIX_MIN = 2048,
};

bool filters_match(const Filters *filters, Slice subject) {
    if (filters->count == 0)
        return true;
    for (size_t i = 0; i < filters->count; i++)
        if (subject_matches(filters->patterns[i], subject))
            return true;
    return false;
}

/* "a.b.>" while there is nothing else. */
static bool is_below_all(Stream *stream, Slice pattern) {
    if (pattern.len < 3 || pattern.ptr[pattern.len - 1] != '>' || stream->state.damaged)
        return false;
    Slice prefix = slice_first(pattern, pattern.len - 1);
    return !subject_has_wildcard(prefix) &&
           subject_index_is_all_below(&stream->parts->subjects, prefix);
}

static bool covers_all(Stream *stream, const Filters *filters) {
    for (size_t i = 0; i < filters->count; i++)
        if (stream_all_filter(filters->patterns[i]) || is_below_all(stream, filters->patterns[i]))
            return true;
    return filters->count == 0;
}

bool stream_covers_all(Stream *stream, const Filters *filters) {
    return covers_all(stream, filters);
}

uint64_t stream_next_of_all(const Stream *stream, uint64_t from) {
    return msg_index_next(stream->index, from);
}

/* ---- every matching subject, each once ---- */

typedef struct EachMatch {
    const Filters *filters;
    size_t at;
    SubjectEach *each;
    void *cookie;
} EachMatch;

static bool each_once(void *cookie, SubjectId id, SubjectEntry *entry) {
    const EachMatch *match = cookie;
    for (size_t i = 0; i < match->at; i++)
        if (subject_matches(match->filters->patterns[i], subject_entry_text(entry)))
            return true;
    return match->each(match->cookie, id, entry);
}

static bool each_match(Stream *stream, const Filters *filters, SubjectEach *each, void *cookie) {
    SubjectIndex *subjects = &stream->parts->subjects;
    if (covers_all(stream, filters))
        return subject_index_scan(subjects, LIT(">"), each, cookie);
    EachMatch match = {filters, 0, each, cookie};
    for (; match.at < filters->count; match.at++)
        if (!subject_index_scan(subjects, filters->patterns[match.at], each_once, &match))
            return false;
    return true;
}

/* ---- verdicts of subjects while slots are scanned ---- */

typedef struct Verdicts {
    Stream *stream;
    const Filters *filters;
    SubjectId last;
    bool last_matches;
    unsigned asked;
    uint64_t known[VERDICTS]; /* subject << 1 | matches; cleared when it is first used */
} Verdicts;

static void verdicts_init(Verdicts *verdicts, Stream *stream, const Filters *filters) {
    verdicts->stream = stream;
    verdicts->filters = filters;
    verdicts->last = 0;
    verdicts->last_matches = false;
    verdicts->asked = 0;
}

static bool verdict_of(Verdicts *verdicts, SubjectId id) {
    if (id == verdicts->last)
        return verdicts->last_matches;
    if (++verdicts->asked == 32)
        memset(verdicts->known, 0, sizeof verdicts->known);

    uint64_t *known = verdicts->asked >= 32 ? &verdicts->known[id * 2654435761u >> 23] : NULL;
    bool matches;
    if (known && *known >> 1 == id) {
        matches = *known & 1;
    } else {
        const SubjectIndex *subjects = &verdicts->stream->parts->subjects;
        matches =
            filters_match(verdicts->filters, subject_entry_text(subject_index_entry(subjects, id)));
        if (known)
            *known = (uint64_t)id << 1 | matches;
    }
    verdicts->last = id;
    verdicts->last_matches = matches;
    return matches;
}

/* ---- next ---- */

typedef struct Jump {
    Stream *stream;
    uint64_t from;
    uint64_t bound; /* no match lies before it */
    unsigned seen, seen_max;
    unsigned few;
    SubjectId ids[SUBJECTS_FEW];
} Jump;

static bool narrow(void *cookie, SubjectId id, SubjectEntry *entry) {
    Jump *jump = cookie;
    if (++jump->seen > jump->seen_max)
        return false;
    if (entry->last < jump->from)
        return true;
    uint64_t low = entry->first > jump->from ? entry->first : jump->from;
    if (low < jump->bound)
        jump->bound = low;
    if (jump->few < SUBJECTS_FEW)
        jump->ids[jump->few] = id;
    jump->few++;
    return true;
}

/* Asks the subjects where the next match can be at the earliest. True: *out_seq is the answer (0 =
 * none). */
static bool ask_subjects(Stream *stream, const Filters *filters, uint64_t from, unsigned look,
                         uint64_t *out_seq, uint64_t *out_bound) {
    Jump jump = {.stream = stream, .from = from, .bound = UINT64_MAX, .seen_max = look};
    *out_bound = from;
    if (!each_match(stream, filters, narrow, &jump))
        return false;
    *out_seq = 0;
    if (jump.few == 0)
        return true;
    *out_bound = jump.bound;
    if (jump.few > SUBJECTS_FEW)
        return false;
    for (unsigned i = 0; i < jump.few; i++) {
        uint64_t seq =
            subject_chain_seek(stream->index, &stream->parts->subjects, jump.ids[i], from);
        if (seq && (!*out_seq || seq < *out_seq))
            *out_seq = seq;
    }
    return true;
}

static uint64_t next_by_scan(Stream *stream, const Filters *filters, uint64_t from) {
    Verdicts verdicts;
    MsgScan scan;
    const MsgSlot *slot;
    uint64_t seq, bound, found;
    unsigned look = LOOK_FIRST, left = look;

    verdicts_init(&verdicts, stream, filters);
    msg_scan_up(&scan, stream->index, from);
    while ((slot = msg_scan_next_up(&scan, &seq))) {
        if (slot->subject && verdict_of(&verdicts, slot->subject))
            return seq;
        if (--left)
            continue;
        if (ask_subjects(stream, filters, seq + 1, look, &found, &bound))
            return found;
        if (bound > seq + 1)
            msg_scan_up(&scan, stream->index, bound);
        look = look < LOOK_MOST ? look * 4 : look;
        left = look;
    }
    return 0;
}

uint64_t stream_next(Stream *stream, const Filters *filters, uint64_t from) {
    SubjectIndex *subjects = &stream->parts->subjects;
    if (covers_all(stream, filters))
        return msg_index_next(stream->index, from);
    if (from > stream->state.last_seq)
        return 0;

    uint64_t best = 0;
    for (size_t i = 0; i < filters->count; i++) {
        if (subject_has_wildcard(filters->patterns[i]))
            return next_by_scan(stream, filters, from);
        SubjectId id = subject_index_find(subjects, filters->patterns[i]);
        uint64_t seq = id ? subject_chain_seek(stream->index, subjects, id, from) : 0;
        if (seq && (!best || seq < best))
            best = seq;
    }
    return best;
}

/* ---- last ---- */

typedef struct Newest {
    Stream *stream;
    uint64_t upto, best;
} Newest;

static bool take_newest(void *cookie, SubjectId id, SubjectEntry *entry) {
    Newest *newest = cookie;
    uint64_t seq = entry->last;
    if (seq <= newest->best || entry->first > newest->upto)
        return true;
    if (seq > newest->upto)
        seq = subject_chain_upto(newest->stream->index, &newest->stream->parts->subjects, id,
                                 newest->upto);
    if (seq > newest->best)
        newest->best = seq;
    return true;
}

uint64_t stream_last(Stream *stream, const Filters *filters, uint64_t upto) {
    Newest newest = {stream, upto ? upto : UINT64_MAX, 0};
    if (covers_all(stream, filters))
        return msg_index_prev(stream->index, newest.upto);

    bool has_wildcard = false;
    for (size_t i = 0; i < filters->count; i++)
        has_wildcard |= subject_has_wildcard(filters->patterns[i]);
    if (has_wildcard) {
        Verdicts verdicts;
        MsgScan scan;
        const MsgSlot *slot;
        uint64_t seq;
        verdicts_init(&verdicts, stream, filters);
        msg_scan_down(&scan, stream->index, newest.upto);
        for (unsigned look = LOOK_FIRST, left = look; left; left--) {
            slot = msg_scan_next_down(&scan, &seq);
            if (!slot)
                return 0;
            if (slot->subject && verdict_of(&verdicts, slot->subject))
                return seq;
        }
    }
    each_match(stream, filters, take_newest, &newest);
    return newest.best;
}

/* ---- counts and lists ---- */

uint64_t stream_seq_at_time(Stream *stream, int64_t time_ns) {
    uint64_t seq = msg_index_at_time(stream->index, time_ns);
    return seq ? seq : stream->state.last_seq + 1;
}

typedef struct Count {
    Stream *stream;
    uint64_t from, total;
} Count;

static bool add_count(void *cookie, SubjectId id, SubjectEntry *entry) {
    (void)entry;
    Count *count = cookie;
    count->total +=
        subject_chain_count(count->stream->index, &count->stream->parts->subjects, id, count->from);
    return true;
}

uint64_t stream_count(Stream *stream, const Filters *filters, uint64_t from) {
    if (from > stream->state.last_seq)
        return 0;
    if (covers_all(stream, filters))
        return msg_index_count_from(stream->index, from);
    Count count = {stream, from, 0};
    each_match(stream, filters, add_count, &count);
    return count.total;
}

typedef struct Lasts {
    Stream *stream;
    uint64_t upto;
    uint64_t *at;
    size_t len, cap;
} Lasts;

static bool add_last(void *cookie, SubjectId id, SubjectEntry *entry) {
    Lasts *lasts = cookie;
    uint64_t seq = entry->last;
    if (seq > lasts->upto)
        seq = subject_chain_upto(lasts->stream->index, &lasts->stream->parts->subjects, id,
                                 lasts->upto);
    if (!seq)
        return true;
    if (lasts->len == lasts->cap) {
        lasts->cap = lasts->cap ? lasts->cap * 2 : 16;
        lasts->at = mem_realloc(lasts->at, lasts->cap * sizeof *lasts->at);
    }
    lasts->at[lasts->len++] = seq;
    return true;
}

static int by_seq(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* By 11 bits at a time of the distance to the smallest. */
static void radix_sort(uint64_t *seqs, size_t len) {
    enum { BITS = 11, BUCKETS = 1 << BITS };
    uint64_t low = UINT64_MAX, high = 0;
    for (size_t i = 0; i < len; i++) {
        low = seqs[i] < low ? seqs[i] : low;
        high = seqs[i] > high ? seqs[i] : high;
    }
    uint64_t *from = seqs, *spare = mem_alloc(len * sizeof *spare), *to = spare;
    for (unsigned shift = 0; shift < 64 && (high - low) >> shift; shift += BITS) {
        size_t starts[BUCKETS] = {0}, sum = 0;
        for (size_t i = 0; i < len; i++)
            starts[(from[i] - low) >> shift & (BUCKETS - 1)]++;
        for (unsigned b = 0; b < BUCKETS; b++) {
            size_t n = starts[b];
            starts[b] = sum;
            sum += n;
        }
        for (size_t i = 0; i < len; i++)
            to[starts[(from[i] - low) >> shift & (BUCKETS - 1)]++] = from[i];
        uint64_t *other = from;
        from = to;
        to = other;
    }
    if (from != seqs)
        memcpy(seqs, from, len * sizeof *seqs);
    mem_free(spare);
}

size_t stream_last_per_subject(Stream *stream, const Filters *filters, uint64_t upto,
                               uint64_t **out_seqs) {
    Lasts lasts = {.stream = stream, .upto = upto ? upto : UINT64_MAX};
    each_match(stream, filters, add_last, &lasts);
    if (lasts.len >= RADIX_MIN)
        radix_sort(lasts.at, lasts.len);
    else if (lasts.len)
        qsort(lasts.at, lasts.len, sizeof *lasts.at, by_seq);
    *out_seqs = lasts.at;
    return lasts.len;
}

typedef struct EachSubject {
    void (*each)(void *cookie, const SubjectState *subject);
    void *cookie;
} EachSubject;

static bool tell_subject(void *cookie, SubjectId id, SubjectEntry *entry) {
    (void)id;
    const EachSubject *tell = cookie;
    SubjectState state = {subject_entry_text(entry), entry->count, entry->first, entry->last};
    tell->each(tell->cookie, &state);
    return true;
}

void stream_each_subject(Stream *stream, const Filters *filters,
                         void (*each)(void *cookie, const SubjectState *subject), void *cookie) {
    EachSubject tell = {each, cookie};
    each_match(stream, filters, tell_subject, &tell);
}

void stream_subject_state(Stream *stream, Slice subject, SubjectState *out_state) {
    SubjectIndex *subjects = &stream->parts->subjects;
    SubjectId id = subject_index_find(subjects, subject);
    const SubjectEntry *entry = id ? subject_index_entry(subjects, id) : NULL;
    *out_state = (SubjectState){.subject = subject};
    if (entry && entry->count)
        *out_state = (SubjectState){subject, entry->count, entry->first, entry->last};
}

size_t stream_deleted(Stream *stream, uint64_t *out_seqs, size_t max) {
    MsgScan scan;
    uint64_t seq, expected = stream->state.first_seq;
    size_t len = 0;

    if (stream->state.messages == 0)
        return 0;
    msg_scan_up(&scan, stream->index, expected);
    while (len < max) {
        bool is_end = !msg_scan_next_up(&scan, &seq);
        if (is_end)
            seq = stream->state.last_seq + 1;
        for (; expected < seq && len < max; expected++)
            out_seqs[len++] = expected;
        if (is_end)
            break;
        expected = seq + 1;
    }
    return len;
}
