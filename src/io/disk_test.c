#include "io/disk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/mem.h"

static char dir[64];
static char path_text[256];

static const char *path(const char *name) {
    (void)snprintf(path_text, sizeof path_text, "%s/%s", dir, name);
    return path_text;
}

static int set_up(void **state) {
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/disk_test.XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static void remove_tree(const char *root);

static void remove_entry(void *cookie, const char *name, bool is_dir) {
    char entry[512];
    (void)snprintf(entry, sizeof entry, "%s/%s", (const char *)cookie, name);
    if (is_dir)
        remove_tree(entry);
    else
        assert_int_equal(disk_remove(entry), OK);
}

static void remove_tree(const char *root) {
    assert_int_equal(disk_list(root, remove_entry, (void *)root), OK);
    assert_int_equal(disk_remove(root), OK);
}

static int tear_down(void **state) {
    (void)state;
    remove_tree(dir);
    return 0;
}

static void open_says_what_is_wrong(void **state) {
    (void)state;
    assert_int_equal(disk_write_file(path("there"), LIT("x"), 0600), OK);
    static const struct {
        const char *name;
        int flags;
        Status want;
    } cases[] = {
        {"there", DISK_READ, OK},
        {"missing", DISK_READ, ERR_NOT_FOUND},
        {"missing/deeper", DISK_WRITE | DISK_CREATE, ERR_NOT_FOUND},
        {"there", DISK_WRITE | DISK_EXCLUSIVE, ERR_EXISTS},
        {"there", DISK_WRITE | DISK_EXCLUSIVE | DISK_DIRECT, ERR_EXISTS},
        {"there/deeper", DISK_READ, ERR_IO},
        {"new", DISK_READ | DISK_WRITE | DISK_CREATE, OK},
        {"newer", DISK_WRITE | DISK_EXCLUSIVE | DISK_DIRECT, OK},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        DiskFile *file = NULL;
        assert_int_equal(disk_open(path(cases[i].name), cases[i].flags, &file), cases[i].want);
        disk_close(file);
    }
}

static void what_is_written_in_many_parts_is_read_back(void **state) {
    (void)state;
    enum { PARTS = 300 };
    struct iovec parts[PARTS];
    Buf want = {0};
    DiskFile *file;
    assert_int_equal(disk_open(path("parts"), DISK_READ | DISK_WRITE | DISK_CREATE, &file), OK);
    for (int i = 0; i < PARTS; i++) {
        size_t at = want.len;
        buf_printf(&want, "%.*s", i % 7, "abcdefg"); /* some are empty */
        parts[i] = (struct iovec){(void *)at, want.len - at};
    }
    for (int i = 0; i < PARTS; i++)
        parts[i].iov_base = want.ptr + (size_t)parts[i].iov_base;

    assert_int_equal(disk_write(file, parts, PARTS, 10), OK);
    assert_int_equal(disk_sync(file), OK);
    uint64_t size;
    assert_int_equal(disk_size(file, &size), OK);
    assert_int_equal(size, want.len + 10);
    char *got = mem_alloc(want.len);
    assert_int_equal(disk_read(file, got, want.len, 10), OK);
    assert_memory_equal(got, want.ptr, want.len);
    assert_int_equal(disk_read(file, got, want.len, 11), ERR_RANGE);
    Status cached = disk_read_cached(file, got, want.len, 10);
    assert_true(cached == OK || cached == ERR_AGAIN); /* the file system decides */
    assert_memory_equal(got, want.ptr, want.len);
    assert_int_equal(disk_read_cached(file, got, want.len, 11), ERR_AGAIN);
    mem_free(got);
    buf_done(&want);
    disk_close(file);
}

static void direct_files_work_on_any_file_system(void **state) {
    (void)state;
    const char *places[] = {path("direct"), "/dev/shm/disk_test.direct"};
    char *copy = mem_copy(places[0], strlen(places[0]));
    places[0] = copy;
    char *block = aligned_alloc(DISK_ALIGN, 2 * DISK_ALIGN);
    for (int i = 0; i < 2; i++) {
        DiskFile *file;
        int flags = DISK_READ | DISK_WRITE | DISK_CREATE | DISK_TRUNCATE | DISK_DIRECT;
        if (disk_open(places[i], flags, &file) != OK)
            continue; /* no such place here */
        memset(block, 'a' + i, 2 * DISK_ALIGN);
        struct iovec parts[2] = {{block, DISK_ALIGN}, {block + DISK_ALIGN, DISK_ALIGN}};
        assert_int_equal(disk_write(file, parts, 2, DISK_ALIGN), OK);
        assert_int_equal(disk_sync(file), OK);
        memset(block, 0, 2 * DISK_ALIGN);
        assert_int_equal(disk_read(file, block, 2 * DISK_ALIGN, DISK_ALIGN), OK);
        assert_int_equal(block[0], 'a' + i);
        assert_int_equal(block[2 * DISK_ALIGN - 1], 'a' + i);
        assert_int_equal(disk_read(file, block, DISK_ALIGN, 3 * DISK_ALIGN), ERR_RANGE);
        assert_int_equal(disk_read_cached(file, block, DISK_ALIGN, 0), ERR_AGAIN);
        disk_close(file);
        assert_int_equal(disk_remove(places[i]), OK);
    }
    free(block);
    mem_free(copy);
}

static void a_zeroed_file_is_whole_and_new(void **state) {
    (void)state;
    uint64_t bytes = 2 * 1024 * 1024 + 4096, size;
    assert_int_equal(disk_create_zeroed(path("zeros"), bytes), OK);
    assert_int_equal(disk_create_zeroed(path("zeros"), bytes), ERR_EXISTS);
    struct stat info;
    assert_int_equal(stat(path("zeros"), &info), 0);
    assert_true((uint64_t)info.st_blocks * 512 >= bytes); /* not sparse */
    DiskFile *file;
    assert_int_equal(disk_open(path("zeros"), DISK_READ, &file), OK);
    assert_int_equal(disk_size(file, &size), OK);
    assert_int_equal(size, bytes);
    char last[16];
    assert_int_equal(disk_read(file, last, sizeof last, bytes - sizeof last), OK);
    for (size_t i = 0; i < sizeof last; i++)
        assert_int_equal(last[i], 0);
    disk_close(file);
}

static void a_lock_is_exclusive_and_ends_with_its_file(void **state) {
    (void)state;
    DiskFile *lock, *other;
    assert_int_equal(disk_lock(path("lock"), &lock), OK);
    assert_int_equal(disk_lock(path("lock"), &other), ERR_BUSY);
    disk_unlock(lock);
    assert_int_equal(disk_lock(path("lock"), &other), OK);
    disk_unlock(other);
    assert_int_equal(disk_lock(path("missing/lock"), &other), ERR_NOT_FOUND);
}

static void count_entry(void *cookie, const char *name, bool is_dir) {
    int *counts = cookie;
    counts[is_dir]++;
    assert_true(strcmp(name, "a") == 0 || strcmp(name, "file") == 0);
}

static void directories_are_made_listed_and_removed(void **state) {
    (void)state;
    assert_int_equal(disk_make_dirs(path("top/a/b")), OK);
    assert_int_equal(disk_make_dirs(path("top/a/b")), OK);
    assert_int_equal(disk_make_dirs(path("top/a/b/c/")), OK);
    assert_int_equal(disk_write_file(path("top/file"), LIT("x"), 0600), OK);
    assert_int_equal(disk_make_dirs(path("top/file")), ERR_IO);
    assert_int_equal(disk_make_dirs(path("top/file/below")), ERR_IO);
    assert_int_equal(disk_sync_dir(path("top")), OK);
    assert_int_equal(disk_sync_dir(path("none")), ERR_NOT_FOUND);

    int counts[2] = {0};
    assert_int_equal(disk_list(path("top"), count_entry, counts), OK);
    assert_int_equal(counts[0], 1);
    assert_int_equal(counts[1], 1);
    assert_int_equal(disk_list(path("none"), count_entry, counts), ERR_NOT_FOUND);
    assert_int_equal(disk_remove(path("none")), ERR_NOT_FOUND);
    assert_int_not_equal(disk_remove(path("top")), OK); /* not empty */

    uint64_t free_bytes = 0, total = 0;
    assert_int_equal(disk_free_bytes(dir, &free_bytes, &total), OK);
    assert_true(total > 0 && free_bytes <= total);
}

static void small_files_are_replaced_whole(void **state) {
    (void)state;
    char *text;
    size_t len;
    assert_int_equal(disk_write_file(path("small"), LIT("first, and longer"), 0600), OK);
    assert_int_equal(disk_write_file(path("small"), LIT("second"), 0644), OK);
    struct stat info;
    assert_int_equal(stat(path("small"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0644);
    assert_int_equal(disk_read_file(path("small"), 6, &text, &len), OK);
    assert_int_equal(len, 6);
    assert_string_equal(text, "second");
    mem_free(text);
    assert_int_equal(disk_read_file(path("small"), 5, &text, &len), ERR_FULL);
    assert_int_equal(disk_read_file(path("none"), 5, &text, &len), ERR_NOT_FOUND);
    assert_int_equal(disk_write_file(path("none/small"), LIT("x"), 0600), ERR_NOT_FOUND);
    assert_int_equal(disk_write_file(path("small"), LIT(""), 0600), OK);
    assert_int_equal(disk_read_file(path("small"), 0, &text, &len), OK);
    assert_int_equal(len, 0);
    mem_free(text);

    int counts[2] = {0};
    assert_int_equal(disk_rename(path("small"), "/none/such"), ERR_NOT_FOUND);
    assert_int_equal(disk_remove(path("small")), OK);
    assert_int_equal(disk_list(dir, count_entry, counts), OK); /* no temporary file stays */
    assert_int_equal(counts[0], 0);
}

static void a_file_that_is_cut_gives_its_end_back(void **state) {
    (void)state;
    DiskFile *file;
    uint64_t bytes;
    char text[8];
    assert_int_equal(disk_write_file(path("cut"), LIT("begin and end"), 0600), OK);
    assert_int_equal(disk_open(path("cut"), DISK_READ | DISK_WRITE, &file), OK);
    assert_int_equal(disk_cut(file, 5), OK);
    assert_int_equal(disk_size(file, &bytes), OK);
    assert_int_equal(bytes, 5);
    assert_int_equal(disk_read(file, text, 5, 0), OK);
    assert_memory_equal(text, "begin", 5);
    assert_int_equal(disk_read(file, text, 6, 0), ERR_RANGE);
    disk_close(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(open_says_what_is_wrong, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_written_in_many_parts_is_read_back, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(direct_files_work_on_any_file_system, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_zeroed_file_is_whole_and_new, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_lock_is_exclusive_and_ends_with_its_file, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(directories_are_made_listed_and_removed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(small_files_are_replaced_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_is_cut_gives_its_end_back, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
