/* CPU quota: what a control group grants this process. Private to io/. */
#pragma once

/* CPUs rounded up, or 0 when nothing limits them. The files are parameters for tests:
 * "/proc/self/cgroup" and "/sys/fs/cgroup". Reads version 2 (cpu.max) and version 1
 * (cpu.cfs_quota_us); the tightest limit on the way up to the root counts. */
unsigned cpu_quota(const char *cgroup_file, const char *mount);
