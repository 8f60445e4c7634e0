#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "stream/api_rig.h"
#include "stream/copy_positions.h"

/* Mirrors and sources, end to end over the bus, the log and restarts. */

#define API "$JS.API."

static void make(const char *name, const char *more) {
    char subject[64], config[512];
    (void)snprintf(subject, sizeof subject, API "STREAM.CREATE.%s", name);
    (void)snprintf(config, sizeof config, "{\"name\":\"%s\"%s}", name, more);
    assert_non_null(strstr(rig_ask(subject, config), "\"did_create\":true"));
}

static void put(const char *subject, const char *headers, const char *value) {
    assert_non_null(strstr(rig_ask_with(subject, headers, value), "\"seq\":"));
}

/* Steps until the stream's info says so. */
static void await(const char *name, const char *part) {
    char subject[64];
    const char *got = "";
    (void)snprintf(subject, sizeof subject, API "STREAM.INFO.%s", name);
    for (unsigned i = 0; i < 2000; i++) {
        got = rig_ask(subject, "");
        if (strstr(got, part))
            return;
        rig_step(4);
    }
    assert_string_equal(got, part);
}

static const char *get(const char *name, unsigned seq) {
    char subject[64], body[32];
    (void)snprintf(subject, sizeof subject, API "DIRECT.GET.%s", name);
    (void)snprintf(body, sizeof body, "{\"seq\":%u}", seq);
    return rig_ask(subject, body);
}

#define ORIGIN ",\"subjects\":[\"o.>\"],\"allow_direct\":true"
#define DIRECT ",\"allow_direct\":true"

static void three_messages(void) {
    make("O", ORIGIN);
    put("o.a", "NATS/1.0\r\nNats-Expected-Stream: O\r\nKept: 1\r\n\r\n", "one");
    put("o.b", "", "two");
    put("o.a", "", "three");
}

static void a_mirror_has_sequence_time_and_bytes_of_its_origin(void **state) {
    (void)state;
    three_messages();
    make("M", DIRECT ",\"mirror\":{\"name\":\"O\"}");
    await("M", "\"messages\":3");
    assert_string_equal(get("M", 1), "NATS/1.0|Kept: 1|Nats-Stream: M|Nats-Subject: o.a|"
                                     "Nats-Sequence: 1|Nats-Time-Stamp: T||one");
    assert_string_equal(get("M", 3), "NATS/1.0|Nats-Stream: M|Nats-Subject: o.a|Nats-Sequence: 3|"
                                     "Nats-Time-Stamp: T||three");
    put("o.c", "", "later");
    await("M", "\"last_seq\":4");
}

static void sources_say_where_a_message_is_from(void **state) {
    (void)state;
    three_messages();
    make("S", DIRECT ",\"sources\":[{\"name\":\"O\",\"subject_transforms\":[{\"src\":\"o.a\","
                     "\"dest\":\"n.a\"}]},{\"name\":\"O\",\"filter_subject\":\"o.b\"}]");
    await("S", "\"messages\":3");
    unsigned transformed = 0;
    for (unsigned seq = 1; seq <= 3; seq++) {
        const char *got = get("S", seq);
        transformed += strstr(got, "Nats-Stream-Source: O 1 o.a n.a o.a ") != NULL;
        transformed += strstr(got, "Nats-Stream-Source: O 3 o.a n.a o.a ") != NULL;
        transformed += strstr(got, "Nats-Stream-Source: O 2 o.b > o.b ") != NULL;
    }
    assert_int_equal(transformed, 3);
}

static void a_restart_copies_nothing_twice_and_leaves_nothing_out(void **state) {
    (void)state;
    three_messages();
    make("M", DIRECT ",\"mirror\":{\"name\":\"O\"}");
    make("S", DIRECT ",\"sources\":[{\"name\":\"O\"}]");
    await("M", "\"messages\":3");
    await("S", "\"messages\":3");
    rig_close();
    rig_open();
    put("o.d", "", "four");
    await("M", "\"messages\":4");
    await("S", "\"messages\":4");
    assert_string_equal(get("M", 4), "NATS/1.0|Nats-Stream: M|Nats-Subject: o.d|Nats-Sequence: 4|"
                                     "Nats-Time-Stamp: T||four");
    assert_non_null(strstr(get("S", 4), "Nats-Stream-Source: O 4 > > o.d "));
    assert_non_null(strstr(get("S", 3), "||three"));
}

static void a_promoted_mirror_goes_on_by_itself(void **state) {
    (void)state;
    three_messages();
    make("M", ",\"mirror\":{\"name\":\"O\"}");
    await("M", "\"messages\":3");
    rig_ask(API "STREAM.UPDATE.M", "{\"name\":\"M\",\"subjects\":[\"m.>\"]}");
    assert_string_equal(rig_ask("m.x", "mine"), "{\"stream\":\"M\",\"seq\":4}");
    put("o.a", "", "not copied");
    rig_step(50);
    await("M", "\"messages\":4");
}

