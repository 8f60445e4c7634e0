#include "proto/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/mem.h"

typedef struct Files {
    const char *const *pairs; /* path, text, ..., NULL */
} Files;

static Status read_file(void *cookie, const char *path, Buf *out_text, Buf *out_error) {
    const Files *files = cookie;
    for (const char *const *pair = files->pairs; pair != NULL && *pair != NULL; pair += 2) {
        if (strcmp(pair[0], path) == 0) {
            buf_append(out_text, slice_of_text(pair[1]));
            return OK;
        }
    }
    buf_printf(out_error, "open %s: no such file or directory", path);
    return ERR_NOT_FOUND;
}

static const char *environment(void *cookie, const char *name) {
    static const char *const set[][2] = {{"HW_PORT", "4300"},
                                         {"HW_LIST", "[a, b]"},
                                         {"HW_SELF", "$HW_SELF"},
                                         {"HW_BROKEN", "a b"},
                                         {"HW_TEXT", "word"}};
    for (size_t i = 0; i < sizeof set / sizeof set[0]; i++)
        if (strcmp(set[i][0], name) == 0)
            return set[i][1];
    return NULL;
}

static Status parse(const char *text, const char *const *files, Buf *error, Conf **out_conf) {
    Files held = {files};
    ConfSource source = {&held, read_file, environment};
    return conf_parse(LIT("dir/f.conf"), slice_of_text(text), &source, error, out_conf);
}

static void assert_parses(const char *text, const char *want_json) {
    Buf error = {0}, json = {0};
    Conf *conf = NULL;

    if (parse(text, NULL, &error, &conf) != OK)
        fail_msg("%s\n%s", text, buf_text(&error));
    conf_write_json(&json, conf_root(conf));
    if (strcmp(buf_text(&json), want_json) != 0)
        fail_msg("%s\ngave %s\nwant %s", text, buf_text(&json), want_json);
    conf_free(conf);
    buf_done(&error);
    buf_done(&json);
}

