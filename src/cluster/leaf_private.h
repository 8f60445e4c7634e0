/* LeafConn and Leafnodes from the inside: for the files of this folder only. */
#pragma once

#include "base/arena.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/nuid.h"
#include "base/vec.h"
#include "bus/bus.h"
#include "cluster/leafnodes.h"
#include "io/clock.h"
#include "io/conn.h"
#include "io/dial.h"
#include "proto/leaf_parser.h"
#include "stream/jetstream.h"

enum {
    /* A control line may be so much longer than a client's: queues are named in it. */
    LEAF_CONTROL_LINE_FACTOR = 16,
    /* Payloads from here on are shared instead of copied. */
    LEAF_SHARED_PAYLOAD_BYTES = 4096,
    /* Outbox from which a leafnode counts as congested. */
    LEAF_CONGESTED_BYTES_MAX = 8 * 1024 * 1024,
    /* A denied list of the other side: more is a protocol violation. */
    LEAF_DENIED_SUBJECTS_MAX = 4096,
    /* URLs that a remote is known to have, with those it tells of. */
    LEAF_URLS_MAX = 256,
};

#define LEAF_LOOP_PREFIX     LIT("$LDS.")
#define LEAF_FIRST_INFO_NS   ((uint64_t)1 * NS_PER_S)
#define LEAF_DIAL_TIMEOUT_NS ((uint64_t)1 * NS_PER_S)
#define LEAF_FINISH_NS       ((uint64_t)5 * NS_PER_S)
#define LEAF_RECONNECT_NS    ((uint64_t)1 * NS_PER_S)
#define LEAF_FIRST_PING_NS   ((uint64_t)1 * NS_PER_S)
#define LEAF_LONG_DELAY_NS   ((uint64_t)30 * NS_PER_S)
#define LEAF_MIN_VERSION_NS  ((uint64_t)5 * NS_PER_S)

/* What one connection may send and hear. */
typedef struct LeafRules {
    Permissions *send;   /* publish: messages to the other side; subscribe: interest told to it */
    Permissions *cover;  /* subscribe: false for patterns of which send lets nothing through */
    Permissions *accept; /* publish: messages from the other side; NULL = all */
} LeafRules;
void leaf_rules_free(LeafRules *rules);
bool leaf_rules_may_tell(const LeafRules *rules, Slice subject);

/* Lists of subjects; borrowed. */
typedef struct LeafRuleParts {
    SubjectRules send, interest, accept;
    bool has_accept;
    const Slice *deny_send, *deny_interest; /* on top */
    size_t deny_send_count, deny_interest_count;
} LeafRuleParts;
/* Adds what JetStream's domains forbid. ERR_SYNTAX: a subject is no subject. */
MUST_CHECK Status leaf_rules_make(const LeafFacts *facts, size_t account, Slice remote_domain,
                                  const LeafRuleParts *parts, Buf *out_error, LeafRules *out);

/* Where a solicited connection goes; all of it in its arena. */
typedef struct LeafTarget {
    Arena *arena;              /* owned */
    uint64_t remote;           /* which LeafRemote of the main worker; its id */
    LeafRemoteOptions options; /* with one url: the one that was dialled */
    uint64_t dial_timeout_ns, write_deadline_ns;
    DialAddress address;
    char ip[46];
} LeafTarget;
void leaf_target_free(LeafTarget *target);

/* A connection that the main worker let in, on its way to its home. */
typedef struct LeafAdmission {
    Mail mail;    /* first */
    Arena *arena; /* owned, as are the texts */
    int fd;
    uint64_t id;
    size_t account;
    LeafRules rules;
    Slice name, cluster, domain, remote_account, user;
    bool is_spoke, is_isolated, has_headers;
    uint64_t write_deadline_ns;
    Slice info;  /* the line that says so */
    Slice early; /* what came behind the CONNECT already */
} LeafAdmission;

/* An interest of the other side. */
typedef struct LeafSub {
    Sub *sub; /* NULL: nothing of it may be sent, so the bus does not know it */
    uint32_t members;
    uint16_t subject_len, key_len;
    char key[]; /* subject, or subject and queue with a blank between them */
} LeafSub;
static inline Slice leaf_sub_subject(const LeafSub *sub) {
    return slice_from(sub->key, sub->subject_len);
}
static inline Slice leaf_sub_queue(const LeafSub *sub) {
    return sub->key_len > sub->subject_len
               ? slice_from(sub->key + sub->subject_len + 1, sub->key_len - sub->subject_len - 1)
               : (Slice){NULL, 0};
}

