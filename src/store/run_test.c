#include "store/run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rand.h"
#include "base/vec.h"
#include "io/disk.h"

/* What a run should hold, as arrays that are searched from end to end. */
typedef struct Known {
    uint64_t seq;
    char subject[32];
    RunMessage message;
} Known;
typedef VEC(Known) Knowns;

static char dir[64], path[96];

static int make_dir(void **state) {
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/run_test-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    snprintf(path, sizeof path, "%s/1.1.run", dir);
    return 0;
}

static Cipher *cipher; /* all tests run without and with one */

static int remove_dir(void **state) {
    (void)state;
    (void)remove(path);
    return remove(dir);
}

static size_t bytes_of(size_t subject_len, uint64_t place, uint32_t size) {
    return 40 + subject_len + size % 1000;
}

static Knowns make_messages(Rand *rand, uint64_t from, size_t count, unsigned subjects) {
    Knowns all = {0};
    Place place = place_of(3 + from / 1000, 96);
    for (size_t i = 0; i < count; i++) {
        from += rand_below(rand, 50) ? 1 + rand_below(rand, 3) : 1000;
        place += 8 * (1 + rand_below(rand, 40));
        Known known = {.seq = from};
        uint64_t n = rand_below(rand, subjects);
        snprintf(known.subject, sizeof known.subject, "k.%llu.%llu", (unsigned long long)n % 7,
                 (unsigned long long)n);
        known.message = (RunMessage){.place = rand_below(rand, 100) ? place : 0,
                                     .time_ns = (int64_t)(from * 1000 + rand_below(rand, 900)),
                                     .size = (uint32_t)rand_below(rand, 3000),
                                     .is_marked = rand_below(rand, 9) == 0};
        if (rand_below(rand, 200) == 0)
            known.subject[0] = 0;
        vec_push(&all, known);
    }
    return all;
}

/* What write_run gives the writer. */
typedef struct Source {
    const Knowns *added;
    VEC(Slice) texts;
    VEC(uint32_t) names, ordinals;
    VEC(size_t) pages; /* where they begin in added */
} Source;

static Slice source_text(void *cookie, uint32_t name) {
    return ((Source *)cookie)->texts.at[name];
}

static void source_numbered(void *cookie, uint32_t name, uint32_t ordinal) {
    ((Source *)cookie)->ordinals.at[name] = ordinal;
}

static uint32_t name_of(const Source *source, Slice text) {
    uint32_t t = 0;
    while (t < source->texts.len && !slice_equal(source->texts.at[t], text))
        t++;
    return t;
}

static void source_page(void *cookie, size_t p, RunFill *page) {
    Source *source = cookie;
    const Knowns *added = source->added;
    *page = (RunFill){.number = added->at[source->pages.at[p]].seq / RUN_PAGE_SLOTS};
    for (size_t i = source->pages.at[p];
         i < added->len && added->at[i].seq / RUN_PAGE_SLOTS == page->number; i++) {
        unsigned bit = added->at[i].seq % RUN_PAGE_SLOTS;
        Slice text = slice_of_text(added->at[i].subject);
        page->has[bit / 64] |= 1ull << (bit % 64);
        page->bytes[page->count] =
            bytes_of(text.len, added->at[i].message.place, added->at[i].message.size);
        page->messages[page->count] = added->at[i].message;
        page->messages[page->count++].subject =
            text.len ? source->ordinals.at[name_of(source, text)] : RUN_NO_SUBJECT;
    }
}

static Source make_source(const Knowns *added) {
    Source source = {.added = added};
    for (size_t i = 0; i < added->len; i++) {
        Slice text = slice_of_text(added->at[i].subject);
        if (text.len && name_of(&source, text) == source.texts.len) {
            vec_push(&source.names, (uint32_t)source.texts.len);
            vec_push(&source.ordinals, 0);
            vec_push(&source.texts, text);
        }
        if (i == 0 || added->at[i].seq / RUN_PAGE_SLOTS != added->at[i - 1].seq / RUN_PAGE_SLOTS)
            vec_push(&source.pages, i);
    }
    return source;
}

typedef VEC(RunSegment) Segments;

