#include "base/mem.h"
#include "io/clock.h"
#include "proto/base64.h"
#include "proto/subject.h"
#include "proto/timefmt.h"
#include "stream/api_private.h"
#include "stream/retained.h"
#include "stream/stream_keys.h"
#include "stream/stream_parts.h"
#include "stream/subject_order.h"

/* HW.KEYS: the subjects of a stream in order, page by page; with what they hold, now or as of a
 * point of the past. */

enum {
    KEYS_LIMIT_DEFAULT = 1000,
    KEYS_LIMIT_MAX = 10000,

    /* What is looked at in one turn; the rest goes in the next one. */
    KEYS_PER_TURN = 4000,
    VALUES_PER_TURN = 256,

    /* A page ends when its text is larger, so that it fits a message. */
    PAGE_BYTES = 512 * 1024,

    FETCH_TRIES_MAX = 8,
};

typedef struct KeysBody {
    Slice filter, prefix, after, from, to;
    uint64_t limit, as_of_seq;
    int64_t as_of_ns;
    bool has_as_of_time, count_only, values, revisions, deleted;
} KeysBody;

static const JsonField keys_rows[] = {
    JSON_ROW(KeysBody, filter, "filter", JSON_STRING),
    JSON_ROW(KeysBody, prefix, "prefix", JSON_STRING),
    JSON_ROW(KeysBody, after, "after", JSON_STRING),
    JSON_ROW(KeysBody, from, "from", JSON_STRING),
    JSON_ROW(KeysBody, to, "to", JSON_STRING),
    JSON_ROW(KeysBody, limit, "limit", JSON_UINT),
    JSON_ROW(KeysBody, as_of_seq, "as_of_seq", JSON_UINT),
    JSON_TIME_ROW(KeysBody, as_of_ns, has_as_of_time, JSON_NONE, "as_of_time"),
    JSON_ROW(KeysBody, count_only, "count_only", JSON_BOOL),
    JSON_ROW(KeysBody, values, "values", JSON_BOOL),
    JSON_ROW(KeysBody, revisions, "revisions", JSON_BOOL),
    JSON_ROW(KeysBody, deleted, "deleted", JSON_BOOL),
};
static const JsonSchema keys_schema = JSON_SCHEMA("KeysRequest", keys_rows);

/* One request under way. */
typedef struct KeysWalk {
    ApiWait wait;
    Task task;
    ApiCall *call;
    Stream *stream;
    Arena *arena; /* of body's strings */
    KeysBody body;
    uint64_t upto; /* as of */
    Slice literal; /* what every match begins with */
    Buf after;     /* the last one that was dealt with */
    Buf list;
    uint64_t count;
    unsigned tries;
    bool has_more, is_point, is_exact;
} KeysWalk;

typedef enum Step { STEP_NEXT, STEP_END, STEP_WAITS } Step;

static void walk_on(KeysWalk *walk);
static void on_ordered(StreamWait *stream_wait);

static void walk_free(KeysWalk *walk) {
    buf_done(&walk->after);
    buf_done(&walk->list);
    arena_free(walk->arena);
    mem_free(walk);
}

static void finish(KeysWalk *walk) {
    ApiCall *call = walk->call;
    Buf out;

    api_begin(call, &out);
    if (walk->body.count_only) {
        buf_append_lit(&out, ",\"count\":");
        buf_append_u64(&out, walk->count);
    } else {
        buf_append_lit(&out, ",\"keys\":[");
        buf_append(&out, buf_slice(&walk->list));
        buf_append_lit(&out, "],\"more\":");
        buf_append(&out, walk->has_more ? LIT("true") : LIT("false"));
        if (walk->has_more) {
            buf_append_lit(&out, ",\"last\":");
            json_write_string(&out, buf_slice(&walk->after));
        }
    }
    buf_append_lit(&out, ",\"last_seq\":");
    buf_append_u64(&out, walk->stream->state.last_seq);
    if (walk->is_point) {
        buf_append_lit(&out, ",\"as_of_seq\":");
        buf_append_u64(&out, walk->upto);
        buf_append_lit(&out, ",\"exact\":");
        buf_append(&out, walk->is_exact ? LIT("true") : LIT("false"));
    }
    walk_free(walk);
    api_finish(call, &out);
}

/* The message that stands for the subject; 0 = none. */
static uint64_t seq_of(KeysWalk *walk, SubjectId id, const SubjectEntry *entry) {
    Stream *stream = walk->stream;
    uint64_t seq = entry->count ? entry->last : 0;

    if (!walk->is_point || !entry->count)
        return seq;
    if (seq > walk->upto)
        seq = entry->first > walk->upto
                  ? 0
                  : subject_chain_upto(stream->index, &stream->parts->subjects, id, walk->upto);
    if (walk->is_exact)
        walk->is_exact = retained_is_exact(stream, seq, walk->upto, entry->count);
    return seq;
}

