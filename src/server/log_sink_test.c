#include "server/log_sink.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/disk.h"

typedef struct Folder {
    char path[64];
    Options options;
    char log[128];
} Folder;

static int make_folder(void **state) {
    Folder *folder = mem_zalloc(sizeof *folder);
    (void)snprintf(folder->path, sizeof folder->path, "/tmp/log-sink-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    (void)snprintf(folder->log, sizeof folder->log, "%s/a.log", folder->path);
    folder->options.logtime = true;
    folder->options.log_file = slice_of_text(folder->log);
    *state = folder;
    return 0;
}

static void remove_one(void *cookie, const char *name, bool is_dir) {
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", (const char *)cookie, name);
    assert_int_equal(disk_remove(path), OK);
}

static int remove_folder(void **state) {
    Folder *folder = *state;
    log_sink_close();
    assert_int_equal(disk_list(folder->path, remove_one, folder->path), OK);
    assert_int_equal(disk_remove(folder->path), OK);
    mem_free(folder);
    return 0;
}

static void open_sink(Folder *folder) {
    Buf error = {0};
    assert_int_equal(log_sink_open(&folder->options, &error), OK);
    buf_done(&error);
}

static void apply(Folder *folder) {
    Buf error = {0};
    assert_int_equal(log_sink_apply(&folder->options, &error), OK);
    buf_done(&error);
}

static char *read_log(const Folder *folder) {
    char *text;
    size_t len;
    assert_int_equal(disk_read_file(folder->log, 1 << 20, &text, &len), OK);
    return text;
}

static void assert_log_has(const Folder *folder, const char *want, bool is_there) {
    char *text = read_log(folder);
    if ((strstr(text, want) != NULL) != is_there)
        fail_msg("\"%s\" %s in:\n%s", want, is_there ? "is not" : "is", text);
    mem_free(text);
}

static void a_line_has_pid_time_level_and_text(void **state) {
    Folder *folder = *state;
    int pid, year, month, day, hour, minute, second, us, used = 0;

    open_sink(folder);
    LOG_INFO("something happened", "count=%d", 3);
    char *text = read_log(folder);
    assert_int_equal(sscanf(text,
                            "[%d] %4d/%2d/%2d %2d:%2d:%2d.%6d [INF] something happened count=3\n%n",
                            &pid, &year, &month, &day, &hour, &minute, &second, &us, &used),
                     8);
    assert_int_equal(pid, getpid());
    assert_int_equal((size_t)used, strlen(text));
    mem_free(text);
}

static void levels_and_time_follow_the_options(void **state) {
    Folder *folder = *state;
    Buf want = {0};

    open_sink(folder);
    LOG_DEBUG("one", "%s", "");
    folder->options.debug = true;
    folder->options.logtime = false;
    apply(folder);
    LOG_DEBUG("two", "%s", "");
    LOG_AT(LOG_TRACE_LEVEL, "three", "%s", "");
    folder->options.debug = false;
    folder->options.trace = true;
    apply(folder);
    LOG_DEBUG("four", "%s", "");
    LOG_AT(LOG_TRACE_LEVEL, "five", "%s", "");
    LOG_WARNING("six", "%s", "");
    char *text = read_log(folder);
    buf_printf(&want, "[%d] [DBG] two\n[%d] [TRC] five\n[%d] [WRN] six\n", getpid(), getpid(),
               getpid());
    assert_string_equal(text, buf_text(&want));
    mem_free(text);
    buf_done(&want);
}

static void count_file(void *cookie, const char *name, bool is_dir) {
    (*(int *)cookie)++;
}

static void a_file_over_its_limit_is_rotated_and_old_ones_go(void **state) {
    Folder *folder = *state;
    int files = 0;

    folder->options.log_size_limit = 300;
    folder->options.log_max_num = 3;
    open_sink(folder);
    for (int i = 0; i < 60; i++)
        LOG_INFO("a line that takes some room", "number=%d", i);
    assert_int_equal(disk_list(folder->path, count_file, &files), OK);
    assert_int_equal(files, 3);
    assert_log_has(folder, "Rotated log, backup saved as", true);
}

static void a_file_that_was_moved_away_is_made_anew(void **state) {
    Folder *folder = *state;
    char moved[128];

    (void)snprintf(moved, sizeof moved, "%s/moved", folder->path);
    open_sink(folder);
    LOG_INFO("before", "%s", "");
    assert_int_equal(disk_rename(folder->log, moved), OK);
    assert_int_equal(log_sink_reopen(), OK);
    LOG_INFO("after", "%s", "");
    assert_log_has(folder, "after", true);
    assert_log_has(folder, "before", false);
}

static void another_path_is_taken_while_running_and_a_bad_one_is_not(void **state) {
    Folder *folder = *state;
    char other[128];
    Buf error = {0};

    open_sink(folder);
    (void)snprintf(other, sizeof other, "%s/missing/b.log", folder->path);
    folder->options.log_file = slice_of_text(other);
    assert_int_equal(log_sink_apply(&folder->options, &error), ERR_IO);
    assert_true(error.len > 0);
    LOG_INFO("still the first", "%s", "");
    assert_log_has(folder, "still the first", true);

    (void)snprintf(other, sizeof other, "%s/b.log", folder->path);
    folder->options.log_file = slice_of_text(other);
    apply(folder);
    LOG_INFO("now the second", "%s", "");
    assert_log_has(folder, "now the second", false);
    (void)snprintf(folder->log, sizeof folder->log, "%s", other);
    assert_log_has(folder, "now the second", true);
    buf_done(&error);
}

int main(void) {
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_line_has_pid_time_level_and_text),
        IN_FOLDER(levels_and_time_follow_the_options),
        IN_FOLDER(a_file_over_its_limit_is_rotated_and_old_ones_go),
        IN_FOLDER(a_file_that_was_moved_away_is_made_anew),
        IN_FOLDER(another_path_is_taken_while_running_and_a_bad_one_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
