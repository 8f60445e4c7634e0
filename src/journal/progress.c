#include "journal/progress.h"

void journal_progress_enter(JournalProgress *progress, JournalStage stage) {
    if (progress == NULL)
        return;
    counter_set(&progress->done, 0);
    counter_set(&progress->total, 0);
    counter_publish(&progress->stage, stage);
}

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
