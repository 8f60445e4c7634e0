/* Random operations on a stream against a model that is as simple as can be, and recovery from
 * checkpoints and log against the stream. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/mem.h"
#include "base/vec.h"
#include "io/clock.h"
#include "io/disk.h"
#include "proto/headers.h"
#include "proto/subject.h"
#include "stream/packed.h"
#include "stream/stream_fake.h"
#include "stream/stream_move.h"

enum { SUBJECTS = 12, TEXT = 256, CHECKPOINTS = 64, MOVE_SEGMENTS = 40 };

static const char *const subjects[SUBJECTS] = {"s.a",       "s.b",     "s.c",     "s.a.x",
                                               "s.a.y",     "s.b.x",   "s.a.x.1", "s.a.x.2",
                                               "s.b.x.y.z", "s.a.b.c", "s.d",     "s.e.f"};
static const char *const patterns[] = {
    ">",      "s.*",   "s.>",     "s.a.>",   "s.*.x", "s.*.*.*", "s.a",       "s.a.x.1",
    "s.nope", "*.b.>", "s.a.*.1", "s.*.x.>", "x.>",   "s.a.x.*", "s.b.x.y.z", "s.*.b.c"};

typedef struct ModelMsg {
    bool is_live, never, has_marker;
    int64_t time_ns, due_ns;
    const char *subject;
    char headers[TEXT], payload[TEXT];
} ModelMsg;

typedef struct ModelId {
    char id[32];
    uint64_t seq;
    int64_t time_ns;
} ModelId;

/* What all payloads are made of: few are different. */
enum { PAYLOAD_MAX = 40, CHUNK_MIN = 20 };
static const char all_p[] = "pppppppppppppppppppppppppppppppppppppppp";
_Static_assert(sizeof all_p == PAYLOAD_MAX + 1, "so long are they at most");

/* The stream as it should be: arrays that are searched from end to end. */
static struct {
    const StreamConfig *config;
    bool is_file;
    uint64_t first, last;
    VEC(ModelMsg) messages; /* [seq - base] */
    uint64_t base;
    VEC(ModelId) ids;
    char last_id[32];
    char reply[2 * TEXT];
    const char *subject_texts[SUBJECTS];
} model;

static ModelMsg *model_at(uint64_t seq) {
    return seq >= model.base && seq - model.base < model.messages.len
               ? &model.messages.at[seq - model.base]
               : NULL;
}

static bool model_is_live(uint64_t seq) {
    const ModelMsg *msg = model_at(seq);
    return msg && msg->is_live;
}

static uint64_t model_size(const ModelMsg *msg) {
    size_t n = strlen(msg->subject) + strlen(msg->headers) + strlen(msg->payload);
    return model.is_file ? n + 30 + (msg->headers[0] ? 4 : 0) : n + 16;
}

static void model_sum(uint64_t *count, uint64_t *bytes) {
    *count = *bytes = 0;
    for (size_t i = 0; i < model.messages.len; i++)
        if (model.messages.at[i].is_live) {
            ++*count;
            *bytes += model_size(&model.messages.at[i]);
        }
}

static uint64_t model_of_subject(Slice subject, uint64_t *out_first, uint64_t *out_last) {
    uint64_t count = 0;
    *out_first = *out_last = 0;
    for (size_t i = 0; i < model.messages.len; i++) {
        ModelMsg *msg = &model.messages.at[i];
        if (!msg->is_live || !slice_equal(slice_of_text(msg->subject), subject))
            continue;
        if (!count++)
            *out_first = model.base + i;
        *out_last = model.base + i;
    }
    return count;
}

static void model_settle_first(void) {
    while (model.first <= model.last && !model_is_live(model.first))
        model.first++;
}

static void model_drop(uint64_t seq) {
    model_at(seq)->is_live = false;
    model_settle_first();
}

static void model_limits(Slice subject) {
    uint64_t count, bytes, first, last;
    const StreamConfig *config = model.config;
    while (config->max_msgs_per_subject > 0 &&
           model_of_subject(subject, &first, &last) > (uint64_t)config->max_msgs_per_subject)
        model_drop(first);
    if (config->discard == DISCARD_NEW)
        return;
    for (;;) {
        model_sum(&count, &bytes);
        if (count == 0 || ((config->max_msgs <= 0 || count <= (uint64_t)config->max_msgs) &&
                           (config->max_bytes <= 0 || bytes <= (uint64_t)config->max_bytes)))
            return;
        model_drop(model.first);
    }
}

static const char *known_text(Slice subject) {
    for (unsigned i = 0; i < SUBJECTS; i++)
        if (slice_equal(slice_of_text(subjects[i]), subject))
            return subjects[i];
    return NULL;
}

