#include "stream/snapshot.h"

#include "base/log.h"
#include "base/mem.h"
#include "base/nuid.h"
#include "io/clock.h"
#include "proto/archive.h"
#include "proto/headers.h"
#include "proto/s2.h"
#include "proto/subject.h"
#include "proto/timefmt.h"
#include "stream/snapshot_private.h"

enum {
    CHUNK_BYTES = 128 * 1024,
    CHUNK_BYTES_MIN = 1024,
    CHUNK_BYTES_MAX = 1024 * 1024,
    WINDOW_BYTES = 8 * 1024 * 1024,
    WINDOW_BYTES_MIN = 1024,
    WINDOW_BYTES_MAX = 32 * 1024 * 1024,
    /* Plain bytes of one turn; the rest goes in the next. */
    BYTES_PER_TURN = 256 * 1024,
    /* Of one stream at a time: over it, 10064. */
    SNAPSHOTS_MAX = 64,
};

static const uint64_t START_WAIT_NS = 2ull * 1000000000; /* for somebody to subscribe */
static const uint64_t ACK_WAIT_NS = 5ull * 1000000000;   /* with the window full */

typedef struct SnapshotRequest {
    Slice deliver_subject;
    bool no_consumers, jsck;
    int64_t chunk_size, window_size;
} SnapshotRequest;

static const JsonField request_rows[] = {
    JSON_ROW(SnapshotRequest, deliver_subject, "deliver_subject", JSON_STRING),
    JSON_ROW(SnapshotRequest, no_consumers, "no_consumers", JSON_BOOL),
    JSON_ROW(SnapshotRequest, chunk_size, "chunk_size", JSON_INT, .go_type = "int"),
    JSON_ROW(SnapshotRequest, window_size, "window_size", JSON_INT, .go_type = "int"),
    JSON_ROW(SnapshotRequest, jsck, "jsck", JSON_BOOL),
};
static const JsonSchema request_schema = JSON_SCHEMA("JSApiStreamSnapshotRequest", request_rows);

static void on_ack(Port *port, Sub *sub, const Message *message);
static const PortOps port_ops = {.kind = PORT_API, .deliver = on_ack};

static void advise(const Snapshot *snapshot, bool is_complete, Slice error) {
    const Stream *stream = snapshot->stream;
    Buf tail = {0}, fields = {0};

    buf_append_lit(&tail, "ADVISORY.STREAM.SNAPSHOT_");
    buf_append(&tail, is_complete ? LIT("COMPLETE.") : LIT("CREATE."));
    buf_append(&tail, stream_name(stream));
    if (api_advisory_is_wanted(stream->js, stream->account, buf_slice(&tail))) {
        buf_append_lit(&fields, ",\"stream\":");
        json_write_string(&fields, stream_name(stream));
        if (is_complete) {
            buf_append_lit(&fields, ",\"start\":\"");
            time_write(&fields, snapshot->start_ns);
            buf_append_lit(&fields, "\",\"end\":\"");
            time_write(&fields, clock_wall_ns());
            buf_append_char(&fields, '"');
        } else {
            buf_append_lit(&fields, ",\"state\":");
            stream_state_write(&fields, snapshot->stream);
        }
        buf_append_lit(&fields, ",\"client\":");
        buf_append(&fields, buf_slice(&snapshot->client));
        if (error.len) {
            buf_append_lit(&fields, ",\"error\":");
            json_write_string(&fields, error);
        }
        api_advisory(stream->js, stream->account, buf_slice(&tail),
                     is_complete ? LIT("snapshot_complete") : LIT("snapshot_create"),
                     buf_slice(&fields));
    }
    buf_done(&tail);
    buf_done(&fields);
}

static void free_snapshot(Snapshot *snapshot) {
    snapshot->is_over = true;
    list_remove(&snapshot->link);
    timer_cancel(snapshot->port.home, &snapshot->timer);
    task_cancel(&snapshot->task);
    interest_watch_remove(snapshot->stream->account, &snapshot->watch);
    sub_remove(snapshot->ack_sub);
    snapshot_read_done(snapshot);
    buf_done(&snapshot->client);
    buf_done(&snapshot->deliver);
    buf_done(&snapshot->ack_prefix);
    buf_done(&snapshot->plain);
    buf_done(&snapshot->packed);
    mem_free(snapshot);
}

static void send(const Snapshot *snapshot, Slice headers, Slice payload, Slice reply) {
    Message message = {.subject = buf_slice(&snapshot->deliver),
                       .reply = reply,
                       .headers = headers,
                       .payload = payload};
    (void)bus_publish(snapshot->stream->account, message.subject, &message, NULL, BUS_NO_MAPPINGS);
}

