/* Scrubber: reads the whole store again and again, slowly, and says what is damaged. Lives on
 * all[0]: a timer paces it, each piece is read and checked by an offload thread.
 *
 * A pass takes up to `interval`. While the server is idle it reads at `rate`; while it is at work,
 * at a tenth of that, or as fast as the interval asks for, never above `rate`. Where it stands and
 * when it ended last is kept in <dir>/scrub, so that a restart does not begin anew. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "journal/journal.h"
#include "store/scrub.h"

typedef struct ScrubStatus {
    bool is_on, is_running;
    uint64_t bytes, files, segments; /* read since the start */
    uint64_t passes;                 /* ended since the start */
    uint64_t damages, damaged_bytes; /* that the last look found, and that are still there */
    int64_t began_ns, ended_ns;      /* wall clock: of the newest pass, of the last that ended; 0 */
    ScrubFile position;              /* while running */
    uint64_t offset;                 /* in it */
} ScrubStatus;

/* Set-up, before journal_store_start: told of each damage of a run or a segment, once a pass, on
 * all[0]; told asks for checkpoints when streams know of it. Borrowed, the content too: take a
 * reference. */
void journal_on_damage(JournalStore *store, void (*told)(void *cookie, const ScrubDamage *damage),
                       void *cookie);

/* On all[0]. A pass from the beginning, at full rate, unless one that was asked for is under way.
 * Also when scrubbing is off. False: not started. */
bool journal_scrub_now(JournalStore *store);
void journal_scrub_status(const JournalStore *store, ScrubStatus *out_status);

/* On all[0]: two checkpoints as soon as may be, so that nothing but them is needed of what lies in
 * the log now, except live messages. */
void journal_request_checkpoints(JournalStore *store);
