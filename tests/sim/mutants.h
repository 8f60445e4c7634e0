/* Servers that are wrong on purpose: the simulation must notice. The files of mutant_*.c are those
 * of the server, compiled again with some calls replaced; one mutation is in force at a time. */
#pragma once

#include <stdbool.h>

typedef enum Mutation {
    MUTATION_NONE,
    ACK_BEFORE_SYNC,
    SYNC_NO_NAMES,     /* directories are not synced */
    SKIP_CRC_READING,  /* of a record that is read */
    SKIP_CRC_RECOVERY, /* of a block */
    CUT_IN_THE_MIDDLE, /* the log ends at its first bad block */
    FORGET_DROP,       /* of live bytes */
    FORGET_ADD,
    RECYCLE_EARLY, /* whatever nothing is live in, without waiting for checkpoints */
    HALF_BATCH,
    REPLAY_TWICE,
    FORGET_DELETED,      /* of what a checkpoint says on top of its run */
    SKIP_FLOOR,          /* the older checkpoint, and the log from the newer one's floor on */
    FORGET_DUPLICATES,   /* of a checkpoint */
    FORGET_TIME_TO_LIVE, /* of a checkpoint */
    FORGET_CHUNKS,       /* references of payloads that are stored once */
    FORGET_PAUSE,        /* of a consumer, of a checkpoint; from here on delivery_sim must notice */
    FORGET_DELIVERIES,   /* how often there were some, of a checkpoint */
    FORGET_DELAY,        /* of a NAK, of a checkpoint */
    FORGET_GIVEN_UP,     /* of the log */
    FORGET_RESET,        /* of the log */
    SHARE_PIN,           /* others are served beside the pinned client */
    FORGET_SCHEDULES,    /* of a checkpoint; from here on timed_sim must notice */
    FORGET_LEASES,       /* of a checkpoint */
    MUTATIONS
} Mutation;

extern Mutation mutation;

static inline bool is_mutant(Mutation which) {
    return mutation == which;
}

/* True now and then. */
bool mutant_strikes(Mutation which);
