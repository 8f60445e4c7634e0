#include "stream/consumer_config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

static const ConfigLimits limits = {.max_stream_bytes = -1, .is_strict = true};

static ConsumerConfig *parse(const char *config, Arena *arena, ApiError *error, bool *is_pedantic) {
    Buf json = {0};
    ConsumerRequest request = {0};
    buf_printf(&json, "{\"stream_name\":\"S\",%s}", config);
    *error = consumer_request_parse(buf_slice(&json), &limits, arena, &request);
    buf_done(&json);
    *is_pedantic = request.is_pedantic;
    return request.config;
}

/* The checked config as it is shown, or "<code> <text>". */
static char *outcome(const char *request, const StreamConfig *stream, const ConfigLimits *with) {
    Arena *arena = arena_new();
    ApiError error;
    bool is_pedantic;
    Buf out = {0};

    ConsumerConfig *config = parse(request, arena, &error, &is_pedantic);
    if (!api_failed(error))
        error = consumer_config_check(config, stream, with, is_pedantic, arena);
    if (api_failed(error))
        buf_printf(&out, "%u %.*s", error.code, SLICE_ARG(error.text));
    else
        consumer_config_write(&out, config, false);
    char *text = slice_to_text(buf_slice(&out));
    buf_done(&out);
    consumer_config_free(config);
    arena_free(arena);
    return text;
}

static Slice stream_subjects[] = {LIT("s.>")};
static const StreamConfig plain = {
    .name = LIT("S"), .subjects = stream_subjects, .subject_count = 1, .num_replicas = 1};

static void assert_outcome(const char *request, const StreamConfig *stream, const char *want) {
    char *got = outcome(request, stream, &limits);
    assert_string_equal(got, want);
    mem_free(got);
}

