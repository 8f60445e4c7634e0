#include "io/process.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/cpu_quota.h"
#include "io/disk.h"
#include "io/log_file.h"
#include "io/signals.h"
#include "io/thread.h"

static void facts_are_plausible(void **state) {
    (void)state;
    assert_int_equal(process_pid(), getpid());
    assert_true(process_rss_bytes() > 100 * 1024);
    assert_true(process_ram_bytes() > process_rss_bytes());
    assert_true(process_raise_file_limit() >= 64);
    assert_int_equal(process_raise_file_limit(), process_raise_file_limit());
    assert_true(thread_cpu_count() >= 1);
    char name[65] = "", cut[2];
    process_hostname(name, sizeof name);
    process_hostname(cut, sizeof cut);
    assert_true(name[0] != '\0');
    assert_int_equal(cut[0], name[0]);
    assert_int_equal(cut[1], '\0');

    uint64_t before = process_cpu_ns();
    while (process_cpu_ns() == before)
        ; /* it rises while we work */
    uint64_t a[2] = {0}, b[2] = {0};
    process_random(a, sizeof a);
    process_random(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
}

static void local_time_is_broken_down(void **state) {
    (void)state;
    LocalTime time;
    process_local_time(1700000000, true, &time);
    assert_int_equal(time.year, 2023);
    assert_int_equal(time.month, 11);
    assert_int_equal(time.day, 14);
    assert_int_equal(time.hour, 22);
    assert_int_equal(time.minute, 13);
    assert_int_equal(time.second, 20);
    assert_int_equal(time.utc_offset_s, 0);
    process_local_time(1700000000, false, &time);
    int seconds = time.hour * 3600 + time.minute * 60 + time.second - time.utc_offset_s;
    assert_int_equal((seconds + 86400) % 86400, 22 * 3600 + 13 * 60 + 20);
}

static int numbers[8], number_count;

static void on_signal(void *cookie, int number) {
    assert_string_equal(cookie, "cookie");
    numbers[number_count++] = number;
}

static void signals_come_as_numbers(void **state) {
    (void)state;
    Worker **all;
    Signals *signals;
    static const int WANTED[] = {SIGHUP, SIGUSR1};
    assert_int_equal(workers_new(1, &all), OK);
    assert_int_equal(signals_open(all[1], WANTED, 2, on_signal, (void *)"cookie", &signals), OK);
    assert_int_equal(process_signal(process_pid(), SIGHUP), OK);
    assert_int_equal(process_signal(process_pid(), SIGUSR1), OK);
    assert_int_equal(process_signal(process_pid(), SIGPIPE), OK); /* ignored */
    while (number_count < 2)
        worker_turn(all[1], true);
    assert_int_equal(numbers[0] + numbers[1], SIGHUP + SIGUSR1);
    assert_int_equal(process_signal(0, 0), ERR_NOT_FOUND);
    assert_int_equal(process_signal(-1, 0), ERR_NOT_FOUND);
    assert_int_equal(process_signal(0x3ffffff, 0), ERR_NOT_FOUND);
    signals_close(signals);
    workers_free(all);
}

static char dir[64];

static const char *path(const char *name) {
    static char text[256];
    (void)snprintf(text, sizeof text, "%s/%s", dir, name);
    return text;
}

static int set_up(void **state) {
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/process_test.XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static void check_file(const char *name, const char *want) {
    char *text;
    size_t len;
    assert_int_equal(disk_read_file(path(name), 1000, &text, &len), OK);
    assert_string_equal(text, want);
    mem_free(text);
    assert_int_equal(disk_remove(path(name)), OK);
}

static void a_log_file_is_reopened_after_it_was_moved(void **state) {
    (void)state;
    LogFile *file;
    assert_int_equal(log_file_open(path("none/log"), &file), ERR_NOT_FOUND);
    assert_int_equal(disk_write_file(path("log"), LIT("0\n"), 0600), OK);
    assert_int_equal(log_file_open(path("log"), &file), OK);
    log_file_append(file, LIT("1\n"));
    assert_int_equal(log_file_size(file), 4);
    char *old = mem_copy(path("log"), strlen(path("log")));
    assert_int_equal(disk_rename(old, path("log.1")), OK);
    mem_free(old);
    log_file_append(file, LIT("2\n"));
    assert_int_equal(log_file_reopen(file), OK);
    log_file_append(file, LIT("3\n"));
    log_file_close(file);
    log_file_close(NULL);
    check_file("log.1", "0\n1\n2\n");
    check_file("log", "3\n");
    assert_int_equal(disk_remove(dir), OK);

    assert_int_equal(log_file_open(NULL, &file), OK);
    assert_int_equal(log_file_reopen(file), OK);
    assert_int_equal(log_file_size(file), 0);
    log_file_close(file);
}

static void put(const char *name, const char *text) {
    assert_int_equal(disk_write_file(path(name), slice_of_text(text), 0600), OK);
}

static void the_tightest_cpu_quota_counts(void **state) {
    (void)state;
    static const struct {
        const char *groups, *outer, *inner, *v1_quota;
        unsigned want;
    } cases[] = {
        {"0::/a/b\n", "max 100000", "150000 100000", "-1", 2},
        {"0::/a/b\n", "100000 100000", "350000 100000", "-1", 1},
        {"0::/a/b\n", "max 100000", "max 100000", "-1", 0},
        {"0::/a/b\n", "400000 100000", "max 100000", "-1", 4},
        {"0::/a/b\n", "max 100000", "1000 100000", "-1", 1},
        {"0::/gone\n", "max 100000", "1000 100000", "-1", 0},
        {"3:memory:/a\n2:cpu,cpuacct:/g\n", "max 1", "max 1", "250000", 3},
        {"2:cpuset:/g\n", "max 1", "max 1", "250000", 0},
        {"2:cpu:/g\n0::/a\n", "100000 100000", "max 1", "250000", 1},
        {"nonsense\n\n:::\n0::", "max 1", "what", "250000", 0},
    };
    assert_int_equal(disk_make_dirs(path("a/b")), OK);
    assert_int_equal(disk_make_dirs(path("cpu/g")), OK);
    put("cpu/g/cpu.cfs_period_us", "100000\n");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        put("groups", cases[i].groups);
        put("a/cpu.max", cases[i].outer);
        put("a/b/cpu.max", cases[i].inner);
        put("cpu/g/cpu.cfs_quota_us", cases[i].v1_quota);
        char *groups = mem_copy(path("groups"), strlen(path("groups")));
        assert_int_equal(cpu_quota(groups, dir), cases[i].want);
        mem_free(groups);
    }
    static const char *const GONE[] = {"cpu/g/cpu.cfs_period_us",
                                       "cpu/g/cpu.cfs_quota_us",
                                       "cpu/g",
                                       "cpu",
                                       "a/b/cpu.max",
                                       "a/b",
                                       "a/cpu.max",
                                       "a",
                                       "groups",
                                       ""};
    for (size_t i = 0; i < sizeof GONE / sizeof GONE[0]; i++)
        assert_int_equal(disk_remove(path(GONE[i])), OK);
    assert_int_equal(cpu_quota("/none/such", "/none"), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(facts_are_plausible),
        cmocka_unit_test(local_time_is_broken_down),
        cmocka_unit_test(signals_come_as_numbers),
        cmocka_unit_test_setup_teardown(a_log_file_is_reopened_after_it_was_moved, set_up, NULL),
        cmocka_unit_test_setup_teardown(the_tightest_cpu_quota_counts, set_up, NULL),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
