#include "store/store_scan.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "io/disk.h"
#include "store/key_file.h"
#include "store/log_cipher.h"
#include "store/path.h"

static int ascending(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void on_segment(void *cookie, const char *name, bool is_dir) {
    StoreScan *scan = cookie;
    uint64_t number;
    if (!is_dir && path_number_of(name, "", ".log", &number))
        vec_push(&scan->segments, number);
}

static void on_file(void *cookie, const char *name, bool is_dir) {
    StoreScan *scan = cookie;
    uint64_t number;
    if (!is_dir && path_number_of(name, "checkpoint.", "", &number))
        vec_push(&scan->checkpoints, number);
}

static void sort(ScanNumbers *numbers) {
    if (numbers->len > 1)
        qsort(numbers->at, numbers->len, sizeof(uint64_t), ascending);
}

Status store_scan_list(StoreScan *scan) {
    CLEANUP(path_free) char *log = path_join(scan->dir, "log");
    vec_clear(&scan->segments);
    vec_clear(&scan->checkpoints);
    Status status = disk_list(log, on_segment, scan);
    if (status == ERR_NOT_FOUND)
        status = OK;
    if (status == OK)
        status = disk_list(scan->dir, on_file, scan);
    sort(&scan->segments);
    sort(&scan->checkpoints);
    return status;
}

static Status read_super(StoreScan *scan) {
    Status status = super_read(scan->dir, &scan->super, &scan->is_super_half);
    if (status == ERR_CORRUPT) {
        scan->is_super_lost = true;
        return OK;
    }
    return status;
}

static char *copy_text(const char *text) {
    return path_join(text, "");
}

Status store_scan_open(const char *dir, StoreScan *out_scan) {
    *out_scan = (StoreScan){.dir = copy_text(dir)};
    Status status = read_super(out_scan);
    if (status == ERR_NOT_FOUND) {
        path_free(out_scan->dir);
        out_scan->dir = path_join(dir, "jetstream");
        status = read_super(out_scan);
    }
    if (status == OK)
        status = store_scan_list(out_scan);
    if (status != OK)
        store_scan_done(out_scan);
    return status;
}

void store_scan_done(StoreScan *scan) {
    path_free(scan->dir);
    vec_done(&scan->segments);
    vec_done(&scan->checkpoints);
    mem_free(scan->bytes);
    mem_free(scan->records);
    cipher_stream_free(scan->stream);
    cipher_free(scan->cipher);
    *scan = (StoreScan){0};
}

Status store_scan_unlock(StoreScan *scan, Slice key) {
    WrappedKey wrapped = scan->super.key;
    if (scan->is_super_lost && key_file_read(scan->dir, &wrapped) != OK)
        return OK;
    return wrapped.kind == CIPHER_NONE ? OK : cipher_unwrap(&wrapped, key, &scan->cipher);
}

/* All blocks of a segment have the same key: of the first one that tells. */
static Status open_stream(StoreScan *scan, const ScanBlock *block) {
    if (scan->stream)
        return OK;
    Status status =
        block_find_cipher(&block->head, block->body.ptr - BLOCK_HEAD_BYTES, &scan->cipher_head);
    if (status != OK)
        return ERR_CORRUPT;
    return cipher_stream_open(scan->cipher, CIPHER_LOG, &scan->cipher_head, &scan->stream);
}

Status store_scan_records(StoreScan *scan, const ScanBlock *block, Slice *out_records) {
    const BlockHead *head = &block->head;
    uint64_t at = block_records_at(head), len = block_records_len(head);
    if (head->version != BLOCK_VERSION_ENCRYPTED) {
        *out_records = block->body;
        return OK;
    }
    Status status = open_stream(scan, block);
    if (status != OK)
        return status;
    if (len > scan->records_cap) {
        mem_free(scan->records);
        scan->records_cap = 0;
        scan->records = mem_try_alloc(len);
        if (scan->records == NULL)
            return ERR_MEMORY;
        scan->records_cap = len;
    }
    cipher_stream_apply(scan->stream, head->offset + at, scan->records,
                        block->body.ptr - BLOCK_HEAD_BYTES + at, len);
    *out_records = slice_from(scan->records, len);
    return OK;
}

char *store_scan_path(const StoreScan *scan, uint64_t segment) {
    CLEANUP(path_free) char *log = path_join(scan->dir, "log");
    return path_numbered(log, "", segment, ".log");
}

static Status make_room(StoreScan *scan, uint64_t size) {
    if (size > UINT64_C(1) << PLACE_OFFSET_BITS)
        return ERR_VERSION;
    if (size <= scan->bytes_cap)
        return OK;
    mem_free(scan->bytes);
    scan->bytes_cap = 0;
    scan->bytes = mem_try_alloc(size);
    if (!scan->bytes)
        return ERR_MEMORY;
    scan->bytes_cap = size;
    return OK;
}

/* A page that the disk does not give is damage like any other: it reads as zeros. */
static Status read_pages(DiskFile *file, char *to, uint64_t len) {
    Status status = disk_read(file, to, len, 0);
    if (status != ERR_IO)
        return status;
    for (uint64_t at = 0; at < len; at += BLOCK_ALIGN) {
        uint64_t n = len - at < BLOCK_ALIGN ? len - at : BLOCK_ALIGN;
        if (disk_read(file, to + at, n, at) != OK)
            memset(to + at, 0, n);
    }
    return OK;
}

Status store_scan_read(StoreScan *scan, uint64_t segment) {
    CLEANUP(path_free) char *path = store_scan_path(scan, segment);
    DiskFile *file;
    uint64_t size = 0;
    scan->segment = segment;
    scan->bytes_len = 0;
    cipher_stream_free(scan->stream);
    scan->stream = NULL;
    Status status = disk_open(path, DISK_READ, &file);
    if (status != OK)
        return status;
    status = disk_size(file, &size);
    if (status == OK)
        status = make_room(scan, size);
    if (status == OK && size)
        status = read_pages(file, scan->bytes, size);
    disk_close(file);
    uint64_t sealed_at = super_sealed_at(&scan->super, segment);
    if (status == OK)
        scan->bytes_len = size < sealed_at ? size : sealed_at;
    return status;
}

static bool fits(const StoreScan *scan, const BlockHead *head, const BlockHead *previous) {
    if (head->segment != scan->segment || head->offset % BLOCK_ALIGN != 0 ||
        head->offset >= scan->bytes_len ||
        block_bytes(head->body_len) > scan->bytes_len - head->offset || head->body_len == 0)
        return false;
    if (previous) {
        uint64_t pages = (head->offset - previous->offset) / BLOCK_ALIGN;
        if (head->number <= previous->number || head->number - previous->number > pages ||
            head->epoch < previous->epoch)
            return false;
    }
    return scan->is_super_lost || memcmp(scan->super.store_id, head->store_id, STORE_ID_BYTES) == 0;
}

static void fill(const StoreScan *scan, const BlockHead *head, bool are_heads_good,
                 ScanBlock *out_block) {
    const char *body = scan->bytes + head->offset + BLOCK_HEAD_BYTES;
    *out_block = (ScanBlock){
        .head = *head,
        .body = slice_from(body, head->body_len),
        .is_body_good = hash_checksum(body, head->body_len) == head->body_checksum,
        .are_heads_good = are_heads_good,
    };
}

bool store_scan_next(const StoreScan *scan, uint64_t at, const BlockHead *previous,
                     ScanBlock *out_block) {
    for (uint64_t page = at; page + BLOCK_ALIGN <= scan->bytes_len; page += BLOCK_ALIGN) {
        BlockHead head;
        if (block_head_parse(scan->bytes + page, &head) && head.offset == page &&
            fits(scan, &head, previous)) {
            const char *twin = scan->bytes + page + block_bytes(head.body_len) - BLOCK_HEAD_BYTES;
            fill(scan, &head, memcmp(twin, &head, sizeof head) == 0, out_block);
            return true;
        }
        uint64_t end = page + BLOCK_ALIGN;
        if (block_head_parse(scan->bytes + end - BLOCK_HEAD_BYTES, &head) && head.offset >= at &&
            head.offset <= page && fits(scan, &head, previous) &&
            head.offset + block_bytes(head.body_len) == end) {
            fill(scan, &head, false, out_block);
            return true;
        }
    }
    return false;
}

/* ---- folders of whole files ---- */

typedef struct FolderCopy {
    const char *from, *to;
    uint64_t bytes;
    Status status;
} FolderCopy;

static uint64_t size_of(const char *path) {
    DiskFile *file;
    uint64_t size = 0;
    if (disk_open(path, DISK_READ, &file) != OK)
        return UINT64_MAX;
    if (disk_size(file, &size) != OK)
        size = UINT64_MAX;
    disk_close(file);
    return size;
}

static Status copy_bytes(DiskFile *from, DiskFile *to, uint64_t size) {
    enum { PIECE = 1024 * 1024 };
    char *piece = mem_alloc(PIECE);
    Status status = OK;
    for (uint64_t at = 0; at < size && status == OK; at += PIECE) {
        size_t len = size - at < PIECE ? (size_t)(size - at) : PIECE;
        status = disk_read(from, piece, len, at);
        struct iovec part = {piece, len};
        if (status == OK)
            status = disk_write(to, &part, 1, at);
    }
    mem_free(piece);
    return status == OK ? disk_sync(to) : status;
}

/* ERR_NOT_FOUND: the one to be copied went meanwhile. */
static Status copy_file(const char *from_path, const char *to_path, const char *temporary,
                        uint64_t *out_bytes) {
    DiskFile *from, *to;
    uint64_t size = 0;
    Status status = disk_open(from_path, DISK_READ, &from);
    if (status != OK)
        return status;
    status = disk_size(from, &size);
    if (status == OK)
        status = disk_open(temporary, DISK_WRITE | DISK_CREATE | DISK_TRUNCATE, &to);
    if (status == OK) {
        status = copy_bytes(from, to, size);
        disk_close(to);
    }
    disk_close(from);
    if (status == OK)
        status = disk_rename(temporary, to_path);
    if (status == ERR_NOT_FOUND)
        return ERR_IO;
    if (status == OK)
        *out_bytes += size;
    return status;
}

static void on_folder_file(void *cookie, const char *name, bool is_dir) {
    FolderCopy *copy = cookie;
    if (is_dir || copy->status != OK || strstr(name, ".tmp"))
        return;
    CLEANUP(path_free) char *from = path_join(copy->from, name);
    CLEANUP(path_free) char *to = path_join(copy->to, name);
    uint64_t size = size_of(from);
    if (size == UINT64_MAX || size == size_of(to))
        return;
    CLEANUP(path_free) char *temporary = path_join(copy->to, "copy.tmp");
    Status status = copy_file(from, to, temporary, &copy->bytes);
    if (status != ERR_NOT_FOUND)
        copy->status = status;
}

Status store_scan_copy_folder(const StoreScan *scan, const char *name, const char *to_dir,
                              uint64_t *out_bytes) {
    CLEANUP(path_free) char *from = path_join(scan->dir, name);
    CLEANUP(path_free) char *to = path_join(to_dir, name);
    FolderCopy copy = {.from = from, .to = to};
    Status status = disk_make_dirs(to);
    if (status == OK)
        status = disk_list(from, on_folder_file, &copy);
    if (status == ERR_NOT_FOUND)
        return OK;
    *out_bytes += copy.bytes;
    if (status == OK)
        status = copy.status;
    return status == OK ? disk_sync_dir(to) : status;
}
