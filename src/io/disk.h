/* Disk: files and directories. Blocking: only the log thread, offload and start-up call it.
 * tests/sim links another implementation (lost, torn, flipped and failing writes, full disk). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/slice.h"
#include "base/status.h"

typedef struct DiskFile DiskFile;

enum {
    DISK_READ = 1,
    DISK_WRITE = 2,
    DISK_CREATE = 4,    /* made when absent */
    DISK_EXCLUSIVE = 8, /* ERR_EXISTS when present */
    DISK_DIRECT = 16, /* unbuffered where the file system allows it; addresses, lengths, offsets in
                         4 KiB steps then */
    DISK_TRUNCATE = 32,
};
enum { DISK_ALIGN = 4096 };

/* ERR_NOT_FOUND, ERR_EXISTS, ERR_FULL (no space or no descriptors) or ERR_IO; errno tells more. */
MUST_CHECK Status disk_open(const char *path, int flags, DiskFile **out_file);
/* NULL-safe; errno stays. */
void disk_close(DiskFile *file);

/* Whole or an error; reading past the end is ERR_RANGE. */
MUST_CHECK Status disk_read(DiskFile *file, void *to, size_t len, uint64_t offset);
/* Only what is in the page cache already, without waiting; ERR_AGAIN otherwise, and always for
 * DISK_DIRECT. */
MUST_CHECK Status disk_read_cached(DiskFile *file, void *to, size_t len, uint64_t offset);
/* What is read next comes from the disk, except what was written and not yet brought there. The
 * system's memory may hold pages that the disk refused. */
void disk_forget(DiskFile *file);
/* Begins to bring it into the page cache, without waiting. */
void disk_prefetch(DiskFile *file, size_t len, uint64_t offset);
/* Whole or an error: ERR_FULL for no space, ERR_IO. */
MUST_CHECK Status disk_write(DiskFile *file, const struct iovec *parts, int part_count,
                             uint64_t offset);
/* fdatasync. A failure is final: the caller must not sync or trust these pages again. */
MUST_CHECK Status disk_sync(DiskFile *file);
/* The whole file, to be read where it is touched, in no order; it must never become shorter.
 * ERR_MEMORY. */
MUST_CHECK Status disk_map(DiskFile *file, uint64_t bytes, const void **out_bytes);
void disk_unmap(const void *mapped, uint64_t bytes);
/* What was touched of it counts as memory of the process no longer. */
void disk_map_forget(const void *mapped, uint64_t bytes);
MUST_CHECK Status disk_size(DiskFile *file, uint64_t *out_bytes);
/* Gives back what lies behind the first bytes. Durable after disk_sync. ERR_IO: nothing happened.
 */
MUST_CHECK Status disk_cut(DiskFile *file, uint64_t bytes);

/* A new file of that many zero bytes, written (not sparse) and synced, its directory too.
 * ERR_EXISTS, ERR_FULL, ERR_IO; then there is no new file, unless the process died. */
MUST_CHECK Status disk_create_zeroed(const char *path, uint64_t bytes);
/* Replaces what is called so. Durable after disk_sync_dir. */
MUST_CHECK Status disk_rename(const char *from, const char *to);
/* A file or an empty directory. */
MUST_CHECK Status disk_remove(const char *path);
/* With all parents; synced. Harmless when it exists. */
MUST_CHECK Status disk_make_dirs(const char *path);
MUST_CHECK Status disk_sync_dir(const char *path);
/* Names, not paths, in no order, without "." and "..". */
MUST_CHECK Status disk_list(const char *path,
                            void (*each)(void *cookie, const char *name, bool is_dir),
                            void *cookie);
MUST_CHECK Status disk_free_bytes(const char *path, uint64_t *out_free, uint64_t *out_total);
/* Exclusive for this process until disk_unlock; ERR_BUSY when another one has it. */
MUST_CHECK Status disk_lock(const char *path, DiskFile **out_lock);
void disk_unlock(DiskFile *lock);
/* Whole small files (configuration, pid, ports). Owned by the caller: mem_free; a zero byte stands
 * behind the text. ERR_FULL when longer than bytes_max. */
MUST_CHECK Status disk_read_file(const char *path, size_t bytes_max, char **out_text,
                                 size_t *out_len);
/* By a temporary file, sync and rename. */
MUST_CHECK Status disk_write_file(const char *path, Slice bytes, unsigned mode);
