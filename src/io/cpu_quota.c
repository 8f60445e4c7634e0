#include "io/cpu_quota.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/slice.h"

enum { LINE_BYTES = 4096 };

/* The first line of dir/name, or false. */
static bool first_line(const char *dir, const char *name, char line[LINE_BYTES]) {
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s/%s", dir, name);
    if (n < 0 || (size_t)n >= sizeof path)
        return false;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    bool has_line = fgets(line, LINE_BYTES, file) != NULL;
    (void)fclose(file);
    return has_line;
}

static unsigned whole_cpus(long long quota_us, long long period_us) {
    if (quota_us <= 0 || period_us <= 0)
        return 0;
    long long cpus = (quota_us - 1) / period_us + 1;
    return cpus < INT_MAX ? (unsigned)cpus : 0;
}

/* Version 2: "max 100000" or "150000 100000". */
static unsigned quota_v2(const char *dir) {
    char line[LINE_BYTES];
    if (!first_line(dir, "cpu.max", line))
        return 0;
    char *end;
    long long quota_us = strtoll(line, &end, 10);
    if (end == line) /* "max" */
        return 0;
    return whole_cpus(quota_us, strtoll(end, NULL, 10));
}

/* Version 1: quota -1 is no limit. */
static unsigned quota_v1(const char *dir) {
    char quota[LINE_BYTES], period[LINE_BYTES];
    if (!first_line(dir, "cpu.cfs_quota_us", quota) ||
        !first_line(dir, "cpu.cfs_period_us", period))
        return 0;
    return whole_cpus(strtoll(quota, NULL, 10), strtoll(period, NULL, 10));
}

/* The group and all above it. In a container the path may lead nowhere: then the root decides. */
static unsigned tightest(const char *base, Slice group, unsigned (*quota)(const char *dir)) {
    char dir[PATH_MAX];
    size_t base_len = strlen(base);
    int n = snprintf(dir, sizeof dir, "%s%.*s", base, SLICE_ARG(group));
    if (n < 0 || (size_t)n >= sizeof dir)
        return 0;

    unsigned least = 0;
    for (;;) {
        unsigned cpus = quota(dir);
        if (cpus != 0 && (least == 0 || cpus < least))
            least = cpus;
        char *slash = strrchr(dir, '/');
        if (slash == NULL || (size_t)(slash - dir) < base_len)
            return least;
        *slash = '\0';
    }
}

static bool has_cpu_controller(Slice controllers) {
    Slice name;
    while (slice_cut(&controllers, ',', &name))
        if (slice_equal(name, LIT("cpu")))
            return true;
    return false;
}

/* "hierarchy:controllers:path"; version 2 is "0::path". */
static unsigned quota_of_line(Slice line, const char *mount) {
    Slice hierarchy, controllers;
    if (!slice_cut(&line, ':', &hierarchy) || !slice_cut(&line, ':', &controllers) ||
        line.ptr == NULL)
        return 0;
    if (controllers.len == 0)
        return tightest(mount, line, quota_v2);
    if (!has_cpu_controller(controllers))
        return 0;

    char base[PATH_MAX];
    int n = snprintf(base, sizeof base, "%s/cpu", mount);
    if (n < 0 || (size_t)n >= sizeof base)
        return 0;
    return tightest(base, line, quota_v1);
}

unsigned cpu_quota(const char *cgroup_file, const char *mount) {
    FILE *file = fopen(cgroup_file, "re");
    if (file == NULL)
        return 0;
    unsigned least = 0;
    char line[LINE_BYTES];
    while (fgets(line, sizeof line, file)) {
        unsigned cpus = quota_of_line(slice_trim(slice_of_text(line)), mount);
        if (cpus != 0 && (least == 0 || cpus < least))
            least = cpus;
    }
    (void)fclose(file);
    return least;
}
