/* The parts of the API's files: endpoints, routing, and what the handlers share. Private to api*.c.
 */
#pragma once

#include "base/limits.h"
#include "stream/account_hash.h"
#include "stream/api.h"
#include "stream/consumer_set.h"
#include "stream/stream.h"

typedef enum ApiPlace {
    API_ANYWHERE,  /* where the request came in */
    API_CATALOGUE, /* worker 0 */
    API_STREAM,    /* the home of the stream; the catalogue's when there is none of that name */
} ApiPlace;

typedef enum ApiBody {
    API_BODY_FREE,     /* the handler looks itself */
    API_BODY_EMPTY,    /* else 10038 */
    API_BODY_REQUIRED, /* else 10003 */
} ApiBody;

enum {
    API_QUIET = 1,        /* success is not audited */
    API_UNAUDITED = 2,    /* errors neither */
    API_SYSTEM = 4,       /* only in the system account; silence elsewhere */
    API_CLUSTER = 8,      /* 10010 on a single server; silence for those of the system account */
    API_SETTLED = 16,     /* reads a stream's state: waits for what was proposed before */
    API_BODY_FIRST = 32,  /* the handler says 10039 itself, after it looked at the body */
    API_BY_CONSUMER = 64, /* the handler says everything, since the original's consumer does */
    API_INITIATED = 128,  /* success is called "initiated" */
    API_OF_ACCOUNT = 256, /* asked in the system account, its own figures */
    API_WRITES = 512, /* its body names subjects that are written: who asks must be allowed to */
};

typedef struct ApiEndpoint {
    Slice verb;                     /* between "$JS.API." and the names */
    uint8_t tokens_min, tokens_max; /* behind the verb; more than two go to rest */
    uint8_t body, place;
    uint16_t flags;
    Slice type;         /* behind "io.nats.jetstream.api.v1." */
    Slice error_fields; /* what errors carry too, beginning with a comma */
    void (*run)(ApiCall *call);
} ApiEndpoint;

/* What is behind "$JS.API."; NULL when there is no such endpoint or the tokens do not fit. Fills
 * stream, consumer, rest. */
const ApiEndpoint *api_find_endpoint(Slice tail, Slice *out_stream, Slice *out_consumer,
                                     Slice *out_rest);

/* Per account that was told to the bus. */
typedef struct ApiPort {
    Port port; /* first */
    Api *api;
    Account *account;
    uint32_t index;
    bool is_enabled;
    char hash[ACCOUNT_HASH_LEN]; /* of the account, in acks of the second form */
    Sub *subs[4];
} ApiPort;

struct Api {
    JetStream *js;
    ApiPort *ports;
    size_t port_count;
    size_t calls;    /* taken here and not answered */
    bool is_closing; /* nothing is sent any more */
    Buf domain;      /* "$JS.<domain>.API." or empty */
    Buf headers;     /* of the reply being made */
    List waits;      /* ApiWait */
    struct DirectQueue *direct;
};

/* Answers of the direct kinds: status lines and messages without JSON. */
void api_send(Api *api, Account *account, Slice reply, Slice headers, Slice payload);
void api_send_status(Api *api, Account *account, Slice reply, Slice status);
/* A call that no client made: of the end of a restore. What it says goes to reply. */
ApiCall *api_call_make(Api *api, Account *account, const ApiEndpoint *endpoint, Slice subject,
                       Slice stream, Slice reply, Slice body);
/* As the bus would answer a request that nobody takes. */
void api_send_no_responders(ApiPort *port, const Message *message);
/* True when the request may be served: no Nats-Required-Api-Level, or one that we have. */
bool api_level_is_met(Slice headers);

/* The call's account has JetStream. */
bool api_is_enabled(const ApiCall *call);
/* The stream of the call when it lives here, or NULL. */
Stream *api_call_stream(ApiCall *call);
Arena *api_arena(const ApiCall *call);
/* The body by a table; false: answered with 10025 (call is gone). */
bool api_read_body(ApiCall *call, const JsonSchema *schema, JsonMode mode, void *out);
/* Continues on another worker: the endpoint's run is called there. */
void api_move(ApiCall *call, Worker *to);
/* On the worker that its endpoint names. */
void api_run(ApiCall *call);
/* api_permit.c: of a call with API_WRITES, on the worker of who asks (NULL: a part of the server
 * itself, which may everything). False: answered, call is gone. */
MUST_CHECK bool api_is_permitted(ApiCall *call, Port *from);
/* The same for a call that travels inside other mail: before it leaves, when it has come. */
void api_detach(ApiCall *call);
void api_attach(ApiCall *call, Worker *here);
/* api_begin with another type. */
void api_begin_as(ApiCall *call, Slice type, Buf *out);
/* The store refused. */
ApiError api_error_of_status(Arena *arena, Status status);

/* Paged answers: total, offset, limit. */
void api_write_page(Buf *out, uint64_t total, uint64_t offset, uint64_t limit);
/* The offset as it is used: 0 .. total. */
uint64_t api_clamp_offset(int64_t offset, uint64_t total);

/* Handlers; each takes call. */
void api_on_stream_info(ApiCall *call);
void api_on_stream_purge(ApiCall *call);
void api_on_stream_msg_delete(ApiCall *call);
void api_on_stream_msg_get(ApiCall *call);
void api_on_stream_snapshot(ApiCall *call);
void api_on_consumer_create(ApiCall *call);
void api_on_consumer_durable_create(ApiCall *call);
void api_on_consumer_names(ApiCall *call);
void api_on_consumer_list(ApiCall *call);
void api_on_consumer_info(ApiCall *call);
void api_on_consumer_delete(ApiCall *call);
void api_on_consumer_pause(ApiCall *call);
void api_on_consumer_unpin(ApiCall *call);
void api_on_consumer_reset(ApiCall *call);
void api_on_hw_keys(ApiCall *call);
void api_on_hw_object_get(ApiCall *call);
void api_on_hw_touch(ApiCall *call);
/* The subject that it touches, when its body can be read. */
Slice api_touched_subject(ApiCall *call);

/* DIRECT.GET as it came in; names: the stream's, and the subject behind it. */
void api_direct(ApiPort *port, Slice names, const Message *message);
/* DIRECT.GET on the stream's home. rest: the subject behind the stream's name, or empty. */
void api_direct_get(Api *api, Stream *stream, Slice rest, const Message *message);
/* The message of that sequence, as a request for its subject alone is answered. */
void api_direct_get_seq(Api *api, Stream *stream, uint64_t seq, Slice reply);
/* The same when the options' waiting is over. */
typedef struct GetOptions GetOptions;
void api_direct_get_now(Api *api, Stream *stream, Slice rest, const Message *message,
                        const GetOptions *options);

/* Something that waits for a message of a stream to come from the disk; embedded in a heap object.
 */
typedef struct ApiWait ApiWait;
struct ApiWait {
    Link link; /* in Api.waits */
    StreamWait wait;
    Stream *stream;
    void (*ready)(ApiWait *wait);
    void (*gone)(ApiWait *wait); /* the stream is about to be deleted; ready will not be called */
};
void api_wait(ApiWait *wait, Api *api, Stream *stream, uint64_t seq);
/* Calls gone for all that wait for the stream. */
void api_stream_gone(Api *api, Stream *stream);

/* Advisories of streams; domain is added by api_advisory. */
void api_advise_stream(JetStream *js, Account *account, Slice stream, Slice action);
void api_audit(ApiCall *call, Slice response);
