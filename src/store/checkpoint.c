#include "store/checkpoint.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include "io/disk.h"
#include "store/path.h"

/* checkpoint.<generation>, little endian:
 *
 *   head   u64 magic "HWCHECKP" | u32 version (1) | u32 entry_count | u64 generation | u64 floor |
 *          u64 file_bytes | u64 XXH3-64 of the entries | u64 XXH3-64 of the 48 bytes before
 *   entry  u32 magic "HWCE" | u32 group | u64 index | u64 state_len | u64 XXH3-64 of the state |
 *          u64 XXH3-64 of the 32 bytes before; then the state, zeros up to 8 bytes
 *
 * The catalogue (group 0) is the first entry. The sum of all entries finds damage at once; those of
 * the entries let the rest be used when no whole file is left. */

enum { CHECKPOINT_VERSION = 1, ENTRY_MAGIC = 0x45435748 };
static const char MAGIC[8] = {'H', 'W', 'C', 'H', 'E', 'C', 'K', 'P'};

typedef struct FileHead {
    char magic[8];
    uint32_t version, entry_count;
    uint64_t generation, floor, file_bytes, body_checksum, head_checksum;
} FileHead;
_Static_assert(sizeof(FileHead) == CHECKPOINT_HEAD_BYTES,
               "the head of a checkpoint is 56 bytes on disk");

typedef struct EntryHead {
    uint32_t magic, group;
    uint64_t index, state_len, state_checksum, head_checksum;
} EntryHead;
_Static_assert(sizeof(EntryHead) == 40, "the head of an entry is 40 bytes on disk");

struct CheckpointWriter {
    char *dir;
    uint64_t generation;
    Place floor;
    uint32_t entry_count;
    Buf first, rest; /* the catalogue's entry, the others */
};

static size_t padding(uint64_t len) {
    return -len & 7;
}

/* --- writing --- */

CheckpointWriter *checkpoint_begin(const char *dir, uint64_t generation, Place floor) {
    CheckpointWriter *writer = mem_zalloc(sizeof *writer);
    writer->dir = mem_copy(dir, strlen(dir));
    writer->generation = generation;
    writer->floor = floor;
    return writer;
}

void checkpoint_add(CheckpointWriter *writer, uint32_t group, uint64_t index, Slice state) {
    static const char zeros[8];
    EntryHead head = {
        .magic = ENTRY_MAGIC,
        .group = group,
        .index = index,
        .state_len = state.len,
        .state_checksum = hash_checksum(state.ptr, state.len),
    };
    head.head_checksum = hash_checksum(&head, offsetof(EntryHead, head_checksum));
    Buf *to = group == 0 ? &writer->first : &writer->rest;
    buf_append_bytes(to, &head, sizeof head);
    buf_append(to, state);
    buf_append_bytes(to, zeros, padding(state.len));
    writer->entry_count++;
}

void checkpoint_abandon(CheckpointWriter *writer) {
    if (writer == NULL)
        return;
    buf_done(&writer->first);
    buf_done(&writer->rest);
    mem_free(writer->dir);
    mem_free(writer);
}

static Status write_file(CheckpointWriter *writer, const char *path) {
    buf_append(&writer->first, buf_slice(&writer->rest));
    buf_done(&writer->rest);
    Slice body = buf_slice(&writer->first);
    FileHead head = {
        .version = CHECKPOINT_VERSION,
        .entry_count = writer->entry_count,
        .generation = writer->generation,
        .floor = writer->floor,
        .file_bytes = sizeof head + body.len,
        .body_checksum = hash_checksum(body.ptr, body.len),
    };
    memcpy(head.magic, MAGIC, sizeof MAGIC);
    head.head_checksum = hash_checksum(&head, offsetof(FileHead, head_checksum));

    DiskFile *file;
    Status status = disk_open(path, DISK_WRITE | DISK_CREATE | DISK_TRUNCATE, &file);
    if (status != OK)
        return status;
    struct iovec parts[] = {{&head, sizeof head}, {(void *)(uintptr_t)body.ptr, body.len}};
    status = disk_write(file, parts, body.len ? 2 : 1, 0);
    if (status == OK)
        status = disk_sync(file);
    disk_close(file);
    return status;
}

typedef VEC(uint64_t) Generations;

static void on_name(void *cookie, const char *name, bool is_dir) {
    Generations *generations = cookie;
    uint64_t generation;
    if (!is_dir && path_number_of(name, "checkpoint.", "", &generation))
        vec_push(generations, generation);
}

static int newest_first(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x > y ? -1 : x < y;
}