static bool get(Slice headers, const char *name, char *out) {
    Slice value;
    out[0] = 0;
    if (!headers.len || !header_get(headers, slice_of_text(name), &value))
        return false;
    snprintf(out, TEXT, "%.*s", SLICE_ARG(value));
    return true;
}

static void copy_text(char *to, Slice from) {
    assert_true(from.len < TEXT);
    if (from.len)
        memcpy(to, from.ptr, from.len);
    to[from.len] = 0;
}

static uint64_t model_store(Slice subject, Slice headers, Slice payload, int64_t time_ns) {
    char value[TEXT];
    ModelMsg msg = {
        .is_live = true, .time_ns = time_ns, .subject = known_text(subject), .due_ns = INT64_MAX};
    copy_text(msg.headers, headers);
    copy_text(msg.payload, payload);
    if (get(headers, "Nats-TTL", value)) {
        msg.never = strcmp(value, "never") == 0;
        if (!msg.never)
            msg.due_ns = time_ns + atoll(value) * NS_PER_S;
    }
    msg.has_marker = !get(headers, "Nats-Marker-Reason", value) &&
                     !(get(headers, "KV-Operation", value) && strcmp(value, "PURGE") == 0);
    bool is_empty = model.first > model.last;
    model.last++;
    if (model.messages.len == 0)
        model.base = model.last;
    vec_push(&model.messages, msg);
    if (is_empty)
        model.first = model.last;
    uint64_t seq = model.last;
    model_limits(subject);
    model_settle_first();
    return seq;
}

static bool wants(Slice subject) {
    return !slice_starts_with(subject, LIT("s.b"));
}

static void refuse(unsigned http, unsigned code, const char *text) {
    snprintf(model.reply, sizeof model.reply,
             "{\"error\":{\"code\":%u,\"err_code\":%u,\"description\":\"%s\"},\"stream\":\"S\","
             "\"seq\":0}",
             http, code, text);
}

static void refuse_last(uint64_t actual) {
    char text[64];
    snprintf(text, sizeof text, "wrong last sequence: %llu", (unsigned long long)actual);
    refuse(400, 10071, text);
}

/* Fills model.reply when the message is refused or a duplicate. */
static bool model_refuses(const Record *record) {
    char value[TEXT], text[TEXT];
    uint64_t first, last, count, bytes;
    const StreamConfig *config = model.config;
    Slice h = record->headers;

    uint64_t of_subject = model_of_subject(record->subject, &first, &last);
    if (get(h, "Nats-Expected-Last-Subject-Sequence", value) && strtoull(value, NULL, 10) != last)
        return refuse_last(last), true;
    if (get(h, "Nats-Expected-Last-Sequence", value) && strtoull(value, NULL, 10) != model.last)
        return refuse_last(model.last), true;
    if (get(h, "Nats-Msg-Id", value))
        for (size_t i = model.ids.len; i-- > 0;)
            if (strcmp(model.ids.at[i].id, value) == 0 &&
                model.ids.at[i].time_ns >= record->time_ns - config->duplicate_window_ns) {
                snprintf(model.reply, sizeof model.reply,
                         "{\"stream\":\"S\",\"seq\":%llu,\"duplicate\": true}",
                         (unsigned long long)model.ids.at[i].seq);
                return true;
            }
    if (get(h, "Nats-Expected-Last-Msg-Id", value) && strcmp(value, model.last_id) != 0) {
        snprintf(text, sizeof text, "wrong last msg ID: %s", model.last_id);
        return refuse(400, 10070, text), true;
    }
    if (config->retention == RETENTION_INTEREST && !wants(record->subject))
        return false;
    if (config->discard != DISCARD_NEW)
        return false;
    bool is_full =
        config->max_msgs_per_subject > 0 && of_subject >= (uint64_t)config->max_msgs_per_subject;
    if (is_full && config->discard_new_per_subject)
        return refuse(503, 10077, "maximum messages per subject exceeded"), true;
    model_sum(&count, &bytes);
    if (config->max_msgs > 0 && count >= (uint64_t)config->max_msgs && !is_full)
        return refuse(503, 10077, "maximum messages exceeded"), true;
    ModelMsg msg = {.subject = known_text(record->subject)};
    copy_text(msg.headers, record->headers);
    copy_text(msg.payload, record->payload);
    if (config->max_bytes > 0 && bytes + model_size(&msg) > (uint64_t)config->max_bytes &&
        (!is_full || model_size(&msg) > model_size(model_at(first))))
        return refuse(503, 10077, "maximum bytes exceeded"), true;
    return false;
}

