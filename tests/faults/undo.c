#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "faults.h"

enum { SECTOR = 512, FILES_MAX = 4096, NAMES_MAX = 65536 };

/* Newest first. */
typedef struct Write {
    struct Write *next;
    uint64_t offset, len, size_before;
    char *before;
} Write;

typedef struct File {
    dev_t device;
    ino_t inode;
    int fd; /* of its own, while there are writes; -1 */
    Write *writes;
} File;

typedef enum NameKind { NAME_CREATE, NAME_REMOVE, NAME_RENAME } NameKind;

typedef struct Name {
    NameKind kind;
    char *from, *to;
    char *saved; /* a link to what the name stood for; NULL: it was free */
} Name;

static File files[FILES_MAX];
static size_t file_count;
static Name names[NAMES_MAX];
static size_t name_count;
static uint64_t write_count, saved_count;

/* --- chance --- */

static uint64_t mix(uint64_t x) {
    x ^= x >> 33;
    x *= UINT64_C(0xff51afd7ed558ccd);
    x ^= x >> 33;
    x *= UINT64_C(0xc4ceb9fe1a85ec53);
    return x ^ x >> 33;
}

/* --- bytes --- */

static File *file_of(int fd, bool is_made) {
    struct stat info;
    if (fstat(fd, &info) != 0)
        return NULL;
    for (size_t i = 0; i < file_count; i++)
        if (files[i].inode == info.st_ino && files[i].device == info.st_dev)
            return &files[i];
    if (!is_made)
        return NULL;
    if (file_count == FILES_MAX)
        abort();
    File *file = &files[file_count++];
    *file = (File){.device = info.st_dev, .inode = info.st_ino, .fd = -1};
    return file;
}

static int open_again(int fd) {
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return real.open(path, O_RDWR | O_CLOEXEC);
}

void undo_note_write(int fd, uint64_t len, off_t offset) {
    struct stat info;
    File *file = file_of(fd, true);
    if (file == NULL || fstat(fd, &info) != 0)
        return;
    if (file->fd < 0)
        file->fd = open_again(fd);
    Write *write = calloc(1, sizeof *write);
    write->offset = (uint64_t)offset;
    write->len = len;
    write->size_before = (uint64_t)info.st_size;
    write->before = calloc(1, len ? len : 1);
    if (real.pread(file->fd, write->before, len, offset) < 0)
        memset(write->before, 0, len);
    write->next = file->writes;
    file->writes = write;
    write_count++;
}

void undo_note_truncate(const char *path) {
    struct stat info;
    int fd = real.open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    if (fstat(fd, &info) == 0)
        undo_note_write(fd, (uint64_t)info.st_size, 0);
    (void)real.close(fd);
}

static void drop_writes(File *file) {
    for (Write *write = file->writes, *next; write; write = next) {
        next = write->next;
        free(write->before);
        free(write);
        write_count--;
    }
    file->writes = NULL;
    if (file->fd >= 0)
        (void)real.close(file->fd);
    file->fd = -1;
}

void undo_synced(int fd) {
    File *file = file_of(fd, false);
    if (file)
        drop_writes(file);
}

typedef enum Loss { LOSE_ALL, LOSE_NONE, LOSE_SECTORS, LOSE_PAGES, LOSE_END, LOSSES } Loss;

static bool is_lost(Loss loss, uint64_t chance, uint64_t offset, uint64_t end) {
    switch (loss) {
    case LOSE_ALL:
        return true;
    case LOSE_NONE:
        return false;
    case LOSE_SECTORS:
        return mix(chance + offset / SECTOR) & 1;
    case LOSE_PAGES:
        return mix(chance + offset / 4096) & 1;
    default:
        return offset >= chance % (end + 1);
    }
}