typedef enum LeafPhase {
    LEAF_AWAITS_INFO,   /* solicited: nothing came yet */
    LEAF_AWAITS_ANSWER, /* solicited: CONNECT was sent */
    LEAF_OPENED,
    LEAF_CLOSING,
} LeafPhase;

typedef struct LeafAccount LeafAccount;

struct LeafConn {
    Conn conn; /* first: see io/conn.h */
    Port port;
    Leafnodes *leafnodes;
    uint64_t id;
    LeafAccount *account;
    LeafTarget *target; /* NULL: the other side connected */
    Arena *arena;       /* texts */
    LeafRules rules;
    size_t searched;
    uint64_t payload_max;
    Map subs; /* key -> LeafSub */
    Slice name, cluster, domain, remote_account, user;
    LeafPhase phase;
    bool is_spoke, is_isolated, has_headers;
    bool is_listed; /* in account->leafs */
    uint64_t in_msgs, in_bytes, out_msgs, out_bytes;
    uint64_t rtt_start_ns, rtt_ns;
    unsigned pings_out;
    Timer timer;                 /* INFO, answer, then PINGs */
    uint64_t reconnect_delay_ns; /* for the main worker: not before */
    const char *reason;
    uint16_t peer_port;
    char ip[46];
};

/* All leafnode connections of an account, on its home. */
struct LeafAccount {
    InterestTap tap;
    Leafnodes *leafnodes;
    Account *account;
    VEC(LeafConn *) leafs;   /* opened ones */
    LeafStats ended;         /* of those that are gone */
    char loop[5 + NUID_LEN]; /* "$LDS." and what is ours alone; empty until used */
    bool has_loop;
};

typedef struct LeafMain LeafMain;

struct Leafnodes {
    Worker *home;
    const LeafFacts *facts;
    LeafAccount *accounts; /* [account_count]; used where this is the home */
    Map64 by_id;
    uint64_t slow_consumers, stale_connections;
    bool is_ending; /* the server stops: the main worker asks for no more news */
    LeafMain *main; /* NULL on other workers */
};

static inline Worker *leaf_main_worker(const Leafnodes *leafnodes) {
    return leafnodes->home->all[leafnodes->home->count];
}
static inline Worker *leaf_home_of(const Leafnodes *leafnodes, size_t account) {
    return leafnodes->home->all[account % leafnodes->home->count];
}
static inline Slice leaf_loop_subject(const LeafAccount *account) {
    return slice_from(account->loop, sizeof account->loop);
}

