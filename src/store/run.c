#include "store/run.h"

#include "base/hash.h"
#include "base/mem.h"
#include "io/disk.h"
#include "store/run_format.h"

struct Run {
    const char *bytes; /* mapped, or in memory up to the end of the body */
    bool is_in_memory;
    RunHead head;
};

static const void *section(const Run *run, RunSectionKind kind) {
    return run->bytes + run->head.sections[kind].at;
}

Slice run_section(const Run *run, RunSectionKind kind) {
    if (run->is_in_memory && kind == RUN_PLACES)
        return (Slice){0}; /* what was decrypted ends with the body */
    return slice_from(section(run, kind), run->head.sections[kind].bytes);
}

/* ---- opening ---- */

uint64_t run_sums_bytes(const RunHead *head) {
    return (head->body_end - RUN_HEAD_BYTES + RUN_SUM_BYTES - 1) / RUN_SUM_BYTES * 8;
}

static uint64_t end_of(const RunHead *head, unsigned kind) {
    return kind == RUN_PLACES ? head->file_bytes : head->body_end;
}

/* Everything that look-ups rely on is checked here, once: sections lie within the file and are as
 * long as the counts say. */
static bool is_head_sound(const RunHead *head, uint64_t file_bytes) {
    uint64_t subjects = head->subject_count;
    const RunSection *at = head->sections;
    if (head->file_bytes != file_bytes || head->body_end < RUN_HEAD_BYTES ||
        head->body_end > file_bytes || file_bytes - head->body_end < run_sums_bytes(head))
        return false;
    for (unsigned i = 0; i < RUN_SECTIONS; i++)
        if (at[i].at < RUN_HEAD_BYTES || at[i].at % 8 || at[i].bytes > end_of(head, i) ||
            at[i].at > end_of(head, i) - at[i].bytes)
            return false;
    return at[RUN_TEXT_INDEX].bytes / 8 == (subjects + RUN_TEXT_BLOCK - 1) / RUN_TEXT_BLOCK &&
           at[RUN_STATE_INDEX].bytes / 8 == (subjects + RUN_STATE_BLOCK - 1) / RUN_STATE_BLOCK &&
           at[RUN_HASH].bytes / sizeof(RunBucket) == head->bucket_count && head->bucket_count > 0;
}

Status run_head_check(const RunHead *head, uint64_t file_bytes) {
    size_t summed = sizeof *head - sizeof head->head_checksum;
    if (memcmp(head->magic, "HWRUNIDX", 8) != 0 ||
        hash_checksum(head, summed) != head->head_checksum)
        return ERR_CORRUPT;
    if (head->version > RUN_VERSION_ENCRYPTED)
        return ERR_VERSION;
    return is_head_sound(head, file_bytes) ? OK : ERR_CORRUPT;
}

static Status read_head(DiskFile *file, RunHead *out_head, uint64_t *out_bytes) {
    Status status = disk_size(file, out_bytes);
    if (status == OK && *out_bytes < RUN_HEAD_BYTES)
        return ERR_CORRUPT;
    if (status == OK)
        status = disk_read(file, out_head, sizeof *out_head, 0);
    if (status)
        return status == ERR_RANGE ? ERR_CORRUPT : status;
    return run_head_check(out_head, *out_bytes);
}

/* The places are not looked at: they count only when this fails, and carry their own checksums.
 * Reads, so that what is checked does not count as memory of this process. */
static Status check_body(DiskFile *file, const RunHead *head) {
    uint64_t len_of_sums = run_sums_bytes(head);
    uint64_t *sums = mem_try_alloc(len_of_sums + 1);
    char *piece = mem_try_alloc(RUN_SUM_BYTES);
    Status status = sums && piece ? OK : ERR_MEMORY;
    if (status == OK && len_of_sums)
        status = disk_read(file, sums, len_of_sums, head->body_end);
    if (status == OK && hash_checksum(sums, len_of_sums) != head->sums_checksum)
        status = ERR_CORRUPT;
    uint64_t at = RUN_HEAD_BYTES;
    for (size_t i = 0; at < head->body_end && status == OK; i++, at += RUN_SUM_BYTES) {
        uint64_t len = head->body_end - at < RUN_SUM_BYTES ? head->body_end - at : RUN_SUM_BYTES;
        status = disk_read(file, piece, len, at);
        if (status == OK && hash_checksum(piece, len) != sums[i])
            status = ERR_CORRUPT;
    }
    mem_free(sums);
    mem_free(piece);
    /* A sector that cannot be read is damage like any other. */
    return status == ERR_IO || status == ERR_RANGE ? ERR_CORRUPT : status;
}

