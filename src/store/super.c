#include "store/super.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/disk.h"
#include "store/path.h"

static const char MAGIC[8] = {'H', 'O', 'L', 'D', 'W', 'A', 'T', 'R'};

typedef struct SuperPage {
    char magic[8];
    uint32_t version, zero;
    uint64_t generation;
    uint8_t store_id[STORE_ID_BYTES];
    uint64_t epoch, floor, durable, durable_end, hole_end;
    uint8_t zeros[128 - 80];
    WrappedKey key;
    uint8_t zeros_behind_key[2048 - 128 - sizeof(WrappedKey)];
    uint64_t seal_count;
    Seal seals[SUPER_SEALS_MAX];
    uint8_t more_zeros[SUPER_BYTES - 2056 - SUPER_SEALS_MAX * 16 - 8];
    uint64_t checksum;
} SuperPage;
_Static_assert(sizeof(SuperPage) == SUPER_BYTES, "a SUPER file is one page");
_Static_assert(offsetof(SuperPage, key) == 128, "the wrapped key has its place");
_Static_assert(offsetof(SuperPage, seals) == 2056 && sizeof(Seal) == 16, "seals have their place");

typedef enum CopyState { COPY_ABSENT, COPY_GOOD, COPY_BLANK, COPY_DAMAGED, COPY_FOREIGN } CopyState;

static const char *copy_name(uint64_t generation) {
    return generation & 1 ? "SUPER.a" : "SUPER.b";
}

/* A magic with a damaged byte or two is still ours. */
static bool is_magic_like(const char *magic) {
    int equal = 0;
    for (size_t i = 0; i < sizeof MAGIC; i++)
        equal += magic[i] == MAGIC[i];
    return equal >= 6;
}

static CopyState judge(const SuperPage *page, size_t len, Super *out_super) {
    static const char zeros[sizeof MAGIC];
    if (len < sizeof MAGIC || memcmp(page->magic, zeros, sizeof MAGIC) == 0)
        return COPY_BLANK;
    if (!is_magic_like(page->magic))
        return COPY_FOREIGN;
    if (len != sizeof *page || memcmp(page->magic, MAGIC, sizeof MAGIC) != 0 ||
        page->checksum != hash_checksum(page, offsetof(SuperPage, checksum)))
        return COPY_DAMAGED;
    if (page->version < SUPER_VERSION || page->version > SUPER_VERSION_ENCRYPTED ||
        page->seal_count > SUPER_SEALS_MAX)
        return COPY_FOREIGN;
    *out_super = (Super){
        .generation = page->generation,
        .epoch = page->epoch,
        .floor = page->floor,
        .durable = page->durable,
        .durable_end = page->durable_end,
        .hole_end = page->hole_end,
        .key = page->key,
        .seal_count = page->seal_count,
    };
    memcpy(out_super->seals, page->seals, sizeof page->seals);
    memcpy(out_super->store_id, page->store_id, STORE_ID_BYTES);
    return COPY_GOOD;
}

static Status read_copy(const char *dir, const char *name, Super *out_super, CopyState *out_state) {
    CLEANUP(path_free) char *path = path_join(dir, name);
    DiskFile *file;
    Status status = disk_open(path, DISK_READ, &file);
    if (status == ERR_NOT_FOUND) {
        *out_state = COPY_ABSENT;
        return OK;
    }
    if (status != OK)
        return status;
    /* A copy that only the system's memory holds is none: the other one is overwritten next. */
    if (disk_sync(file) != OK)
        LOG_DEBUG("SUPER not synced", "path=%s", path);
    disk_forget(file);
    SuperPage page;
    memset(&page, 0, sizeof page);
    uint64_t size = 0;
    status = disk_size(file, &size);
    size_t len = size > sizeof page ? sizeof page : (size_t)size;
    if (status == OK && len > 0)
        status = disk_read(file, &page, len, 0);
    disk_close(file);
    if (status == OK)
        *out_state = size > sizeof page ? COPY_FOREIGN : judge(&page, len, out_super);
    return status;
}

