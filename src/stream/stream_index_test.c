/* MsgIndex, SubjectIndex, SubjectChain, DupWindow, TtlQueue against arrays and loops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rand.h"
#include "proto/subject.h"
#include "stream/dup_window.h"
#include "stream/msg_index.h"
#include "stream/subject_chain.h"
#include "stream/subject_index.h"
#include "stream/ttl_queue.h"

enum { SEQS = 6000 };

static uint64_t seqs[SEQS];
static bool live[SEQS];

static void check_around(const MsgIndex *index, size_t count, uint64_t seq) {
    uint64_t next = 0, previous = 0, above = 0, at_time = 0;
    for (size_t i = 0; i < count; i++) {
        if (!live[i])
            continue;
        if (seqs[i] >= seq) {
            next = next ? next : seqs[i];
            above++;
        }
        if (seqs[i] <= seq)
            previous = seqs[i];
        if (!at_time && (int64_t)i >= (int64_t)(seq % SEQS))
            at_time = seqs[i];
    }
    assert_int_equal(msg_index_next(index, seq), next);
    assert_int_equal(msg_index_prev(index, seq), previous);
    assert_int_equal(msg_index_count_from(index, seq), above);
    assert_int_equal(msg_index_at_time(index, (int64_t)(seq % SEQS)), at_time);
}

static void check_walks(const MsgIndex *index, size_t count) {
    MsgScan scan;
    MsgSlot *slot;
    uint64_t seq;
    size_t i = 0;
    msg_scan_up(&scan, index, 0);
    while ((slot = msg_scan_next_up(&scan, &seq))) {
        while (!live[i])
            i++;
        assert_int_equal(seq, seqs[i]);
        assert_int_equal(slot->time_ns, i++);
        assert_ptr_equal(slot, msg_index_get(index, seq));
    }
    while (i < count)
        assert_false(live[i++]);
    msg_scan_down(&scan, index, UINT64_MAX);
    while (msg_scan_next_down(&scan, &seq)) {
        while (!live[--i]) {
        }
        assert_int_equal(seq, seqs[i]);
    }
}

static void slots_are_found_whatever_was_removed(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        Rand rand;
        MsgIndex index = {0};
        uint64_t seq = seed % 3 ? 0 : 1ull << 62;
        size_t count = 0, drop_from = 0;
        rand_init(&rand, seed);
        while (count < SEQS) {
            uint64_t gap = rand_below(&rand, seed % 4 ? 4 : 400) + 1;
            seq += rand_below(&rand, 1000) ? gap : gap << 33;
            seqs[count] = seq;
            live[count] = true;
            msg_index_add(&index, seq)->time_ns = (int64_t)count;
            count++;
            for (uint64_t n = rand_below(&rand, 3); n; n--) {
                size_t at = rand_below(&rand, 4) ? drop_from++ : rand_below(&rand, count);
                if (at < count && live[at]) {
                    msg_index_remove(&index, seqs[at]);
                    live[at] = false;
                }
                if (drop_from + 50 > count && seed % 5)
                    drop_from = count > 2000 ? count - 2000 : 0;
            }
            if (count % 200)
                continue;
            check_around(&index, count, seqs[rand_below(&rand, count)] + rand_below(&rand, 3));
            check_around(&index, count, rand_below(&rand, seq + 1000));
        }
        check_walks(&index, count);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(msg_index_get(&index, seqs[i]) != NULL, live[i]);
        msg_index_done(&index);
    }
}

static void a_gap_or_a_hole_costs_little(void **state) {
    (void)state;
    MsgIndex index = {0};
    msg_index_add(&index, 1);
    msg_index_add(&index, 1ull << 60);
    assert_true(index.bytes < 20000);
    msg_index_remove(&index, 1);
    msg_index_done(&index);

    /* One of eight stays. */
    for (uint64_t seq = 1; seq <= 256000; seq++)
        msg_index_add(&index, seq);
    for (uint64_t seq = 1; seq <= 256000; seq++)
        if (seq % 8)
            msg_index_remove(&index, seq);
    assert_true(index.bytes / index.live < 2 * sizeof(MsgSlot) + 16);
    msg_index_done(&index);
}

/* ---- subjects ---- */

enum { NAMES = 3000 };

typedef struct Found {
    bool seen[NAMES];
    uint32_t ids[NAMES];
    unsigned count;
} Found;

static char names[NAMES][128];
static uint32_t ids[NAMES];

static bool note(void *cookie, SubjectId id, SubjectEntry *entry) {
    Found *found = cookie;
    for (unsigned i = 0; i < NAMES; i++)
        if (ids[i] == id && entry->count &&
            slice_equal(subject_entry_text(entry), slice_of_text(names[i]))) {
            assert_false(found->seen[i]);
            found->seen[i] = true;
            found->count++;
            return true;
        }
    fail();
    return false;
}

