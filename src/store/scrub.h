/* Scrub: reads the files of a store piece by piece, past the page cache, and verifies every
 * checksum in them, so that damage is found while there is still another copy, or somebody to tell.
 * It changes nothing but bad/, where what is damaged is copied to (damaged checkpoints are moved,
 * as recovery does).
 *
 * One file at a time. All calls but scrub_new, scrub_free and the takers block: offload. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/shared.h"
#include "base/status.h"
#include "base/vec.h"
#include "store/record.h"

typedef struct Log Log;
typedef struct Scrub Scrub;

enum { SCRUB_PIECE_BYTES = 256 * 1024 };

/* In the order in which a pass reads them. */
typedef enum ScrubKind { SCRUB_SUPER, SCRUB_CHECKPOINT, SCRUB_RUN, SCRUB_SEGMENT } ScrubKind;

typedef struct ScrubFile {
    ScrubKind kind;
    uint64_t number; /* of the segment; generation of a checkpoint or run */
    uint64_t group;  /* of a run */
    uint64_t bytes;  /* 0 = not looked at */
} ScrubFile;

typedef VEC(ScrubFile) ScrubFiles;

typedef struct ScrubDamage {
    ScrubFile file;
    uint64_t offset, bytes; /* of the file */
    const char *what;       /* literal text */
    Shared *content;        /* segments: what stands there; NULL: it cannot be had. Owned */
} ScrubDamage;

typedef VEC(ScrubDamage) ScrubDamages;

/* log gives the store's identity and says which segments are closed; it outlives scrub. NULL: no
 * segments are read. */
Scrub *scrub_new(Log *log, const char *dir);
/* NULL-safe. */
void scrub_free(Scrub *scrub);

/* What there is to read now: all files but the segments; the next closed segment whose number is at
 * least `from`, false when there is none (any thread). */
MUST_CHECK Status scrub_list(Scrub *scrub, ScrubFiles *out_files);
bool scrub_next_segment(const Log *log, uint64_t from, ScrubFile *out_file);

/* Begins a file. ERR_NOT_FOUND: it went meanwhile, which is well; ERR_IO: it cannot be opened. */
MUST_CHECK Status scrub_begin(Scrub *scrub, const ScrubFile *file);
/* Reads and checks the next piece. True: the file is done. *out_bytes are what was read. */
bool scrub_step(Scrub *scrub, uint64_t *out_bytes);

/* What was found since the last time; the caller frees it (scrub_damages_done). */
void scrub_take(Scrub *scrub, ScrubDamages *out_damages);
void scrub_damages_done(ScrubDamages *damages);

/* Whether the record that lies at place is damaged too: it lies in the damaged bytes, in part at
 * least, and does not stand there whole. record_bytes 0: not known. */
bool scrub_damage_hits(const ScrubDamage *damage, Place place, size_t record_bytes);
