#include "stream/frame_read.h"

#include <string.h>

#include "base/mem.h"
#include "stream/stream_parts.h"

enum {
    FRAME_CACHE_LEN = 64,
    FRAME_CACHE_BYTES = 4 * 1024 * 1024, /* of records */
};

typedef struct CachedFrame {
    Place place;
    Frame frame;
} CachedFrame;

struct FrameCache {
    CachedFrame at[FRAME_CACHE_LEN]; /* most recently used first */
    size_t len, bytes;
};

FrameCache *frame_cache_new(void) {
    return mem_zalloc(sizeof(FrameCache));
}

static void drop_last(FrameCache *cache) {
    Frame *frame = &cache->at[--cache->len].frame;
    cache->bytes -= shared_len(frame->raw);
    frame_done(frame);
}

void frame_cache_free(FrameCache *cache) {
    while (cache && cache->len)
        drop_last(cache);
    mem_free(cache);
}

static const Frame *find(FrameCache *cache, Place place) {
    for (size_t i = 0; i < cache->len; i++) {
        if (cache->at[i].place != place)
            continue;
        CachedFrame found = cache->at[i];
        memmove(cache->at + 1, cache->at, i * sizeof *cache->at);
        cache->at[0] = found;
        return &cache->at[0].frame;
    }
    return NULL;
}

/* Takes frame. */
static const Frame *add(FrameCache *cache, Place place, Frame frame) {
    size_t bytes = shared_len(frame.raw);
    while (cache->len &&
           (cache->len == FRAME_CACHE_LEN || cache->bytes + bytes > FRAME_CACHE_BYTES))
        drop_last(cache);
    memmove(cache->at + 1, cache->at, cache->len++ * sizeof *cache->at);
    cache->at[0] = (CachedFrame){place, frame};
    cache->bytes += bytes;
    return &cache->at[0].frame;
}

static LogReader *reader_of(const Stream *stream) {
    return journal_reader(stream->js->journal);
}

static Status peek_frame(Stream *stream, Place place, const Frame **out_frame) {
    JetStream *js = stream->js;
    Record entry;
    Shared *hold;
    Frame frame;
    if (!js->frames)
        js->frames = frame_cache_new();
    *out_frame = find(js->frames, place);
    if (*out_frame)
        return OK;
    Status status = log_reader_peek(reader_of(stream), place, 0, &entry, &hold);
    if (status != OK)
        return status;
    status = entry.group == stream->group.id ? frame_open(&entry, &frame) : ERR_CORRUPT;
    shared_unref(hold);
    if (status == OK)
        *out_frame = add(js->frames, place, frame);
    return status;
}

/* bytes 0: not known. */
static Status read_member(const Frame *frame, uint64_t seq, size_t bytes, Record *out_record,
                          Shared **out_hold) {
    const FrameRecord *at = frame_find(frame, seq);
    if (!at || (bytes && at->bytes != bytes) || !frame_record(frame, at, out_record))
        return ERR_CORRUPT;
    *out_hold = shared_ref(frame->raw);
    return OK;
}

Status stream_peek_record(Stream *stream, uint64_t seq, Place place, size_t bytes,
                          Record *out_record, Shared **out_hold) {
    const Frame *frame;
    if (!(place & PLACE_FRAME))
        return log_reader_peek(reader_of(stream), place, bytes, out_record, out_hold);
    Status status = peek_frame(stream, place_of_frame(place), &frame);
    return status == OK ? read_member(frame, seq, bytes, out_record, out_hold) : status;
}

Status stream_look_record(Stream *stream, uint64_t seq, Place place, Record *out_record,
                          Shared **out_hold) {
    if (place & PLACE_FRAME)
        return stream_peek_record(stream, seq, place, 0, out_record, out_hold);
    return log_reader_look(reader_of(stream), place, out_record, out_hold);
}

void stream_fetch_record(Stream *stream, Place place, size_t bytes,
                         void (*done)(void *cookie, Status status), void *cookie) {
    if (place & PLACE_FRAME)
        log_reader_fetch(reader_of(stream), place_of_frame(place), 0, done, cookie);
    else
        log_reader_fetch(reader_of(stream), place, bytes, done, cookie);
}

Status stream_fetch_record_now(Stream *stream, Place place, size_t bytes) {
    Record record;
    Shared *hold;
    bool is_framed = place & PLACE_FRAME;
    Status status = log_reader_read(reader_of(stream), is_framed ? place_of_frame(place) : place,
                                    is_framed ? 0 : bytes, &record, &hold);
    if (status == OK)
        shared_unref(hold);
    return status;
}
