#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"
#include "bus/bus.h"

typedef struct Sink {
    Port port;
    unsigned total, by_first[256];
    char last[64];
} Sink;

static void on_deliver(Port *port, Sub *sub, const Message *message) {
    (void)sub;
    Sink *sink = (Sink *)port;
    sink->total++;
    sink->by_first[(unsigned char)message->subject.ptr[0]]++;
    (void)snprintf(sink->last, sizeof sink->last, "%.*s", SLICE_ARG(message->subject));
}

static const PortOps client_ops = {.kind = PORT_CLIENT, .deliver = on_deliver};
static const PortOps system_ops = {.kind = PORT_SYSTEM, .deliver = on_deliver};

typedef struct Fixture {
    Worker **all;
    Bus *bus;
    Account *account;
    Sink client, system;
} Fixture;

static int setup(void **state) {
    static const Slice names[] = {{"$G", 2}, {"$SYS", 4}};
    Fixture *fixture = mem_zalloc(sizeof *fixture);
    assert_int_equal(workers_new(1, &fixture->all), OK);
    rand_init(&fixture->all[0]->rand, 5);
    fixture->bus = bus_new(fixture->all[0], names, 2);
    fixture->account = bus_account(fixture->bus, 0);
    fixture->client.port = (Port){.ops = &client_ops, .home = fixture->all[0]};
    fixture->system.port = (Port){.ops = &system_ops, .home = fixture->all[0]};
    (void)sub_add(fixture->account, &fixture->client.port, LIT(">"), (Slice){0}, LIT("1"), false);
    *state = fixture;
    return 0;
}

static int teardown(void **state) {
    Fixture *fixture = *state;
    bus_free(fixture->bus);
    workers_free(fixture->all);
    mem_free(fixture);
    return 0;
}

static void publish(Fixture *fixture, Sink *from, const char *subject, unsigned flags) {
    Slice to = slice_of_text(subject);
    Message message = {.subject = to};
    assert_int_equal(bus_publish(fixture->account, to, &message, from ? &from->port : NULL, flags),
                     1);
}

static Mapping *map_to(const char *from, const char *dest, unsigned weight) {
    Mapping *mapping = NULL;
    MappingDest to = {slice_of_text(dest), weight};
    assert_int_equal(mapping_new(slice_of_text(from), &to, 1, NULL, &mapping), OK);
    return mapping;
}

static void only_what_clients_publish_is_mapped(void **state) {
    Fixture *fixture = *state;
    Mapping *mappings[] = {map_to("a.*", "w.$1", 100), map_to("a.x", "literal", 100)};
    account_set_mappings(fixture->account, mappings, 2);
    static const struct {
        const char *subject, *want;
        int from; /* 0 client, 1 system, 2 nobody */
        unsigned flags;
    } cases[] = {
        {"a.b", "w.b", 0, 0},     {"a.x", "literal", 0, 0}, {"c", "c", 0, 0},
        {"a.b", "a.b", 1, 0},     {"a.b", "a.b", 2, 0},     {"a.b", "a.b", 0, BUS_NO_MAPPINGS},
        {"a.b.c", "a.b.c", 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Sink *from = cases[i].from == 0   ? &fixture->client
                     : cases[i].from == 1 ? &fixture->system
                                          : NULL;
        publish(fixture, from, cases[i].subject, cases[i].flags);
        assert_string_equal(fixture->client.last, cases[i].want);
    }
    account_set_mappings(fixture->account, NULL, 0);
    publish(fixture, &fixture->client, "a.b", 0);
    assert_string_equal(fixture->client.last, "a.b");
}

static void shares_follow_their_weights_and_the_rest_keeps_its_subject(void **state) {
    Fixture *fixture = *state;
    static const MappingDest dests[] = {{{"x", 1}, 50}, {{"y", 1}, 20}};
    Mapping *mapping = NULL;
    assert_int_equal(mapping_new(LIT("orig"), dests, 2, NULL, &mapping), OK);
    account_set_mappings(fixture->account, &mapping, 1);
    for (int i = 0; i < 10000; i++)
        publish(fixture, &fixture->client, "orig", 0);
    assert_in_range(fixture->client.by_first['x'], 4700, 5300);
    assert_in_range(fixture->client.by_first['y'], 1800, 2200);
    assert_in_range(fixture->client.by_first['o'], 2700, 3300);
}

static void bad_mappings_are_refused_with_the_servers_text(void **state) {
    (void)state;
    static const struct {
        const char *from;
        MappingDest dests[2];
        size_t count;
        const char *want;
    } cases[] = {
        {"foo", {{{"a", 1}, 60}, {{"b", 1}, 50}}, 2, "total weight needs to be <= 100"},
        {"foo", {{{"a", 1}, 50}, {{"a", 1}, 20}}, 2, "duplicate entry for \"a\""},
        {"foo..x", {{{"a", 1}, 50}}, 1, "invalid subject"},
        {"foo.*",
         {{{"a.$2", 4}, 50}},
         1,
         "invalid mapping destination: wildcard index out of range in $2: [2]"},
        {"foo",
         {{{"a", 1}, 10}, {{"{{foo(1)}}", 10}, 10}},
         2,
         "invalid mapping destination: unknown function in {{foo(1)}}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Buf error = {0};
        Mapping *mapping = NULL;
        assert_int_equal(mapping_new(slice_of_text(cases[i].from), cases[i].dests, cases[i].count,
                                     &error, &mapping),
                         ERR_SYNTAX);
        assert_null(mapping);
        assert_string_equal(buf_text(&error), cases[i].want);
        buf_done(&error);
    }
    Mapping *mapping = NULL; /* not all wildcards need be used */
    static const MappingDest plain = {{"a", 1}, 100};
    assert_int_equal(mapping_new(LIT("foo.*"), &plain, 1, NULL, &mapping), OK);
    mapping_free(mapping);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_what_clients_publish_is_mapped, setup, teardown),
        cmocka_unit_test_setup_teardown(shares_follow_their_weights_and_the_rest_keeps_its_subject,
                                        setup, teardown),
        cmocka_unit_test(bad_mappings_are_refused_with_the_servers_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
