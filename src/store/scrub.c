#include "store/scrub.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/io_memory.h"
#include "store/bad.h"
#include "store/checkpoint.h"
#include "store/key_file.h"
#include "store/log_private.h"
#include "store/path.h"
#include "store/scrub_private.h"
#include "store/super.h"

Scrub *scrub_new(Log *log, const char *dir) {
    Scrub *scrub = mem_zalloc(sizeof *scrub);
    scrub->log = log;
    scrub->dir = mem_copy(dir, strlen(dir));
    scrub->bad_dir = path_join(dir, "bad");
    scrub->sum = hash_sum_new();
    return scrub;
}

static void end(Scrub *scrub) {
    disk_close(scrub->file);
    disk_close(scrub->tail);
    path_free(scrub->path);
    io_memory_free(scrub->piece, SCRUB_BUFFER_BYTES);
    io_memory_free(scrub->again, SCRUB_BUFFER_BYTES);
    scrub_run_end(scrub);
    scrub->file = scrub->tail = NULL;
    scrub->path = scrub->piece = scrub->again = NULL;
}

void scrub_free(Scrub *scrub) {
    if (scrub == NULL)
        return;
    end(scrub);
    scrub_damages_done(&scrub->damages);
    hash_sum_free(scrub->sum);
    path_free(scrub->bad_dir);
    mem_free(scrub->dir);
    mem_free(scrub);
}

/* ---- which files ---- */

static void on_file(void *cookie, const char *name, bool is_dir) {
    ScrubFile file = {.kind = SCRUB_CHECKPOINT};
    if (!is_dir && path_number_of(name, "checkpoint.", "", &file.number))
        vec_push((ScrubFiles *)cookie, file);
}

/* "<group>.<generation>.run" */
static void on_run(void *cookie, const char *name, bool is_dir) {
    ScrubFile file = {.kind = SCRUB_RUN};
    const char *dot = strchr(name, '.');
    char group[24];
    if (is_dir || dot == NULL || (size_t)(dot - name) >= sizeof group)
        return;
    memcpy(group, name, (size_t)(dot - name));
    group[dot - name] = '\0';
    if (path_number_of(group, "", "", &file.group) &&
        path_number_of(dot, ".", ".run", &file.number))
        vec_push((ScrubFiles *)cookie, file);
}

static int by_number(const void *a, const void *b) {
    const ScrubFile *x = a, *y = b;
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    if (x->number != y->number)
        return x->number < y->number ? -1 : 1;
    return x->group < y->group ? -1 : x->group > y->group;
}

Status scrub_list(Scrub *scrub, ScrubFiles *out_files) {
    CLEANUP(path_free) char *runs = path_join(scrub->dir, "idx");
    ScrubFile super = {.kind = SCRUB_SUPER};
    vec_push(out_files, super);
    Status status = disk_list(scrub->dir, on_file, out_files);
    if (status == OK)
        status = disk_list(runs, on_run, out_files);
    if (out_files->len > 1)
        qsort(out_files->at, out_files->len, sizeof *out_files->at, by_number);
    return status == ERR_NOT_FOUND ? OK : status;
}

bool scrub_next_segment(const Log *log, uint64_t from, ScrubFile *out_file) {
    uint64_t head = place_segment(log_head(log));
    for (uint64_t number = from < log->base ? log->base : from; number < head; number++) {
        uint64_t bytes = log_size_of(log, number);
        if (bytes == 0)
            continue;
        *out_file = (ScrubFile){.kind = SCRUB_SEGMENT, .number = number, .bytes = bytes};
        return true;
    }
    return false;
}

/* ---- reading ---- */

static char *path_of(const Scrub *scrub, const ScrubFile *file) {
    char name[96];
    switch (file->kind) {
    case SCRUB_CHECKPOINT:
        return path_numbered(scrub->dir, "checkpoint.", file->number, "");
    case SCRUB_RUN:
        (void)snprintf(name, sizeof name, "idx/%llu.%llu.run", (unsigned long long)file->group,
                       (unsigned long long)file->number);
        break;
    case SCRUB_SEGMENT:
        (void)snprintf(name, sizeof name, "log/%llu.log", (unsigned long long)file->number);
        break;
    case SCRUB_SUPER:
        return path_join(scrub->dir, "SUPER.a");
    }
    return path_join(scrub->dir, name);
}

