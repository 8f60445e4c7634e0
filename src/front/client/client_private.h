/* Client and Clients from the inside: for the files of this folder only. */
#pragma once

#include "base/log.h"
#include "base/vec.h"
#include "bus/bus.h"
#include "front/client/clients.h"
#include "front/client/close_reason.h"
#include "front/client/responses.h"
#include "front/client/sub_table.h"
#include "io/clock.h"
#include "io/conn.h"
#include "proto/nats_parser.h"

enum {
    /* Payloads from here on are shared with receivers instead of copied for each. */
    CLIENT_SHARED_PAYLOAD_BYTES = 4096,
    /* Outbox from which a client counts as congested: those who can wait, wait. */
    CLIENT_CONGESTED_BYTES_MAX = 8 * 1024 * 1024,
    /* A publisher that waits for a congested receiver goes on after this time in any case. */
    CLIENT_STALL_MS = 10,
    /* Publishes between looks at congestion elsewhere. */
    CLIENT_PUBLISHES_PER_STALL_CHECK = 64,
    /* Remembered of a closed client: more is cut. */
    CLOSED_SUBS_MAX = 16,
    CLOSED_SUBS_BYTES_MAX = 1024,
    CLOSED_TEXT_BYTES_MAX = 256,
};

/* Bits of Sub.cookie. */
enum { SUB_IS_FILTERED = 1 };

struct Client {
    Conn conn; /* first: see io/conn.h */
    Port port;
    Clients *clients;
    uint64_t cid;
    size_t searched; /* of an incomplete line, see NatsParser */
    uint64_t payload_max;
    SubTable subs;
    uint32_t subs_max;    /* UINT32_MAX = none */
    const AuthUser *user; /* NULL until authenticated */
    Account *account;     /* NULL until authenticated */
    Responses *responses; /* NULL without allow_responses */
    ClosedClient *closed; /* what will be remembered, once it is closing */
    char *texts;          /* ip, name, lang, version, claimed user */
    uint64_t in_msgs, in_bytes, out_msgs, out_bytes;
    uint64_t start_ns, last_ns; /* monotonic */
    uint64_t rtt_start_ns, rtt_ns;
    uint64_t stalled_until_ns;
    uint32_t stalls;
    uint16_t unchecked_publishes, pings_out;
    Timer timer; /* authentication, then PINGs */
    Link stall_link;
    uint16_t ip_len, name_len, lang_len, version_len, claim_len, peer_port;
    uint8_t reason; /* CloseReason; CLOSE_NONE = open */
    uint8_t protocol;
    bool is_verbose : 1, is_pedantic : 1, has_headers : 1, wants_no_responders : 1;
    bool is_connect_received : 1, is_first_pong_sent : 1, is_token : 1;
    bool is_waiting : 1;   /* for a hash or an account's permission: reads nothing meanwhile */
    bool is_announced : 1; /* on_connect was called */
    bool is_congested_counted : 1;
};

/* Options and all they point to. */
typedef struct OwnedOptions {
    ClientOptions options;
    Slice *connect_urls, *tags, *metadata;
    AccountLimits *limits;
    char *bytes;
} OwnedOptions;

OwnedOptions *owned_options_new(const ClientOptions *options);
void owned_options_free(OwnedOptions *owned);

/* What the main worker alone knows. */
typedef struct ClientsMain {
    uint64_t last_cid;
    uint64_t *open_by_worker;
    uint64_t open;
    VEC(uint64_t) open_by_account; /* [account * workers + worker] */
    ClosedClient **ring;           /* ring_cap slots once used */
    size_t ring_cap, ring_at, ring_len;
    void (*done)(void *cookie);
    void *cookie;
    Timer end_timer; /* shutdown does not wait longer */
} ClientsMain;

struct Clients {
    Worker *home;
    Offload *offload;
    OwnedOptions *owned;
    const ClientOptions *options; /* in owned */
    Credentials *credentials;
    Map64 by_cid;
    Map64 presences; /* by cid, of client_presence.c */
    ClientsStats stats;
    ClientsStats *by_account; /* of closed clients, and total */
    size_t account_count;
    List stalled; /* first to go on first */
    Timer stall_timer;
    uint32_t congested; /* clients here */
    uint64_t traces;    /* events sent */
    bool is_lame_duck;
    Timer closing_timer; /* lame duck: closes some each time */
    uint64_t closing_until_ns;
    size_t closing_at;
    ClientsEvents events;
    uint64_t service_sequence;
    ClientsMain *main; /* NULL on other workers */
};

