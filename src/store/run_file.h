/* RunFile: writes the sections of a run one behind the other, with the checksums of all bytes, then
 * its head, and gives it its name when it is whole and on disk. Private to store/. Errors are kept
 * until run_file_finish. */
#pragma once

#include "base/status.h"
#include "base/vec.h"
#include "io/disk.h"
#include "store/run_format.h"

typedef struct RunFile {
    DiskFile *file;
    char *piece;
    size_t len;       /* of piece */
    uint64_t written; /* before piece */
    uint64_t synced;
    VEC(uint64_t) sums;
    Status status;
    const struct Counter *is_hurried; /* NULL, or not 0: it is given up (ERR_CLOSED) */
    RunHead head;
    CipherStream *stream; /* of the body; NULL: not encrypted */
    CipherHead cipher_head;
    char *temporary; /* its path until it is whole */
} RunFile;

/* Blocking, as all of it. Then sections are written behind the place of the head. cipher: NULL, or
 * the part that is checked by checksums is encrypted. */
MUST_CHECK Status run_file_open(const char *path, const Cipher *cipher, RunFile *out);
void run_file_put(RunFile *out, const void *bytes, size_t len);
uint64_t run_file_position(const RunFile *out);
void run_file_begin_section(RunFile *out, RunSectionKind kind);
void run_file_end_section(RunFile *out, RunSectionKind kind);
void run_file_put_section(RunFile *out, RunSectionKind kind, const void *bytes, size_t len);
/* Ends the part that is checked by them. */
void run_file_put_sums(RunFile *out);
/* Writes the head, syncs, renames to path in dir; or removes what there is. */
MUST_CHECK Status run_file_finish(RunFile *out, const char *dir, const char *path);
