#include "disk_sim.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/rand.h"
#include "base/vec.h"

typedef struct Inode {
    char *now, *safe; /* as written; as it would be after a power cut that loses all */
    uint64_t now_len, safe_len, cap;
    bool *dirty; /* by sector */
    unsigned names;
} Inode;

typedef struct Entry {
    char *path;
    Inode *inode;
} Entry;

typedef VEC(Entry) Entries;

/* A change of names that may be forgotten. from NULL: made; to NULL: removed. */
typedef struct NameChange {
    char *from, *to;
    Inode *inode;
} NameChange;

struct DiskFile {
    Inode *inode;
    uint64_t life;
    bool is_direct;
    char *lock_path;
};

static struct {
    Rand rand;
    uint64_t capacity, stop_after, fail_after, fail_count, life;
    uint64_t reads_good, reads_bad; /* before reads fail, that fail */
    bool is_stopped, is_lying;
    Entries now, safe;
    VEC(NameChange) changes;
    VEC(Inode *) inodes;
    VEC(char *) dirs;
    VEC(char *) locks;
} disk;

/* --- names --- */

static char *copy_text(const char *text) {
    return text ? mem_copy(text, strlen(text)) : NULL;
}

static Entry *find(Entries *entries, const char *path) {
    for (size_t i = 0; i < entries->len; i++)
        if (strcmp(entries->at[i].path, path) == 0)
            return &entries->at[i];
    return NULL;
}

static void unlink_name(Entries *entries, const char *path) {
    Entry *entry = find(entries, path);
    if (entry == NULL)
        return;
    entry->inode->names--;
    mem_free(entry->path);
    vec_remove_unordered(entries, entry - entries->at);
}

static void link_name(Entries *entries, const char *path, Inode *inode) {
    unlink_name(entries, path);
    Entry entry = {copy_text(path), inode};
    inode->names++;
    vec_push(entries, entry);
}

static void apply_change(Entries *entries, const NameChange *change) {
    if (change->from)
        unlink_name(entries, change->from);
    if (change->to)
        link_name(entries, change->to, change->inode);
}

static void change_name(const char *from, const char *to, Inode *inode) {
    NameChange change = {copy_text(from), copy_text(to), inode};
    apply_change(&disk.now, &change);
    vec_push(&disk.changes, change);
}

static void drop_change(size_t i) {
    mem_free(disk.changes.at[i].from);
    mem_free(disk.changes.at[i].to);
    vec_remove_ordered(&disk.changes, i);
}

static bool is_in_dir(const char *path, const char *dir) {
    size_t len = strlen(dir);
    return path && strncmp(path, dir, len) == 0 && path[len] == '/' &&
           strchr(path + len + 1, '/') == NULL;
}

static void sync_names(const char *dir) {
    for (size_t i = 0; i < disk.changes.len;) {
        const NameChange *change = &disk.changes.at[i];
        if (!is_in_dir(change->from, dir) && !is_in_dir(change->to, dir)) {
            i++;
            continue;
        }
        apply_change(&disk.safe, change);
        drop_change(i);
    }
}

/* --- bytes --- */

static Inode *new_inode(void) {
    Inode *inode = mem_zalloc(sizeof *inode);
    vec_push(&disk.inodes, inode);
    return inode;
}

static void grow(Inode *inode, uint64_t len) {
    if (len > inode->cap) {
        uint64_t cap = inode->cap ? inode->cap : 4096;
        while (cap < len)
            cap *= 2;
        uint64_t old = inode->cap;
        inode->now = mem_realloc(inode->now, cap);
        inode->safe = mem_realloc(inode->safe, cap);
        inode->dirty = mem_realloc(inode->dirty, cap / SECTOR_BYTES);
        memset(inode->now + old, 0, cap - old);
        memset(inode->safe + old, 0, cap - old);
        memset(inode->dirty + old / SECTOR_BYTES, 0, (cap - old) / SECTOR_BYTES);
        inode->cap = cap;
    }
    if (len > inode->now_len)
        inode->now_len = len;
}

static void write_bytes(Inode *inode, const char *bytes, uint64_t len, uint64_t offset) {
    grow(inode, offset + len);
    if (len == 0)
        return;
    memcpy(inode->now + offset, bytes, len);
    for (uint64_t sector = offset / SECTOR_BYTES; sector * SECTOR_BYTES < offset + len; sector++)
        inode->dirty[sector] = true;
}