/* Bytes of what is still there. */
static Segments count_kept(const Run *base, const uint64_t (*has)[RUN_PAGE_WORDS]) {
    Segments all = {0};
    Buf text = {0};
    size_t pages = 0;
    const RunPage *page = base ? run_pages(base, &pages) : NULL;
    for (size_t p = 0; p < pages; p++)
        for (unsigned i = 0; i < RUN_PAGE_SLOTS; i++) {
            RunMessage message;
            if (!(has[p][i / 64] >> (i % 64) & 1))
                continue;
            run_message(base, &page[p], i, &message);
            if (!message.place || message.subject == RUN_NO_SUBJECT)
                continue;
            size_t s = 0;
            while (s < all.len && all.at[s].segment != place_segment(message.place & ~PLACE_REF))
                s++;
            if (s == all.len)
                vec_push(&all, ((RunSegment){place_segment(message.place & ~PLACE_REF), 0}));
            run_subject_text(base, message.subject, &text);
            all.at[s].bytes += bytes_of(text.len, message.place, message.size);
        }
    buf_done(&text);
    return all;
}

static void write_run(const Run *base, const uint64_t (*has)[RUN_PAGE_WORDS],
                      const RunSize *resized, size_t resized_count, const Knowns *added) {
    Source source = make_source(added);
    Segments kept = count_kept(base, has);
    RunDue due = {7, 8};
    RunInput input = {.base = base,
                      .base_has = has,
                      .base_segments = kept.at,
                      .base_segment_count = kept.len,
                      .resized = resized,
                      .resized_count = resized_count,
                      .cookie = &source,
                      .texts = source.names.at,
                      .text_count = source.names.len,
                      .text = source_text,
                      .numbered = source_numbered,
                      .page_count = source.pages.len,
                      .page = source_page,
                      .dues = &due,
                      .due_count = 1,
                      .cipher = cipher};
    assert_int_equal(run_write(dir, path, &input), OK);
    vec_done(&kept);
    vec_done(&source.texts);
    vec_done(&source.names);
    vec_done(&source.ordinals);
    vec_done(&source.pages);
}

static void check_messages(const Run *run, const Knowns *all) {
    size_t pages, segments, at = 0;
    const RunPage *page = run_pages(run, &pages);
    uint64_t bytes = 0, want = 0;
    Buf text = {0};
    for (size_t p = 0; p < pages; p++)
        for (unsigned i = 0; i < RUN_PAGE_SLOTS; i++) {
            if (!(page[p].has[i / 64] >> (i % 64) & 1))
                continue;
            RunMessage message;
            const Known *known = &all->at[at++];
            run_message(run, &page[p], i, &message);
            assert_true(known->seq == page[p].number * RUN_PAGE_SLOTS + i);
            assert_true(known->message.place == message.place);
            assert_true(known->message.time_ns == message.time_ns);
            assert_int_equal(known->message.size, message.size);
            assert_int_equal(known->message.is_marked, message.is_marked);
            if (!known->subject[0]) {
                assert_true(message.subject == RUN_NO_SUBJECT);
                continue;
            }
            run_subject_text(run, message.subject, &text);
            assert_true(slice_equal(buf_slice(&text), slice_of_text(known->subject)));
            uint64_t next = 0;
            for (size_t k = at; k < all->len && !next; k++)
                if (strcmp(all->at[k].subject, known->subject) == 0)
                    next = all->at[k].seq;
            assert_true(message.next == (next ? next - known->seq : 0));
            if (message.place)
                want += bytes_of(text.len, message.place, message.size);
        }
    assert_true(at == all->len && run_message_count(run) == at);
    const RunSegment *segment = run_segments(run, &segments);
    for (size_t i = 0; i < segments; i++)
        bytes += segment[i].bytes;
    assert_true(bytes == want);
    buf_done(&text);
}