/* A mapping cannot be decrypted: the body goes to memory of the process. */
static Status read_encrypted(DiskFile *file, const RunHead *head, const Cipher *cipher,
                             const void **out_bytes) {
    char at[CIPHER_HEAD_BYTES];
    CipherHead cipher_head;
    CipherStream *stream;
    Status status = disk_read(file, at, sizeof at, RUN_CIPHER_AT);
    if (status == OK && !cipher_head_parse(at, 0, &cipher_head))
        status = ERR_CORRUPT;
    if (status == OK)
        status = cipher_stream_open(cipher, CIPHER_RUN, &cipher_head, &stream);
    if (status != OK)
        return status;
    char *bytes = mem_try_alloc(head->body_end);
    status = bytes ? OK : ERR_MEMORY;
    for (uint64_t done = RUN_HEAD_BYTES; done < head->body_end && status == OK;) {
        uint64_t left = head->body_end - done;
        size_t len = left < RUN_SUM_BYTES ? (size_t)left : RUN_SUM_BYTES;
        status = disk_read(file, bytes + done, len, done);
        if (status == OK)
            cipher_stream_apply(stream, done, bytes + done, bytes + done, len);
        done += len;
    }
    cipher_stream_free(stream);
    if (status != OK)
        mem_free(bytes);
    else
        *out_bytes = bytes;
    return status;
}

Status run_open(const char *path, const Cipher *cipher, Run **out_run) {
    DiskFile *file;
    RunHead head;
    uint64_t bytes;
    const void *mapped = NULL;

    Status status = disk_open(path, DISK_READ, &file);
    if (status)
        return status;
    status = read_head(file, &head, &bytes);
    if (status == OK)
        status = check_body(file, &head);
    bool is_encrypted = status == OK && head.version == RUN_VERSION_ENCRYPTED;
    if (status == OK)
        status = is_encrypted ? read_encrypted(file, &head, cipher, &mapped)
                              : disk_map(file, bytes, &mapped);
    disk_close(file);
    if (status)
        return status;
    Run *run = mem_alloc(sizeof *run);
    *run = (Run){.bytes = mapped, .is_in_memory = is_encrypted, .head = head};
    *out_run = run;
    return OK;
}

void run_free(Run *run) {
    if (!run)
        return;
    if (run->is_in_memory)
        mem_free((void *)(uintptr_t)run->bytes);
    else
        disk_unmap(run->bytes, run->head.file_bytes);
    mem_free(run);
}

bool run_is_whole(const Run *run) {
    if (run->is_in_memory)
        return true; /* what was checked when it was read */
    const char *sums = run->bytes + run->head.body_end;
    for (uint64_t at = RUN_HEAD_BYTES; at < run->head.body_end; at += RUN_SUM_BYTES) {
        uint64_t left = run->head.body_end - at, want;
        memcpy(&want, sums + (at - RUN_HEAD_BYTES) / RUN_SUM_BYTES * sizeof want, sizeof want);
        if (hash_checksum(run->bytes + at, left < RUN_SUM_BYTES ? left : RUN_SUM_BYTES) != want)
            return false;
    }
    return true;
}

void run_forget(const Run *run) {
    if (!run->is_in_memory)
        disk_map_forget(run->bytes, run->head.file_bytes);
}

const RunPage *run_pages(const Run *run, size_t *out_count) {
    *out_count = run->head.sections[RUN_PAGES].bytes / sizeof(RunPage);
    return section(run, RUN_PAGES);
}

uint64_t run_message_count(const Run *run) {
    return run->head.message_count;
}

uint32_t run_subject_count(const Run *run) {
    return run->head.subject_count;
}

const RunSegment *run_segments(const Run *run, size_t *out_count) {
    *out_count = run->head.sections[RUN_SEGMENTS].bytes / sizeof(RunSegment);
    return section(run, RUN_SEGMENTS);
}

const RunDue *run_dues(const Run *run, size_t *out_count) {
    *out_count = run->head.sections[RUN_DUES].bytes / sizeof(RunDue);
    return section(run, RUN_DUES);
}

