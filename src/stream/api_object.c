#include "base/mem.h"
#include "proto/base64.h"
#include "proto/headers.h"
#include "proto/subject.h"
#include "stream/api_private.h"
#include "stream/stream_parts.h"

/* HW.OBJECT.GET: a range of an object's bytes. The stream's index says how long each chunk is, so
 * nothing is read but what is sent. */

enum {
    /* Chunks that are passed over, and sent, in one turn. */
    SKIP_PER_TURN = 20000,
    SEND_PER_TURN = 64,

    FETCH_TRIES_MAX = 8,
    OBJECT_NAME_MAX = 16 * 1024,
};

typedef struct ObjectBody {
    Slice name;
    uint64_t offset, length;
} ObjectBody;

static const JsonField body_rows[] = {
    JSON_ROW(ObjectBody, name, "name", JSON_STRING),
    JSON_ROW(ObjectBody, offset, "offset", JSON_UINT),
    JSON_ROW(ObjectBody, length, "length", JSON_UINT),
};
static const JsonSchema body_schema = JSON_SCHEMA("ObjectGetRequest", body_rows);

/* The part of an object's description that is needed here. */
typedef struct ObjectMeta {
    Slice nuid, digest, options;
    uint64_t size, chunks;
    bool deleted;
} ObjectMeta;

static const JsonField meta_rows[] = {
    JSON_ROW(ObjectMeta, nuid, "nuid", JSON_STRING),
    JSON_ROW(ObjectMeta, digest, "digest", JSON_STRING),
    JSON_ROW(ObjectMeta, size, "size", JSON_UINT),
    JSON_ROW(ObjectMeta, chunks, "chunks", JSON_UINT),
    JSON_ROW(ObjectMeta, deleted, "deleted", JSON_BOOL),
    JSON_ROW(ObjectMeta, options, "options", JSON_RAW),
};
static const JsonSchema meta_schema = JSON_SCHEMA("ObjectInfo", meta_rows);

typedef struct ObjectRead {
    ApiWait wait;
    Task task;
    DrainWait drain;
    ApiCall *call;
    Stream *stream;
    uint64_t meta_seq;
    Buf chunk_subject;
    Buf digest;
    uint64_t seq;        /* of the next chunk; 0 = none */
    uint64_t at;         /* offset of its first byte */
    uint64_t offset;     /* next byte to send */
    uint64_t left;       /* bytes to send */
    uint64_t size, sent; /* of the object; in this answer */
    unsigned tries;
} ObjectRead;

typedef enum Step { STEP_NEXT, STEP_LATER, STEP_OVER } Step;

static const Slice not_found = LIT("404 Object Not Found"), is_link = LIT("409 Object Is A Link"),
                   changed = LIT("410 Object Changed"), bad_request = LIT("400 Bad Request"),
                   bad_range = LIT("416 Range Not Satisfiable"), no_bucket = LIT("404 No Bucket"),
                   damaged = LIT("500 Object Damaged"), done = LIT("204 EOB");

static void go_on(ObjectRead *read);

/* The last message; frees read and its call. */
static void end(ObjectRead *read, Slice status) {
    ApiCall *call = read->call;
    Api *api = call->js->api;

    if (api && !api->is_closing) {
        Buf *headers = &api->headers;
        buf_clear(headers);
        header_begin(headers, status);
        header_append_u64(headers, LIT("HW-Length"), read->sent);
        header_append_u64(headers, LIT("HW-Size"), read->size);
        if (read->digest.len)
            header_append(headers, LIT("HW-Digest"), buf_slice(&read->digest));
        header_end(headers);
        api_send(api, call->account, call->reply, buf_slice(headers), (Slice){0});
    }
    buf_done(&read->chunk_subject);
    buf_done(&read->digest);
    mem_free(read);
    api_drop(call);
}

static Step wait_for(ObjectRead *read, uint64_t seq) {
    read->tries++;
    api_wait(&read->wait, read->call->js->api, read->stream, seq);
    return STEP_LATER;
}

static Step over(ObjectRead *read, Slice status) {
    end(read, status);
    return STEP_OVER;
}

