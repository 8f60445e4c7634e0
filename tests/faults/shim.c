#include "faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { FDS = 65536, WRITE_BYTES_MAX = 80 * 1024 * 1024 };

RealCalls real;
static ssize_t (*real_pwritev)(int fd, const struct iovec *parts, int count, off_t offset);
static ssize_t (*real_preadv2)(int fd, const struct iovec *parts, int count, off_t offset,
                               int flags);
static int (*real_fsync)(int fd), (*real_fdatasync)(int fd);
static int (*real_statvfs)(const char *path, struct statvfs *out);
static int (*real_clock_gettime)(clockid_t clock, struct timespec *out);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Control *control;
static const char *dir;
static bool is_ours[FDS], is_dir[FDS];

static void find_calls(void) {
    *(void **)&real.open = dlsym(RTLD_NEXT, "open64");
    *(void **)&real.close = dlsym(RTLD_NEXT, "close");
    *(void **)&real.pread = dlsym(RTLD_NEXT, "pread64");
    *(void **)&real.pwrite = dlsym(RTLD_NEXT, "pwrite64");
    *(void **)&real.rename = dlsym(RTLD_NEXT, "rename");
    *(void **)&real.unlink = dlsym(RTLD_NEXT, "unlink");
    *(void **)&real.remove = dlsym(RTLD_NEXT, "remove");
    *(void **)&real_pwritev = dlsym(RTLD_NEXT, "pwritev64");
    *(void **)&real_preadv2 = dlsym(RTLD_NEXT, "preadv64v2");
    *(void **)&real_fsync = dlsym(RTLD_NEXT, "fsync");
    *(void **)&real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    *(void **)&real_statvfs = dlsym(RTLD_NEXT, "statvfs64");
    *(void **)&real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
}

__attribute__((constructor)) static void begin(void) {
    find_calls();
    dir = getenv("FAULTS_DIR");
    const char *path = getenv("FAULTS_CONTROL");
    int fd = path && dir ? real.open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)real.close(fd);
    if (mapped != MAP_FAILED)
        control = mapped;
}

/* --- rules --- */

static void cut(void) {
    undo_cut(control->seed);
    (void)kill(getpid(), SIGKILL);
    for (;;)
        (void)pause();
}

static void wait_ms(int ms) {
    struct timespec left = {ms / 1000, ms % 1000 * 1000000L};
    (void)nanosleep(&left, NULL);
}

/* Under the lock. The rule that hits; NULL: none, or it has been done with. */
static const Rule *meet(uint32_t op, const char *path) {
    control->calls++;
    control->pending = undo_pending();
    if (control->cut_now)
        cut();
    for (int i = 0; i < RULES; i++) {
        Rule *rule = &control->rules[i];
        if (!(rule->ops & op) || rule->count == 0 ||
            (rule->pattern[0] && (path == NULL || strstr(path, rule->pattern) == NULL)))
            continue;
        if (rule->skip > 0) {
            rule->skip--;
            continue;
        }
        rule->count--;
        rule->hits++;
        if (rule->kind == RULE_CUT)
            cut();
        if (rule->kind == RULE_KILL)
            (void)kill(getpid(), SIGKILL);
        if (rule->kind != RULE_WAIT)
            return rule;
        wait_ms(rule->error);
    }
    return NULL;
}

static bool is_path_ours(const char *path) {
    return control && strncmp(path, dir, strlen(dir)) == 0;
}

static bool is_fd_ours(int fd) {
    return control && fd >= 0 && fd < FDS && is_ours[fd];
}

static const char *path_of(int fd, char *to, size_t size) {
    char link[64];
    (void)snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, to, size - 1);
    to[len < 0 ? 0 : len] = '\0';
    return to;
}

static int fail(const Rule *rule) {
    errno = rule->error;
    return -1;
}

/* --- files --- */

