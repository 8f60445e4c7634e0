/* A stream's logged consumers in its checkpoint.
 *
 *   u8 version (1) | varint count, then for each, in any order:
 *   text name | varint created | text config (JSON) | u8 flags | varint delivered dseq, sseq |
 * varint floor dseq, sseq | varint initial_upto | varint consumed_sseq | varint n pending: (sseq -
 * previous, dseq, deliveries) | varint n given up: (sseq - previous, dseq) | from version 2 on:
 * varint n delayed: (sseq - previous, wall time in ns when it is due). text is a varint length and
 * bytes. Deliveries that are in memory but not yet in the log are in it: applying them again does
 * no harm. */
#include "base/limits.h"
#include "base/log.h"
#include "io/clock.h"
#include "stream/consumer.h"

enum { STATE_VERSION = 2, STATE_VERSION_UNDELAYED = 1, FLAG_INITIAL = 1 };

static void write_text(Buf *out, Slice text) {
    varint_write(out, text.len);
    buf_append(out, text);
}

static void save_delayed(const Consumer *consumer, Buf *out) {
    const Pending *pending = consumer->acks ? &consumer->acks->pending : NULL;
    uint64_t before = 0, count = 0;
    uint64_t shift = consumer->is_started ? (uint64_t)clock_wall_ns() - consumer->home->now_ns : 0;
    for (const PendingEntry *entry = pending ? pending_above(pending, 0) : NULL; entry;
         entry = pending_above(pending, entry->sseq))
        count += (entry->flags & PENDING_DELAYED) != 0;
    varint_write(out, count);
    for (const PendingEntry *entry = count ? pending_above(pending, 0) : NULL; entry;
         entry = pending_above(pending, entry->sseq)) {
        if (!(entry->flags & PENDING_DELAYED))
            continue;
        varint_write(out, entry->sseq - before);
        varint_write(out, entry->due_ns + shift);
        before = entry->sseq;
    }
}

void consumer_save(const Consumer *consumer, Buf *out) {
    ConsumerConfig config = consumer_whole_config(consumer);
    const Acks *acks = consumer->acks;
    SeqPair floor = consumer_tracks_acks(consumer) ? consumer->floor : consumer->delivered;
    Buf json = {0};
    consumer_config_write(&json, &config, false);
    write_text(out, consumer_name(consumer));
    varint_write(out, (uint64_t)consumer->created_ns);
    write_text(out, buf_slice(&json));
    buf_done(&json);
    buf_append_char(out, consumer->is_initial ? FLAG_INITIAL : 0);
    varint_write(out, consumer->delivered.dseq);
    varint_write(out, consumer->delivered.sseq);
    varint_write(out, floor.dseq);
    varint_write(out, floor.sseq);
    varint_write(out, consumer->initial_upto);
    varint_write(out, consumer->delta ? consumer->delta->consumed_sseq : 0);
    varint_write(out, consumer_pending_count(consumer));
    uint64_t before = 0;
    for (PendingEntry *entry = acks ? pending_above(&acks->pending, 0) : NULL; entry;
         entry = pending_above(&acks->pending, before)) {
        varint_write(out, entry->sseq - before);
        varint_write(out, entry->dseq);
        varint_write(out, entry->deliveries);
        before = entry->sseq;
    }
    before = 0;
    varint_write(out, acks ? acks->given_up.len : 0);
    for (size_t i = 0; acks && i < acks->given_up.len; i++) {
        varint_write(out, acks->given_up.at[i].sseq - before);
        varint_write(out, acks->given_up.at[i].dseq);
        before = acks->given_up.at[i].sseq;
    }
    save_delayed(consumer, out);
}

void consumer_restore_write(Buf *out, const RestoredConsumer *from) {
    Buf json = {0};
    consumer_config_write(&json, from->config, false);
    buf_append_char(out, STATE_VERSION);
    write_text(out, from->name);
    varint_write(out, (uint64_t)from->created_ns);
    write_text(out, buf_slice(&json));
    buf_done(&json);
    buf_append_char(out, 0);
    varint_write(out, from->delivered_dseq);
    varint_write(out, from->delivered_sseq);
    varint_write(out, from->floor_dseq);
    varint_write(out, from->floor_sseq);
    varint_write(out, 0);
    varint_write(out, from->delivered_sseq);
    varint_write(out, from->pending_count);
    uint64_t before = 0;
    for (size_t i = 0; i < from->pending_count; i++) {
        varint_write(out, from->pending[i].sseq - before);
        varint_write(out, from->pending[i].dseq);
        varint_write(out, from->pending[i].deliveries);
        before = from->pending[i].sseq;
    }
    varint_write(out, 0);
    varint_write(out, 0);
}