static void model_publish(const Record *record) {
    char value[TEXT];
    if (model_refuses(record))
        return;
    uint64_t seq = model.last + 1;
    if (model.config->retention == RETENTION_INTEREST && !wants(record->subject)) {
        ModelMsg none = {.subject = known_text(record->subject)};
        model.last++;
        if (model.messages.len == 0)
            model.base = model.last;
        vec_push(&model.messages, none);
        model_settle_first();
    } else {
        model_store(record->subject, record->headers, record->payload, record->time_ns);
        if (model_is_live(seq) && get(record->headers, "Nats-Rollup", value))
            for (uint64_t s = model.first; s < seq; s++)
                if (model_is_live(s) &&
                    (strcmp(value, "all") == 0 || model_at(s)->subject == model_at(seq)->subject))
                    model_drop(s);
    }
    model.last_id[0] = 0;
    if (get(record->headers, "Nats-Msg-Id", value)) {
        ModelId id = {.seq = seq, .time_ns = record->time_ns};
        snprintf(id.id, sizeof id.id, "%.31s", value);
        vec_push(&model.ids, id);
        memcpy(model.last_id, id.id, sizeof id.id);
    }
    snprintf(model.reply, sizeof model.reply, "{\"stream\":\"S\",\"seq\":%llu}",
             (unsigned long long)seq);
}

static void model_expire_one(uint64_t seq, int64_t now_ns) {
    static const char marker[] =
        "NATS/1.0\r\nNats-Marker-Reason: MaxAge\r\nNats-TTL: 3s\r\nNats-Rollup: sub\r\n\r\n";
    const ModelMsg *msg = model_at(seq);
    Slice subject = slice_of_text(msg->subject);
    uint64_t first, last;
    bool makes = model.config->subject_delete_marker_ttl_ns > 0 && msg->has_marker &&
                 model_of_subject(subject, &first, &last) == 1;
    model_drop(seq);
    if (makes && (model.config->retention != RETENTION_INTEREST || wants(subject)))
        model_store(subject, slice_of_text(marker), (Slice){0}, now_ns);
}

/* Ages by sequence, then TTLs by due time and sequence. */
static void model_expire(int64_t now_ns) {
    int64_t max_age_ns = model.config->max_age_ns;
    for (uint64_t seq = model.base; max_age_ns > 0 && seq <= model.last; seq++)
        if (model_is_live(seq) && !model_at(seq)->never &&
            model_at(seq)->time_ns + max_age_ns <= now_ns)
            model_expire_one(seq, now_ns);
    for (;;) {
        uint64_t best = 0;
        for (uint64_t seq = model.base; seq <= model.last; seq++)
            if (model_is_live(seq) && model_at(seq)->due_ns <= now_ns &&
                (!best || model_at(seq)->due_ns < model_at(best)->due_ns))
                best = seq;
        if (!best)
            return;
        model_expire_one(best, now_ns);
    }
}

static void model_purge(const Record *record) {
    uint64_t below = bytes_get_u64(record->payload.ptr),
             keep = bytes_get_u64(record->payload.ptr + 8), matching = 0, purged = 0;
    Slice filter = record->subject.len ? record->subject : LIT(">");
    for (uint64_t seq = model.base; seq <= model.last; seq++)
        matching += model_is_live(seq) &&
                    subject_matches(filter, slice_of_text(model_at(seq)->subject)) &&
                    (!below || seq < below);
    for (uint64_t seq = model.base; seq <= model.last && purged + keep < matching; seq++)
        if (model_is_live(seq) && subject_matches(filter, slice_of_text(model_at(seq)->subject)) &&
            (!below || seq < below)) {
            model_drop(seq);
            purged++;
        }
    if (slice_equal(filter, LIT(">")) && below > model.last) {
        vec_clear(&model.messages);
        model.base = model.first = below;
        model.last = below - 1;
    }
    snprintf(model.reply, sizeof model.reply, "{\"type\":\"t\",\"success\":true,\"purged\":%llu}\n",
             (unsigned long long)purged);
}

static void before_apply(const FakeEntry *entry) {
    const Record *record = &entry->record;
    Record whole;
    if (stream_unwrap_ref(record, &whole)) {
        whole.payload.ptr = all_p;
        record = &whole;
    }
    bool has_markers = model.config->subject_delete_marker_ttl_ns > 0;
    if (!has_markers || record->type == RECORD_EXPIRE)
        model_expire(record->time_ns);
    if (record->type == RECORD_PUBLISH)
        model_publish(record);
    else if (record->type == RECORD_PURGE)
        model_purge(record);
    else if (record->type == RECORD_DELETE && model_is_live(bytes_get_u64(record->payload.ptr)))
        model_drop(bytes_get_u64(record->payload.ptr));
}

/* ---- comparing ---- */