static Status list_generations(const char *dir, Generations *out_generations) {
    Status status = disk_list(dir, on_name, out_generations);
    if (status == ERR_NOT_FOUND)
        return OK;
    if (out_generations->len > 1)
        qsort(out_generations->at, out_generations->len, sizeof(uint64_t), newest_first);
    return status;
}

static Status judge_head(const FileHead *head) {
    if (memcmp(head->magic, MAGIC, sizeof MAGIC) != 0 ||
        head->head_checksum != hash_checksum(head, offsetof(FileHead, head_checksum)))
        return ERR_CORRUPT;
    return head->version == CHECKPOINT_VERSION ? OK : ERR_VERSION;
}

static Status read_head(DiskFile *file, FileHead *out_head) {
    FileHead head;
    Status status = disk_read(file, &head, sizeof head, 0);
    if (status == ERR_RANGE)
        return ERR_CORRUPT;
    if (status != OK)
        return status;
    status = judge_head(&head);
    if (status == OK)
        *out_head = head;
    return status;
}

Status checkpoint_check_head(Slice bytes, uint64_t file_bytes, uint64_t *out_checksum) {
    FileHead head;
    if (bytes.len < sizeof head)
        return ERR_CORRUPT;
    memcpy(&head, bytes.ptr, sizeof head);
    Status status = judge_head(&head);
    if (status == OK && head.file_bytes != file_bytes)
        status = ERR_CORRUPT;
    if (status == OK)
        *out_checksum = head.body_checksum;
    return status;
}

static Status floor_of(const char *dir, uint64_t generation, Place *out_floor) {
    CLEANUP(path_free) char *path = path_numbered(dir, "checkpoint.", generation, "");
    DiskFile *file;
    Status status = disk_open(path, DISK_READ, &file);
    if (status != OK)
        return status;
    FileHead head;
    status = read_head(file, &head);
    disk_close(file);
    if (status == OK)
        *out_floor = head.floor;
    return status;
}

Status checkpoint_finish(CheckpointWriter *writer, Place *out_floor) {
    CLEANUP(path_free) char *temporary = path_join(writer->dir, "checkpoint.tmp");
    CLEANUP(path_free)
    char *path = path_numbered(writer->dir, "checkpoint.", writer->generation, "");
    Generations generations = {0};
    Status status = write_file(writer, temporary);
    if (status == OK)
        status = disk_rename(temporary, path);
    if (status != OK && disk_remove(temporary) != OK)
        LOG_DEBUG("unfinished checkpoint not removed", "path=%s", temporary);
    if (status == OK)
        status = disk_sync_dir(writer->dir);
    if (status == OK)
        status = list_generations(writer->dir, &generations);
    Place floor = 0;
    if (status == OK && generations.len > 1 &&
        floor_of(writer->dir, generations.at[1], &floor) != OK)
        floor = 0;
    for (size_t i = 2; status == OK && i < generations.len; i++) {
        CLEANUP(path_free)
        char *old = path_numbered(writer->dir, "checkpoint.", generations.at[i], "");
        if (disk_remove(old) != OK)
            LOG_WARNING("old checkpoint not removed", "path=%s", old);
    }
    vec_done(&generations);
    checkpoint_abandon(writer);
    if (status == OK)
        *out_floor = floor;
    return status;
}

/* --- loading --- */

typedef void EachState(void *cookie, uint32_t group, uint64_t index, Slice state);

/* Calls each for what is intact; false when something was not. each may be NULL. */
static bool walk_entries(const FileHead *head, Slice body, EachState *each, void *cookie) {
    bool is_whole = true;
    uint32_t count = 0;
    size_t at = 0;
    while (body.len - at >= sizeof(EntryHead)) {
        EntryHead entry;
        memcpy(&entry, body.ptr + at, sizeof entry);
        size_t left = body.len - at - sizeof entry;
        if (entry.magic != ENTRY_MAGIC || entry.state_len > left ||
            entry.head_checksum != hash_checksum(&entry, offsetof(EntryHead, head_checksum))) {
            is_whole = false;
            at += 8; /* the next entry begins somewhere at a multiple of 8 */
            continue;
        }
        Slice state = slice_from(body.ptr + at + sizeof entry, entry.state_len);
        if (entry.state_checksum != hash_checksum(state.ptr, state.len))
            is_whole = false;
        else if (each)
            each(cookie, entry.group, entry.index, state);
        count++;
        size_t used = sizeof entry + state.len + padding(state.len);
        at = used < body.len - at ? at + used : body.len;
    }
    return is_whole && count == head->entry_count;
}

