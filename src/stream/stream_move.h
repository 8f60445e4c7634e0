/* StreamMove: moves a stream's records out of log segments that shall be given up: reads them, in
 * the order of their messages, and appends them again as RECORD_MOVED entries, a piece at a time.
 * Where a message lies changes when such an entry is applied. Private to stream*.c. */
#pragma once

#include "stream/moved_entry.h"
#include "stream/stream_parts.h"

typedef struct StreamMove StreamMove;

/* GroupOps.move. */
bool stream_move(Group *group, GroupMove *move);

/* ---- stream_move_read.c ---- */

/* A message's record as it stands in the log. bytes is set in any case but ERR_NOT_FOUND. */
typedef struct StoredRecord {
    Record record;
    Shared *hold;
    size_t bytes;
} StoredRecord;
/* As stream_read; ERR_NOT_FOUND also when the message is no record. */
MUST_CHECK Status stream_read_record(Stream *stream, uint64_t seq, StoredRecord *out_stored);
/* The disk does not give the record there. */
void stream_note_unreadable(Stream *stream, uint64_t seq, Place place);

/* stream_move_apply.c: a message whose record lies where the entry says lies elsewhere from now on;
 * others (removed, or moved since) stay as they are. */
void stream_apply_moved(Stream *stream, const Record *record, Place place);
void stream_apply_frame(Stream *stream, const Record *record, Place place);

/* An entry with TICKET_MOVED was applied (OK) or refused. */
void stream_move_landed(Stream *stream, Status status);
/* The stream goes. */
void stream_move_leave(Stream *stream);