/* The newest first, so that the bytes of the last sync are written last. */
static void take_back(File *file, uint64_t chance) {
    Loss loss = (Loss)(chance % LOSSES);
    uint64_t end = 0, size = UINT64_MAX;
    bool is_kept = false;
    for (const Write *write = file->writes; write; write = write->next) {
        end = write->offset + write->len > end ? write->offset + write->len : end;
        size = write->size_before;
    }
    for (const Write *write = file->writes; write; write = write->next) {
        for (uint64_t at = 0, len; at < write->len; at += len) {
            uint64_t offset = write->offset + at;
            len = SECTOR - offset % SECTOR;
            len = len < write->len - at ? len : write->len - at;
            bool lost = is_lost(loss, chance >> 8, offset / SECTOR * SECTOR, end);
            is_kept |= !lost;
            if (lost && real.pwrite(file->fd, write->before + at, len, (off_t)offset) < 0)
                perror("faults: undo");
        }
    }
    if (!is_kept && size != UINT64_MAX && ftruncate(file->fd, (off_t)size) != 0)
        perror("faults: undo");
}

void undo_sync_failed(int fd, uint32_t seed) {
    File *file = file_of(fd, false);
    if (file && file->writes)
        take_back(file, mix(seed + file->inode));
    /* What it kept may still be lost: the writes stay. */
}

/* --- names --- */

static char *save(const char *path) {
    const char *dir = getenv("FAULTS_UNDO");
    char *saved = malloc(600);
    (void)snprintf(saved, 600, "%s/%llu", dir, (unsigned long long)++saved_count);
    if (link(path, saved) == 0)
        return saved;
    free(saved);
    return NULL;
}

static char *copy(const char *text) {
    size_t size = text ? strlen(text) + 1 : 0;
    return text ? memcpy(malloc(size), text, size) : NULL;
}

static void push(NameKind kind, const char *from, const char *to, char *saved) {
    if (name_count == NAMES_MAX)
        abort();
    names[name_count++] = (Name){kind, copy(from), copy(to), saved};
}

void undo_note_create(const char *path) {
    push(NAME_CREATE, path, NULL, NULL);
}

void undo_note_remove(const char *path) {
    push(NAME_REMOVE, path, NULL, save(path));
}

void undo_note_rename(const char *from, const char *to) {
    push(NAME_RENAME, from, to, save(to));
}

static void drop_name(size_t i) {
    if (names[i].saved)
        (void)real.unlink(names[i].saved);
    free(names[i].saved);
    free(names[i].from);
    free(names[i].to);
    memmove(&names[i], &names[i + 1], (--name_count - i) * sizeof names[0]);
}

void undo_forget_last(void) {
    drop_name(name_count - 1);
}

static bool is_in_dir(const char *path, const char *dir) {
    size_t len = strlen(dir);
    while (len && dir[len - 1] == '/')
        len--;
    return path && strncmp(path, dir, len) == 0 && path[len] == '/' &&
           strchr(path + len + 1, '/') == NULL;
}

void undo_synced_dir(const char *path) {
    for (size_t i = 0; i < name_count;)
        if (is_in_dir(names[i].from, path) || is_in_dir(names[i].to, path))
            drop_name(i);
        else
            i++;
}

static void take_name_back(const Name *name) {
    if (name->kind == NAME_CREATE)
        (void)real.unlink(name->from);
    if (name->kind == NAME_RENAME)
        (void)real.rename(name->to, name->from);
    const char *to = name->kind == NAME_RENAME ? name->to : name->from;
    if (name->saved && link(name->saved, to) != 0)
        perror("faults: undo of a name");
}

uint64_t undo_pending(void) {
    return write_count + name_count;
}

/* --- the cut --- */

void undo_cut(uint32_t seed) {
    for (size_t i = 0; i < file_count; i++) {
        if (files[i].writes)
            take_back(&files[i], mix(seed + i));
    }
    uint64_t kept = mix(seed) % (name_count + 1);
    while (name_count > kept) {
        take_name_back(&names[name_count - 1]);
        drop_name(name_count - 1);
    }
}
