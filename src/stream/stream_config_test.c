#include "stream/stream_config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

static const ConfigLimits limits = {.max_stream_bytes = -1, .is_strict = true};

static char *text_of(const char *format, ...) __attribute__((format(printf, 1, 2)));

static char *text_of(const char *format, ...) {
    Buf out = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&out, format, args);
    va_end(args);
    char *text = slice_to_text(buf_slice(&out));
    buf_done(&out);
    return text;
}

/* Parses, checks for create (or, with old, for update) and writes: the config, or "<code> <text>".
 */
static char *outcome(const char *json, const char *old_json, const ConfigLimits *with) {
    Arena *arena = arena_new();
    StreamConfig *config = NULL, *old = NULL;
    bool is_pedantic;
    char *text;

    ApiError error = stream_config_parse(slice_of_text(json), with, arena, &config, &is_pedantic);
    if (!api_failed(error) && old_json) {
        bool ignored;
        ApiError bad = stream_config_parse(slice_of_text(old_json), with, arena, &old, &ignored);
        assert_false(api_failed(bad));
        /* A sealed stream was sealed by an update. */
        bool is_sealed = old->sealed;
        old->sealed = false;
        assert_false(api_failed(stream_config_check_create(old, with, false, arena)));
        old->sealed = is_sealed;
        error = stream_config_check_update(config, old, with, is_pedantic, arena);
    } else if (!api_failed(error)) {
        error = stream_config_check_create(config, with, is_pedantic, arena);
    }
    if (api_failed(error)) {
        text = text_of("%u %.*s", error.code, SLICE_ARG(error.text));
    } else {
        Buf out = {0};
        stream_config_write(&out, config, false);
        text = slice_to_text(buf_slice(&out));
        buf_done(&out);
    }
    stream_config_free(config);
    stream_config_free(old);
    arena_free(arena);
    return text;
}

static void assert_outcome(const char *json, const char *old_json, const ConfigLimits *with,
                           const char *want) {
    char *got = outcome(json, old_json, with);
    assert_string_equal(got, want);
    mem_free(got);
}

static void a_config_is_shown_with_its_defaults_in_the_order_of_the_api(void **state) {
    (void)state;
    assert_outcome(
        "{\"name\":\"a\"}", NULL, &limits,
        "{\"name\":\"a\",\"subjects\":[\"a\"],\"retention\":\"limits\",\"max_consumers\":-1,\"max_"
        "msgs\":-1,"
        "\"max_bytes\":-1,\"max_age\":0,\"max_msgs_per_subject\":-1,\"max_msg_size\":-1,"
        "\"discard\":\"old\","
        "\"storage\":\"file\",\"num_replicas\":1,\"duplicate_window\":120000000000,\"compression\":"
        "\"none\","
        "\"allow_direct\":false,\"mirror_direct\":false,\"sealed\":false,\"deny_delete\":false,"
        "\"deny_purge\":false,\"allow_rollup_hdrs\":false,\"consumer_limits\":{},\"allow_msg_ttl\":"
        "false,"
        "\"metadata\":{\"_nats.req.level\":\"0\"}}");
    assert_outcome(
        "{\"name\":\"a\",\"description\":\"d\",\"subjects\":[\"s.>\"],\"retention\":\"interest\","
        "\"max_consumers\":-7,"
        "\"max_age\":1000000000,\"discard\":\"new\",\"storage\":\"memory\",\"no_ack\":true,"
        "\"placement\":{\"tags\":[\"x\"]},"
        "\"compression\":\"s2\",\"first_seq\":5,\"subject_transform\":{\"src\":\"\",\"dest\":\"\"},"
        "\"republish\":{\"dest\":\"r.>\",\"headers_only\":true},\"allow_direct\":true,\"max_msgs_"
        "per_subject\":2,"
        "\"discard_new_per_subject\":true,\"consumer_limits\":{\"max_ack_pending\":5},\"subject_"
        "delete_marker_ttl\":2000000000,"
        "\"metadata\":{\"b\":\"1\",\"_nats.ver\":\"x\",\"_nats.foo\":\"y\",\"_nats.level\":\"9\","
        "\"_nats.req.level\":\"9\"}}",
        NULL, &limits,
        "{\"name\":\"a\",\"description\":\"d\",\"subjects\":[\"s.\\u003e\"],\"retention\":"
        "\"interest\",\"max_consumers\":-1,"
        "\"max_msgs\":-1,\"max_bytes\":-1,\"max_age\":1000000000,\"max_msgs_per_subject\":2,\"max_"
        "msg_size\":-1,"
        "\"discard\":\"new\",\"storage\":\"memory\",\"num_replicas\":1,\"no_ack\":true,\"duplicate_"
        "window\":1000000000,"
        "\"placement\":{\"tags\":[\"x\"]},\"compression\":\"s2\",\"first_seq\":5,\"subject_"
        "transform\":{\"src\":\"\",\"dest\":\"\"},"
        "\"republish\":{\"src\":\"\\u003e\",\"dest\":\"r.\\u003e\",\"headers_only\":true},\"allow_"
        "direct\":true,"
        "\"mirror_direct\":false,\"discard_new_per_subject\":true,\"sealed\":false,\"deny_delete\":"
        "false,\"deny_purge\":false,"
        "\"allow_rollup_hdrs\":true,\"consumer_limits\":{\"max_ack_pending\":5},\"allow_msg_ttl\":"
        "true,"
        "\"subject_delete_marker_ttl\":2000000000,"
        "\"metadata\":{\"_nats.foo\":\"y\",\"_nats.req.level\":\"1\",\"b\":\"1\"}}");
}

