/* MsgIndex: sequence -> slot of a live message.
 *
 * Pages of 256 slots; a bitmap says which are live. A page that is half empty is packed (slots in
 * order of rank, found by counting bits), an empty one is freed, and the directory is a sorted
 * array of the pages that exist: gaps of any size cost nothing, and deleted messages at most as
 * much as live ones. Sequences are only added at the end. Slot pointers are good until the next add
 * or remove.
 *
 * Below the pages there may be a base: a mapped file with the messages as they were at a checkpoint
 * (msg_base.h). Its slots are given as copies: who changes one asks for it with msg_index_edit. A
 * copy is good until 32 more were asked for.
 *
 * What is below some sequence can be set aside, to be written to a new base by another thread while
 * the index goes on: a page that is to change is copied first. Then the same is true of its slots.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/vec.h"
#include "store/run.h"

enum { MSG_PAGE_SLOTS = 256, MSG_PAGE_WORDS = MSG_PAGE_SLOTS / 64 };

/* In MsgSlot.size, above the length. */
enum {
    MSG_LEN_MASK = (1 << 25) - 1, /* headers and payload */
    MSG_IS_COPY = 1 << 25,        /* its record begins with sequence and time (RECORD_COPY) */
    MSG_DAMAGED = 1 << 26,        /* the disk no longer gives it */
    MSG_UNSEEN = 1 << 27, /* recovery: its record has not come (yet); no subject, time or length */
    MSG_NO_MARKER = 1 << 28, /* its expiry leaves no marker */
    MSG_NEVER = 1 << 29,     /* outlives max_age */
    MSG_HAS_TTL = 1 << 30,   /* is in the queue of TTLs */
};
#define MSG_HAS_HEADERS (1u << 31)

/* A place with this bit is the address of a Shared that holds the message (stream_parts.h), not a
 * record of the log. */
#define MSG_IN_HEAP (1ull << 63)

/* A place with this bit is that of a record which refers to a chunk (stream_chunk.h). */
#define MSG_REF (1ull << 62)

/* A place with this bit: the record is in a frame (frame_entry.h). */
#define MSG_FRAME PLACE_FRAME

enum { MSG_NEXT_FAR = INT32_MAX };

typedef struct __attribute__((packed, aligned(4))) MsgSlot {
    uint64_t place;
    int64_t time_ns;
    uint32_t subject;   /* subject_index.h; 0 = unknown (damaged) */
    uint32_t size;      /* length and flags */
    uint32_t next : 31; /* distance to the next live message of the subject; 0 = it is the last,
                           MSG_NEXT_FAR = look for it */
    uint32_t is_tombstone : 1; /* says that its subject is deleted (KV-Operation, a marker) */
} MsgSlot;
_Static_assert(sizeof(MsgSlot) == 28, "slots are many");

typedef struct MsgPage MsgPage;
typedef struct MsgBase MsgBase;
typedef struct MsgAside MsgAside;
struct SubjectIndex;

typedef struct MsgPageRef {
    uint64_t number;
    MsgPage *page;
} MsgPageRef;

/* Zero-initialised is empty. */
typedef struct MsgIndex {
    MsgPageRef *pages; /* [head, len), ascending */
    size_t head, len, cap;
    uint64_t live;
    uint64_t tail;   /* number of the page that is added to */
    size_t bytes;    /* memory of pages */
    MsgBase *base;   /* owned; NULL = none. Its pages have lower numbers */
    MsgAside *aside; /* not owned; NULL = nothing is */
} MsgIndex;

void msg_index_done(MsgIndex *index);

/* seq is above every one added before. The slot is zeroed. Amortised O(1). */
MsgSlot *msg_index_add(MsgIndex *index, uint64_t seq);

/* seq is live. */
void msg_index_remove(MsgIndex *index, uint64_t seq);

/* NULL when it is not live. O(1) as long as most pages exist, else O(log pages). */
MsgSlot *msg_index_get(const MsgIndex *index, uint64_t seq);

/* Its slot will be asked for: begins to bring it into the processor's caches. */
void msg_index_prefetch(const MsgIndex *index, uint64_t seq);

