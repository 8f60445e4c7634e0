#include "stream/direct_queue.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "stream/api_rig.h"

/* More in one turn than are answered together, of streams in memory and on disk. */
enum { KEYS = 40, ASKED = DIRECT_QUEUE_MAX * 2 + 5, STREAMS = 2 };

static const char names[STREAMS] = {'a', 'b'};

static void make_streams(void) {
    char subject[64], body[256];
    for (int s = 0; s < STREAMS; s++) {
        (void)snprintf(subject, sizeof subject, "$JS.API.STREAM.CREATE.KV_%c", names[s]);
        (void)snprintf(body, sizeof body,
                       "{\"name\":\"KV_%c\",\"subjects\":[\"$KV.%c.>\"],\"storage\":\"%s\","
                       "\"max_msgs_per_subject\":1,\"allow_direct\":true}",
                       names[s], names[s], s ? "file" : "memory");
        assert_non_null(strstr(rig_ask(subject, body), "\"did_create\":true"));
        for (int round = 0; round < 2; round++)
            for (int k = 0; k < KEYS; k++) {
                (void)snprintf(subject, sizeof subject, "$KV.%c.key%d", names[s], k);
                (void)snprintf(body, sizeof body, "%c%d of round %d", names[s], k, round);
                assert_non_null(strstr(rig_ask(subject, body), "\"seq\":"));
            }
    }
}

static void ask(int i, const char *stream, const char *key, const char *body) {
    char subject[96], reply[32];
    (void)snprintf(subject, sizeof subject, "$JS.API.DIRECT.GET.%s.%s", stream, key);
    (void)snprintf(reply, sizeof reply, "_INBOX.%d", i);
    rig_tell(subject, reply, body);
}

/* The answer to the i-th, which may come after later ones. */
static void gather(char (*answers)[256], int count) {
    for (int i = 0; i < count; i++) {
        const char *got = rig_next();
        int which = -1;
        assert_int_equal(sscanf(got, "_INBOX.%d", &which), 1);
        assert_true(which >= 0 && which < count);
        assert_int_equal(answers[which][0], '\0');
        (void)snprintf(answers[which], 256, "%s", strchr(got, ' ') + 1);
    }
}

static void each_gets_its_own_however_many_ask_in_a_turn(void **state) {
    (void)state;
    static char answers[ASKED][256];
    char stream[16], key[32], want[64];
    memset(answers, 0, sizeof answers);
    make_streams();
    for (int i = 0; i < ASKED; i++) {
        char name = names[i / 5 % STREAMS];
        (void)snprintf(stream, sizeof stream, "KV_%c", name);
        (void)snprintf(key, sizeof key, "$KV.%c.key%d", name, i % KEYS);
        ask(i, stream, key, "");
    }
    gather(answers, ASKED);
    for (int i = 0; i < ASKED; i++) {
        char name = names[i / 5 % STREAMS];
        (void)snprintf(want, sizeof want, "Nats-Subject: $KV.%c.key%d|", name, i % KEYS);
        assert_non_null(strstr(answers[i], want));
        (void)snprintf(want, sizeof want, "|%c%d of round 1", name, i % KEYS);
        assert_string_equal(answers[i] + strlen(answers[i]) - strlen(want), want);
    }
}

static void what_is_not_there_is_told_among_others(void **state) {
    (void)state;
    static const struct {
        const char *stream, *key, *body, *want;
    } cases[] = {
        {"KV_b", "$KV.b.key1", "", "b1 of round 1"},
        {"KV_b", "$KV.b.none", "", "NATS/1.0 404 Message Not Found"},
        {"KV_z", "$KV.z.key1", "", "NATS/1.0 503"},
        {"KV_b", "$KV.b.key2", "", "b2 of round 1"},
        {"closed", "closed.1", "", "NATS/1.0 503"},
        {"KV_b", "$KV.b.key3", "{\"no_hdr\":true}", "b3 of round 1"},
        {"KV_b", "$KV.b.*", "", "b39 of round 1"},
        {"KV_b", "$KV.b.gone", "", "NATS/1.0 404 Message Not Found"},
        {"KV_b", "$KV.b.key4", "", "b4 of round 1"},
        {"KV_a", "$KV.a.key5", "", "a5 of round 1"},
        {"KV_b", "$KV.b.key5", "x", "NATS/1.0 408 Malformed Request"},
        {"KV_b", "$KV.b.key6", "", "b6 of round 1"},
    };
    enum { CASES = sizeof cases / sizeof cases[0] };
    static char answers[CASES][256];
    memset(answers, 0, sizeof answers);
    make_streams();
    assert_non_null(strstr(rig_ask("$JS.API.STREAM.CREATE.closed",
                                   "{\"name\":\"closed\",\"subjects\":[\"closed.*\"]}"),
                           "\"did_create\":true"));
    assert_non_null(strstr(rig_ask("closed.1", "never told"), "\"seq\":1"));
    assert_non_null(strstr(rig_ask("$KV.b.gone", "soon"), "\"seq\":81"));
    assert_non_null(strstr(rig_ask("$JS.API.STREAM.MSG.DELETE.KV_b", "{\"seq\":81}"), "true"));
    for (int i = 0; i < CASES; i++)
        ask(i, cases[i].stream, cases[i].key, cases[i].body);
    gather(answers, CASES);
    for (int i = 0; i < CASES; i++)
        if (strstr(answers[i], cases[i].want) == NULL)
            assert_string_equal(answers[i], cases[i].want);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_gets_its_own_however_many_ask_in_a_turn, rig_setup,
                                        rig_teardown),
        cmocka_unit_test_setup_teardown(what_is_not_there_is_told_among_others, rig_setup,
                                        rig_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