static void each_rule_has_its_error(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"", "10052 stream name is required and can not contain '.', '*', '>', '\\', '/'"},
        {"\"name\":\"a.b\"",
         "10052 stream name is required and can not contain '.', '*', '>', '\\', '/'"},
        {"\"max_msgs\":\"x\"",
         "10025 invalid JSON: json: cannot unmarshal string into Go struct field "
         "StreamConfigRequest.max_msgs of type int64"},
        {"\"max_msgs\":1.5",
         "10025 invalid JSON: json: cannot unmarshal number 1.5 into Go struct field "
         "StreamConfigRequest.max_msgs of type int64"},
        {"\"num_replicas\":\"x\"",
         "10025 invalid JSON: json: cannot unmarshal string into Go struct field "
         "StreamConfigRequest.num_replicas of type int"},
        {"\"placement\":1",
         "10025 invalid JSON: json: cannot unmarshal number into Go struct field "
         "StreamConfigRequest.placement of type server.Placement"},
        {"\"placement\":{\"tags\":[1]}", "10025 invalid JSON: json: cannot unmarshal number into "
                                         "StreamConfigRequest.placement.tags.0 of type string"},
        {"\"consumer_limits\":{\"max_ack_pending\":\"x\"}",
         "10025 invalid JSON: json: cannot unmarshal string into Go struct field "
         "StreamConfigRequest.consumer_limits.max_ack_pending of type int"},
        {"\"retention\":\"xx\"", "10025 invalid JSON: can not unmarshal \"\\\"xx\\\"\""},
        {"\"storage\":\"\"", "10025 invalid JSON: can not unmarshal \"\\\"\\\"\""},
        {"\"compression\":\"xx\"", "10025 invalid JSON: unknown compression algorithm"},
        {"\"compression\":null", "10025 invalid JSON: unknown compression algorithm"},
        {"\"bogus\":1", "10025 invalid JSON: json: unknown field \"bogus\""},
        {"\"max_value_size\":1", "10025 invalid JSON: json: unknown field \"max_value_size\""},
        {"\"num_replicas\":6", "10052 maximum replicas is 5"},
        {"\"num_replicas\":3", "10074 replicas > 1 not supported in non-clustered mode"},
        {"\"num_replicas\":-1", "10133 replicas count cannot be negative"},
        {"\"max_age\":-1", "10052 max age can not be negative"},
        {"\"max_age\":99999999", "10052 max age needs to be >= 100ms"},
        {"\"duplicate_window\":-1", "10052 duplicates window can not be negative"},
        {"\"duplicate_window\":99999999", "10052 duplicates window needs to be >= 100ms"},
        {"\"duplicate_window\":2000000000,\"max_age\":1000000000",
         "10052 duplicates window can not be larger then max age"},
        {"\"deny_purge\":true,\"allow_rollup_hdrs\":true",
         "10052 roll-ups require the purge permission"},
        {"\"discard_new_per_subject\":true",
         "10052 discard new per subject requires discard new policy to be set"},
        {"\"discard_new_per_subject\":true,\"discard\":\"new\"",
         "10052 discard new per subject requires max msgs per subject > 0"},
        {"\"subject_delete_marker_ttl\":-1",
         "10052 subject delete marker TTL must not be negative"},
        {"\"subject_delete_marker_ttl\":999999999",
         "10052 subject delete marker TTL must be at least 1 second"},
        {"\"mirror_direct\":true", "10052 stream has no mirror but does have mirror direct"},
        {"\"sealed\":true", "10052 stream configuration for create can not be sealed"},
        {"\"placement\":{\"preferred\":\"x\"}",
         "10052 preferred server not permitted in placement"},
        {"\"subjects\":[\"a b\"]", "10052 invalid subject"},
        {"\"subjects\":[\"\"]", "10052 invalid subject"},
        {"\"subjects\":[\"a\",\"a\"]", "10052 subject \"a\" overlaps with \"a\""},
        {"\"subjects\":[\"a.>\",\"a.b\"]", "10052 subject \"a.>\" overlaps with \"a.b\""},
        {"\"subjects\":[\">\"]", "10052 capturing all subjects requires no-ack to be true"},
        {"\"subjects\":[\"$JS.API.>\"]",
         "10052 subjects that overlap with jetstream api require no-ack to be true"},
        {"\"subjects\":[\"*.>\"]",
         "10052 subjects that overlap with jetstream api require no-ack to be true"},
        {"\"subjects\":[\"$SYS.>\"]",
         "10052 subjects that overlap with system api require no-ack to be true"},
        {"\"subject_transform\":{\"src\":\"s..a\",\"dest\":\"x\"}",
         "10155 stream transform source: invalid subject s..a"},
        {"\"subject_transform\":{\"src\":\"s.*\",\"dest\":\"x.$2\"}",
         "10156 stream transform: invalid mapping destination: wildcard index out of range in $2: "
         "[2]"},
        {"\"republish\":{\"src\":\"s.*\",\"dest\":\"r.$2\"}",
         "10052 stream configuration for republish with transform from 's.*' to 'r.$2' not valid"},
        {"\"subjects\":[\"r.x\"],\"republish\":{\"dest\":\"r.>\"}",
         "10052 stream configuration for republish destination forms a cycle"},
        {"\"max_msgs\":-5,\"pedantic\":true", "10157 pedantic mode: max_msgs must be set to -1"},
        {"\"max_msg_size\":-5,\"pedantic\":true",
         "10157 pedantic mode: max_msg_size must be set to -1"},
        {"\"max_age\":1000000000,\"pedantic\":true",
         "10157 pedantic mode: duplicate window cannot be bigger than max age"},
        {"\"subject_delete_marker_ttl\":1000000000,\"pedantic\":true",
         "10052 subject delete marker cannot be set if message TTLs are disabled"},
        {"\"subject_delete_marker_ttl\":1000000000,\"allow_msg_ttl\":true,\"pedantic\":true",
         "10052 subject delete marker cannot be set if roll-ups are disabled"},
        {"\"persist_mode\":\"async\",\"storage\":\"memory\"",
         "10052 async persist mode is only supported on file storage"},
        {"\"persist_mode\":\"async\",\"num_replicas\":3",
         "10052 async persist mode is not supported on replicated streams"},
        {"\"persist_mode\":\"async\",\"allow_atomic\":true",
         "10052 async persist mode is not supported with atomic batch publish"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *json = strncmp(cases[i][0], "\"name\"", 6) == 0 || !*cases[i][0]
                         ? text_of("{%s}", cases[i][0])
                         : text_of("{\"name\":\"a\",%s}", cases[i][0]);
        assert_outcome(json, NULL, &limits, cases[i][1]);
        mem_free(json);
    }
}

