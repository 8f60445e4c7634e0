#include "store/bad.h"

#include <stdio.h>

#include "base/log.h"
#include "io/disk.h"
#include "store/path.h"

void bad_keep(const char *bad_dir, const char *name, const char *bytes, size_t len) {
    CLEANUP(path_free) char *path = path_join(bad_dir, name);
    DiskFile *file;
    if (disk_open(path, DISK_WRITE | DISK_CREATE | DISK_EXCLUSIVE, &file) != OK)
        return; /* mostly: copied before */
    struct iovec part = {(void *)(uintptr_t)bytes, len};
    if (disk_write(file, &part, 1, 0) != OK)
        LOG_WARNING("damaged bytes not copied", "path=%s", path);
    disk_close(file);
}

void bad_keep_block(const char *bad_dir, Place at, const char *bytes, size_t len) {
    char name[80];
    (void)snprintf(name, sizeof name, "log-%llu-%llu.block", (unsigned long long)place_segment(at),
                   (unsigned long long)place_offset(at));
    bad_keep(bad_dir, name, bytes, len);
}
