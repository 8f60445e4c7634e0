#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/rand.h"
#include "io/counter.h"
#include "io/thread.h"
#include "store/chunk_table.h"

/* The log's live bytes, by segment. */
enum { SEGMENTS = 8, LEN = 1000, THREADS = 4, ROUNDS = 20000, CONTENTS = 6 };
static Counter live[SEGMENTS];

void log_add_live(Log *log, Place place, uint64_t bytes) {
    (void)log;
    (void)counter_add(&live[place_segment(place)], bytes);
}
void log_drop_live(Log *log, Place place, uint64_t bytes) {
    (void)log;
    (void)counter_sub(&live[place_segment(place)], bytes);
}

static const uint8_t id[RECORD_CHUNK_ID_BYTES] = {1, 2, 3};
static uint64_t whole;

static bool is_good(ChunkTable *table, const Chunk *chunk) {
    ChunkState state = chunk_state(table, chunk);
    return chunk_state_is_good(&state);
}

static int setup(void **state) {
    memset(live, 0, sizeof live);
    whole = record_chunk_bytes(LEN);
    *state = chunk_table_new(NULL);
    return 0;
}

static int teardown(void **state) {
    chunk_table_free(*state);
    return 0;
}

static void a_chunk_is_live_once_until_the_last_reference_goes(void **state) {
    ChunkTable *table = *state;
    Chunk *chunk = chunk_take(table, 0, id, LEN);
    assert_false(is_good(table, chunk));
    assert_int_equal(chunk_offer(table, chunk, place_of(1, 64), false), 0);
    assert_true(is_good(table, chunk));
    assert_ptr_equal(chunk_take(table, 0, id, LEN), chunk);
    assert_ptr_equal(chunk_ref(table, chunk), chunk);
    assert_int_equal(counter_get(&live[1]), whole);
    chunk_unref(table, chunk);
    chunk_unref(table, chunk);
    assert_int_equal(counter_get(&live[1]), whole);
    assert_int_equal(chunk_table_totals(table).chunks, 1);
    assert_int_equal(chunk_table_totals(table).bytes, LEN);
    assert_ptr_equal(chunk_find(table, 0, id, LEN), chunk);
    chunk_unref(table, chunk);
    assert_int_equal(counter_get(&live[1]), 0);
    assert_null(chunk_find(table, 0, id, LEN));
    assert_int_equal(chunk_table_totals(table).chunks, 0);
}

static void accounts_and_lengths_keep_apart(void **state) {
    ChunkTable *table = *state;
    Chunk *chunk = chunk_take(table, 1, id, LEN);
    assert_null(chunk_find(table, 2, id, LEN));
    assert_null(chunk_find(table, 1, id, LEN + 1));
    assert_ptr_equal(chunk_find(table, 1, id, LEN), chunk);
    assert_int_equal(chunk_len(chunk), LEN);
    assert_memory_equal(chunk_id(chunk), id, sizeof id);
}

static void a_second_record_of_known_content_is_not_live(void **state) {
    ChunkTable *table = *state;
    Chunk *chunk = chunk_take(table, 0, id, LEN);
    assert_int_equal(chunk_offer(table, chunk, place_of(1, 64), false), 0);
    assert_int_equal(chunk_offer(table, chunk, place_of(2, 64), false), 0);
    assert_int_equal(chunk_offer(table, chunk, place_of(1, 64), true), 0);
    assert_int_equal(counter_get(&live[1]), whole);
    assert_int_equal(counter_get(&live[2]), 0);
    assert_int_equal(chunk_state(table, chunk).place, place_of(1, 64));
}

static void a_newer_record_takes_the_place_of_one_that_moves_or_is_damaged(void **state) {
    ChunkTable *table = *state;
    Chunk *chunk = chunk_take(table, 0, id, LEN);
    assert_int_equal(chunk_offer(table, chunk, place_of(1, 64), false), 0);
    chunk_mark_damaged(table, chunk, place_of(2, 64)); /* not that one */
    assert_true(is_good(table, chunk));
    chunk_mark_damaged(table, chunk, place_of(1, 64));
    chunk_mark_damaged(table, chunk, place_of(1, 64));
    assert_false(is_good(table, chunk));
    assert_int_equal(chunk_table_totals(table).damaged, 1);
    assert_int_equal(chunk_offer(table, chunk, place_of(3, 64), true), place_of(1, 64));
    assert_true(is_good(table, chunk));
    assert_int_equal(chunk_table_totals(table).damaged, 0);
    assert_int_equal(chunk_table_totals(table).chunks, 1);
    assert_int_equal(counter_get(&live[1]), whole); /* the caller's */
    assert_int_equal(counter_get(&live[3]), whole);
    assert_int_equal(chunk_offer(table, chunk, place_of(2, 64), true), 0); /* older */
    assert_int_equal(chunk_state(table, chunk).place, place_of(3, 64));
    chunk_unref(table, chunk);
    assert_int_equal(counter_get(&live[3]), 0);
}

static void a_suggested_place_is_the_last_resort(void **state) {
    ChunkTable *table = *state;
    Chunk *chunk = chunk_take(table, 0, id, LEN);
    chunk_suspect(table, chunk);
    chunk_suggest(table, chunk, place_of(1, 64));
    chunk_suggest(table, chunk, place_of(2, 64));
    assert_int_equal(counter_get(&live[1]), whole);
    assert_int_equal(counter_get(&live[2]), 0);
    assert_false(is_good(table, chunk));
    chunk_mark_whole(table, chunk, place_of(1, 64));
    assert_true(is_good(table, chunk));
    chunk_suspect(table, chunk);
    assert_int_equal(chunk_offer(table, chunk, place_of(3, 64), false), place_of(1, 64));
    assert_true(is_good(table, chunk));
}

