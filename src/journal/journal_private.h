/* What the files of journal/ share. */
#pragma once

#include "io/counter.h"
#include "journal/journal.h"
#include "journal/progress.h"
#include "store/checkpoint.h"

enum {
    /* A worker's chunk is handed over when it has grown to this, even within a turn. */
    JOURNAL_CHUNK_BYTES_MAX = 1024 * 1024,
    /* Messages of memory streams keep their whole chunk alive, so these are smaller. */
    JOURNAL_MEMORY_CHUNK_BYTES_MAX = 64 * 1024,
    /* Entries of memory groups (and refusals) that one turn delivers; the rest comes in the next
       one. */
    JOURNAL_ENTRIES_PER_TURN = 8192,
    /* A checkpoint is made when the log has grown by this: a start reads no more than about that.
     */
    JOURNAL_CHECKPOINT_LOG_BYTES = 256 * 1024 * 1024,
    /* Likewise when so many records were written: as many as bytes / this. Small ones take longer
       to replay than to read. */
    JOURNAL_CHECKPOINT_RECORD_SHARE = 256,
    /* A group keeps a message in the checkpoint for so many bytes of log between two of them. */
    JOURNAL_INLINE_SHARE = 32 * 1024,
    /* A checkpoint saves groups until one of these is passed, then lets the turn end. */
    JOURNAL_SAVES_PER_TURN = 64,
    JOURNAL_SAVE_BYTES_PER_TURN = 256 * 1024,
};

typedef struct JournalChunk JournalChunk;
typedef struct Checkpointer Checkpointer;
typedef struct Scrubber Scrubber;
typedef struct Cleaner Cleaner;
typedef struct CleanRound CleanRound;

typedef enum ChunkKind { CHUNK_LOG, CHUNK_MEMORY, CHUNK_REFUSED, CHUNK_KINDS } ChunkKind;

/* Entries encoded back to back, and their tickets in the same order. */
struct JournalChunk {
    LogChunk log; /* first */
    Journal *journal;
    Link link;                   /* journal->in_flight, or ->ready, or ->unused */
    size_t record_at, ticket_at; /* the next entry to deliver */
    Buf tickets;
    ChunkKind kind;
    uint32_t refused; /* entries of Journal.refused */
    bool is_void;     /* refused by what was refused before it, while it is with the log */
};

struct Journal {
    Worker *home;
    JournalStore *store;
    LogReader *reader;
    TurnHook hook;
    Task more; /* a turn did not deliver everything */
    List groups;
    Link *marker;                    /* of a checkpoint, among groups; NULL = none */
    List holds;                      /* GroupHold */
    JournalChunk *open[CHUNK_KINDS]; /* NULL: nothing appended since the last one */
    Shared *scratch[CHUNK_KINDS];    /* a buffer to encode into, kept from an earlier chunk */
    size_t len_last[CHUNK_KINDS];
    LogSource source;
    uint64_t refusals_seen; /* of source */
    bool is_refusing;       /* groups are being told of a refusal */
    uint64_t refused;       /* entries that the log never saw, as it had failed; not yet told */
    List in_flight;         /* with the log, or being delivered */
    unsigned submitted;     /* of these, with the log */
    List ready;             /* memory chunks and refusals, to be delivered at the submit step */
    List unused;
    Mail nudge; /* to all[0], which may sleep while others fill the log */
    Place nudged_at;
    bool is_nudge_out;
    CleanRound *round; /* that is at work here; NULL = none */
};

struct JournalStore {
    Worker **all;
    Log *log;
    char *dir;
    Offload *offload;
    LogReport *report;
    JournalProgress *progress; /* may be NULL */
    Journal *journals;         /* [count]: of the working workers */
    Checkpointer *checkpointer;
    Scrubber *scrubber;
    Cleaner *cleaner;
    char *run_dir;
    uint64_t checkpoint_bytes;
    Counter is_hurried;
    Counter moved_records, moved_bytes, index_bytes;
    Counter packed_bytes, frame_bytes; /* records that were compressed; what they take */
    Counter pack_asks;                 /* groups want compression that did not before */
    bool is_started;
    bool is_run_lost; /* recovery: see journal_note_run_lost */
};

/* Journal part of a worker; set-up. */
void journal_init(Journal *journal, JournalStore *store, Worker *home, uint64_t cache_bytes);
void journal_done(Journal *journal);

