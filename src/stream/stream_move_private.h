/* What stream_move.c and stream_move_find.c share. */
#pragma once

#include "base/vec.h"
#include "io/timer.h"
#include "stream/stream_move.h"

/* The message's record, or the chunk that it refers to. */
typedef struct Candidate {
    uint64_t seq;
    Place place;
    bool is_chunk;
} Candidate;

typedef struct ReadyFrame {
    size_t heads_len, block_len;
} ReadyFrame;

typedef enum Phase { PHASE_WALKING, PHASE_READING, PHASE_LANDING } Phase;

struct StreamMove {
    Stream *stream;
    Phase phase;
    GroupMove *move;
    Task task;
    Timer timer;
    uint64_t seq;         /* all below it were looked at */
    VEC(Candidate) found; /* to be read, in order */
    size_t read_at;       /* in found */
    uint64_t found_bytes; /* of their records */
    MovedWriter entry;    /* being made */
    FrameWriter frame;    /* likewise; it may go on with what is found next */
    /* Frames that are made: appended together, so that they share blocks. Heads and block of each,
     * one behind the other. */
    Buf ready;
    VEC(ReadyFrame) ready_frames;
    unsigned failures;       /* frames in a row that were not worth it */
    unsigned frames;         /* that were made */
    unsigned passed;         /* pieces that were not even tried since */
    struct MoveFetch *fetch; /* NULL: none under way */
    unsigned in_flight;      /* entries that were appended */
    bool has_failed;         /* one was refused */
    bool is_walked;          /* nothing more will be found */
};

/* Outlives the move when that ends first. */
typedef struct MoveFetch {
    StreamMove *move;
    uint64_t seq;
    Place place;
    bool is_chunk;
} MoveFetch;

/* stream_move_find.c: from self->seq on, until there is enough to be read, or no more. False: there
 * was no time for more. */
bool stream_move_find(StreamMove *self, uint64_t began_ns);
/* left: looks until the clock is asked again. */
bool stream_move_has_time(uint64_t began_ns, unsigned look, unsigned *left);