static void sync_bytes(Inode *inode) {
    if (inode->now_len)
        memcpy(inode->safe, inode->now, inode->now_len);
    inode->safe_len = inode->now_len;
    if (inode->cap)
        memset(inode->dirty, 0, inode->cap / SECTOR_BYTES);
}

/* Sector by sector: still to come, there, or forgotten: by the device, or, where the system keeps
 * pages, by the system, which goes on showing them. */
static void fail_sync(Inode *inode, bool is_direct) {
    bool is_kept_once = false;
    for (uint64_t i = 0; i < inode->cap / SECTOR_BYTES; i++) {
        char *now = inode->now + i * SECTOR_BYTES, *safe = inode->safe + i * SECTOR_BYTES;
        uint64_t what = inode->dirty[i] ? rand_below(&disk.rand, 3) : 0;
        if (what == 0)
            continue;
        inode->dirty[i] = false;
        is_kept_once |= what == 1;
        if (what == 1)
            memcpy(safe, now, SECTOR_BYTES);
        else if (is_direct)
            memcpy(now, safe, SECTOR_BYTES);
    }
    if (is_kept_once)
        inode->safe_len = inode->now_len;
}

typedef enum Loss { LOSE_ALL, LOSE_NONE, LOSE_SOME, LOSE_END } Loss;

static void cut_inode(Inode *inode, Loss loss) {
    uint64_t sectors = inode->cap / SECTOR_BYTES;
    uint64_t end = sectors ? rand_below(&disk.rand, sectors + 1) : 0;
    bool is_kept_once = false;
    for (uint64_t i = 0; i < sectors; i++) {
        bool is_kept = loss == LOSE_NONE || (loss == LOSE_SOME && rand_below(&disk.rand, 2)) ||
                       (loss == LOSE_END && i < end);
        if (inode->dirty[i] && is_kept) {
            memcpy(inode->safe + i * SECTOR_BYTES, inode->now + i * SECTOR_BYTES, SECTOR_BYTES);
            is_kept_once = true;
        }
    }
    if (is_kept_once)
        inode->safe_len = inode->now_len;
    if (inode->cap) {
        memcpy(inode->now, inode->safe, inode->cap);
        memset(inode->dirty, 0, sectors);
    }
    inode->now_len = inode->safe_len;
}

/* --- control --- */

static void free_entries(Entries *entries) {
    for (size_t i = 0; i < entries->len; i++)
        mem_free(entries->at[i].path);
    vec_done(entries);
}

void disk_sim_done(void) {
    free_entries(&disk.now);
    free_entries(&disk.safe);
    while (disk.changes.len)
        drop_change(disk.changes.len - 1);
    vec_done(&disk.changes);
    for (size_t i = 0; i < disk.inodes.len; i++) {
        mem_free(disk.inodes.at[i]->now);
        mem_free(disk.inodes.at[i]->safe);
        mem_free(disk.inodes.at[i]->dirty);
        mem_free(disk.inodes.at[i]);
    }
    vec_done(&disk.inodes);
    for (size_t i = 0; i < disk.dirs.len; i++)
        mem_free(disk.dirs.at[i]);
    vec_done(&disk.dirs);
    for (size_t i = 0; i < disk.locks.len; i++)
        mem_free(disk.locks.at[i]);
    vec_done(&disk.locks);
}

void disk_sim_reset(uint64_t seed, uint64_t capacity_bytes) {
    disk_sim_done();
    rand_init(&disk.rand, seed);
    disk.capacity = capacity_bytes;
    disk.stop_after = disk.fail_after = disk.reads_bad = 0;
    disk.is_stopped = false;
    disk.life++;
}

void disk_sim_stop_now(void) {
    disk.is_stopped = true;
}

void disk_sim_fail_reads(uint64_t after, uint64_t times) {
    disk.reads_good = after ? after - 1 : 0;
    disk.reads_bad = after ? times : 0;
}

void disk_sim_lie(bool is_lying) {
    disk.is_lying = is_lying;
}

void disk_sim_stop_after(uint64_t calls) {
    disk.stop_after = calls;
}

bool disk_sim_is_stopped(void) {
    return disk.is_stopped;
}

void disk_sim_fail_after(uint64_t calls) {
    disk_sim_fail_for(calls, 1);
}

void disk_sim_fail_for(uint64_t calls, uint64_t count) {
    disk.fail_after = calls;
    disk.fail_count = calls ? count : 0;
}

void disk_sim_set_capacity(uint64_t capacity_bytes) {
    disk.capacity = capacity_bytes;
}

