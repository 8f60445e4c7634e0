/* Process: small facts of the OS about this process and its machine. Any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

int process_pid(void);

bool process_is_root(void);

/* Resident memory; 0 when the OS does not tell. */
uint64_t process_rss_bytes(void);

/* User and system time of all threads, ended ones included. */
uint64_t process_cpu_ns(void);

/* Memory this process may use: of the machine, or of its control group when that is less. */
uint64_t process_ram_bytes(void);

/* Gives the system what was freed. Takes milliseconds when that is much. Any thread. */
void process_trim_memory(void);

/* Raises the limit of open files as far as it goes; returns what it is now. */
uint64_t process_raise_file_limit(void);

/* Zero-terminated, cut to size; "localhost" when the OS does not tell. */
void process_hostname(char *out, size_t size);

/* Not predictable: for secrets and seeds. */
void process_random(void *out, size_t len);

/* Sends signal number to another process. ERR_NOT_FOUND: no such process; ERR_DENIED; ERR_IO.
 * number 0 only asks. */
MUST_CHECK Status process_signal(int pid, int number);

/* Broken-down local time, for log lines. */
typedef struct LocalTime {
    int year, month, day; /* month and day from 1 */
    int hour, minute, second;
    int utc_offset_s;
} LocalTime;
void process_local_time(int64_t unix_seconds, bool is_utc, LocalTime *out);