static void write_value(Buf *out, const StoredMsg *msg) {
    if (msg->headers.len) {
        buf_append_lit(out, ",\"hdrs\":\"");
        base64_write(out, msg->headers);
        buf_append_char(out, '"');
    }
    buf_append_lit(out, ",\"value\":\"");
    base64_write(out, msg->payload);
    buf_append_char(out, '"');
}

/* msg: NULL without values, or when it cannot be read. */
static void write_key(KeysWalk *walk, Slice subject, uint64_t seq, const MsgSlot *slot,
                      const StoredMsg *msg) {
    Buf *out = &walk->list;

    if (out->len)
        buf_append_char(out, ',');
    if (!walk->body.values && !walk->body.revisions) {
        json_write_string(out, subject);
        return;
    }
    buf_append_lit(out, "{\"key\":");
    json_write_string(out, subject);
    buf_append_lit(out, ",\"seq\":");
    buf_append_u64(out, seq);
    buf_append_lit(out, ",\"time\":\"");
    time_write(out, slot->time_ns);
    buf_append_char(out, '"');
    if (slot->is_tombstone)
        buf_append_lit(out, ",\"deleted\":true");
    if (msg)
        write_value(out, msg);
    else if (walk->body.values)
        buf_append_lit(out, ",\"damaged\":true");
    buf_append_char(out, '}');
}

static Step list_one(KeysWalk *walk, Slice subject, uint64_t seq, const MsgSlot *slot) {
    StoredMsg msg;
    Status status = ERR_NOT_FOUND;

    if (walk->count == walk->body.limit || walk->list.len >= PAGE_BYTES) {
        walk->has_more = true;
        return STEP_END;
    }
    if (walk->body.values) {
        status = stream_read(walk->stream, seq, &msg);
        if (status == ERR_AGAIN && walk->tries++ < FETCH_TRIES_MAX) {
            api_wait(&walk->wait, walk->call->js->api, walk->stream, seq);
            return STEP_WAITS;
        }
        walk->tries = 0;
    }
    write_key(walk, subject, seq, slot, status == OK ? &msg : NULL);
    if (status == OK)
        stored_msg_done(&msg);
    walk->count++;
    return STEP_NEXT;
}

static Step take_one(KeysWalk *walk, SubjectId id) {
    const KeysBody *body = &walk->body;
    const SubjectEntry *entry = subject_index_entry(&walk->stream->parts->subjects, id);
    Slice subject = subject_entry_text(entry);
    Step step = STEP_NEXT;

    if (!slice_starts_with(subject, walk->literal) ||
        (body->to.len && subject_order_compare(subject, body->to) >= 0))
        return STEP_END;
    if (slice_starts_with(subject, body->prefix) &&
        (!body->filter.len || subject_matches(body->filter, subject))) {
        uint64_t seq = seq_of(walk, id, entry);
        const MsgSlot *slot = seq ? msg_index_get(walk->stream->index, seq) : NULL;
        bool is_wanted = slot && (body->deleted || !(slot->is_tombstone));
        if (is_wanted && body->count_only)
            walk->count++;
        else if (is_wanted)
            step = list_one(walk, subject, seq, slot);
    }
    return step;
}

static void remember(KeysWalk *walk, SubjectId id) {
    const SubjectEntry *entry = subject_index_entry(&walk->stream->parts->subjects, id);
    buf_clear(&walk->after);
    buf_append(&walk->after, subject_entry_text(entry));
}

static OrderCursor start(const KeysWalk *walk, const SubjectOrder *order) {
    Slice after = buf_slice(&walk->after), least = walk->literal;

    if (subject_order_compare(walk->body.from, least) > 0)
        least = walk->body.from;
    if (after.len && subject_order_compare(after, least) >= 0)
        return subject_order_seek(order, after, true);
    return subject_order_seek(order, least, false);
}

/* Between turns nothing is waited for, yet the walk must hear of the stream's end. */
static void rest(KeysWalk *walk) {
    walk->wait.stream = walk->stream;
    list_push_back(&walk->call->js->api->waits, &walk->wait.link);
}

