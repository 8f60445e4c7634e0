/* LogReader: newest chunks in a ring, ranges read from disk in a small list, open files of
 * segments. All of one worker. */
#include <string.h>

#include "base/list.h"
#include "base/mem.h"
#include "base/vec.h"
#include "io/disk.h"
#include "io/offload.h"
#include "store/block.h"
#include "store/log_private.h"
#include "store/path.h"

enum {
    READER_CACHE_BYTES = 32 * 1024 * 1024,
    /* Read ahead; more and more as long as reading goes on where it ended. */
    READER_AHEAD_BYTES_MIN = 128 * 1024,
    READER_AHEAD_BYTES_MAX = 1024 * 1024,
    READER_RANGES_MAX = 64,
    READER_SINGLES = 64,
    READER_FILES_MAX = 64,
};

typedef struct Chunk {
    Place start, end;
    Shared *bytes;
} Chunk;

typedef struct Range {
    Place start, end;
    Shared *bytes;
    const char *at; /* of start, within bytes: aligned for direct reads */
    Place checked;  /* of the record whose checksum was verified last */
    Place used_to;  /* the end of the record furthest on that was asked for */
} Range;

/* Where a single record was read, and nothing else. */
typedef struct Single {
    Place start, end;
} Single;

typedef struct SegmentFile {
    uint64_t segment;
    DiskFile *file;
    DiskFile *direct; /* past the page cache, for long reads; NULL = not opened yet */
    uint64_t bytes;
    unsigned users; /* jobs under way */
    bool is_encrypted;
    CipherHead head;      /* of an encrypted one */
    CipherStream *stream; /* for reads on home; NULL = not opened yet */
} SegmentFile;

typedef struct FetchJob {
    OffloadJob job;
    LogReader *reader;
    Link link;
    Place place;
    size_t bytes;      /* 0 = not known */
    SegmentFile *file; /* NULL: the job opens it */
    bool is_direct;
    /* What lies behind a record that is read alone comes into the page cache at least: it costs the
     * disk little more, and others may want it. */
    size_t prefetch_bytes;
    char *path; /* NULL: nothing to open */
    DiskFile *opened;
    uint64_t file_bytes;
    bool is_encrypted;
    CipherHead head; /* of an encrypted segment */
    Place start, end;
    Shared *range;
    char *range_at;
    Status status;
    void (*done)(void *cookie, Status status);
    void *cookie;
} FetchJob;

struct LogReader {
    Log *log;
    Worker *home;
    size_t cache_bytes;

    Chunk *ring; /* ascending places; ring_cap is a power of two */
    size_t ring_cap, ring_first, ring_len, ring_bytes;

    Range ranges[READER_RANGES_MAX]; /* most recently used first */
    size_t range_len, range_bytes;
    /* Not kept: who reads on behind one of them reads ahead. */
    Single singles[READER_SINGLES];
    unsigned single_at;
    /* How far it pays to read ahead: less when ranges are dropped before they were used, since more
     * places are read at a time than there is room for. */
    size_t ahead_bytes_max;

    VEC(SegmentFile *) files; /* most recently used last */
    List jobs;
};

static Status read_from_disk(LogReader *reader, Place place, size_t bytes, bool is_cached_only,
                             Record *out_record, Shared **out_hold);
static void file_free(SegmentFile *file);

#define ASSERT_READER_HOME(reader)                                                                 \
    ASSERT((reader)->home == NULL || worker_is_current((reader)->home))

LogReader *log_reader_new(Log *log, Worker *home, size_t cache_bytes) {
    LogReader *reader = mem_zalloc(sizeof *reader);
    reader->log = log;
    reader->home = home;
    reader->cache_bytes = cache_bytes ? cache_bytes : READER_CACHE_BYTES;
    reader->ahead_bytes_max = READER_AHEAD_BYTES_MAX;
    list_init(&reader->jobs);
    return reader;
}

static void job_free(FetchJob *job) {
    list_remove(&job->link);
    shared_unref(job->range);
    path_free(job->path);
    mem_free(job);
}

