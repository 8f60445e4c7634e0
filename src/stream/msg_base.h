/* MsgBase: the part of a MsgIndex that lies in a run (store/run.h): messages up to some sequence,
 * as they were when the run was written. On the heap are only a bit for each that is still there,
 * and copies of the few that changed. Private to msg_index.c, except msg_base_new and what stands
 * behind it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "store/run.h"
#include "stream/msg_index.h"
#include "stream/subject_index.h"

enum { MSG_BASE_COPIES = 32 };

typedef struct MsgBasePage {
    uint64_t number;
    uint64_t live[MSG_PAGE_WORDS];
    uint32_t count;
    bool has_edits, has_moves;
} MsgBasePage;

struct MsgBase {
    Run *run; /* owned */
    const SubjectIndex *subjects;
    const RunPage *written;
    MsgBasePage *pages; /* [head, len), ascending; empty ones stay, but not at the head */
    size_t head, len;
    uint64_t removed;
    Map64 edits; /* seq -> MsgSlot, which counts instead of what the run says */
    /* seq -> place that counts instead of what the run says; of live ones, and in frozen of others
     * too. What is in frozen does not change while a new run is made of it. */
    Map64 moved, frozen;
    RunSegment *segments; /* bytes of live records */
    size_t segment_count;
    MsgSlot copies[MSG_BASE_COPIES]; /* slots that were asked for last */
    unsigned copy_at;
};

/* Takes run. Subjects are those of an index over the same run (subject_index_set_base); NULL: they
 * are set later, before any slot is asked for. */
MsgBase *msg_base_new(Run *run, const SubjectIndex *subjects);
/* NULL-safe. Messages in heap are not its own. */
void msg_base_free(MsgBase *base);

/* Position of the first page whose number is >= number. */
size_t msg_base_lower(const MsgBase *base, uint64_t number);
/* The i-th of the page is live. A copy, good until MSG_BASE_COPIES more were asked for; or the
 * changed one. */
MsgSlot *msg_base_slot(MsgBase *base, size_t page, unsigned i);
/* The same, to be changed. */
MsgSlot *msg_base_edit(MsgBase *base, size_t page, unsigned i);
void msg_base_remove(MsgBase *base, size_t page, unsigned i);

/* Changed ones get the ids by which their subjects are known now. */
void msg_base_settle(MsgBase *base);

/* Its record lies elsewhere from now on; with msg_base_move_bytes. */
void msg_base_move(MsgBase *base, size_t page, unsigned i, uint64_t place);
void msg_base_move_bytes(MsgBase *base, uint64_t from, uint64_t to, uint64_t bytes_from,
                         uint64_t bytes_to);
/* What was moved up to now is in frozen. No run is being made. */
void msg_base_freeze_moved(MsgBase *base);
/* The i-th of the page is live: where it was moved; 0 = it was not. */
uint64_t msg_base_moved(const MsgBase *base, size_t page, unsigned i);

/* Bytes of a record of the run that is live no longer. */
void msg_base_drop_bytes(MsgBase *base, uint64_t place, uint64_t bytes);
