#include "bus/interest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/rand.h"
#include "proto/subject.h"

enum { SUBS_MAX = 400, REMOTES_MAX = 200, WORKERS = 3, TEXT = 24 };

typedef struct RemoteModel {
    char subject[TEXT], queue[4];
    unsigned worker;
    int64_t count;
} RemoteModel;

typedef struct Model {
    Interest interest;
    Busy busy;
    Rand rand;
    Sub *subs[SUBS_MAX];
    size_t sub_count;
    RemoteModel remotes[REMOTES_MAX];
    size_t remote_count;
    uint32_t next_cookie;
} Model;

static Sub *make_sub(const char *subject, const char *queue, uint32_t cookie) {
    size_t subject_len = strlen(subject), queue_len = strlen(queue);
    Sub *sub = mem_zalloc(sizeof *sub + subject_len + queue_len);
    sub->subject_len = (uint16_t)subject_len;
    sub->queue_len = (uint16_t)queue_len;
    sub->cookie = (uint16_t)cookie;
    memcpy(sub->text, subject, subject_len);
    memcpy(sub->text + subject_len, queue, queue_len);
    return sub;
}

static void random_subject(Rand *rand, char *out, bool with_wildcards) {
    static const char *tokens[] = {"a", "b", "c", "dd"};
    size_t count = 1 + rand_below(rand, 4), len = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t kind = with_wildcards ? rand_below(rand, 8) : 0;
        const char *token = kind == 7                     ? "*"
                            : kind == 6 && i + 1 == count ? ">"
                                                          : tokens[rand_below(rand, 4)];
        len += (size_t)snprintf(out + len, TEXT - len, "%s%s", i ? "." : "", token);
    }
}

static const char *random_queue(Rand *rand) {
    static const char *queues[] = {"", "", "q", "r"};
    return queues[rand_below(rand, 4)];
}

static void add(Model *model) {
    char subject[TEXT];
    if (model->sub_count == SUBS_MAX)
        return;
    random_subject(&model->rand, subject, rand_below(&model->rand, 2) == 0);
    Sub *sub = make_sub(subject, random_queue(&model->rand), ++model->next_cookie);
    interest_add(&model->interest, sub);
    model->subs[model->sub_count++] = sub;
}

static void remove_one(Model *model) {
    if (model->sub_count == 0)
        return;
    size_t i = rand_below(&model->rand, model->sub_count);
    interest_remove(&model->interest, model->subs[i]);
    model->subs[i] = model->subs[--model->sub_count];
}

static void change_remote(Model *model) {
    if (model->busy.depth)
        return;
    if (model->remote_count && rand_below(&model->rand, 2)) {
        size_t i = rand_below(&model->rand, model->remote_count);
        RemoteModel *remote = &model->remotes[i];
        int64_t delta = rand_below(&model->rand, 3) ? -1 : 1;
        interest_change_remote(&model->interest, slice_of_text(remote->subject),
                               slice_of_text(remote->queue), remote->worker, delta);
        remote->count += delta;
        if (remote->count == 0)
            *remote = model->remotes[--model->remote_count];
        return;
    }
    if (model->remote_count == REMOTES_MAX)
        return;
    RemoteModel new = {.worker = (unsigned)rand_below(&model->rand, WORKERS), .count = 1};
    random_subject(&model->rand, new.subject, rand_below(&model->rand, 2) == 0);
    (void)snprintf(new.queue, sizeof new.queue, "%s", random_queue(&model->rand));
    interest_change_remote(&model->interest, slice_of_text(new.subject), slice_of_text(new.queue),
                           new.worker, 1);
    for (size_t i = 0; i < model->remote_count; i++) {
        RemoteModel *old = &model->remotes[i];
        if (old->worker == new.worker && !strcmp(old->subject, new.subject) &&
            !strcmp(old->queue, new.queue)) {
            old->count++;
            return;
        }
    }
    model->remotes[model->remote_count++] = new;
}

typedef struct Sums {
    uint64_t count, cookies, squares;
} Sums;