static void check_state(Stream *stream) {
    uint64_t count, bytes, distinct = 0, first, last;
    model_sum(&count, &bytes);
    for (unsigned i = 0; i < SUBJECTS; i++)
        distinct += model_of_subject(slice_of_text(subjects[i]), &first, &last) > 0;
    assert_int_equal(stream->state.messages, count);
    assert_int_equal(stream->state.bytes, bytes);
    assert_int_equal(stream->state.last_seq, model.last);
    if (model.last) /* of a stream that never had a message the first is 0 */
        assert_int_equal(stream->state.first_seq, model.first);
    assert_int_equal(stream->state.num_subjects, distinct);
    assert_int_equal(stream->state.first_time_ns,
                     count ? model_at(model.first)->time_ns : TIME_ZERO);
    assert_int_equal(model.is_file ? world.usage[0].storage : world.usage[0].memory, bytes);
}

static void check_messages(Stream *stream) {
    for (uint64_t seq = model.base; seq <= model.last; seq++) {
        const ModelMsg *want = model_at(seq);
        StoredMsg have;
        Status status = stream_read(stream, seq, &have);
        assert_int_equal(status, want->is_live ? OK : ERR_NOT_FOUND);
        if (status)
            continue;
        assert_int_equal(have.time_ns, want->time_ns);
        assert_true(slice_equal(have.subject, slice_of_text(want->subject)));
        assert_true(slice_equal(have.headers, slice_of_text(want->headers)));
        assert_true(slice_equal(have.payload, slice_of_text(want->payload)));
        stored_msg_done(&have);
    }
}

static bool matches(const Filters *filters, uint64_t seq) {
    if (!model_is_live(seq))
        return false;
    Slice subject = slice_of_text(model_at(seq)->subject);
    bool any = filters->count == 0;
    for (size_t i = 0; i < filters->count; i++)
        any |= subject_matches(filters->patterns[i], subject);
    return any;
}

static void check_find(Stream *stream, Rand *rand) {
    Slice chosen[3];
    Filters filters = {chosen, rand_below(rand, 4)};
    for (size_t i = 0; i < 3; i++)
        chosen[i] = slice_of_text(patterns[rand_below(rand, sizeof patterns / sizeof patterns[0])]);
    uint64_t span = model.last - model.base + 4;
    uint64_t from = model.base + rand_below(rand, span), upto = from;
    uint64_t next = 0, count = 0, last = 0, lasts = 0, by_subject[SUBJECTS] = {0};

    for (uint64_t seq = model.base; seq <= model.last; seq++) {
        if (!matches(&filters, seq))
            continue;
        if (seq >= from) {
            next = next ? next : seq;
            count++;
        }
        if (seq <= upto) {
            last = seq;
            for (unsigned i = 0; i < SUBJECTS; i++)
                if (subjects[i] == model_at(seq)->subject)
                    by_subject[i] = seq;
        }
    }
    assert_int_equal(stream_next(stream, &filters, from), next);
    assert_int_equal(stream_count(stream, &filters, from), count);
    if (upto)
        assert_int_equal(stream_last(stream, &filters, upto), last);
    for (unsigned i = 0; i < SUBJECTS; i++)
        lasts += by_subject[i] > 0;
    uint64_t *seqs = NULL;
    if (upto) {
        assert_int_equal(stream_last_per_subject(stream, &filters, upto, &seqs), lasts);
        for (size_t i = 0; i < lasts; i++) {
            bool is_known = false;
            for (unsigned s = 0; s < SUBJECTS; s++)
                is_known |= by_subject[s] == seqs[i];
            assert_true(is_known && (i == 0 || seqs[i] > seqs[i - 1]));
        }
    }
    mem_free(seqs);
}

static void check_deleted_and_time(Stream *stream, Rand *rand) {
    uint64_t seqs[16], n = 0;
    size_t len = stream_deleted(stream, seqs, 16);
    for (uint64_t seq = model.first; stream->state.messages && seq <= model.last && n < 16; seq++)
        if (!model_is_live(seq))
            assert_int_equal(seqs[n++], seq);
    assert_int_equal(len, n);

    int64_t time_ns = world.wall_ns - (int64_t)rand_below(rand, 20ull * NS_PER_S);
    uint64_t want = model.last + 1;
    for (uint64_t seq = model.last; seq >= model.base && seq; seq--)
        if (model_is_live(seq) && model_at(seq)->time_ns >= time_ns)
            want = seq;
    assert_int_equal(stream_seq_at_time(stream, time_ns), want);
}

/* ---- operations ---- */

typedef struct Run {
    Rand rand;
    Stream *stream;
    char json[1024];
    struct {
        Buf state;
        size_t applied;
    } checkpoints[CHECKPOINTS];
    unsigned checkpoint_count;
    unsigned replies;
    GroupFreeze freeze;
    size_t frozen_at; /* applied then */
    bool is_disk_failing;
    uint64_t segments[MOVE_SEGMENTS];
    GroupMove move;
    bool is_moving;
} Run;

static unsigned builds_in_all, loads_in_all, rebuilds_in_all, failures_in_all, moves_in_all;
static uint64_t chunks_in_all, moved_in_all;