static void walk_on(KeysWalk *walk) {
    rest(walk);
    walk->wait.wait.ready = on_ordered; /* api_wait has its own */
    if (!stream_keys_are_ordered(walk->stream, &walk->wait.wait))
        return;
    list_remove(&walk->wait.link);

    const SubjectOrder *order = walk->stream->parts->subjects.order;
    OrderCursor cursor = start(walk, order);
    unsigned left = walk->body.values ? VALUES_PER_TURN : KEYS_PER_TURN;
    SubjectId id, last = 0;
    Step step = STEP_NEXT;
    while (left-- && step == STEP_NEXT) {
        id = subject_order_next(order, &cursor);
        step = id ? take_one(walk, id) : STEP_END;
        last = step == STEP_NEXT ? id : last;
    }
    if (last)
        remember(walk, last);
    if (step == STEP_END) {
        finish(walk);
    } else if (step == STEP_NEXT) {
        rest(walk);
        worker_ready(walk->call->home, &walk->task);
    }
}

static void on_task(Task *task) {
    KeysWalk *walk = CONTAINER_OF(task, KeysWalk, task);
    list_remove(&walk->wait.link);
    walk_on(walk);
}

static void on_ordered(StreamWait *stream_wait) {
    KeysWalk *walk = CONTAINER_OF(CONTAINER_OF(stream_wait, ApiWait, wait), KeysWalk, wait);
    list_remove(&walk->wait.link);
    walk_on(walk);
}

static void on_read(ApiWait *wait) {
    walk_on(CONTAINER_OF(wait, KeysWalk, wait));
}

static void on_gone(ApiWait *wait) {
    KeysWalk *walk = CONTAINER_OF(wait, KeysWalk, wait);
    task_cancel(&walk->task);
    api_reply_error(walk->call, api_error(JSStreamNotFoundErr));
    walk_free(walk);
}

/* What every subject that filter and prefix let through begins with. */
static Slice common_begin(const KeysBody *body) {
    Slice filter = body->filter;
    size_t len = 0;

    for (size_t i = 0; i < filter.len; i++) {
        bool is_begin = i == 0 || filter.ptr[i - 1] == '.';
        bool is_token_end = i + 1 == filter.len || filter.ptr[i + 1] == '.';
        if (is_begin && is_token_end &&
            (filter.ptr[i] == '*' || (filter.ptr[i] == '>' && i + 1 == filter.len)))
            break;
        len = i + 1;
    }
    return len > body->prefix.len ? slice_first(filter, len) : body->prefix;
}

/* False: the point is not reached yet. */
static bool find_point(KeysWalk *walk) {
    Stream *stream = walk->stream;
    const KeysBody *body = &walk->body;

    walk->is_point = body->as_of_seq || body->has_as_of_time;
    walk->upto = body->as_of_seq;
    if (body->has_as_of_time) {
        if (body->as_of_ns >= stream_clock(stream))
            return false;
        walk->upto = stream_seq_at_time(stream, body->as_of_ns + 1) - 1;
    }
    if (walk->upto > stream->state.last_seq)
        return false;
    walk->is_exact = walk->is_point && retained_has_all_subjects(stream, walk->upto);
    return true;
}

void api_on_hw_keys(ApiCall *call) {
    KeysWalk *walk = mem_zalloc(sizeof *walk);
    Buf why = {0};

    walk->arena = arena_new();
    walk->call = call;
    walk->stream = api_call_stream(call);
    walk->wait = (ApiWait){.ready = on_read, .gone = on_gone};
    link_init(&walk->wait.link);
    link_init(&walk->wait.wait.link);
    walk->wait.wait.ready = on_ordered;
    task_init(&walk->task, on_task);

    ApiError error = API_OK;
    if (!walk->stream)
        error = api_error(JSStreamNotFoundErr);
    else if (json_read(call->body, &keys_schema, JSON_STRICT, walk->arena, &walk->body, &why))
        error = api_error_with(api_arena(call), JSInvalidJSONErr, buf_slice(&why));
    else if ((walk->body.filter.len && !subject_is_valid(walk->body.filter)) ||
             (walk->body.as_of_seq && walk->body.has_as_of_time))
        error = api_error(JSBadRequestErr);
    else if (!find_point(walk))
        error = api_error_with_u64(api_arena(call), HWSequenceNotReachedF,
                                   walk->stream->state.last_seq);
    buf_done(&why);
    if (api_failed(error)) {
        walk_free(walk);
        api_reply_error(call, error);
        return;
    }
    if (walk->body.limit == 0)
        walk->body.limit = KEYS_LIMIT_DEFAULT;
    if (walk->body.limit > KEYS_LIMIT_MAX)
        walk->body.limit = KEYS_LIMIT_MAX;
    walk->literal = common_begin(&walk->body);
    buf_append(&walk->after, walk->body.after);
    walk_on(walk);
}
