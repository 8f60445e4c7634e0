/* Who comes to the port for leafnodes, on the main worker: INFO goes, CONNECT comes, is checked,
 * and the connection moves to the home of its account. */
#include "cluster/leaf_private.h"
#include "io/offload.h"

#define AUTH_TIMEOUT_NS ((uint64_t)2 * NS_PER_S)

struct LeafGuests {
    Leafnodes *main;
    Credentials *credentials;
    Arena *arena; /* texts of the options */
    Slice min_version, advertised, ip;
    bool is_isolated;
    uint64_t auth_timeout_ns, write_deadline_ns;
    Map64 waiting;  /* id -> LeafGuest */
    Map64 admitted; /* id -> Admitted */
};

typedef struct LeafGuest {
    Conn conn; /* first: see io/conn.h */
    LeafGuests *guests;
    uint64_t id;
    Timer timer;
    Arena *arena; /* owned until it moves */
    LeafHello hello;
    Slice early;
    size_t searched;
    bool is_closed, is_checking; /* a password's hash */
    uint16_t port;
    char ip[46];
} LeafGuest;

/* A connection that has moved: to be closed when its user changes. */
typedef struct Admitted {
    const AuthUser *user; /* of the credentials in use */
    Worker *home;
} Admitted;

static size_t on_data(Conn *conn, char *data, size_t len);
static void on_drained(Conn *conn);
static void on_closed(Conn *conn, ConnEnd end);
static void on_timer(Timer *timer);
static void check_hello(LeafGuest *guest);
static void authenticate(LeafGuest *guest);

static const ConnOps CONN_OPS = {on_data, on_drained, on_closed};

#define GUEST_LOG(guest, level, ...)                                                               \
    do {                                                                                           \
        if (log_wants(level))                                                                      \
            leaf_log_as((level), (guest)->ip, (guest)->port, (guest)->id, __VA_ARGS__);            \
    } while (0)

LeafGuests *leaf_guests_new(Leafnodes *main) {
    LeafGuests *guests = mem_zalloc(sizeof *guests);
    guests->main = main;
    guests->auth_timeout_ns = AUTH_TIMEOUT_NS;
    return guests;
}

static void free_guest(LeafGuest *guest) {
    arena_free(guest->arena);
    mem_free(guest);
}

void leaf_guests_free(LeafGuests *guests) {
    uint64_t id;
    void *value;
    for (size_t i = 0; map64_next(&guests->waiting, &i, &id, &value);) {
        LeafGuest *guest = value;
        timer_cancel(guests->main->home, &guest->timer);
        conn_done(&guest->conn);
        free_guest(guest);
    }
    for (size_t i = 0; map64_next(&guests->admitted, &i, &id, &value);)
        mem_free(value);
    map64_done(&guests->waiting);
    map64_done(&guests->admitted);
    credentials_free(guests->credentials);
    arena_free(guests->arena);
    mem_free(guests);
}

/* ---- configuration ---- */

static bool is_same_list(const Slice *a, size_t a_count, const Slice *b, size_t b_count) {
    if (a_count != b_count)
        return false;
    for (size_t i = 0; i < a_count; i++)
        if (!slice_equal(a[i], b[i]))
            return false;
    return true;
}

static bool is_same_rules(const SubjectRules *a, const SubjectRules *b) {
    return a->has_allow == b->has_allow &&
           is_same_list(a->allow, a->allow_count, b->allow, b->allow_count) &&
           is_same_list(a->deny, a->deny_count, b->deny, b->deny_count);
}

static bool is_same_permissions(const AuthUser *a, const AuthUser *b) {
    if (!a->permissions || !b->permissions)
        return a->permissions == b->permissions;
    const PermissionsOptions *x = permissions_options(a->permissions);
    const PermissionsOptions *y = permissions_options(b->permissions);
    return is_same_rules(&x->publish, &y->publish) && is_same_rules(&x->subscribe, &y->subscribe);
}

/* The other side reads its permissions once: with new ones it connects anew. */
static void recheck_admitted(LeafGuests *guests, const Credentials *now) {
    uint64_t id;
    void *value;
    for (size_t i = 0; map64_next(&guests->admitted, &i, &id, &value);) {
        Admitted *admitted = value;
        const AuthUser *user = admitted->user ? auth_same_user(now, admitted->user) : NULL;
        if (!user || !is_same_permissions(user, admitted->user)) {
            leaf_close_elsewhere(guests->main, admitted->home, id, 0, "Authentication Failure");
            user = NULL;
        }
        admitted->user = user;
    }
}

