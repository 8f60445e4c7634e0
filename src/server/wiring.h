/* Wiring: options as the layers below want them. */
#pragma once

#include "base/arena.h"
#include "front/client/client_options.h"
#include "server/options.h"
#include "stream/jetstream.h"

/* What the server is, besides its options. */
typedef struct ServerFacts {
    Slice id, name;
    Slice cluster;                            /* empty = none */
    uint16_t port, websocket_port, leaf_port; /* as bound */
} ServerFacts;

/* Borrows from options, facts and arena. */
void wiring_client_options(const Options *options, const ServerFacts *facts, Arena *arena,
                           ClientOptions *out);
void wiring_auth_options(const Options *options, AuthOptions *out);

/* Copies what it needs into arena; store_dir is kept. */
void wiring_jetstream_options(const Options *options, const ServerFacts *facts, Arena *arena,
                              JetStreamOptions *out);

/* Where the account hears of messages with a traceparent. */
void wiring_trace(Account *account, const AccountOptions *options);

/* Of one account; owned by the caller, as account_set_mappings takes them. NULL without any. */
Mapping **wiring_mappings(const AccountOptions *account);
