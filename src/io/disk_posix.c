#include "io/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "io/io_memory.h"

enum {
    PARTS_AT_ONCE = 64,
    ZEROS_AT_ONCE = 2 * 1024 * 1024, /* more would keep commits waiting */
    FILE_MODE = 0600,                /* what is stored is nobody else's business */
    DIR_MODE = 0700,
};

struct DiskFile {
    int fd;
    bool is_direct; /* asked for: the caller keeps to the alignment */
};

static Status status_of_errno(void) {
    switch (errno) {
    case ENOENT:
        return ERR_NOT_FOUND;
    case EEXIST:
        return ERR_EXISTS;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMFILE:
    case ENFILE:
        return ERR_FULL;
    default:
        return ERR_IO;
    }
}

/* Undoing must not hide the errno of what failed. */
static void close_quietly(int fd) {
    int why = errno;
    (void)close(fd);
    errno = why;
}

static void unlink_quietly(const char *path) {
    int why = errno;
    (void)unlink(path);
    errno = why;
}

/* Files. */

static int open_flags(int flags) {
    int os_flags = O_CLOEXEC;
    os_flags |= !(flags & DISK_WRITE) ? O_RDONLY : flags & DISK_READ ? O_RDWR : O_WRONLY;
    if (flags & (DISK_CREATE | DISK_EXCLUSIVE))
        os_flags |= O_CREAT;
    if (flags & DISK_EXCLUSIVE)
        os_flags |= O_EXCL;
    if (flags & DISK_TRUNCATE)
        os_flags |= O_TRUNC;
    return os_flags;
}