/* "host:port" as others may reach us; empty when that is not known. */
static Slice address_of(LeafGuests *guests, const LeafOptions *options) {
    const LeafFacts *facts = guests->main->facts;
    Buf text = {0};
    Slice host = facts->host;
    bool is_any = slice_equal(host, LIT("0.0.0.0")) || slice_equal(host, LIT("::"));
    if (options->advertise.len) {
        buf_append(&text, options->advertise);
        if (slice_find(options->advertise, ':') == options->advertise.len)
            buf_printf(&text, ":%u", facts->port);
    } else if (!is_any) {
        bool is_v6 = slice_find(host, ':') < host.len;
        buf_printf(&text, is_v6 ? "[%.*s]:%u" : "%.*s:%u", SLICE_ARG(host), facts->port);
    }
    Slice kept = arena_copy(guests->arena, buf_slice(&text));
    buf_done(&text);
    return kept;
}

Status leaf_guests_configure(LeafGuests *guests, const LeafOptions *options,
                             const AuthOptions *users, Buf *out_error) {
    UserOptions single = {
        .name = options->user, .password = options->password, .account = options->account};
    AuthOptions auth = *users;
    Credentials *credentials;
    if (options->user.len)
        auth = (AuthOptions){.users = &single, .user_count = 1};
    else if (options->user_count)
        auth = (AuthOptions){.users = options->users, .user_count = options->user_count};
    Status status = credentials_new(&auth, out_error, &credentials);
    if (status != OK)
        return status;
    recheck_admitted(guests, credentials);
    credentials_free(guests->credentials);
    guests->credentials = credentials;
    arena_free(guests->arena);
    guests->arena = arena_new_small();
    guests->min_version = arena_copy(guests->arena, options->min_version);
    guests->ip = address_of(guests, options);
    guests->advertised = options->no_advertise ? (Slice){0} : guests->ip;
    guests->is_isolated = options->is_isolated;
    guests->auth_timeout_ns = options->auth_timeout_s > 0
                                  ? (uint64_t)(options->auth_timeout_s * NS_PER_S)
                                  : AUTH_TIMEOUT_NS;
    guests->write_deadline_ns =
        options->write_deadline_ns > 0 ? (uint64_t)options->write_deadline_ns : 0;
    return OK;
}

/* ---- connections ---- */

