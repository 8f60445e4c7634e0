/* Auth: who may connect, to which account, and what that user may publish and subscribe.
 *
 * The server hands over plain data (AuthOptions); each worker builds its own immutable Credentials
 * from a copy of it, so nothing is shared. A reload builds new Credentials; whoever holds an
 * AuthUser of the old ones must look its user up again (auth_same_user) before the old ones are
 * freed. Passwords and the token are plain or bcrypt ("$2a$...", "$2b$...", "$2y$..."). Hashes take
 * 100 ms and more to check: auth_check only says that one is to be checked; run auth_hash_matches
 * on an offload thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth/permissions.h"
#include "base/assert.h"
#include "base/slice.h"

/* Plain data, borrowed for credentials_new only. */
/* Ways to connect; bits. */
typedef enum AuthConnection {
    AUTH_STANDARD = 1,
    AUTH_WEBSOCKET = 2,
    AUTH_LEAFNODE = 4,
    AUTH_ELSE = 8
} AuthConnection;

typedef struct UserOptions {
    Slice name;
    Slice password;       /* plain or bcrypt */
    size_t account;       /* index in the bus */
    unsigned connections; /* AuthConnection; 0 = all */
    PermissionsOptions permissions;
} UserOptions;

typedef struct AuthOptions {
    const UserOptions *users;
    size_t user_count;
    Slice token;        /* empty = none; plain or bcrypt */
    Slice no_auth_user; /* name of the user of those who give no credentials; empty = none */
    PermissionsOptions default_permissions; /* of users without own ones */
    bool is_required; /* refuse who gives no credentials although there is neither user nor token:
                         accounts are configured. Implied by users or a token. */
} AuthOptions;

typedef struct Credentials Credentials;

/* A user of the table. For anonymous clients and tokens there is one too, with an empty name. */
typedef struct AuthUser {
    Slice name;
    Slice password;
    size_t account;
    unsigned connections;     /* AuthConnection; 0 = all */
    Permissions *permissions; /* NULL = everything is permitted */
} AuthUser;

/* Later users of the same name replace earlier ones. ERR_NOT_FOUND: no_auth_user is no user.
 * ERR_SYNTAX: a subject of a permission is invalid. out_error gets "no_auth_user: \"x\" not present
 * as user ..." and the like. */
MUST_CHECK Status credentials_new(const AuthOptions *options, Buf *out_error,
                                  Credentials **out_credentials);
void credentials_free(Credentials *credentials);

/* INFO auth_required; with it a client must authenticate before it does anything else. */
bool auth_is_required(const Credentials *credentials);

/* The user of clients that give no credentials; NULL when they are refused. Borrowed. */
const AuthUser *auth_anonymous(const Credentials *credentials);

/* NULL when there is none of that name. Borrowed. */
const AuthUser *auth_find(const Credentials *credentials, Slice name);

/* What a client shows. All may be empty. */
typedef struct AuthClaim {
    Slice user, password, token;
} AuthClaim;

typedef enum AuthVerdict {
    AUTH_DENIED,
    AUTH_GRANTED,
    AUTH_CHECK_HASH, /* granted when auth_hash_matches(out_user->password, secret) */
} AuthVerdict;

/* out_user is set unless denied; borrowed from credentials. out_secret (borrowed from claim) is
 * what must fit the hash. Plain secrets are compared in constant time. */
AuthVerdict auth_check(const Credentials *credentials, const AuthClaim *claim,
                       const AuthUser **out_user, Slice *out_secret);

/* Any thread. Slow by design: 100 ms and more. */
bool auth_hash_matches(Slice hash, Slice secret);

/* The user of `now` that has the same name, secret and account as `old`: it may stay connected
 * after a reload. NULL = none. */
const AuthUser *auth_same_user(const Credentials *now, const AuthUser *old);

DEFINE_CLEANUP(Credentials, credentials_free)