void log_reader_free(LogReader *reader) {
    if (reader == NULL)
        return;
    LIST_FOR_EACH(link, &reader->jobs) {
        FetchJob *job = CONTAINER_OF(link, FetchJob, link);
        if (job->opened)
            disk_close(job->opened);
        job_free(job);
    }
    for (size_t i = 0; i < reader->ring_len; i++)
        shared_unref(reader->ring[(reader->ring_first + i) & (reader->ring_cap - 1)].bytes);
    for (size_t i = 0; i < reader->range_len; i++)
        shared_unref(reader->ranges[i].bytes);
    for (size_t i = 0; i < reader->files.len; i++)
        file_free(reader->files.at[i]);
    vec_done(&reader->files);
    mem_free(reader->ring);
    mem_free(reader);
}

/* --- chunks --- */

static Chunk *ring_at(const LogReader *reader, size_t i) {
    return &reader->ring[(reader->ring_first + i) & (reader->ring_cap - 1)];
}

static void ring_drop_oldest(LogReader *reader) {
    Chunk *chunk = ring_at(reader, 0);
    reader->ring_bytes -= shared_len(chunk->bytes);
    shared_unref(chunk->bytes);
    reader->ring_first++;
    reader->ring_len--;
}

static void ring_grow(LogReader *reader) {
    size_t cap = reader->ring_cap ? reader->ring_cap * 2 : 64;
    Chunk *ring = mem_alloc(cap * sizeof *ring);
    for (size_t i = 0; i < reader->ring_len; i++)
        ring[i] = *ring_at(reader, i);
    mem_free(reader->ring);
    reader->ring = ring;
    reader->ring_cap = cap;
    reader->ring_first = 0;
}

void log_reader_keep(LogReader *reader, const LogChunk *chunk) {
    ASSERT_READER_HOME(reader);
    size_t len = shared_len(chunk->bytes);
    if (reader->ring_len && chunk->place < ring_at(reader, reader->ring_len - 1)->end)
        return; /* out of order: it stays readable from disk */
    while (reader->ring_len && reader->ring_bytes + len > reader->cache_bytes)
        ring_drop_oldest(reader);
    if (reader->ring_len == reader->ring_cap)
        ring_grow(reader);
    *ring_at(reader, reader->ring_len) =
        (Chunk){chunk->place, chunk->place + chunk->len, shared_ref(chunk->bytes)};
    reader->ring_len++;
    reader->ring_bytes += len;
}

/* The chunk that holds place, or NULL. */
static Chunk *ring_find(const LogReader *reader, Place place) {
    size_t low = 0, high = reader->ring_len;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (ring_at(reader, middle)->end <= place)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == reader->ring_len || ring_at(reader, low)->start > place)
        return NULL;
    return ring_at(reader, low);
}

/* --- ranges --- */

static void range_to_front(LogReader *reader, size_t i) {
    Range range = reader->ranges[i];
    memmove(reader->ranges + 1, reader->ranges, i * sizeof range);
    reader->ranges[0] = range;
}

static Range *range_find(LogReader *reader, Place place, size_t bytes) {
    for (size_t i = 0; i < reader->range_len; i++)
        if (reader->ranges[i].start <= place && place + bytes <= reader->ranges[i].end) {
            if (i)
                range_to_front(reader, i);
            return &reader->ranges[0];
        }
    return NULL;
}

static void range_drop_last(LogReader *reader) {
    Range *range = &reader->ranges[--reader->range_len];
    size_t len = range->end - range->start;
    bool was_used = range->used_to - range->start >= len / 2;
    size_t max = reader->ahead_bytes_max;
    if (!was_used && len > READER_AHEAD_BYTES_MIN && max > READER_AHEAD_BYTES_MIN)
        reader->ahead_bytes_max = max / 2;
    else if (was_used && len >= max && max < READER_AHEAD_BYTES_MAX)
        reader->ahead_bytes_max = max * 2;
    reader->range_bytes -= shared_len(range->bytes);
    shared_unref(range->bytes);
}

