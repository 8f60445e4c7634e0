/* SubjectBase: the part of a SubjectIndex that lies in a run (store/run.h), and which of its
 * subjects were taken over to the heap. Private to subject_index.c. */
#pragma once

#include "base/map.h"
#include "store/run.h"
#include "stream/subject_index.h"

#define SUBJECT_OF_RUN (1u << 31)

enum { SUBJECT_BASE_COPIES = 128 };

struct SubjectBase {
    const Run *run;
    uint64_t *changed; /* by ordinal: what the run says of it counts no longer */
    Map64 taken;       /* ordinal -> id, for those that are on the heap */
    SubjectEntry *copies[SUBJECT_BASE_COPIES];
    size_t copy_caps[SUBJECT_BASE_COPIES];
    unsigned copy_at;
    uint32_t found; /* the one that was found last: copied before it is asked for */
    unsigned found_at;
    Buf text;
    Buf common; /* what all begin with */
};

SubjectBase *subject_base_new(const Run *run);
/* NULL-safe. */
void subject_base_free(SubjectBase *base);

static inline bool subject_base_is_changed(const SubjectBase *base, uint32_t ordinal) {
    return base->changed[ordinal / 64] >> (ordinal % 64) & 1;
}
void subject_base_take(SubjectBase *base, uint32_t ordinal, SubjectId id);
/* Of a changed one. */
SubjectId subject_base_taken(const SubjectBase *base, uint32_t ordinal);
/* One that is not changed was found by its text, and will be asked for. */
void subject_base_found(SubjectBase *base, uint32_t ordinal, Slice text);
/* Of one that is not changed. */
SubjectEntry *subject_base_copy(SubjectBase *base, uint32_t ordinal);
/* The same for who knows its text. */
SubjectEntry *subject_base_copy_as(SubjectBase *base, uint32_t ordinal, Slice text);
