#include "stream/subject_base.h"

#include <string.h>

#include "base/mem.h"

SubjectBase *subject_base_new(const Run *run) {
    SubjectBase *base = mem_zalloc(sizeof *base);
    base->run = run;
    base->found = UINT32_MAX;
    base->changed = mem_zalloc((run_subject_count(run) / 64 + 1) * sizeof *base->changed);
    run_common_prefix(run, &base->common);
    return base;
}

void subject_base_free(SubjectBase *base) {
    if (!base)
        return;
    for (unsigned i = 0; i < SUBJECT_BASE_COPIES; i++)
        mem_free(base->copies[i]);
    map64_done(&base->taken);
    buf_done(&base->text);
    buf_done(&base->common);
    mem_free(base->changed);
    mem_free(base);
}

void subject_base_take(SubjectBase *base, uint32_t ordinal, SubjectId id) {
    base->changed[ordinal / 64] |= 1ull << (ordinal % 64);
    map64_put(&base->taken, ordinal, (void *)(uintptr_t)id);
}

SubjectId subject_base_taken(const SubjectBase *base, uint32_t ordinal) {
    return (SubjectId)(uintptr_t)map64_get(&base->taken, ordinal);
}

void subject_base_found(SubjectBase *base, uint32_t ordinal, Slice text) {
    base->found = ordinal;
    base->found_at = base->copy_at;
    (void)subject_base_copy_as(base, ordinal, text);
}

SubjectEntry *subject_base_copy(SubjectBase *base, uint32_t ordinal) {
    /* Good for some time yet. */
    if (ordinal == base->found && base->copy_at - base->found_at < SUBJECT_BASE_COPIES / 4)
        return base->copies[base->found_at % SUBJECT_BASE_COPIES];
    run_subject_text(base->run, ordinal, &base->text);
    return subject_base_copy_as(base, ordinal, buf_slice(&base->text));
}

SubjectEntry *subject_base_copy_as(SubjectBase *base, uint32_t ordinal, Slice text) {
    unsigned at = base->copy_at++ % SUBJECT_BASE_COPIES;
    size_t need = sizeof(SubjectEntry) + text.len;
    if (base->copy_caps[at] < need) {
        base->copies[at] = mem_realloc(base->copies[at], need + 32);
        base->copy_caps[at] = need + 32;
    }
    RunSubject state;
    run_subject(base->run, ordinal, &state);
    SubjectEntry *copy = base->copies[at];
    *copy = (SubjectEntry){.first = state.first,
                           .last = state.last,
                           .count = (uint32_t)state.count,
                           .len = (uint16_t)text.len};
    memcpy(copy->text, text.ptr, text.len);
    return copy;
}
