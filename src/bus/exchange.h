/* Exchange: what a bus tells the buses of other workers. One mail per destination and turn holds
 * many items: interest (as changes of counts), messages, credit for messages dealt with, congestion
 * of receivers. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bus/bus.h"

enum {
    /* Payloads from here on cross by reference when the message has a hold. */
    EXCHANGE_SHARE_BYTES = 1024,

    /* Message bytes on their way to one worker. Above it everything there counts as congested:
     * consumers wait, clients are slowed down. It is no wall: what is published all the same is
     * mailed. */
    EXCHANGE_UNPROCESSED_BYTES = 8 * 1024 * 1024,

    /* The receiver reports this often what it has dealt with; far below the limit, or the sender
       would wait for ever. */
    EXCHANGE_CREDIT_BYTES = 256 * 1024,
};

typedef struct ExchangeMail ExchangeMail;

/* Of this queue group, that worker chooses a member. */
typedef struct Pick {
    unsigned worker;
    Slice queue;
} Pick;

typedef struct Peer {
    ExchangeMail *open; /* posted, but still here: items may be added until the end of the turn */
    size_t last_size;   /* of the mail before, a guess at the next one */
    uint64_t unprocessed;
    uint64_t uncredited;
    bool was_congested;
} Peer;

typedef struct Exchange {
    Peer *peers; /* [home->count + 1] */
    unsigned peer_count;
    Task close_task;
    TurnHook hook;
    uint64_t closed_ns; /* the turn whose hooks have run: mail made after them is posted alone */
    uint64_t opened_in; /* worker_mailings then: another number, and what was open has gone */
    bool has_open;
} Exchange;

void exchange_init(Bus *bus);
void exchange_done(Bus *bus);

void exchange_send_interest(Account *account, Slice subject, Slice queue, int64_t delta);

/* picks: those of other workers are skipped. */
void exchange_send_message(Account *account, unsigned to_worker, Slice to, const Message *message,
                           const Pick *picks, size_t pick_count);
/* Cuts the next queue name off the picks that came with a message. */
bool exchange_cut_pick(Slice *packed, Slice *out_queue);

/* to empty: that worker as a whole. */
void exchange_send_congestion(Account *account, unsigned to_worker, Slice to, bool is_congested);

/* Too much is on its way there. */
bool exchange_is_congested(Bus *bus, unsigned worker);
