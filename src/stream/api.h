/* Api: the requests of $JS.API, the acks of $JS.ACK and the flow replies of $JS.FC. One table of
 * endpoints; each call runs on the home that its row names (catalogue's, or the stream's) and is
 * answered from there. */
#pragma once

#include <stdbool.h>

#include "bus/bus.h"
#include "proto/json.h"
#include "stream/api_error.h"
#include "stream/jetstream.h"

typedef struct Api Api;
typedef struct ApiCall ApiCall;

enum {
    /* Requests that one worker has taken and not answered: over it, the next ones are dropped, as
     * the original drops them when its queue is full; the client's timeout tells. */
    API_CALLS_MAX = 10000,
};

/* A request under way. Heap, owned by whoever must answer it; crosses workers as mail. Exactly one
 * api_reply_* or api_drop ends it. */
struct ApiCall {
    Mail mail;
    Worker *home;     /* where it is now */
    JetStream *js;    /* of that worker */
    Account *account; /* of that worker */
    const struct ApiEndpoint *endpoint;
    Slice subject; /* as requested, after domain mapping */
    Slice reply, headers, body;
    Slice client;   /* who asks, a JSON object; empty: not known, or nobody listens to advisories */
    Slice presence; /* HW.TOUCH that asks for it: subject with interest while who asks is there */
    Slice stream, consumer,
        rest;        /* tokens of the subject: stream name, consumer name, the remaining ones */
    bool is_checked; /* STREAM.UPDATE: the stream's home has agreed */
    bool has_waited; /* all that was on its way in the account when it came is there */
    char bytes[];    /* what the slices point into */
};

/* Set-up: the ports of this worker, in every account that has JetStream. */
Api *api_new(JetStream *js);
void api_free(Api *api);

/* Begins a JSON reply in a buffer of the turn: {"type":"io.nats.jetstream.api.v1.<suffix of the
 * endpoint>" */
void api_begin(ApiCall *call, Buf *out);
/* Closes the object, sends it, counts, audits; frees call and out. */
void api_finish(ApiCall *call, Buf *out);
/* The same with a header block. */
void api_finish_with(ApiCall *call, Slice headers, Buf *out);
/* The error reply, with the endpoint's always-present fields. error.text may be in the turn's
 * arena. Frees call. */
void api_reply_error(ApiCall *call, ApiError error);
/* {"type":...,"success":true} */
void api_reply_success(ApiCall *call);
/* No answer at all (or an answer that is no JSON was sent). Frees call. */
void api_drop(ApiCall *call);

/* Publishes an advisory {"type":"io.nats.jetstream.advisory.v1.<kind>","id":...,"timestamp":...,
 * <fields> } on $JS.EVENT.<subject tail> when somebody listens. fields begins with ",". */
void api_advisory(JetStream *js, Account *account, Slice subject_tail, Slice type, Slice fields);
/* Appends the JSON object of who made the call. */
void api_write_client(const ApiCall *call, Buf *out);
bool api_advisory_is_wanted(JetStream *js, Account *account, Slice subject_tail);
