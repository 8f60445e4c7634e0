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
    READER_RANGE_BYTES = 128 * 1024, /* read ahead when reading goes on where it ended */
    READER_RANGES_MAX = 256,
    READER_FILES_MAX = 64,
};

typedef struct Chunk {
    Place start, end;
    Shared *bytes;
} Chunk;

typedef struct Range {
    Place start, end;
    Shared *bytes;
} Range;

typedef struct SegmentFile {
    uint64_t segment;
    DiskFile *file;
    uint64_t bytes;
    unsigned users; /* jobs under way */
} SegmentFile;

typedef struct FetchJob {
    OffloadJob job;
    LogReader *reader;
    Link link;
    Place place;
    size_t bytes;
    SegmentFile *file; /* NULL: the job opens it */
    char *path;
    DiskFile *opened;
    uint64_t opened_bytes;
    Place start, end;
    Shared *range;
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

    VEC(SegmentFile *) files; /* most recently used last */
    List jobs;
};

static Status read_from_disk(LogReader *reader, Place place, size_t bytes, bool is_cached_only,
                             Record *out_record, Shared **out_hold);

#define ASSERT_READER_HOME(reader)                                                                 \
    ASSERT((reader)->home == NULL || worker_is_current((reader)->home))

LogReader *log_reader_new(Log *log, Worker *home, size_t cache_bytes) {
    LogReader *reader = mem_zalloc(sizeof *reader);
    reader->log = log;
    reader->home = home;
    reader->cache_bytes = cache_bytes ? cache_bytes : READER_CACHE_BYTES;
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
    for (size_t i = 0; i < reader->files.len; i++) {
        disk_close(reader->files.at[i]->file);
        mem_free(reader->files.at[i]);
    }
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
    reader->range_bytes -= shared_len(range->bytes);
    shared_unref(range->bytes);
}

/* Takes bytes. */
static Range *range_add(LogReader *reader, Place start, Place end, Shared *bytes) {
    size_t bytes_max = reader->cache_bytes / 4;
    while (reader->range_len && (reader->range_len == READER_RANGES_MAX ||
                                 reader->range_bytes + shared_len(bytes) > bytes_max))
        range_drop_last(reader);
    reader->ranges[reader->range_len++] = (Range){start, end, bytes};
    reader->range_bytes += shared_len(bytes);
    range_to_front(reader, reader->range_len - 1);
    return &reader->ranges[0];
}

static Status range_parse(const Range *range, Place place, size_t bytes, Record *out_record,
                          Shared **out_hold) {
    size_t used;
    Slice slice = slice_from(shared_bytes(range->bytes) + (place - range->start), bytes);
    if (record_parse(slice, out_record, &used) != OK || used != bytes)
        return ERR_CORRUPT;
    *out_hold = shared_ref(range->bytes);
    return OK;
}

/* Reading goes on where an earlier range ended: a sequential reader, worth reading ahead for. */
static bool is_sequential(const LogReader *reader, Place place) {
    for (size_t i = 0; i < reader->range_len; i++) {
        const Range *range = &reader->ranges[i];
        if (place >= range->start && place < range->end + READER_RANGE_BYTES)
            return true;
    }
    return false;
}

/* What to read for a record, in whole pages. Nothing at or after the head, except the record
 * itself: it may be written later, and a copy of what was there before must not stay in the cache.
 */
