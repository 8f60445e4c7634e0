#include "io/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

enum { LOG_FILE_MODE = 0640 };

struct LogFile {
    int fd; /* the same number for ever: log_file_reopen puts another file behind it */
    char *path;
};

static Status open_path(const char *path, int *out_fd) {
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, LOG_FILE_MODE);
    if (fd < 0)
        return errno == ENOENT ? ERR_NOT_FOUND : errno == EACCES ? ERR_DENIED : ERR_IO;
    *out_fd = fd;
    return OK;
}

Status log_file_open(const char *path, LogFile **out_file) {
    int fd = STDERR_FILENO;
    if (path) {
        Status status = open_path(path, &fd);
        if (status != OK)
            return status;
    }
    LogFile *file = mem_alloc(sizeof *file);
    file->fd = fd;
    file->path = path ? mem_copy(path, strlen(path)) : NULL;
    *out_file = file;
    return OK;
}

void log_file_close(LogFile *file) {
    if (file == NULL)
        return;
    if (file->path)
        (void)close(file->fd);
    mem_free(file->path);
    mem_free(file);
}

void log_file_append(LogFile *file, Slice line) {
    while (line.len > 0) {
        ssize_t n = write(file->fd, line.ptr, line.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        line = slice_from_at(line, (size_t)n);
    }
}

Status log_file_reopen(LogFile *file) {
    if (file->path == NULL)
        return OK;
    int fd;
    Status status = open_path(file->path, &fd);
    if (status != OK)
        return status;
    status = dup3(fd, file->fd, O_CLOEXEC) >= 0 ? OK : ERR_IO;
    (void)close(fd);
    return status;
}

uint64_t log_file_size(const LogFile *file) {
    struct stat info;
    if (file->path == NULL || fstat(file->fd, &info) != 0)
        return 0;
    return (uint64_t)info.st_size;
}