/* ---- messages ---- */

bool run_page_places(const Run *run, const RunPage *page, Place *out_least, Place *out_greatest) {
    const char *at = (const char *)section(run, RUN_SLOTS) + page->at;
    uint64_t least = UINT64_MAX, greatest = 0;
    RunSlotsHead head;
    memcpy(&head, at, sizeof head);
    for (size_t i = 0; i < page->count; i++) {
        uint64_t place = run_column_get(at + sizeof head, head.place_width, i);
        if (!place)
            continue;
        least = place < least ? place : least;
        greatest = place > greatest ? place : greatest;
    }
    if (!greatest)
        return false;
    *out_least = head.place + ((least - 1) << head.place_shift);
    *out_greatest = head.place + ((greatest - 1) << head.place_shift);
    return true;
}

void run_message(const Run *run, const RunPage *page, unsigned i, RunMessage *out_message) {
    const char *at = (const char *)section(run, RUN_SLOTS) + page->at;
    size_t rank = run_rank(page->has, i), count = page->count;
    RunSlotsHead head;
    memcpy(&head, at, sizeof head);
    at += sizeof head;
    uint64_t place = run_column_get(at, head.place_width, rank);
    out_message->place = place ? head.place + ((place - 1) << head.place_shift) : 0;
    at += head.place_width * count;
    out_message->time_ns =
        (int64_t)((uint64_t)head.time_ns + run_column_get(at, head.time_width, rank));
    at += head.time_width * count;
    out_message->size = head.size + (uint32_t)run_column_get(at, head.size_width, rank);
    at += head.size_width * count;
    out_message->subject = head.subject + (uint32_t)run_column_get(at, head.subject_width, rank);
    if (out_message->subject >= run->head.subject_count)
        out_message->subject = RUN_NO_SUBJECT;
    at += head.subject_width * count;
    uint32_t next = (uint32_t)run_column_get(at, head.next_width, rank);
    out_message->next = next >> 1;
    out_message->is_marked = next & 1;
}

/* ---- subjects ---- */

static const char *text_block(const Run *run, uint32_t block) {
    const uint64_t *index = section(run, RUN_TEXT_INDEX);
    return (const char *)section(run, RUN_TEXTS) + index[block];
}

/* Of bytes that were checked. */
static uint64_t take_number(const char **at) {
    uint64_t value = 0;
    unsigned shift = 0;
    uint8_t byte;
    do {
        byte = (uint8_t) * (*at)++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
    } while (byte & 0x80);
    return value;
}

/* The text at *at follows the one in text. */
static const char *next_text(const char *at, Buf *text, size_t *out_shared) {
    uint64_t shared = take_number(&at), len = take_number(&at);
    text->len = *out_shared = shared;
    buf_append_bytes(text, at, len);
    return at + len;
}

void run_subject_text(const Run *run, uint32_t ordinal, Buf *out) {
    buf_clear(out);
    const char *at = text_block(run, ordinal / RUN_TEXT_BLOCK);
    size_t shared;
    for (uint32_t i = 0; i <= ordinal % RUN_TEXT_BLOCK; i++)
        at = next_text(at, out, &shared);
}

/* Whether the text of ordinal is subject: walks the block without copying it. */
static bool is_text(const Run *run, uint32_t ordinal, Slice subject) {
    const char *at = text_block(run, ordinal / RUN_TEXT_BLOCK);
    size_t equal = 0, have = 0; /* first bytes of the current text that are subject's; its length */
    for (uint32_t i = 0; i <= ordinal % RUN_TEXT_BLOCK; i++) {
        uint64_t shared = take_number(&at), len = take_number(&at);
        have = shared + len;
        if (shared <= equal) {
            equal = shared;
            while (equal < have && equal < subject.len && at[equal - shared] == subject.ptr[equal])
                equal++;
        }
        at += len;
    }
    return have == subject.len && equal == have;
}

bool run_find(const Run *run, Slice subject, uint32_t *out_ordinal) {
    uint64_t hash = hash_checksum(subject.ptr, subject.len), count = run->head.bucket_count;
    uint8_t tag = run_tag_of(hash);
    const RunBucket *buckets = section(run, RUN_HASH);
    uint64_t b = run_bucket_of(hash, count);
    for (uint64_t n = 0; n < count; n++, b = b + 1 == count ? 0 : b + 1) {
        const RunBucket *bucket = &buckets[b];
        for (unsigned i = 0; i < RUN_BUCKET_IDS; i++)
            if (bucket->tags[i] == tag && is_text(run, bucket->ids[i], subject)) {
                *out_ordinal = bucket->ids[i];
                return true;
            }
        if (!bucket->passed)
            return false;
    }
    return false;
}

