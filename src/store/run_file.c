#include "store/run_file.h"

#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/counter.h"
#include "store/path.h"

enum {
    WRITE_BYTES = 1024 * 1024,
    /* Synced in steps, so that the log's syncs never find much of this in their way. */
    SYNC_BYTES = 8 * 1024 * 1024,
};
_Static_assert(WRITE_BYTES % RUN_SUM_BYTES == 0, "whole checksums in each write");

Status run_file_open(const char *path, const Cipher *cipher, RunFile *out) {
    *out = (RunFile){.written = RUN_HEAD_BYTES};
    if (cipher) {
        Status status = cipher_head_new(cipher, 0, &out->cipher_head);
        if (status == OK)
            status = cipher_stream_open(cipher, CIPHER_RUN, &out->cipher_head, &out->stream);
        if (status != OK)
            return status;
    }
    out->temporary = path_join(path, "");
    out->temporary[strlen(out->temporary) - 1] = '~'; /* "<path>/" was joined */
    Status status = disk_open(out->temporary, DISK_WRITE | DISK_CREATE | DISK_TRUNCATE, &out->file);
    if (status != OK) {
        cipher_stream_free(out->stream);
        path_free(out->temporary);
        return status;
    }
    out->piece = mem_alloc(WRITE_BYTES);
    return OK;
}

static void flush(RunFile *out) {
    if (out->stream)
        cipher_stream_apply(out->stream, out->written, out->piece, out->piece, out->len);
    for (size_t at = 0; at < out->len; at += RUN_SUM_BYTES) {
        size_t len = out->len - at < RUN_SUM_BYTES ? out->len - at : RUN_SUM_BYTES;
        vec_push(&out->sums, hash_checksum(out->piece + at, len));
    }
    struct iovec part = {out->piece, out->len};
    if (out->status == OK && out->is_hurried && counter_get(out->is_hurried))
        out->status = ERR_CLOSED;
    if (out->status == OK && out->len)
        out->status = disk_write(out->file, &part, 1, out->written);
    out->written += out->len;
    out->len = 0;
    if (out->status == OK && out->written - out->synced >= SYNC_BYTES) {
        out->status = disk_sync(out->file);
        out->synced = out->written;
    }
}

void run_file_put(RunFile *out, const void *bytes, size_t len) {
    const char *from = bytes;
    while (len) {
        size_t room = WRITE_BYTES - out->len, n = len < room ? len : room;
        memcpy(out->piece + out->len, from, n);
        out->len += n;
        from += n;
        len -= n;
        if (out->len == WRITE_BYTES)
            flush(out);
    }
}

uint64_t run_file_position(const RunFile *out) {
    return out->written + out->len;
}

void run_file_begin_section(RunFile *out, RunSectionKind kind) {
    static const char zeros[8];
    run_file_put(out, zeros, -run_file_position(out) & 7);
    out->head.sections[kind].at = run_file_position(out);
}

void run_file_end_section(RunFile *out, RunSectionKind kind) {
    out->head.sections[kind].bytes = run_file_position(out) - out->head.sections[kind].at;
}

void run_file_put_section(RunFile *out, RunSectionKind kind, const void *bytes, size_t len) {
    run_file_begin_section(out, kind);
    if (len)
        run_file_put(out, bytes, len);
    run_file_end_section(out, kind);
}

void run_file_put_sums(RunFile *out) {
    flush(out);
    cipher_stream_free(out->stream); /* what follows is in clear */
    out->stream = NULL;
    size_t len = out->sums.len * sizeof(uint64_t);
    char *sums = mem_copy(out->sums.at, len);
    out->head.body_end = out->written;
    out->head.sums_checksum = hash_checksum(sums, len);
    run_file_put(out, sums, len);
    mem_free(sums);
}

/* Makes it a run. */
static Status write_head(RunFile *out) {
    RunHead *head = &out->head;
    memcpy(head->magic, "HWRUNIDX", sizeof head->magic);
    bool is_encrypted = out->cipher_head.kind != CIPHER_NONE;
    head->version = is_encrypted ? RUN_VERSION_ENCRYPTED : RUN_VERSION;
    head->file_bytes = out->written;
    head->head_checksum = hash_checksum(head, sizeof *head - sizeof head->head_checksum);
    Status status = out->status;
    char *page = mem_zalloc(RUN_HEAD_BYTES);
    memcpy(page, head, sizeof *head);
    memcpy(page + RUN_CIPHER_AT, &out->cipher_head, sizeof out->cipher_head);
    struct iovec first = {page, RUN_HEAD_BYTES};
    if (status == OK)
        status = disk_write(out->file, &first, 1, 0);
    if (status == OK)
        status = disk_sync(out->file);
    mem_free(page);
    return status;
}

Status run_file_finish(RunFile *out, const char *dir, const char *path) {
    flush(out);
    Status status = write_head(out);
    disk_close(out->file);
    if (status == OK)
        status = disk_rename(out->temporary, path);
    if (status == OK)
        status = disk_sync_dir(dir);
    else if (disk_remove(out->temporary) != OK)
        LOG_DEBUG("unfinished run not removed", "path=%s", out->temporary);
    cipher_stream_free(out->stream);
    path_free(out->temporary);
    vec_done(&out->sums);
    mem_free(out->piece);
    return status;
}
