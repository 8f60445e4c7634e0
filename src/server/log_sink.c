#include "server/log_sink.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include "io/clock.h"
#include "io/counter.h"
#include "io/disk.h"
#include "io/log_file.h"
#include "io/process.h"

enum { SHOW_DEBUG = 1, SHOW_TRACE = 2, SHOW_TIME = 4, SHOW_UTC = 8 };

/* Read by all threads, changed by the main one. Files that were replaced stay open until the end,
 * since somebody may be writing to them; a reload seldom changes the path. */
static struct Sink {
    Counter file; /* a LogFile * */
    Counter path; /* a const char *; NULL = standard error */
    Counter flags;
    Counter size_limit, files_max;
    Counter rotating;
    VEC(LogFile *) files;
    VEC(char *) paths;
} sink;

static LogFile *current_file(void) {
    return (LogFile *)(uintptr_t)counter_observe(&sink.file);
}

static const char *current_path(void) {
    return (const char *)(uintptr_t)counter_observe(&sink.path);
}

static void append_time(Buf *line, bool is_utc) {
    int64_t now = clock_wall_ns();
    LocalTime t;

    process_local_time(now / NS_PER_S, is_utc, &t);
    buf_printf(line, "%04d/%02d/%02d %02d:%02d:%02d.%06d ", t.year, t.month, t.day, t.hour,
               t.minute, t.second, (int)(now % NS_PER_S / NS_PER_US));
}

static void append_line(const char *level, const char *event, const char *facts) {
    uint64_t flags = counter_get(&sink.flags);
    Buf line = {0};

    buf_printf(&line, "[%d] ", process_pid());
    if (flags & SHOW_TIME)
        append_time(&line, flags & SHOW_UTC);
    buf_printf(&line, "[%s] %s%s%s\n", level, event, facts[0] ? " " : "", facts);
    log_file_append(current_file(), buf_slice(&line));
    buf_done(&line);
}

typedef struct OldFiles {
    Slice prefix; /* the log's name and a dot */
    VEC(char *) names;
} OldFiles;

