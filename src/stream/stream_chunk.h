/* Chunks: large payloads of a file stream lie in the log once for each account, whichever streams
 * and messages have them (store/chunk_table.h). A publish of one becomes two entries, the chunk and
 * behind it a small message that refers to it; or, when the account has that content already, byte
 * for byte, the message alone.
 *
 * The slot of such a message has MSG_REF in its place and the whole length in its size. What the
 * stream keeps of it beside that is a ChunkUse. Private to stream*.c and snapshot*.c. */
#pragma once

#include "base/map.h"
#include "base/vec.h"
#include "store/chunk_table.h"
#include "stream/msg_index.h"
#include "stream/stream.h"

enum {
    CHUNK_PAYLOAD_MIN = 32 * 1024, /* smaller payloads lie in their message */

    /* What dies is given back two saves later (stream_parts.h: DropList); a place that was given up
     * for a newer one three saves later, since other streams' states may name it. */
    DROP_AGES = 4,
    DROP_OF_PLACES = 0,
    DROP_OF_MESSAGES = 1,
};

/* Of one live message. */
typedef struct ChunkUse {
    Chunk *chunk; /* a reference */
    uint32_t headers_len;
} ChunkUse;

/* A chunk whose message is the next entry. */
typedef struct FreshChunk {
    Chunk *chunk; /* a reference; NULL: none */
    uint64_t index;
    Slice payload; /* in hold, which is NULL in recovery */
    Shared *hold;
} FreshChunk;

typedef struct StreamChunks {
    size_t bytes_min; /* of a payload that becomes a chunk; SIZE_MAX: none does */
    Map64 uses;       /* seq -> ChunkUse */
    uint64_t bytes;   /* of their payloads */
    VEC(Chunk *) dropped[DROP_AGES];
    FreshChunk fresh;
    Map64 kept; /* index -> Shared: whole messages on their way whose chunk was known, for consumers
                   that wait for them */
    Map64 flying;     /* first bytes of the hash -> Chunk on its way to the log */
    uint64_t awaited; /* of these, what the first draft at the gate waits for, if is_awaiting */
    bool is_awaiting;
    unsigned fetch_tries;     /* for the draft that is being decided on */
    struct SieveFetch *fetch; /* what it waits for otherwise; NULL: nothing */
    size_t gate_bytes_left;   /* to be compared in this turn */
    Task gate_task;
    uint64_t lost_index;    /* recovery: of the entry that the disk lost last */
    Chunk *applying;        /* the message that is being applied has it; a reference; NULL: taken */
    Slice applying_payload; /* of a copy; its ptr is NULL when the bytes are not here */
} StreamChunks;

/* From the config and the options. */
void stream_chunks_configure(Stream *stream);
/* Frees, without effects. */
void stream_chunks_done(Stream *stream);

/* ---- stream_chunk_put.c ---- */

void stream_chunk_gate_init(Stream *stream);
void stream_chunk_gate_done(Stream *stream);
/* Instead of journal_append, for a publish whose payload is large enough. False: nothing happened.
 */
bool stream_chunk_submit(Stream *stream, const Record *draft, const Ticket *ticket);
/* A chunk that it appended, applied or refused. */
void stream_chunk_landed(Stream *stream, const Record *chunk);

/* ---- stream_chunk.c ---- */

/* RECORD_CHUNK; RECORD_PUBLISH or RECORD_COPY with RECORD_REF. */
void stream_apply_chunk(Stream *stream, const Record *record, Place place, Shared *hold,
                        const Ticket *ticket);
/* No message comes behind it. */
void stream_chunk_forget_fresh(Stream *stream);
void stream_apply_ref(Stream *stream, const Record *record, Place place, Shared *hold,
                      const Ticket *ticket);
/* Recovery: a RECORD_CHUNK, of which the disk gives no more than what record says, unchecked. */
void stream_lost_chunk(Stream *stream, const Record *record, Place place);
/* The message as it was published, but for the bytes of the payload, which are not here: its ptr is
 * NULL. False: it is not one, or a copy (stream_unwrap_copy). */
bool stream_unwrap_ref(const Record *record, Record *out_message);
/* A RECORD_PUBLISH or RECORD_COPY was refused; nothing without RECORD_REF. */
void stream_chunk_refused(Stream *stream, const Record *record);

/* seq is stored with the chunk that is being applied. */
void stream_chunk_stored(Stream *stream, uint64_t seq, size_t headers_len, size_t payload_len);
/* A message with MSG_REF goes; all go. */
void stream_chunk_dropped(Stream *stream, uint64_t seq);
void stream_chunk_dropped_all(Stream *stream);
/* At a save. */
void stream_chunks_age(Stream *stream);
/* The stream is deleted: nothing of it is needed. */
void stream_chunks_give_back(Stream *stream);

/* NULL: it is not known (damage). */
ChunkUse *stream_chunk_use(const Stream *stream, uint64_t seq);

/* ---- stream_chunk_save.c ---- */

void stream_chunks_save(Stream *stream, Buf *out);
MUST_CHECK Status stream_chunks_load(Stream *stream, Slice bytes);

/* ---- stream_chunk_read.c ---- */

/* A message that refers to a chunk, live or not any more. */
typedef struct ChunkMsg {
    Place place; /* of its record */
    size_t bytes;
    Slice subject; /* empty: as its record says */
    uint32_t headers_len;
    Chunk *chunk;
} ChunkMsg;
/* Of a live one. False: its chunk is not known. */
bool chunk_msg_of(const Stream *stream, uint64_t seq, const MsgSlot *slot, Slice subject,
                  ChunkMsg *out_msg);
/* Bytes of its record. */
size_t chunk_msg_bytes(size_t subject_len, size_t headers_len, uint32_t slot_size);
typedef struct ChunkPart {
    Place place;
    size_t bytes;
    bool is_chunk;
} ChunkPart;
/* Of the chunk itself: ERR_CORRUPT: it is damaged. */
MUST_CHECK Status chunk_read(Stream *stream, Chunk *chunk, Slice *out_payload, Shared **out_hold,
                             ChunkPart *out_part);
/* Fills subject, headers, payload and hold. ERR_AGAIN: *out_missing is to be fetched first, then
 * maybe more; ERR_CORRUPT: *out_missing is damaged. */
MUST_CHECK Status chunk_msg_read(Stream *stream, const ChunkMsg *msg, StoredMsg *out_stored,
                                 ChunkPart *out_missing);
