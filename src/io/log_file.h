/* LogFile: where log lines go: a file that only grows, or standard error. */
#pragma once

#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"

typedef struct LogFile LogFile;

/* path NULL = standard error. The file is made when absent. ERR_NOT_FOUND (its directory),
 * ERR_DENIED or ERR_IO. */
MUST_CHECK Status log_file_open(const char *path, LogFile **out_file);
/* NULL-safe. */
void log_file_close(LogFile *file);

/* Any thread. In one write, so that lines do not mix. An error is ignored: there is no better place
 * to report it. */
void log_file_append(LogFile *file, Slice line);

/* Any thread, also while others append: opens path anew after somebody has moved the file away. On
 * an error the old one stays in use. */
MUST_CHECK Status log_file_reopen(LogFile *file);

/* 0 for standard error. */
uint64_t log_file_size(const LogFile *file);