static void the_servers_limits_are_kept(void **state) {
    (void)state;
    ConfigLimits tight = limits;
    tight.duplicate_window_max_ns = 60000000000;
    tight.max_stream_bytes = 1000;
    tight.max_bytes_required = true;
    assert_outcome("{\"name\":\"a\",\"duplicate_window\":61000000000}", NULL, &tight,
                   "10052 duplicates window can not be larger then server limit of 1m0s");
    assert_outcome("{\"name\":\"a\"}", NULL, &tight,
                   "10113 account requires a stream config to have max bytes set");
    assert_outcome("{\"name\":\"a\",\"max_bytes\":1001}", NULL, &tight,
                   "10122 stream max bytes exceeds account limit max stream bytes");
    ConfigLimits lax = limits;
    lax.is_strict = false;
    char *got = outcome("{\"name\":\"a\",\"bogus\":1}", NULL, &lax);
    assert_memory_equal(got, "{\"name\":\"a\"", 11);
    mem_free(got);
}

static void an_update_may_not_change_everything(void **state) {
    (void)state;
    static const char *const cases[][3] = {
        {"", "\"storage\":\"memory\"",
         "10052 stream configuration update can not change storage type"},
        {"", "\"retention\":\"workqueue\"",
         "10052 stream configuration update can not change retention policy to/from workqueue"},
        {"\"sealed\":true", "", "10052 stream configuration update can not unseal a sealed stream"},
        {"\"deny_delete\":true", "",
         "10052 stream configuration update can not cancel deny message deletes"},
        {"\"deny_purge\":true", "", "10052 stream configuration update can not cancel deny purge"},
        {"\"mirror\":{\"name\":\"b\"}", "\"mirror\":{\"name\":\"c\"}",
         "10055 stream mirror configuration can not be updated"},
        {"", "\"allow_msg_counter\":true",
         "10052 stream configuration update can not change message counter setting"},
        {"\"allow_msg_schedules\":true", "", "10052 message schedules can not be disabled"},
        {"\"allow_msg_ttl\":true", "", "10052 message TTL status can not be disabled"},
        {"\"persist_mode\":\"async\"", "\"persist_mode\":\"default\"",
         "10052 stream configuration update can not change persist mode"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *old = text_of("{\"name\":\"a\"%s%s}", *cases[i][0] ? "," : "", cases[i][0]);
        char *new = text_of("{\"name\":\"a\"%s%s}", *cases[i][1] ? "," : "", cases[i][1]);
        assert_outcome(new, old, &limits, cases[i][2]);
        mem_free(old);
        mem_free(new);
    }

    char *sealed = outcome("{\"name\":\"a\",\"sealed\":true,\"max_age\":1000000000}",
                           "{\"name\":\"a\"}", &limits);
    assert_non_null(strstr(sealed, "\"max_age\":0"));
    assert_non_null(strstr(sealed, "\"discard\":\"new\""));
    assert_non_null(strstr(sealed, "\"sealed\":true,\"deny_delete\":true,\"deny_purge\":true"));
    mem_free(sealed);
}

#define ORIGIN              "\"name\":\"b\""
#define FILTERED(src, dest) "{\"src\":\"" src "\",\"dest\":\"" dest "\"}"

/* Each source once as a mirror and once as a source; NULL: accepted. */
static void mirrors_and_sources_have_errors_of_their_own(void **state) {
    (void)state;
    static const struct {
        const char *source, *mirror_want, *source_want;
    } cases[] = {
        {ORIGIN, NULL, NULL},
        {"", "10142", "10141"},
        {"\"name\":\"a.b\"", "10142", "10141"},
        {"\"name\":\"a\"", "10052 detected cycle", "10052 detected cycle"},
        {"\"name\":\"a\",\"external\":{\"api\":\"x\"}", NULL, NULL},
        {ORIGIN ",\"filter_subject\":\"a..b\"",
         "10049 subject filter 'a..b' for the mirror invalid subject",
         "10049 subject filter 'a..b' for the source: invalid subject"},
        {ORIGIN ",\"filter_subject\":\"x\",\"subject_transforms\":[" FILTERED("x", "y") "]",
         "10150", "10144"},
        {ORIGIN ",\"subject_transforms\":[" FILTERED("a..b", "y") "]", "10151", "10145"},
        {ORIGIN ",\"subject_transforms\":[" FILTERED("a.*", "y.$2") "]", "10154", "10146"},
        {ORIGIN ",\"subject_transforms\":[" FILTERED("a.*", "y") "," FILTERED("a.b", "z") "]",
         "10152", "10147"},
        {ORIGIN ",\"subject_transforms\":[" FILTERED("a.*.c", "y") "," FILTERED("a.b.*", "z") "]",
         "10152", NULL},
        {ORIGIN ",\"external\":{\"api\":\"x.*\"}",
         "10052 stream external api prefix \"x.*\" must be", "10052 stream external api"},
        {ORIGIN ",\"external\":{\"api\":\"x\",\"deliver\":\"y.>\"}", "10024", "10024"},
        {ORIGIN ",\"external\":{\"api\":\"$JS.API\"}",
         "10021 stream external api prefix $JS.API must not overlap with $JS.API", "10021"},
        {ORIGIN ",\"consumer\":{\"name\":\"c\"}", "10213", "10215"},
        {ORIGIN ",\"consumer\":{\"name\":\"c\",\"deliver_subject\":\"d\"}", NULL, NULL},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int is_mirror = 0; is_mirror < 2; is_mirror++) {
            char *json = text_of(is_mirror ? "{\"name\":\"a\",\"mirror\":{%s}}"
                                           : "{\"name\":\"a\",\"sources\":[{%s}]}",
                                 cases[i].source);
            const char *want = is_mirror ? cases[i].mirror_want : cases[i].source_want;
            char *got = outcome(json, NULL, &limits);
            assert_int_equal(strncmp(got, want ? want : "{\"name\"", strlen(want ? want : "{")), 0);
            mem_free(got);
            mem_free(json);
        }
}

static const StreamConfig *find_in_list(const void *cookie, Slice name) {
    StreamConfig *const *known = cookie;

    for (; *known; known++)
        if (slice_equal((*known)->name, name))
            return *known;
    return NULL;
}

static void origins_that_are_known_are_held_against_the_config(void **state) {
    (void)state;
    static const char *const known[] = {
        "{\"name\":\"big\",\"max_msg_size\":100,\"allow_direct\":true}",
        "{\"name\":\"back\",\"subjects\":[\"k\"],\"sources\":[{\"name\":\"a\"}]}",
        "{\"name\":\"far\",\"sources\":[{\"name\":\"back\"}]}",
    };
    static const char *const cases[][2] = {
        {"\"mirror\":{\"name\":\"big\"},\"max_msg_size\":99", "10030"},
        {"\"sources\":[{\"name\":\"big\"}],\"max_msg_size\":99", "10046"},
        {"\"sources\":[{\"name\":\"big\"}],\"max_msg_size\":100", "{"},
        {"\"mirror\":{\"name\":\"big\"},\"pedantic\":true", "10157"},
        {"\"sources\":[{\"name\":\"back\"}]", "10052 detected cycle"},
        {"\"sources\":[{\"name\":\"far\"}]", "10052 detected cycle"},
        {"\"mirror\":{\"name\":\"far\"}", "10052 detected cycle"},
    };
    StreamConfig *list[4] = {0};
    Arena *arena = arena_new();
    bool is_pedantic;
    for (size_t i = 0; i < 3; i++)
        assert_false(api_failed(
            stream_config_parse(slice_of_text(known[i]), &limits, arena, &list[i], &is_pedantic)));
    ConfigLimits knowing = limits;
    knowing.find = find_in_list;
    knowing.cookie = list;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *json = text_of("{\"name\":\"a\",%s}", cases[i][0]);
        char *got = outcome(json, NULL, &knowing);
        assert_int_equal(strncmp(got, cases[i][1], strlen(cases[i][1])), 0);
        mem_free(got);
        mem_free(json);
    }
    char *mirror = outcome("{\"name\":\"a\",\"mirror\":{\"name\":\"big\"}}", NULL, &knowing);
    assert_non_null(strstr(mirror, "\"mirror_direct\":true"));
    mem_free(mirror);
    for (size_t i = 0; i < 3; i++)
        stream_config_free(list[i]);
    arena_free(arena);
}

