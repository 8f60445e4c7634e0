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
 *   head   u64 magic "HWCHECKP" | u32 version (1; 2: encrypted) | u32 entry_count | u64 generation
 * | u64 floor | u64 file_bytes | u64 XXH3-64 of the entries | u64 XXH3-64 of the 48 bytes before
 *   entry  u32 magic "HWCE" | u32 group | u64 index | u64 state_len | u64 XXH3-64 of the state |
 *          u64 XXH3-64 of the 32 bytes before; then the state, zeros up to 8 bytes
 *
 * Of an encrypted file, a CipherHead (store/cipher.h; owner: the generation) follows the head, then
 * the entries, encrypted; the sum of the entries is over all that.
 *
 * The catalogue (group 0) is the first entry. The sum of all entries finds damage at once; those of
 * the entries let the rest be used when no whole file is left. */

enum { CHECKPOINT_VERSION = 1, CHECKPOINT_VERSION_ENCRYPTED = 2, ENTRY_MAGIC = 0x45435748 };
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
    const Cipher *cipher; /* NULL: not encrypted */
    Buf first, rest;      /* the catalogue's entry, the others */
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

void checkpoint_encrypt(CheckpointWriter *writer, const Cipher *cipher) {
    writer->cipher = cipher;
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

/* body in place, with a CipherHead before it. */
static Status encrypt(const CheckpointWriter *writer, Slice body, CipherHead *out_head) {
    CipherStream *stream;
    Status status = cipher_head_new(writer->cipher, writer->generation, out_head);
    if (status == OK)
        status = cipher_stream_open(writer->cipher, CIPHER_CHECKPOINT, out_head, &stream);
    if (status != OK)
        return status;
    cipher_stream_apply(stream, 0, (char *)(uintptr_t)body.ptr, body.ptr, body.len);
    cipher_stream_free(stream);
    return OK;
}

static uint64_t sum_of(Slice before, Slice body) {
    if (before.len == 0)
        return hash_checksum(body.ptr, body.len);
    HashSum *sum = hash_sum_new();
    hash_sum_begin(sum);
    hash_sum_add(sum, before.ptr, before.len);
    hash_sum_add(sum, body.ptr, body.len);
    uint64_t result = hash_sum_end(sum);
    hash_sum_free(sum);
    return result;
}

static Status write_file(CheckpointWriter *writer, const char *path) {
    buf_append(&writer->first, buf_slice(&writer->rest));
    buf_done(&writer->rest);
    Slice body = buf_slice(&writer->first), before = {0};
    CipherHead cipher_head;
    Status status = OK;
    if (writer->cipher) {
        status = encrypt(writer, body, &cipher_head);
        before = slice_from((const char *)&cipher_head, sizeof cipher_head);
    }
    if (status != OK)
        return status;
    FileHead head = {
        .version = writer->cipher ? CHECKPOINT_VERSION_ENCRYPTED : CHECKPOINT_VERSION,
        .entry_count = writer->entry_count,
        .generation = writer->generation,
        .floor = writer->floor,
        .file_bytes = sizeof head + before.len + body.len,
        .body_checksum = sum_of(before, body),
    };
    memcpy(head.magic, MAGIC, sizeof MAGIC);
    head.head_checksum = hash_checksum(&head, offsetof(FileHead, head_checksum));

    DiskFile *file;
    status = disk_open(path, DISK_WRITE | DISK_CREATE | DISK_TRUNCATE, &file);
    if (status != OK)
        return status;
    struct iovec parts[3] = {{&head, sizeof head}};
    int count = 1;
    if (before.len)
        parts[count++] = (struct iovec){&cipher_head, sizeof cipher_head};
    if (body.len)
        parts[count++] = (struct iovec){(void *)(uintptr_t)body.ptr, body.len};
    status = disk_write(file, parts, count, 0);
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
    return head->version == CHECKPOINT_VERSION || head->version == CHECKPOINT_VERSION_ENCRYPTED
               ? OK
               : ERR_VERSION;
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

/* What a file says; body is owned. */
typedef struct Content {
    FileHead head;
    char *body; /* CipherHead, if there is one, and entries */
    size_t len;
    Slice entries;  /* in body, decrypted; empty when it is not known how */
    bool is_sealed; /* they are encrypted, and cipher is not theirs */
    bool is_whole;  /* all sums fit */
} Content;

/* A damaged CipherHead costs all entries. */
static Status decrypt(Content *content, const Cipher *cipher) {
    CipherHead head;
    CipherStream *stream;
    content->entries = slice_from(content->body, content->len);
    if (content->head.version != CHECKPOINT_VERSION_ENCRYPTED)
        return OK;
    content->entries = (Slice){0};
    if (content->len < sizeof head ||
        !cipher_head_parse(content->body, content->head.generation, &head))
        return OK;
    Status status = cipher_stream_open(cipher, CIPHER_CHECKPOINT, &head, &stream);
    content->is_sealed = status == ERR_DENIED;
    if (status != OK)
        return status == ERR_DENIED ? OK : status;
    char *entries = content->body + sizeof head;
    content->entries = slice_from(entries, content->len - sizeof head);
    cipher_stream_apply(stream, 0, entries, entries, content->entries.len);
    cipher_stream_free(stream);
    return OK;
}

/* ERR_CORRUPT when the head is damaged (then nothing is owned). */
static Status read_checkpoint(const char *path, const Cipher *cipher, Content *out_content) {
    Content content = {0};
    DiskFile *file;
    Status status = disk_open(path, DISK_READ, &file);
    if (status != OK)
        return status;
    uint64_t size = 0;
    status = disk_size(file, &size);
    if (status == OK)
        status = read_head(file, &content.head);
    if (status != OK) {
        disk_close(file);
        return status;
    }
    content.len = size - sizeof content.head;
    content.body = mem_try_alloc(content.len);
    status =
        content.body ? disk_read(file, content.body, content.len, sizeof content.head) : ERR_MEMORY;
    disk_close(file);
    bool is_sum_good = status == OK && size == content.head.file_bytes &&
                       content.head.body_checksum == hash_checksum(content.body, content.len);
    if (status == OK)
        status = decrypt(&content, cipher);
    if (status != OK) {
        mem_free(content.body);
        return status;
    }
    content.is_whole = is_sum_good && (content.is_sealed ||
                                       walk_entries(&content.head, content.entries, NULL, NULL));
    *out_content = content;
    return OK;
}

Status checkpoint_read(const char *dir, uint64_t generation, const Cipher *cipher, EachState *each,
                       void *cookie, Place *out_floor) {
    CLEANUP(path_free) char *path = path_numbered(dir, "checkpoint.", generation, "");
    Content content;
    Status status = read_checkpoint(path, cipher, &content);
    if (status != OK)
        return status == ERR_RANGE ? ERR_CORRUPT : status;
    if (!content.is_whole)
        status = ERR_CORRUPT;
    else if (each && content.is_sealed)
        status = ERR_DENIED;
    else if (each)
        (void)walk_entries(&content.head, content.entries, each, cookie);
    mem_free(content.body);
    if (status == OK && out_floor)
        *out_floor = content.head.floor;
    return status;
}

bool checkpoint_has_older(const char *dir, uint64_t generation) {
    Generations generations = {0};
    bool has = false;
    if (list_generations(dir, &generations) == OK)
        for (size_t i = 0; i < generations.len; i++)
            has |= generations.at[i] < generation;
    vec_done(&generations);
    return has;
}

void checkpoint_set_aside(const char *dir, uint64_t generation) {
    CLEANUP(path_free) char *bad = path_join(dir, "bad");
    CLEANUP(path_free) char *from = path_numbered(dir, "checkpoint.", generation, "");
    CLEANUP(path_free) char *to = path_numbered(bad, "checkpoint.", generation, "");
    if (disk_make_dirs(bad) != OK || disk_rename(from, to) != OK)
        return;
    LOG_WARNING("damaged checkpoint set aside", "path=%s", to);
}

/* Keeps the newest whole one; without one, the newest of which entries can be read. */
static Status consider(const char *dir, uint64_t generation, const Cipher *cipher, Content *best) {
    CLEANUP(path_free) char *path = path_numbered(dir, "checkpoint.", generation, "");
    Content found = {0};
    Status status = read_checkpoint(path, cipher, &found);
    if (status == ERR_IO || status == ERR_RANGE)
        status = ERR_CORRUPT; /* unreadable is damaged */
    if (status == OK && found.is_sealed) {
        mem_free(found.body);
        LOG_ERR("store not opened: a checkpoint is encrypted with another key", "path=%s", path);
        return ERR_DENIED;
    }
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

Status checkpoint_load(const char *dir, const Cipher *cipher, EachState *each, void *cookie,
                       uint64_t *out_generation, Place *out_floor, unsigned *out_damaged,
                       bool *out_is_whole) {
    Generations generations = {0};
    Content best = {0};
    unsigned damaged = 0;
    Status status = list_generations(dir, &generations);
    if (status == OK && generations.len == 0)
        status = ERR_NOT_FOUND;
    for (size_t i = 0; i < generations.len && !best.is_whole; i++) {
        status = consider(dir, generations.at[i], cipher, &best);
        if (status != OK && status != ERR_CORRUPT)
            break;
        damaged += status == ERR_CORRUPT;
        if (status == ERR_CORRUPT)
            checkpoint_set_aside(dir, generations.at[i]);
    }
    if (best.body != NULL && (status == OK || status == ERR_CORRUPT)) {
        *out_generation = best.head.generation;
        *out_floor = best.head.floor;
        *out_is_whole = best.is_whole;
        (void)walk_entries(&best.head, best.entries, each, cookie);
        status = OK;
    } else if (status == ERR_CORRUPT) {
        status = ERR_NOT_FOUND;
    }
    *out_damaged = damaged;
    mem_free(best.body);
    vec_done(&generations);
    return status;
}
