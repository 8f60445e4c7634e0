/* Simulated disk: io/disk.h in memory, for one thread, with everything that real ones do to data.
 *
 * What was not synced is lost, kept, or half of each at a power cut, sector by sector; names that
 * were not synced with their directory are forgotten from the newest backwards. Links before io's
 * own implementation. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "io/disk.h"

enum { SECTOR_BYTES = 512 };

/* An empty disk. capacity_bytes 0 = endless. */
void disk_sim_reset(uint64_t seed, uint64_t capacity_bytes);
void disk_sim_done(void);

/* The n-th changing call from now (1 = the next) is the last: it happens in part or not at all, and
 * everything after it fails until disk_sim_power_cut or disk_sim_kill. 0 = never. */
void disk_sim_stop_after(uint64_t calls);
bool disk_sim_is_stopped(void);

/* The n-th write or sync from now fails, once, with ERR_IO. 0 = never. */
void disk_sim_fail_after(uint64_t calls);

/* The same for `count` calls from the n-th on, names included: a device that fails for a while. Of
 * what a failed sync was to bring to disk any part may be there, may still come, or never does, and
 * what the system has in memory may look as if it were. calls 0: it works. */
void disk_sim_fail_for(uint64_t calls, uint64_t count);

/* The process is dead from now on: as after the last call of disk_sim_stop_after. */
void disk_sim_stop_now(void);

/* The n-th read from now fails, with ERR_IO, and so do the next ones, `times` in all. 0 = never. */
void disk_sim_fail_reads(uint64_t after, uint64_t times);
/* A mutation: syncs say that all is well and do nothing. */
void disk_sim_lie(bool is_lying);

/* The machine lost power and is on again: what was not synced may be gone. */
void disk_sim_power_cut(void);
/* Only the process died: the system still has what was written, synced or not. */
void disk_sim_kill(void);

void disk_sim_set_capacity(uint64_t capacity_bytes);
uint64_t disk_sim_used(void);

/* Damages one bit of what is stored. False when there is no such byte. */
bool disk_sim_flip(const char *path, uint64_t offset, unsigned bit);
/* Replaces a file's bytes (made when absent), synced. */
void disk_sim_put(const char *path, const void *bytes, uint64_t len);
/* Borrowed until the next call; NULL when there is no such file. */
const char *disk_sim_bytes(const char *path, uint64_t *out_len);
/* The n-th existing file, or NULL. */
const char *disk_sim_name(size_t n);
