/* Log: an event and its facts. The sink, set once at start by server/, writes and formats the line.
 *     LOG_INFO("stream created", "account=%.*s name=%.*s", SLICE_ARG(account), SLICE_ARG(name));
 * Facts may be "" when there are none. Never payloads or secrets. Nothing per message above debug.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>

typedef enum LogLevel {
    LOG_FATAL,
    LOG_ERROR,
    LOG_WARN,
    LOG_INFO_LEVEL,
    LOG_DEBUG_LEVEL,
    LOG_TRACE_LEVEL
} LogLevel;

/* Called from any thread; event and facts are zero-terminated and borrowed. */
typedef void LogSink(LogLevel level, const char *event, const char *facts);

/* Before threads start. Lines above max_level are dropped without formatting. */
void log_init(LogSink *sink, LogLevel max_level);

/* Any thread: a relaxed store (reload changes it). */
void log_set_level(LogLevel max_level);
bool log_wants(LogLevel level);

void log_event(LogLevel level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define LOG_AT(level, event, ...)                                                                  \
    do {                                                                                           \
        if (log_wants(level))                                                                      \
            log_event((level), (event), __VA_ARGS__);                                              \
    } while (0)

#define LOG_ERR(event, ...)     LOG_AT(LOG_ERROR, event, __VA_ARGS__)
#define LOG_WARNING(event, ...) LOG_AT(LOG_WARN, event, __VA_ARGS__)
#define LOG_INFO(event, ...)    LOG_AT(LOG_INFO_LEVEL, event, __VA_ARGS__)
#define LOG_DEBUG(event, ...)   LOG_AT(LOG_DEBUG_LEVEL, event, __VA_ARGS__)
