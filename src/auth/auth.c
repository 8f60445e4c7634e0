#include "auth/auth.h"

#include <crypt.h>

#include "base/map.h"
#include "base/mem.h"

struct Credentials {
    Map users; /* name -> AuthUser, each owned with its texts */
    AuthUser anonymous, token;
    const AuthUser *no_auth_user;
    bool is_required;
};

static bool is_hash(Slice secret) {
    return secret.len >= 4 && secret.ptr[0] == '$' && secret.ptr[1] == '2' &&
           (secret.ptr[2] == 'a' || secret.ptr[2] == 'b' || secret.ptr[2] == 'y') &&
           secret.ptr[3] == '$';
}

static Slice copy(Slice slice) {
    return slice_from(mem_copy(slice.ptr, slice.len), slice.len);
}

static void done_user(AuthUser *user) {
    mem_free((void *)(uintptr_t)user->name.ptr);
    mem_free((void *)(uintptr_t)user->password.ptr);
    permissions_free(user->permissions);
}

static void free_user(AuthUser *user) {
    if (!user)
        return;
    done_user(user);
    mem_free(user);
}

static Status make_permissions(const PermissionsOptions *own, const PermissionsOptions *defaults,
                               Buf *out_error, Permissions **out_permissions) {
    const PermissionsOptions *options = own->is_set ? own : defaults;
    if (!options->is_set)
        return OK;
    return permissions_new(options, out_error, out_permissions);
}

static Status add_user(Credentials *credentials, const AuthOptions *options,
                       const UserOptions *from, Buf *out_error) {
    AuthUser *user = mem_zalloc(sizeof *user);
    user->name = copy(from->name);
    user->password = copy(from->password);
    user->account = from->account;
    user->connections = from->connections;
    Status status = make_permissions(&from->permissions, &options->default_permissions, out_error,
                                     &user->permissions);
    if (status != OK) {
        free_user(user);
        return status;
    }
    free_user(map_put(&credentials->users, user->name, user));
    return OK;
}

static Status fill(Credentials *credentials, const AuthOptions *options, Buf *out_error) {
    static const PermissionsOptions none;

    for (size_t i = 0; i < options->user_count; i++) {
        Status status = add_user(credentials, options, &options->users[i], out_error);
        if (status != OK)
            return status;
    }
    credentials->is_required =
        options->is_required || options->user_count > 0 || options->token.len > 0;
    if (options->token.len) {
        credentials->token.password = copy(options->token);
        Status status = make_permissions(&none, &options->default_permissions, out_error,
                                         &credentials->token.permissions);
        if (status != OK)
            return status;
    }
    if (options->no_auth_user.len) {
        credentials->no_auth_user = auth_find(credentials, options->no_auth_user);
        if (!credentials->no_auth_user) {
            if (out_error)
                buf_printf(out_error,
                           "no_auth_user: \"%.*s\" not present as user or nkey in authorization "
                           "block or account configuration",
                           SLICE_ARG(options->no_auth_user));
            return ERR_NOT_FOUND;
        }
    }
    return OK;
}

Status credentials_new(const AuthOptions *options, Buf *out_error, Credentials **out_credentials) {
    Credentials *credentials = mem_zalloc(sizeof *credentials);
    Status status = fill(credentials, options, out_error);
    if (status != OK) {
        credentials_free(credentials);
        return status;
    }
    *out_credentials = credentials;
    return OK;
}

void credentials_free(Credentials *credentials) {
    Slice name;
    void *user;

    if (!credentials)
        return;
    for (size_t i = 0; map_next(&credentials->users, &i, &name, &user);)
        free_user(user);
    map_done(&credentials->users);
    done_user(&credentials->token);
    mem_free(credentials);
}

bool auth_is_required(const Credentials *credentials) {
    return credentials->is_required;
}

const AuthUser *auth_anonymous(const Credentials *credentials) {
    if (credentials->no_auth_user)
        return credentials->no_auth_user;
    return credentials->is_required ? NULL : &credentials->anonymous;
}

const AuthUser *auth_find(const Credentials *credentials, Slice name) {
    return map_get(&credentials->users, name);
}

/* Takes as long for a wrong secret as for the right one. */
static bool equal_in_constant_time(Slice want, Slice have) {
    unsigned char different = want.len != have.len;
    for (size_t i = 0; i < have.len; i++)
        different |= (unsigned char)(have.ptr[i] ^ (want.len ? want.ptr[i % want.len] : 1));
    return different == 0;
}

static AuthVerdict check_secret(const AuthUser *user, Slice secret, const AuthUser **out_user,
                                Slice *out_secret) {
    if (is_hash(user->password)) {
        *out_user = user;
        *out_secret = secret;
        return AUTH_CHECK_HASH;
    }
    if (!equal_in_constant_time(user->password, secret))
        return AUTH_DENIED;
    *out_user = user;
    return AUTH_GRANTED;
}

AuthVerdict auth_check(const Credentials *credentials, const AuthClaim *claim,
                       const AuthUser **out_user, Slice *out_secret) {
    if (!credentials->is_required) {
        *out_user = &credentials->anonymous;
        return AUTH_GRANTED;
    }
    if (claim->user.len) {
        const AuthUser *user = auth_find(credentials, claim->user);
        if (user)
            return check_secret(user, claim->password, out_user, out_secret);
        return AUTH_DENIED;
    }
    if (credentials->no_auth_user && claim->password.len == 0 && claim->token.len == 0) {
        *out_user = credentials->no_auth_user;
        return AUTH_GRANTED;
    }
    if (credentials->token.password.len)
        return check_secret(&credentials->token, claim->token, out_user, out_secret);
    return AUTH_DENIED;
}

bool auth_hash_matches(Slice hash, Slice secret) {
    if (!is_hash(hash))
        return false;
    struct crypt_data *data = mem_zalloc(sizeof *data);
    char *key = slice_to_text(secret), *setting = slice_to_text(hash);
    const char *result = crypt_rn(key, setting, data, sizeof *data);
    bool matches =
        result && strlen(key) == secret.len && equal_in_constant_time(hash, slice_of_text(result));
    explicit_bzero(key, secret.len);
    mem_free(key);
    mem_free(setting);
    mem_free(data);
    return matches;
}

const AuthUser *auth_same_user(const Credentials *now, const AuthUser *old) {
    const AuthUser *found = NULL;
    if (old->name.len)
        found = auth_find(now, old->name);
    else if (old->password.len)
        found = now->token.password.len ? &now->token : NULL;
    else if (!now->is_required)
        found = &now->anonymous;
    bool is_same = found && found->account == old->account &&
                   equal_in_constant_time(found->password, old->password);
    return is_same ? found : NULL;
}
