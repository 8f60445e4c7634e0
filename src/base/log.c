#include "base/log.h"

#include <stdio.h>

#include "base/buf.h"

static LogSink *sink;
static LogLevel level_max = LOG_INFO_LEVEL;

void log_init(LogSink *new_sink, LogLevel max_level) {
    sink = new_sink;
    log_set_level(max_level);
}

void log_set_level(LogLevel max_level) {
    __atomic_store_n(&level_max, max_level, __ATOMIC_RELAXED);
}

bool log_wants(LogLevel level) {
    return sink != NULL && level <= __atomic_load_n(&level_max, __ATOMIC_RELAXED);
}

void log_event(LogLevel level, const char *event, const char *format, ...) {
    if (!log_wants(level))
        return;
    Buf facts = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&facts, format, args);
    va_end(args);
    sink(level, event, buf_text(&facts));
    buf_done(&facts);
}