/* Takes the reference to range.bytes. */
static Range *range_add(LogReader *reader, Range range) {
    size_t bytes_max = reader->cache_bytes / 4;
    while (reader->range_len && (reader->range_len == READER_RANGES_MAX ||
                                 reader->range_bytes + shared_len(range.bytes) > bytes_max))
        range_drop_last(reader);
    range.used_to = range.start;
    reader->ranges[reader->range_len++] = range;
    reader->range_bytes += shared_len(range.bytes);
    range_to_front(reader, reader->range_len - 1);
    return &reader->ranges[0];
}

/* bytes 0: not known; all of it is in the range. */
static Status range_parse(Range *range, Place place, size_t bytes, Record *out_record,
                          Shared **out_hold) {
    size_t used;
    bool is_unsized = bytes == 0;
    if (is_unsized)
        bytes = range->end - place;
    Slice slice = slice_from(range->at + (place - range->start), bytes);
    bool is_checked = place == range->checked;
    Status status = is_checked ? record_parse_trusted(slice, out_record, &used)
                               : record_parse(slice, out_record, &used);
    if (status != OK || (used != bytes && !is_unsized))
        return ERR_CORRUPT;
    range->checked = place;
    if (place + used > range->used_to)
        range->used_to = place + used;
    *out_hold = shared_ref(range->bytes);
    return OK;
}

/* Bytes to read ahead when reading goes on where an earlier range ended; 0 when it does not. */
static size_t ahead_bytes(const LogReader *reader, Place place) {
    for (size_t i = 0; i < reader->range_len; i++) {
        const Range *range = &reader->ranges[i];
        if (place < range->start || place >= range->end + READER_AHEAD_BYTES_MIN)
            continue;
        size_t ahead = (range->end - range->start) * 2;
        if (ahead < READER_AHEAD_BYTES_MIN)
            return READER_AHEAD_BYTES_MIN;
        return ahead < reader->ahead_bytes_max ? ahead : reader->ahead_bytes_max;
    }
    for (unsigned i = 0; i < READER_SINGLES; i++) {
        const Single *single = &reader->singles[i];
        if (place >= single->start && place < single->end + READER_AHEAD_BYTES_MIN)
            return READER_AHEAD_BYTES_MIN;
    }
    return 0;
}

/* Long reads go past the page cache, which would cost a copy and the memory of others. With
 * sync_interval what is read may still be on its way to the disk: then it is there anyway. */
static bool is_worth_direct(const LogReader *reader, size_t ahead) {
    return ahead > READER_AHEAD_BYTES_MIN && reader->log->options.sync_interval_ns == 0;
}

/* What to read for a record, in whole pages. Nothing at or after the head, except the record
 * itself: it may be written later, and a copy of what was there before must not stay in the cache.
 * bytes 0: not known; then it lies before the head.
 */
static void range_bounds(const LogReader *reader, Place place, size_t bytes, uint64_t file_bytes,
                         size_t ahead, Place *out_start, Place *out_end) {
    Place segment = place - place_offset(place);
    Place start = place & ~(Place)(BLOCK_ALIGN - 1);
    Place end = start + (ahead ? ahead : BLOCK_ALIGN);
    Place head = log_head(reader->log);
    if (bytes == 0 && end < place + LOG_UNSIZED_MAX)
        end = (place + LOG_UNSIZED_MAX + BLOCK_ALIGN - 1) & ~(Place)(BLOCK_ALIGN - 1);
    if (end > head)
        end = head;
    if (end > segment + file_bytes)
        end = segment + file_bytes;
    if (end < place + bytes) /* up to the end of a page: of its block at the furthest */
        end = (place + bytes + BLOCK_ALIGN - 1) & ~(Place)(BLOCK_ALIGN - 1);
    *out_start = start;
    *out_end = end;
}

/* Memory for a range; *out_at is aligned. NULL when there is none. */
static Shared *range_memory(size_t len, char **out_at) {
    Shared *bytes = shared_try_new(len + BLOCK_ALIGN);
    if (bytes == NULL)
        return NULL;
    uintptr_t at = (uintptr_t)shared_bytes(bytes);
    *out_at = shared_bytes(bytes) + (-at & (BLOCK_ALIGN - 1));
    return bytes;
}

/* --- files --- */

