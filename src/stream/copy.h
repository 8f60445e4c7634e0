/* Copies: what takes a stream's messages from other streams: the mirror, or the sources.
 *
 * Each source has a consumer of its own at the origin, asked for and listened to over the bus, so
 * that the origin may live on another worker, in another account, or on another server. A message
 * that comes is appended as a RECORD_COPY; copy_apply decides what it does. The position in the
 * origin is state: for a mirror the stream's last sequence, for a source a CopyPosition. A gap,
 * silence, or a message that could not be stored ends the consumer; the next one goes on behind the
 * position, once nothing is in flight any more.
 *
 * All on the stream's home. */
#pragma once

#include "stream/copy_entry.h"
#include "stream/copy_positions.h"
#include "stream/stream.h"

typedef struct Copies Copies;
typedef struct CopySource CopySource;

/* Brings the sources to what the stream's config says: those that stay go on, with their position;
 * those that are gone give up their consumer at the origin. Frees everything when there is none. */
void copies_configure(Stream *stream);
/* The stream starts: after recovery, or as a new one. */
void copies_start(Stream *stream);
/* The stream is deleted: consumers at the origins are given up. */
void copies_stop(Stream *stream);
/* NULL-safe; without effects. */
void copies_free(Copies *copies);

/* ,"mirror":{...} or ,"sources":[...] of stream info; nothing for other streams. */
void copies_info_write(Buf *out, Stream *stream);

/* An entry of a mirror or source is applied, or was refused. is_replaying: without effects. */
void copy_apply(Stream *stream, const Record *record, Place place, Shared *hold,
                const Ticket *ticket);
void copy_refused(Stream *stream, const Record *record);

/* Positions, for the stream's checkpoint. */
void copies_save(Stream *stream, Buf *out);
MUST_CHECK Status copies_load(Stream *stream, Slice bytes);

/* What tells incarnations of a stream apart. */
void copy_identity_write(const Stream *stream, char out[COPY_IDENTITY_LEN]);