static void range_bounds(const LogReader *reader, Place place, size_t bytes, uint64_t file_bytes,
                         bool is_ahead, Place *out_start, Place *out_end) {
    Place segment = place - place_offset(place);
    Place start = place & ~(Place)(BLOCK_ALIGN - 1);
    Place end = is_ahead ? start + READER_RANGE_BYTES : start + BLOCK_ALIGN;
    Place head = log_head(reader->log);
    if (end > head)
        end = head;
    if (end > segment + file_bytes)
        end = segment + file_bytes;
    if (end < place + bytes)
        end = place + bytes;
    *out_start = start;
    *out_end = end;
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

/* Takes file. */
static SegmentFile *file_add(LogReader *reader, uint64_t segment, DiskFile *file, uint64_t bytes) {
    SegmentFile *known = file_find(reader, segment);
    if (known) {
        disk_close(file);
        return known;
    }
    for (size_t i = 0; i < reader->files.len && reader->files.len >= READER_FILES_MAX;) {
        SegmentFile *old = reader->files.at[i];
        if (old->users) {
            i++;
            continue;
        }
        disk_close(old->file);
        mem_free(old);
        vec_remove_ordered(&reader->files, i);
    }
    SegmentFile *added = mem_zalloc(sizeof *added);
    *added = (SegmentFile){.segment = segment, .file = file, .bytes = bytes};
    vec_push(&reader->files, added);
    return added;
}

static Status file_open(const char *path, DiskFile **out_file, uint64_t *out_bytes) {
    DiskFile *file;
    Status status = disk_open(path, DISK_READ, &file);
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

static char *segment_path(const LogReader *reader, uint64_t segment) {
    return path_numbered(reader->log->log_dir, "", segment, ".log");
}

static Status open_now(LogReader *reader, uint64_t segment, SegmentFile **out_file) {
    *out_file = file_find(reader, segment);
    if (*out_file)
        return OK;
    CLEANUP(path_free) char *path = segment_path(reader, segment);
    DiskFile *file;
    uint64_t bytes;
    Status status = file_open(path, &file, &bytes);
    if (status == OK)
        *out_file = file_add(reader, segment, file, bytes);
    return status;
}

/* --- reading --- */

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
    Range *range = range_find(reader, place, bytes);
    if (range)
        return range_parse(range, place, bytes, out_record, out_hold);
    return read_from_disk(reader, place, bytes, true, out_record, out_hold);
}

Status log_reader_read(LogReader *reader, Place place, size_t bytes, Record *out_record,
                       Shared **out_hold) {
    Status status = log_reader_peek(reader, place, bytes, out_record, out_hold);
    if (status != ERR_AGAIN)
        return status;
    return read_from_disk(reader, place, bytes, false, out_record, out_hold);
}

static Status read_from_disk(LogReader *reader, Place place, size_t bytes, bool is_cached_only,
                             Record *out_record, Shared **out_hold) {
    if (bytes < RECORD_HEADER_BYTES || bytes > RECORD_BYTES_MAX + 8)
        return ERR_CORRUPT;
    SegmentFile *file = file_find(reader, place_segment(place));
    if (file == NULL && is_cached_only)
        return ERR_AGAIN;
    if (file == NULL) {
        Status status = open_now(reader, place_segment(place), &file);
        if (status != OK)
            return status == ERR_NOT_FOUND ? ERR_CORRUPT : status;
    }
    Place start, end;
    range_bounds(reader, place, bytes, file->bytes, is_sequential(reader, place), &start, &end);
    if (place_offset(start) + (end - start) > file->bytes)
        return ERR_CORRUPT;
    Shared *read = shared_new(end - start);
    Status status =
        is_cached_only
            ? disk_read_cached(file->file, shared_bytes(read), end - start, place_offset(start))
            : disk_read(file->file, shared_bytes(read), end - start, place_offset(start));
    if (status != OK) {
        shared_unref(read);
        return is_cached_only ? ERR_AGAIN : status == ERR_RANGE ? ERR_CORRUPT : status;
    }
    return range_parse(range_add(reader, start, end, read), place, bytes, out_record, out_hold);
}

/* --- offload --- */

static void fetch_run(OffloadJob *job) {
    FetchJob *fetch = (FetchJob *)job;
    DiskFile *file = fetch->file ? fetch->file->file : NULL;
    uint64_t file_bytes = fetch->opened_bytes;
    if (file == NULL) {
        fetch->status = file_open(fetch->path, &fetch->opened, &fetch->opened_bytes);
        if (fetch->status != OK)
            return;
        file = fetch->opened;
        file_bytes = fetch->opened_bytes;
    }
    Place segment_end = fetch->start - place_offset(fetch->start) + file_bytes;
    if (fetch->end > segment_end)
        fetch->end = segment_end;
    if (fetch->place + fetch->bytes > fetch->end) {
        fetch->status = ERR_RANGE;
        return;
    }
    fetch->range = shared_try_new(fetch->end - fetch->start);
    fetch->status = fetch->range ? disk_read(file, shared_bytes(fetch->range),
                                             fetch->end - fetch->start, place_offset(fetch->start))
                                 : ERR_MEMORY;
}

static void fetch_done(Worker *here, OffloadJob *job) {
    (void)here;
    FetchJob *fetch = (FetchJob *)job;
    LogReader *reader = fetch->reader;
    if (fetch->file)
        fetch->file->users--;
    if (fetch->opened)
        (void)file_add(reader, place_segment(fetch->place), fetch->opened, fetch->opened_bytes);
    Status status = fetch->status;
    if (status == OK) {
        Record record;
        Shared *hold;
        Range *range = range_add(reader, fetch->start, fetch->end, shared_ref(fetch->range));
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
    fetch->file = file_find(reader, place_segment(place));
    if (fetch->file) {
        fetch->file->users++;
        fetch->opened_bytes = fetch->file->bytes;
    } else {
        fetch->path = segment_path(reader, place_segment(place));
    }
    uint64_t unknown = UINT64_C(1) << PLACE_OFFSET_BITS;
    range_bounds(reader, place, bytes, fetch->file ? fetch->file->bytes : unknown, true,
                 &fetch->start, &fetch->end);
    if (reader->log->options.offload) {
        offload_submit(reader->log->options.offload, &fetch->job);
    } else {
        fetch_run(&fetch->job);
        fetch_done(reader->home, &fetch->job);
    }
}