/* status: of the last, empty message; empty: it has none. Takes snapshot. */
static void end(Snapshot *snapshot, Slice status, Slice error) {
    Buf headers = {0}, damaged = {0};

    if (status.len) {
        header_begin(&headers, status);
        header_end(&headers);
    }
    send(snapshot, buf_slice(&headers), (Slice){0}, (Slice){0});
    if (!error.len && snapshot->damaged) {
        buf_printf(&damaged, "%llu damaged messages left out",
                   (unsigned long long)snapshot->damaged);
        error = buf_slice(&damaged);
    }
    advise(snapshot, true, error);
    buf_done(&headers);
    buf_done(&damaged);
    free_snapshot(snapshot);
}

void snapshot_end_all(Stream *stream, Slice status) {
    LIST_FOR_EACH(link, &stream->parts->snapshots) {
        Snapshot *snapshot = CONTAINER_OF(link, Snapshot, link);
        if (status.len)
            end(snapshot, status, slice_from_at(status, 4));
        else
            free_snapshot(snapshot);
    }
}

/* ---- making the archive ---- */

/* Whole blocks, or with is_last all of it, go through S2. */
static void pack(Snapshot *snapshot, bool is_last) {
    Slice plain = buf_slice(&snapshot->plain);
    size_t least = is_last ? 1 : S2_WRITE_BYTES_MAX;

    buf_consume(&snapshot->packed, snapshot->packed_at);
    snapshot->packed_at = 0;
    while (plain.len >= least) {
        Slice block = slice_first(plain, S2_WRITE_BYTES_MAX);
        s2_write_chunk(&snapshot->packed, block);
        plain = slice_from_at(plain, block.len);
    }
    buf_consume(&snapshot->plain, snapshot->plain.len - plain.len);
}

static size_t packed_len(const Snapshot *snapshot) {
    return snapshot->packed.len - snapshot->packed_at;
}

/* Fills packed to a chunk. OK, or ERR_AGAIN: not now (the budget is used up, or a read is under
 * way). */
static Status fill(Snapshot *snapshot, size_t *budget) {
    while (packed_len(snapshot) < snapshot->chunk_bytes && !snapshot->is_written) {
        size_t before = snapshot->plain.len;
        if (*budget == 0) {
            worker_ready(snapshot->port.home, &snapshot->task);
            return ERR_AGAIN;
        }
        Status status = snapshot_read_next(snapshot);
        if (status == ERR_AGAIN)
            return status;
        if (status == ERR_NOT_FOUND) {
            archive_write_end(&snapshot->plain);
            snapshot->is_written = true;
        }
        size_t made = snapshot->plain.len - before;
        *budget -= made < *budget ? made : *budget;
        if (snapshot->plain.len >= S2_WRITE_BYTES_MAX || snapshot->is_written)
            pack(snapshot, snapshot->is_written);
    }
    return OK;
}

static void send_chunk(Snapshot *snapshot) {
    Slice chunk = slice_first(slice_from_at(buf_slice(&snapshot->packed), snapshot->packed_at),
                              snapshot->chunk_bytes);
    Buf reply = {0};

    if (chunk.len == snapshot->chunk_bytes) {
        buf_append(&reply, buf_slice(&snapshot->ack_prefix));
        buf_printf(&reply, "%zu.%llu", chunk.len, (unsigned long long)++snapshot->chunks);
        snapshot->in_flight += chunk.len;
    }
    send(snapshot, (Slice){0}, chunk, buf_slice(&reply));
    buf_done(&reply);
    snapshot->packed_at += chunk.len;
}

static void run(Task *task) {
    Snapshot *snapshot = CONTAINER_OF(task, Snapshot, task);
    Worker *home = snapshot->port.home;
    size_t budget = BYTES_PER_TURN;

    if (!snapshot->is_started)
        return;
    for (;;) {
        if (fill(snapshot, &budget) != OK)
            return;
        if (packed_len(snapshot) == 0)
            break;
        bool is_full = packed_len(snapshot) >= snapshot->chunk_bytes;
        if (is_full && snapshot->in_flight &&
            snapshot->in_flight + snapshot->chunk_bytes > snapshot->window_bytes) {
            if (!timer_is_set(&snapshot->timer))
                timer_set(home, &snapshot->timer, home->now_ns + ACK_WAIT_NS);
            return;
        }
        send_chunk(snapshot);
    }
    end(snapshot, snapshot->chunks ? LIT("204") : (Slice){0}, (Slice){0});
}

static void on_ack(Port *port, Sub *sub, const Message *message) {
    Snapshot *snapshot = CONTAINER_OF(port, Snapshot, port);
    Slice rest = slice_from_at(message->subject, snapshot->ack_prefix.len), len_text;
    uint64_t len;

    (void)sub;
    if (!slice_cut(&rest, '.', &len_text) || slice_parse_u64(len_text, &len) != OK)
        return;
    snapshot->in_flight -= len < snapshot->in_flight ? (size_t)len : snapshot->in_flight;
    if (snapshot->is_started)
        timer_cancel(snapshot->port.home, &snapshot->timer);
    worker_ready(snapshot->port.home, &snapshot->task);
}

