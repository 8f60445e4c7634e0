#include "base/log.h"
#include "base/mem.h"
#include "front/client/client_private.h"
#include "proto/json.h"

enum { PROTOCOL_INVALID = 255 };

typedef struct ConnectArgs {
    bool verbose, pedantic, echo, headers, no_responders, new_account;
    int64_t protocol;
    Slice name, lang, version, user, pass, auth_token, account;
} ConnectArgs;

static const JsonField CONNECT_FIELDS[] = {
    JSON_ROW(ConnectArgs, verbose, "verbose", JSON_BOOL),
    JSON_ROW(ConnectArgs, pedantic, "pedantic", JSON_BOOL),
    JSON_ROW(ConnectArgs, echo, "echo", JSON_BOOL),
    JSON_ROW(ConnectArgs, headers, "headers", JSON_BOOL),
    JSON_ROW(ConnectArgs, no_responders, "no_responders", JSON_BOOL),
    JSON_ROW(ConnectArgs, new_account, "new_account", JSON_BOOL),
    JSON_ROW(ConnectArgs, protocol, "protocol", JSON_INT, .go_type = "int"),
    JSON_ROW(ConnectArgs, name, "name", JSON_STRING),
    JSON_ROW(ConnectArgs, lang, "lang", JSON_STRING),
    JSON_ROW(ConnectArgs, version, "version", JSON_STRING),
    JSON_ROW(ConnectArgs, user, "user", JSON_STRING),
    JSON_ROW(ConnectArgs, pass, "pass", JSON_STRING),
    JSON_ROW(ConnectArgs, auth_token, "auth_token", JSON_STRING),
    JSON_ROW(ConnectArgs, account, "account", JSON_STRING),
};
static const JsonSchema CONNECT_SCHEMA = JSON_SCHEMA("ClientOpts", CONNECT_FIELDS);

/* A password hash being checked on an offload thread. Everything is copied: the client may go
 * meanwhile. */
typedef struct HashCheck {
    OffloadJob job; /* first */
    Clients *clients;
    uint64_t cid;
    Slice hash, secret;
    AuthClaim claim;
    bool matches;
    char bytes[];
} HashCheck;

static void authenticate(Client *client, const AuthClaim *claim);
static void submit_hash(Client *client, const AuthClaim *claim, Slice hash, Slice secret);
static void connect_as(Client *client, const AuthUser *user);
static void finish_connect(Client *client);

static void remember_texts(Client *client, const ConnectArgs *args) {
    Slice ip = client_ip(client), name = slice_first(args->name, UINT16_MAX),
          lang = slice_first(args->lang, UINT16_MAX),
          version = slice_first(args->version, UINT16_MAX),
          claim = slice_first(args->user, UINT16_MAX);
    Buf texts = {0};

    buf_reserve(&texts, ip.len + name.len + lang.len + version.len + claim.len + 1);
    buf_append(&texts, ip);
    buf_append(&texts, name);
    buf_append(&texts, lang);
    buf_append(&texts, version);
    buf_append(&texts, claim);
    char *old = client->texts;
    client->texts = mem_copy(texts.ptr, texts.len);
    mem_free(old);
    buf_done(&texts);
    client->name_len = (uint16_t)name.len;
    client->lang_len = (uint16_t)lang.len;
    client->version_len = (uint16_t)version.len;
    client->claim_len = (uint16_t)claim.len;
}

void client_connect(Client *client, Slice json) {
    /* What a second CONNECT leaves out stays as it was. */
    ConnectArgs args = {
        .verbose = client->is_verbose,
        .pedantic = client->is_pedantic,
        .echo = !client->port.no_echo,
        .headers = client->has_headers,
        .no_responders = client->wants_no_responders,
        .protocol = client->protocol,
        .name = client_name(client),
        .lang = client_lang(client),
        .version = client_version(client),
    };
    Clients *clients = client->clients;
    uint64_t now_ns = clients->home->now_ns;

    if (json_read(json, &CONNECT_SCHEMA, JSON_LOOSE, clients->home->turn, &args, NULL) != OK) {
        CLIENT_LOG(client, LOG_ERROR, "malformed CONNECT");
        client_close(client, CLOSE_PROTOCOL_VIOLATION, NULL);
        return;
    }
    if (client->is_connect_received)
        client_remove_subs(client);
    client->is_connect_received = true;
    client->is_verbose = args.verbose;
    client->is_pedantic = args.pedantic;
    client->port.no_echo = !args.echo;
    client->has_headers = args.headers && !clients->options->no_header_support;
    client->wants_no_responders = args.no_responders;
    client->protocol =
        args.protocol == 0 || args.protocol == 1 ? (uint8_t)args.protocol : PROTOCOL_INVALID;
    if (!client->rtt_ns) /* from our INFO to their CONNECT */
        client->rtt_ns = now_ns > client->start_ns ? now_ns - client->start_ns : 1;
    remember_texts(client, &args);
    if (args.account.len || args.new_account) {
        client_refuse(client);
        return;
    }
    AuthClaim claim = {args.user, args.pass, args.auth_token};
    authenticate(client, &claim);
}