void consumer_set_save(const ConsumerSet *set, Buf *out) {
    Consumer **consumers = mem_alloc((set->all.len + 1) * sizeof *consumers);
    size_t n = 0;
    for (size_t i = 0; i < set->all.len; i++)
        if (set->all.at[i]->is_logged)
            consumers[n++] = set->all.at[i];
    consumer_sort(consumers, n);
    buf_append_char(out, STATE_VERSION);
    varint_write(out, n);
    for (size_t i = 0; i < n; i++)
        consumer_save(consumers[i], out);
    mem_free(consumers);
}

typedef struct ConsumerSaving {
    Buf bytes;
    uint64_t count;
    size_t at; /* in set->all: those before it are saved */
} ConsumerSaving;

void consumer_set_save_begin(ConsumerSet *set) {
    ASSERT(set->saving == NULL);
    set->saving = mem_zalloc(sizeof *set->saving);
    set->save_round++;
}

void consumer_save_early(Consumer *consumer) {
    ConsumerSet *set = consumer->set;
    if (!consumer->is_logged || consumer->saved_in == set->save_round)
        return;
    consumer->saved_in = set->save_round;
    consumer_save(consumer, &set->saving->bytes);
    set->saving->count++;
}

bool consumer_set_save_one(ConsumerSet *set) {
    if (set->saving->at >= set->all.len)
        return false;
    consumer_save_early(set->all.at[set->saving->at++]);
    return true;
}

void consumer_set_save_end(ConsumerSet *set, Buf *out) {
    ConsumerSaving *saving = set->saving;
    if (out) {
        buf_append_char(out, STATE_VERSION);
        varint_write(out, saving->count);
        buf_append(out, buf_slice(&saving->bytes));
    }
    buf_done(&saving->bytes);
    mem_free(saving);
    set->saving = NULL;
}

static Status read_text(Slice *rest, Slice *out_text) {
    uint64_t len;
    if (varint_read(rest, &len) != OK || len > rest->len)
        return ERR_CORRUPT;
    *out_text = slice_first(*rest, len);
    *rest = slice_from_at(*rest, len);
    return OK;
}

static Status read_numbers(Slice *rest, uint64_t *numbers, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (varint_read(rest, &numbers[i]) != OK)
            return ERR_CORRUPT;
    return OK;
}

static Status load_pending(Consumer *consumer, Slice *rest) {
    uint64_t count, fields[3], sseq = 0;
    if (varint_read(rest, &count) != OK)
        return ERR_CORRUPT;
    for (; count > 0; count--) {
        if (read_numbers(rest, fields, 3) != OK || fields[0] == 0 ||
            fields[0] > UINT64_MAX - sseq || fields[2] == 0 || fields[2] > UINT32_MAX)
            return ERR_CORRUPT;
        sseq += fields[0];
        Acks *acks = consumer_need_acks(consumer);
        pending_add(&acks->pending, sseq, fields[1], (uint32_t)fields[2], 0);
        acks->redelivered += fields[2] > 1;
    }
    return OK;
}

static Status load_given_up(Consumer *consumer, Slice *rest) {
    uint64_t count, fields[2], sseq = 0;
    if (varint_read(rest, &count) != OK)
        return ERR_CORRUPT;
    for (; count > 0; count--) {
        if (read_numbers(rest, fields, 2) != OK || fields[0] == 0 || fields[0] > UINT64_MAX - sseq)
            return ERR_CORRUPT;
        sseq += fields[0];
        GivenUp given_up = {sseq, fields[1]};
        vec_push(&consumer_need_acks(consumer)->given_up, given_up);
    }
    return OK;
}