static int open_retrying(const char *path, int os_flags) {
    int fd;
    do {
        fd = open(path, os_flags, FILE_MODE);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

Status disk_open(const char *path, int flags, DiskFile **out_file) {
    int os_flags = open_flags(flags);
    bool is_direct = flags & DISK_DIRECT;
    int fd = open_retrying(path, is_direct ? os_flags | O_DIRECT : os_flags);
    /* File systems without direct access refuse it; the file may have been created all the same. */
    if (fd < 0 && is_direct && errno == EINVAL)
        fd = open_retrying(path, os_flags & ~O_EXCL);
    if (fd < 0)
        return status_of_errno();

    DiskFile *file = mem_alloc(sizeof *file);
    *file = (DiskFile){fd, is_direct};
    *out_file = file;
    return OK;
}

void disk_close(DiskFile *file) {
    if (file == NULL)
        return;
    close_quietly(file->fd);
    mem_free(file);
}

static bool is_aligned(const void *ptr, size_t len, uint64_t offset) {
    return (((uintptr_t)ptr | len | offset) & (DISK_ALIGN - 1)) == 0;
}

/* Some file systems take the flag and refuse the transfer: then go on buffered. True when it was
 * direct. */
static bool leave_direct(DiskFile *file) {
    if (errno != EINVAL || !file->is_direct)
        return false;
    int os_flags = fcntl(file->fd, F_GETFL);
    if (os_flags < 0 || !(os_flags & O_DIRECT))
        return false;
    return fcntl(file->fd, F_SETFL, os_flags & ~O_DIRECT) == 0;
}

Status disk_read(DiskFile *file, void *to, size_t len, uint64_t offset) {
    ASSERT(!file->is_direct || is_aligned(to, len, offset));
    for (char *at = to; len > 0;) {
        ssize_t n = pread(file->fd, at, len, (off_t)offset);
        if (n < 0 && (errno == EINTR || leave_direct(file)))
            continue;
        if (n < 0)
            return ERR_IO;
        if (n == 0)
            return ERR_RANGE;
        at += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return OK;
}

void disk_prefetch(DiskFile *file, size_t len, uint64_t offset) {
    (void)posix_fadvise(file->fd, (off_t)offset, (off_t)len, POSIX_FADV_WILLNEED);
}

Status disk_read_cached(DiskFile *file, void *to, size_t len, uint64_t offset) {
    if (file->is_direct)
        return ERR_AGAIN;
    struct iovec part = {to, len};
    ssize_t n = preadv2(file->fd, &part, 1, (off_t)offset, RWF_NOWAIT);
    return n == (ssize_t)len ? OK : ERR_AGAIN; /* whatever it is: disk_read will tell */
}

void disk_forget(DiskFile *file) {
    (void)posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED);
}

/* Drops n written bytes from the front of the parts. */
static void advance(struct iovec **parts, int *count, size_t n) {
    while (*count > 0 && n >= (*parts)->iov_len) {
        n -= (*parts)->iov_len;
        (*parts)++;
        (*count)--;
    }
    if (n > 0) {
        (*parts)->iov_base = (char *)(*parts)->iov_base + n;
        (*parts)->iov_len -= n;
    }
}

static Status write_parts(DiskFile *file, struct iovec *parts, int count, uint64_t offset) {
    advance(&parts, &count, 0); /* empty parts */
    while (count > 0) {
        ssize_t n = pwritev(file->fd, parts, count, (off_t)offset);
        if (n < 0 && (errno == EINTR || leave_direct(file)))
            continue;
        if (n < 0)
            return status_of_errno() == ERR_FULL ? ERR_FULL : ERR_IO;
        if (n == 0) {
            errno = EIO;
            return ERR_IO;
        }
        offset += (uint64_t)n;
        advance(&parts, &count, (size_t)n);
    }
    return OK;
}

Status disk_write(DiskFile *file, const struct iovec *parts, int part_count, uint64_t offset) {
    struct iovec some[PARTS_AT_ONCE];
    while (part_count > 0) {
        int count = part_count < PARTS_AT_ONCE ? part_count : PARTS_AT_ONCE;
        size_t bytes = 0;
        for (int i = 0; i < count; i++) {
            some[i] = parts[i];
            bytes += parts[i].iov_len;
            ASSERT(!file->is_direct || is_aligned(parts[i].iov_base, parts[i].iov_len, offset));
        }
        Status status = write_parts(file, some, count, offset);
        if (status != OK)
            return status;
        parts += count;
        part_count -= count;
        offset += bytes;
    }
    return OK;
}

Status disk_sync(DiskFile *file) {
    if (fdatasync(file->fd) == 0)
        return OK;
    return status_of_errno() == ERR_FULL ? ERR_FULL : ERR_IO;
}

Status disk_map(DiskFile *file, uint64_t bytes, const void **out_bytes) {
    void *mapped = mmap(NULL, bytes, PROT_READ, MAP_SHARED, file->fd, 0);
    if (mapped == MAP_FAILED)
        return ERR_MEMORY;
    /* What lies beside a page that is touched would count as memory and is not asked for. */
    (void)madvise(mapped, bytes, MADV_RANDOM);
    *out_bytes = mapped;
    return OK;
}

void disk_map_forget(const void *mapped, uint64_t bytes) {
    (void)madvise((void *)(uintptr_t)mapped, bytes, MADV_DONTNEED);
}

void disk_unmap(const void *mapped, uint64_t bytes) {
    (void)munmap((void *)(uintptr_t)mapped, bytes);
}

Status disk_size(DiskFile *file, uint64_t *out_bytes) {
    struct stat info;
    if (fstat(file->fd, &info) != 0)
        return ERR_IO;
    *out_bytes = (uint64_t)info.st_size;
    return OK;
}

Status disk_cut(DiskFile *file, uint64_t bytes) {
    return ftruncate(file->fd, (off_t)bytes) == 0 ? OK : ERR_IO;
}

static Status sync_parent(const char *path) {
    const char *slash = strrchr(path, '/');
    if (slash == NULL)
        return disk_sync_dir(".");
    if (slash == path)
        return disk_sync_dir("/");
    char *parent = mem_copy(path, (size_t)(slash - path));
    Status status = disk_sync_dir(parent);
    mem_free(parent);
    return status;
}

static Status write_zeros(DiskFile *file, uint64_t bytes) {
    char *zeros = io_memory_new(ZEROS_AT_ONCE);
    Status status = OK;
    for (uint64_t at = 0; at < bytes && status == OK;) {
        uint64_t rest = bytes - at;
        struct iovec part = {zeros, rest < ZEROS_AT_ONCE ? (size_t)rest : ZEROS_AT_ONCE};
        status = disk_write(file, &part, 1, at);
        at += part.iov_len;
    }
    io_memory_free(zeros, ZEROS_AT_ONCE);
    return status;
}

Status disk_create_zeroed(const char *path, uint64_t bytes) {
    DiskFile *file;
    /* Through the page cache, zeros would cost more than all that is written over them later. */
    int direct = bytes % DISK_ALIGN == 0 ? DISK_DIRECT : 0;
    Status status = disk_open(path, DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE | direct, &file);
    if (status != OK)
        return status;
    status = write_zeros(file, bytes);
    /* Not only the data: the blocks must be marked as written, so that later syncs need no
     * metadata. */
    if (status == OK && fsync(file->fd) != 0)
        status = ERR_IO;
    if (status == OK)
        (void)posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED); /* zeros need no cache */
    disk_close(file);
    if (status == OK)
        status = sync_parent(path);
    if (status != OK)
        unlink_quietly(path);
    return status;
}

/* Names. */

Status disk_rename(const char *from, const char *to) {
    return rename(from, to) == 0 ? OK : status_of_errno();
}

Status disk_remove(const char *path) {
    return remove(path) == 0 ? OK : status_of_errno();
}

static Status make_dir(const char *path) {
    if (mkdir(path, DIR_MODE) == 0)
        return sync_parent(path);
    if (errno != EEXIST)
        return status_of_errno();
    struct stat info;
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return OK;
    errno = ENOTDIR;
    return ERR_IO;
}

Status disk_make_dirs(const char *path) {
    char *prefix = mem_copy(path, strlen(path));
    Status status = OK;
    for (char *at = prefix; *at && status == OK; at++) {
        if (*at != '/' || at == prefix)
            continue;
        *at = '\0';
        struct stat info; /* what is there need not be ours to make, as on a read-only root */
        if (stat(prefix, &info) != 0 || !S_ISDIR(info.st_mode))
            status = make_dir(prefix);
        *at = '/';
    }
    if (status == OK)
        status = make_dir(prefix);
    mem_free(prefix);
    return status;
}

Status disk_sync_dir(const char *path) {
    int fd = open_retrying(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return status_of_errno();
    /* EINVAL: a file system that cannot sync directories, and has no need to. */
    Status status = fsync(fd) == 0 || errno == EINVAL ? OK : ERR_IO;
    close_quietly(fd);
    return status;
}

static bool is_directory(DIR *dir, const struct dirent *entry) {
    struct stat info;
    if (entry->d_type != DT_UNKNOWN && entry->d_type != DT_LNK)
        return entry->d_type == DT_DIR;
    return fstatat(dirfd(dir), entry->d_name, &info, 0) == 0 && S_ISDIR(info.st_mode);
}

Status disk_list(const char *path, void (*each)(void *cookie, const char *name, bool is_dir),
                 void *cookie) {
    DIR *dir = opendir(path);
    if (dir == NULL)
        return status_of_errno();
    struct dirent *entry;
    while (errno = 0, (entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            each(cookie, entry->d_name, is_directory(dir, entry));
    }
    int why = errno;
    (void)closedir(dir);
    errno = why;
    return why == 0 ? OK : ERR_IO;
}

Status disk_free_bytes(const char *path, uint64_t *out_free, uint64_t *out_total) {
    struct statvfs info;
    if (statvfs(path, &info) != 0)
        return status_of_errno();
    *out_free = (uint64_t)info.f_bavail * info.f_frsize;
    *out_total = (uint64_t)info.f_blocks * info.f_frsize;
    return OK;
}

/* Locks belong to the open file, so that another open in this process is refused too. */
Status disk_lock(const char *path, DiskFile **out_lock) {
    DiskFile *file;
    Status status = disk_open(path, DISK_READ | DISK_WRITE | DISK_CREATE, &file);
    if (status != OK)
        return status;
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int failed = fcntl(file->fd, F_OFD_SETLK, &whole);
    if (failed && errno != EAGAIN && errno != EACCES) /* not supported here */
        failed = flock(file->fd, LOCK_EX | LOCK_NB);
    if (!failed) {
        *out_lock = file;
        return OK;
    }
    status = errno == EAGAIN || errno == EACCES ? ERR_BUSY : ERR_IO;
    disk_close(file);
    return status;
}

void disk_unlock(DiskFile *lock) {
    disk_close(lock);
}

/* Whole files. */

/* Grows as it reads: the size of pipes and of files in /proc is not known before. */
static Status read_to_end(int fd, size_t bytes_max, char **out_text, size_t *out_len) {
    char *text = NULL;
    size_t len = 0, cap = 0;
    for (;;) {
        if (len == cap) {
            cap = cap ? cap * 2 : 4096;
            text = mem_realloc(text, cap + 1);
        }
        ssize_t n = read(fd, text + len, cap - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0) {
            text[len] = '\0';
            *out_text = text;
            *out_len = len;
            return OK;
        }
        if (n > 0)
            len += (size_t)n;
        if (n < 0 || len > bytes_max) {
            mem_free(text);
            return n < 0 ? ERR_IO : ERR_FULL;
        }
    }
}

Status disk_read_file(const char *path, size_t bytes_max, char **out_text, size_t *out_len) {
    int fd = open_retrying(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return status_of_errno();
    Status status = read_to_end(fd, bytes_max, out_text, out_len);
    close_quietly(fd);
    return status;
}

static Status write_new_file(const char *path, Slice bytes, unsigned mode) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0)
        return status_of_errno();
    DiskFile file = {fd, false};
    struct iovec part = {(char *)bytes.ptr, bytes.len};
    Status status = disk_write(&file, &part, 1, 0);
    if (status == OK && (fchmod(fd, mode) != 0 || fsync(fd) != 0))
        status = ERR_IO;
    close_quietly(fd);
    return status;
}

Status disk_write_file(const char *path, Slice bytes, unsigned mode) {
    char temporary[PATH_MAX];
    int n = snprintf(temporary, sizeof temporary, "%s.%ld.tmp", path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof temporary) {
        errno = ENAMETOOLONG;
        return ERR_IO;
    }
    Status status = write_new_file(temporary, bytes, mode);
    if (status == OK)
        status = disk_rename(temporary, path);
    if (status != OK) {
        unlink_quietly(temporary);
        return status;
    }
    return sync_parent(path);
}
