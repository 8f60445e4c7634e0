/* Journal: orders and keeps the entries of groups (a stream, or the catalogue). Alone: "go" is when
 * the log thread's sync returned. Nothing is seen or acknowledged before its entry is applied.
 *
 * JournalStore is the process-wide part (log, checkpoints); each worker has a Journal with its open
 * chunk. Entries of memory groups never touch the log: they are applied at the submit step of the
 * same turn. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/shared.h"
#include "io/offload.h"
#include "io/worker.h"
#include "store/log.h"
#include "store/record.h"

typedef struct Group Group;
typedef struct Journal Journal;
typedef struct JournalStore JournalStore;

/* What the proposer wants to know again when its entry is applied or refused: copied by
 * journal_append. */
typedef struct Ticket {
    uint8_t kind;  /* the group's own meaning */
    Slice data;    /* e.g. a reply subject; borrowed during apply */
    void *pointer; /* e.g. an ApiCall; passes to apply or refused */
} Ticket;

/* A large group's state as of one moment, of which the larger part goes to a file of its own while
 * the group goes on. */
typedef struct GroupFreeze GroupFreeze;
struct GroupFreeze {
    uint64_t generation;               /* of the checkpoint: the file is journal_run_path's */
    uint64_t index;                    /* out: of the state */
    Buf state;                         /* out; to be freed by done */
    Status status;                     /* out: ERR_AGAIN: ask the group anew; ERR_CLOSED: it left */
    void (*done)(GroupFreeze *freeze); /* on home; takes freeze */
};

typedef enum GroupMoveKind {
    MOVE_OUT,  /* segments shall be given up: their live records move out */
    MOVE_PACK, /* records that are not compressed, and could be, are: in segments
                  [from_segment, to_segment). What would not be smaller stays */
    MOVE_LOOK, /* counts what the same might move */
} GroupMoveKind;

/* Records of groups that are appended anew. */
typedef struct GroupMove GroupMove;
struct GroupMove {
    GroupMoveKind kind;
    const uint64_t *segments; /* MOVE_OUT: ascending */
    size_t segment_count;
    uint64_t from_segment, to_segment;
    uint64_t floor_segment;             /* MOVE_LOOK */
    uint64_t plain_bytes;               /* MOVE_LOOK, out: of records, */
    uint64_t plain_new_bytes;           /* and of these, from floor_segment on */
    uint64_t packed_bytes, frame_bytes; /* out: of records that were compressed; what they take */
    uint64_t bytes_left;                /* of log that may still be written */
    uint64_t records, bytes;            /* out: that were moved, and of log that it took */
    uint64_t entry_bytes;               /* of an entry, about; changed by journal_move_pause_ns */
    bool is_cut_short;                  /* out: there may be more */
    void (*done)(GroupMove *move);      /* on home */
    /* Private: what journal_move_pause_ns knew last. */
    Place head;
    uint64_t bytes_seen, seen_ns, busy_ns;
};

typedef struct GroupOps {
    /* In order, once per entry. hold owns record's bytes (take a reference to keep them); place is
     * 0 for memory groups. ticket is NULL in recovery. During recovery nothing may be sent; the
     * clock is record->time_ns. */
    void (*apply)(Group *group, const Record *record, Place place, Shared *hold,
                  const Ticket *ticket);

    /* The entry did not become durable: ERR_FULL (no space) or ERR_IO (the log failed). ticket is
     * never NULL. */
    void (*refused)(Group *group, const Record *record, const Ticket *ticket, Status why);

    /* NULL, or recovery: an entry that will be applied soon, and what that needs can be brought
     * near: step 0, then 1, with about 8 entries between, and before it (LogPreview). */
    void (*soon)(const Group *group, const Record *record, unsigned step);

    /* Recovery: an entry at or below the index of the loaded checkpoint: only place it, if it is a
     * live message. */
    void (*place)(Group *group, const Record *record, Place place);
    /* NULL, or the same of an entry that holds others and is damaged itself (its bytes say what and
     * how long it is, unchecked): those of them that are whole are placed. */
    void (*place_damaged)(Group *group, const Record *record, Place place);

    /* NULL, or recovery: an entry that would come now was damaged on disk. record: what its bytes
     * say, unchecked, subject included; without subject and place when only its index is known, of
     * type 0 when not even its kind is. */
    void (*lost)(Group *group, const Record *record, Place place);

    /* State with every applied entry, for a checkpoint. */
    void (*save)(Group *group, Buf *out);
    /* NULL, or false: nothing begun, use save. True: freeze->done will be called, not from here.
     * The group may leave meanwhile; then done is called before it does. */
    bool (*freeze)(Group *group, GroupFreeze *freeze);

    /* NULL, or false: nothing of it lies there. True: it appends the records anew, and move->done
     * will be called, not from here; before it leaves. Damaged ones stay where they are. */
    bool (*move)(Group *group, GroupMove *move);

    /* The reverse, before any entry. ERR_CORRUPT, ERR_VERSION. */
    Status (*load)(Group *group, Slice state);
} GroupOps;