static Status load_delayed(Consumer *consumer, Slice *rest) {
    uint64_t count, fields[2], sseq = 0;
    if (varint_read(rest, &count) != OK)
        return ERR_CORRUPT;
    for (; count > 0; count--) {
        if (read_numbers(rest, fields, 2) != OK || fields[0] == 0 || fields[0] > UINT64_MAX - sseq)
            return ERR_CORRUPT;
        sseq += fields[0];
        Acks *acks = consumer_need_acks(consumer);
        PendingEntry *entry = pending_find(&acks->pending, sseq);
        if (entry == NULL || fields[1] == 0)
            return ERR_CORRUPT;
        pending_set_due(&acks->pending, entry, fields[1]);
        entry->flags |= PENDING_DELAYED;
    }
    return OK;
}

static Status load_numbers(Consumer *consumer, Slice *rest, int version) {
    enum {
        DELIVERED_DSEQ,
        DELIVERED_SSEQ,
        FLOOR_DSEQ,
        FLOOR_SSEQ,
        INITIAL_UPTO,
        CONSUMED,
        NUMBERS
    };
    uint64_t numbers[NUMBERS];
    if (rest->len == 0)
        return ERR_CORRUPT;
    consumer->is_initial = rest->ptr[0] & FLAG_INITIAL;
    *rest = slice_from_at(*rest, 1);
    if (read_numbers(rest, numbers, NUMBERS) != OK || numbers[DELIVERED_SSEQ] == UINT64_MAX)
        return ERR_CORRUPT;
    consumer->delivered = (SeqPair){numbers[DELIVERED_DSEQ], numbers[DELIVERED_SSEQ]};
    consumer->floor = (SeqPair){numbers[FLOOR_DSEQ], numbers[FLOOR_SSEQ]};
    consumer->next_seq = consumer->delivered.sseq + 1;
    consumer->initial_upto = numbers[INITIAL_UPTO];
    if (consumer->delta)
        consumer->delta->consumed_sseq = numbers[CONSUMED];
    Status status = load_pending(consumer, rest);
    if (status == OK)
        status = load_given_up(consumer, rest);
    return status == OK && version >= STATE_VERSION ? load_delayed(consumer, rest) : status;
}

/* is_restore: from an archive, where consumers that the log does not keep are too. */
static Status load_one(ConsumerSet *set, Slice *rest, int version, bool is_restore,
                       bool is_recovery) {
    Slice name, json;
    uint64_t created;
    ConsumerConfig *config;
    if (read_text(rest, &name) != OK || varint_read(rest, &created) != OK ||
        read_text(rest, &json) != OK || name.len == 0 || name.len > LIMIT_NAME_BYTES ||
        consumer_set_find(set, name))
        return ERR_CORRUPT;
    Status status = consumer_config_parse_stored(json, &config);
    if (status != OK)
        return status;
    bool is_logged = !is_restore || consumer_set_logs(set, config);
    if (!is_logged && is_recovery) {
        consumer_config_free(config);
        return OK;
    }
    Consumer *consumer =
        consumer_new(set, config, &(ConsumerBirth){name, is_logged, (int64_t)created});
    consumer_config_free(config);
    status = load_numbers(consumer, rest, version);
    if (status != OK && is_restore)
        consumer_free(consumer);
    else
        consumer_note_behind(consumer);
    return status;
}

static bool is_known(Slice saved) {
    return saved.len && (saved.ptr[0] == STATE_VERSION || saved.ptr[0] == STATE_VERSION_UNDELAYED);
}

void consumer_set_apply_restore(ConsumerSet *set, const Record *record, bool is_recovery) {
    Slice rest = slice_from_at(record->payload, 1);
    Status status = ERR_VERSION;
    if (is_known(record->payload))
        status = load_one(set, &rest, record->payload.ptr[0], true, is_recovery);
    if (status != OK)
        LOG_ERR("restored consumer not understood", "stream=%.*s status=%s",
                SLICE_ARG(stream_name(set->stream)), status_text(status));
}

Status consumer_set_load(ConsumerSet *set, Slice saved) {
    uint64_t count;
    if (saved.len == 0)
        return ERR_CORRUPT;
    if (!is_known(saved))
        return ERR_VERSION;
    Slice rest = slice_from_at(saved, 1);
    if (varint_read(&rest, &count) != OK)
        return ERR_CORRUPT;
    for (; count > 0; count--) {
        Status status = load_one(set, &rest, saved.ptr[0], false, true);
        if (status != OK)
            return status;
    }
    return rest.len == 0 ? OK : ERR_CORRUPT;
}