static void check_subjects(const Run *run, const Knowns *all) {
    uint32_t ordinal, seen = 0;
    for (size_t i = 0; i < all->len; i++) {
        RunSubject subject, want = {0};
        Slice text = slice_of_text(all->at[i].subject);
        if (!text.len)
            continue;
        assert_true(run_find(run, text, &ordinal));
        run_subject(run, ordinal, &subject);
        for (size_t k = 0; k < all->len; k++)
            if (strcmp(all->at[k].subject, all->at[i].subject) == 0) {
                want.first = want.count++ ? want.first : all->at[k].seq;
                want.last = all->at[k].seq;
            }
        assert_memory_equal(&subject, &want, sizeof want);
    }
    assert_false(run_find(run, LIT("k"), &ordinal));
    assert_false(run_find(run, LIT("k.1.not"), &ordinal));

    RunScan scan;
    Slice text;
    char last[32] = "";
    run_scan_begin(&scan, run, (Slice){0});
    while (run_scan_next(&scan, &ordinal, &text)) {
        assert_int_equal(ordinal, seen++);
        char now[32];
        snprintf(now, sizeof now, "%.*s", SLICE_ARG(text));
        assert_true(strcmp(last, now) < 0);
        memcpy(last, now, sizeof last);
    }
    run_scan_done(&scan);
    assert_int_equal(seen, run_subject_count(run));
    uint32_t below = 0, known = 0;
    run_scan_begin(&scan, run, LIT("k.3."));
    while (run_scan_next(&scan, &ordinal, &text))
        below += slice_starts_with(text, LIT("k.3."));
    run_scan_done(&scan);
    run_scan_begin(&scan, run, (Slice){0});
    while (run_scan_next(&scan, &ordinal, &text))
        known += slice_starts_with(text, LIT("k.3."));
    run_scan_done(&scan);
    assert_int_equal(below, known);
    Buf common = {0};
    run_common_prefix(run, &common);
    assert_true(slice_starts_with(buf_slice(&common), LIT("k.")));
    run_scan_begin(&scan, run, buf_slice(&common));
    for (below = 0; run_scan_next(&scan, &ordinal, &text);)
        below++;
    run_scan_done(&scan);
    assert_int_equal(below, run_subject_count(run));
    buf_done(&common);
}

static Run *open_run(void) {
    Run *run;
    assert_int_equal(run_open(path, cipher, &run), OK);
    return run;
}

static void a_run_gives_back_what_was_written(void **state) {
    (void)state;
    Rand rand;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        rand_init(&rand, seed);
        Knowns all = make_messages(&rand, seed * 500, 100 + rand_below(&rand, 2000),
                                   1 + (unsigned)rand_below(&rand, 800));
        write_run(NULL, NULL, NULL, 0, &all);
        Run *run = open_run();
        check_messages(run, &all);
        check_subjects(run, &all);
        size_t count;
        assert_int_equal(run_dues(run, &count)->seq, 7);
        assert_int_equal(count, 1);
        run_free(run);
        vec_done(&all);
    }
}

/* Takes away at random, as the next run shall not have it: a third of the pages, and one message of
 * `share`; 0 = nothing. */
static void take_away(Rand *rand, const Run *base, uint64_t share, Knowns *all,
                      uint64_t (**out_has)[RUN_PAGE_WORDS]) {
    size_t pages;
    const RunPage *page = run_pages(base, &pages);
    uint64_t(*has)[RUN_PAGE_WORDS] = mem_alloc(pages * sizeof *has);
    for (size_t p = 0; p < pages; p++)
        memcpy(has[p], page[p].has, sizeof has[p]);
    size_t to = 0;
    for (size_t i = 0, p = 0; i < all->len; i++) {
        uint64_t number = all->at[i].seq / RUN_PAGE_SLOTS;
        unsigned bit = all->at[i].seq % RUN_PAGE_SLOTS;
        while (page[p].number < number)
            p++;
        if (share && (p % 3 == 1 || rand_below(rand, share) == 0))
            has[p][bit / 64] &= ~(1ull << (bit % 64));
        else
            all->at[to++] = all->at[i];
    }
    all->len = to;
    *out_has = has;
}

typedef struct Told {
    const Knowns *all;
    size_t at, wrong;
} Told;

static void tell(void *cookie, uint64_t seq, Place place) {
    Told *told = cookie;
    while (told->at < told->all->len && told->all->at[told->at].seq < seq)
        told->at++;
    if (told->at == told->all->len || told->all->at[told->at].seq != seq ||
        told->all->at[told->at].message.place != place)
        told->wrong++;
}

static void check_places(const Knowns *all) {
    Told told = {all, 0, 0};
    assert_true(run_read_places(path, tell, &told) == 0);
    assert_int_equal(told.wrong, 0);
}

static void a_merged_run_is_as_one_written_at_once(void **state) {
    (void)state;
    Rand rand;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        rand_init(&rand, seed);
        unsigned subjects = 1 + (unsigned)rand_below(&rand, seed % 2 ? 500 : 5000);
        size_t count = seed == 4 ? 4000 : 200 + rand_below(&rand, 1500);
        Knowns all = make_messages(&rand, 1, count, subjects);
        write_run(NULL, NULL, NULL, 0, &all);
        for (int generation = 0; generation < 4; generation++) {
            Run *base = open_run();
            uint64_t(*has)[RUN_PAGE_WORDS];
            uint64_t last = (all.at[all.len - 1].seq / RUN_PAGE_SLOTS + 1) * RUN_PAGE_SLOTS;
            take_away(&rand, base, generation == 1 ? 0 : 2 + 400 * rand_below(&rand, 2), &all,
                      &has);
            all.at[all.len / 2].message.size += 5000 * 1000; /* flags: the bytes stay */
            RunSize resized = {all.at[all.len / 2].seq, all.at[all.len / 2].message.size};
            Knowns added = make_messages(&rand, last, rand_below(&rand, 700), subjects + 50);
            write_run(base, (const void *)has, &resized, 1, &added);
            for (size_t i = 0; i < added.len; i++)
                vec_push(&all, added.at[i]);
            run_free(base);
            Run *merged = open_run();
            check_messages(merged, &all);
            check_subjects(merged, &all);
            run_free(merged);
            check_places(&all);
            vec_done(&added);
            mem_free(has);
        }
        vec_done(&all);
    }
}