static void random_config(Run *run) {
    Rand *rand = &run->rand;
    bool is_new = rand_below(rand, 3) == 0, has_ttl = rand_below(rand, 2),
         has_markers = has_ttl && rand_below(rand, 2);
    int per_subject = rand_below(rand, 2) ? (int)rand_below(rand, 4) + 1 : -1;
    snprintf(run->json, sizeof run->json,
             "{\"name\":\"S\",\"subjects\":[\"s.>\"],\"allow_rollup_hdrs\":true,\"storage\":\"%s\","
             "\"retention\":\"%s\","
             "\"discard\":\"%s\",\"max_msgs\":%d,\"max_bytes\":%d,\"max_msgs_per_subject\":%d,"
             "\"discard_new_per_subject\":%s,\"max_age\":%lld,\"duplicate_window\":%lld,\"allow_"
             "msg_ttl\":%s,"
             "\"subject_delete_marker_ttl\":%lld}",
             rand_below(rand, 4) ? "file" : "memory", rand_below(rand, 4) ? "limits" : "interest",
             is_new ? "new" : "old", rand_below(rand, 2) ? (int)rand_below(rand, 30) + 1 : -1,
             rand_below(rand, 3) ? -1 : (int)rand_below(rand, 3000) + 50, per_subject,
             is_new && per_subject > 0 && rand_below(rand, 2) ? "true" : "false",
             rand_below(rand, 2) ? 0ll : (long long)(rand_below(rand, 10) + 2) * NS_PER_S,
             2ll * NS_PER_S, has_ttl ? "true" : "false", has_markers ? 3ll * NS_PER_S : 0ll);
}

static void random_headers(Run *run, const char *subject, Buf *out) {
    Rand *rand = &run->rand;
    uint64_t first, last;
    if (rand_below(rand, 8) == 0)
        buf_append_lit(out, "Foo: bar\n");
    if (rand_below(rand, 4) == 0)
        buf_printf(out, "Nats-Msg-Id: id%d\n", (int)rand_below(rand, 20));
    if (rand_below(rand, 8) == 0)
        buf_printf(out, "Nats-Expected-Last-Sequence: %llu\n",
                   (unsigned long long)(model.last - (model.last && rand_below(rand, 4) == 0)));
    model_of_subject(slice_of_text(subject), &first, &last);
    if (rand_below(rand, 6) == 0)
        buf_printf(out, "Nats-Expected-Last-Subject-Sequence: %llu\n",
                   (unsigned long long)(rand_below(rand, 3) ? last : 0));
    if (rand_below(rand, 12) == 0 && model.last_id[0])
        buf_printf(out, "Nats-Expected-Last-Msg-Id: %s\n",
                   rand_below(rand, 2) ? model.last_id : "id3");
    if (rand_below(rand, 16) == 0)
        buf_append_lit(out, "Nats-Rollup: sub\n");
    else if (rand_below(rand, 64) == 0)
        buf_append_lit(out, "Nats-Rollup: all\n");
    if (model.config->allow_msg_ttl && rand_below(rand, 3) == 0) {
        if (rand_below(rand, 6) == 0)
            buf_append_lit(out, "Nats-TTL: never\n");
        else
            buf_printf(out, "Nats-TTL: %d\n", (int)rand_below(rand, 8) + 1);
    }
    if (rand_below(rand, 16) == 0)
        buf_append_lit(out, "KV-Operation: PURGE\n");
}

/* The answer is the model's. An early refusal had no entry: the model is asked what it says now. */
static void publish(Run *run, bool flushes) {
    const char *subject = subjects[rand_below(&run->rand, SUBJECTS)];
    Buf headers = {0};
    char reply[32];
    size_t before_sent = world.sent_count, before_entries = world.entry_count;

    random_headers(run, subject, &headers);
    snprintf(reply, sizeof reply, "reply.%u", run->replies++);
    bool is_alone = run->stream->group.in_flight == 0;
    world_publish(run->stream, subject, headers.len ? buf_text(&headers) : NULL,
                  slice_from(all_p, rand_below(&run->rand, PAYLOAD_MAX)), reply);
    bool is_gated = run->stream->group.hold != NULL; /* it comes when what it is like has come */
    if (world.entry_count == before_entries && !is_gated) {
        assert_true(is_alone);
        Buf block = {0};
        buf_append_lit(&block, "NATS/1.0\r\n");
        for (size_t i = 0; i < headers.len; i++) {
            if (headers.ptr[i] == '\n')
                buf_append_char(&block, '\r');
            buf_append_char(&block, headers.ptr[i]);
        }
        buf_append_lit(&block, "\r\n");
        Record record = {.time_ns = run->stream->parts->clock_ns,
                         .subject = slice_of_text(subject),
                         .headers = headers.len ? buf_slice(&block) : (Slice){0},
                         .payload = {0}};
        if (model.config->subject_delete_marker_ttl_ns <= 0)
            model_expire(record.time_ns);
        if (model.config->max_bytes <= 0) { /* the payload's length does not matter then */
            assert_true(model_refuses(&record));
            assert_string_equal(world.sent[before_sent].payload, model.reply);
        }
        buf_done(&block);
    }
    if (flushes && world.applied_count < world.entry_count) {
        size_t waiting = world.entry_count - world.applied_count;
        if (world.entries[world.applied_count].record.type == RECORD_CHUNK)
            waiting--;
        world_flush(run->stream);
        assert_null(run->stream->group.hold);
        if (waiting == 1 && !is_gated) {
            assert_string_equal(world.sent[world.sent_count - 1].payload, model.reply);
            assert_string_equal(world.sent[world.sent_count - 1].to, reply);
        }
    }
    buf_done(&headers);
}