static void sum_sub(void *cookie, Sub *sub) {
    Sums *sums = cookie;
    sums->count++;
    sums->cookies += sub->cookie;
    sums->squares += (uint64_t)sub->cookie * sub->cookie;
}

static void sum_remote(Ref ref, uint64_t plain[WORKERS], uint64_t queued[WORKERS]) {
    if (ref_kind(ref) == REF_REMOTE) {
        const Remote *remote = ref_ptr(ref);
        (remote->queue_len ? queued : plain)[remote->worker] += remote->count;
    } else if (ref_kind(ref) == REF_LEAF) {
        const Leaf *leaf = ref_ptr(ref);
        for (uint32_t i = 0; i < leaf->remote.len; i++)
            plain[leaf->remote.at[i].worker] += leaf->remote.at[i].count;
        for (uint32_t i = 0; i < leaf->group_count; i++)
            for (uint32_t k = 0; k < leaf->groups[i]->remote.len; k++)
                queued[leaf->groups[i]->remote.at[k].worker] += leaf->groups[i]->remote.at[k].count;
    }
}

/* One subject is asked for again and again, whatever changes meanwhile. */
static void check_match(Model *model) {
    char text[TEXT] = "a.b";
    if (rand_below(&model->rand, 3) == 0)
        random_subject(&model->rand, text, false);
    Slice subject = slice_of_text(text);
    Sums want = {0}, got = {0};
    uint64_t want_plain[WORKERS] = {0}, want_queued[WORKERS] = {0}, plain[WORKERS] = {0},
             queued[WORKERS] = {0};
    for (size_t i = 0; i < model->sub_count; i++)
        if (subject_matches(sub_subject(model->subs[i]), subject))
            sum_sub(&want, model->subs[i]);
    for (size_t i = 0; i < model->remote_count; i++) {
        const RemoteModel *remote = &model->remotes[i];
        if (subject_matches(slice_of_text(remote->subject), subject))
            (remote->queue[0] ? want_queued : want_plain)[remote->worker] +=
                (uint64_t)remote->count;
    }
    Matched matched;
    interest_match(&model->interest, subject, &matched);
    for (size_t i = 0; i < matched.len; i++) {
        ref_each_sub(matched.at[i], sum_sub, &got);
        sum_remote(matched.at[i], plain, queued);
    }
    matched_done(&matched);
    assert_int_equal(got.count, want.count);
    assert_int_equal(got.cookies, want.cookies);
    assert_int_equal(got.squares, want.squares);
    assert_memory_equal(plain, want_plain, sizeof plain);
    assert_memory_equal(queued, want_queued, sizeof queued);
}

static void check_exact(Model *model) {
    char text[TEXT];
    random_subject(&model->rand, text, true);
    const char *queue = random_queue(&model->rand);
    uint64_t want = 0;
    for (size_t i = 0; i < model->sub_count; i++)
        want += slice_equal(sub_subject(model->subs[i]), slice_of_text(text)) &&
                slice_equal(sub_queue(model->subs[i]), slice_of_text(queue));
    for (size_t i = 0; i < model->remote_count; i++)
        if (!strcmp(model->remotes[i].subject, text) && !strcmp(model->remotes[i].queue, queue))
            want += (uint64_t)model->remotes[i].count;
    assert_int_equal(interest_count(&model->interest, slice_of_text(text), slice_of_text(queue)),
                     want);
}

static void check_all(Model *model) {
    Sums want = {0}, got = {0};
    for (size_t i = 0; i < model->sub_count; i++)
        sum_sub(&want, model->subs[i]);
    interest_each(&model->interest, sum_sub, &got);
    assert_memory_equal(&want, &got, sizeof want);
}

