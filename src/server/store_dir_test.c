#include "server/store_dir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "io/process.h"

static void set(const char *name, const char *value) {
    assert_int_equal(value ? setenv(name, value, 1) : unsetenv(name), 0);
}

static void the_directory_follows_from_name_option_and_environment(void **state) {
    static const struct {
        const char *option, *temporary, *data, *home;
        bool is_nats_server;
        const char *want, *want_as_root; /* NULL: the same */
        bool is_temporary;
    } cases[] = {
        {"/x", "/t", "/d", "/h", true, "/x/jetstream", NULL, false},
        {"/x/", "/t", "/d", "/h", false, "/x/jetstream", NULL, false},
        {"rel", NULL, NULL, "/h", false, "rel/jetstream", NULL, false},
        {"", "/t", "/d", "/h", true, "/t/nats/jetstream", NULL, true},
        {"", "/t/", "/d", "/h", true, "/t/nats/jetstream", NULL, true},
        {"", NULL, "/d", "/h", true, "/tmp/nats/jetstream", NULL, true},
        {"", "/t", "/d", "/h", false, "/d/holdwater", NULL, false},
        {"", "/t", NULL, "/h", false, "/h/.local/share/holdwater", "/var/lib/holdwater", false},
        {"", "/t", NULL, NULL, false, "/var/lib/holdwater", NULL, false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        Options options = {.jetstream.store_dir = slice_of_text(cases[i].option)};
        Buf path = {0};
        bool is_temporary;
        set("TMPDIR", cases[i].temporary);
        set("XDG_DATA_HOME", cases[i].data);
        set("HOME", cases[i].home);
        store_dir_choose(&options, cases[i].is_nats_server, &path, &is_temporary);
        assert_string_equal(buf_text(&path), process_is_root() && cases[i].want_as_root
                                                 ? cases[i].want_as_root
                                                 : cases[i].want);
        assert_int_equal(is_temporary, cases[i].is_temporary);
        buf_done(&path);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_directory_follows_from_name_option_and_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