static SegmentFile *file_find(LogReader *reader, uint64_t segment) {
    for (size_t i = reader->files.len; i-- > 0;)
        if (reader->files.at[i]->segment == segment) {
            SegmentFile *file = reader->files.at[i];
            if (i + 1 < reader->files.len) {
                vec_remove_ordered(&reader->files, i);
                vec_push(&reader->files, file);
            }
            return file;
        }
    return NULL;
}

static void file_free(SegmentFile *file) {
    disk_close(file->file);
    disk_close(file->direct);
    cipher_stream_free(file->stream);
    mem_free(file);
}

/* The other way of reading the same file, or NULL. */
static DiskFile **file_slot(SegmentFile *file, bool is_direct) {
    return is_direct ? &file->direct : &file->file;
}

/* Takes file. head: NULL when the segment is not encrypted. */
static SegmentFile *file_add(LogReader *reader, uint64_t segment, DiskFile *file, bool is_direct,
                             uint64_t bytes, const CipherHead *head) {
    SegmentFile *known = file_find(reader, segment);
    if (known) {
        DiskFile **slot = file_slot(known, is_direct);
        if (*slot)
            disk_close(file);
        else
            *slot = file;
        return known;
    }
    for (size_t i = 0; i < reader->files.len && reader->files.len >= READER_FILES_MAX;) {
        SegmentFile *old = reader->files.at[i];
        if (old->users) {
            i++;
            continue;
        }
        file_free(old);
        vec_remove_ordered(&reader->files, i);
    }
    SegmentFile *added = mem_zalloc(sizeof *added);
    *added = (SegmentFile){.segment = segment, .bytes = bytes, .is_encrypted = head != NULL};
    if (head)
        added->head = *head;
    *file_slot(added, is_direct) = file;
    vec_push(&reader->files, added);
    return added;
}

static Status file_open(const char *path, bool is_direct, DiskFile **out_file,
                        uint64_t *out_bytes) {
    DiskFile *file;
    Status status = disk_open(path, is_direct ? DISK_READ | DISK_DIRECT : DISK_READ, &file);
    if (status != OK)
        return status;
    status = disk_size(file, out_bytes);
    if (status != OK) {
        disk_close(file);
        return status;
    }
    *out_file = file;
    return OK;
}

/* As it stands in the segment. ERR_CORRUPT: it does not. */
static Status find_cipher(const LogReader *reader, uint64_t segment, DiskFile *file, uint64_t bytes,
                          bool *out_is_encrypted, CipherHead *out_head) {
    Status status = log_cipher_find(reader->log, file, bytes, segment, out_head);
    *out_is_encrypted = status == OK;
    return status == ERR_NOT_FOUND ? OK : status;
}

/* On home. */
static Status decrypt(LogReader *reader, SegmentFile *file, uint64_t offset, char *bytes,
                      size_t len) {
    if (!file->is_encrypted)
        return OK;
    if (file->stream == NULL) {
        Status status =
            cipher_stream_open(log_cipher(reader->log), CIPHER_LOG, &file->head, &file->stream);
        if (status != OK)
            return status;
    }
    cipher_stream_apply(file->stream, offset, bytes, bytes, len);
    return OK;
}

static char *segment_path(const LogReader *reader, uint64_t segment) {
    return path_numbered(reader->log->log_dir, "", segment, ".log");
}

static Status open_now(LogReader *reader, uint64_t segment, SegmentFile **out_file) {
    *out_file = file_find(reader, segment);
    if (*out_file && (*out_file)->file)
        return OK;
    CLEANUP(path_free) char *path = segment_path(reader, segment);
    DiskFile *file;
    uint64_t bytes;
    bool is_encrypted;
    CipherHead head;
    Status status = file_open(path, false, &file, &bytes);
    if (status != OK)
        return status;
    status = find_cipher(reader, segment, file, bytes, &is_encrypted, &head);
    if (status == OK)
        *out_file = file_add(reader, segment, file, false, bytes, is_encrypted ? &head : NULL);
    else
        disk_close(file);
    return status;
}

/* --- reading --- */