static void any_sequence_of_changes_matches_like_a_plain_list(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        Model *model = mem_zalloc(sizeof *model);
        rand_init(&model->rand, seed);
        interest_init(&model->interest, &model->busy);
        size_t sub_goal = 0;
        for (int i = 0; i < 6000; i++) {
            if (i % 500 == 0)
                sub_goal = rand_below(&model->rand, SUBS_MAX);
            switch (rand_below(&model->rand, 8)) {
            case 0:
            case 1:
            case 2:
                if (model->sub_count < sub_goal)
                    add(model);
                else
                    remove_one(model);
                break;
            case 3:
                change_remote(model);
                break;
            case 4: /* a fan-out begins or ends */
                if (model->busy.depth == 0) {
                    model->busy.depth = 1;
                } else {
                    model->busy.depth = 0;
                    busy_settle(&model->busy);
                }
                break;
            case 5:
                check_exact(model);
                break;
            default:
                check_match(model);
            }
            if (i % 500 == 499)
                check_all(model);
        }
        model->busy.depth = 0;
        busy_settle(&model->busy);
        while (model->sub_count)
            remove_one(model);
        while (model->remote_count) {
            RemoteModel *remote = &model->remotes[--model->remote_count];
            interest_change_remote(&model->interest, slice_of_text(remote->subject),
                                   slice_of_text(remote->queue), remote->worker, -remote->count);
        }
        assert_int_equal(model->interest.literals.len, 0);
        assert_int_equal(model->interest.edges.len, 0);
        assert_int_equal(model->interest.pattern_count, 0);
        assert_null(model->interest.root->star);
        interest_done(&model->interest);
        busy_done(&model->busy);
        mem_free(model);
    }
}

static size_t count_matches(Interest *interest, const char *subject) {
    Matched matched;
    interest_match(interest, slice_of_text(subject), &matched);
    size_t count = matched.len;
    matched_done(&matched);
    return count;
}