static void close_guest(LeafGuest *guest, const char *reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void close_guest(LeafGuest *guest, const char *reason, const char *format, ...) {
    if (guest->is_closed)
        return;
    guest->is_closed = true;
    timer_cancel(guest->guests->main->home, &guest->timer);
    if (format) {
        Buf text = {0};
        va_list args;
        va_start(args, format);
        buf_vprintf(&text, format, args);
        va_end(args);
        GUEST_LOG(guest, LOG_ERROR, "%s", buf_text(&text));
        conn_append(&guest->conn, LIT("-ERR '"));
        conn_append(&guest->conn, buf_slice(&text));
        conn_append(&guest->conn, LIT("'\r\n"));
        buf_done(&text);
    }
    GUEST_LOG(guest, LOG_INFO_LEVEL, "Leafnode connection closed: %s", reason);
    conn_close_after_flush(&guest->conn);
}

static void send_info(LeafGuest *guest) {
    LeafGuests *guests = guest->guests;
    char nonce[15];
    Buf line = {0};
    nuid_write(&guests->main->home->rand, nonce, sizeof nonce);
    const LeafInfoParts parts = {.id = guest->id,
                                 .ip = guests->ip,
                                 .nonce = slice_from(nonce, sizeof nonce),
                                 .advertised = guests->advertised};
    leaf_write_info(&line, guests->main->facts, &parts);
    conn_append(&guest->conn, buf_slice(&line));
    buf_done(&line);
}

void leaf_guests_accept(LeafGuests *guests, int fd) {
    const LeafFacts *facts = guests->main->facts;
    Worker *home = guests->main->home;
    LeafGuest *guest = mem_zalloc(sizeof *guest);
    if (conn_open(&guest->conn, home, fd, &CONN_OPS) != OK) {
        mem_free(guest);
        return;
    }
    guest->guests = guests;
    guest->id = facts->next_id(facts->cookie);
    guest->arena = arena_new_small();
    guest->conn.pending_max = facts->max_pending;
    guest->conn.write_deadline_ns = facts->write_deadline_ns;
    if (conn_peer(&guest->conn, guest->ip, &guest->port) != OK)
        memcpy(guest->ip, "0.0.0.0", sizeof "0.0.0.0");
    (void)map64_put(&guests->waiting, guest->id, guest);
    timer_init(&guest->timer, on_timer);
    timer_set(home, &guest->timer, home->now_ns + guests->auth_timeout_ns);
    send_info(guest);
}

static void on_timer(Timer *timer) {
    LeafGuest *guest = CONTAINER_OF(timer, LeafGuest, timer);
    Worker *home = guest->guests->main->home;
    if (guest->is_checking) { /* our delay, not theirs */
        timer_set(home, timer, home->now_ns + NS_PER_S);
        return;
    }
    close_guest(guest, "Authentication Timeout", "Authentication Timeout");
}

static void on_drained(Conn *conn) {
}

static void on_closed(Conn *conn, ConnEnd end) {
    LeafGuest *guest = CONTAINER_OF(conn, LeafGuest, conn);
    timer_cancel(conn->home, &guest->timer);
    (void)map64_remove(&guest->guests->waiting, guest->id);
    free_guest(guest);
}

static size_t on_data(Conn *conn, char *data, size_t len) {
    LeafGuest *guest = CONTAINER_OF(conn, LeafGuest, conn);
    const LeafFacts *facts = guest->guests->main->facts;
    LeafParser parser = {guest->searched, facts->max_control_line * LEAF_CONTROL_LINE_FACTOR, 0};
    LeafOp op = {0};
    size_t used, at = 0;
    while (!guest->is_closed && !guest->is_checking && at < len) {
        LeafParse parse = leaf_parse(&parser, data + at, len - at, &op, &used);
        if (parse == LEAF_PARSE_MORE) {
            guest->searched = parser.searched;
            return at;
        }
        if (parse == LEAF_PARSE_OP && op.verb == LEAF_INFO) { /* it offers to compress */
            at += used;
            continue;
        }
        if (parse != LEAF_PARSE_OP || op.verb != LEAF_CONNECT) {
            GUEST_LOG(guest, LOG_ERROR, "authentication error");
            close_guest(guest, "Authentication Failure", "Authorization Violation");
            return len;
        }
        if (leaf_read_hello(op.args, guest->arena, &guest->hello) != OK) {
            close_guest(guest, "Protocol Violation", NULL);
            return len;
        }
        guest->early = arena_copy(guest->arena, slice_from(data + at + used, len - at - used));
        check_hello(guest);
        return len;
    }
    return len;
}

/* ---- who it is ---- */

static bool next_number(Slice *rest, unsigned *out) {
    Slice part;
    uint64_t value = 0;
    size_t digits = 0;
    if (!slice_cut(rest, '.', &part))
        return false;
    for (; digits < part.len && part.ptr[digits] >= '0' && part.ptr[digits] <= '9'; digits++)
        value = value < 1000000 ? value * 10 + (uint64_t)(part.ptr[digits] - '0') : value;
    *out = (unsigned)value;
    return digits > 0;
}

static bool is_at_least(Slice version, Slice min) {
    if (version.len && version.ptr[0] == 'v')
        version = slice_from_at(version, 1);
    if (min.len && min.ptr[0] == 'v')
        min = slice_from_at(min, 1);
    for (size_t i = 0; i < 3; i++) {
        unsigned have = 0, want = 0;
        if (!next_number(&version, &have) || !next_number(&min, &want))
            return false;
        if (have != want)
            return have > want;
    }
    return true;
}

static void append_connected(Buf *out, const LeafGuest *guest, const AuthUser *user) {
    LeafGuests *guests = guest->guests;
    const LeafFacts *facts = guests->main->facts;
    Bus *bus = guests->main->home->all[0]->bus; /* the table of accounts is immutable */
    const LeafInfoParts parts = {
        .id = guest->id,
        .ip = guests->ip,
        .is_connected = true,
        .account = account_name(bus_account(bus, user->account)),
        .is_system = user->account == facts->system_account,
        .permissions = user->permissions ? permissions_options(user->permissions) : NULL,
        .advertised = guests->advertised};
    leaf_write_info(out, facts, &parts);
}

static void check_hello(LeafGuest *guest) {
    const LeafHello *hello = &guest->hello;
    const LeafFacts *facts = guest->guests->main->facts;
    if (hello->lang.len)
        close_guest(guest, "Incorrect Port", "attempted to connect to leaf node port");
    else if (slice_find(hello->cluster, ' ') < hello->cluster.len)
        close_guest(guest, "Protocol Violation", "cluster name cannot contain spaces or new lines");
    else if (facts->cluster.len && slice_equal(facts->cluster, hello->cluster))
        close_guest(guest, "Cluster Names Identical", "remote leafnode has same cluster name");
    else if (hello->gateway.len)
        close_guest(guest, "Wrong Gateway",
                    "Rejecting connection from gateway \"%.*s\" on the leafnode port",
                    SLICE_ARG(hello->gateway));
    else if (hello->deny_pub_count > LEAF_DENIED_SUBJECTS_MAX)
        close_guest(guest, "Protocol Violation", "too many denied subjects");
    else
        authenticate(guest);
}

static void refuse(LeafGuest *guest) {
    GUEST_LOG(guest, LOG_ERROR, "authentication error - User \"%.*s\"",
              SLICE_ARG(guest->hello.user));
    close_guest(guest, "Authentication Failure", "Authorization Violation");
}

static Slice keep(Arena *arena, Slice text) {
    return arena_copy(arena, text);
}

/* NULL: its lists are invalid, it was closed. */
static LeafAdmission *make_admission(LeafGuest *guest, const AuthUser *user) {
    LeafGuests *guests = guest->guests;
    const LeafHello *hello = &guest->hello;
    LeafRuleParts parts = {.deny_send = hello->deny_pub, .deny_send_count = hello->deny_pub_count};
    LeafRules rules;
    if (user->permissions) {
        const PermissionsOptions *own = permissions_options(user->permissions);
        parts.send = own->subscribe;
        parts.interest = parts.accept = own->publish;
        parts.has_accept = true;
    }
    if (leaf_rules_make(guests->main->facts, user->account, hello->domain, &parts, NULL, &rules) !=
        OK) {
        close_guest(guest, "Protocol Violation", "invalid subject in permissions");
        return NULL;
    }
    LeafAdmission *admission = mem_zalloc(sizeof *admission);
    Buf info = {0};
    append_connected(&info, guest, user);
    admission->arena = guest->arena;
    admission->id = guest->id;
    admission->account = user->account;
    admission->rules = rules;
    admission->name = hello->name.len ? hello->name : hello->server_id;
    admission->cluster = hello->cluster;
    admission->domain = hello->domain;
    admission->remote_account = hello->remote_account;
    admission->user = keep(guest->arena, user->name);
    admission->is_spoke = hello->is_hub;
    admission->is_isolated = guests->is_isolated || hello->isolate;
    admission->has_headers = hello->headers && !guests->main->facts->no_header_support;
    admission->write_deadline_ns = guests->write_deadline_ns;
    admission->info = keep(guest->arena, buf_slice(&info));
    admission->early = guest->early;
    buf_done(&info);
    return admission;
}

static void admission_arrives(Worker *here, Mail *mail) {
    leaf_open_admitted(here->leafnodes, CONTAINER_OF(mail, LeafAdmission, mail));
}

static void admit(LeafGuest *guest, const AuthUser *user) {
    LeafGuests *guests = guest->guests;
    Worker *main = guests->main->home, *home = leaf_home_of(guests->main, user->account);
    if (user->connections && !(user->connections & AUTH_LEAFNODE)) {
        refuse(guest);
        return;
    }
    if (guests->min_version.len && !is_at_least(guest->hello.version, guests->min_version)) {
        Buf info = {0};
        append_connected(&info, guest, user);
        conn_append(&guest->conn, buf_slice(&info));
        buf_done(&info);
        close_guest(guest, "Minimum Version Required",
                    "connection rejected since minimum version required is \"%.*s\"",
                    SLICE_ARG(guests->min_version));
        return;
    }
    if (guest->conn.pending_bytes) { /* it speaks before it has read */
        close_guest(guest, "Protocol Violation", NULL);
        return;
    }
    LeafAdmission *admission = make_admission(guest, user);
    if (!admission)
        return;
    Admitted *admitted = mem_zalloc(sizeof *admitted);
    *admitted = (Admitted){user, home};
    (void)map64_put(&guests->admitted, guest->id, admitted);
    guest->arena = NULL;
    guest->is_closed = true;
    timer_cancel(main, &guest->timer);
    admission->fd = conn_detach(&guest->conn);
    admission->mail.arrive = admission_arrives;
    worker_post(main, home, &admission->mail);
}

/* A hash takes long to check. Everything is copied: the guest may go meanwhile. */
typedef struct HashCheck {
    OffloadJob job; /* first */
    LeafGuests *guests;
    uint64_t id;
    char *hash, *secret;
    size_t hash_len, secret_len;
    bool matches;
} HashCheck;

static void run_hash(OffloadJob *job) {
    HashCheck *check = CONTAINER_OF(job, HashCheck, job);
    check->matches = auth_hash_matches(slice_from(check->hash, check->hash_len),
                                       slice_from(check->secret, check->secret_len));
}

static AuthClaim claim_of(const LeafGuest *guest) {
    const LeafHello *hello = &guest->hello;
    /* A user alone comes as a token as well. */
    return (AuthClaim){hello->user, hello->pass, hello->auth_token};
}

static void hash_done(Worker *here, OffloadJob *job) {
    HashCheck *check = CONTAINER_OF(job, HashCheck, job);
    LeafGuest *guest = map64_get(&check->guests->waiting, check->id);
    if (guest && !guest->is_closed && guest->is_checking) {
        const AuthUser *user = NULL;
        Slice secret;
        AuthClaim claim = claim_of(guest);
        guest->is_checking = false;
        /* Reloaded meanwhile? Then it may be another hash. */
        bool is_granted =
            check->matches &&
            auth_check(check->guests->credentials, &claim, &user, &secret) == AUTH_CHECK_HASH &&
            slice_equal(user->password, slice_from(check->hash, check->hash_len));
        if (is_granted)
            admit(guest, user);
        else
            refuse(guest);
    }
    explicit_bzero(check->secret, check->secret_len);
    mem_free(check->hash);
    mem_free(check->secret);
    mem_free(check);
}

static void submit_hash(LeafGuest *guest, Slice hash, Slice secret) {
    HashCheck *check = mem_zalloc(sizeof *check);
    check->job.run = run_hash;
    check->job.done = hash_done;
    check->job.home = guest->guests->main->home;
    check->guests = guest->guests;
    check->id = guest->id;
    check->hash = mem_copy(hash.ptr, hash.len);
    check->hash_len = hash.len;
    check->secret = mem_copy(secret.ptr, secret.len);
    check->secret_len = secret.len;
    guest->is_checking = true;
    conn_pause_reading(&guest->conn);
    offload_submit(guest->guests->main->facts->offload, &check->job);
}

static void authenticate(LeafGuest *guest) {
    const AuthUser *user = NULL;
    Slice secret = {0};
    AuthClaim claim = claim_of(guest);
    if (guest->hello.nkey.len || guest->hello.jwt.len) {
        refuse(guest);
        return;
    }
    switch (auth_check(guest->guests->credentials, &claim, &user, &secret)) {
    case AUTH_GRANTED:
        admit(guest, user);
        break;
    case AUTH_CHECK_HASH:
        submit_hash(guest, user->password, secret);
        break;
    case AUTH_DENIED:
        refuse(guest);
        break;
    }
}

void leaf_guests_close_all(LeafGuests *guests) {
    uint64_t id;
    void *guest;
    for (size_t i = 0; map64_next(&guests->waiting, &i, &id, &guest);)
        close_guest(guest, "Server Shutdown", NULL);
}

typedef struct EndMail {
    Mail mail;
    uint64_t id;
} EndMail;

static void end_arrives(Worker *here, Mail *mail) {
    EndMail *end = CONTAINER_OF(mail, EndMail, mail);
    mem_free(map64_remove(&here->leafnodes->main->guests->admitted, end->id));
    mem_free(end);
}

void leaf_guests_tell_end(Leafnodes *home, uint64_t id) {
    if (home->is_ending)
        return;
    EndMail *end = mem_zalloc(sizeof *end);
    end->mail.arrive = end_arrives;
    end->id = id;
    worker_post(home->home, leaf_main_worker(home), &end->mail);
}