/* Page by page, where one is bad. */
static bool read_pages(DiskFile *file, char *to, uint64_t offset, size_t len) {
    if (disk_read(file, to, len, offset) == OK)
        return true;
    bool is_given = true;
    for (size_t at = 0; at < len; at += BLOCK_ALIGN)
        if (disk_read(file, to + at, BLOCK_ALIGN, offset + at) != OK) {
            memset(to + at, 0, BLOCK_ALIGN);
            is_given = false;
        }
    return is_given;
}

/* What is behind the last whole page cannot be read past the page cache. */
static bool read_tail(Scrub *scrub, char *to, uint64_t offset, size_t len) {
    if (scrub->tail == NULL && disk_open(scrub->path, DISK_READ, &scrub->tail) != OK)
        scrub->tail = NULL;
    if (scrub->tail && disk_read(scrub->tail, to, len, offset) == OK)
        return true;
    memset(to, 0, len);
    return false;
}

const char *scrub_read(Scrub *scrub, char *into, uint64_t offset, size_t len, bool *out_is_given) {
    uint64_t start = offset & ~(uint64_t)(BLOCK_ALIGN - 1);
    uint64_t whole = scrub->size & ~(uint64_t)(BLOCK_ALIGN - 1), end_at = offset + len;
    uint64_t pages_end = (end_at + BLOCK_ALIGN - 1) & ~(uint64_t)(BLOCK_ALIGN - 1);
    ASSERT(len <= SCRUB_PIECE_BYTES);
    if (pages_end > whole)
        pages_end = whole > start ? whole : start;
    *out_is_given = true;
    if (pages_end > start)
        *out_is_given = read_pages(scrub->file, into, start, pages_end - start);
    if (end_at > pages_end) {
        uint64_t from = pages_end > start ? pages_end : start;
        uint64_t there = end_at < scrub->size ? end_at : scrub->size;
        if (there > from)
            *out_is_given &= read_tail(scrub, into + (from - start), from, there - from);
        else
            there = from;
        memset(into + (there - start), 0, end_at - there);
    }
    return into + (offset - start);
}

bool scrub_is_there(const Scrub *scrub) {
    DiskFile *file;
    if (disk_open(scrub->path, DISK_READ, &file) != OK)
        return false;
    disk_close(file);
    return true;
}

/* ---- SUPER, checkpoints ---- */

/* It may just be written: then it is there at the second look. */
static void check_key(Scrub *scrub, const Super *super) {
    WrappedKey key;
    if (super->key.kind != CIPHER_NONE && key_file_read(scrub->dir, &key) != OK &&
        key_file_read(scrub->dir, &key) != OK)
        scrub_note(scrub, &scrub->current, 0, sizeof key, "copy of the key", NULL);
}

static void check_super(Scrub *scrub) {
    Super super;
    bool is_half = false;
    Status status = super_read(scrub->dir, &super, &is_half);
    if (status == OK)
        check_key(scrub, &super);
    if (status == OK && !is_half)
        return;
    /* It may just be written. */
    status = super_read(scrub->dir, &super, &is_half);
    if (status != OK || is_half)
        scrub_note(scrub, &scrub->current, 0, SUPER_BYTES,
                   status == OK ? "one of two copies" : "both copies", NULL);
}

static void note_checkpoint(Scrub *scrub) {
    if (!scrub_is_there(scrub))
        return;
    scrub_note(scrub, &scrub->current, 0, scrub->size, "checkpoint", NULL);
    checkpoint_set_aside(scrub->dir, scrub->current.number);
}

static void begin_checkpoint(Scrub *scrub) {
    bool is_given;
    Slice head = {0};
    if (scrub->size >= CHECKPOINT_HEAD_BYTES)
        head = slice_from(scrub_read(scrub, scrub->piece, 0, CHECKPOINT_HEAD_BYTES, &is_given),
                          CHECKPOINT_HEAD_BYTES);
    Status status = checkpoint_check_head(head, scrub->size, &scrub->expected_sum);
    scrub->at = status == OK ? CHECKPOINT_HEAD_BYTES : scrub->size;
    hash_sum_begin(scrub->sum);
    if (status == ERR_CORRUPT)
        note_checkpoint(scrub);
}

