#include "store/key_file.h"

#include <stddef.h>
#include <string.h>

#include "base/hash.h"
#include "io/disk.h"
#include "store/path.h"

enum { KEY_FILE_VERSION = 1 };
static const char MAGIC[8] = {'H', 'W', 'S', 'T', 'O', 'K', 'E', 'Y'};

typedef struct KeyFile {
    char magic[8];
    uint32_t version, zero;
    WrappedKey key;
    uint64_t checksum;
} KeyFile;
_Static_assert(sizeof(KeyFile) == 144, "a key file is 144 bytes on disk");

Status key_file_read(const char *dir, WrappedKey *out_key) {
    CLEANUP(path_free) char *path = path_join(dir, "KEY");
    DiskFile *file;
    KeyFile content;
    Status status = disk_open(path, DISK_READ, &file);
    if (status != OK)
        return status;
    status = disk_read(file, &content, sizeof content, 0);
    disk_close(file);
    if (status != OK)
        return status == ERR_RANGE ? ERR_CORRUPT : status;
    if (memcmp(content.magic, MAGIC, sizeof MAGIC) != 0 ||
        content.checksum != hash_checksum(&content, offsetof(KeyFile, checksum)))
        return ERR_CORRUPT;
    if (content.version != KEY_FILE_VERSION)
        return ERR_VERSION;
    *out_key = content.key;
    return OK;
}

static Status write_new(const char *path, const KeyFile *content) {
    DiskFile *file;
    Status status = disk_open(path, DISK_WRITE | DISK_CREATE | DISK_TRUNCATE, &file);
    if (status != OK)
        return status;
    struct iovec part = {(void *)(uintptr_t)content, sizeof *content};
    status = disk_write(file, &part, 1, 0);
    if (status == OK)
        status = disk_sync(file);
    disk_close(file);
    return status;
}

Status key_file_write(const char *dir, const WrappedKey *key) {
    CLEANUP(path_free) char *path = path_join(dir, "KEY");
    CLEANUP(path_free) char *temporary = path_join(dir, "KEY.tmp");
    KeyFile content = {.version = KEY_FILE_VERSION, .key = *key};
    WrappedKey known;
    if (key_file_read(dir, &known) == OK && memcmp(&known, key, sizeof known) == 0)
        return OK;
    memcpy(content.magic, MAGIC, sizeof MAGIC);
    content.checksum = hash_checksum(&content, offsetof(KeyFile, checksum));
    Status status = write_new(temporary, &content);
    if (status == OK)
        status = disk_rename(temporary, path);
    return status == OK ? disk_sync_dir(dir) : status;
}