/* What the record's first bytes say; unchecked. */
static Status read_len(LogReader *reader, SegmentFile *file, Place place, bool is_cached_only,
                       size_t *out_bytes) {
    uint32_t len;
    uint64_t offset = place_offset(place);
    if (offset + RECORD_HEADER_BYTES > file->bytes)
        return ERR_CORRUPT;
    Status status = is_cached_only ? disk_read_cached(file->file, &len, sizeof len, offset)
                                   : disk_read(file->file, &len, sizeof len, offset);
    if (status != OK)
        return is_cached_only ? ERR_AGAIN : status;
    status = decrypt(reader, file, offset, (char *)&len, sizeof len);
    if (status != OK || len < RECORD_HEADER_BYTES || len > LOG_UNSIZED_MAX)
        return ERR_CORRUPT;
    *out_bytes = ((size_t)len + 7) & ~(size_t)7;
    return OK;
}

/* A range that has all of it; NULL: there is none. */
static Range *range_find_unsized(LogReader *reader, Place place) {
    uint32_t len;
    Range *range = range_find(reader, place, sizeof len);
    if (range == NULL)
        return NULL;
    memcpy(&len, range->at + (place - range->start), sizeof len);
    return range_find(reader, place, ((size_t)len + 7) & ~(size_t)7);
}

static Status peek_unsized(LogReader *reader, Place place, Record *out_record, Shared **out_hold) {
    size_t bytes;
    Range *range = range_find_unsized(reader, place);
    if (range)
        return range_parse(range, place, 0, out_record, out_hold);
    SegmentFile *file = file_find(reader, place_segment(place));
    if (file == NULL || file->file == NULL)
        return ERR_AGAIN;
    Status status = read_len(reader, file, place, true, &bytes);
    return status == OK ? read_from_disk(reader, place, bytes, true, out_record, out_hold) : status;
}

static Status read_unsized(LogReader *reader, Place place, Record *out_record, Shared **out_hold) {
    size_t bytes;
    SegmentFile *file;
    Status status = open_now(reader, place_segment(place), &file);
    if (status == OK)
        status = read_len(reader, file, place, false, &bytes);
    if (status != OK)
        return status == ERR_NOT_FOUND || status == ERR_RANGE ? ERR_CORRUPT : status;
    return read_from_disk(reader, place, bytes, false, out_record, out_hold);
}

Status log_reader_peek(LogReader *reader, Place place, size_t bytes, Record *out_record,
                       Shared **out_hold) {
    ASSERT_READER_HOME(reader);
    Chunk *chunk = ring_find(reader, place);
    if (chunk) {
        size_t used;
        Slice rest =
            slice_from(shared_bytes(chunk->bytes) + (place - chunk->start), chunk->end - place);
        Status status = record_parse_trusted(rest, out_record, &used);
        if (status == OK)
            *out_hold = shared_ref(chunk->bytes);
        return status;
    }
    if (bytes == 0)
        return peek_unsized(reader, place, out_record, out_hold);
    Range *range = range_find(reader, place, bytes);
    if (range)
        return range_parse(range, place, bytes, out_record, out_hold);
    return read_from_disk(reader, place, bytes, true, out_record, out_hold);
}

void log_reader_prefetch(const LogReader *reader, Place place, size_t bytes) {
    const Chunk *chunk = ring_find(reader, place);
    if (chunk == NULL)
        return;
    const char *at = shared_bytes(chunk->bytes) + (place - chunk->start);
    __builtin_prefetch(chunk->bytes, 1); /* its count */
    for (size_t i = 0; i < bytes && i < chunk->end - place; i += 64)
        __builtin_prefetch(at + i);
}

Status log_reader_look(LogReader *reader, Place place, Record *out_record, Shared **out_hold) {
    ASSERT_READER_HOME(reader);
    size_t used;
    if (ring_find(reader, place))
        return log_reader_peek(reader, place, RECORD_HEADER_BYTES, out_record, out_hold);
    Range *range = range_find(reader, place, RECORD_HEADER_BYTES);
    if (range == NULL)
        return ERR_AGAIN;
    Slice rest = slice_from(range->at + (place - range->start), range->end - place);
    if (record_parse(rest, out_record, &used) != OK)
        return ERR_AGAIN;
    range->checked = place;
    if (place + used > range->used_to)
        range->used_to = place + used;
    *out_hold = shared_ref(range->bytes);
    return OK;
}