static void authenticate(Client *client, const AuthClaim *claim) {
    const AuthUser *user = NULL;
    Slice secret = {NULL, 0};

    switch (auth_check(client->clients->credentials, claim, &user, &secret)) {
    case AUTH_GRANTED:
        connect_as(client, user);
        break;
    case AUTH_CHECK_HASH:
        submit_hash(client, claim, user->password, secret);
        break;
    case AUTH_DENIED:
        if (claim->user.len)
            CLIENT_LOG(client, LOG_ERROR, "authentication error - User \"%.*s\"",
                       SLICE_ARG(claim->user));
        else
            CLIENT_LOG(client, LOG_ERROR, "authentication error");
        client_refuse(client);
        break;
    }
}

bool client_connect_anonymously(Client *client) {
    const AuthUser *user = auth_anonymous(client->clients->credentials);
    if (!user || !client_may_be(client, user)) {
        CLIENT_LOG(client, LOG_ERROR, "authentication error");
        client_refuse(client);
        return false;
    }
    client_bind(client, user);
    return true;
}

void client_refuse(Client *client) {
    client_close(client, CLOSE_AUTH_FAILURE, "Authorization Violation");
}

static void run_hash(OffloadJob *job) {
    HashCheck *check = CONTAINER_OF(job, HashCheck, job);
    check->matches = auth_hash_matches(check->hash, check->secret);
}

static void hash_done(Worker *here, OffloadJob *job) {
    HashCheck *check = CONTAINER_OF(job, HashCheck, job);
    Client *client = map64_get(&check->clients->by_cid, check->cid);
    const AuthUser *user = NULL;
    Slice secret;

    (void)here;
    if (client && client_is_open(client) && client->is_waiting) {
        client->is_waiting = false;
        /* Reloaded meanwhile? Then the hash that was checked may not be the right one any more. */
        bool is_granted = check->matches &&
                          auth_check(check->clients->credentials, &check->claim, &user, &secret) ==
                              AUTH_CHECK_HASH &&
                          slice_equal(user->password, check->hash);
        if (is_granted) {
            connect_as(client, user);
        } else {
            CLIENT_LOG(client, LOG_ERROR, "authentication error - User \"%.*s\"",
                       SLICE_ARG(check->claim.user));
            client_refuse(client);
        }
        if (client_is_open(client) && !client->is_waiting)
            conn_resume_reading(&client->conn);
    }
    explicit_bzero(check->bytes, check->hash.len + check->secret.len);
    mem_free(check);
}

static Slice put(char **to, Slice text) {
    Slice copy = slice_from(*to, text.len);
    if (text.len)
        memcpy(*to, text.ptr, text.len);
    *to += text.len;
    return copy;
}

static void submit_hash(Client *client, const AuthClaim *claim, Slice hash, Slice secret) {
    bool is_token = secret.ptr == claim->token.ptr;
    HashCheck *check = mem_zalloc(sizeof *check + hash.len + secret.len + claim->user.len + 1);
    char *to = check->bytes;

    check->job.run = run_hash;
    check->job.done = hash_done;
    check->job.home = client->clients->home;
    check->clients = client->clients;
    check->cid = client->cid;
    check->hash = put(&to, hash);
    check->secret = put(&to, secret);
    check->claim.user = put(&to, claim->user);
    if (is_token)
        check->claim.token = check->secret;
    else
        check->claim.password = check->secret;
    client->is_waiting = true;
    conn_pause_reading(&client->conn);
    offload_submit(client->clients->offload, &check->job);
}