/* all[0]'s journal asks at each submit step; the others nudge it. */
Checkpointer *checkpointer_new(JournalStore *store, uint64_t log_bytes);
void checkpointer_free(Checkpointer *checkpointer);
/* What recovery found: the newest checkpoint; is_due: another one is wanted soon. */
void checkpointer_resume(Checkpointer *checkpointer, uint64_t generation, Place floor, bool is_due);
/* Recovery: the loaded checkpoint needs the run. */
void checkpointer_keep_run(Checkpointer *checkpointer, uint32_t group, uint64_t generation);
/* No more checkpoints in this run. */
void checkpointer_disable(Checkpointer *checkpointer);
void checkpointer_consider(Checkpointer *checkpointer);
/* How far the log may grow before it is to be considered again. */
uint64_t checkpointer_step(const Checkpointer *checkpointer);
/* On all[0]: see journal_store_checkpoint. */
void checkpointer_ask(Checkpointer *checkpointer, CheckpointAsk *ask);

/* The next `count` checkpoints are made as soon as may be. */
void checkpointer_request(Checkpointer *checkpointer, unsigned count);

/* scrubber.c. Set-up; starts with the store. */
Scrubber *scrubber_new(JournalStore *store, const JournalOptions *options);
void scrubber_start(Scrubber *scrubber);
/* After offload was stopped. NULL-safe. */
void scrubber_free(Scrubber *scrubber);
/* None is being made, and none is asked for. */
bool checkpointer_is_idle(const Checkpointer *checkpointer);
bool checkpointer_is_disabled(const Checkpointer *checkpointer);
/* Of the newest one. */
uint64_t checkpointer_generation(const Checkpointer *checkpointer);

/* Cleaner: has segments of the log emptied of which little is live, so that they can be recycled.
 * Lives on all[0]. interval_ns: between two looks. */
Cleaner *cleaner_new(JournalStore *store, uint64_t interval_ns);
void cleaner_free(Cleaner *cleaner);
/* At each submit step of all[0]. */
void cleaner_consider(Cleaner *cleaner);

/* clean_round.c: asks all groups, one after the other, to move out of the segments. On all[0]. */
enum { CLEAN_SEGMENTS_MAX = 16 };
typedef struct CleanOrder {
    GroupMoveKind kind;
    uint64_t segments[CLEAN_SEGMENTS_MAX]; /* MOVE_OUT: ascending */
    size_t count;
    uint64_t from_segment, to_segment, floor_segment; /* else */
    uint64_t bytes_max;                               /* of log that it may take */
} CleanOrder;
/* done: move says what was done; borrowed. */
CleanRound *clean_round_begin(JournalStore *store, const CleanOrder *order,
                              void (*done)(void *cookie, const GroupMove *move), void *cookie);
/* After the workers were joined. NULL-safe. */
void clean_round_free(CleanRound *round);
/* On group's home: it leaves. */
void clean_round_forget(CleanRound *round, const Group *group);

/* clean_pack.c: when records of groups that want compression are compressed. On all[0]; part of
 * the cleaner. */
typedef struct Packer {
    uint64_t asks;      /* when packed_to was last set back */
    uint64_t packed_to; /* segments before it were packed: what is not compressed there stays so */
    uint64_t target;    /* the floor shall come so far; 0 = wherever it is */
    unsigned waited;    /* checkpoints that were asked for to that end */
    Place looked_head;  /* of the log, when groups were asked last; 0 = never */
    bool is_due;        /* a round pays, or was cut short */
    bool is_roll_due;   /* it would, if the floor had passed what is there now */
} Packer;
typedef enum PackStep { PACK_NOTHING, PACK_ROUND, PACK_CHECKPOINT, PACK_ROLL } PackStep;
/* Before the floor, after a checkpoint. True: *out_order. */
bool packer_choose_old(Packer *packer, const JournalStore *store, CleanOrder *out_order);
/* While clients are idle; worth: of bytes. PACK_ROLL: the log shall go on in another segment. */
PackStep packer_choose(Packer *packer, const JournalStore *store, uint64_t worth,
                       CleanOrder *out_order);
/* A round of that order ended. */
void packer_note(Packer *packer, const CleanOrder *order, const GroupMove *move, uint64_t worth);
/* PACK_ROLL could not be: the head is small. */
void packer_note_unrolled(Packer *packer);

/* journal_hold.c */
struct GroupHold {
    Link link; /* in Journal.holds */
    Group *group;
    void (*drained)(Group *group, void *cookie); /* NULL: was called, or the hold has not begun */
    void *cookie;
    struct HeldEntry *first, *last;
    bool is_held;  /* by journal_hold, even if it has not begun */
    bool is_gated; /* the first entry is to be decided on */
};
void journal_keep_held(Group *group, const Record *draft, const Ticket *ticket, bool is_small);
/* After entries were delivered. */
void journal_check_holds(Journal *journal);
/* The group leaves: what waits is refused. */
void journal_drop_hold(Group *group);
