/* FrameRead: records by their place, whether they lie in the log as they are or in a frame
 * (frame_entry.h). A worker keeps the frames that it read last with their records, so that who
 * reads on in order has each decompressed once. Private to the stream layer. */
#pragma once

#include "store/log.h"
#include "stream/frame_entry.h"

typedef struct Stream Stream;
typedef struct FrameCache FrameCache;

FrameCache *frame_cache_new(void);
/* NULL-safe. */
void frame_cache_free(FrameCache *cache);

/* As log_reader_peek. place: of an index, without PLACE_REF; seq: of the message. */
MUST_CHECK Status stream_peek_record(Stream *stream, uint64_t seq, Place place, size_t bytes,
                                     Record *out_record, Shared **out_hold);
/* As log_reader_look. */
MUST_CHECK Status stream_look_record(Stream *stream, uint64_t seq, Place place, Record *out_record,
                                     Shared **out_hold);
/* As log_reader_fetch. */
void stream_fetch_record(Stream *stream, Place place, size_t bytes,
                         void (*done)(void *cookie, Status status), void *cookie);
/* Waits for the disk, so that stream_peek_record gives it then. */
MUST_CHECK Status stream_fetch_record_now(Stream *stream, Place place, size_t bytes);