static void subjects_with_empty_tokens_match_nothing(void **state) {
    (void)state;
    Busy busy = {0};
    Interest interest;
    interest_init(&interest, &busy);
    interest_add(&interest, make_sub(">", "", 1));
    interest_add(&interest, make_sub("a.>", "", 2));
    interest_add(&interest, make_sub("a.*.*", "", 3));
    static const struct {
        const char *subject;
        size_t want;
    } cases[] = {{"a.b.c", 3}, {"a", 1},  {"a.b", 2}, {"a..c", 0},
                 {".a", 0},    {"a.", 0}, {"", 0},    {"a.*.b", 3}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(count_matches(&interest, cases[i].subject), cases[i].want);
    interest_done(&interest);
}

static void a_subject_asked_for_again_sees_every_change(void **state) {
    (void)state;
    Busy busy = {0};
    Interest interest;
    interest_init(&interest, &busy);
    for (int with_patterns = 0; with_patterns < 2; with_patterns++) {
        size_t others = 0;
        if (with_patterns)
            interest_add(&interest, make_sub("x.>", "", 1));
        for (int round = 0; round < 3; round++) {
            for (int i = 0; i < 4; i++)
                assert_int_equal(count_matches(&interest, "a.b"), others);
            Sub *literal = make_sub("a.b", "", 2);
            interest_add(&interest, literal);
            for (int i = 0; i < 4; i++)
                assert_int_equal(count_matches(&interest, "a.b"), others + 1);
            assert_int_equal(count_matches(&interest, "a.c"), others);
            interest_remove(&interest, literal);
            for (int i = 0; i < 4; i++)
                assert_int_equal(count_matches(&interest, "a.b"), others);
            if (with_patterns && round == 1) {
                interest_add(&interest, make_sub("a.*", "", 3));
                others++;
            }
        }
    }
    interest_done(&interest);
}

static void one_time_subjects_do_not_enter_the_cache_and_hot_ones_stay(void **state) {
    (void)state;
    Busy busy = {0};
    Interest interest;
    char subject[64];
    interest_init(&interest, &busy);
    interest_add(&interest, make_sub("_INBOX.abcdefghijklmnopqrstuv.*", "", 1));
    interest_add(&interest, make_sub("hot.*", "", 2));
    for (int i = 0; i < 200000; i++) {
        (void)snprintf(subject, sizeof subject, "_INBOX.abcdefghijklmnopqrstuv.%d", i);
        assert_int_equal(count_matches(&interest, subject), 1);
        (void)snprintf(subject, sizeof subject, "hot.%d", i % 100);
        assert_int_equal(count_matches(&interest, subject), 1);
    }
    assert_in_range(interest.cache.entry_count, 100, 1000);
    assert_true(interest.cache_hits > 200000 - 2000);

    /* Unrelated patterns leave entries valid, but for the few that share a generation by chance. */
    uint64_t hits = interest.cache_hits;
    for (uint32_t i = 0; i < 100; i++) {
        (void)snprintf(subject, sizeof subject, "other%u.*", i);
        interest_add(&interest, make_sub(subject, "", 3 + i));
        assert_int_equal(count_matches(&interest, "hot.1"), 1);
    }
    assert_true(interest.cache_hits > hits + 80);
    for (int i = 0; i < 3; i++)
        assert_int_equal(count_matches(&interest, "hot.1"), 1);
    hits = interest.cache_hits; /* a related one does not */
    interest_add(&interest, make_sub("hot.>", "", 4));
    assert_int_equal(count_matches(&interest, "hot.1"), 2);
    assert_int_equal(interest.cache_hits, hits);
    interest_add(&interest, make_sub("*.1", "", 5));
    assert_int_equal(count_matches(&interest, "hot.1"), 3);
    assert_int_equal(count_matches(&interest, "hot.1"), 3);
    assert_int_equal(interest.cache_hits, hits + 1);
    interest_done(&interest);
}

static void the_cache_is_bounded(void **state) {
    (void)state;
    Busy busy = {0};
    Interest interest;
    char subject[64];
    interest_init(&interest, &busy);
    interest_add(&interest, make_sub("x.a.b.c.d.*", "", 1));
    for (int i = 0; i < 60000; i++) {
        (void)snprintf(subject, sizeof subject, "x.a.b.c.d.%d", i);
        assert_int_equal(count_matches(&interest, subject), 1);
        assert_int_equal(count_matches(&interest, subject), 1);
        assert_int_equal(count_matches(&interest, subject), 1);
    }
    assert_in_range(interest.cache.entry_count, 8000, 16384);
    interest_done(&interest);
}

static void subjects_whose_match_is_cheap_enter_only_a_small_cache(void **state) {
    (void)state;
    Busy busy = {0};
    Interest interest;
    char subject[64];
    interest_init(&interest, &busy);
    interest_add(&interest, make_sub("x.>", "", 1));
    for (int i = 0; i < 20000; i++) {
        (void)snprintf(subject, sizeof subject, "x.a.b.c.d.e.%d", i);
        for (int k = 0; k < 3; k++)
            assert_int_equal(count_matches(&interest, subject), 1);
    }
    assert_in_range(interest.cache.entry_count, 500, 1024);
    interest_done(&interest);
}

static void an_empty_token_is_found_wherever_it_is(void **state) {
    (void)state;
    Busy busy = {0};
    Interest interest;
    char subject[64];
    interest_init(&interest, &busy);
    interest_add(&interest, make_sub(">", "", 1));
    for (int len = 1; len < 60; len++) {
        for (int i = 0; i < len; i++)
            subject[i] = i % 2 && i + 1 < len ? '.' : 'a';
        subject[len] = 0;
        assert_int_equal(count_matches(&interest, subject), 1);
        for (int at = 0; at < len; at += 2) { /* two points beside each other, or at an end */
            subject[at] = '.';
            assert_int_equal(count_matches(&interest, subject), 0);
            subject[at] = 'a';
        }
    }
    interest_done(&interest);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_sequence_of_changes_matches_like_a_plain_list),
        cmocka_unit_test(subjects_with_empty_tokens_match_nothing),
        cmocka_unit_test(a_subject_asked_for_again_sees_every_change),
        cmocka_unit_test(an_empty_token_is_found_wherever_it_is),
        cmocka_unit_test(one_time_subjects_do_not_enter_the_cache_and_hot_ones_stay),
        cmocka_unit_test(the_cache_is_bounded),
        cmocka_unit_test(subjects_whose_match_is_cheap_enter_only_a_small_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