/* What the meta message says, and where the first chunk is. */
static Step take_meta(ObjectRead *read, Slice text) {
    Stream *stream = read->stream;
    ObjectMeta meta = {0};
    Arena *turn = read->call->home->turn;

    if (json_read(text, &meta_schema, JSON_LOOSE, turn, &meta, NULL))
        return over(read, damaged);
    if (meta.deleted)
        return over(read, not_found);
    if (slice_find_slice(meta.options, LIT("\"link\"")) < meta.options.len)
        return over(read, is_link);
    read->size = meta.size;
    buf_append(&read->digest, meta.digest);
    if (read->offset > meta.size)
        return over(read, bad_range);
    if (read->left > meta.size - read->offset)
        read->left = meta.size - read->offset;

    Slice name = slice_from_at(stream_name(stream), 4);
    buf_printf(&read->chunk_subject, "$O.%.*s.C.%.*s", SLICE_ARG(name), SLICE_ARG(meta.nuid));
    SubjectId id = subject_index_find(&stream->parts->subjects, buf_slice(&read->chunk_subject));
    const SubjectEntry *entry = id ? subject_index_entry(&stream->parts->subjects, id) : NULL;
    read->seq = entry && entry->count ? entry->first : 0;
    if (meta.size && (!read->seq || entry->count != meta.chunks))
        return over(read, changed);
    return STEP_NEXT;
}

static Step read_meta(ObjectRead *read) {
    StoredMsg msg;
    Status status = stream_read(read->stream, read->meta_seq, &msg);

    if (status == ERR_AGAIN && read->tries < FETCH_TRIES_MAX)
        return wait_for(read, read->meta_seq);
    if (status)
        return over(read, status == ERR_NOT_FOUND ? not_found : damaged);
    read->tries = 0;
    Step step = take_meta(read, msg.payload);
    stored_msg_done(&msg);
    return step;
}

static const MsgSlot *chunk_slot(const ObjectRead *read) {
    const MsgSlot *slot = msg_index_get(read->stream->index, read->seq);
    if (!slot || !slot->subject)
        return NULL;
    const SubjectEntry *entry = subject_index_entry(&read->stream->parts->subjects, slot->subject);
    return slice_equal(subject_entry_text(entry), buf_slice(&read->chunk_subject)) ? slot : NULL;
}

static void send_piece(ObjectRead *read, Slice piece) {
    Api *api = read->call->js->api;
    Buf *headers = &api->headers;

    buf_clear(headers);
    header_begin(headers, (Slice){0});
    header_append_u64(headers, LIT("HW-Offset"), read->offset);
    header_end(headers);
    api_send(api, read->call->account, read->call->reply, buf_slice(headers), piece);
    read->offset += piece.len;
    read->left -= piece.len;
    read->sent += piece.len;
}

/* Sends the wanted part of the next chunk. A chunk with headers is read to know its length. */
static Step send_chunk(ObjectRead *read, const MsgSlot *slot) {
    uint64_t next = subject_chain_next(read->stream->index, read->seq, slot);
    StoredMsg msg;
    Status status = stream_read(read->stream, read->seq, &msg);

    if (status == ERR_AGAIN && read->tries < FETCH_TRIES_MAX)
        return wait_for(read, read->seq);
    if (status)
        return over(read, damaged);
    read->tries = 0;
    uint64_t len = msg.payload.len;
    if (read->offset < read->at + len) {
        Slice piece = slice_from_at(msg.payload, read->offset - read->at);
        send_piece(read, slice_first(piece, read->left));
    }
    stored_msg_done(&msg);
    read->at += len;
    read->seq = next;
    return STEP_NEXT;
}

static Step take_chunk(ObjectRead *read, unsigned *budget) {
    const MsgSlot *slot = chunk_slot(read);

    if (!slot)
        return over(read, changed);
    uint64_t len = slot->size & MSG_LEN_MASK;
    if (!(slot->size & MSG_HAS_HEADERS) && read->at + len <= read->offset) {
        read->at += len;
        read->seq = subject_chain_next(read->stream->index, read->seq, slot);
        (*budget)--;
        return STEP_NEXT;
    }
    *budget -= *budget < SKIP_PER_TURN / SEND_PER_TURN ? *budget : SKIP_PER_TURN / SEND_PER_TURN;
    return send_chunk(read, slot);
}

