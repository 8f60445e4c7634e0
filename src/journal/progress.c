#include "journal/progress.h"

#include "base/mem.h"

void journal_progress_init(JournalProgress *progress) {
    progress->baton = baton_new();
}

void journal_progress_done(JournalProgress *progress) {
    journal_progress_forget(progress);
    baton_free(progress->baton);
    progress->baton = NULL;
}

void journal_progress_enter(JournalProgress *progress, JournalStage stage) {
    if (progress == NULL)
        return;
    counter_set(&progress->done, 0);
    counter_set(&progress->total, 0);
    counter_publish(&progress->stage, stage);
}

/* --- names --- */

static bool begin(JournalProgress *progress) {
    if (progress == NULL || progress->baton == NULL)
        return false;
    baton_take(progress->baton);
    return true;
}

static void end(JournalProgress *progress) {
    baton_release(progress->baton);
}

void journal_progress_expect(JournalProgress *progress, Slice name) {
    if (!begin(progress))
        return;
    if (map_get(&progress->waiting, name) == NULL) {
        char *copy = slice_to_text(name);
        (void)map_put(&progress->waiting, slice_from(copy, name.len), copy);
    }
    end(progress);
}

void journal_progress_drop(JournalProgress *progress, Slice name) {
    if (!begin(progress))
        return;
    mem_free(map_remove(&progress->waiting, name));
    end(progress);
}

void journal_progress_forget(JournalProgress *progress) {
    if (!begin(progress))
        return;
    Slice key;
    void *name;
    for (size_t at = 0; map_next(&progress->waiting, &at, &key, &name);)
        mem_free(name);
    map_done(&progress->waiting);
    progress->waiting = (Map){0};
    end(progress);
}

bool journal_progress_waits_for(JournalProgress *progress, Slice name) {
    if (!begin(progress))
        return false;
    bool waits = map_get(&progress->waiting, name) != NULL;
    end(progress);
    return waits;
}

size_t journal_progress_names(JournalProgress *progress, size_t max, Buf *out) {
    if (!begin(progress))
        return 0;
    Slice key;
    void *name;
    size_t count = progress->waiting.len, left = max;
    for (size_t at = 0; left > 0 && map_next(&progress->waiting, &at, &key, &name); left--) {
        buf_append(out, key);
        buf_append_char(out, '\n');
    }
    end(progress);
    return count;
}

/* --- the stage --- */

void journal_progress_write(const JournalProgress *progress, Buf *out) {
    unsigned long long done = counter_get(&progress->done), total = counter_get(&progress->total);
    switch ((JournalStage)counter_observe(&progress->stage)) {
    case STAGE_OPENING:
        buf_append_lit(out, "opening the store");
        break;
    case STAGE_CHECKPOINT:
        buf_printf(out, "loading the checkpoint, %llu streams so far", done);
        break;
    case STAGE_LOG:
        if (total)
            buf_printf(out, "reading the log, segment %llu of %llu",
                       done < total ? done + 1 : total, total);
        else
            buf_append_lit(out, "looking for the end of the log");
        break;
    case STAGE_STARTING:
        buf_append_lit(out, "starting the streams");
        break;
    case STAGE_READY:
        buf_append_lit(out, "ready");
        break;
    }
}