static void go_on(void) {
    disk.is_stopped = false;
    disk.stop_after = disk.fail_after = disk.reads_bad = 0;
    disk.life++;
    for (size_t i = 0; i < disk.locks.len; i++)
        mem_free(disk.locks.at[i]);
    vec_clear(&disk.locks);
}

void disk_sim_kill(void) {
    go_on();
}

void disk_sim_power_cut(void) {
    Loss loss = (Loss)rand_below(&disk.rand, 4);
    for (size_t i = 0; i < disk.inodes.len; i++)
        cut_inode(disk.inodes.at[i], loss);
    uint64_t kept = rand_below(&disk.rand, disk.changes.len + 1);
    for (uint64_t i = 0; i < kept; i++)
        apply_change(&disk.safe, &disk.changes.at[i]);
    while (disk.changes.len)
        drop_change(disk.changes.len - 1);
    while (disk.now.len)
        unlink_name(&disk.now, disk.now.at[0].path);
    for (size_t i = 0; i < disk.safe.len; i++)
        link_name(&disk.now, disk.safe.at[i].path, disk.safe.at[i].inode);
    go_on();
}

uint64_t disk_sim_used(void) {
    uint64_t used = 0;
    for (size_t i = 0; i < disk.now.len; i++)
        used += disk.now.at[i].inode->now_len;
    return used;
}

bool disk_sim_flip(const char *path, uint64_t offset, unsigned bit) {
    Entry *entry = find(&disk.now, path);
    if (entry == NULL || offset >= entry->inode->now_len)
        return false;
    entry->inode->now[offset] ^= (char)(1u << bit);
    entry->inode->safe[offset] ^= (char)(1u << bit);
    return true;
}

void disk_sim_put(const char *path, const void *bytes, uint64_t len) {
    Inode *inode = new_inode();
    write_bytes(inode, bytes, len, 0);
    sync_bytes(inode);
    link_name(&disk.now, path, inode);
    link_name(&disk.safe, path, inode);
}

const char *disk_sim_bytes(const char *path, uint64_t *out_len) {
    Entry *entry = find(&disk.now, path);
    if (entry == NULL)
        return NULL;
    *out_len = entry->inode->now_len;
    return entry->inode->now;
}

const char *disk_sim_name(size_t n) {
    return n < disk.now.len ? disk.now.at[n].path : NULL;
}

/* --- io/disk.h --- */

typedef enum Turn { TURN_GO, TURN_LAST, TURN_FAIL } Turn;

/* Called by each changing call: what becomes of it. */
static Turn begin_change(bool may_fail) {
    if (disk.is_stopped)
        return TURN_FAIL;
    if (may_fail && disk.fail_after && --disk.fail_after == 0) {
        disk.fail_after = --disk.fail_count > 0;
        return TURN_FAIL;
    }
    if (disk.stop_after && --disk.stop_after == 0) {
        disk.is_stopped = true;
        return TURN_LAST;
    }
    return TURN_GO;
}

static bool is_stale(const DiskFile *file) {
    return disk.is_stopped || file->life != disk.life;
}

Status disk_open(const char *path, int flags, DiskFile **out_file) {
    if (disk.is_stopped)
        return ERR_IO;
    Entry *entry = find(&disk.now, path);
    if (entry && flags & DISK_EXCLUSIVE)
        return ERR_EXISTS;
    if (entry == NULL && !(flags & DISK_CREATE))
        return ERR_NOT_FOUND;
    Inode *inode = entry ? entry->inode : NULL;
    if (inode == NULL) {
        if (begin_change(false) != TURN_GO)
            return ERR_IO;
        inode = new_inode();
        change_name(NULL, path, inode);
    }
    if (flags & DISK_TRUNCATE && inode->now_len) {
        /* As if it were a new file under the name: what it held is not brought back half. */
        if (begin_change(false) != TURN_GO)
            return ERR_IO;
        inode = new_inode();
        change_name(NULL, path, inode);
    }
    DiskFile *file = mem_zalloc(sizeof *file);
    file->inode = inode;
    file->life = disk.life;
    file->is_direct = flags & DISK_DIRECT;
    *out_file = file;
    return OK;
}

void disk_close(DiskFile *file) {
    mem_free(file);
}