static int open_ours(const char *path, int flags, unsigned mode) {
    struct stat info;
    bool is_there = stat(path, &info) == 0;
    bool is_made = !is_there && flags & O_CREAT;
    const Rule *rule = meet(is_made ? OP_CREATE | OP_OPEN : OP_OPEN, path);
    if (rule)
        return fail(rule);
    if (is_made && control->is_full) {
        errno = ENOSPC;
        return -1;
    }
    if (is_there && flags & O_TRUNC && info.st_size && control->is_tracking)
        undo_note_truncate(path);
    int fd = real.open(path, flags, mode);
    if (fd < 0 || fd >= FDS)
        return fd;
    is_ours[fd] = true;
    is_dir[fd] = is_there && S_ISDIR(info.st_mode);
    if (is_made && control->is_tracking)
        undo_note_create(path);
    return fd;
}

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    unsigned mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, unsigned) : 0;
    va_end(more);
    if (real.open == NULL)
        find_calls();
    if (!is_path_ours(path))
        return real.open(path, flags, mode);
    pthread_mutex_lock(&lock);
    int fd = open_ours(path, flags, mode);
    pthread_mutex_unlock(&lock);
    return fd;
}

int close(int fd) {
    if (real.close == NULL)
        find_calls();
    if (is_fd_ours(fd))
        is_ours[fd] = false;
    return real.close(fd);
}

static void flip(char *bytes, size_t len) {
    if (len)
        bytes[(control->seed * UINT64_C(2654435761)) % len] ^= (char)(1u << control->seed % 8);
}

ssize_t pread64(int fd, void *to, size_t len, off_t offset) {
    char path[PATH_MAX];
    if (!is_fd_ours(fd))
        return real.pread(fd, to, len, offset);
    pthread_mutex_lock(&lock);
    const Rule *rule = meet(OP_READ, path_of(fd, path, sizeof path));
    ssize_t got;
    if (rule && rule->kind == RULE_ERROR)
        got = fail(rule);
    else
        got = real.pread(
            fd, to,
            rule && rule->kind == RULE_SHORT ? len / 2 / 4096 * 4096 + (len < 8192 ? len : 0) : len,
            offset);
    if (rule && rule->kind == RULE_FLIP && got > 0)
        flip(to, (size_t)got);
    pthread_mutex_unlock(&lock);
    return got;
}

ssize_t preadv64v2(int fd, const struct iovec *parts, int count, off_t offset, int flags) {
    char path[PATH_MAX];
    if (!is_fd_ours(fd))
        return real_preadv2(fd, parts, count, offset, flags);
    pthread_mutex_lock(&lock);
    const Rule *rule = meet(OP_READ, path_of(fd, path, sizeof path));
    pthread_mutex_unlock(&lock);
    return rule && rule->kind == RULE_ERROR ? fail(rule)
                                            : real_preadv2(fd, parts, count, offset, flags);
}

static size_t bytes_of(const struct iovec *parts, int count) {
    size_t len = 0;
    for (int i = 0; i < count; i++)
        len += parts[i].iov_len;
    return len;
}

/* Aligned, so that it may go past the system's memory. */
static char *gather(const struct iovec *parts, int count, size_t len) {
    char *bytes = aligned_alloc(4096, (len + 4095) / 4096 * 4096);
    for (size_t i = 0, at = 0; bytes && i < (size_t)count; at += parts[i++].iov_len)
        memcpy(bytes + at, parts[i].iov_base, parts[i].iov_len);
    return bytes;
}

static ssize_t write_oddly(int fd, const struct iovec *parts, int count, off_t offset,
                           const Rule *rule) {
    size_t len = bytes_of(parts, count), half = len / 2 / 4096 * 4096;
    char *bytes = gather(parts, count, len);
    ssize_t done = (ssize_t)len;
    if (rule->kind == RULE_SHORT)
        done = real.pwrite(fd, bytes, half ? half : len, offset);
    if (rule->kind == RULE_TORN) {
        if (half == 0 || real.pwrite(fd, bytes, half, offset) >= 0)
            done = fail(rule);
    }
    if (rule->kind == RULE_FLIP) {
        flip(bytes, len);
        done = real.pwrite(fd, bytes, len, offset);
    }
    if (rule->kind == RULE_SHIFT)
        done = real.pwrite(fd, bytes, len, offset + 4096);
    int why = errno;
    free(bytes);
    errno = why;
    return done;
}