Status super_read(const char *dir, Super *out_super, bool *out_is_one_damaged) {
    static const char *const names[] = {"SUPER.a", "SUPER.b"};
    Super copies[2];
    CopyState states[2];
    for (int i = 0; i < 2; i++) {
        Status status = read_copy(dir, names[i], &copies[i], &states[i]);
        if (status != OK)
            return status;
    }
    bool is_good[2] = {states[0] == COPY_GOOD, states[1] == COPY_GOOD};
    if (is_good[0] || is_good[1]) {
        int newest = !is_good[0] || (is_good[1] && copies[1].generation > copies[0].generation);
        *out_super = copies[newest];
        *out_is_one_damaged = !is_good[!newest];
        return OK;
    }
    if (states[0] == COPY_FOREIGN || states[1] == COPY_FOREIGN)
        return ERR_VERSION;
    if (states[0] == COPY_DAMAGED || states[1] == COPY_DAMAGED)
        return ERR_CORRUPT;
    return ERR_NOT_FOUND;
}

static Status write_copy(const char *dir, const SuperPage *page, uint64_t generation) {
    CLEANUP(path_free) char *path = path_join(dir, copy_name(generation));
    DiskFile *file;
    Status status = disk_open(path, DISK_WRITE | DISK_CREATE, &file);
    if (status != OK)
        return status;
    struct iovec part = {(void *)(uintptr_t)page, sizeof *page};
    status = disk_write(file, &part, 1, 0);
    if (status == OK)
        status = disk_sync(file);
    disk_close(file);
    return status;
}

Status super_write(const char *dir, Super *super, bool is_first) {
    super->generation++;
    SuperPage *page = mem_zalloc(sizeof *page);
    memcpy(page->magic, MAGIC, sizeof MAGIC);
    page->version = super->key.kind != CIPHER_NONE ? SUPER_VERSION_ENCRYPTED
                    : super->seal_count            ? SUPER_VERSION_SEALED
                                                   : SUPER_VERSION;
    page->generation = super->generation;
    memcpy(page->store_id, super->store_id, STORE_ID_BYTES);
    page->epoch = super->epoch;
    page->floor = super->floor;
    page->durable = super->durable;
    page->durable_end = super->durable_end;
    page->hole_end = super->hole_end;
    page->key = super->key;
    page->seal_count = super->seal_count;
    memcpy(page->seals, super->seals, super->seal_count * sizeof super->seals[0]);
    page->checksum = hash_checksum(page, offsetof(SuperPage, checksum));
    Status status = write_copy(dir, page, super->generation);
    if (status == OK && is_first) {
        status = write_copy(dir, page, super->generation + 1);
        if (status == OK)
            status = disk_sync_dir(dir);
    }
    mem_free(page);
    if (status != OK)
        super->generation--;
    return status;
}

/* --- seals --- */

static void drop_first(Super *super, uint64_t count) {
    super->seal_count -= count;
    memmove(super->seals, super->seals + count, super->seal_count * sizeof super->seals[0]);
}

void super_seal(Super *super, Place at, uint64_t number, uint64_t first_segment) {
    uint64_t gone = 0;
    while (gone < super->seal_count && place_segment(super->seals[gone].at) < first_segment)
        gone++;
    if (gone == 0 && super->seal_count == SUPER_SEALS_MAX)
        gone = 1;
    drop_first(super, gone);
    super->seals[super->seal_count++] = (Seal){at, number};
}

void super_unseal_after(Super *super, uint64_t segment) {
    while (super_sealed_last(super) > segment)
        super->seal_count--;
}

uint64_t super_sealed_at(const Super *super, uint64_t segment) {
    for (uint64_t i = super->seal_count; i-- > 0;)
        if (place_segment(super->seals[i].at) == segment)
            return place_offset(super->seals[i].at);
    return UINT64_MAX;
}

uint64_t super_sealed_last(const Super *super) {
    return super->seal_count ? place_segment(super->seals[super->seal_count - 1].at) : 0;
}

uint64_t super_durable(const Super *super) {
    uint64_t sealed = super->seal_count ? super->seals[super->seal_count - 1].number - 1 : 0;
    return super->durable > sealed ? super->durable : sealed;
}
