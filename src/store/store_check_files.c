#include "store/store_check_files.h"

#include <string.h>

#include "io/disk.h"
#include "store/path.h"
#include "store/scrub.h"

typedef struct Folder {
    const char *dir;  /* of the store */
    const char *name; /* "", or of the folder in it */
    bool (*is_known)(const char *name, bool is_dir);
    StoreCheck *check;
} Folder;

static bool is_one_of(const char *name, const char *const *names) {
    for (size_t i = 0; names[i]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static bool is_of_store(const char *name, bool is_dir) {
    static const char *const files[] = {"LOCK",    "SUPER.a",        "SUPER.b", "scrub", "KEY",
                                        "KEY.tmp", "checkpoint.tmp", "BACKUP",  NULL};
    static const char *const folders[] = {"log", "idx", "bad", NULL};
    uint64_t number;
    return is_dir ? is_one_of(name, folders)
                  : is_one_of(name, files) || path_number_of(name, "checkpoint.", "", &number);
}

static bool is_of_log(const char *name, bool is_dir) {
    uint64_t number;
    return !is_dir && (path_number_of(name, "", ".log", &number) ||
                       path_number_of(name, "spare.", "", &number));
}

/* "<group>.<generation>.run"; with a "~" behind it, one that was not finished. */
static bool is_of_runs(const char *name, bool is_dir) {
    const char *dot = strchr(name, '.');
    char group[24];
    uint64_t number;
    if (is_dir || dot == NULL || (size_t)(dot - name) >= sizeof group)
        return false;
    memcpy(group, name, (size_t)(dot - name));
    group[dot - name] = '\0';
    return path_number_of(group, "", "", &number) && (path_number_of(dot, ".", ".run", &number) ||
                                                      path_number_of(dot, ".", ".run~", &number));
}

static void on_name(void *cookie, const char *name, bool is_dir) {
    const Folder *folder = cookie;
    if (folder->is_known(name, is_dir))
        return;
    char *path = folder->name[0] ? path_join(folder->name, name) : path_numbered(name, "", 0, "");
    if (!folder->name[0])
        path[strlen(name)] = '\0'; /* "<name>/0" was joined */
    vec_push(&folder->check->unknown, path);
}

static void on_bad(void *cookie, const char *name, bool is_dir) {
    const Folder *folder = cookie;
    CLEANUP(path_free) char *bad = path_join(folder->dir, "bad");
    CLEANUP(path_free) char *path = path_join(bad, name);
    DiskFile *file;
    uint64_t size;
    if (is_dir || disk_open(path, DISK_READ, &file) != OK)
        return;
    if (disk_size(file, &size) == OK) {
        folder->check->set_aside++;
        folder->check->set_aside_bytes += size;
    }
    disk_close(file);
}

static Status list(Folder *folder, void (*each)(void *, const char *, bool)) {
    CLEANUP(path_free) char *path = path_join(folder->dir, folder->name);
    Status status = disk_list(path, each, folder);
    return status == ERR_NOT_FOUND ? OK : status;
}

/* ERR_NOT_FOUND is none: a running server gave it up. */
static void check_run(Scrub *scrub, const ScrubFile *file, StoreCheck *check) {
    StoreRun run = {.group = file->group, .generation = file->number};
    ScrubDamages damages = {0};
    uint64_t bytes;
    Status status = scrub_begin(scrub, file);
    if (status == ERR_NOT_FOUND)
        return;
    if (status != OK)
        run.damage = "cannot be read";
    while (status == OK && !scrub_step(scrub, &bytes)) {
    }
    scrub_take(scrub, &damages);
    if (damages.len) {
        run.damage = damages.at[0].what;
        run.offset = damages.at[0].offset;
    }
    scrub_damages_done(&damages);
    vec_push(&check->runs, run);
}

static Status check_runs(const char *dir, StoreCheck *check) {
    ScrubFiles files = {0};
    Scrub *scrub = scrub_new(NULL, dir);
    Status status = scrub_list(scrub, &files);
    for (size_t i = 0; i < files.len && status == OK; i++)
        if (files.at[i].kind == SCRUB_RUN)
            check_run(scrub, &files.at[i], check);
    vec_done(&files);
    scrub_free(scrub);
    return status;
}

Status store_check_files(const char *dir, StoreCheck *check) {
    Folder folders[] = {{dir, "", is_of_store, check},
                        {dir, "log", is_of_log, check},
                        {dir, "idx", is_of_runs, check}};
    Folder bad = {.dir = dir, .name = "bad", .check = check};
    Status status = OK;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0] && status == OK; i++)
        status = list(&folders[i], on_name);
    if (status == OK)
        status = list(&bad, on_bad);
    return status == OK ? check_runs(dir, check) : status;
}