void run_soon(const Run *run, Slice subject, unsigned step) {
    uint64_t hash = hash_checksum(subject.ptr, subject.len);
    const RunBucket *buckets = section(run, RUN_HASH);
    const RunBucket *bucket = &buckets[run_bucket_of(hash, run->head.bucket_count)];
    if (step == 0) {
        __builtin_prefetch(bucket);
        return;
    }
    uint8_t tag = run_tag_of(hash);
    for (unsigned i = 0; i < RUN_BUCKET_IDS; i++)
        if (bucket->tags[i] == tag) {
            const char *text = text_block(run, bucket->ids[i] / RUN_TEXT_BLOCK);
            __builtin_prefetch(text);
            __builtin_prefetch(text + 64);
            return;
        }
}

void run_subject(const Run *run, uint32_t ordinal, RunSubject *out_subject) {
    uint32_t block = ordinal / RUN_STATE_BLOCK, i = ordinal % RUN_STATE_BLOCK;
    uint32_t left = run->head.subject_count - block * RUN_STATE_BLOCK;
    size_t count = left < RUN_STATE_BLOCK ? left : RUN_STATE_BLOCK;
    const uint64_t *index = section(run, RUN_STATE_INDEX);
    const char *at = (const char *)section(run, RUN_STATES) + index[block];
    RunStatesHead head;
    memcpy(&head, at, sizeof head);
    at += sizeof head;
    out_subject->first = head.first + run_column_get(at, head.first_width, i);
    at += head.first_width * count;
    out_subject->last = out_subject->first + run_column_get(at, head.span_width, i);
    at += head.span_width * count;
    out_subject->count = 1 + run_column_get(at, head.count_width, i);
}

/* ---- scan ---- */

static int compare(Slice a, Slice b) {
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len ? memcmp(a.ptr, b.ptr, len) : 0;
    return order ? order : a.len < b.len ? -1 : a.len > b.len;
}

static Slice first_of_block(const Run *run, uint32_t block) {
    const char *at = text_block(run, block);
    (void)take_number(&at);
    uint64_t len = take_number(&at);
    return slice_from(at, len);
}

uint32_t run_lower(const Run *run, Slice text, bool is_after, int (*order)(Slice a, Slice b)) {
    uint32_t blocks = (run->head.subject_count + RUN_TEXT_BLOCK - 1) / RUN_TEXT_BLOCK;
    uint32_t low = 0, high = blocks, ordinal;
    RunScan scan = {.run = run};
    Slice found;
    while (low < high) { /* the first block that begins there */
        uint32_t middle = low + (high - low) / 2;
        if (order(first_of_block(run, middle), text) < is_after)
            low = middle + 1;
        else
            high = middle;
    }
    scan.ordinal = low ? (low - 1) * RUN_TEXT_BLOCK : 0;
    do
        ordinal = scan.ordinal;
    while (run_scan_next(&scan, &ordinal, &found) && order(found, text) < is_after);
    run_scan_done(&scan);
    return ordinal;
}

void run_common_prefix(const Run *run, Buf *out) {
    buf_clear(out);
    if (run->head.subject_count == 0)
        return;
    Slice first = first_of_block(run, 0);
    size_t same = 0;
    run_subject_text(run, run->head.subject_count - 1, out);
    while (same < first.len && same < out->len && first.ptr[same] == out->ptr[same])
        same++;
    out->len = same;
}

