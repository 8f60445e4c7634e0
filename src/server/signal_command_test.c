#include "server/signal_command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include <signal.h>

#include "io/disk.h"

static sig_atomic_t got;

static void on_signal(int number) {
    got = number;
}

static void commands_reach_the_process_of_a_pid_or_a_pid_file(void **state) {
    static const struct {
        const char *command;
        int number;
    } cases[] = {{"quit", SIGINT},
                 {"term", SIGTERM},
                 {"reopen", SIGUSR1},
                 {"reload", SIGHUP},
                 {"ldm", SIGUSR2}};
    char path[] = "/tmp/signal-command-XXXXXX", text[96];
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_true(dprintf(fd, "%d\n", getpid()) > 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int by_file = 0; by_file < 2; by_file++) {
            Buf error = {0};
            if (by_file)
                (void)snprintf(text, sizeof text, "%s=%s", cases[i].command, path);
            else
                (void)snprintf(text, sizeof text, "%s=%d", cases[i].command, getpid());
            assert_true(signal(cases[i].number, on_signal) != SIG_ERR);
            got = 0;
            assert_int_equal(signal_command_run(slice_of_text(text), &error), OK);
            assert_int_equal(got, cases[i].number);
            buf_done(&error);
        }
    }
    (void)close(fd);
    assert_int_equal(disk_remove(path), OK);
}

static void what_cannot_be_done_is_said(void **state) {
    static const char *const cases[][2] = {
        {"foo=1", "unknown signal \"foo\""},
        {"", "unknown signal \"\""},
        {"reload=/nope", "invalid pid: /nope"},
        {"reload=0", "invalid pid: 0"},
        {"reload=99999999", "\nsignal \"reload\" 99999999: no such process"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Buf error = {0};
        assert_int_not_equal(signal_command_run(slice_of_text(cases[i][0]), &error), OK);
        assert_string_equal(buf_text(&error), cases[i][1]);
        buf_done(&error);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_reach_the_process_of_a_pid_or_a_pid_file),
        cmocka_unit_test(what_cannot_be_done_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