Status disk_read(DiskFile *file, void *to, size_t len, uint64_t offset) {
    if (is_stale(file))
        return ERR_IO;
    if (disk.reads_bad && disk.reads_good)
        disk.reads_good--;
    else if (disk.reads_bad) {
        disk.reads_bad--;
        return ERR_IO;
    }
    if (offset + len > file->inode->now_len)
        return ERR_RANGE;
    if (len)
        memcpy(to, file->inode->now + offset, len);
    for (uint64_t at = 0; file->is_direct && at < len; at += SECTOR_BYTES)
        if (!file->inode->dirty[(offset + at) / SECTOR_BYTES])
            memcpy((char *)to + at, file->inode->safe + offset + at, SECTOR_BYTES);
    return OK;
}

void disk_forget(DiskFile *file) {
    Inode *inode = file->inode;
    for (uint64_t i = 0; i < inode->cap / SECTOR_BYTES && !is_stale(file); i++)
        if (!inode->dirty[i])
            memcpy(inode->now + i * SECTOR_BYTES, inode->safe + i * SECTOR_BYTES, SECTOR_BYTES);
}

void disk_prefetch(DiskFile *file, size_t len, uint64_t offset) {
    (void)file;
    (void)len;
    (void)offset;
}

Status disk_read_cached(DiskFile *file, void *to, size_t len, uint64_t offset) {
    if (rand_below(&disk.rand, 2))
        return ERR_AGAIN;
    return disk_read(file, to, len, offset);
}

Status disk_write(DiskFile *file, const struct iovec *parts, int part_count, uint64_t offset) {
    uint64_t len = 0, used = disk_sim_used();
    for (int i = 0; i < part_count; i++)
        len += parts[i].iov_len;
    if (file->life != disk.life)
        return ERR_IO;
    uint64_t more = offset + len > file->inode->now_len ? offset + len - file->inode->now_len : 0;
    if (disk.capacity && more && used + more > disk.capacity)
        return ERR_FULL;
    bool was_stopped = disk.is_stopped;
    Turn turn = begin_change(true);
    if (was_stopped)
        return ERR_IO;
    char *bytes = mem_alloc(len);
    uint64_t at = 0;
    for (int i = 0; i < part_count; i++) {
        if (parts[i].iov_len)
            memcpy(bytes + at, parts[i].iov_base, parts[i].iov_len);
        at += parts[i].iov_len;
    }
    if (turn != TURN_GO) { /* any part of it */
        len = rand_below(&disk.rand, len / SECTOR_BYTES + 1) * SECTOR_BYTES;
        if (len)
            write_bytes(file->inode, bytes, len, offset);
    } else {
        write_bytes(file->inode, bytes, len, offset);
    }
    mem_free(bytes);
    return turn == TURN_GO ? OK : ERR_IO;
}

Status disk_sync(DiskFile *file) {
    if (is_stale(file))
        return ERR_IO;
    bool was_stopped = disk.is_stopped;
    Turn turn = begin_change(true);
    if (turn == TURN_GO && !disk.is_lying)
        sync_bytes(file->inode);
    else if (turn == TURN_FAIL && !was_stopped)
        fail_sync(file->inode, file->is_direct);
    return turn == TURN_GO ? OK : ERR_IO;
}

Status disk_map(DiskFile *file, uint64_t bytes, const void **out_bytes) {
    char *copy = mem_alloc(bytes);
    Status status = disk_read(file, copy, bytes, 0);
    if (status) {
        mem_free(copy);
        return status;
    }
    *out_bytes = copy;
    return OK;
}

void disk_unmap(const void *mapped, uint64_t bytes) {
    (void)bytes;
    mem_free((void *)(uintptr_t)mapped);
}

void disk_map_forget(const void *mapped, uint64_t bytes) {
    (void)mapped;
    (void)bytes;
}

Status disk_size(DiskFile *file, uint64_t *out_bytes) {
    if (is_stale(file))
        return ERR_IO;
    *out_bytes = file->inode->now_len;
    return OK;
}

Status disk_cut(DiskFile *file, uint64_t bytes) {
    bool was_stopped = disk.is_stopped || is_stale(file);
    Turn turn = begin_change(true);
    bool is_done = turn == TURN_GO || (turn == TURN_LAST && rand_below(&disk.rand, 2));
    if (!was_stopped && is_done && bytes < file->inode->now_len)
        file->inode->now_len = bytes;
    return turn == TURN_GO && !was_stopped ? OK : ERR_IO;
}