static void sources_outlive_the_config_they_were_copied_from(void **state) {
    (void)state;
    Arena *arena = arena_new();
    StreamConfig *config, *stored;
    bool is_pedantic;
    Slice json = LIT("{\"name\":\"a\",\"sources\":[{\"name\":\"b\",\"opt_start_time\":"
                     "\"2024-01-01T02:00:00+02:00\",\"subject_transforms\":[{\"src\":\"x\","
                     "\"dest\":\"y\"}],\"external\":{\"api\":\"p\"}},{\"name\":\"c\"}]}");
    assert_false(api_failed(stream_config_parse(json, &limits, arena, &config, &is_pedantic)));
    StreamConfig *copy = stream_config_copy(config);
    assert_true(stream_config_equal(config, copy));
    stream_config_free(config);
    Buf out = {0};
    stream_config_write(&out, copy, false);
    assert_non_null(strstr(buf_text(&out), "\"opt_start_time\":\"2024-01-01T02:00:00+02:00\""));
    assert_non_null(strstr(buf_text(&out), "\"external\":{\"api\":\"p\",\"deliver\":\"\"}"));
    assert_int_equal(stream_config_parse_stored(buf_slice(&out), &stored), OK);
    assert_int_equal(stored->source_count, 2);
    assert_true(slice_equal(stored->sources[0].transforms[0].dest, LIT("y")));
    assert_true(stream_config_equal(copy, stored));
    stream_config_free(stored);
    stream_config_free(copy);
    buf_done(&out);
    arena_free(arena);
}

