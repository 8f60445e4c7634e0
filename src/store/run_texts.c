#include <stdlib.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "io/io_memory.h"
#include "store/run_merge.h"

enum {
    RADIX_BITS = 11,
    RADIX_DIGITS = 1 << RADIX_BITS,
    RENUMBER_AHEAD = 4, /* buckets whose new numbers are brought near before their turn */
    /* The buckets of the older run stay as long as there is room: ids in each on average. */
    BUCKET_KEPT_FULL = RUN_BUCKET_IDS - 1,
};

typedef struct SortKey {
    uint64_t prefix; /* the 8 bytes behind what all begin with */
    uint32_t name;
} SortKey;

static int compare(Slice a, Slice b) {
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len ? memcmp(a.ptr, b.ptr, len) : 0;
    return order ? order : a.len < b.len ? -1 : a.len > b.len;
}

/* ---- sorting what is new ---- */

static Slice text_of(const RunInput *in, uint32_t name) {
    return in->text(in->cookie, name);
}

static bool are_sorted(const RunInput *in) {
    for (size_t i = 1; i < in->text_count; i++)
        if (compare(text_of(in, in->texts[i - 1]), text_of(in, in->texts[i])) >= 0)
            return false;
    return true;
}

static void fill_keys(const RunInput *in, SortKey *keys) {
    Slice first = in->text_count ? text_of(in, in->texts[0]) : (Slice){0};
    size_t same = first.len;
    for (size_t i = 1; i < in->text_count; i++) {
        Slice text = text_of(in, in->texts[i]);
        size_t n = 0;
        while (n < same && n < text.len && text.ptr[n] == first.ptr[n])
            n++;
        same = n;
    }
    for (size_t i = 0; i < in->text_count; i++) {
        Slice text = text_of(in, in->texts[i]);
        uint64_t prefix = 0;
        for (size_t n = 0; n < 8; n++)
            prefix = prefix << 8 | (same + n < text.len ? (uint8_t)text.ptr[same + n] : 0);
        keys[i] = (SortKey){prefix, in->texts[i]};
    }
}

/* By prefix. Both have room for all; returns the one in which they end. */
static SortKey *radix_sort(SortKey *from, SortKey *to, size_t len) {
    uint64_t varies = 0;
    for (size_t i = 1; i < len; i++)
        varies |= from[i].prefix ^ from[0].prefix;
    for (unsigned shift = 0; shift < 64; shift += RADIX_BITS) {
        if (!(varies >> shift & (RADIX_DIGITS - 1)))
            continue;
        size_t starts[RADIX_DIGITS] = {0}, sum = 0;
        for (size_t i = 0; i < len; i++)
            starts[from[i].prefix >> shift & (RADIX_DIGITS - 1)]++;
        for (size_t d = 0; d < RADIX_DIGITS; d++) {
            size_t n = starts[d];
            starts[d] = sum;
            sum += n;
        }
        for (size_t i = 0; i < len; i++)
            to[starts[from[i].prefix >> shift & (RADIX_DIGITS - 1)]++] = from[i];
        SortKey *other = from;
        from = to;
        to = other;
    }
    return from;
}

static int by_text(const void *a, const void *b, void *cookie) {
    const RunInput *in = cookie;
    return compare(text_of(in, ((const SortKey *)a)->name),
                   text_of(in, ((const SortKey *)b)->name));
}

/* Names in the order of their texts. */
static uint32_t *sort_texts(const RunInput *in) {
    size_t len = in->text_count;
    uint32_t *names = mem_alloc((len + 1) * sizeof *names);
    if (are_sorted(in)) {
        if (len)
            memcpy(names, in->texts, len * sizeof *names);
        return names;
    }
    SortKey *keys = mem_alloc((len + 1) * sizeof *keys),
            *spare = mem_alloc((len + 1) * sizeof *keys);
    fill_keys(in, keys);
    SortKey *sorted = radix_sort(keys, spare, len);
    for (size_t i = 0, end; i < len; i = end) {
        for (end = i + 1; end < len && sorted[end].prefix == sorted[i].prefix;)
            end++;
        if (end - i > 1)
            qsort_r(sorted + i, end - i, sizeof *sorted, by_text, (void *)(uintptr_t)in);
    }
    for (size_t i = 0; i < len; i++)
        names[i] = sorted[i].name;
    mem_free(keys);
    mem_free(spare);
    return names;
}

