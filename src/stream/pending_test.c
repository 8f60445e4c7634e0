#include "stream/pending.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rand.h"
#include "stream/seq_queue.h"

enum { ENTRIES = 3000, STEPS = 30000 };

typedef struct Naive {
    bool is_in;
    uint64_t due_ns;
} Naive;

static void check_order(const Pending *pending, const Naive *naive) {
    size_t count = 0;
    uint64_t before = 0;
    for (uint64_t i = 1; i <= ENTRIES; i++) {
        PendingEntry *entry = pending_find(pending, i * 3);
        assert_int_equal(entry != NULL, naive[i].is_in);
        assert_null(pending_find(pending, i * 3 + 1));
        if (entry == NULL)
            continue;
        count++;
        assert_ptr_equal(pending_above(pending, before), entry);
        assert_int_equal(entry->due_ns, naive[i].due_ns);
        before = i * 3;
    }
    assert_null(pending_above(pending, before));
    assert_int_equal(pending->count, count);
}

static void check_due(Pending *pending, Naive *naive, uint64_t now_ns, Rand *rand) {
    uint64_t at = 0, earliest = 0, last = 0;
    for (PendingEntry *entry; (entry = pending_next_due(pending, now_ns, &at)) != NULL;) {
        uint64_t i = entry->sseq / 3;
        assert_true(naive[i].is_in && naive[i].due_ns != 0 && naive[i].due_ns <= now_ns);
        assert_true(entry->sseq > last); /* lowest first, each once */
        last = entry->sseq;
        naive[i].due_ns = rand_below(rand, 2) ? now_ns + 1 + rand_below(rand, 500) : 0;
        pending_set_due(pending, entry, naive[i].due_ns);
    }
    for (uint64_t i = 1; i <= ENTRIES; i++) {
        if (!naive[i].is_in || naive[i].due_ns == 0)
            continue;
        assert_true(naive[i].due_ns > now_ns); /* none was missed */
        if (earliest == 0 || naive[i].due_ns < earliest)
            earliest = naive[i].due_ns;
    }
    uint64_t bound = pending_due(pending);
    assert_true(earliest == 0 || (bound != 0 && bound > now_ns && bound <= earliest));
}

static void random_entries_agree_with_a_plain_table(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        Naive naive[ENTRIES + 1] = {0};
        Pending pending = {0};
        Rand rand;
        uint64_t next = 1, now_ns = 1000;
        rand_init(&rand, seed);
        for (size_t step = 0; step < STEPS && next <= ENTRIES; step++) {
            uint64_t i = rand_below(&rand, next) + (next == 1);
            PendingEntry *entry = pending_find(&pending, i * 3);
            switch (rand_below(&rand, 8)) {
            case 0:
            case 1:
            case 2:
                naive[next] =
                    (Naive){true, rand_below(&rand, 4) ? now_ns + rand_below(&rand, 1000) : 0};
                (void)pending_add(&pending, next * 3, next, 1, naive[next].due_ns);
                next++;
                break;
            case 3:
            case 4:
            case 5:
                if (entry)
                    pending_remove(&pending, entry);
                naive[i].is_in = false;
                break;
            case 6:
                if (entry)
                    pending_set_due(&pending, entry,
                                    naive[i].due_ns = now_ns + 1 + rand_below(&rand, 300));
                break;
            case 7:
                now_ns += rand_below(&rand, 20);
                check_due(&pending, naive, now_ns, &rand);
                break;
            }
            if (step % 512 == 0)
                check_order(&pending, naive);
        }
        check_order(&pending, naive);
        pending_done(&pending);
    }
}

static void an_old_entry_costs_no_memory_for_those_behind_it(void **state) {
    (void)state;
    Pending pending = {0};
    (void)pending_add(&pending, 1, 1, 1, 0);
    for (uint64_t i = 2; i < 100000; i++)
        pending_remove(&pending, pending_add(&pending, i, i, 1, 0));
    assert_true(pending_bytes(&pending) < 5000);
    assert_non_null(pending_find(&pending, 1));
    pending_remove(&pending, pending_find(&pending, 1));
    assert_int_equal(pending_last_sseq(&pending), 0);
    (void)pending_add(&pending, 5, 1, 1, 0); /* begins anew */
    pending_done(&pending);
}

static void the_queue_keeps_order_and_takes_back(void **state) {
    (void)state;
    SeqQueue queue = {0};
    uint64_t pushed = 0, popped = 0;
    Rand rand;
    rand_init(&rand, 1);
    for (int i = 0; i < 100000; i++) {
        if (queue.len == 0 || rand_below(&rand, 100) < 51) {
            seq_queue_push(&queue, ++pushed);
            continue;
        }
        assert_int_equal(seq_queue_first(&queue), ++popped);
        seq_queue_pop(&queue);
        if (rand_below(&rand, 10) == 0)
            seq_queue_push_front(&queue, popped--);
    }
    seq_queue_done(&queue);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_entries_agree_with_a_plain_table),
        cmocka_unit_test(an_old_entry_costs_no_memory_for_those_behind_it),
        cmocka_unit_test(the_queue_keeps_order_and_takes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
