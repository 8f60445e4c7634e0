/* DupWindow: message ids seen within the duplicate window, with the sequence each one got.
 *
 * Ids lie one behind the other in chunks, oldest first; a table of (hash, position) finds them.
 * About 55 bytes an id of 22 characters. Times are those of entries: never the clock's. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

/* Zero-initialised is empty. */
typedef struct DupWindow {
    char **chunks; /* [chunk_head, chunk_len) */
    size_t chunk_head, chunk_len, chunk_cap;
    uint64_t first_chunk; /* absolute number of chunks[chunk_head] */
    uint64_t begin, end;  /* absolute positions of the oldest id and behind the newest */
    uint64_t *slots;      /* hash << 32 | low bits of the position in units; 0 = free */
    size_t slot_cap, len;
} DupWindow;

void dup_window_done(DupWindow *window);

/* Forgets ids older than oldest_ns. Amortised O(1). */
void dup_window_expire(DupWindow *window, int64_t oldest_ns);

/* True when the id is there; one of several equal ones is the newest. */
bool dup_window_find(const DupWindow *window, Slice id, int64_t oldest_ns, uint64_t *out_seq);

/* Times never fall. Ids over 65535 bytes do not occur (headers are shorter). */
void dup_window_add(DupWindow *window, Slice id, uint64_t seq, int64_t time_ns);

/* All of it, oldest first; the reverse of load. Load: ERR_CORRUPT. */
void dup_window_save(const DupWindow *window, Buf *out);
MUST_CHECK Status dup_window_load(DupWindow *window, Slice *saved);
