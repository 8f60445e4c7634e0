/* Checkpoint: what the groups know that the log would otherwise have to be kept for, in one
 * checksummed file.
 *
 * A checkpoint says for each group: "this is my state with every entry up to index applied", and
 * where the log stood before the first group was asked. Recovery loads the newest valid one, then
 * replays the whole log that exists: entries up to that index only place messages that are still
 * live, later ones are applied. The two newest are kept; the log's floor is the older one's
 * position, so one damaged file loses nothing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "store/cipher.h"
#include "store/record.h"

typedef struct CheckpointWriter CheckpointWriter;

/* Files are <dir>/checkpoint.<generation>. floor = log_head before the first group was saved. */
CheckpointWriter *checkpoint_begin(const char *dir, uint64_t generation, Place floor);
/* What is added is encrypted when the file is written. NULL: it is not. Kept until the end. */
void checkpoint_encrypt(CheckpointWriter *writer, const Cipher *cipher);
/* Copies state. */
void checkpoint_add(CheckpointWriter *writer, uint32_t group, uint64_t index, Slice state);
/* Blocking (offload): writes, syncs, renames, syncs the directory, removes all but the two newest.
 * Frees writer. *out_floor = the floor of the older of the two that now exist (0 when there is only
 * one). */
MUST_CHECK Status checkpoint_finish(CheckpointWriter *writer, Place *out_floor);
void checkpoint_abandon(CheckpointWriter *writer);

/* One file, read only. OK: it is whole, and each (may be NULL) was called for every group;
 * out_floor may be NULL. ERR_CORRUPT, ERR_NOT_FOUND, ERR_VERSION, ERR_IO. cipher: for encrypted
 * ones; without the right one they are OK with each NULL, else ERR_DENIED. */
MUST_CHECK Status checkpoint_read(const char *dir, uint64_t generation, const Cipher *cipher,
                                  void (*each)(void *cookie, uint32_t group, uint64_t index,
                                               Slice state),
                                  void *cookie, Place *out_floor);

/* Calls each for every group of the newest valid checkpoint, the catalogue (group 0) first.
 * ERR_NOT_FOUND when there is none. Damaged ones are moved to <dir>/bad and counted; the next older
 * one is taken. When none is valid, *out_is_whole turns false (before each is called) and what can
 * still be read of the newest is given. ERR_DENIED: it is encrypted, and cipher (may be NULL) is
 * not its. */
MUST_CHECK Status checkpoint_load(const char *dir, const Cipher *cipher,
                                  void (*each)(void *cookie, uint32_t group, uint64_t index,
                                               Slice state),
                                  void *cookie, uint64_t *out_generation, Place *out_floor,
                                  unsigned *out_damaged, bool *out_is_whole);

/* Whether there is one of a lower generation, whole or not. */
bool checkpoint_has_older(const char *dir, uint64_t generation);
/* What a file says of itself, for who reads it piece by piece: `head` are its first
 * CHECKPOINT_HEAD_BYTES; the XXH3-64 of all that follows is *out_checksum. ERR_CORRUPT, also when
 * it is not as long as it says; ERR_VERSION. */
enum { CHECKPOINT_HEAD_BYTES = 56 };
MUST_CHECK Status checkpoint_check_head(Slice head, uint64_t file_bytes, uint64_t *out_checksum);
/* Moves a damaged one to <dir>/bad. */
void checkpoint_set_aside(const char *dir, uint64_t generation);