static void purge(Run *run) {
    Rand *rand = &run->rand;
    uint64_t kind = rand_below(rand, 6), seq = 0, keep = 0;
    Slice filter = {0};
    if (kind & 1)
        filter = slice_of_text(patterns[rand_below(rand, sizeof patterns / sizeof patterns[0])]);
    if (kind / 2 == 1)
        seq = model.base +
              rand_below(rand, model.last - model.base + (rand_below(rand, 8) ? 2 : 300));
    if (kind / 2 == 2)
        keep = rand_below(rand, 20);
    if (kind < 2 && rand_below(rand, 4))
        return;
    world_flush(run->stream);
    buf_clear(&world.api);
    stream_propose_purge(run->stream, filter, seq, keep, world_call());
    world_flush(run->stream);
    assert_string_equal(world_api_text(), model.reply);
}

static void add_checkpoint(Run *run, Buf state, size_t applied) {
    run->checkpoints[run->checkpoint_count].state = state;
    run->checkpoints[run->checkpoint_count++].applied = applied;
}

static void save(Run *run) {
    Buf state = {0};
    stream_save(&run->stream->group, &state);
    add_checkpoint(run, state, world.applied_count);
}

static void on_frozen(GroupFreeze *freeze) {
    Run *run = CONTAINER_OF(freeze, Run, freeze);
    if (freeze->status == OK) {
        builds_in_all++;
        add_checkpoint(run, freeze->state, run->frozen_at);
        return;
    }
    buf_done(&freeze->state);
    assert_true(freeze->status == ERR_AGAIN || (run->is_disk_failing && freeze->status == ERR_IO));
    failures_in_all += freeze->status == ERR_IO;
    save(run);
}

static void checkpoint(Run *run) {
    if (run->stream->parts->build)
        return;
    world.inline_max = rand_below(&run->rand, 4) ? 4 : UINT64_MAX;
    run->freeze = (GroupFreeze){.generation = run->checkpoint_count + 1, .done = on_frozen};
    run->frozen_at = world.applied_count;
    run->is_disk_failing = rand_below(&run->rand, 8) == 0;
    world.consumer_count = rand_below(&run->rand, 2) * 1000;
    world.inline_max = run->is_disk_failing ? 4 : world.inline_max;
    world.has_no_run_dir = run->is_disk_failing;
    if (!stream_freeze(&run->stream->group, &run->freeze))
        save(run);
    world.has_no_run_dir = false;
}

static void on_moved(GroupMove *move) {
    Run *run = CONTAINER_OF(move, Run, move);
    moves_in_all++;
    moved_in_all += move->records;
    run->is_moving = false;
}

/* Records leave some of the entries, each of which is a segment of its own. */
static void move(Run *run) {
    if (run->is_moving || !world.entry_count)
        return;
    size_t count = 0;
    uint64_t segment = 1 + rand_below(&run->rand, world.entry_count);
    for (; count < MOVE_SEGMENTS && segment <= world.entry_count;
         segment += 1 + rand_below(&run->rand, 3))
        run->segments[count++] = segment;
    run->move = (GroupMove){.segments = run->segments,
                            .segment_count = count,
                            .bytes_left = UINT64_MAX,
                            .entry_bytes = 100 + rand_below(&run->rand, 1000),
                            .done = on_moved};
    run->is_moving = stream_move(&run->stream->group, &run->move);
}