/* Owned bytes of the entries; ERR_CORRUPT when the head is damaged (then nothing is owned).
 * *out_is_whole: all sums fit. */
static Status read_checkpoint(const char *path, FileHead *out_head, char **out_body,
                              size_t *out_len, bool *out_is_whole) {
    DiskFile *file;
    Status status = disk_open(path, DISK_READ, &file);
    if (status != OK)
        return status;
    uint64_t size = 0;
    status = disk_size(file, &size);
    if (status == OK)
        status = read_head(file, out_head);
    if (status != OK) {
        disk_close(file);
        return status;
    }
    size_t len = size - sizeof *out_head;
    char *body = mem_try_alloc(len);
    status = body ? disk_read(file, body, len, sizeof *out_head) : ERR_MEMORY;
    disk_close(file);
    if (status != OK) {
        mem_free(body);
        return status;
    }
    *out_body = body;
    *out_len = len;
    *out_is_whole = size == out_head->file_bytes &&
                    out_head->body_checksum == hash_checksum(body, len) &&
                    walk_entries(out_head, slice_from(body, len), NULL, NULL);
    return OK;
}

Status checkpoint_read(const char *dir, uint64_t generation, EachState *each, void *cookie,
                       Place *out_floor) {
    CLEANUP(path_free) char *path = path_numbered(dir, "checkpoint.", generation, "");
    FileHead head;
    char *body;
    size_t len;
    bool is_whole;
    Status status = read_checkpoint(path, &head, &body, &len, &is_whole);
    if (status != OK)
        return status == ERR_RANGE ? ERR_CORRUPT : status;
    if (!is_whole)
        status = ERR_CORRUPT;
    else if (each)
        (void)walk_entries(&head, slice_from(body, len), each, cookie);
    mem_free(body);
    if (status == OK && out_floor)
        *out_floor = head.floor;
    return status;
}

void checkpoint_set_aside(const char *dir, uint64_t generation) {
    CLEANUP(path_free) char *bad = path_join(dir, "bad");
    CLEANUP(path_free) char *from = path_numbered(dir, "checkpoint.", generation, "");
    CLEANUP(path_free) char *to = path_numbered(bad, "checkpoint.", generation, "");
    if (disk_make_dirs(bad) != OK || disk_rename(from, to) != OK)
        return;
    LOG_WARNING("damaged checkpoint set aside", "path=%s", to);
}

typedef struct Best {
    FileHead head;
    char *body;
    size_t len;
    bool is_whole;
} Best;

/* Keeps the newest whole one; without one, the newest of which entries can be read. */
static Status consider(const char *dir, uint64_t generation, Best *best) {
    CLEANUP(path_free) char *path = path_numbered(dir, "checkpoint.", generation, "");
    Best found = {0};
    Status status = read_checkpoint(path, &found.head, &found.body, &found.len, &found.is_whole);
    if (status == ERR_IO || status == ERR_RANGE)
        status = ERR_CORRUPT; /* unreadable is damaged */
    if (status != OK)
        return status;
    if (best->body == NULL || found.is_whole) {
        mem_free(best->body);
        *best = found;
    } else {
        mem_free(found.body);
    }
    return found.is_whole ? OK : ERR_CORRUPT;
}

Status checkpoint_load(const char *dir, EachState *each, void *cookie, uint64_t *out_generation,
                       Place *out_floor, unsigned *out_damaged, bool *out_is_whole) {
    Generations generations = {0};
    Best best = {0};
    unsigned damaged = 0;
    Status status = list_generations(dir, &generations);
    if (status == OK && generations.len == 0)
        status = ERR_NOT_FOUND;
    for (size_t i = 0; i < generations.len && !best.is_whole; i++) {
        status = consider(dir, generations.at[i], &best);
        if (status != OK && status != ERR_CORRUPT)
            break;
        damaged += status == ERR_CORRUPT;
        if (status == ERR_CORRUPT)
            checkpoint_set_aside(dir, generations.at[i]);
    }
    if (best.body != NULL && (status == OK || status == ERR_CORRUPT)) {
        (void)walk_entries(&best.head, slice_from(best.body, best.len), each, cookie);
        *out_generation = best.head.generation;
        *out_floor = best.head.floor;
        *out_is_whole = best.is_whole;
        status = OK;
    } else if (status == ERR_CORRUPT) {
        status = ERR_NOT_FOUND;
    }
    *out_damaged = damaged;
    mem_free(best.body);
    vec_done(&generations);
    return status;
}