Status log_reader_read(LogReader *reader, Place place, size_t bytes, Record *out_record,
                       Shared **out_hold) {
    Status status = log_reader_peek(reader, place, bytes, out_record, out_hold);
    if (status != ERR_AGAIN)
        return status;
    if (bytes == 0)
        return read_unsized(reader, place, out_record, out_hold);
    return read_from_disk(reader, place, bytes, false, out_record, out_hold);
}

/* A record alone, from the page cache. */
static Status read_single(LogReader *reader, SegmentFile *file, Place place, size_t bytes,
                          Record *out_record, Shared **out_hold) {
    size_t used;
    uint64_t offset = place_offset(place);
    if (offset + bytes > file->bytes)
        return ERR_CORRUPT;
    Shared *memory = shared_try_new(bytes);
    if (memory == NULL)
        return ERR_MEMORY;
    if (disk_read_cached(file->file, shared_bytes(memory), bytes, offset) != OK) {
        shared_unref(memory);
        return ERR_AGAIN;
    }
    Status status = decrypt(reader, file, offset, shared_bytes(memory), bytes);
    if (status == OK)
        status = record_parse(slice_from(shared_bytes(memory), bytes), out_record, &used);
    if (status != OK || used != bytes) {
        shared_unref(memory);
        return ERR_CORRUPT;
    }
    reader->singles[reader->single_at++ % READER_SINGLES] = (Single){place, place + bytes};
    *out_hold = memory;
    return OK;
}

static Status read_from_disk(LogReader *reader, Place place, size_t bytes, bool is_cached_only,
                             Record *out_record, Shared **out_hold) {
    if (bytes < RECORD_HEADER_BYTES || bytes > RECORD_BYTES_MAX + 8)
        return ERR_CORRUPT;
    SegmentFile *file = file_find(reader, place_segment(place));
    size_t ahead = ahead_bytes(reader, place);
    if (is_cached_only && (file == NULL || file->file == NULL || is_worth_direct(reader, ahead)))
        return ERR_AGAIN;
    if (is_cached_only && ahead == 0)
        return read_single(reader, file, place, bytes, out_record, out_hold);
    if (file == NULL || file->file == NULL) {
        Status status = open_now(reader, place_segment(place), &file);
        if (status != OK)
            return status == ERR_NOT_FOUND ? ERR_CORRUPT : status;
    }
    Range range = {0};
    range_bounds(reader, place, bytes, file->bytes, ahead, &range.start, &range.end);
    size_t len = range.end - range.start;
    uint64_t offset = place_offset(range.start);
    if (offset + len > file->bytes)
        return ERR_CORRUPT;
    char *at;
    range.bytes = range_memory(len, &at);
    if (range.bytes == NULL)
        return ERR_MEMORY;
    range.at = at;
    Status status = is_cached_only ? disk_read_cached(file->file, at, len, offset)
                                   : disk_read(file->file, at, len, offset);
    if (status != OK) {
        shared_unref(range.bytes);
        return is_cached_only ? ERR_AGAIN : status == ERR_RANGE ? ERR_CORRUPT : status;
    }
    status = decrypt(reader, file, offset, at, len);
    if (status != OK) {
        shared_unref(range.bytes);
        return ERR_CORRUPT;
    }
    return range_parse(range_add(reader, range), place, bytes, out_record, out_hold);
}

/* --- offload --- */