/* Between turns nothing of the stream is waited for, yet it must hear of the stream's end. */
static void rest(ObjectRead *read) {
    read->wait.stream = read->stream;
    list_push_back(&read->call->js->api->waits, &read->wait.link);
    if (bus_is_congested(read->call->account, read->call->reply))
        bus_wait_for_drain(account_bus(read->call->account), &read->drain);
    else
        worker_ready(read->call->home, &read->task);
}

static void go_on(ObjectRead *read) {
    unsigned budget = SKIP_PER_TURN;
    Step step = read->chunk_subject.len ? STEP_NEXT : read_meta(read);

    while (step == STEP_NEXT && read->left && budget)
        step = take_chunk(read, &budget);
    if (step != STEP_NEXT)
        return;
    if (read->left)
        rest(read);
    else
        end(read, done);
}

static void on_ready(ApiWait *wait) {
    go_on(CONTAINER_OF(wait, ObjectRead, wait));
}

static void on_task(Task *task) {
    ObjectRead *read = CONTAINER_OF(task, ObjectRead, task);
    list_remove(&read->wait.link);
    go_on(read);
}

static void on_drained(DrainWait *drain) {
    ObjectRead *read = CONTAINER_OF(drain, ObjectRead, drain);
    list_remove(&read->wait.link);
    rest(read);
}

static void on_gone(ApiWait *wait) {
    ObjectRead *read = CONTAINER_OF(wait, ObjectRead, wait);
    task_cancel(&read->task);
    bus_cancel_wait(&read->drain);
    end(read, no_bucket);
}

static ObjectRead *new_read(ApiCall *call, Stream *stream, const ObjectBody *body) {
    ObjectRead *read = mem_zalloc(sizeof *read);
    read->call = call;
    read->stream = stream;
    read->offset = body->offset;
    read->left = body->length ? body->length : UINT64_MAX;
    read->wait = (ApiWait){.ready = on_ready, .gone = on_gone};
    link_init(&read->wait.link);
    link_init(&read->wait.wait.link);
    read->drain = (DrainWait){.drained = on_drained};
    link_init(&read->drain.link);
    task_init(&read->task, on_task);
    return read;
}

/* "$O.<bucket>.M.<name>", the newest message of it. */
static uint64_t find_meta(Stream *stream, Slice bucket, Slice name) {
    Buf subject = {0};
    buf_printf(&subject, "$O.%.*s.M.", SLICE_ARG(bucket));
    base64_write_url(&subject, name);
    SubjectId id = subject_index_find(&stream->parts->subjects, buf_slice(&subject));
    const SubjectEntry *entry = id ? subject_index_entry(&stream->parts->subjects, id) : NULL;
    buf_done(&subject);
    return entry && entry->count ? entry->last : 0;
}

static void settled(ApiCall *call, Stream *stream, const ObjectBody *body) {
    ObjectRead *read = new_read(call, stream, body);
    read->meta_seq = find_meta(stream, call->stream, body->name);
    if (read->meta_seq)
        go_on(read);
    else
        end(read, not_found);
}

/* The subject names the bucket; its stream may live on another worker. */
void api_on_hw_object_get(ApiCall *call) {
    Buf name = {0};
    buf_append_lit(&name, "OBJ_");
    buf_append(&name, call->stream);
    StreamRef *ref = jetstream_find(call->js, call->account, buf_slice(&name));
    buf_done(&name);
    if (ref && ref->home != call->home) {
        api_move(call, ref->home);
        return;
    }
    ObjectBody body = {0};
    bool is_good =
        json_read(call->body, &body_schema, JSON_LOOSE, api_arena(call), &body, NULL) == OK &&
        body.name.len > 0 && body.name.len <= OBJECT_NAME_MAX;
    if (!ref || !ref->stream || !is_good) {
        Slice status = is_good ? no_bucket : bad_request;
        api_send_status(call->js->api, call->account, call->reply, status);
        api_drop(call);
        return;
    }
    settled(call, ref->stream, &body);
}
