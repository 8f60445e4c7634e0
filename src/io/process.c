#include "io/process.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "io/clock.h"

int process_pid(void) {
    return (int)getpid();
}

bool process_is_root(void) {
    return geteuid() == 0;
}

/* The first number after skip words of a file; false when there is none, as for "max". */
static bool number_in_file(const char *path, int skip, uint64_t *out_value) {
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    char line[256];
    bool has_line = fgets(line, sizeof line, file) != NULL;
    (void)fclose(file);
    char *at = line;
    for (; has_line && skip > 0; skip--) {
        at = strchr(at, ' ');
        if (at == NULL)
            return false;
        at++;
    }
    char *end = at;
    if (has_line)
        *out_value = strtoull(at, &end, 10);
    return end != at;
}

uint64_t process_rss_bytes(void) {
    uint64_t pages;
    if (!number_in_file("/proc/self/statm", 1, &pages))
        return 0;
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static uint64_t ns_of(struct timeval time) {
    return (uint64_t)time.tv_sec * NS_PER_S + (uint64_t)time.tv_usec * NS_PER_US;
}

uint64_t process_cpu_ns(void) {
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return 0;
    return ns_of(usage.ru_utime) + ns_of(usage.ru_stime);
}

void process_trim_memory(void) {
    (void)malloc_trim(0);
}

uint64_t process_ram_bytes(void) {
    struct sysinfo info;
    uint64_t bytes = UINT64_MAX;
    if (sysinfo(&info) == 0)
        bytes = (uint64_t)info.totalram * info.mem_unit;
    /* In a container these are its own; without one the root has no such file. */
    static const char *const FILES[] = {"/sys/fs/cgroup/memory.max",
                                        "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    for (size_t i = 0; i < sizeof FILES / sizeof FILES[0]; i++) {
        uint64_t limit;
        if (number_in_file(FILES[i], 0, &limit) && limit != 0 && limit < bytes)
            bytes = limit;
    }
    return bytes;
}

uint64_t process_raise_file_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 0;
    struct rlimit raised = {limit.rlim_max, limit.rlim_max};
    if (limit.rlim_cur < limit.rlim_max && setrlimit(RLIMIT_NOFILE, &raised) == 0)
        return raised.rlim_cur;
    return limit.rlim_cur;
}

void process_hostname(char *out, size_t size) {
    ASSERT(size > 0);
    if (gethostname(out, size) != 0 && errno != ENAMETOOLONG)
        (void)snprintf(out, size, "localhost");
    out[size - 1] = '\0';
}

void process_random(void *out, size_t len) {
    for (char *at = out; len > 0;) {
        ssize_t n = getrandom(at, len, 0);
        ASSERT(n > 0 || errno == EINTR);
        if (n > 0) {
            at += n;
            len -= (size_t)n;
        }
    }
}

Status process_signal(int pid, int number) {
    if (pid <= 0) /* would mean a whole group */
        return ERR_NOT_FOUND;
    if (kill((pid_t)pid, number) == 0)
        return OK;
    return errno == ESRCH ? ERR_NOT_FOUND : errno == EPERM ? ERR_DENIED : ERR_IO;
}

void process_local_time(int64_t unix_seconds, bool is_utc, LocalTime *out) {
    time_t seconds = (time_t)unix_seconds;
    struct tm parts = {0};
    if (is_utc)
        (void)gmtime_r(&seconds, &parts);
    else
        (void)localtime_r(&seconds, &parts);
    *out = (LocalTime){
        .year = parts.tm_year + 1900,
        .month = parts.tm_mon + 1,
        .day = parts.tm_mday,
        .hour = parts.tm_hour,
        .minute = parts.tm_min,
        .second = parts.tm_sec,
        .utc_offset_s = (int)parts.tm_gmtoff,
    };
}
