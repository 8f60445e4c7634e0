#include "mutants.h"
#include "stream/stream_parts.h"

static Status load_duplicates(DupWindow *window, Slice *from) {
    Status status = dup_window_load(window, from);
    if (status == OK && is_mutant(FORGET_DUPLICATES))
        dup_window_done(window);
    return status;
}

#define dup_window_load(window, from) load_duplicates(window, from)
#include "stream/stream_save.c"