static void note_old_file(void *cookie, const char *name, bool is_dir) {
    OldFiles *old = cookie;
    Slice text = slice_of_text(name);
    if (!is_dir && slice_starts_with(text, old->prefix) &&
        text.len == old->prefix.len + strlen("2006.01.02.15.04.05.000000000"))
        vec_push(&old->names, slice_to_text(text));
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Keeps the newest ones, so that with the one in use there are files_max. */
static void remove_old_files(const char *path, uint64_t files_max) {
    Slice whole = slice_of_text(path);
    size_t name_at = whole.len;
    OldFiles old = {0};
    Buf folder = {0}, prefix = {0};

    while (name_at > 0 && path[name_at - 1] != '/')
        name_at--;
    buf_append(&folder, name_at > 0 ? slice_first(whole, name_at) : LIT("./"));
    buf_append(&prefix, slice_from_at(whole, name_at));
    buf_append_char(&prefix, '.');
    old.prefix = buf_slice(&prefix);
    if (disk_list(buf_text(&folder), note_old_file, &old) == OK) {
        qsort(old.names.at, old.names.len, sizeof old.names.at[0], by_name);
        for (size_t i = 0; i + files_max <= old.names.len; i++) {
            Buf victim = {0};
            buf_append(&victim, buf_slice(&folder));
            buf_append(&victim, slice_of_text(old.names.at[i]));
            (void)(disk_remove(buf_text(&victim)) == OK); /* it stays: nothing is lost */
            buf_done(&victim);
        }
    }
    for (size_t i = 0; i < old.names.len; i++)
        mem_free(old.names.at[i]);
    vec_done(&old.names);
    buf_done(&folder);
    buf_done(&prefix);
}

static void rotate(void) {
    const char *path = current_path();
    int64_t now = clock_wall_ns();
    LocalTime t;
    Buf backup = {0};

    process_local_time(now / NS_PER_S, counter_get(&sink.flags) & SHOW_UTC, &t);
    buf_printf(&backup, "%s.%04d.%02d.%02d.%02d.%02d.%02d.%09d", path, t.year, t.month, t.day,
               t.hour, t.minute, t.second, (int)(now % NS_PER_S));
    if (disk_rename(path, buf_text(&backup)) == OK && log_file_reopen(current_file()) == OK) {
        append_line("INF", "Rotated log, backup saved as", buf_text(&backup));
        uint64_t files_max = counter_get(&sink.files_max);
        if (files_max > 0)
            remove_old_files(path, files_max);
    }
    buf_done(&backup);
}

static void write_line(LogLevel level, const char *event, const char *facts) {
    static const char *const names[] = {"FTL", "ERR", "WRN", "INF", "DBG", "TRC"};
    uint64_t flags = counter_get(&sink.flags);

    if ((level == LOG_DEBUG_LEVEL && !(flags & SHOW_DEBUG)) ||
        (level == LOG_TRACE_LEVEL && !(flags & SHOW_TRACE)))
        return;
    append_line(names[level], event, facts);
    uint64_t limit = counter_get(&sink.size_limit);
    if (limit == 0 || log_file_size(current_file()) <= limit)
        return;
    if (counter_add(&sink.rotating, 1) == 1)
        rotate();
    (void)counter_sub(&sink.rotating, 1);
}

static Status open_file(const Options *options, Buf *error) {
    LogFile *file;
    char *path = options->log_file.len > 0 ? slice_to_text(options->log_file) : NULL;
    Status status = log_file_open(path, &file);

    if (status != OK) {
        char reason[128];
        buf_printf(error, "error opening log file: open %s: %s", path ? path : "standard error",
                   strerror_r(errno, reason, sizeof reason));
        mem_free(path);
        return ERR_IO;
    }
    vec_push(&sink.files, file);
    counter_set(&sink.size_limit, 0); /* no rotation while path and file do not fit */
    counter_publish(&sink.file, (uintptr_t)file);
    counter_publish(&sink.path, (uintptr_t)path);
    if (path != NULL)
        vec_push(&sink.paths, path);
    return OK;
}

static bool is_same_path(const Options *options) {
    return sink.files.len > 0 && slice_equal(options->log_file, slice_of_text(current_path()));
}

Status log_sink_apply(const Options *options, Buf *out_error) {
    if (!is_same_path(options)) {
        Status status = open_file(options, out_error);
        if (status != OK)
            return status;
    }
    uint64_t flags = 0;
    flags |= options->debug ? SHOW_DEBUG : 0;
    flags |= options->trace || options->trace_verbose ? SHOW_TRACE : 0;
    flags |= options->logtime ? SHOW_TIME : 0;
    flags |= options->logtime_utc ? SHOW_UTC : 0;
    counter_set(&sink.flags, flags);
    counter_set(&sink.files_max, options->log_max_num > 0 ? (uint64_t)options->log_max_num : 0);
    bool is_limited = current_path() != NULL && options->log_size_limit > 0;
    counter_set(&sink.size_limit, is_limited ? (uint64_t)options->log_size_limit : 0);
    log_set_level(flags & SHOW_TRACE   ? LOG_TRACE_LEVEL
                  : flags & SHOW_DEBUG ? LOG_DEBUG_LEVEL
                                       : LOG_INFO_LEVEL);
    return OK;
}

Status log_sink_open(const Options *options, Buf *out_error) {
    Status status = log_sink_apply(options, out_error);
    if (status != OK)
        return status;
    log_init(write_line, LOG_INFO_LEVEL);
    return log_sink_apply(options, out_error);
}

Status log_sink_reopen(void) {
    return current_path() != NULL ? log_file_reopen(current_file()) : ERR_UNSUPPORTED;
}

void log_sink_close(void) {
    log_init(NULL, LOG_FATAL);
    for (size_t i = 0; i < sink.files.len; i++)
        log_file_close(sink.files.at[i]);
    for (size_t i = 0; i < sink.paths.len; i++)
        mem_free(sink.paths.at[i]);
    vec_done(&sink.files);
    vec_done(&sink.paths);
    sink = (struct Sink){0};
}
