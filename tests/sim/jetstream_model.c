#include "jetstream_model.h"

const char *const model_names[STREAMS] = {"L", "I", "W"};
const char *const model_subjects[SUBJECTS] = {"a", "b", "c", "d", "a.x", "b.x"};
const char *const model_filters[FILTERS] = {">", "a", "*", "*.x"};

bool model_covers(unsigned filter, unsigned subject) {
    return filter == 0 || (filter == 1 && subject == 0) || (filter == 2 && subject < 4) ||
           (filter == 3 && subject >= 4);
}

bool model_wants(const ModelStream *stream, const ModelConsumer *consumer, uint64_t seq) {
    return consumer->exists && stream->msgs[seq].is_live &&
           model_covers(consumer->filter, stream->msgs[seq].subject) &&
           !consumer->takes[seq].is_acked;
}

bool model_is_needed(const ModelStream *stream, uint64_t seq) {
    for (unsigned c = 0; c < CONSUMERS; c++)
        if (model_wants(stream, &stream->consumers[c], seq))
            return true;
    return false;
}

void model_drop(ModelStream *stream, uint64_t seq) {
    stream->msgs[seq].is_live = false;
    for (unsigned c = 0; c < CONSUMERS; c++)
        stream->consumers[c].takes[seq].is_pending = false;
}

uint64_t model_count(const ModelStream *stream, int subject, uint64_t *out_first,
                     uint64_t *out_last) {
    uint64_t n = 0;
    *out_first = *out_last = 0;
    for (uint64_t seq = 1; seq <= stream->last; seq++)
        if (stream->msgs[seq].is_live && (subject < 0 || stream->msgs[seq].subject == subject)) {
            *out_first = n++ ? *out_first : seq;
            *out_last = seq;
        }
    return n;
}

static void model_limits(ModelStream *stream, unsigned subject) {
    uint64_t first, last;
    while (stream->max_per_subject &&
           model_count(stream, (int)subject, &first, &last) > stream->max_per_subject)
        model_drop(stream, first);
    while (stream->max_msgs && model_count(stream, -1, &first, &last) > stream->max_msgs)
        model_drop(stream, first);
}

void model_store(ModelStream *stream, unsigned subject, uint32_t payload) {
    uint64_t seq = ++stream->last;
    bool is_wanted = stream->kind != INTEREST;
    for (unsigned c = 0; c < CONSUMERS; c++)
        is_wanted |=
            stream->consumers[c].exists && model_covers(stream->consumers[c].filter, subject);
    stream->msgs[seq] = (ModelMsg){is_wanted, (uint8_t)subject, payload};
    if (is_wanted)
        model_limits(stream, subject);
}

void model_finish(ModelStream *stream, ModelConsumer *consumer, uint64_t seq) {
    ModelTake *take = &consumer->takes[seq];
    take->is_pending = false;
    take->is_acked = true;
    if (stream->kind == WORKQUEUE || (stream->kind == INTEREST && !model_is_needed(stream, seq)))
        model_drop(stream, seq);
}