typedef struct GroupHold GroupHold;

/* First field of what it orders. */
struct Group {
    Worker *home;
    const GroupOps *ops;
    uint32_t id; /* 0 = catalogue; never used again after deletion */
    bool is_memory;
    uint64_t index_last; /* given to the newest entry appended */
    uint64_t index_applied;
    uint64_t in_flight;    /* appended, not yet applied or refused */
    uint64_t index_loaded; /* recovery: entries up to here are in the loaded checkpoint */
    uint64_t damages_seen; /* recovery: pieces of damage before its newest entry */
    uint64_t run;    /* set by save, freeze and load: generation of the file that the state needs
                        beside the checkpoint; 0 = none */
    bool wants_run;  /* set by the group: its next freeze writes a file anew, whatever changed */
    bool needs_log;  /* set by ops->load: place wants the records up to index_loaded, from wherever
                        they lie in the log */
    GroupHold *hold; /* not NULL: held */
    uint64_t held;   /* entries that wait for the release; in_flight counts them too */
    Link link;       /* in the journal's list of groups */
};

typedef struct JournalOptions {
    const char *dir;
    uint64_t sync_interval_ns; /* 0 = always */
    uint64_t segment_bytes;    /* 0 = default */
    uint64_t checkpoint_bytes; /* of log between two checkpoints; 0 = default 256 MiB */
    CipherOptions cipher;      /* needed until journal_store_open returned */
    uint64_t cache_bytes;      /* per worker, of recent records; 0 = default 32 MiB */
    uint64_t scrub_interval_ns, scrub_rate; /* scrubber.h; interval 0 = only when asked for; rate in
                                               bytes a second, 0 = as fast as it goes */
    uint64_t clean_ns;   /* between two looks at the log's segments; 0 = default 1 s */
    bool is_not_cleaned; /* segments are given up only when nothing in them is live */
    bool is_read_ahead;  /* recovery has a thread that reads the log ahead */
    Offload *offload;
    struct JournalProgress *progress; /* NULL: nobody asks */
} JournalOptions;

/* Set-up, before workers start: opens the store, and one Journal for each working worker of all[]
 * (worker->journal).
 * out_report is filled by journal_store_recover: it stays valid until then. dir must be free of
 * other things: log/, bad/, SUPER.*, checkpoint.* are made in it. */
MUST_CHECK Status journal_store_open(const JournalOptions *options, Worker **all,
                                     LogReport *out_report, JournalStore **out_store);

/* Set-up: replays. find gives the group of an id, or NULL when it is unknown (deleted): its entries
 * are skipped. The catalogue's entries come first in the log, so find sees groups made by catalogue
 * entries. group_of_state is find for checkpoints: may create the group from the catalogue's loaded
 * state, which is always given first. damaged reports unreadable acknowledged bytes. */
typedef struct JournalRecovery {
    void *cookie;
    Group *(*find)(void *cookie, uint32_t id);
    void (*damaged)(void *cookie, Place at, uint64_t bytes);
} JournalRecovery;
/* ERR_AGAIN: the newest checkpoint lacks a file, or is not understood, and was set aside; close,
 * and open anew. */
MUST_CHECK Status journal_store_recover(JournalStore *store, const JournalRecovery *recovery);
/* From ops->load: a run that the checkpoint needs is lost, or a part of it that cannot be had from
 * the log. An older checkpoint stands on another one. */
void journal_note_run_lost(Journal *journal);

MUST_CHECK Status journal_store_start(JournalStore *store);

/* A checkpoint now, though the log has not grown by much: before a stop, so that the next start
 * reads little. done runs on home when it is on disk, or cannot be made, or nothing is new. */
typedef struct CheckpointAsk {
    Mail mail; /* private */
    JournalStore *store;
    Worker *home;
    void (*done)(struct CheckpointAsk *ask);
} CheckpointAsk;
/* On ask->home, a started worker. One at a time; kept until done. */
void journal_store_checkpoint(CheckpointAsk *ask);
/* Any thread. What is being written for a checkpoint is given up as soon as possible: the process
 * ends. */
