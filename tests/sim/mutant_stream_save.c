#include "mutants.h"
#include "stream/stream_parts.h"

static Status load_duplicates(DupWindow *window, Slice *from) {
    Status status = dup_window_load(window, from);
    if (status == OK && is_mutant(FORGET_DUPLICATES))
        dup_window_done(window);
    return status;
}

static Status load_schedules(Stream *stream, Slice bytes) {
    return is_mutant(FORGET_SCHEDULES) ? OK : schedules_load(stream, bytes);
}

static Status load_leases(Stream *stream, Slice bytes) {
    return is_mutant(FORGET_LEASES) ? OK : leases_load(stream, bytes);
}

#define dup_window_load(window, from) load_duplicates(window, from)
#define schedules_load                load_schedules
#define leases_load                   load_leases
#include "stream/stream_save.c"
