#include "server/command_line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static Status parse(const char *const *words, Buf *error, CommandLine *line) {
    char *args[16] = {0};
    int n = 0;
    for (; words[n] != NULL; n++)
        args[n] = (char *)(uintptr_t)words[n];
    return command_line_parse(n, args, error, line);
}

static void wrong_flags_are_named(void **state) {
    static const struct {
        const char *words[6];
        Status status;
        const char *error;
    } cases[] = {
        {{"hw", "-bogus"}, ERR_SYNTAX, "flag provided but not defined: -bogus"},
        {{"hw", "--bogus=3"}, ERR_SYNTAX, "flag provided but not defined: -bogus"},
        {{"hw", "-p", "abc"}, ERR_SYNTAX, "invalid value \"abc\" for flag -p: parse error"},
        {{"hw", "-p"}, ERR_SYNTAX, "flag needs an argument: -p"},
        {{"hw", "-DV=maybe"}, ERR_SYNTAX, "invalid boolean value \"maybe\" for -DV: parse error"},
        {{"hw", "---p"}, ERR_SYNTAX, "bad flag syntax: ---p"},
        {{"hw", "extra"}, ERR_UNSUPPORTED, "unrecognized command: \"extra\""},
        {{"hw", "-p", "1", "extra"}, ERR_UNSUPPORTED, "unrecognized command: \"extra\""},
        {{"hw", "--tls"}, ERR_UNSUPPORTED, "option \"--tls\" is not supported yet"},
        {{"hw", "--cluster", "nats://x:1"},
         ERR_UNSUPPORTED,
         "option \"--cluster\" is not supported yet"},
        {{"hw", "-s"}, ERR_UNSUPPORTED, "option \"--s\" is not supported yet"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Buf error = {0};
        CommandLine line;
        assert_int_equal(parse(cases[i].words, &error, &line), cases[i].status);
        assert_string_equal(buf_text(&error), cases[i].error);
        command_line_done(&line);
        buf_done(&error);
    }
}

static void one_dash_or_two_and_equals_or_blank_mean_the_same(void **state) {
    static const char *const cases[][5] = {{"hw", "-c", "f"},
                                           {"hw", "--c", "f"},
                                           {"hw", "-config=f"},
                                           {"hw", "--config", "f"},
                                           {"hw", "-c", "g", "-c=f"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Buf error = {0};
        CommandLine line;
        assert_int_equal(parse(cases[i], &error, &line), OK);
        assert_true(slice_equal(line.config_file, LIT("f")));
        command_line_done(&line);
        buf_done(&error);
    }
}

static void words_and_flags_ask_for_version_and_help(void **state) {
    static const struct {
        const char *words[5];
        bool version, help;
    } cases[] = {
        {{"hw", "-v"}, true, false},          {{"hw", "--version"}, true, false},
        {{"hw", "version"}, true, false},     {{"hw", "-h"}, false, true},
        {{"hw", "help"}, false, true},        {{"hw", "-v", "x"}, true, false},
        {{"hw", "-tls=false"}, false, false}, {{"hw", "--routes", ""}, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Buf error = {0};
        CommandLine line;
        assert_int_equal(parse(cases[i].words, &error, &line), OK);
        assert_int_equal(line.wants_version, cases[i].version);
        assert_int_equal(line.wants_help, cases[i].help);
        command_line_done(&line);
        buf_done(&error);
    }
}

static void the_version_depends_on_the_name(void **state) {
    static const struct {
        const char *words[3];
        const char *version;
    } cases[] = {{{"/usr/bin/nats-server", "-v"}, "nats-server: v2.15.1\n"},
                 {{"./holdwater", "-v"}, "holdwater: v0.1.0 (NATS protocol 2.15.1)\n"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Buf error = {0}, out = {0};
        CommandLine line;
        assert_int_equal(parse(cases[i].words, &error, &line), OK);
        command_line_write_version(&line, &out);
        assert_string_equal(buf_text(&out), cases[i].version);
        command_line_done(&line);
        buf_done(&error);
        buf_done(&out);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_flags_are_named),
        cmocka_unit_test(one_dash_or_two_and_equals_or_blank_mean_the_same),
        cmocka_unit_test(words_and_flags_ask_for_version_and_help),
        cmocka_unit_test(the_version_depends_on_the_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