Status disk_create_zeroed(const char *path, uint64_t bytes) {
    if (disk.is_stopped)
        return ERR_IO;
    if (find(&disk.now, path))
        return ERR_EXISTS;
    if (disk.capacity && disk_sim_used() + bytes > disk.capacity)
        return ERR_FULL;
    Turn turn = begin_change(true);
    if (turn == TURN_FAIL)
        return ERR_IO;
    Inode *inode = new_inode();
    if (turn == TURN_LAST)
        bytes = rand_below(&disk.rand, bytes / SECTOR_BYTES + 1) * SECTOR_BYTES;
    grow(inode, bytes);
    change_name(NULL, path, inode);
    if (turn == TURN_LAST)
        return ERR_IO;
    sync_bytes(inode);
    link_name(&disk.safe, path, inode);
    return OK;
}

Status disk_rename(const char *from, const char *to) {
    if (disk.is_stopped)
        return ERR_IO;
    Entry *entry = find(&disk.now, from);
    if (entry == NULL)
        return ERR_NOT_FOUND;
    Turn turn = begin_change(true);
    if (turn == TURN_GO || rand_below(&disk.rand, 2))
        change_name(from, to, entry->inode);
    return turn == TURN_GO ? OK : ERR_IO;
}

Status disk_remove(const char *path) {
    if (disk.is_stopped)
        return ERR_IO;
    Entry *entry = find(&disk.now, path);
    if (entry == NULL)
        return ERR_NOT_FOUND;
    Turn turn = begin_change(false);
    if (turn == TURN_GO || rand_below(&disk.rand, 2))
        change_name(path, NULL, entry->inode);
    return turn == TURN_GO ? OK : ERR_IO;
}

Status disk_make_dirs(const char *path) {
    if (disk.is_stopped)
        return ERR_IO;
    for (size_t i = 0; i < disk.dirs.len; i++)
        if (strcmp(disk.dirs.at[i], path) == 0)
            return OK;
    vec_push(&disk.dirs, copy_text(path));
    return OK;
}

Status disk_sync_dir(const char *path) {
    Turn turn = begin_change(true);
    if (turn != TURN_GO)
        return ERR_IO;
    sync_names(path);
    return OK;
}

Status disk_list(const char *path, void (*each)(void *cookie, const char *name, bool is_dir),
                 void *cookie) {
    if (disk.is_stopped)
        return ERR_IO;
    size_t len = strlen(path);
    for (size_t i = 0; i < disk.dirs.len; i++)
        if (is_in_dir(disk.dirs.at[i], path))
            each(cookie, disk.dirs.at[i] + len + 1, true);
    for (size_t i = 0; i < disk.now.len; i++)
        if (is_in_dir(disk.now.at[i].path, path))
            each(cookie, disk.now.at[i].path + len + 1, false);
    return OK;
}

Status disk_free_bytes(const char *path, uint64_t *out_free, uint64_t *out_total) {
    (void)path;
    uint64_t total = disk.capacity ? disk.capacity : UINT64_C(1) << 40;
    uint64_t used = disk_sim_used();
    *out_free = used < total ? total - used : 0;
    *out_total = total;
    return disk.is_stopped ? ERR_IO : OK;
}

Status disk_lock(const char *path, DiskFile **out_lock) {
    if (disk.is_stopped)
        return ERR_IO;
    for (size_t i = 0; i < disk.locks.len; i++)
        if (strcmp(disk.locks.at[i], path) == 0)
            return ERR_BUSY;
    vec_push(&disk.locks, copy_text(path));
    DiskFile *lock = mem_zalloc(sizeof *lock);
    lock->life = disk.life;
    lock->lock_path = copy_text(path);
    *out_lock = lock;
    return OK;
}

void disk_unlock(DiskFile *lock) {
    for (size_t i = 0; i < disk.locks.len && lock->life == disk.life; i++)
        if (strcmp(disk.locks.at[i], lock->lock_path) == 0) {
            mem_free(disk.locks.at[i]);
            vec_remove_unordered(&disk.locks, i);
            break;
        }
    mem_free(lock->lock_path);
    mem_free(lock);
}

Status disk_read_file(const char *path, size_t bytes_max, char **out_text, size_t *out_len) {
    uint64_t len;
    const char *bytes = disk_sim_bytes(path, &len);
    if (bytes == NULL)
        return ERR_NOT_FOUND;
    if (len > bytes_max)
        return ERR_RANGE;
    *out_text = mem_copy(bytes, len);
    *out_len = len;
    return OK;
}

Status disk_write_file(const char *path, Slice bytes, unsigned mode) {
    (void)mode;
    if (begin_change(true) != TURN_GO)
        return ERR_IO;
    disk_sim_put(path, bytes.ptr, bytes.len);
    return OK;
}