typedef struct Actor {
    ChunkTable *table;
    uint64_t seed;
} Actor;

static void candidates_are_whole_chunks_of_like_content(void **state) {
    ChunkTable *table = *state;
    static const uint8_t key[16] = {7}, other_key[16] = {8};
    uint8_t sieve[RECORD_SIEVE_BYTES], like[RECORD_SIEVE_BYTES], unlike[RECORD_SIEVE_BYTES];
    Chunk *found[CHUNK_CANDIDATES_MAX], *chunks[CHUNK_CANDIDATES_MAX + 2];
    chunk_table_set_key(table, key);
    chunk_sieve(table, LIT("some payload"), sieve);
    chunk_sieve(table, LIT("some payload"), like);
    chunk_sieve(table, LIT("some payloae"), unlike);
    assert_memory_equal(sieve, like, sizeof sieve);
    assert_memory_not_equal(sieve, unlike, sizeof sieve);
    enum { COUNT = sizeof chunks / sizeof chunks[0] };
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(chunk_candidates(table, 0, sieve, LEN, found), i ? 1 : 0);
        if (i)
            chunk_unref(table, found[0]);
        chunks[i] = chunk_add(table, 0, sieve, LEN, 5); /* the number is taken from the second on */
        if (i == 0)
            assert_int_equal(chunk_offer(table, chunks[0], place_of(1, 64), false), 0);
    }
    for (unsigned i = 1; i < COUNT; i++)
        assert_int_equal(chunk_offer(table, chunks[i], place_of(1, 64 + i * 4096), false), 0);
    chunk_mark_damaged(table, chunks[COUNT - 1], chunk_state(table, chunks[COUNT - 1]).place);
    assert_int_equal(chunk_candidates(table, 1, sieve, LEN, found), 0);
    assert_int_equal(chunk_candidates(table, 0, unlike, LEN, found), 0);
    assert_int_equal(chunk_candidates(table, 0, sieve, LEN + 1, found), 0);
    assert_int_equal(chunk_candidates(table, 0, sieve, LEN, found), CHUNK_CANDIDATES_MAX);
    for (unsigned i = 0; i < CHUNK_CANDIDATES_MAX; i++) {
        assert_ptr_equal(found[i], chunks[COUNT - 2 - i]);
        chunk_unref(table, found[i]);
    }
    static const unsigned order[COUNT] = {5, 2, 0, 4, 1, 3};
    for (unsigned i = 0; i < COUNT; i++) {
        for (unsigned j = i; j < COUNT; j++)
            assert_ptr_equal(chunk_find(table, 0, chunk_id(chunks[order[j]]), LEN),
                             chunks[order[j]]);
        chunk_unref(table, chunks[order[i]]);
    }
    assert_int_equal(counter_get(&live[1]), 0);
    chunk_table_set_key(table, other_key);
    chunk_sieve(table, LIT("some payload"), like);
    assert_memory_not_equal(sieve, like, sizeof sieve);
    chunk_table_blind(table);
    chunk_sieve(table, LIT("a"), sieve);
    chunk_sieve(table, LIT("b"), like);
    assert_memory_equal(sieve, like, sizeof sieve);
}

/* As a stream does: takes one, says where it lies when nobody knows, has it for a while. */
static void act(void *cookie) {
    const Actor *actor = cookie;
    ChunkTable *table = actor->table;
    Chunk *held[4] = {0};
    Rand rnd;
    rand_init(&rnd, actor->seed);
    for (unsigned i = 0; i < ROUNDS; i++) {
        Chunk **at = &held[rand_below(&rnd, 4)];
        if (*at)
            chunk_unref(table, *at);
        uint8_t content[RECORD_CHUNK_ID_BYTES] = {(uint8_t)rand_below(&rnd, CONTENTS)};
        *at = chunk_take(table, 0, content, LEN);
        if (chunk_find(table, 0, content, LEN) != *at)
            fail();
        Place place = place_of(1 + rand_below(&rnd, SEGMENTS - 1), 64);
        if (!is_good(table, *at) || rand_below(&rnd, 8) == 0) {
            Place before = chunk_offer(table, *at, place, rand_below(&rnd, 2));
            if (before)
                log_drop_live(NULL, before, record_chunk_bytes(LEN));
        }
        if (rand_below(&rnd, 16) == 0)
            chunk_mark_damaged(table, *at, chunk_state(table, *at).place);
    }
    for (unsigned i = 0; i < 4; i++)
        if (held[i])
            chunk_unref(table, held[i]);
}

static void workers_share_it(void **state) {
    Thread *threads[THREADS];
    Actor actors[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        actors[i] = (Actor){*state, i + 1};
        assert_int_equal(thread_start("actor", act, &actors[i], &threads[i]), OK);
    }
    for (unsigned i = 0; i < THREADS; i++)
        thread_join(threads[i]);
    ChunkTotals totals = chunk_table_totals(*state);
    assert_true(totals.chunks == 0 && totals.bytes == 0 && totals.damaged == 0);
    for (unsigned i = 0; i < SEGMENTS; i++)
        assert_int_equal(counter_get(&live[i]), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_chunk_is_live_once_until_the_last_reference_goes),
        TEST(accounts_and_lengths_keep_apart),
        TEST(a_second_record_of_known_content_is_not_live),
        TEST(a_newer_record_takes_the_place_of_one_that_moves_or_is_damaged),
        TEST(a_suggested_place_is_the_last_resort),
        TEST(candidates_are_whole_chunks_of_like_content),
        TEST(workers_share_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
