#include "proto/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

typedef enum Color { RED, GREEN } Color;

typedef struct Thing {
    Slice name;
    int64_t count, small, wait_ns;
    uint64_t seq;
    bool flag, packed;
    Color color;
    Slice *tags;
    size_t tag_count;
    int64_t *waits;
    size_t wait_count;
    JsonPair *labels;
    size_t label_count;
    bool has_at, has_inner;
    int64_t at_ns;
    Slice at_text, inner_name, raw;
} Thing;

static const char *const color_names[] = {"red", "green", NULL};
static const JsonChoices colors = {.names = color_names, .refusal = "can not unmarshal %q"};
static const char *const pack_names[] = {"none", "s2", NULL};
static const JsonChoices packs = {.names = pack_names,
                                  .refusal = "unknown algorithm: %s",
                                  .is_plain_string = true,
                                  .takes_empty = true};

static const JsonField inner_rows[] = {
    JSON_ROW(Thing, inner_name, "name", JSON_STRING, .flags = JSON_OMIT_EMPTY),
};
static const JsonSchema inner = JSON_SCHEMA("server.Inner", inner_rows);

static const JsonField rows[] = {
    JSON_ROW(Thing, name, "name", JSON_STRING),
    JSON_ROW(Thing, count, "count", JSON_INT, .flags = JSON_OMIT_EMPTY),
    JSON_ROW(Thing, small, "small", JSON_INT32, .flags = JSON_OMIT_EMPTY),
    JSON_ROW(Thing, wait_ns, "wait", JSON_DURATION, .flags = JSON_OMIT_EMPTY),
    JSON_ROW(Thing, seq, "seq", JSON_UINT, .flags = JSON_OMIT_EMPTY),
    JSON_ROW(Thing, flag, "flag", JSON_BOOL, .flags = JSON_OMIT_EMPTY),
    JSON_ROW(Thing, color, "color", JSON_ENUM, .choices = &colors),
    JSON_ROW(Thing, packed, "pack", JSON_ENUM_BOOL, .flags = JSON_OMIT_EMPTY, .choices = &packs),
    JSON_LIST_ROW(Thing, tags, tag_count, "tags", JSON_STRINGS, .flags = JSON_OMIT_EMPTY),
    JSON_LIST_ROW(Thing, waits, wait_count, "waits", JSON_DURATIONS, .flags = JSON_OMIT_EMPTY),
    JSON_LIST_ROW(Thing, labels, label_count, "labels", JSON_MAP, .flags = JSON_OMIT_EMPTY),
    JSON_TIME_ROW(Thing, at_ns, has_at, offsetof(Thing, at_text), "at", .flags = JSON_OMIT_EMPTY),
    JSON_OBJECT_ROW("inner", &inner, offsetof(Thing, has_inner), .flags = JSON_OMIT_EMPTY),
    JSON_ROW(Thing, raw, "raw", JSON_RAW, .flags = JSON_OMIT_EMPTY),
};
static const JsonSchema schema = JSON_SCHEMA("ThingRequest", rows);

typedef struct Case {
    const char *text, *want;
} Case;

static void run(const Case *cases, size_t n, JsonMode mode, bool want_error) {
    for (size_t i = 0; i < n; i++) {
        Arena *arena = arena_new();
        Thing thing = {0};
        Buf out = {0};
        Status status = json_read(slice_of_text(cases[i].text), &schema, mode, arena, &thing, &out);
        assert_int_equal(status, want_error ? ERR_SYNTAX : OK);
        if (!want_error)
            json_write(&out, &schema, &thing);
        assert_string_equal(buf_text(&out), cases[i].want);
        buf_done(&out);
        arena_free(arena);
    }
}

