#include "auth/auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* "secret" at cost 4 */
#define HASH "$2a$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"

static Credentials *make(const AuthOptions *options) {
    Credentials *credentials = NULL;
    assert_int_equal(credentials_new(options, NULL, &credentials), OK);
    return credentials;
}

static void without_users_everyone_is_anonymous(void **state) {
    (void)state;
    AuthOptions options = {0};
    Credentials *credentials = make(&options);
    AuthClaim claim = {.user = LIT("any"), .password = LIT("thing")};
    const AuthUser *user = NULL;
    Slice secret;
    assert_false(auth_is_required(credentials));
    assert_int_equal(auth_check(credentials, &claim, &user, &secret), AUTH_GRANTED);
    assert_int_equal(user->name.len, 0);
    assert_ptr_equal(auth_anonymous(credentials), user);
    credentials_free(credentials);
}

static void users_are_checked_by_name_and_password(void **state) {
    (void)state;
    static const UserOptions users[] = {
        {.name = {"ann", 3}, .password = {"pw", 2}, .account = 2},
        {.name = {"bob", 3}, .password = {HASH, sizeof HASH - 1}, .account = 3},
    };
    static const struct {
        const char *user, *password, *token;
        AuthVerdict want;
    } cases[] = {
        {"ann", "pw", "", AUTH_GRANTED},   {"ann", "pW", "", AUTH_DENIED},
        {"ann", "", "", AUTH_DENIED},      {"ann", "pwpw", "", AUTH_DENIED},
        {"bob", "x", "", AUTH_CHECK_HASH}, {"eve", "pw", "", AUTH_DENIED},
        {"", "", "", AUTH_DENIED},         {"", "", "pw", AUTH_DENIED},
    };
    AuthOptions options = {.users = users, .user_count = 2};
    Credentials *credentials = make(&options);
    assert_true(auth_is_required(credentials));
    assert_null(auth_anonymous(credentials));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        AuthClaim claim = {slice_of_text(cases[i].user), slice_of_text(cases[i].password),
                           slice_of_text(cases[i].token)};
        const AuthUser *user = NULL;
        Slice secret;
        assert_int_equal(auth_check(credentials, &claim, &user, &secret), cases[i].want);
        if (cases[i].want == AUTH_GRANTED)
            assert_int_equal(user->account, 2);
    }
    credentials_free(credentials);
}

static void hashes_fit_only_their_secret(void **state) {
    (void)state;
    assert_true(auth_hash_matches(LIT(HASH), LIT("secret")));
    assert_false(auth_hash_matches(LIT(HASH), LIT("secreT")));
    assert_false(auth_hash_matches(LIT(HASH), LIT("secret\0x")));
    assert_false(auth_hash_matches(LIT("$2a$xx"), LIT("secret")));
    assert_false(auth_hash_matches(LIT("secret"), LIT("secret")));
}

static void a_token_is_checked(void **state) {
    (void)state;
    AuthOptions options = {.token = LIT("t0ken")};
    Credentials *credentials = make(&options);
    const AuthUser *user = NULL;
    Slice secret;
    AuthClaim claim = {.token = LIT("t0ken")};
    assert_int_equal(auth_check(credentials, &claim, &user, &secret), AUTH_GRANTED);
    claim.token = LIT("no");
    assert_int_equal(auth_check(credentials, &claim, &user, &secret), AUTH_DENIED);
    credentials_free(credentials);
}

static void no_auth_user_stands_in_for_who_gives_nothing(void **state) {
    (void)state;
    static const UserOptions users[] = {{.name = {"ann", 3}, .password = {"pw", 2}}};
    AuthOptions options = {.users = users, .user_count = 1, .no_auth_user = LIT("ann")};
    Credentials *credentials = make(&options);
    const AuthUser *user = NULL;
    Slice secret;
    AuthClaim claim = {{0}, {0}, {0}};
    assert_int_equal(auth_check(credentials, &claim, &user, &secret), AUTH_GRANTED);
    assert_true(slice_equal(user->name, LIT("ann")));
    claim.user = LIT("eve");
    assert_int_equal(auth_check(credentials, &claim, &user, &secret), AUTH_DENIED);
    credentials_free(credentials);

    options.no_auth_user = LIT("nobody");
    Buf error = {0};
    assert_int_equal(credentials_new(&options, &error, &credentials), ERR_NOT_FOUND);
    assert_non_null(strstr(buf_text(&error), "no_auth_user: \"nobody\" not present"));
    buf_done(&error);
}

static void a_user_stays_the_same_while_secret_and_account_do(void **state) {
    (void)state;
    UserOptions users[] = {{.name = LIT("ann"), .password = LIT("pw"), .account = 2}};
    AuthOptions options = {.users = users, .user_count = 1};
    Credentials *old = make(&options), *same = make(&options);
    users[0].password = LIT("new");
    Credentials *other_password = make(&options);
    users[0].password = LIT("pw");
    users[0].account = 3;
    Credentials *other_account = make(&options);
    options.user_count = 0;
    Credentials *open = make(&options);
    const AuthUser *ann = auth_find(old, LIT("ann"));

    assert_ptr_equal(auth_same_user(same, ann), auth_find(same, LIT("ann")));
    assert_null(auth_same_user(other_password, ann));
    assert_null(auth_same_user(other_account, ann));
    assert_null(auth_same_user(open, ann));
    assert_null(auth_same_user(old, auth_anonymous(open)));
    assert_non_null(auth_same_user(open, auth_anonymous(open)));
    credentials_free(old);
    credentials_free(same);
    credentials_free(other_password);
    credentials_free(other_account);
    credentials_free(open);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_users_everyone_is_anonymous),
        cmocka_unit_test(users_are_checked_by_name_and_password),
        cmocka_unit_test(hashes_fit_only_their_secret),
        cmocka_unit_test(a_token_is_checked),
        cmocka_unit_test(no_auth_user_stands_in_for_who_gives_nothing),
        cmocka_unit_test(a_user_stays_the_same_while_secret_and_account_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