static void start(Snapshot *snapshot) {
    snapshot->is_started = true;
    timer_cancel(snapshot->port.home, &snapshot->timer);
    worker_ready(snapshot->port.home, &snapshot->task);
}

static void on_timer(Timer *timer) {
    Snapshot *snapshot = CONTAINER_OF(timer, Snapshot, timer);

    if (snapshot->is_started)
        end(snapshot, LIT("408 No Flow Response"), LIT("no flow response"));
    else
        start(snapshot);
}

static void on_interest(InterestWatch *watch) {
    Snapshot *snapshot = CONTAINER_OF(watch, Snapshot, watch);

    if (watch->count > 0 && !snapshot->is_started)
        start(snapshot);
    else if (watch->count == 0 && snapshot->is_started)
        end(snapshot, LIT("408 No Interest"), LIT("no interest"));
}

/* ---- the request ---- */

static size_t clamp(int64_t asked, size_t usual, size_t least, size_t most) {
    if (asked == 0)
        return usual;
    if (asked < (int64_t)least)
        return least;
    return (uint64_t)asked > most ? most : (size_t)asked;
}

static Snapshot *new_snapshot(Stream *stream, const SnapshotRequest *request) {
    Snapshot *snapshot = mem_zalloc(sizeof *snapshot);
    Worker *home = stream->group.home;
    char nuid[NUID_LEN];

    snapshot->stream = stream;
    snapshot->port = (Port){.ops = &port_ops, .home = home};
    snapshot->chunk_bytes =
        clamp(request->chunk_size, CHUNK_BYTES, CHUNK_BYTES_MIN, CHUNK_BYTES_MAX);
    snapshot->window_bytes =
        clamp(request->window_size, WINDOW_BYTES, WINDOW_BYTES_MIN, WINDOW_BYTES_MAX);
    snapshot->upto = stream->state.last_seq;
    snapshot->start_ns = clock_wall_ns();
    timer_init(&snapshot->timer, on_timer);
    task_init(&snapshot->task, run);
    link_init(&snapshot->link);
    buf_append(&snapshot->deliver, request->deliver_subject);
    nuid_write(&home->rand, nuid, sizeof nuid);
    buf_printf(&snapshot->ack_prefix, "$JS.SNAPSHOT.ACK.%.*s.%.*s.", SLICE_ARG(stream_name(stream)),
               (int)sizeof nuid, nuid);
    s2_write_magic(&snapshot->packed);
    return snapshot;
}

static void listen_to(Snapshot *snapshot) {
    Stream *stream = snapshot->stream;
    Buf acks = {0};

    buf_append(&acks, buf_slice(&snapshot->ack_prefix));
    buf_append_lit(&acks, "*.*");
    snapshot->ack_sub =
        sub_add(stream->account, &snapshot->port, buf_slice(&acks), (Slice){0}, (Slice){0}, false);
    buf_done(&acks);
    snapshot->watch =
        (InterestWatch){.subject = buf_slice(&snapshot->deliver), .changed = on_interest};
    interest_watch_add(stream->account, &snapshot->watch);
    if (snapshot->watch.count)
        start(snapshot);
    else
        timer_set(snapshot->port.home, &snapshot->timer,
                  snapshot->port.home->now_ns + START_WAIT_NS);
}

/* Each holds a chunk and what it sends. */
static bool is_full(const Stream *stream) {
    size_t count = 0;
    LIST_FOR_EACH(link, &stream->parts->snapshots)
    count++;
    return count >= SNAPSHOTS_MAX;
}

void api_on_stream_snapshot(ApiCall *call) {
    SnapshotRequest request = {0};
    Stream *stream = api_call_stream(call);
    Buf out;

    if (!stream) {
        api_reply_error(call, api_error(JSStreamNotFoundErr));
        return;
    }
    if (!api_read_body(call, &request_schema, JSON_STRICT, &request))
        return;
    if (!subject_is_literal(request.deliver_subject)) {
        api_reply_error(call, api_error(JSSnapshotDeliverSubjectInvalidErr));
        return;
    }
    if (is_full(stream)) {
        api_reply_error(call, api_error_with(api_arena(call), JSStreamSnapshotErrF,
                                             LIT("too many snapshots of the stream")));
        return;
    }
    Snapshot *snapshot = new_snapshot(stream, &request);
    api_write_client(call, &snapshot->client);
    list_push_back(&stream->parts->snapshots, &snapshot->link);
    snapshot_write_start(snapshot, !request.no_consumers);
    advise(snapshot, false, (Slice){0});
    api_begin(call, &out);
    buf_append_lit(&out, ",\"config\":");
    stream_config_write(&out, stream->config, false);
    buf_append_lit(&out, ",\"state\":");
    stream_state_write(&out, stream);
    api_finish(call, &out);
    listen_to(snapshot);
}