static void values_of_all_kinds_are_read(void **state) {
    static const char *const cases[][2] = {
        {"", "{}"},
        {"# only\n// comments", "{}"},
        {"a: 1", "{\"a\":1}"},
        {"a = 1\nb 2\nc: 3", "{\"a\":1,\"b\":2,\"c\":3}"},
        {"a:1,b:2;c:3", "{\"a\":1,\"b\":2,\"c\":3}"},
        {"a: 1 # comment\nb: 2 // comment\n", "{\"a\":1,\"b\":2}"},
        {"b: 1\na: 2\nb: 3", "{\"a\":2,\"b\":3}"},
        {"\"a b\": 1\n'c d': 2", "{\"a b\":1,\"c d\":2}"},
        {"a\n  1", "{\"a\":1}"},
        {"a:", "{\"a\":\"\"}"},
        {"a: true\nb: YES\nc: on\nd: False\ne: no\nf: OFF",
         "{\"a\":true,\"b\":true,\"c\":true,\"d\":false,\"e\":false,\"f\":false}"},
        {"a: \"true\"\nb: 'no'", "{\"a\":\"true\",\"b\":\"no\"}"},
        {"a: 'x\\y'", "{\"a\":\"x\\\\y\"}"},
        {"a: \"\\x41\\t\\n\\r\\\"\\\\z\"", "{\"a\":\"A\\t\\n\\r\\\"\\\\z\"}"},
        {"a: foo\\x20bar", "{\"a\":\"foo bar\"}"},
        {"a: -7\nb: -7k", "{\"a\":-7,\"b\":-7000}"},
        {"a: 1k\nb: 1K\nc: 1kb\nd: 1KiB\ne: 1ki",
         "{\"a\":1000,\"b\":1000,\"c\":1024,\"d\":1024,\"e\":1024}"},
        {"a: 2m\nb: 64MB\nc: 3g\nd: 10GiB",
         "{\"a\":2000000,\"b\":67108864,\"c\":3000000000,\"d\":10737418240}"},
        {"a: 1t\nb: 1TB\nc: 1p\nd: 1PiB\ne: 1e\nf: 1EB",
         "{\"a\":1000000000000,\"b\":1099511627776,\"c\":1000000000000000,\"d\":1125899906842624,"
         "\"e\":1000000000000000000,\"f\":1152921504606846976}"},
        {"a: 1.5\nb: -0.25\nc: 100.0", "{\"a\":1.5,\"b\":-0.25,\"c\":100}"},
        {"a: 5s\nb: 300ms\nc: 2h45m\nd: 1ms",
         "{\"a\":\"5s\",\"b\":\"300ms\",\"c\":\"2h45m\",\"d\":\"1ms\"}"},
        {"a: 127.0.0.1:4222\nb: 10.0.0.1", "{\"a\":\"127.0.0.1:4222\",\"b\":\"10.0.0.1\"}"},
        {"a: 127.0.0.1:-1", "{\"a\":\"127.0.0.1:-1\"}"},
        {"a: 5e7bcd\nb: 0K1abc", "{\"a\":\"5e7bcd\",\"b\":\"0K1abc\"}"},
        {"a: 2016-05-04T18:53:41Z", "{\"a\":\"2016-05-04T18:53:41Z\"}"},
        {"a: [1, 2]", "{\"a\":[1,2]}"},
        {"a: [1,2]", "{\"a\":[1,2]}"},
        {"a: [\n x\n y # z\n 'w', true\n]", "{\"a\":[\"x\",\"y\",\"w\",true]}"},
        {"a: []\nb {}", "{\"a\":[],\"b\":{}}"},
        {"a: [[1k,2kb],{b:c}]", "{\"a\":[[1000,2048],{\"b\":\"c\"}]}"},
        {"a { b { c: 1\n d: 2 }, e: f }", "{\"a\":{\"b\":{\"c\":1,\"d\":2},\"e\":\"f\"}}"},
        {"a: {b: 1, c: [x]}\n", "{\"a\":{\"b\":1,\"c\":[\"x\"]}}"},
        {"a {\n b =\n  1\n}", "{\"a\":{\"b\":1}}"},
        {"{ \"port\": 4222, \"debug\": true }", "{\"debug\":true,\"port\":4222}"},
        {"{\n \"a\": [1, 2],\n \"b\": {\"c\": null}\n}\n", "{\"a\":[1,2],\"b\":{\"c\":\"null\"}}"},
        {"a {b: 1}\n}\n", "{\"a\":{\"b\":1}}"},
        {"a: (\nfoo ) bar\n  )\n)\n", "{\"a\":\"\\nfoo ) bar\\n  )\\n\"}"},
        {"a: $2a$11$abc./X", "{\"a\":\"$2a$11$abc./X\"}"},
        {"a: nats://127.0.0.1:4222", "{\"a\":\"nats://127.0.0.1:4222\"}"},
        {"a: x.*.y.>\nb: _INBOX.>", "{\"a\":\"x.*.y.\\u003e\",\"b\":\"_INBOX.\\u003e\"}"},
        {"a:\"b\";c:'d'", "{\"a\":\"b\",\"c\":\"d\"}"},
        {"a: b\r\nc: 1\r\n", "{\"a\":\"b\",\"c\":1}"},
        {"\xEF\xBB\xBF"
         "a: 1",
         "{\"a\":1}"},
        {"$SYS { users: [ { user: a, password: b } ] }",
         "{\"$SYS\":{\"users\":[{\"password\":\"b\",\"user\":\"a\"}]}}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_parses(cases[i][0], cases[i][1]);
}

static void variables_are_found_in_enclosing_maps_then_in_the_environment(void **state) {
    static const char *const cases[][2] = {
        {"X: 1\na: $X", "{\"X\":1,\"a\":1}"},
        {"X: 1\na { X: 2\n b: $X }\nc: $X", "{\"X\":1,\"a\":{\"X\":2,\"b\":2},\"c\":1}"},
        {"X: 1\na { b { c: $X } }", "{\"X\":1,\"a\":{\"b\":{\"c\":1}}}"},
        {"X: {a: 1}\nb: [$X, $X]", "{\"X\":{\"a\":1},\"b\":[{\"a\":1},{\"a\":1}]}"},
        {"a: $HW_PORT", "{\"a\":4300}"},
        {"a: $HW_LIST", "{\"a\":[\"a\",\"b\"]}"},
        {"HW_PORT: 1\na: $HW_PORT", "{\"HW_PORT\":1,\"a\":1}"},
        {"a: '$HW_PORT'", "{\"a\":\"$HW_PORT\"}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_parses(cases[i][0], cases[i][1]);
}

static void errors_say_where_and_what_was_expected(void **state) {
    static const char *const cases[][2] = {
        {"a: 1\nb: [1, 2",
         "Parse error on line 2: 'Expected an array value terminator \",\" or an array terminator "
         "\"]\", but got 'EOF' instead.' (dir/f.conf:2:9)"},
        {"a {\n b: 1\n",
         "Parse error on line 3: 'Unexpected EOF processing map.' (dir/f.conf:3:1)"},
        {"a: \"abc", "Parse error on line 1: 'Unexpected EOF.' (dir/f.conf:1:8)"},
        {"a: \"ab\\qc\"", "Parse error on line 1: 'Invalid escape character 'q'. Only the "
                          "following escape characters "
                          "are allowed: \\xXX, \\t, \\n, \\r, \\\", \\\\.' (dir/f.conf:1:8)"},
        {"a: \"ab\\x4\"",
         "Parse error on line 1: 'Expected two hexadecimal digits after '\\x', but got '4\"'' "
         "(dir/f.conf:1:9)"},
        {"a", "config is invalid (dir/f.conf:1:1): no value for \"a\""},
        {"= 3", "Parse error on line 1: 'Unexpected key separator '='' (dir/f.conf:1:1)"},
        {"a: ]", "Parse error on line 1: 'Expected a top-level value to end with a new line, "
                 "comment or EOF, but got "
                 "']' instead.' (dir/f.conf:1:4)"},
        {"a:\n1", "Parse error on line 1: 'Expected value but found new line' (dir/f.conf:1:3)"},
        {"a: b c", "Parse error on line 1: 'Expected a top-level value to end with a new line, "
                   "comment or EOF, but got "
                   "'c' instead.' (dir/f.conf:1:6)"},
        {"l: 127.0.0.1:$PORT",
         "Parse error on line 1: 'Expected a top-level value to end with a new line, comment or "
         "EOF, but got '$' instead.' (dir/f.conf:1:14)"},
        {"a { b: 1 c: 2 }",
         "Parse error on line 1: 'Expected a map value terminator \",\" or a map terminator \"}\", "
         "but got 'c' instead.' (dir/f.conf:1:10)"},
        {"a: 2016-05-04",
         "Parse error on line 1: 'Expected 'T' in ISO8601 datetime, but found 'EOF' instead.' "
         "(dir/f.conf:1:14)"},
        {"a: 10-20",
         "Parse error on line 1: 'All ISO8601 dates must be in full Zulu form.' (dir/f.conf:1:6)"},
        {"a: .5", "Parse error on line 1: 'Floats must start with a digit' (dir/f.conf:1:4)"},
        {"a: 1.",
         "Parse error on line 1: 'Floats must have a digit after the '.', but got 'EOF' instead.' "
         "(dir/f.conf:1:6)"},
        {"a: 99999999999999999999",
         "Parse error on line 1: 'integer '99999999999999999999' is out of the range' "
         "(dir/f.conf:1:24)"},
        {"a: 99eb", "Parse error on line 1: 'integer '99eb' is out of the range' (dir/f.conf:1:8)"},
        {"a: 1kbb", "Parse error on line 1: 'integer '1kbb' is out of the range' (dir/f.conf:1:8)"},
        {"a: (\nfoo", "Parse error on line 2: 'Unexpected EOF processing block.' (dir/f.conf:2:4)"},
        {"\n\n\n\n\n\n\npass: $PW", "variable reference for 'PW' on line 8 can not be found"},
        {"a: $HW_SELF",
         "variable reference for 'HW_SELF' on line 1 could not be parsed: Parse error on line 1: "
         "'variable reference cycle for 'HW_SELF'' (environment:1:12)"},
        {"a: $HW_BROKEN",
         "variable reference for 'HW_BROKEN' on line 1 could not be parsed: Parse error on line 1: "
         "'Expected a top-level value to end with a new line, comment or EOF, but got 'b' "
         "instead.' "
         "(environment:1:6)"},
        {"include nope",
         "error parsing include file 'nope', open dir/nope: no such file or directory"},
        {"include [a]", "Parse error on line 1: 'Expected include value but found start of an "
                        "array' (dir/f.conf:1:9)"},
        {"a: 1\n}\nb: 2",
         "Parse error on line 2: 'Unexpected map end '}' at the top level.' (dir/f.conf:2:1)"},
        {"a { ] }",
         "Parse error on line 1: 'Unexpected array end ']' processing map.' (dir/f.conf:1:5)"},
        {"a: [,]",
         "Parse error on line 1: 'Unexpected array value terminator ','.' (dir/f.conf:1:5)"},
        {"a { b: , }",
         "Parse error on line 1: 'Unexpected map value terminator ','.' (dir/f.conf:1:8)"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Buf error = {0};
        Conf *conf = NULL;
        assert_int_equal(parse(cases[i][0], NULL, &error, &conf), ERR_SYNTAX);
        assert_string_equal(buf_text(&error), cases[i][1]);
        buf_done(&error);
    }
}

static void includes_are_relative_to_the_including_file(void **state) {
    static const char *const files[] = {"dir/sub/b.conf",
                                        "b: 2\ninclude 'c.conf'\n",
                                        "dir/sub/c.conf",
                                        "c: 3",
                                        "/abs.conf",
                                        "d: 4",
                                        NULL};
    Buf error = {0}, json = {0};
    Conf *conf = NULL;

    assert_int_equal(
        parse("a: 1\ninclude \"sub/b.conf\"\nm { include sub/c.conf }\nInclude /abs.conf\n", files,
              &error, &conf),
        OK);
    conf_write_json(&json, conf_root(conf));
    assert_string_equal(buf_text(&json), "{\"a\":1,\"b\":2,\"c\":3,\"d\":4,\"m\":{\"c\":3}}");
    const ConfValue *c = conf_get(conf_root(conf), LIT("c"));
    assert_true(slice_equal(c->file, LIT("dir/sub/c.conf")));
    assert_int_equal(c->line, 1);
    conf_free(conf);
    buf_done(&error);
    buf_done(&json);
}

static void a_file_that_includes_itself_is_refused(void **state) {
    static const char *const files[] = {"dir/f.conf", "include f.conf", NULL};
    Buf error = {0};
    Conf *conf = NULL;

    assert_int_equal(parse("include f.conf", files, &error, &conf), ERR_SYNTAX);
    assert_non_null(strstr(buf_text(&error), "More than 16 includes in each other"));
    buf_done(&error);
}

static void deep_and_exploding_trees_are_refused(void **state) {
    Buf text = {0}, error = {0};
    Conf *conf = NULL;

    for (int i = 0; i < 200; i++)
        buf_append_lit(&text, "a {");
    assert_int_equal(parse(buf_text(&text), NULL, &error, &conf), ERR_SYNTAX);
    assert_non_null(strstr(buf_text(&error), "More than 100 maps and arrays in each other"));

    buf_clear(&text);
    buf_clear(&error);
    buf_append_lit(&text, "a0: [1, 1]\n");
    for (int i = 1; i < 64; i++)
        buf_printf(&text, "a%d: [$a%d, $a%d]\n", i, i - 1, i - 1);
    assert_int_equal(parse(buf_text(&text), NULL, &error, &conf), ERR_SYNTAX);
    assert_non_null(strstr(buf_text(&error), "values, with variables"));

    buf_clear(&text);
    buf_clear(&error);
    buf_append_lit(&text, "a0: 1\n");
    for (int i = 1; i < 200; i++)
        buf_printf(&text, "a%d: [$a%d]\n", i, i - 1);
    assert_int_equal(parse(buf_text(&text), NULL, &error, &conf), ERR_SYNTAX);
    assert_non_null(strstr(buf_text(&error), "More than 100 maps and arrays in each other"));
    buf_done(&text);
    buf_done(&error);
}

static void positions_are_those_of_keys(void **state) {
    Buf error = {0};
    Conf *conf = NULL;

    assert_int_equal(parse("a: 1\n  b { cc: [x,\n y] }\n", NULL, &error, &conf), OK);
    const ConfValue *b = conf_get(conf_root(conf), LIT("b"));
    assert_int_equal(b->line, 2);
    assert_int_equal(b->column, 3);
    const ConfValue *cc = conf_get(b, LIT("cc"));
    assert_int_equal(cc->line, 2);
    assert_int_equal(cc->column, 7);
    assert_int_equal(cc->list.count, 2);
    assert_int_equal(cc->list.last->line, 3);
    assert_int_equal(cc->list.last->column, 2);
    conf_free(conf);
    buf_done(&error);
}

static void used_variables_are_marked_and_large_maps_stay_fast(void **state) {
    Buf text = {0}, error = {0};
    Conf *conf = NULL;

    for (int i = 0; i < 20000; i++)
        buf_printf(&text, "k%d: %d\n", i, i);
    buf_append_lit(&text, "last: $k17\n");
    assert_int_equal(parse(buf_text(&text), NULL, &error, &conf), OK);
    assert_true(conf_get(conf_root(conf), LIT("k17"))->was_used);
    assert_false(conf_get(conf_root(conf), LIT("k18"))->was_used);
    assert_int_equal(conf_get(conf_root(conf), LIT("last"))->integer, 17);
    conf_free(conf);
    buf_done(&text);
    buf_done(&error);
}

static void values_print_as_messages_show_them(void **state) {
    Buf error = {0}, plain = {0};
    Conf *conf = NULL;

    assert_int_equal(parse("b: [1, x]\na { c: 1.5\n d: no }", NULL, &error, &conf), OK);
    conf_write_plain(&plain, conf_root(conf));
    assert_string_equal(buf_text(&plain), "map[a:map[c:1.5 d:false] b:[1 x]]");
    conf_free(conf);
    buf_done(&plain);
    buf_done(&error);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_of_all_kinds_are_read),
        cmocka_unit_test(variables_are_found_in_enclosing_maps_then_in_the_environment),
        cmocka_unit_test(errors_say_where_and_what_was_expected),
        cmocka_unit_test(includes_are_relative_to_the_including_file),
        cmocka_unit_test(a_file_that_includes_itself_is_refused),
        cmocka_unit_test(deep_and_exploding_trees_are_refused),
        cmocka_unit_test(positions_are_those_of_keys),
        cmocka_unit_test(used_variables_are_marked_and_large_maps_stay_fast),
        cmocka_unit_test(values_print_as_messages_show_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
