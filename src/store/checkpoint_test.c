#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/mem.h"
#include "io/disk.h"
#include "store/checkpoint.h"
#include "store/path.h"

static char dir[64];
static Cipher *cipher; /* all tests run without and with one */

static int make_dir(void **state) {
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/checkpoint_test.XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state) {
    (void)state;
    char command[100];
    (void)snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command);
}

static Status write_one(uint64_t generation, Place floor, Place *out_floor) {
    CheckpointWriter *writer = checkpoint_begin(dir, generation, floor);
    checkpoint_encrypt(writer, cipher);
    checkpoint_add(writer, 7, 70 + generation, LIT("seven"));
    checkpoint_add(writer, 9, 90 + generation, LIT(""));
    checkpoint_add(writer, 0, generation, LIT("catalogue"));
    return checkpoint_finish(writer, out_floor);
}

static void each(void *cookie, uint32_t group, uint64_t index, Slice state) {
    buf_printf(cookie, "%u:%llu:%.*s ", group, (unsigned long long)index, SLICE_ARG(state));
}

typedef struct Loaded {
    Status status;
    Buf text;
    uint64_t generation;
    Place floor;
    unsigned damaged;
    bool is_whole;
} Loaded;

static Loaded load(void) {
    Loaded loaded = {0};
    loaded.status = checkpoint_load(dir, cipher, each, &loaded.text, &loaded.generation,
                                    &loaded.floor, &loaded.damaged, &loaded.is_whole);
    (void)buf_text(&loaded.text);
    return loaded;
}

static void damage(uint64_t generation, uint64_t at) {
    CLEANUP(path_free) char *path = path_numbered(dir, "checkpoint.", generation, "");
    DiskFile *file;
    assert_int_equal(disk_open(path, DISK_READ | DISK_WRITE, &file), OK);
    char byte;
    assert_int_equal(disk_read(file, &byte, 1, at), OK);
    byte ^= 4;
    struct iovec part = {&byte, 1};
    assert_int_equal(disk_write(file, &part, 1, at), OK);
    disk_close(file);
}

static void there_is_none_at_first(void **state) {
    (void)state;
    Loaded loaded = load();
    assert_int_equal(loaded.status, ERR_NOT_FOUND);
    assert_int_equal(loaded.damaged, 0);
    buf_done(&loaded.text);
}

static void the_newest_is_loaded_catalogue_first_and_the_floor_is_the_older_ones(void **state) {
    (void)state;
    Place floor = 1;
    assert_int_equal(write_one(1, 100, &floor), OK);
    assert_int_equal(floor, 0);
    assert_int_equal(write_one(2, 200, &floor), OK);
    assert_int_equal(floor, 100);
    assert_int_equal(write_one(3, 300, &floor), OK);
    assert_int_equal(floor, 200);
    Loaded loaded = load();
    assert_int_equal(loaded.status, OK);
    assert_string_equal(loaded.text.ptr, "0:3:catalogue 7:73:seven 9:93: ");
    assert_int_equal(loaded.generation, 3);
    assert_int_equal(loaded.floor, 300);
    assert_true(loaded.is_whole);
    buf_done(&loaded.text);
    CLEANUP(path_free) char *oldest = path_numbered(dir, "checkpoint.", 1, "");
    DiskFile *file;
    assert_int_equal(disk_open(oldest, DISK_READ, &file), ERR_NOT_FOUND);
}

static void with_the_newest_damaged_anywhere_the_older_one_is_loaded(void **state) {
    (void)state;
    Place floor;
    for (uint64_t at = 0; at < 200; at += 7) {
        assert_int_equal(write_one(1, 100, &floor), OK);
        assert_int_equal(write_one(2, 200, &floor), OK);
        damage(2, at);
        Loaded loaded = load();
        if (loaded.damaged) { /* else it hit padding at the end of the file: none here */
            assert_int_equal(loaded.generation, 1);
            assert_string_equal(loaded.text.ptr, "0:1:catalogue 7:71:seven 9:91: ");
        }
        assert_int_equal(loaded.status, OK);
        assert_int_equal(loaded.damaged, 1);
        assert_true(loaded.is_whole);
        buf_done(&loaded.text);
    }
}

static void with_all_damaged_what_is_intact_of_the_newest_is_given(void **state) {
    (void)state;
    Place floor;
    assert_int_equal(write_one(1, 100, &floor), OK);
    assert_int_equal(write_one(2, 200, &floor), OK);
    damage(1, 56 + 40);           /* the catalogue's state */
    damage(2, 56 + 40 + 16 + 40); /* the state of group 7 */
    Loaded loaded = load();
    assert_int_equal(loaded.status, OK);
    assert_int_equal(loaded.damaged, 2);
    assert_false(loaded.is_whole);
    assert_string_equal(loaded.text.ptr, "0:2:catalogue 9:92: ");
    buf_done(&loaded.text);
}

static void damage_to_the_only_one_leaves_none(void **state) {
    (void)state;
    Place floor;
    assert_int_equal(write_one(1, 100, &floor), OK);
    damage(1, 8); /* its head: nothing of it can be trusted */
    Loaded loaded = load();
    assert_int_equal(loaded.status, ERR_NOT_FOUND);
    assert_int_equal(loaded.damaged, 1);
    buf_done(&loaded.text);
}

static void an_encrypted_one_is_refused_without_its_key_and_stays(void **state) {
    (void)state;
    if (cipher == NULL)
        return;
    Place floor;
    Cipher *right = cipher;
    assert_int_equal(write_one(1, 100, &floor), OK);
    cipher = NULL;
    Loaded loaded = load();
    assert_int_equal(loaded.status, ERR_DENIED);
    buf_done(&loaded.text);
    assert_int_equal(cipher_new(CIPHER_CHACHA, &cipher), OK);
    loaded = load();
    assert_int_equal(loaded.status, ERR_DENIED);
    buf_done(&loaded.text);
    cipher_free(cipher);
    cipher = right;
    /* Its sums are over what stands in the file. */
    assert_int_equal(checkpoint_read(dir, 1, NULL, NULL, NULL, &floor), OK);
    assert_int_equal(checkpoint_read(dir, 1, NULL, each, &loaded.text, &floor), ERR_DENIED);
    loaded = load();
    assert_int_equal(loaded.status, OK);
    assert_string_equal(buf_text(&loaded.text), "0:1:catalogue 7:71:seven 9:91: ");
    buf_done(&loaded.text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(there_is_none_at_first, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(
            the_newest_is_loaded_catalogue_first_and_the_floor_is_the_older_ones, make_dir,
            remove_dir),
        cmocka_unit_test_setup_teardown(with_the_newest_damaged_anywhere_the_older_one_is_loaded,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(with_all_damaged_what_is_intact_of_the_newest_is_given,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(an_encrypted_one_is_refused_without_its_key_and_stays,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(damage_to_the_only_one_leaves_none, make_dir, remove_dir),
    };
    int failed = cmocka_run_group_tests_name("plain", tests, NULL, NULL);
    if (cipher_new(CIPHER_AES, &cipher) != OK)
        return 1;
    failed += cmocka_run_group_tests_name("encrypted", tests, NULL, NULL);
    cipher_free(cipher);
    return failed;
}
