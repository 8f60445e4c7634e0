/* A layer of faults between a server and its store, loaded with LD_PRELOAD, for tests only.
 *
 * Calls on files below FAULTS_DIR fail, come short, wait, or end the process, by rules in a control
 * file (FAULTS_CONTROL) that the test maps and changes while the server runs. With is_tracking the
 * layer remembers what a power cut could still take away: bytes written since the last sync of
 * their file, names changed since the last sync of their directory. A cut undoes a part of that,
 * chosen by seed, and kills the process: as if the machine had lost power. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    OP_OPEN = 1,
    OP_READ = 2,
    OP_WRITE = 4,
    OP_SYNC = 8,      /* of a file */
    OP_SYNC_DIR = 16, /* of a directory */
    OP_RENAME = 32,
    OP_REMOVE = 64,
    OP_CREATE = 128, /* an open that makes the file */
};
enum { RULES = 8, PATTERN_BYTES = 64 };
typedef enum RuleKind {
    RULE_ERROR, /* fails with error, without any effect */
    RULE_SHORT, /* a write or read of half the bytes, without an error */
    RULE_TORN,  /* half is written, then it fails with error */
    RULE_CUT,   /* power is lost */
    RULE_KILL,  /* the process dies; the system keeps what it has */
    RULE_WAIT,  /* error: milliseconds */
    RULE_FLIP,  /* one bit of what is read or written is another */
    RULE_LOST,  /* a write that says it was done and was not */
    RULE_SHIFT, /* a write that goes 4 KiB further than it should */
} RuleKind;

typedef struct Rule {
    uint32_t ops; /* 0: the rule is off */
    uint32_t kind;
    int32_t error;
    uint32_t zero;
    uint64_t skip, count; /* calls that pass first; calls that are hit then */
    uint64_t hits;
    char pattern[PATTERN_BYTES]; /* the path contains it; empty: any */
} Rule;

typedef struct Control {
    uint32_t seed;
    uint32_t is_tracking;
    uint32_t cut_now; /* the next call is the cut */
    uint32_t is_full; /* no file grows, none is made, no space is free */
    int64_t wall_shift_ns;
    uint64_t calls, pending; /* out: calls seen; writes and names a cut could take away */
    Rule rules[RULES];
} Control;

/* undo.c: what a power cut takes away. All under the layer's lock. */

/* Before bytes of an open file change. fd may be written only. */
void undo_note_write(int fd, uint64_t len, off_t offset);
/* Before an existing file is emptied. */
void undo_note_truncate(const char *path);
/* The file's bytes are on the disk. */
void undo_synced(int fd);
/* A sync failed: the device forgets a part of what it was given, for good. */
void undo_sync_failed(int fd, uint32_t seed);
/* After a file was made; before one is removed, or renamed (with what the name stood for). */
void undo_note_create(const char *path);
void undo_note_remove(const char *path);
void undo_note_rename(const char *from, const char *to);
/* The change was not made after all. */
void undo_forget_last(void);
/* The directory's names are on the disk. */
void undo_synced_dir(const char *path);
uint64_t undo_pending(void);
/* Everything that was not synced: kept, lost, or any part of it. */
void undo_cut(uint32_t seed);

/* shim.c: the system's own calls. */
typedef struct RealCalls {
    int (*open)(const char *path, int flags, ...);
    int (*close)(int fd);
    ssize_t (*pread)(int fd, void *to, size_t len, off_t offset);
    ssize_t (*pwrite)(int fd, const void *from, size_t len, off_t offset);
    int (*rename)(const char *from, const char *to);
    int (*unlink)(const char *path);
    int (*remove)(const char *path);
} RealCalls;
extern RealCalls real;