void run_scan_begin(RunScan *scan, const Run *run, Slice prefix) {
    uint32_t blocks = (run->head.subject_count + RUN_TEXT_BLOCK - 1) / RUN_TEXT_BLOCK;
    uint32_t low = 0, high = blocks;
    while (low < high) { /* the first block that begins at or above prefix */
        uint32_t middle = low + (high - low) / 2;
        if (compare(first_of_block(run, middle), prefix) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    uint32_t block = low ? low - 1 : 0;
    *scan = (RunScan){.run = run, .prefix = prefix, .ordinal = block * RUN_TEXT_BLOCK};
}

bool run_scan_next(RunScan *scan, uint32_t *out_ordinal, Slice *out_text) {
    while (scan->ordinal < scan->run->head.subject_count) {
        if (scan->ordinal % RUN_TEXT_BLOCK == 0)
            scan->at = text_block(scan->run, scan->ordinal / RUN_TEXT_BLOCK);
        scan->at = next_text(scan->at, &scan->text, &scan->shared);
        uint32_t ordinal = scan->ordinal++;
        Slice text = buf_slice(&scan->text);
        if (slice_starts_with(text, scan->prefix)) {
            *out_ordinal = ordinal;
            *out_text = text;
            return true;
        }
        if (compare(text, scan->prefix) > 0)
            return false;
    }
    return false;
}

void run_scan_done(RunScan *scan) {
    buf_done(&scan->text);
}

/* ---- places of a damaged file ---- */

static uint64_t tell_piece(const char *at, const RunPlacesHead *head,
                           void (*each)(void *cookie, uint64_t seq, Place place), void *cookie) {
    const char *end = at + head->bytes;
    uint64_t told = 0, last = 0;
    for (uint32_t page = 0; page < head->page_count; page++) {
        uint64_t fixed[1 + RUN_PAGE_WORDS], distance;
        if ((size_t)(end - at) < sizeof fixed)
            return told;
        memcpy(fixed, at, sizeof fixed);
        at += sizeof fixed;
        for (unsigned i = 0; i < RUN_PAGE_SLOTS; i++) {
            if (!(fixed[1 + i / 64] >> (i % 64) & 1))
                continue;
            at = run_read_number(at, end, &distance);
            if (!at)
                return told;
            if (distance)
                last += (distance - 1) >> 1 ^ -((distance - 1) & 1);
            each(cookie, fixed[0] * RUN_PAGE_SLOTS + i, distance ? last : 0);
            told++;
        }
    }
    return told;
}

uint64_t run_places_checksum(const RunPlacesHead *head, const char *bytes) {
    uint64_t sums[2] = {head->bytes | (uint64_t)head->page_count << 32,
                        hash_checksum(bytes, head->bytes)};
    return hash_checksum(sums, sizeof sums);
}

/* Pieces are found by trying every 8 bytes, so that nothing else of the file is needed. */
static uint64_t tell_places(const char *bytes, uint64_t len,
                            void (*each)(void *cookie, uint64_t seq, Place place), void *cookie) {
    uint64_t told = 0;
    for (uint64_t at = 0; at + sizeof(RunPlacesHead) <= len;) {
        RunPlacesHead head;
        memcpy(&head, bytes + at, sizeof head);
        uint64_t rest = len - at - sizeof head;
        if (head.bytes == 0 || head.bytes > rest || head.page_count > RUN_PLACES_PAGES ||
            head.page_count == 0 ||
            run_places_checksum(&head, bytes + at + sizeof head) != head.checksum) {
            at += 8;
            continue;
        }
        told += tell_piece(bytes + at + sizeof head, &head, each, cookie);
        at += (sizeof head + head.bytes + 7) & ~(uint64_t)7;
    }
    return told;
}

uint64_t run_read_places(const char *path, void (*each)(void *cookie, uint64_t seq, Place place),
                         void *cookie) {
    DiskFile *file;
    RunHead head;
    uint64_t bytes = 0, told = 0;
    if (disk_open(path, DISK_READ, &file))
        return UINT64_MAX;
    Status status = read_head(file, &head, &bytes);
    bool is_head_good = status == OK;
    uint64_t from = is_head_good ? head.sections[RUN_PLACES].at : 0;
    uint64_t len = is_head_good ? head.sections[RUN_PLACES].bytes : bytes;
    char *all = len ? mem_try_alloc(len) : NULL;
    if (all) {
        /* Page by page where it cannot be read at once. */
        if (disk_read(file, all, len, from))
            for (uint64_t at = 0; at < len; at += DISK_ALIGN) {
                uint64_t n = len - at < DISK_ALIGN ? len - at : DISK_ALIGN;
                if (disk_read(file, all + at, n, from + at))
                    memset(all + at, 0, n);
            }
        told = tell_places(all, len, each, cookie);
    }
    mem_free(all);
    disk_close(file);
    return is_head_good ? head.message_count - told : UINT64_MAX;
}