static void defaults_are_filled_in(void **state) {
    (void)state;
#define META "\"metadata\":{\"_nats.req.level\":\"0\"}"
    static const char *const cases[][2] = {
        {"\"config\":null",
         "{\"deliver_policy\":\"all\",\"ack_policy\":\"none\",\"max_deliver\":-1,\"replay_policy\":"
         "\"instant\","
         "\"max_waiting\":512,\"num_replicas\":0," META "}"},
        {"\"config\":{\"durable_name\":\"ft\",\"name\":\"ft\",\"ack_policy\":\"explicit\"}",
         "{\"durable_name\":\"ft\",\"name\":\"ft\",\"deliver_policy\":\"all\",\"ack_policy\":"
         "\"explicit\","
         "\"ack_wait\":30000000000,\"max_deliver\":-1,\"replay_policy\":\"instant\",\"max_"
         "waiting\":512,"
         "\"max_ack_pending\":1000,\"num_replicas\":0," META "}"},
        {"\"config\":{\"durable_name\":\"p\",\"deliver_subject\":\"d.x\"}",
         "{\"durable_name\":\"p\",\"deliver_policy\":\"all\",\"ack_policy\":\"none\",\"max_"
         "deliver\":-1,"
         "\"replay_policy\":\"instant\",\"deliver_subject\":\"d.x\",\"num_replicas\":0," META "}"},
        {"\"config\":{\"durable_name\":\"p\",\"deliver_policy\":\"undefined\",\"ack_policy\":"
         "\"all\",\"max_deliver\":-9,"
         "\"backoff\":[5,9],\"ack_wait\":7,\"max_ack_pending\":-3,\"max_batch\":-1,\"filter_"
         "subjects\":[],"
         "\"filter_subject\":\"x\",\"max_waiting\":-1}",
         "{\"durable_name\":\"p\",\"deliver_policy\":\"all\",\"ack_policy\":\"all\",\"ack_wait\":5,"
         "\"max_deliver\":-1,"
         "\"backoff\":[5,9],\"filter_subject\":\"x\",\"replay_policy\":\"instant\",\"max_waiting\":"
         "512,"
         "\"max_ack_pending\":-1,\"num_replicas\":0," META "}"},
        {"\"config\":{\"durable_name\":\"p\",\"ack_policy\":\"explicit\",\"backoff\":[0]}",
         "{\"durable_name\":\"p\",\"deliver_policy\":\"all\",\"ack_policy\":\"explicit\",\"ack_"
         "wait\":30000000000,"
         "\"max_deliver\":-1,\"backoff\":[0],\"replay_policy\":\"instant\",\"max_waiting\":512,"
         "\"max_ack_pending\":1000,\"num_replicas\":0," META "}"},
        {"\"config\":{\"durable_name\":\"p\",\"ack_policy\":\"flow_control\",\"deliver_subject\":"
         "\"d.y\","
         "\"idle_heartbeat\":2000000000}",
         "{\"durable_name\":\"p\",\"deliver_policy\":\"all\",\"ack_policy\":\"flow_control\",\"max_"
         "deliver\":-1,"
         "\"replay_policy\":\"instant\",\"max_ack_pending\":1000,\"flow_control\":true,\"deliver_"
         "subject\":\"d.y\","
         "\"idle_heartbeat\":1000000000,\"num_replicas\":0,\"metadata\":{\"_nats.req.level\":\"4\"}"
         "}"},
        {"\"config\":{\"durable_name\":\"p\",\"priority_groups\":[\"A\"],\"priority_policy\":"
         "\"pinned_client\","
         "\"metadata\":{\"b\":\"1\",\"_nats.ver\":\"x\"},\"pause_until\":\"0001-01-01T00:00:00Z\"}",
         "{\"durable_name\":\"p\",\"deliver_policy\":\"all\",\"ack_policy\":\"none\",\"max_"
         "deliver\":-1,"
         "\"replay_policy\":\"instant\",\"max_waiting\":512,\"num_replicas\":0,"
         "\"metadata\":{\"_nats.req.level\":\"1\",\"b\":\"1\"},\"pause_until\":\"0001-01-01T00:00:"
         "00Z\","
         "\"priority_groups\":[\"A\"],\"priority_policy\":\"pinned_client\",\"priority_timeout\":"
         "120000000000}"},
        {"\"config\":{\"durable_name\":\"p\",\"deliver_policy\":\"by_start_time\","
         "\"opt_start_time\":\"2026-01-01T00:00:00.500+01:00\",\"filter_subjects\":[\"a\",\"b\"],"
         "\"pause_until\":\"2020-01-01T00:00:00Z\"}",
         "{\"durable_name\":\"p\",\"deliver_policy\":\"by_start_time\",\"opt_start_time\":\"2026-"
         "01-01T00:00:00.5+01:00\","
         "\"ack_policy\":\"none\",\"max_deliver\":-1,\"filter_subjects\":[\"a\",\"b\"],\"replay_"
         "policy\":\"instant\","
         "\"max_waiting\":512,\"num_replicas\":0,\"metadata\":{\"_nats.req.level\":\"1\"},"
         "\"pause_until\":\"2020-01-01T00:00:00Z\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_outcome(cases[i][0], &plain, cases[i][1]);
}

static void each_rule_has_its_error(void **state) {
    (void)state;
#define INTO " into Go struct field CreateConsumerRequest.config."
    static const char *const cases[][2] = {
        {"\"bogus\":1", "10025 invalid JSON: json: unknown field \"bogus\""},
        {"\"action\":\"bogus\"", "10025 invalid JSON: unknown consumer action: \"bogus\""},
        {"\"config\":1", "10025 invalid JSON: json: cannot unmarshal number into Go struct field "
                         "CreateConsumerRequest.config of type server.ConsumerConfig"},
        {"\"config\":{\"ack_wait\":\"x\"}",
         "10025 invalid JSON: json: cannot unmarshal string" INTO "ack_wait of type time.Duration"},
        {"\"config\":{\"ack_wait\":1.5}",
         "10025 invalid JSON: json: cannot unmarshal number 1.5" INTO
         "ack_wait of type time.Duration"},
        {"\"config\":{\"max_waiting\":\"x\"}",
         "10025 invalid JSON: json: cannot unmarshal string" INTO "max_waiting of type int"},
        {"\"config\":{\"backoff\":[1,\"x\"]}",
         "10025 invalid JSON: json: cannot unmarshal string into "
         "CreateConsumerRequest.config.backoff.1 of type time.Duration"},
        {"\"config\":{\"ack_policy\":\"bogus\"}",
         "10025 invalid JSON: can not unmarshal \"\\\"bogus\\\"\""},
        {"\"config\":{\"ack_policy\":null}", "10025 invalid JSON: can not unmarshal \"null\""},
        {"\"config\":{\"deliver_policy\":1}", "10025 invalid JSON: can not unmarshal \"1\""},
        {"\"config\":{\"priority_policy\":\"bogus\"}",
         "10025 invalid JSON: unknown priority policy: \"bogus\""},
        {"\"config\":{\"pause_until\":\"x\"}",
         "10025 invalid JSON: parsing time \"x\" as "
         "\"2006-01-02T15:04:05Z07:00\": cannot parse \"x\" as \"2006\""},
        {"\"config\":{\"ack_wait\":-1}", "10183 consumer ack wait needs to be positive"},
        {"\"config\":{\"backoff\":[-1]}", "10184 consumer backoff needs to be positive"},
        {"\"config\":{\"ack_wait\":-1,\"backoff\":[-1]}",
         "10184 consumer backoff needs to be positive"},
        {"\"config\":{\"backoff\":[1,-1]}", "10184 consumer backoff needs to be positive"},
        {"\"config\":{\"backoff\":[1,2],\"max_deliver\":1}",
         "10116 max deliver is required to be > length of backoff values"},
        {"\"config\":{\"deliver_subject\":\"d\",\"max_waiting\":1}",
         "10080 consumer in push mode can not set max waiting"},
        {"\"config\":{\"deliver_subject\":\"d\",\"max_ack_pending\":1}",
         "10082 consumer requires ack policy for max ack pending"},
        {"\"config\":{\"max_expires\":999999}",
         "10115 consumer max request expires needs to be >= 1ms"},
        {"\"config\":{\"sample_freq\":\"-1\"}",
         "10095 failed to parse consumer sampling configuration: <nil>"},
        {"\"config\":{\"sample_freq\":\"x\"}",
         "10095 failed to parse consumer sampling configuration: "
         "strconv.Atoi: parsing \"x\": invalid syntax"},
        {"\"config\":{\"sample_freq\":\"%\"}",
         "10095 failed to parse consumer sampling configuration: "
         "strconv.Atoi: parsing \"\": invalid syntax"},
        {"\"config\":{\"idle_heartbeat\":5}",
         "10088 consumer idle heartbeat requires a push based consumer"},
        {"\"config\":{\"deliver_subject\":\"d\",\"idle_heartbeat\":99999999}",
         "10083 consumer idle heartbeat needs to be >= 100ms"},
        {"\"config\":{\"flow_control\":true}",
         "10089 consumer flow control requires a push based consumer"},
        {"\"config\":{\"deliver_subject\":\"d\",\"flow_control\":true}",
         "10108 consumer with flow control also needs heartbeats"},
        {"\"config\":{\"rate_limit_bps\":1}",
         "10086 consumer in pull mode can not have rate limit set"},
        {"\"config\":{\"num_replicas\":-1}", "10133 replicas count cannot be negative"},
        {"\"config\":{\"num_replicas\":3}",
         "10074 replicas > 1 not supported in non-clustered mode"},
        {"\"config\":{\"filter_subject\":\"a..b\"}", "10052 invalid subject"},
        {"\"config\":{\"filter_subject\":\"a\",\"filter_subjects\":[\"b\"]}",
         "10136 consumer cannot have both FilterSubject and FilterSubjects specified"},
        {"\"config\":{\"filter_subjects\":[\"\"]}",
         "10139 consumer filter in FilterSubjects cannot be empty"},
        {"\"config\":{\"filter_subjects\":[\"a\",\"*\"]}",
         "10138 consumer subject filters cannot overlap"},
        {"\"config\":{\"deliver_subject\":\"d.*\"}",
         "10079 consumer deliver subject has wildcards"},
        {"\"config\":{\"deliver_subject\":\"d x\"}", "10112 invalid push consumer deliver subject"},
        {"\"config\":{\"deliver_subject\":\"s.x\"}",
         "10081 consumer deliver subject forms a cycle"},
        {"\"config\":{\"direct\":true}", "10090 consumer direct requires a push based consumer"},
        {"\"config\":{\"direct\":true,\"deliver_subject\":\"d\",\"durable_name\":\"d\"}",
         "10091 consumer direct requires an ephemeral consumer"},
        {"\"config\":{\"opt_start_seq\":1}",
         "10094 consumer delivery policy is deliver all, but optional start sequence is also set"},
        {"\"config\":{\"deliver_policy\":\"new\",\"opt_start_time\":\"2026-01-01T00:00:00Z\"}",
         "10094 consumer delivery policy is deliver new, but optional start time is also set"},
        {"\"config\":{\"deliver_policy\":\"by_start_sequence\"}",
         "10094 consumer delivery policy is deliver by start sequence, but optional start sequence "
         "is not set"},
        {"\"config\":{\"deliver_policy\":\"by_start_time\"}",
         "10094 consumer delivery policy is deliver by start time, but optional start time is not "
         "set"},
        {"\"config\":{\"deliver_policy\":\"by_start_time\",\"opt_start_seq\":1,\"opt_start_time\":"
         "\"2026-01-01T00:00:00Z\"}",
         "10094 consumer delivery policy is deliver by start time, but optional start start "
         "sequence is also set"},
        {"\"config\":{\"deliver_policy\":\"last_per_subject\"}",
         "10094 consumer delivery policy is deliver last per subject, but optional filter subject "
         "is not set"},
        {"\"config\":{\"durable_name\":\"a\",\"name\":\"b\"}",
         "10132 Consumer Durable and Name have to be equal if both are provided"},
        {"\"config\":{\"priority_policy\":\"overflow\"}",
         "10159 Setting PriorityPolicy requires at least one PriorityGroup to be set"},
        {"\"config\":{\"priority_groups\":[\"A\"]}",
         "10196 consumer can not have priority groups when policy is none"},
        {"\"config\":{\"priority_policy\":\"overflow\",\"priority_groups\":[\"\"]}",
         "10161 Group name cannot be an empty string"},
        {"\"config\":{\"priority_policy\":\"overflow\",\"priority_groups\":[\"a.b\"]}",
         "10162 Valid priority group name must match A-Z, a-z, 0-9, -_/=)+ and may not exceed 16 "
         "characters"},
        {"\"config\":{\"priority_policy\":\"overflow\",\"priority_groups\":[\"A\"],\"deliver_"
         "subject\":\"d\"}",
         "10178 priority groups can not be used with push consumers"},
        {"\"config\":{\"priority_timeout\":1}",
         "10197 PinnedTTL cannot be set when PriorityPolicy is none"},
        {"\"config\":{\"ack_policy\":\"flow_control\"}",
         "10218 flow control ack policy requires a push based consumer"},
        {"\"config\":{\"ack_policy\":\"flow_control\",\"deliver_subject\":\"d\",\"max_ack_"
         "pending\":-1}",
         "10220 flow control ack policy requires max ack pending"},
        {"\"config\":{\"ack_policy\":\"flow_control\",\"deliver_subject\":\"d\",\"ack_wait\":5}",
         "10221 flow control ack policy requires unset ack wait"},
        {"\"config\":{\"ack_policy\":\"flow_control\",\"deliver_subject\":\"d\",\"backoff\":[5]}",
         "10221 flow control ack policy requires unset ack wait"},
        {"\"config\":{\"ack_policy\":\"flow_control\",\"deliver_subject\":\"d\",\"max_deliver\":5}",
         "10222 flow control ack policy requires unset max deliver"},
        {"\"config\":{\"max_deliver\":-2},\"pedantic\":true",
         "10157 pedantic mode: max_deliver must be set to -1"},
        {"\"config\":{\"max_ack_pending\":-2},\"pedantic\":true",
         "10157 pedantic mode: max_ack_pending must be set to -1"},
        {"\"config\":{\"max_waiting\":-2},\"pedantic\":true",
         "10157 pedantic mode: max_waiting must not be negative"},
        {"\"config\":{\"priority_timeout\":-2},\"pedantic\":true",
         "10157 pedantic mode: priority_timeout must not be negative"},
        {"\"config\":{\"backoff\":[5]},\"pedantic\":true",
         "10157 pedantic mode: first backoff value has to equal batch AckWait"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_outcome(cases[i][0], &plain, cases[i][1]);
}

static void the_streams_limits_are_defaults_and_ceilings(void **state) {
    (void)state;
    StreamConfig stream = plain;
    stream.limit_max_ack_pending = 50;
    stream.limit_inactive_threshold_ns = 10000000000;
    static const char *const cases[][2] = {
        {"\"config\":{\"durable_name\":\"d\"}",
         "{\"durable_name\":\"d\",\"deliver_policy\":\"all\",\"ack_policy\":\"none\",\"max_"
         "deliver\":-1,"
         "\"replay_policy\":\"instant\",\"max_waiting\":512,\"max_ack_pending\":50,\"inactive_"
         "threshold\":10000000000,"
         "\"num_replicas\":0," META "}"},
        {"\"config\":{\"ack_policy\":\"explicit\",\"max_ack_pending\":51}",
         "10121 consumer max ack pending exceeds system limit of 50"},
        {"\"config\":{\"inactive_threshold\":20000000000}",
         "10153 consumer inactive threshold exceeds system limit of 10s"},
        {"\"pedantic\":true",
         "10157 pedantic mode: max_ack_pending must be set if it's configured in stream limits"},
        {"\"config\":{\"max_ack_pending\":5},\"pedantic\":true",
         "10157 pedantic mode: inactive_threshold must be set if it's configured in stream limits"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_outcome(cases[i][0], &stream, cases[i][1]);
}

static void a_work_queue_asks_for_explicit_acks_of_everything(void **state) {
    (void)state;
    StreamConfig stream = plain;
    stream.retention = RETENTION_WORKQUEUE;
    static const char *const cases[][2] = {
        {"\"config\":{}",
         "10084 consumer in pull mode requires explicit ack policy on workqueue stream"},
        {"\"config\":{\"ack_policy\":\"all\"}", "10098 workqueue stream requires explicit ack"},
        {"\"config\":{\"ack_policy\":\"explicit\",\"deliver_policy\":\"new\"}",
         "10101 consumer must be deliver all on workqueue stream"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_outcome(cases[i][0], &stream, cases[i][1]);
}

static void the_servers_limits_count(void **state) {
    (void)state;
    ConfigLimits tight = limits;
    tight.max_ack_pending = 10;
    tight.max_request_batch = 20;
    static const char *const cases[][2] = {
        {"\"config\":{\"durable_name\":\"d\",\"ack_policy\":\"explicit\"}",
         "{\"durable_name\":\"d\",\"deliver_policy\":\"all\",\"ack_policy\":\"explicit\",\"ack_"
         "wait\":30000000000,"
         "\"max_deliver\":-1,\"replay_policy\":\"instant\",\"max_waiting\":512,\"max_ack_pending\":"
         "10,\"max_batch\":20,"
         "\"num_replicas\":0," META "}"},
        {"\"config\":{\"ack_policy\":\"explicit\",\"max_ack_pending\":11}",
         "10121 consumer max ack pending exceeds system limit of 10"},
        {"\"config\":{\"max_batch\":21}",
         "10125 consumer max request batch exceeds server limit of 20"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *got = outcome(cases[i][0], &plain, &tight);
        assert_string_equal(got, cases[i][1]);
        mem_free(got);
    }
}

static void an_update_may_not_change_everything(void **state) {
    (void)state;
    static const char *const cases[][3] = {
        {"", "\"deliver_policy\":\"new\"", "deliver policy can not be updated"},
        {"", "\"ack_policy\":\"explicit\"", "ack policy can not be updated"},
        {"", "\"replay_policy\":\"original\"", "replay policy can not be updated"},
        {"", "\"mem_storage\":true", "storage type can not be updated"},
        {"", "\"max_waiting\":5", "max waiting can not be updated"},
        {"", "\"deliver_subject\":\"d\"", "can not update pull consumer to push based"},
        {"\"deliver_subject\":\"d\"", "", "can not update push consumer to pull based"},
        {"\"deliver_subject\":\"d\"", "\"deliver_subject\":\"d\",\"idle_heartbeat\":5000000000",
         "heart beats can not be updated"},
        {"\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":1",
         "\"deliver_policy\":\"by_start_sequence\",\"opt_start_seq\":2",
         "start sequence can not be updated"},
        {"\"deliver_policy\":\"by_start_time\",\"opt_start_time\":\"2026-01-01T00:00:00Z\"",
         "\"deliver_policy\":\"by_start_time\",\"opt_start_time\":\"2026-01-01T00:00:01Z\"",
         "start time can not be updated"},
        {"\"deliver_policy\":\"by_start_time\",\"opt_start_time\":\"2026-01-01T00:00:00Z\"",
         "\"deliver_policy\":\"by_start_time\",\"opt_start_time\":\"2026-01-01T01:00:00+01:00\"",
         NULL},
        {"",
         "\"durable_name\":\"d\",\"filter_subject\":\"x\",\"max_deliver\":5,\"headers_only\":true",
         NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Arena *arena = arena_new();
        ConsumerConfig *config[2];
        for (int k = 0; k < 2; k++) {
            Buf json = {0};
            ApiError error;
            bool is_pedantic;
            buf_printf(&json, "\"config\":{%s}", cases[i][k]);
            config[k] = parse(buf_text(&json), arena, &error, &is_pedantic);
            assert_false(api_failed(error));
            assert_false(
                api_failed(consumer_config_check(config[k], &plain, &limits, false, arena)));
            buf_done(&json);
        }
        ApiError error = consumer_config_check_update(config[1], config[0], arena);
        if (cases[i][2])
            assert_true(slice_equal(error.text, slice_of_text(cases[i][2])));
        else
            assert_false(api_failed(error));
        consumer_config_free(config[0]);
        consumer_config_free(config[1]);
        arena_free(arena);
    }
}

static void a_stored_config_is_read_back_equal(void **state) {
    (void)state;
    Arena *arena = arena_new();
    ApiError error;
    bool is_pedantic;
    ConsumerConfig *back,
        *config =
            parse("\"config\":{\"filter_subjects\":[\"a\",\"b\"],\"metadata\":{\"k\":\"v\"},"
                  "\"backoff\":[1,2],\"priority_policy\":\"overflow\",\"priority_groups\":[\"A\"],"
                  "\"pause_until\":\"2026-01-01T00:00:00Z\",\"sample_freq\":\"50%\"}",
                  arena, &error, &is_pedantic);
    assert_false(api_failed(consumer_config_check(config, &plain, &limits, false, arena)));
    Buf out = {0};
    consumer_config_write(&out, config, false);
    assert_int_equal(consumer_config_parse_stored(buf_slice(&out), &back), OK);
    assert_true(consumer_config_equal(config, back));
    ConsumerConfig *copy = consumer_config_copy(back);
    consumer_config_free(back);
    assert_true(consumer_config_equal(config, copy));
    copy->max_deliver = 7;
    assert_false(consumer_config_equal(config, copy));
    consumer_config_free(copy);
    consumer_config_free(config);
    assert_int_equal(consumer_config_parse_stored(LIT("{\"ack_policy\":7}"), &back), ERR_CORRUPT);
    buf_done(&out);
    arena_free(arena);
}

static void a_name_may_not_hold_separators(void **state) {
    (void)state;
    Arena *arena = arena_new();
    char long_name[256];
    memset(long_name, 'n', sizeof long_name);
    assert_int_equal(consumer_name_check(LIT("a/b"), arena).code, 10127);
    assert_int_equal(consumer_name_check(LIT("a\\b"), arena).code, 10127);
    assert_int_equal(consumer_name_check(LIT("a b"), arena).code, 10052);
    assert_int_equal(consumer_name_check(LIT("a*"), arena).code, 10052);
    assert_int_equal(consumer_name_check(slice_from(long_name, 256), arena).code, 10012);
    assert_int_equal(consumer_name_check(slice_from(long_name, 255), arena).code, 0);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_filled_in),
        cmocka_unit_test(each_rule_has_its_error),
        cmocka_unit_test(the_streams_limits_are_defaults_and_ceilings),
        cmocka_unit_test(a_work_queue_asks_for_explicit_acks_of_everything),
        cmocka_unit_test(the_servers_limits_count),
        cmocka_unit_test(an_update_may_not_change_everything),
        cmocka_unit_test(a_stored_config_is_read_back_equal),
        cmocka_unit_test(a_name_may_not_hold_separators),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