/* seq is live: its slot, to be changed. */
MsgSlot *msg_index_edit(MsgIndex *index, uint64_t seq);

/* seq is live, its record in the log: it lies elsewhere from now on. What it counted as there, and
 * counts as here. */
void msg_index_move(MsgIndex *index, uint64_t seq, uint64_t place, uint64_t bytes_from,
                    uint64_t bytes_to);

/* First live one at or above seq, last live one at or below it; 0 when there is none. */
uint64_t msg_index_next(const MsgIndex *index, uint64_t seq);
uint64_t msg_index_prev(const MsgIndex *index, uint64_t seq);

/* Live ones at or above seq. O(pages on the shorter side). */
uint64_t msg_index_count_from(const MsgIndex *index, uint64_t seq);

/* First sequence above those that may be in the base. */
uint64_t msg_index_base_end(const MsgIndex *index);
/* A live message's record is live no longer: if it is in the base, its bytes are not counted there
 * any more. */
void msg_index_drop_bytes(MsgIndex *index, uint64_t seq, uint64_t place, uint64_t bytes);

enum { MSG_ASIDE_COPIES = 32 };

typedef struct MsgDead {
    uint64_t place, bytes;
} MsgDead;

typedef struct MsgMove {
    uint64_t seq, from, to, bytes_from, bytes_to;
} MsgMove;

/* What was set aside, and what became of it since. */
struct MsgAside {
    uint64_t cut; /* sequences below it */
    const struct SubjectIndex *subjects;
    MsgPage **pages; /* those of the heap, as they were; owned */
    size_t page_count;
    VEC(uint64_t) edited, removed; /* in base too; an edited one may be gone */
    VEC(MsgDead) dead;             /* records of these that are live no longer */
    VEC(MsgMove) moved;            /* likewise */
    MsgSlot copies[MSG_ASIDE_COPIES];
    unsigned copy_at;
};

/* Sets aside what is below cut, a multiple of MSG_PAGE_SLOTS, base and all. Nothing else is.
 * subjects: what the ids in slots are settled by meanwhile (subject_index.h). The caller owns the
 * result, and keeps it until the index knows nothing of it: msg_index_rebase, msg_index_take_back,
 * or the index is done. */
MsgAside *msg_index_set_aside(MsgIndex *index, uint64_t cut, const struct SubjectIndex *subjects);
/* The base goes, with all below cut; next, which has it all, takes its place and is the index's.
 * Returns the old base, or NULL. */
MsgBase *msg_index_rebase(MsgIndex *index, MsgBase *next);
/* Nothing is set aside any more. O(pages). */
void msg_index_take_back(MsgIndex *index);
/* Gives slots of a page, the first one at or above *number, the ids by which subjects are known
 * now. False: there is none below cut. Base is not looked at. */
bool msg_index_settle_page(MsgIndex *index, uint64_t *number);
/* Any thread. NULL-safe. */
void msg_aside_free(MsgAside *aside);
/* Slots of the n-th page, as they were: subjects are ids. Any thread. */
void msg_aside_page(const MsgAside *aside, size_t n, RunFill *out_fill, const MsgSlot **out_slots);

/* First live one stored at or after the time; 0 when there is none. O(log n). */
uint64_t msg_index_at_time(const MsgIndex *index, int64_t time_ns);

/* Walks live slots upwards or downwards; the index must not change meanwhile.
 *     MsgScan scan; msg_scan_up(&scan, index, from); while ((slot = msg_scan_next_up(&scan, &seq)))
 */
typedef struct MsgScan {
    const MsgIndex *index;
    size_t at; /* in the pages of base, then in pages */
    unsigned word;
    uint64_t bits; /* of word, still to come */
    unsigned rank; /* packed pages: slot of the lowest bit of word that is live */
    uint64_t word_bits;
    bool is_over;
} MsgScan;
void msg_scan_up(MsgScan *scan, const MsgIndex *index, uint64_t from);
MsgSlot *msg_scan_next_up(MsgScan *scan, uint64_t *out_seq);
void msg_scan_down(MsgScan *scan, const MsgIndex *index, uint64_t from);
MsgSlot *msg_scan_next_down(MsgScan *scan, uint64_t *out_seq);