static void what_was_read_is_written_in_the_order_of_the_table(void **state) {
    (void)state;
    static const Case cases[] = {
        {"", "{\"name\":\"\",\"color\":\"red\"}"},
        {" \n", "{\"name\":\"\",\"color\":\"red\"}"},
        {"null", "{\"name\":\"\",\"color\":\"red\"}"},
        {"{}{\"name\":\"a\"} {\"name\":\"b\"}", "{\"name\":\"b\",\"color\":\"red\"}"},
        {"{\"color\":\"green\",\"NAME\":\"x\"}", "{\"name\":\"x\",\"color\":\"green\"}"},
        {"{\"count\":9223372036854775807,\"seq\":18446744073709551615,\"small\":-2147483648,"
         "\"wait\":-1}",
         "{\"name\":\"\",\"count\":9223372036854775807,\"small\":-2147483648,\"wait\":-1,"
         "\"seq\":18446744073709551615,\"color\":\"red\"}"},
        {"{\"name\":null,\"count\":null,\"flag\":null,\"tags\":null,\"inner\":null,\"raw\":null,"
         "\"at\":null}",
         "{\"name\":\"\",\"color\":\"red\"}"},
        {"{\"name\":\"a\",\"name\":\"b\",\"count\":1,\"Count\":2}",
         "{\"name\":\"b\",\"count\":2,\"color\":\"red\"}"},
        {"{\"labels\":{\"b\":\"1\",\"a\":\"2\",\"b\":\"3\"}}",
         "{\"name\":\"\",\"color\":\"red\",\"labels\":{\"a\":\"2\",\"b\":\"3\"}}"},
        {"{\"tags\":[\"x\",null,\"y\"],\"waits\":[1,2]}",
         "{\"name\":\"\",\"color\":\"red\",\"tags\":[\"x\",\"\",\"y\"],\"waits\":[1,2]}"},
        {"{\"name\":\"\\u00e9\\ud83d\\ude00\\ud83d<&>\\n\\/\\u2028\"}",
         "{\"name\":\"\xc3\xa9\xf0\x9f\x98\x80\xef\xbf\xbd\\u003c\\u0026\\u003e\\n/"
         "\\u2028\",\"color\":\"red\"}"},
        {"{\"name\":\"\x80\"}", "{\"name\":\"\xef\xbf\xbd\",\"color\":\"red\"}"},
        {"{\"at\":\"2026-01-02T03:04:05.500+00:00\"}",
         "{\"name\":\"\",\"color\":\"red\",\"at\":\"2026-01-02T03:04:05.5Z\"}"},
        {"{\"at\":\"2026-01-02T03:04:05+02:00\"}",
         "{\"name\":\"\",\"color\":\"red\",\"at\":\"2026-01-02T03:04:05+02:00\"}"},
        {"{\"inner\":{},\"raw\":[1, {\"a\":2}],\"pack\":\"\"}",
         "{\"name\":\"\",\"color\":\"red\",\"inner\":{},\"raw\":[1, {\"a\":2}]}"},
        {"{\"inner\":{\"name\":\"i\"},\"pack\":\"s2\"}",
         "{\"name\":\"\",\"color\":\"red\",\"pack\":\"s2\",\"inner\":{\"name\":\"i\"}}"},
    };
    run(cases, sizeof cases / sizeof cases[0], JSON_STRICT, false);
}