static void operate(Run *run) {
    Rand *rand = &run->rand;
    if (rand_below(rand, 3) == 0)
        (void)world_run_ready();
    uint64_t kind = rand_below(rand, 100);
    if (kind < 60) {
        publish(run, true);
    } else if (kind < 75) {
        for (uint64_t n = rand_below(rand, 10) + 2; n; n--)
            publish(run, false);
    } else if (kind < 83) {
        stream_propose_delete(run->stream,
                              model.base + rand_below(rand, model.last - model.base + 3), true,
                              world_call());
    } else if (kind < 86) {
        purge(run);
    } else if (kind < 90 && model.is_file && run->checkpoint_count < CHECKPOINTS) {
        world_flush(run->stream);
        checkpoint(run);
    } else if (kind < 93 && model.is_file) {
        move(run);
    } else {
        world.wall_ns += (int64_t)rand_below(rand, 2000) * NS_PER_MS;
        world_fire(run->stream);
    }
    if (rand_below(rand, 3))
        return;
    world_flush(run->stream);
    buf_clear(&world.api);
    if (!stream_has_markers(run->stream)) {
        stream_expire_quietly(run->stream, stream_clock(run->stream));
        model_expire(run->stream->parts->clock_ns);
    }
    check_state(run->stream);
    for (int i = 0; i < 4; i++)
        check_find(run->stream, rand);
    check_deleted_and_time(run->stream, rand);
}

static uint64_t generation_of(Slice state) {
    uint64_t number = 0;
    int64_t time_ns;
    Slice bytes;
    bool is_there = packed_read_u64(&state, &number) && packed_read_slice(&state, &bytes) &&
                    packed_read_i64(&state, &time_ns) && packed_read_i64(&state, &time_ns) &&
                    packed_read_u64(&state, &number) && packed_read_u64(&state, &number) &&
                    packed_read_i64(&state, &time_ns) && packed_read_slice(&state, &bytes) &&
                    packed_read_u64(&state, &number);
    assert_true(is_there);
    return number;
}

/* A damaged run costs nothing. */
static void load(Run *run, Stream *copy, const Buf *state) {
    char *path = NULL, *bytes = NULL;
    size_t len = 0, at = 0;
    Slice from = buf_slice(state);
    uint64_t generation = generation_of(from);
    if (generation && rand_below(&run->rand, 4)) {
        path = journal_run_path(NULL, 7, generation);
        assert_int_equal(disk_read_file(path, 1 << 26, &bytes, &len), OK);
        at = rand_below(&run->rand, 4) ? 4096 + rand_below(&run->rand, (len - 4096) / 2)
                                       : rand_below(&run->rand, 200);
        bytes[at] ^= 1;
        assert_int_equal(disk_write_file(path, slice_from(bytes, len), 0600), OK);
    }
    assert_int_equal(stream_load(&copy->group, from), OK);
    loads_in_all += generation > 0;
    rebuilds_in_all += copy->group.needs_log;
    if (!path)
        return;
    bytes[at] ^= 1;
    assert_int_equal(disk_write_file(path, slice_from(bytes, len), 0600), OK);
    mem_free(bytes);
    mem_free(path);
}

/* Recovers from the n-th newest checkpoint (0: from nothing) as the journal does. Segments without
 * live bytes before the floor are gone. */
static void recover(Run *run, unsigned back) {
    Stream *stream = run->stream;
    unsigned count = run->checkpoint_count;
    size_t done = back ? run->checkpoints[count - back].applied : 0;
    size_t floor = count >= 2 ? run->checkpoints[count - 2].applied : 0;
    if (back == 0)
        floor = 0;
    bool *is_gone = mem_zalloc(world.entry_count + 1);
    for (size_t i = 0; i < floor; i++)
        world.entries[i].is_gone = is_gone[i] = world.entries[i].live == 0;
    for (size_t i = 0; i < world.entry_count; i++)
        world.entries[i].live = world.entries[i].dead = 0;

    uint64_t index_last = stream->group.index_last;
    int64_t clock_ns = stream->parts->clock_ns;
    memset(&world.usage, 0, sizeof world.usage);
    ChunkTable *chunks = world.js.chunks;
    world.js.chunks = chunk_table_new(NULL);
    Stream *copy =
        stream_new(&world.js, stream->account, 7, world_config(run->json), stream->created_ns);
    if (back)
        load(run, copy, &run->checkpoints[count - back].state);
    for (size_t i = 0; i < world.entry_count; i++) {
        const FakeEntry *entry = &world.entries[i];
        if (i < done && !is_gone[i])
            stream_group_ops.place(&copy->group, &entry->record, entry->place);
        else if (i >= done)
            stream_group_ops.apply(&copy->group, &entry->record, entry->place, entry->bytes, NULL);
    }
    copy->group.index_last = index_last;
    stream_start(copy);
    copy->parts->clock_ns = clock_ns;
    if (!stream_has_markers(copy)) {
        stream_expire(copy, clock_ns, UINT64_MAX);
        assert_int_equal(copy->state.first_time_ns, stream->state.first_time_ns);
    }
    assert_int_equal(copy->state.damaged, 0);
    check_state(copy);
    check_messages(copy);
    assert_true(
        slice_equal(buf_slice(&copy->parts->last_msg_id), buf_slice(&stream->parts->last_msg_id)));
    for (int i = 0; i < 10; i++) {
        uint64_t a = 0, b = 0;
        char id[16];
        int n = snprintf(id, sizeof id, "id%d", i);
        int64_t oldest_ns = clock_ns - model.config->duplicate_window_ns;
        assert_int_equal(
            dup_window_find(&copy->parts->duplicates, slice_from(id, (size_t)n), oldest_ns, &a),
            dup_window_find(&stream->parts->duplicates, slice_from(id, (size_t)n), oldest_ns, &b));
        assert_int_equal(a, b);
    }
    check_find(copy, &run->rand);
    chunks_in_all += chunk_table_totals(world.js.chunks).chunks;
    stream_drop_log_bytes(copy);
    for (size_t i = 0; i < world.entry_count; i++)
        assert_int_equal(world.entries[i].live, 0);
    assert_int_equal(chunk_table_totals(world.js.chunks).chunks, 0);
    mem_free(is_gone);
    stream->parts->usage = copy->parts->usage;
    stream_free(copy);
    chunk_table_free(world.js.chunks);
    world.js.chunks = chunks;
}