/* leaf.c: a connection on its home. */
/* Takes admission, target. */
void leaf_open_admitted(Leafnodes *leafnodes, LeafAdmission *admission);
void leaf_open_solicited(Leafnodes *leafnodes, uint64_t id, int fd, LeafTarget *target);
/* Agreed on both sides: from now on it takes part. */
void leaf_begin(LeafConn *leaf);
/* -ERR error unless NULL; what is pending is flushed. */
void leaf_close(LeafConn *leaf, const char *reason, const char *error);
/* After workers_join. */
void leaf_discard(LeafConn *leaf);
void leaf_send_error(LeafConn *leaf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void leaf_log(const LeafConn *leaf, LogLevel level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define LEAF_LOG(leaf, level, ...)                                                                 \
    do {                                                                                           \
        if (log_wants(level))                                                                      \
            leaf_log((leaf), (level), __VA_ARGS__);                                                \
    } while (0)
/* The same for a connection that is not a LeafConn yet. */
void leaf_log_as(LogLevel level, const char *ip, uint16_t port, uint64_t id, const char *format,
                 ...) __attribute__((format(printf, 5, 6)));
void leaf_handle_loop(LeafConn *leaf, bool tells);
void leaf_start_pings(LeafConn *leaf);
void leaf_on_error_line(LeafConn *leaf, Slice text);

/* leaf_solicit.c: the spoke's part of getting to know each other. */
void leaf_on_info(LeafConn *leaf, Slice json);

/* leaf_guests.c: the hub's, on the main worker. */
typedef struct LeafGuests LeafGuests;
LeafGuests *leaf_guests_new(Leafnodes *main);
void leaf_guests_free(LeafGuests *guests);
void leaf_guests_accept(LeafGuests *guests, int fd);
MUST_CHECK Status leaf_guests_configure(LeafGuests *guests, const LeafOptions *options,
                                        const AuthOptions *users, Buf *out_error);
void leaf_guests_close_all(LeafGuests *guests);
/* From a home: one that was let in has gone. */
void leaf_guests_tell_end(Leafnodes *home, uint64_t id);
/* Closes that connection, or those of that remote. From the main worker. */
void leaf_close_elsewhere(Leafnodes *main, Worker *home, uint64_t id, uint64_t remote,
                          const char *reason);

/* leaf_remotes.c: on the main worker. */
typedef struct LeafRemotes LeafRemotes;
LeafRemotes *leaf_remotes_new(Leafnodes *main);
void leaf_remotes_free(LeafRemotes *remotes);
void leaf_remotes_configure(LeafRemotes *remotes, const LeafOptions *options);
void leaf_remotes_start(LeafRemotes *remotes);
void leaf_remotes_stop(LeafRemotes *remotes);
size_t leaf_remotes_count(const LeafRemotes *remotes);
/* From a home: the connection of that remote has ended. */
void leaf_remotes_tell_end(Leafnodes *home, uint64_t remote, uint64_t delay_ns);
/* From a home: where else the remote may be found. */
void leaf_remotes_tell_urls(Leafnodes *home, uint64_t remote, const Slice *urls, size_t count);

struct LeafMain {
    LeafGuests *guests;
    LeafRemotes *remotes;
};

/* leaf_message.c */
extern const PortOps LEAF_PORT_OPS;
void leaf_on_message(LeafConn *leaf, const LeafOp *op);

/* leaf_subs.c: interest of the other side. */
void leaf_on_sub(LeafConn *leaf, const LeafOp *op);
void leaf_on_unsub(LeafConn *leaf, const LeafOp *op);
void leaf_remove_subs(LeafConn *leaf);
LeafSub *leaf_find_sub(const LeafConn *leaf, Slice subject, Slice queue);

/* leaf_interest.c: interest told to the other side. */
void leaf_tell_all(LeafConn *leaf);
/* Of JetStream on this worker. */
void leaf_on_stream(JetStream *js, const StreamRef *ref, bool is_there);
/* from has changed its interest. */
void leaf_tell_change(LeafConn *from, Slice subject, Slice queue, uint32_t before, uint32_t after);
void leaf_account_init(LeafAccount *account, Leafnodes *leafnodes, size_t index);
void leaf_account_done(LeafAccount *account);
void leaf_account_add(LeafAccount *account, LeafConn *leaf);
void leaf_account_remove(LeafAccount *account, LeafConn *leaf);

/* leaf_texts.c: what servers say of themselves. */
typedef struct LeafHello { /* what of an INFO or a CONNECT matters here */
    bool headers, jetstream, is_hub, isolate, connect_info, info_on_connect, tls_required;
    int64_t proto;
    uint64_t client_id;
    Slice server_id, server_name, name, version, cluster, domain, remote_account, compression;
    Slice compress_mode, user, pass, auth_token, nkey, jwt, lang, gateway;
    Slice *leafnode_urls, *deny_pub;
    size_t leafnode_url_count, deny_pub_count;
    bool has_import, has_export;
    Slice *import_allow, *import_deny, *export_allow, *export_deny;
    size_t import_allow_count, import_deny_count, export_allow_count, export_deny_count;
} LeafHello;
/* Texts lie in arena. */
MUST_CHECK Status leaf_read_hello(Slice json, Arena *arena, LeafHello *out);

typedef struct LeafInfoParts {
    uint64_t id;
    Slice ip, nonce;   /* nonce: of the first one */
    bool is_connected; /* else the first one */
    Slice account;
    bool is_system;
    const PermissionsOptions *permissions; /* NULL: none */
    Slice advertised;                      /* "host:port"; empty = nothing */
} LeafInfoParts;
void leaf_write_info(Buf *out, const LeafFacts *facts, const LeafInfoParts *parts);
void leaf_write_connect(Buf *out, const LeafFacts *facts, const LeafTarget *target, Slice account);