static void a_run_without_messages_is_one(void **state) {
    (void)state;
    Knowns none = {0};
    uint32_t ordinal;
    write_run(NULL, NULL, NULL, 0, &none);
    Run *run = open_run();
    check_messages(run, &none);
    assert_false(run_find(run, LIT("a"), &ordinal));
    run_free(run);
}

/* Any flipped bit is found; the places are there all the same, unless they were hit. */
static void damage_is_found_and_the_places_survive(void **state) {
    (void)state;
    Rand rand;
    rand_init(&rand, 5);
    Knowns all = make_messages(&rand, 1, 3000, 400);
    write_run(NULL, NULL, NULL, 0, &all);
    char *text;
    size_t len;
    unsigned complete = 0, unseen = 0;
    assert_int_equal(disk_read_file(path, 1 << 24, &text, &len), OK);
    for (int round = 0; round < 400; round++) {
        size_t at = round < 100 ? (size_t)round * 4 : rand_below(&rand, len);
        char flip = (char)(1 << rand_below(&rand, 8));
        bool is_padding = at >= 224 && at < 4096;
        text[at] ^= flip;
        assert_int_equal(disk_write_file(path, slice_from(text, len), 0600), OK);
        Run *run = NULL;
        Status status = run_open(path, cipher, &run);
        bool is_found = status == ERR_CORRUPT || status == ERR_VERSION;
        if (!is_padding && !is_found) { /* in the places: everything else is whole */
            assert_int_equal(status, OK);
            check_messages(run, &all);
            unseen++;
        }
        run_free(run);
        Told told = {&all, 0, 0};
        uint64_t lost = run_read_places(path, tell, &told);
        assert_int_equal(told.wrong, 0);
        complete += !is_found || lost == 0 || (lost == UINT64_MAX && told.at + 1 >= all.len);
        text[at] ^= flip;
    }
    assert_int_equal(complete, 400);
    assert_in_range(unseen, 1, 100);
    for (size_t cut = 0; cut < len; cut += len / 50) {
        Run *run;
        assert_int_equal(disk_write_file(path, slice_from(text, cut), 0600), OK);
        assert_int_equal(run_open(path, cipher, &run), ERR_CORRUPT);
    }
    mem_free(text);
    vec_done(&all);
}

static void an_encrypted_run_needs_its_key(void **state) {
    (void)state;
    if (cipher == NULL)
        return;
    Rand rand;
    Run *run;
    Cipher *other;
    char *text;
    size_t len;
    rand_init(&rand, 1);
    Knowns all = make_messages(&rand, 1, 2000, 900);
    write_run(NULL, NULL, NULL, 0, &all);
    assert_int_equal(cipher_new(CIPHER_AES, &other), OK);
    assert_int_equal(run_open(path, NULL, &run), ERR_DENIED);
    assert_int_equal(run_open(path, other, &run), ERR_DENIED);
    cipher_free(other);
    assert_int_equal(disk_read_file(path, 1 << 30, &text, &len), OK);
    assert_true(slice_find_slice(slice_from(text, len), LIT("k.1.")) == len);
    mem_free(text);
    vec_done(&all);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_run_gives_back_what_was_written), TEST(a_merged_run_is_as_one_written_at_once),
        TEST(a_run_without_messages_is_one),     TEST(damage_is_found_and_the_places_survive),
        TEST(an_encrypted_run_needs_its_key),
    };
    int failed = cmocka_run_group_tests_name("plain", tests, NULL, NULL);
    for (CipherKind kind = CIPHER_AES; kind <= CIPHER_CHACHA; kind++) {
        if (cipher_new(kind, &cipher) != OK)
            return 1;
        failed += cmocka_run_group_tests_name("encrypted", tests, NULL, NULL);
        cipher_free(cipher);
    }
    return failed;
}