static void run_seed(uint64_t seed, unsigned operations) {
    Run *run = mem_zalloc(sizeof *run);
    world_begin();
    rand_init(&run->rand, seed);
    random_config(run);
    world.options.chunk_bytes_min = rand_below(&run->rand, 2) ? CHUNK_MIN : 0;
    run->stream = world_stream(run->json);
    memset(&model, 0, sizeof model);
    model.config = run->stream->config;
    model.is_file = !run->stream->group.is_memory;
    world.wants = wants;
    world.before_apply = before_apply;
    model.first = model.base = 1; /* of an empty stream the first is shown as 0 */

    world.wall_ns += NS_PER_S;
    world.mono_step_ns = NS_PER_MS;
    publish(run, true);
    for (unsigned i = 0; i < operations; i++)
        operate(run);
    while (run->stream->parts->build)
        (void)world_run_ready();
    world_flush(run->stream);
    if (model.is_file && !stream_has_markers(run->stream)) {
        stream_expire(run->stream, stream_clock(run->stream), UINT64_MAX);
        model_expire(run->stream->parts->clock_ns);
    }
    if (stream_has_markers(run->stream) || model.is_file)
        check_messages(run->stream);
    if (model.is_file) {
        /* Nothing but the message stands for its bytes; dead ones wait for two checkpoints. */
        unsigned most = run->checkpoint_count < 2 ? run->checkpoint_count : 2;
        unsigned back = (unsigned)rand_below(&run->rand, most + 1);
        if (!back && rand_below(&run->rand, 2))
            back = most;
        if (back || run->checkpoint_count == 0)
            recover(run, back);
    } else {
        stream_free(run->stream);
        run->stream = NULL;
    }
    if (run->stream) {
        memset(&world.usage, 0, sizeof world.usage);
        for (size_t i = 0; i < world.entry_count; i++)
            world.entries[i].live = 1ll << 40;
        stream_free(run->stream);
    }
    for (unsigned i = 0; i < run->checkpoint_count; i++)
        buf_done(&run->checkpoints[i].state);
    vec_done(&model.messages);
    vec_done(&model.ids);
    world_end();
    mem_free(run);
}

static uint64_t seed_now;
static bool is_done;

static unsigned operations_of(uint64_t seed) {
    return seed % 100 == 0 ? 1500 : seed % 3 == 0 ? 600 : 150;
}

static void a_stream_does_what_the_model_does(void **state) {
    (void)state;
    const char *one = getenv("STREAM_SEED"), *many = getenv("STREAM_SEEDS");
    if (one) {
        seed_now = strtoull(one, NULL, 10);
        run_seed(seed_now, operations_of(seed_now));
        is_done = true;
        return;
    }
    uint64_t seeds = many ? strtoull(many, NULL, 10) : 1500;
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        seed_now = seed;
        run_seed(seed, operations_of(seed));
    }
    print_message("%u runs, %u loaded, %u rebuilt, %u failed, %llu chunks, %u moves of %llu\n",
                  builds_in_all, loads_in_all, rebuilds_in_all, failures_in_all,
                  (unsigned long long)chunks_in_all, moves_in_all,
                  (unsigned long long)moved_in_all);
    assert_true(many || (builds_in_all > 100 && rebuilds_in_all > 0 && failures_in_all > 10 &&
                         chunks_in_all > 1000 && moved_in_all > 10000));
    is_done = true;
}

/* A failure says which seed to run again: STREAM_SEED=n. */
static int tell_seed(void **state) {
    (void)state;
    if (!is_done)
        print_error("STREAM_SEED=%llu\n", (unsigned long long)seed_now);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_stream_does_what_the_model_does, tell_seed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