static void bad_json_is_refused_in_the_words_of_go(void **state) {
    (void)state;
#define FIELD " into Go struct field ThingRequest."
    static const Case cases[] = {
        {"{\"bogus\":1}", "json: unknown field \"bogus\""},
        {"{\"inner\":{\"x\\\"y\":1}}", "json: unknown field \"x\\\"y\""},
        {"[]", "json: cannot unmarshal array into Go value of type server.ThingRequest"},
        {"\"x\"", "json: cannot unmarshal string into Go value of type server.ThingRequest"},
        {"12", "json: cannot unmarshal number into Go value of type server.ThingRequest"},
        {"{\"count\":1.5}", "json: cannot unmarshal number 1.5" FIELD "count of type int64"},
        {"{\"count\":1e9}", "json: cannot unmarshal number 1e9" FIELD "count of type int64"},
        {"{\"count\":9223372036854775808}",
         "json: cannot unmarshal number 9223372036854775808" FIELD "count of type int64"},
        {"{\"Count\":\"1\"}", "json: cannot unmarshal string" FIELD "count of type int64"},
        {"{\"small\":2147483648}",
         "json: cannot unmarshal number 2147483648" FIELD "small of type int32"},
        {"{\"seq\":-1}", "json: cannot unmarshal number -1" FIELD "seq of type uint64"},
        {"{\"wait\":\"1s\"}", "json: cannot unmarshal string" FIELD "wait of type time.Duration"},
        {"{\"flag\":1}", "json: cannot unmarshal number" FIELD "flag of type bool"},
        {"{\"name\":true}", "json: cannot unmarshal bool" FIELD "name of type string"},
        {"{\"name\":{}}", "json: cannot unmarshal object" FIELD "name of type string"},
        {"{\"tags\":\"x\"}", "json: cannot unmarshal string" FIELD "tags of type []string"},
        {"{\"tags\":[1]}", "json: cannot unmarshal number into ThingRequest.tags.0 of type string"},
        {"{\"waits\":1}", "json: cannot unmarshal number" FIELD "waits of type []time.Duration"},
        {"{\"waits\":[\"x\"]}",
         "json: cannot unmarshal string into ThingRequest.waits.0 of type time.Duration"},
        {"{\"labels\":[]}",
         "json: cannot unmarshal array" FIELD "labels of type map[string]string"},
        {"{\"labels\":{\"a\":1}}", "json: cannot unmarshal number" FIELD "labels.a of type string"},
        {"{\"inner\":1}", "json: cannot unmarshal number" FIELD "inner of type server.Inner"},
        {"{\"inner\":{\"name\":1}}",
         "json: cannot unmarshal number" FIELD "inner.name of type string"},
        {"{\"count\":\"x\",\"bogus\":1}",
         "json: cannot unmarshal string" FIELD "count of type int64"},
        {"{\"bogus\":1,\"color\":\"xx\"}", "json: unknown field \"bogus\""},
        {"{\"color\":\"xx\",\"bogus\":1}", "can not unmarshal \"\\\"xx\\\"\""},
        {"{\"color\":\"\"}", "can not unmarshal \"\\\"\\\"\""},
        {"{\"color\":\"Red\"}", "can not unmarshal \"\\\"Red\\\"\""},
        {"{\"color\":null}", "can not unmarshal \"null\""},
        {"{\"color\":1}", "can not unmarshal \"1\""},
        {"{\"pack\":\"zip\"}", "unknown algorithm: \"zip\""},
        {"{\"pack\":1}", "json: cannot unmarshal number into Go value of type string"},
        {"{\"at\":\"bad\"}",
         "parsing time \"bad\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"bad\" as \"2006\""},
        {"{\"at\":1}", "json: cannot unmarshal number" FIELD "at of type time.Time"},
        {"{\"name\":\"a\"", "unexpected EOF"},
        {"{\"name\":\"a", "unexpected EOF"},
        {"{", "unexpected EOF"},
        {"{\"name\":\"a\"} x", "invalid character 'x' looking for beginning of value at offset 14"},
        {"x", "invalid character 'x' looking for beginning of value at offset 1"},
        {"{x", "invalid character 'x' looking for beginning of object key string at offset 2"},
        {"{\"a\" 1}", "invalid character '1' after object key at offset 6"},
        {"{\"a\":1 \"b\"}", "invalid character '\"' after object key:value pair at offset 8"},
        {"{\"a\":[1 2]}", "invalid character '2' after array element at offset 9"},
        {"{\"a\":01}", "invalid character '1' after object key:value pair at offset 7"},
        {"{\"a\":-}", "invalid character '}' in numeric literal at offset 7"},
        {"{\"a\":1.}", "invalid character '}' in numeric literal at offset 8"},
        {"{\"a\":1ex}", "invalid character 'x' in numeric literal at offset 8"},
        {"{\"a\":trux}", "invalid character 'x' in literal true (expecting 'e') at offset 9"},
        {"{\"a\":\"\\x\"}", "invalid escape sequence `\\x` in string at offset 8"},
        {"{\"a\":\"\\u12x4\"}", "invalid escape sequence `\\u12x4` in string at offset 12"},
        {"{\"a\":\"\n\"}", "invalid character '\\n' in string at offset 7"},
        {"{'a'", "invalid character '\\'' looking for beginning of object key string at offset 2"},
        {"\xc3\xbf", "invalid character '\xc3\xbf' looking for beginning of value at offset 2"},
        {"{\"a\":1,}",
         "invalid character '}' looking for beginning of object key string at offset 8"},
    };
    run(cases, sizeof cases / sizeof cases[0], JSON_STRICT, true);

    static const Case loose[] = {
        {"", "unexpected end of JSON input"},
        {"{\"a\":", "unexpected end of JSON input"},
        {"{} x", "invalid character 'x' after top-level value"},
        {"x", "invalid character 'x' looking for beginning of value"},
        {"{\"bogus\":1,\"count\":\"x\"}",
         "json: cannot unmarshal string" FIELD "count of type int64"},
    };
    run(loose, sizeof loose / sizeof loose[0], JSON_LOOSE, true);
}

static void nesting_is_bounded(void **state) {
    (void)state;
    enum { DEEP = 20000 };
    static char text[DEEP];
    memset(text, '[', sizeof text);
    size_t at = 0;
    Buf error = {0};
    assert_int_equal(json_check(slice_from(text, sizeof text), &at, true, &error), ERR_SYNTAX);
    assert_string_equal(buf_text(&error), "exceeded max depth");
    buf_done(&error);
}

static void only_objects_without_members_are_empty(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool want;
    } cases[] = {
        {"", true},    {"{}", true},         {" { } ", true}, {" ", false},
        {"[]", false}, {"{\"a\":1}", false}, {"{} x", false}, {"null", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(json_is_empty_object(slice_of_text(cases[i].text)), cases[i].want);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_read_is_written_in_the_order_of_the_table),
        cmocka_unit_test(bad_json_is_refused_in_the_words_of_go),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(only_objects_without_members_are_empty),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