void journal_store_hurry(JournalStore *store);
/* Raised by it. */
const struct Counter *journal_is_hurried(const Journal *journal);
/* What index runs are encrypted with; NULL: nothing is encrypted. */
const Cipher *journal_cipher(const Journal *journal);

/* Of an encrypted store that was started: another key of the operator's; see log_set_key. Any
 * thread. */
void journal_store_set_key(JournalStore *store, Slice key);

/* After the workers were joined and offload was stopped, and with no workers_drain after it:
 * commits what is left (no callbacks), closes. */
void journal_store_close(JournalStore *store);

/* On home (or in set-up). Groups register before their first entry and leave before they are freed;
 * entries in flight of a group that left are dropped when they come back, their tickets' pointers
 * given to ops->refused first (ERR_CLOSED). */
void journal_add_group(Journal *journal, Group *group);
void journal_remove_group(Journal *journal, Group *group);

/* On home. Fills group, index; draft's type, flags, time_ns, subject, headers, payload are taken
 * (bytes are copied). Never fails here: a refusal comes by ops->refused, also when the log is full
 * or failed. Applied in a later turn, or for memory groups at the submit step of this turn.
 * is_small: deletes, acks: pass when space is low. */
void journal_append(Journal *journal, Group *group, const Record *draft, const Ticket *ticket,
                    bool is_small);

/* Holds group, which is not held: entries appended from now on wait, in their order, until
 * journal_release. Calls drained once, maybe at once, when nothing else is in flight, nor waits at
 * a gate since before. */
void journal_hold(Journal *journal, Group *group, void (*drained)(Group *group, void *cookie),
                  void *cookie);
void journal_release(Journal *journal, Group *group);
bool journal_is_held(const Group *group);
/* journal_append past the entries that wait. */
void journal_append_held(Journal *journal, Group *group, const Record *draft, const Ticket *ticket,
                         bool is_small);

/* What becomes of a draft takes longer to find out: it waits, and with it what is appended later.
 * decide is called by journal_ungate (or journal_release), and appends what the draft stands for;
 * false: not yet. */
typedef bool GroupDecide(Group *group, const Record *draft, const Ticket *ticket);
void journal_gate(Journal *journal, Group *group, const Record *draft, const Ticket *ticket,
                  GroupDecide *decide);
/* Asks again. */
void journal_ungate(Journal *journal, Group *group);

/* Reads for this worker; see store/log.h. */
LogReader *journal_reader(Journal *journal);
Log *journal_log(Journal *journal);

/* Files that states need beside the checkpoint: <dir>/idx/<group>.<generation>.run. Owned. Those
 * that neither of the two newest checkpoints needs are removed. */
char *journal_run_path(const Journal *journal, uint32_t group, uint64_t generation);
char *journal_run_dir(const Journal *journal);
/* Up to so many messages a group keeps in the checkpoint itself. */
uint64_t journal_inline_max(const Journal *journal);
/* NULL in tests. */
Offload *journal_offload(const Journal *journal);

/* After an entry of a move became durable: how long to wait until the next one, so that clients
 * keep most of the disk; 0 = go on. */
uint64_t journal_move_pause_ns(Journal *journal, GroupMove *move);

/* A group wants its old records compressed (MOVE_PACK). has_old: it did not before. Any thread. */
void journal_ask_pack(Journal *journal, bool has_old);

/* OK, ERR_FULL or ERR_IO: whether a publish would be accepted now. */
Status journal_health(const Journal *journal);

/* Reports and figures for monitoring. Any thread. */
uint64_t journal_store_bytes(const JournalStore *store);
typedef struct JournalSpace {
    uint64_t segments;                   /* of the log */
    uint64_t log_bytes;                  /* files of segments */
    uint64_t spare_bytes;                /* files of segments that wait for their next use */
    uint64_t live_bytes;                 /* of records, in segments */
    uint64_t dead_bytes;                 /* of records that two more checkpoints will give up */
    uint64_t moved_records, moved_bytes; /* by cleaning, since the start */
    uint64_t packed_bytes, frame_bytes;  /* of records that were compressed, since the start; what
                                            they took */
    uint64_t index_bytes;                /* files of index runs, as of the newest checkpoint */
} JournalSpace;
void journal_store_space(const JournalStore *store, JournalSpace *out_space);