static void a_work_queue_is_emptied_by_its_mirror(void **state) {
    (void)state;
    make("W", ",\"subjects\":[\"w.>\"],\"retention\":\"workqueue\"");
    put("w.a", "", "1");
    put("w.a", "", "2");
    make("M", ",\"mirror\":{\"name\":\"W\"}");
    await("M", "\"messages\":2");
    assert_non_null(strstr(rig_ask(API "CONSUMER.NAMES.W", ""), "JS_MIRROR_"));
}

static void a_mirror_answers_for_an_origin_that_is_gone(void **state) {
    (void)state;
    three_messages();
    make("M", ",\"mirror\":{\"name\":\"O\"}");
    await("M", "\"messages\":3");
    rig_ask(API "STREAM.DELETE.O", "");
    assert_string_equal(get("O", 2), "NATS/1.0|Nats-Stream: M|Nats-Subject: o.b|Nats-Sequence: 2|"
                                     "Nats-Time-Stamp: T||two");
}

static void a_full_stream_takes_up_where_it_stopped(void **state) {
    (void)state;
    three_messages();
    make("F", DIRECT ",\"discard\":\"new\",\"max_msgs\":2,\"sources\":[{\"name\":\"O\"}]");
    await("F", "\"messages\":2");
    rig_step(50);
    await("F", "\"last_seq\":2");
    rig_ask(API "STREAM.PURGE.F", "{\"keep\":1}");
    rig_close(); /* a new start does not wait for the next try */
    rig_open();
    await("F", "\"last_seq\":3");
    assert_non_null(strstr(get("F", 3), "Nats-Stream-Source: O 3 > > o.a "));
}

static void another_incarnation_of_the_origin_is_refused(void **state) {
    (void)state;
    three_messages();
    const char *got = rig_ask_with(
        API "CONSUMER.CREATE.O", "NATS/1.0\r\nNats-Stream-Identity: WRONGxxx\r\n\r\n",
        "{\"stream_name\":\"O\",\"config\":{\"name\":\"JS_SRC_x\",\"deliver_subject\":\"$JS.S.x\","
        "\"direct\":true,\"sourcing\":true,\"ack_policy\":\"none\"}}");
    assert_non_null(strstr(got, "\"err_code\":10225"));
}

/* Whoever answers for the origin says a name, and whom to ask: both become subjects. */
static void what_an_origin_says_is_no_other_subject(void **state) {
    (void)state;
    const char *reply = NULL;
    rig_subscribe("ext.>");
    make("M",
         ",\"mirror\":{\"name\":\"O\",\"external\":{\"api\":\"ext.API\",\"deliver\":\"ext.d\"}}");
    for (size_t i = 0; i < rig.got_count; i++)
        if (strstr(rig.got[i].subject, "CONSUMER.CREATE"))
            reply = rig.got[i].reply;
    assert_non_null(reply);
    rig_tell(reply, "",
             "{\"name\":\"n 1 2\\r\\nMSG x\",\"config\":{\"ack_policy\":\"none\"},\"delivered\":"
             "{\"consumer_seq\":0}}");
    rig_step(4);
    size_t before = rig.got_count;
    rig_ask(API "STREAM.DELETE.M", "");
    rig_step(4);
    for (size_t i = before; i < rig.got_count; i++)
        assert_null(strchr(rig.got[i].subject, ' '));
}

static void positions_come_back_as_they_were_saved(void **state) {
    (void)state;
    CopyPositions positions = {0}, loaded = {0};
    Buf saved = {0};
    for (uint64_t i = 0; i < COPY_POSITIONS_MAX + 3; i++) {
        CopyEntry entry = {.key = ~i, .seq = i * i, .identity = "abcdefgh"};
        copy_positions_set(&positions, &entry);
    }
    assert_null(copy_positions_find(&positions, ~(uint64_t)2));
    copy_positions_save(&positions, &saved);
    assert_int_equal(copy_positions_load(&loaded, buf_slice(&saved)), OK);
    assert_int_equal(loaded.len, COPY_POSITIONS_MAX);
    assert_int_equal(copy_positions_find(&loaded, ~(uint64_t)9)->seq, 81);
    assert_memory_equal(copy_positions_find(&loaded, ~(uint64_t)9)->identity, "abcdefgh", 8);
    for (size_t cut = 0; cut < 40; cut++)
        assert_int_equal(copy_positions_load(&loaded, slice_first(buf_slice(&saved), cut)),
                         ERR_CORRUPT);
    copy_positions_done(&positions);
    copy_positions_done(&loaded);
    buf_done(&saved);
}

#define RIG_TEST(name) cmocka_unit_test_setup_teardown(name, rig_setup, rig_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        RIG_TEST(a_mirror_has_sequence_time_and_bytes_of_its_origin),
        RIG_TEST(sources_say_where_a_message_is_from),
        RIG_TEST(a_restart_copies_nothing_twice_and_leaves_nothing_out),
        RIG_TEST(a_promoted_mirror_goes_on_by_itself),
        RIG_TEST(a_work_queue_is_emptied_by_its_mirror),
        RIG_TEST(a_mirror_answers_for_an_origin_that_is_gone),
        RIG_TEST(what_an_origin_says_is_no_other_subject),
        RIG_TEST(a_full_stream_takes_up_where_it_stopped),
        RIG_TEST(another_incarnation_of_the_origin_is_refused),
        cmocka_unit_test(positions_come_back_as_they_were_saved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