static ssize_t write_ours(int fd, const struct iovec *parts, int count, off_t offset) {
    char path[PATH_MAX];
    struct stat info;
    size_t len = bytes_of(parts, count);
    const Rule *rule = meet(OP_WRITE, path_of(fd, path, sizeof path));
    if (rule && rule->kind == RULE_ERROR)
        return fail(rule);
    if (control->is_full && fstat(fd, &info) == 0 && offset + (off_t)len > info.st_size) {
        errno = ENOSPC;
        return -1;
    }
    if (control->is_tracking)
        undo_note_write(fd, len + (rule && rule->kind == RULE_SHIFT ? 4096 : 0), offset);
    return rule ? write_oddly(fd, parts, count, offset, rule)
                : real_pwritev(fd, parts, count, offset);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset) {
    if (!is_fd_ours(fd))
        return real_pwritev(fd, parts, count, offset);
    pthread_mutex_lock(&lock);
    ssize_t done = write_ours(fd, parts, count, offset);
    pthread_mutex_unlock(&lock);
    return done;
}

/* Not under the lock while the disk is at work: others go on meanwhile. What they write then counts
 * as synced too, which a real disk may do as well. */
static int sync_ours(int fd, int (*call)(int)) {
    char path[PATH_MAX];
    pthread_mutex_lock(&lock);
    const Rule *rule = meet(is_dir[fd] ? OP_SYNC_DIR : OP_SYNC, path_of(fd, path, sizeof path));
    if (rule && !is_dir[fd])
        undo_sync_failed(fd, control->seed + (uint32_t)control->calls);
    if (rule) {
        (void)fail(rule);
        pthread_mutex_unlock(&lock);
        return -1;
    }
    pthread_mutex_unlock(&lock);
    int failed = control->is_tracking ? 0 : call(fd); /* a cut is the layer's to play */
    pthread_mutex_lock(&lock);
    if (!failed && is_dir[fd])
        undo_synced_dir(path);
    else if (!failed)
        undo_synced(fd);
    pthread_mutex_unlock(&lock);
    return failed;
}

int fsync(int fd) {
    return is_fd_ours(fd) ? sync_ours(fd, real_fsync) : real_fsync(fd);
}

int fdatasync(int fd) {
    return is_fd_ours(fd) ? sync_ours(fd, real_fdatasync) : real_fdatasync(fd);
}

/* --- names --- */

static int rename_ours(const char *from, const char *to) {
    const Rule *rule = meet(OP_RENAME, from);
    if (rule == NULL)
        rule = meet(OP_RENAME, to);
    if (rule)
        return fail(rule);
    if (!control->is_tracking)
        return real.rename(from, to);
    undo_note_rename(from, to);
    int failed = real.rename(from, to);
    if (failed)
        undo_forget_last();
    return failed;
}

int rename(const char *from, const char *to) {
    if (!is_path_ours(from))
        return real.rename(from, to);
    pthread_mutex_lock(&lock);
    int failed = rename_ours(from, to);
    pthread_mutex_unlock(&lock);
    return failed;
}

static int remove_ours(const char *path, int (*call)(const char *)) {
    struct stat info;
    const Rule *rule = meet(OP_REMOVE, path);
    if (rule)
        return fail(rule);
    if (!control->is_tracking || stat(path, &info) != 0 || !S_ISREG(info.st_mode))
        return call(path);
    undo_note_remove(path);
    int failed = call(path);
    if (failed)
        undo_forget_last();
    return failed;
}

static int remove_by(const char *path, int (*call)(const char *)) {
    if (!is_path_ours(path))
        return call(path);
    pthread_mutex_lock(&lock);
    int failed = remove_ours(path, call);
    pthread_mutex_unlock(&lock);
    return failed;
}

int unlink(const char *path) {
    return remove_by(path, real.unlink);
}

int remove(const char *path) {
    return remove_by(path, real.remove);
}

/* --- space and time --- */

int statvfs64(const char *path, struct statvfs64 *out) {
    int failed = real_statvfs(path, (struct statvfs *)out);
    if (!failed && is_path_ours(path) && control->is_full)
        out->f_bavail = out->f_bfree = 0;
    return failed;
}

int clock_gettime(clockid_t clock, struct timespec *out) {
    if (real_clock_gettime == NULL)
        find_calls();
    int failed = real_clock_gettime(clock, out);
    if (failed || control == NULL || clock != CLOCK_REALTIME || control->wall_shift_ns == 0)
        return failed;
    int64_t ns = out->tv_sec * INT64_C(1000000000) + out->tv_nsec + control->wall_shift_ns;
    out->tv_sec = ns / 1000000000;
    out->tv_nsec = ns % 1000000000;
    return 0;
}