void client_apply_limits(Client *client) {
    const ClientOptions *options = client->clients->options;
    AccountLimits limits = {0};

    if (client->account && account_index(client->account) < options->account_limit_count)
        limits = options->account_limits[account_index(client->account)];
    client->payload_max = options->max_payload;
    if (limits.max_payload && limits.max_payload < client->payload_max)
        client->payload_max = limits.max_payload;
    uint64_t subs_max = options->max_subs;
    if (limits.max_subs && (subs_max == 0 || limits.max_subs < subs_max))
        subs_max = limits.max_subs;
    client->subs_max = subs_max && subs_max < UINT32_MAX ? (uint32_t)subs_max : UINT32_MAX;
    client->conn.pending_max = options->max_pending;
    client->conn.congested_bytes = options->max_pending / 2;
    if (options->max_pending == 0 || client->conn.congested_bytes > CLIENT_CONGESTED_BYTES_MAX)
        client->conn.congested_bytes = CLIENT_CONGESTED_BYTES_MAX;
    client->conn.write_deadline_ns = options->write_deadline_ns;
}

void client_bind(Client *client, const AuthUser *user) {
    Clients *clients = client->clients;
    uint64_t max, expire_ns;

    if (client->user == user)
        return;
    if (client->user) {
        client_remove_subs(client);
        client_unbind(client);
    }
    client->user = user;
    client->is_token = user->name.len == 0 && user->password.len > 0;
    client->account = bus_account(clients->home->bus, user->account);
    clients->by_account[user->account].open++;
    clients_post_account(clients, client, ACCOUNT_JOIN);
    if (user->permissions && permissions_responses(user->permissions, &max, &expire_ns))
        client->responses = responses_new(max, expire_ns);
    client_apply_limits(client);
}

/* Subscriptions are gone before. */
void client_unbind(Client *client) {
    Clients *clients = client->clients;
    responses_free(client->responses);
    client->responses = NULL;
    clients->by_account[account_index(client->account)].open--;
    clients_post_account(clients, client, ACCOUNT_LEAVE);
    client->user = NULL;
    client->account = NULL;
    client->is_token = false;
}

void client_rebind(Client *client, const AuthUser *user) {
    uint64_t max, expire_ns;

    client->user = user;
    responses_free(client->responses);
    client->responses = NULL;
    if (user->permissions && permissions_responses(user->permissions, &max, &expire_ns))
        client->responses = responses_new(max, expire_ns);
    client_apply_limits(client);
}

static void connect_as(Client *client, const AuthUser *user) {
    Clients *clients = client->clients;
    const ClientOptions *options = clients->options;

    if (!client_may_be(client, user)) {
        CLIENT_LOG(client, LOG_ERROR, "authentication error - User \"%.*s\"",
                   SLICE_ARG(user->name));
        client_refuse(client);
        return;
    }
    client_bind(client, user);
    bool is_limited = user->account < options->account_limit_count &&
                      options->account_limits[user->account].max_connections > 0;
    if (is_limited) {
        clients_post_account(clients, client, ACCOUNT_ASK);
        client->is_waiting = true;
        conn_pause_reading(&client->conn);
        return;
    }
    finish_connect(client);
}

void client_on_account_verdict(Clients *clients, uint64_t cid, bool is_admitted) {
    Client *client = map64_get(&clients->by_cid, cid);
    if (!client || !client_is_open(client) || !client->is_waiting)
        return;
    client->is_waiting = false;
    if (!is_admitted) {
        client_close(client, CLOSE_MAX_ACCOUNT_CONNECTIONS,
                     "maximum account active connections exceeded");
        return;
    }
    finish_connect(client);
    if (client_is_open(client))
        conn_resume_reading(&client->conn);
}

static void finish_connect(Client *client) {
    Clients *clients = client->clients;

    if (client->protocol == PROTOCOL_INVALID) {
        client_close(client, CLOSE_BAD_PROTOCOL_VERSION, "invalid client protocol");
        return;
    }
    if (client->wants_no_responders && !client->has_headers) {
        client_close(client, CLOSE_NO_RESPONDERS_NEEDS_HEADERS,
                     "no responders requires headers support");
        return;
    }
    if (client->is_verbose)
        client_send_ok(client);
    client_start_pings(client);
    if (!client->is_announced) {
        client->is_announced = true;
        clients->by_account[account_index(client->account)].total++;
        if (clients->events.on_connect) {
            ClientInfo info;
            client_info(client, &info);
            clients->events.on_connect(clients->events.cookie, clients->home, &info);
        }
    }
}
