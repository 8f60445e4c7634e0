/* Run: what is known of a large group's messages up to some sequence, in one immutable file that is
 * mapped: their places, times, sizes and subjects, found by sequence and by subject. It takes no
 * memory of the process but what is touched, and that can be dropped again.
 *
 * Every byte is checked once, when it is opened. docs/STORAGE.md draws the format. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"
#include "store/cipher.h"
#include "store/record.h"

typedef struct Run Run;

enum { RUN_PAGE_SLOTS = 256, RUN_PAGE_WORDS = RUN_PAGE_SLOTS / 64 };
enum { RUN_NO_SUBJECT = UINT32_MAX };

/* Sequences number * RUN_PAGE_SLOTS and on; a bit for each one that is there. */
typedef struct RunPage {
    uint64_t number;
    uint64_t has[RUN_PAGE_WORDS];
    uint64_t at; /* private: where its columns lie */
    uint64_t count;
} RunPage;

typedef struct RunMessage {
    Place place; /* 0: not in the log */
    int64_t time_ns;
    uint32_t subject; /* ordinal: subjects are numbered in their order; RUN_NO_SUBJECT */
    uint32_t size;    /* length and flags, as the stream means them */
    uint32_t next;    /* distance to the subject's next one in the run; 0 = none, INT32_MAX = far */
    bool is_marked;   /* as the stream means it */
} RunMessage;

typedef struct RunSubject {
    uint64_t count, first, last;
} RunSubject;

/* Bytes of records by log segment. */
typedef struct RunSegment {
    uint64_t segment, bytes;
} RunSegment;

typedef struct RunDue {
    uint64_t seq;
    int64_t due_ns;
} RunDue;

/* OK; ERR_NOT_FOUND, ERR_IO, ERR_VERSION; ERR_CORRUPT: it is not what was written: use
 * run_read_places; ERR_DENIED: it is encrypted, and cipher (may be NULL) is not its. Blocking:
 * reads all of it, without keeping it in the memory of the process, unless it is encrypted: then it
 * is decrypted into that. */
MUST_CHECK Status run_open(const char *path, const Cipher *cipher, Run **out_run);
/* NULL-safe. Any thread. */
void run_free(Run *run);
/* What was touched of it counts as memory of the process no longer. Any thread. */
void run_forget(const Run *run);

/* Whether what is mapped is still what was written. Reads all of it. Any thread. */
bool run_is_whole(const Run *run);

const RunPage *run_pages(const Run *run, size_t *out_count);
uint64_t run_message_count(const Run *run);
uint32_t run_subject_count(const Run *run);
const RunSegment *run_segments(const Run *run, size_t *out_count);
const RunDue *run_dues(const Run *run, size_t *out_count);

/* The i-th sequence of the page, which is there. O(1). */
void run_message(const Run *run, const RunPage *page, unsigned i, RunMessage *out_message);

/* Least and greatest place of the page's messages in the log; false: none is in the log. */
bool run_page_places(const Run *run, const RunPage *page, Place *out_least, Place *out_greatest);

/* False when there is none. O(1), one or two cache misses. */
bool run_find(const Run *run, Slice subject, uint32_t *out_ordinal);
/* It will be looked for soon: brings its bucket near (step 0), or, some time later, the text that
 * stands there (step 1). */
void run_soon(const Run *run, Slice subject, unsigned step);
/* ordinal < run_subject_count. */
void run_subject(const Run *run, uint32_t ordinal, RunSubject *out_subject);
/* Clears *out. */
void run_subject_text(const Run *run, uint32_t ordinal, Buf *out);

/* The first one at text or behind it (is_after: behind it) by an order in which they are. */
uint32_t run_lower(const Run *run, Slice text, bool is_after, int (*compare)(Slice a, Slice b));

/* What every subject begins with. Clears *out. */
void run_common_prefix(const Run *run, Buf *out);

/* Subjects that begin with prefix, in order. Borrows prefix. */
typedef struct RunScan {
    const Run *run;
    Slice prefix;
    uint32_t ordinal; /* the next one */
    size_t shared;    /* with the one before; 0 where a block begins */
    const char *at;
    Buf text;
} RunScan;
void run_scan_begin(RunScan *scan, const Run *run, Slice prefix);
/* *out_text is good until the next call. */
bool run_scan_next(RunScan *scan, uint32_t *out_ordinal, Slice *out_text);
void run_scan_done(RunScan *scan);

/* Of a damaged file: the places of its messages, ascending by sequence, as far as they can be read
 * for certain (they stand there twice). place 0: not in the log. Returns how many of them are lost;
 * UINT64_MAX when it is not known. Blocking. */
uint64_t run_read_places(const char *path, void (*each)(void *cookie, uint64_t seq, Place place),
                         void *cookie);

/* What a new run is made of: an older one without what died since, and messages above it. */
typedef struct RunSize {
    uint64_t seq;
    uint32_t size;
} RunSize;
/* Sequences of a page that the older one does not have. */
typedef struct RunFill {
    uint64_t number, has[RUN_PAGE_WORDS];
    size_t count;
    RunMessage messages[RUN_PAGE_SLOTS]; /* [0, count), ascending; next is not looked at */
    uint64_t bytes[RUN_PAGE_SLOTS];      /* of their records */
} RunFill;
typedef struct RunPlace {
    uint64_t seq;
    Place place;
} RunPlace;
typedef struct RunInput {
    const Run *base;                            /* NULL: none */
    const uint64_t (*base_has)[RUN_PAGE_WORDS]; /* by page of base: those still there */
    const RunSegment *base_segments;            /* bytes of their records */
    size_t base_segment_count;
    const RunSize *resized; /* messages of base whose flags changed, ascending */
    size_t resized_count;
    const RunPlace *moved; /* messages of base whose place changed, ascending; others too */
    size_t moved_count;

    /* The source of all that is new; called on the writing thread. */
    void *cookie;
    const uint32_t *texts; /* subjects of new messages by a name of the source's own, each once */
    size_t text_count;
    Slice (*text)(void *cookie, uint32_t name); /* not empty; good until the end */
    /* The ordinal of each, before the first page is asked for. */
    void (*numbered)(void *cookie, uint32_t name, uint32_t ordinal);
    size_t page_count; /* ascending, none of them empty; each is asked for more than once */
    void (*page)(void *cookie, size_t page, RunFill *out_fill);

    const RunDue *dues;
    size_t due_count;
    const Cipher *cipher;             /* NULL: not encrypted */
    const struct Counter *is_hurried; /* NULL, or once it is not 0: given up, ERR_CLOSED */
} RunInput;

/* Writes path (by way of a temporary name), synced, its directory too. ERR_CORRUPT: base is
 * damaged; nothing is written, so that damage never gets a good checksum. Blocking, offload. */
MUST_CHECK Status run_write(const char *dir, const char *path, const RunInput *input);