static void random_name(Rand *rand, char *out, bool has_wildcards) {
    static const char *const tokens[] = {"a", "b", "cc", "d1", "e", "*", ">"};
    size_t len = 0;
    for (uint64_t n = rand_below(rand, 20) ? rand_below(rand, 6) + 1 : 16 + rand_below(rand, 4); n;
         n--) {
        const char *token = tokens[rand_below(rand, has_wildcards ? 7 : 5)];
        len += (size_t)snprintf(out + len, 64, "%s%s", len ? "." : "", token);
        if (!has_wildcards && n == 1 && rand_below(rand, 2))
            len += (size_t)snprintf(out + len, 64, "%d", (int)rand_below(rand, 100));
        if (*token == '>')
            return;
    }
}

static void scans_find_what_the_pattern_covers(void **state) {
    (void)state;
    Rand rand;
    SubjectIndex index = {0};
    rand_init(&rand, 7);
    memset(ids, 0, sizeof ids);
    for (unsigned round = 0; round < 60000; round++) {
        unsigned i = (unsigned)rand_below(&rand, NAMES);
        if (ids[i]) {
            subject_index_entry(&index, ids[i])->count = 0;
            subject_index_emptied(&index, ids[i]);
            ids[i] = 0;
        } else {
            random_name(&rand, names[i], false);
            SubjectId id = subject_index_find(&index, slice_of_text(names[i]));
            if (id && subject_index_entry(&index, id)->count)
                continue;
            ids[i] = subject_index_add(&index, slice_of_text(names[i]));
            subject_index_entry(&index, ids[i])->count = 1;
        }
        if (round % 100)
            continue;
        char pattern[128];
        Found found = {0};
        unsigned want = 0;
        random_name(&rand, pattern, true);
        assert_true(subject_index_scan(&index, slice_of_text(pattern), note, &found));
        for (unsigned n = 0; n < NAMES; n++)
            want += ids[n] && subject_matches(slice_of_text(pattern), slice_of_text(names[n]));
        assert_int_equal(found.count, want);
    }
    for (unsigned i = 0; i < NAMES; i++)
        if (ids[i])
            assert_int_equal(subject_index_find(&index, slice_of_text(names[i])), ids[i]);
    for (unsigned i = 0; i < NAMES; i++)
        if (ids[i]) {
            subject_index_entry(&index, ids[i])->count = 0;
            subject_index_emptied(&index, ids[i]);
        }
    assert_true(index.entry_count <= SUBJECT_RING);
    subject_index_done(&index);
}

static void subjects_of_any_length_are_kept(void **state) {
    (void)state;
    SubjectIndex index = {0};
    char *text = mem_alloc(65535);
    for (size_t i = 0; i < 65535; i++)
        text[i] = i % 2 ? '.' : 'x';
    for (size_t len = 1; len <= 65535; len = len * 2 + 1) {
        SubjectId id = subject_index_add(&index, slice_from(text, len));
        subject_index_entry(&index, id)->count = 1;
    }
    for (size_t len = 1; len <= 65535; len = len * 2 + 1) {
        SubjectId id = subject_index_find(&index, slice_from(text, len));
        assert_int_not_equal(id, 0);
        subject_index_entry(&index, id)->count = 0;
        subject_index_emptied(&index, id);
    }
    mem_free(text);
    subject_index_done(&index);
}

static void a_chain_reaches_over_any_distance(void **state) {
    (void)state;
    static const uint64_t at[] = {
        1, 5, 1ull << 33, (1ull << 33) + 2, 1ull << 40, (1ull << 40) + UINT32_MAX};
    enum { N = sizeof at / sizeof at[0] };
    MsgIndex index = {0};
    SubjectIndex subjects = {0};
    SubjectId id = subject_index_add(&subjects, LIT("a")),
              other = subject_index_add(&subjects, LIT("b"));
    for (unsigned i = 0; i < N; i++) {
        subject_chain_add(&index, &subjects, id, at[i], msg_index_add(&index, at[i]));
        subject_chain_add(&index, &subjects, other, at[i] + 1, msg_index_add(&index, at[i] + 1));
    }
    for (unsigned i = 0; i < N; i++) {
        assert_int_equal(subject_chain_seek(&index, &subjects, id, at[i] - 1), at[i]);
        assert_int_equal(subject_chain_upto(&index, &subjects, id, at[i]), at[i]);
        assert_int_equal(subject_chain_next(&index, at[i], msg_index_get(&index, at[i])),
                         i + 1 < N ? at[i + 1] : 0);
        assert_int_equal(subject_chain_count(&index, &subjects, id, at[i]), N - i);
    }
    for (unsigned i = 1; i < N - 1; i++) {
        subject_chain_remove(&index, &subjects, at[i], msg_index_get(&index, at[i]));
        msg_index_remove(&index, at[i]);
        assert_int_equal(subject_chain_next(&index, 1, msg_index_get(&index, 1)), at[i + 1]);
    }
    subject_chain_remove(&index, &subjects, at[N - 1], msg_index_get(&index, at[N - 1]));
    assert_int_equal(subject_index_entry(&subjects, id)->last, 1);
    msg_index_done(&index);
    subject_index_done(&subjects);
}