static bool step_checkpoint(Scrub *scrub, uint64_t *out_bytes) {
    uint64_t left = scrub->size - scrub->at;
    size_t len = left < SCRUB_PIECE_BYTES ? (size_t)left : SCRUB_PIECE_BYTES;
    bool is_given;
    *out_bytes = len;
    if (len == 0)
        return true;
    hash_sum_add(scrub->sum, scrub_read(scrub, scrub->piece, scrub->at, len, &is_given), len);
    scrub->at += len;
    if (scrub->at < scrub->size)
        return false;
    if (hash_sum_end(scrub->sum) != scrub->expected_sum)
        note_checkpoint(scrub);
    return true;
}

/* ---- one file ---- */

static Status open_file(Scrub *scrub) {
    scrub->path = path_of(scrub, &scrub->current);
    scrub->piece = io_memory_new(SCRUB_BUFFER_BYTES);
    Status status = disk_open(scrub->path, DISK_READ | DISK_DIRECT, &scrub->file);
    if (status == OK)
        status = disk_size(scrub->file, &scrub->size);
    /* What stands behind a seal is nobody's. */
    if (status == OK && scrub->current.kind == SCRUB_SEGMENT &&
        log_size_of(scrub->log, scrub->current.number) < scrub->size)
        scrub->size = log_size_of(scrub->log, scrub->current.number);
    return status;
}

Status scrub_begin(Scrub *scrub, const ScrubFile *file) {
    end(scrub);
    scrub->current = *file;
    scrub->at = scrub->size = 0;
    if (file->kind == SCRUB_SUPER)
        return OK;
    Status status = open_file(scrub);
    if (status == OK) {
        scrub->current.bytes = scrub->size;
        if (file->kind == SCRUB_CHECKPOINT)
            begin_checkpoint(scrub);
        else if (file->kind == SCRUB_SEGMENT)
            scrub_segment_begin(scrub);
        else
            status = scrub_run_begin(scrub);
    }
    if (status != OK)
        end(scrub);
    return status;
}

bool scrub_step(Scrub *scrub, uint64_t *out_bytes) {
    bool is_done = true;
    *out_bytes = 0;
    switch (scrub->current.kind) {
    case SCRUB_SUPER:
        check_super(scrub);
        *out_bytes = 2 * SUPER_BYTES;
        break;
    case SCRUB_CHECKPOINT:
        is_done = step_checkpoint(scrub, out_bytes);
        break;
    case SCRUB_RUN:
        is_done = scrub_run_step(scrub, out_bytes);
        break;
    case SCRUB_SEGMENT:
        is_done = scrub_segment_step(scrub, out_bytes);
        break;
    }
    if (is_done)
        end(scrub);
    return is_done;
}

/* ---- findings ---- */

void scrub_note(Scrub *scrub, const ScrubFile *file, uint64_t offset, uint64_t bytes,
                const char *what, Shared *content) {
    ScrubDamage damage = {
        .file = *file, .offset = offset, .bytes = bytes, .what = what, .content = content};
    vec_push(&scrub->damages, damage);
}

void scrub_take(Scrub *scrub, ScrubDamages *out_damages) {
    *out_damages = scrub->damages;
    scrub->damages = (ScrubDamages){0};
}

void scrub_damages_done(ScrubDamages *damages) {
    for (size_t i = 0; i < damages->len; i++)
        shared_unref(damages->at[i].content);
    vec_done(damages);
}

/* What is damaged begins where a block does, and a record lies in one block. */
static bool hits_unsized(const ScrubDamage *damage, Place place, Place start, Place stop) {
    Record record;
    size_t used;
    if (place < start || place >= stop)
        return false;
    if (damage->content == NULL)
        return true;
    Slice bytes = slice_from(shared_bytes(damage->content) + (place - start), stop - place);
    return record_parse(bytes, &record, &used) != OK;
}

bool scrub_damage_hits(const ScrubDamage *damage, Place place, size_t record_bytes_) {
    Place start = place_of(damage->file.number, damage->offset), stop = start + damage->bytes;
    Record record;
    size_t used;
    if (damage->file.kind == SCRUB_SEGMENT && record_bytes_ == 0)
        return hits_unsized(damage, place, start, stop);
    if (damage->file.kind != SCRUB_SEGMENT || place + record_bytes_ <= start || place >= stop)
        return false;
    if (damage->content == NULL || place < start || place + record_bytes_ > stop)
        return true;
    Slice bytes = slice_from(shared_bytes(damage->content) + (place - start), record_bytes_);
    return record_parse(bytes, &record, &used) != OK || used != record_bytes_;
}