static void fetch_run(OffloadJob *job) {
    FetchJob *fetch = (FetchJob *)job;
    DiskFile *file = fetch->path ? NULL : *file_slot(fetch->file, fetch->is_direct);
    if (file == NULL) {
        fetch->status =
            file_open(fetch->path, fetch->is_direct, &fetch->opened, &fetch->file_bytes);
        if (fetch->status != OK)
            return;
        file = fetch->opened;
    }
    if (fetch->file == NULL) {
        fetch->status = find_cipher(fetch->reader, place_segment(fetch->place), file,
                                    fetch->file_bytes, &fetch->is_encrypted, &fetch->head);
        if (fetch->status != OK) {
            disk_close(fetch->opened);
            fetch->opened = NULL;
            return;
        }
    }
    Place segment_end = fetch->start - place_offset(fetch->start) + fetch->file_bytes;
    if (fetch->end > segment_end)
        fetch->end = segment_end;
    if (fetch->place + (fetch->bytes ? fetch->bytes : RECORD_HEADER_BYTES) > fetch->end) {
        fetch->status = ERR_RANGE;
        return;
    }
    fetch->status = fetch->range ? disk_read(file, fetch->range_at, fetch->end - fetch->start,
                                             place_offset(fetch->start))
                                 : ERR_MEMORY;
    if (fetch->prefetch_bytes && fetch->status == OK)
        disk_prefetch(file, fetch->prefetch_bytes, place_offset(fetch->start));
    if (fetch->status == OK && fetch->is_encrypted)
        fetch->status =
            log_cipher_decrypt(fetch->reader->log, &fetch->head, place_offset(fetch->start),
                               fetch->range_at, fetch->end - fetch->start);
}

static void fetch_done(Worker *here, OffloadJob *job) {
    (void)here;
    FetchJob *fetch = (FetchJob *)job;
    LogReader *reader = fetch->reader;
    if (fetch->file)
        fetch->file->users--;
    if (fetch->opened)
        (void)file_add(reader, place_segment(fetch->place), fetch->opened, fetch->is_direct,
                       fetch->file_bytes, fetch->is_encrypted ? &fetch->head : NULL);
    Status status = fetch->status;
    if (status == OK) {
        Record record;
        Shared *hold;
        Range *range = range_add(reader, (Range){.start = fetch->start,
                                                 .end = fetch->end,
                                                 .bytes = shared_ref(fetch->range),
                                                 .at = fetch->range_at});
        status = range_parse(range, fetch->place, fetch->bytes, &record, &hold);
        if (status == OK)
            shared_unref(hold);
    } else if (status == ERR_RANGE || status == ERR_NOT_FOUND) {
        status = ERR_CORRUPT;
    }
    void (*done)(void *, Status) = fetch->done;
    void *cookie = fetch->cookie;
    job_free(fetch);
    done(cookie, status);
}

void log_reader_fetch(LogReader *reader, Place place, size_t bytes,
                      void (*done)(void *cookie, Status status), void *cookie) {
    ASSERT_READER_HOME(reader);
    FetchJob *fetch = mem_zalloc(sizeof *fetch);
    fetch->job.run = fetch_run;
    fetch->job.done = fetch_done;
    fetch->job.home = reader->home;
    fetch->reader = reader;
    fetch->place = place;
    fetch->bytes = bytes;
    fetch->done = done;
    fetch->cookie = cookie;
    list_push_back(&reader->jobs, &fetch->link);

    size_t ahead = ahead_bytes(reader, place);
    fetch->is_direct = is_worth_direct(reader, ahead);
    fetch->file = file_find(reader, place_segment(place));
    if (fetch->file) {
        fetch->file->users++;
        fetch->is_encrypted = fetch->file->is_encrypted;
        fetch->head = fetch->file->head;
    }
    if (fetch->file == NULL || *file_slot(fetch->file, fetch->is_direct) == NULL)
        fetch->path = segment_path(reader, place_segment(place));
    fetch->file_bytes =
        fetch->file ? fetch->file->bytes : UINT64_C(1) << PLACE_OFFSET_BITS; /* unknown */
    range_bounds(reader, place, bytes, fetch->file_bytes, ahead, &fetch->start, &fetch->end);
    fetch->prefetch_bytes = ahead ? 0 : READER_AHEAD_BYTES_MIN;
    fetch->range = range_memory(fetch->end - fetch->start, &fetch->range_at);
    if (reader->log->options.offload) {
        offload_submit(reader->log->options.offload, &fetch->job);
    } else {
        fetch_run(&fetch->job);
        fetch_done(reader->home, &fetch->job);
    }
}