/* client.c */
/* Takes fd and codec (NULL: none). */
void client_open(Clients *clients, int fd, ConnCodec *codec, uint64_t cid, bool is_over_limit);
static inline bool client_is_websocket(const Client *client) {
    return client->conn.codec != NULL;
}
/* The user may come in this way. */
static inline bool client_may_be(const Client *client, const AuthUser *user) {
    AuthConnection own = client_is_websocket(client) ? AUTH_WEBSOCKET : AUTH_STANDARD;
    return user->connections == 0 || (user->connections & own) != 0;
}
/* Ends it: -ERR text unless NULL, what is pending is flushed. */
void client_close(Client *client, CloseReason reason, const char *error);
/* After workers_join: frees it, without telling anyone. */
void client_discard(Client *client);
static inline bool client_is_open(const Client *client) {
    return client->reason == CLOSE_NONE;
}
void client_send_error(Client *client, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void client_send_ok(Client *client);

/* client_connect.c */
void client_connect(Client *client, Slice json);
/* Binds the user of those who give no credentials. False: there is none, it was closed. */
bool client_connect_anonymously(Client *client);
void client_bind(Client *client, const AuthUser *user);
void client_unbind(Client *client);
/* After a reload: user is the same one in the new Credentials. */
void client_rebind(Client *client, const AuthUser *user);
void client_apply_limits(Client *client);
void client_refuse(Client *client);
/* The main worker's answer about the account's connections. */
void client_on_account_verdict(Clients *clients, uint64_t cid, bool is_admitted);

/* client_publish.c */
void client_publish(Client *client, const NatsOp *op);
void client_go_on(Client *client); /* a stall ends */
void client_resume_stalled(Clients *clients);
void client_on_stall_timer(Timer *timer);

/* client_user_info.c */
void client_answer_user_info(Client *client, Slice reply);

/* client_sub.c */
void client_subscribe(Client *client, const NatsOp *op);
void client_unsubscribe(Client *client, const NatsOp *op);
void client_remove_sub(Client *client, Sub *sub);
void client_remove_subs(Client *client);
/* New permissions: drops what is no longer allowed. */
void client_recheck_subs(Client *client);

/* client_deliver.c */
extern const PortOps CLIENT_PORT_OPS;
void client_send_no_responders(Client *client, Slice subject, Slice reply);

/* client_info.c */
typedef enum InfoKind { INFO_FIRST, INFO_CONNECTED, INFO_UPDATE } InfoKind;
void client_send_info(Client *client, InfoKind kind);

/* client_ping.c */
void client_start_timer(Client *client);
void client_start_pings(Client *client);
void client_on_ping(Client *client);
void client_on_pong(Client *client);

/* client_trace.c: call only when log_wants. */
void client_trace_in(const Client *client, const NatsOp *op);
void client_trace_out(const Client *client, Slice line);
void client_trace_payload(const Client *client, const char *arrow, Slice header, Slice payload);
void client_trace_delsub(const Client *client, const Sub *sub);
void client_log(const Client *client, LogLevel level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
#define CLIENT_LOG(client, level, ...)                                                             \
    do {                                                                                           \
        if (log_wants(level))                                                                      \
            client_log((client), (level), __VA_ARGS__);                                            \
    } while (0)

/* clients.c */
typedef enum AccountEvent { ACCOUNT_JOIN, ACCOUNT_LEAVE, ACCOUNT_ASK } AccountEvent;
/* Tells the main worker, which counts the connections of accounts. ACCOUNT_ASK, after ACCOUNT_JOIN:
 * client_on_account_verdict comes. */
void clients_post_account(Clients *clients, const Client *client, AccountEvent event);

/* On the main worker: open connections of an account on that worker; valid until the next call. */
uint64_t *clients_open_of_account(Clients *main, size_t account, unsigned worker);

/* closed_client.c */
/* Remembers texts and subscriptions while they are there. */
ClosedClient *closed_client_new(const Client *client, CloseReason reason);
/* Takes it; off to the main worker, when the connection is gone. */
void closed_client_send(Clients *clients, ClosedClient *closed);
/* A connection that never became a client: only the count matters. */
void closed_client_send_gone(Clients *clients);
void closed_client_free(ClosedClient *closed);
void clients_forget_closed(Clients *main);

/* clients_admin.c */
void clients_check_end(Clients *main);
void clients_on_closing_timer(Timer *timer);
void clients_on_end_timer(Timer *timer);

/* client_tracing.c: what a message's headers ask for. */
typedef struct TraceWish {
    Slice dest;       /* who wants to hear of it; empty: nobody */
    bool is_external; /* by traceparent: Nats-Trace-Only means nothing */
    bool is_off;      /* it was asked for and will not be: the headers are to say so */
} TraceWish;
TraceWish client_trace_wish(Client *client, Slice headers);
/* The headers of a message whose trace is off; in the turn's arena. */
Slice client_trace_off(const Client *client, Slice headers);
/* The trace of one that is wanted by who may publish to dest; release it after bus_publish. error
 * empty: it goes on; else why it does not, and then nothing else is said. */
Trace *client_trace_message(Client *client, const NatsOp *op, const TraceWish *wish, Slice error);
void client_describe(Port *port, Buf *out);
void client_identify(Port *port, Buf *out);

/* client_publish.c */
bool client_is_restricted(Port *port);
bool client_may_publish(Port *port, Slice subject, bool is_told);

/* client_presence.c */
void client_presence(Port *port, Buf *out);
void client_end_presence(const Client *client);
/* With clients; the bus frees the subscriptions. */
void client_forget_presences(Clients *clients);

static inline Slice client_ip(const Client *client) {
    return slice_from(client->texts, client->ip_len);
}
static inline Slice client_name(const Client *client) {
    return slice_from(client->texts + client->ip_len, client->name_len);
}
static inline Slice client_lang(const Client *client) {
    return slice_from(client->texts + client->ip_len + client->name_len, client->lang_len);
}
static inline Slice client_version(const Client *client) {
    return slice_from(client->texts + client->ip_len + client->name_len + client->lang_len,
                      client->version_len);
}
/* Shown to people: "[REDACTED]" for a token, the claimed one while there is none. */
static inline Slice client_user_name(const Client *client) {
    if (client->is_token)
        return LIT("[REDACTED]");
    if (client->user)
        return client->user->name;
    return slice_from(client->texts + client->ip_len + client->name_len + client->lang_len +
                          client->version_len,
                      client->claim_len);
}