/* ---- duplicates ---- */

static Slice id_of(char *out, uint64_t n) {
    size_t len = (size_t)snprintf(out, 64, "id-%llu", (unsigned long long)n);
    for (; n % 7 == 0 && len < 1000; len++)
        out[len] = 'x';
    return slice_from(out, len);
}

static void ids_are_known_as_long_as_the_window(void **state) {
    (void)state;
    enum { IDS = 30000, WINDOW = 5000 };
    DupWindow window = {0}, copy = {0};
    char text[1024];
    uint64_t seq;
    for (uint64_t i = 1; i <= IDS; i++) {
        dup_window_expire(&window, (int64_t)i - WINDOW);
        assert_false(dup_window_find(&window, id_of(text, i), (int64_t)i - WINDOW, &seq));
        dup_window_add(&window, id_of(text, i), i, (int64_t)i);
        if (i > WINDOW)
            assert_false(
                dup_window_find(&window, id_of(text, i - WINDOW - 1), (int64_t)i - WINDOW, &seq));
        uint64_t known = i > WINDOW ? i - WINDOW : 1;
        assert_true(dup_window_find(&window, id_of(text, known), (int64_t)i - WINDOW, &seq));
        assert_int_equal(seq, known);
    }
    Buf saved = {0};
    dup_window_save(&window, &saved);
    Slice from = buf_slice(&saved);
    assert_int_equal(dup_window_load(&copy, &from), OK);
    assert_int_equal(from.len, 0);
    for (uint64_t i = IDS - WINDOW + 1; i <= IDS; i++)
        assert_true(dup_window_find(&copy, id_of(text, i), 0, &seq) && seq == i);
    dup_window_expire(&window, IDS + 1);
    assert_int_equal(window.len, 0);
    buf_done(&saved);
    dup_window_done(&window);
    dup_window_done(&copy);
}

static bool is_odd(void *cookie, TtlDue due) {
    uint64_t seq = due.seq;
    (void)cookie;
    return seq % 2;
}

static void due_times_come_in_order(void **state) {
    (void)state;
    TtlQueue queue = {0};
    Rand rand;
    rand_init(&rand, 3);
    for (uint64_t seq = 1; seq <= 2000; seq++)
        ttl_queue_push(&queue, (int64_t)rand_below(&rand, 300), seq);
    ttl_queue_keep(&queue, is_odd, NULL);
    assert_int_equal(queue.len, 1000);
    TtlDue last = {-1, 0};
    while (queue.len) {
        TtlDue due = queue.heap[0];
        assert_true(due.seq % 2 && (due.due_ns > last.due_ns ||
                                    (due.due_ns == last.due_ns && due.seq > last.seq)));
        last = due;
        ttl_queue_pop(&queue);
    }
    ttl_queue_done(&queue);
}

/* Comings and goings leave small tables in which every bucket was passed by something. */
static void looking_for_what_is_not_there_ends(void **state) {
    (void)state;
    SubjectIndex index = {0};
    Rand rand;
    char name[32];

    rand_init(&rand, 7);
    for (unsigned step = 0; step < 100000; step++) {
        size_t len = (size_t)snprintf(name, sizeof name, "$O.o.C.n%u",
                                      step + (unsigned)rand_below(&rand, 9));
        SubjectId id = subject_index_add(&index, slice_from(name, len));
        assert_int_equal(subject_index_find(&index, slice_from(name, len)), id);
        subject_index_emptied(&index, id);
        assert_int_equal(subject_index_find(&index, LIT("$O.o.C.never")), 0);
    }
    subject_index_done(&index);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(looking_for_what_is_not_there_ends),
        cmocka_unit_test(slots_are_found_whatever_was_removed),
        cmocka_unit_test(a_gap_or_a_hole_costs_little),
        cmocka_unit_test(scans_find_what_the_pattern_covers),
        cmocka_unit_test(subjects_of_any_length_are_kept),
        cmocka_unit_test(a_chain_reaches_over_any_distance),
        cmocka_unit_test(ids_are_known_as_long_as_the_window),
        cmocka_unit_test(due_times_come_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