/* ---- what went ---- */

static int by_number(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void set_bit(uint64_t *bits, uint32_t i) {
    bits[i / 64] |= 1ull << (i % 64);
}

/* A subject that lost a message is dead when it lost as many as it had. */
static void count_losses(RunMerge *merge, uint32_t *losses, size_t len) {
    if (len > 1)
        qsort(losses, len, sizeof *losses, by_number);
    for (size_t i = 0, end; i < len; i = end) {
        RunSubject state;
        for (end = i + 1; end < len && losses[end] == losses[i];)
            end++;
        run_subject(merge->in->base, losses[i], &state);
        if (state.count <= end - i) {
            set_bit(merge->dead, losses[i]);
            merge->dead_count++;
        }
    }
}

static void find_losses(RunMerge *merge) {
    const RunInput *in = merge->in;
    VEC(uint32_t) losses = {0};
    size_t page_count;
    const RunPage *pages = run_pages(in->base, &page_count);
    for (size_t p = 0; p < page_count; p++)
        for (unsigned word = 0; word < RUN_PAGE_WORDS; word++)
            for (uint64_t gone = pages[p].has[word] & ~in->base_has[p][word]; gone;
                 gone &= gone - 1) {
                RunMessage message;
                run_message(in->base, &pages[p], word * 64 + (unsigned)__builtin_ctzll(gone),
                            &message);
                if (message.subject != RUN_NO_SUBJECT)
                    vec_push(&losses, message.subject);
            }
    if (losses.len) {
        size_t words = merge->base_subjects / 64 + 1;
        merge->dead = mem_zalloc(words * sizeof(uint64_t));
        merge->touched = mem_zalloc(words * sizeof(uint64_t));
        for (size_t i = 0; i < losses.len; i++)
            set_bit(merge->touched, losses.at[i]);
        count_losses(merge, losses.at, losses.len);
    }
    vec_done(&losses);
}

/* ---- hash ---- */

static void bucket_put(RunMerge *merge, uint64_t hash, uint32_t ordinal) {
    uint64_t count = merge->out->head.bucket_count;
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

/* In the order in which they come; a bucket is brought near before its turn, as it lies anywhere.
 */
static void hash_put(RunMerge *merge, RunFresh fresh) {
    uint64_t bucket = run_bucket_of(fresh.hash, merge->out->head.bucket_count);
    __builtin_prefetch(&merge->buckets[bucket], 1);
    RunFresh *at = &merge->coming[merge->coming_count % RUN_COMING];
    if (merge->coming_count++ >= RUN_COMING)
        bucket_put(merge, at->hash, at->ordinal);
    *at = fresh;
}

static void put_coming(RunMerge *merge) {
    size_t n = merge->coming_count < RUN_COMING ? merge->coming_count : RUN_COMING;
    for (size_t i = merge->coming_count - n; i < merge->coming_count; i++)
        bucket_put(merge, merge->coming[i % RUN_COMING].hash,
                   merge->coming[i % RUN_COMING].ordinal);
    merge->coming_count = 0;
}

static size_t bucket_bytes(const RunMerge *merge) {
    return merge->out->head.bucket_count * sizeof(RunBucket);
}

void run_merge_free_hash(RunMerge *merge) {
    if (merge->buckets)
        io_memory_free((void *)merge->buckets, bucket_bytes(merge));
    merge->buckets = NULL;
}

static void begin_hash(RunMerge *merge) {
    const RunInput *in = merge->in;
    uint64_t max = merge->base_subjects - merge->dead_count + in->text_count;
    uint64_t has = in->base ? run_section(in->base, RUN_HASH).len / sizeof(RunBucket) : 0;
    merge->is_hash_kept =
        has && has * BUCKET_KEPT_FULL >= max && merge->dead_count <= merge->base_subjects / 4;
    if (merge->is_hash_kept) {
        merge->out->head.bucket_count = has;
        return;
    }
    /* Room to grow. */
    merge->out->head.bucket_count = (max + max / 4) / RUN_BUCKET_FULL + 1;
    merge->buckets = (void *)io_memory_new(bucket_bytes(merge));
}

/* A dead one leaves its place; that others went past it stays counted, which costs a look at most.
 */
static void renumber(RunMerge *merge) {
    const RunBucket *from = (const void *)run_section(merge->in->base, RUN_HASH).ptr;
    uint64_t count = merge->out->head.bucket_count;
    merge->buckets = (void *)io_memory_new(bucket_bytes(merge));
    for (uint64_t b = 0; b < count; b++) {
        RunBucket *to = &merge->buckets[b];
        if (b + RENUMBER_AHEAD < count)
            for (unsigned i = 0; i < RUN_BUCKET_IDS; i++)
                __builtin_prefetch(&merge->of_base[from[b + RENUMBER_AHEAD].ids[i]]);
        *to = from[b];
        for (unsigned i = 0; i < RUN_BUCKET_IDS; i++) {
            if (!to->tags[i])
                continue;
            bool is_dead = to->ids[i] >= merge->base_subjects || run_bit(merge->dead, to->ids[i]);
            to->ids[i] = is_dead ? 0 : merge->of_base[to->ids[i]];
            if (is_dead)
                to->tags[i] = 0;
        }
    }
}

static void end_hash(RunMerge *merge) {
    RunFile *out = merge->out;
    if (merge->is_hash_kept) {
        renumber(merge);
        for (size_t i = 0; i < merge->fresh.len; i++)
            hash_put(merge, merge->fresh.at[i]);
    }
    put_coming(merge);
    run_file_put_section(out, RUN_HASH, merge->buckets, bucket_bytes(merge));
    run_merge_free_hash(merge);
    vec_done(&merge->fresh);
}

/* ---- texts ---- */

enum { TEXT_INLINE = 128 };

/* shared: with the text written last; SIZE_MAX = not known. */
static uint32_t put_text(RunMerge *merge, Slice text, size_t shared) {
    RunFile *out = merge->out;
    uint32_t ordinal = merge->subject_count++;
    if (ordinal % RUN_TEXT_BLOCK == 0) {
        vec_push(&merge->text_index, run_file_position(out) - out->head.sections[RUN_TEXTS].at);
        shared = 0;
    } else if (shared == SIZE_MAX) {
        shared = 0;
        while (shared < merge->text.len && shared < text.len &&
               merge->text.ptr[shared] == text.ptr[shared])
            shared++;
    }
    char piece[20 + TEXT_INLINE];
    size_t n = run_write_number(piece, shared), more = text.len - shared;
    n += run_write_number(piece + n, more);
    if (more <= TEXT_INLINE) {
        memcpy(piece + n, text.ptr + shared, more);
        run_file_put(out, piece, n + more);
    } else {
        run_file_put(out, piece, n);
        run_file_put(out, text.ptr + shared, more);
    }
    buf_clear(&merge->text);
    buf_append(&merge->text, text);
    return ordinal;
}

/* The next subject of base that is alive. */
static bool next_of_base(const RunMerge *merge, RunScan *scan, uint32_t *out_ordinal,
                         Slice *out_text) {
    if (!merge->in->base)
        return false;
    while (run_scan_next(scan, out_ordinal, out_text))
        if (!run_bit(merge->dead, *out_ordinal))
            return true;
    return false;
}

static void number_old(RunMerge *merge, uint32_t ordinal, uint32_t number, Slice text) {
    merge->of_base[ordinal] = number;
    if (run_bit(merge->touched, ordinal))
        set_bit(merge->chained, number);
    if (!merge->is_hash_kept)
        hash_put(merge, (RunFresh){hash_checksum(text.ptr, text.len), number});
}

/* is_also_old: base has it too. */
static void number_new(RunMerge *merge, uint32_t name, uint32_t number, Slice text,
                       bool is_also_old) {
    merge->in->numbered(merge->in->cookie, name, number);
    set_bit(merge->chained, number);
    if (is_also_old)
        return;
    RunFresh fresh = {hash_checksum(text.ptr, text.len), number};
    if (merge->is_hash_kept)
        vec_push(&merge->fresh, fresh);
    else
        hash_put(merge, fresh);
}

static void merge_texts(RunMerge *merge, const uint32_t *names) {
    const RunInput *in = merge->in;
    RunScan scan = {0};
    uint32_t ordinal, last_old = UINT32_MAX; /* last_old: when it was written last */
    Slice old;
    if (in->base)
        run_scan_begin(&scan, in->base, (Slice){0});
    bool has_old = next_of_base(merge, &scan, &ordinal, &old);
    Slice new = in->text_count ? text_of(in, names[0]) : (Slice){0};
    for (size_t i = 0; (has_old || i < in->text_count) && merge->out->status == OK;) {
        int order = !has_old ? 1 : i == in->text_count ? -1 : compare(old, new);
        bool is_next = order <= 0 && last_old + 1 == ordinal && ordinal % RUN_TEXT_BLOCK != 0;
        Slice text = order <= 0 ? old : new;
        uint32_t number = put_text(merge, text, is_next ? scan.shared : SIZE_MAX);
        last_old = UINT32_MAX - 1;
        if (order <= 0) {
            number_old(merge, ordinal, number, text);
            last_old = ordinal;
        }
        if (order >= 0) {
            number_new(merge, names[i], number, text, order == 0);
            new = ++i < in->text_count ? text_of(in, names[i]) : (Slice){0};
        }
        if (order <= 0)
            has_old = next_of_base(merge, &scan, &ordinal, &old);
    }
    run_scan_done(&scan);
}

static void make_chains(RunMerge *merge) {
    size_t words = merge->subject_count / 64 + 1;
    uint32_t before = 0;
    merge->chained_before = mem_alloc(words * sizeof *merge->chained_before);
    for (size_t i = 0; i < words; i++) {
        merge->chained_before[i] = before;
        before += run_bits_in(merge->chained[i]);
    }
    merge->chains = mem_zalloc((before + 1) * sizeof *merge->chains);
}

static size_t of_base_bytes(const RunMerge *merge) {
    return ((size_t)merge->base_subjects + 1) * sizeof *merge->of_base;
}

void run_merge_free_of_base(RunMerge *merge) {
    if (merge->of_base)
        io_memory_free((void *)merge->of_base, of_base_bytes(merge));
    merge->of_base = NULL;
}

void run_merge_texts(RunMerge *merge) {
    const RunInput *in = merge->in;
    RunFile *out = merge->out;
    if (in->base) {
        merge->base_subjects = run_subject_count(in->base);
        find_losses(merge);
    }
    uint32_t *names = sort_texts(in);
    uint64_t max = merge->base_subjects + in->text_count;
    merge->of_base = (void *)io_memory_new(of_base_bytes(merge));
    merge->chained = mem_zalloc((max / 64 + 1) * sizeof(uint64_t));
    begin_hash(merge);
    run_file_begin_section(out, RUN_TEXTS);
    merge_texts(merge, names);
    run_file_end_section(out, RUN_TEXTS);
    mem_free(names);
    out->head.subject_count = merge->subject_count;
    run_file_put_section(out, RUN_TEXT_INDEX, merge->text_index.at,
                         merge->text_index.len * sizeof(uint64_t));
    vec_done(&merge->text_index);
    buf_done(&merge->text);
    if (out->status == OK)
        end_hash(merge);
    make_chains(merge);
}