static void object_stores_take_names_of_their_own(void **state) {
    (void)state;
    Arena *arena = arena_new();
    StreamConfig *config, *stored;
    bool is_pedantic;
    ApiError error = stream_config_parse(LIT("{\"replicas\":1,\"max_bucket_size\":500,\"max_value_"
                                             "size\":70,\"name\":\"OBJ_files\"}"),
                                         &limits, arena, &config, &is_pedantic);
    assert_false(api_failed(error));
    assert_false(api_failed(stream_config_check_create(config, &limits, false, arena)));
    assert_int_equal(config->max_bytes, 500);
    assert_int_equal(config->num_replicas, 1);

    Buf out = {0};
    stream_config_write(&out, config, true);
    assert_non_null(strstr(buf_text(&out), "\"max_bytes\":500"));
    assert_non_null(strstr(buf_text(&out), "\"max_value_size\":70"));
    assert_non_null(
        strstr(buf_text(&out),
               "{\"_nats.level\":\"5\",\"_nats.req.level\":\"0\",\"_nats.ver\":\"2.15.1\"}"));
    assert_null(strstr(buf_text(&out), "max_bucket_size"));
    buf_clear(&out);
    stream_config_write(&out, config, false);
    assert_int_equal(stream_config_parse_stored(buf_slice(&out), &stored), OK);
    assert_int_equal(stored->object_value_size_max, 70);
    assert_true(stream_config_equal(config, stored));
    stored->object_value_size_max = 71;
    assert_false(stream_config_equal(config, stored));

    StreamConfig *copy = stream_config_copy(config);
    stream_config_free(config);
    assert_true(slice_equal(copy->subjects[0], LIT("OBJ_files")));
    stream_config_free(copy);
    stream_config_free(stored);
    buf_done(&out);
    arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_config_is_shown_with_its_defaults_in_the_order_of_the_api),
        cmocka_unit_test(each_rule_has_its_error),
        cmocka_unit_test(the_servers_limits_are_kept),
        cmocka_unit_test(an_update_may_not_change_everything),
        cmocka_unit_test(mirrors_and_sources_have_errors_of_their_own),
        cmocka_unit_test(origins_that_are_known_are_held_against_the_config),
        cmocka_unit_test(sources_outlive_the_config_they_were_copied_from),
        cmocka_unit_test(object_stores_take_names_of_their_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
