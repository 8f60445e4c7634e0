/* DoorRig: a client door with two workers and a main one, stepped on the test's thread, and peers
 * that talk to it over loopback. For tests only. */
#pragma once

#include "base/buf.h"
#include "front/client/clients.h"
#include "io/listener.h"

enum { RIG_WORKERS = 2, RIG_ACCOUNTS = 4 }; /* $G, $SYS, A, B */

typedef struct DoorRig {
    Worker **all;
    Offload *offload;
    Listener *listener;
    Clients *main;
    ClientOptions options;
    AuthOptions auth;
    bool is_ended; /* rig_on_done was called */
} DoorRig;

/* Options and auth as the test wants them: rig->options has defaults before. */
void rig_prepare(DoorRig *rig);
void rig_open(DoorRig *rig);
void rig_close(DoorRig *rig);
void rig_step(DoorRig *rig);
/* done for clients_shutdown and clients_lame_duck; cookie = the rig. */
void rig_on_done(void *cookie);
/* Sums over all workers. */
ClientsStats rig_stats(DoorRig *rig);

/* Steps until the condition holds; fails the test after ten seconds. */
#define RIG_UNTIL(rig, condition)                                                                  \
    do {                                                                                           \
        uint64_t rig_end_ = rig_deadline();                                                        \
        while (!(condition)) {                                                                     \
            rig_step(rig);                                                                         \
            rig_check_deadline(rig_end_, #condition, __FILE__, __LINE__);                          \
        }                                                                                          \
    } while (0)
uint64_t rig_deadline(void);
void rig_check_deadline(uint64_t end, const char *condition, const char *file, int line);

typedef struct Peer {
    DoorRig *rig;
    int fd;
    Buf got;
    bool is_ended; /* the server closed */
} Peer;

/* Connected, the first INFO taken (into info when not NULL). */
Peer *peer_open(DoorRig *rig, Buf *info);
void peer_close(Peer *peer);
void peer_send(Peer *peer, const char *text);
void peer_send_bytes(Peer *peer, Slice bytes, size_t step);
/* Takes what arrived. */
void peer_pump(Peer *peer);
/* Fails unless exactly this comes next, and nothing else by then. */
void peer_expect(Peer *peer, const char *text);
/* ... and then the end. */
void peer_expect_end(Peer *peer, const char *text);
/* PING, and everything before its PONG must be text. */
void peer_expect_before_pong(Peer *peer, const char *text);
/* Everything not taken yet up to the PONG of a PING; borrowed from got. */
Slice peer_take_until_pong(Peer *peer);
