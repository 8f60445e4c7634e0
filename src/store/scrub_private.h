/* What scrub.c, scrub_segment.c and scrub_run.c share. Private to store/. */
#pragma once

#include "base/hash.h"
#include "io/disk.h"
#include "store/block.h"
#include "store/log.h"
#include "store/run_format.h"
#include "store/scrub.h"

enum { SCRUB_BUFFER_BYTES = SCRUB_PIECE_BYTES + 2 * BLOCK_ALIGN };

typedef struct SegmentScrub {
    uint64_t expected; /* where the next block should begin */
    bool has_previous, is_in_block;
    BlockHead previous, head;
    /* Across segments: the last block met, and where its segment has room behind it. */
    bool has_last;
    uint64_t last_segment, last_number, last_end, last_bytes;
} SegmentScrub;

typedef struct RunScrub {
    RunHead head;
    uint64_t *sums;
    uint64_t places_end;
} RunScrub;

struct Scrub {
    Log *log;
    char *dir, *bad_dir;
    ScrubFile current;
    DiskFile *file, *tail; /* tail: buffered, for what is behind the last whole page */
    char *path;
    uint64_t size, at; /* the next byte to read */
    char *piece;       /* SCRUB_BUFFER_BYTES, aligned */
    char *again;       /* the same, for what is looked at twice; NULL until then */
    HashSum *sum;
    uint64_t expected_sum; /* of a checkpoint's entries */
    SegmentScrub segment;
    RunScrub run;
    ScrubDamages damages;
};

/* Any range of the file, unaligned too, of at most SCRUB_PIECE_BYTES, read into `into` (piece or
 * again), where the result lies. What the disk does not give is zeros; *out_is_given turns false.
 */
const char *scrub_read(Scrub *scrub, char *into, uint64_t offset, size_t len, bool *out_is_given);
/* Takes content, which may be NULL. */
void scrub_note(Scrub *scrub, const ScrubFile *file, uint64_t offset, uint64_t bytes,
                const char *what, Shared *content);
/* The file is still what it was when it was opened: nobody used its blocks anew. */
bool scrub_is_there(const Scrub *scrub);

void scrub_segment_begin(Scrub *scrub);
bool scrub_segment_step(Scrub *scrub, uint64_t *out_bytes);
Status scrub_run_begin(Scrub *scrub);
bool scrub_run_step(Scrub *scrub, uint64_t *out_bytes);
void scrub_run_end(Scrub *scrub);
