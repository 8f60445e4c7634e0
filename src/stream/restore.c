#include "stream/restore.h"

#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/nuid.h"
#include "io/clock.h"
#include "proto/timefmt.h"
#include "stream/restore_private.h"
#include "stream/stream_parts.h"

static const uint64_t IDLE_NS = 5ull * 1000000000;

static const ApiEndpoint end_endpoint = {
    .flags = API_QUIET | API_UNAUDITED,
    .type = LIT("stream_create_response"),
    .run = catalogue_on_restored,
};

static void on_piece(Port *port, Sub *sub, const Message *message);
static const PortOps port_ops = {.kind = PORT_API, .deliver = on_piece};

static void advise(Restore *restore, bool is_complete) {
    Buf tail = {0}, fields = {0};
    Slice name = stream_name(restore->stream);

    buf_append_lit(&tail, "ADVISORY.STREAM.RESTORE_");
    buf_append(&tail, is_complete ? LIT("COMPLETE.") : LIT("CREATE."));
    buf_append(&tail, name);
    if (api_advisory_is_wanted(restore->js, restore->account, buf_slice(&tail))) {
        buf_append_lit(&fields, ",\"stream\":");
        json_write_string(&fields, name);
        if (is_complete) {
            buf_append_lit(&fields, ",\"start\":\"");
            time_write(&fields, restore->start_ns);
            buf_append_lit(&fields, "\",\"end\":\"");
            time_write(&fields, clock_wall_ns());
            buf_printf(&fields, "\",\"bytes\":%llu", (unsigned long long)restore->bytes);
        }
        buf_append_lit(&fields, ",\"client\":");
        buf_append(&fields, buf_slice(&restore->client));
        api_advisory(restore->js, restore->account, buf_slice(&tail),
                     is_complete ? LIT("restore_complete") : LIT("restore_create"),
                     buf_slice(&fields));
    }
    buf_done(&tail);
    buf_done(&fields);
}

void restore_fail(Restore *restore, Slice why) {
    if (restore->is_failed)
        return;
    restore->is_failed = true;
    buf_append(&restore->why, why);
}

/* Tells the catalogue. Takes call. */
static void decide(Restore *restore, bool is_whole, ApiCall *call) {
    RestoreVerdict verdict = {restore->created_ns, restore->stream->group.id, is_whole};

    restore->is_decided = true;
    sub_remove(restore->sub);
    restore->sub = NULL;
    timer_cancel(restore->stream->group.home, &restore->idle);
    if (!call)
        call = api_call_make(restore->js->api, restore->account, &end_endpoint, (Slice){0},
                             stream_name(restore->stream), (Slice){0}, (Slice){0});
    ApiCall *told = api_call_make(restore->js->api, restore->account, &end_endpoint, call->subject,
                                  call->stream, call->reply, slice_from(&verdict, sizeof verdict));
    api_drop(call);
    api_move(told, restore->js->home->all[0]);
}

static void answer_failure(Restore *restore, ApiCall *call) {
    ApiCall *answer = api_call_make(restore->js->api, restore->account, &end_endpoint,
                                    call->subject, call->stream, call->reply, (Slice){0});

    LOG_WARNING("restore failed", "stream=%.*s why=%.*s", SLICE_ARG(stream_name(restore->stream)),
                SLICE_ARG(buf_slice(&restore->why)));
    api_reply_error(
        answer, api_error_with(api_arena(answer), JSStreamRestoreErrF, buf_slice(&restore->why)));
}

static void answer_pieces(Restore *restore) {
    Slice rest = buf_slice(&restore->replies), reply;

    while (rest.len && slice_cut(&rest, 0, &reply))
        if (reply.len)
            api_send(restore->js->api, restore->account, reply, (Slice){0}, (Slice){0});
    buf_clear(&restore->replies);
}

/* Takes what the reader has. True when it has no more. */
static bool take_items(Restore *restore) {
    StreamParts *parts = restore->stream->parts;
    ArchiveItem item;
    size_t taken = 0;

    while (!restore->is_failed && !restore->is_whole) {
        if (parts->copy_refused) {
            restore_fail(restore, parts->copy_refused == ERR_FULL
                                      ? LIT("insufficient storage resources available")
                                      : LIT("write error on the log"));
            return true;
        }
        if (parts->in_flight_bytes > RESTORE_IN_FLIGHT_BYTES_MAX)
            return false; /* parts->copied goes on */
        if (taken > RESTORE_BYTES_PER_TURN) {
            worker_ready(restore->stream->group.home, &restore->task);
            return false;
        }
        Status status = archive_reader_next(restore->reader, &item);
        if (status == ERR_AGAIN)
            return true;
        if (status != OK) {
            restore_fail(restore, archive_reader_why(restore->reader));
            return true;
        }
        restore_take(restore, &item);
        taken += 64 + item.json.len + item.headers.len + item.payload.len;
    }
    return true;
}

/* The end was asked for and all is taken. */
static void finish(Restore *restore) {
    ApiCall *call = restore->end_call;

    if (!restore->is_failed && !restore->is_whole)
        restore_fail(restore, archive_reader_why(restore->reader));
    if (!restore->is_failed && restore->stream->group.in_flight > 0) {
        timer_set(restore->stream->group.home, &restore->idle,
                  restore->stream->group.home->now_ns + 1000000);
        return; /* looked at again when more came back, or soon */
    }
    if (restore->stream->parts->copy_refused)
        restore_fail(restore, LIT("write error on the log"));
    restore->end_call = NULL;
    if (restore->is_failed)
        answer_failure(restore, call);
    decide(restore, !restore->is_failed, call);
}

static void run(Task *task) {
    Restore *restore = CONTAINER_OF(task, Restore, task);

    if (restore->is_decided || !take_items(restore))
        return;
    answer_pieces(restore);
    if (restore->end_call)
        finish(restore);
}

static void on_idle(Timer *timer) {
    Restore *restore = CONTAINER_OF(timer, Restore, idle);

    if (restore->is_decided)
        return;
    if (restore->end_call) {
        run(&restore->task);
        return;
    }
    if (restore->stream->group.in_flight > 0 || restore->replies.len) { /* not theirs to hurry */
        timer_set(restore->stream->group.home, timer,
                  restore->stream->group.home->now_ns + IDLE_NS);
        return;
    }
    LOG_WARNING("restore abandoned", "stream=%.*s", SLICE_ARG(stream_name(restore->stream)));
    decide(restore, false, NULL);
}

static void on_piece(Port *port, Sub *sub, const Message *message) {
    Restore *restore = CONTAINER_OF(port, Restore, port);
    Worker *home = restore->stream->group.home;

    if (restore->is_decided || restore->end_call)
        return;
    timer_set(home, &restore->idle, home->now_ns + IDLE_NS);
    worker_ready(home, &restore->task);
    if (message->payload.len == 0) {
        restore->end_call =
            api_call_make(restore->js->api, restore->account, &end_endpoint, sub_subject(sub),
                          stream_name(restore->stream), message->reply, (Slice){0});
        return;
    }
    if (message->reply.len == 0) { /* no flow control: as the original, without a word */
        decide(restore, false, NULL);
        return;
    }
    restore->bytes += message->payload.len;
    buf_append(&restore->replies, message->reply);
    buf_append_char(&restore->replies, 0);
    if (restore->is_failed || restore->is_whole)
        return;
    archive_reader_feed(restore->reader, message->payload);
    if (archive_reader_held(restore->reader) + restore->replies.len > RESTORE_HELD_BYTES_MAX)
        restore_fail(restore, LIT("pieces were sent without waiting for answers"));
}

void restore_begin(Stream *stream, ApiCall *call) {
    Restore *restore = mem_zalloc(sizeof *restore);
    char nuid[NUID_LEN];
    Buf subject = {0}, out;

    restore->stream = stream;
    restore->js = stream->js;
    restore->account = stream->account;
    restore->port = (Port){.ops = &port_ops, .home = stream->group.home};
    restore->reader = archive_reader_new(stream_name(stream));
    restore->start_ns = clock_wall_ns();
    restore->state_last_ns = TIME_ZERO;
    timer_init(&restore->idle, on_idle);
    task_init(&restore->task, run);
    stream->restore = restore;
    stream->parts->copied = &restore->task;
    nuid_write(&stream->group.home->rand, nuid, sizeof nuid);
    buf_printf(&subject, "$JS.SNAPSHOT.RESTORE.%.*s.%.*s", SLICE_ARG(stream_name(stream)),
               (int)sizeof nuid, nuid);
    restore->sub = sub_add(stream->account, &restore->port, buf_slice(&subject), (Slice){0},
                           (Slice){0}, false);
    timer_set(stream->group.home, &restore->idle, stream->group.home->now_ns + IDLE_NS);
    if (call) {
        api_write_client(call, &restore->client);
    } else {
        buf_append_lit(&restore->client, "{\"acc\":");
        json_write_string(&restore->client, account_name(restore->account));
        buf_append_char(&restore->client, '}');
    }
    advise(restore, false);
    if (call) {
        api_begin(call, &out);
        buf_append_lit(&out, ",\"deliver_subject\":");
        json_write_string(&out, buf_slice(&subject));
        api_finish(call, &out);
    }
    buf_done(&subject);
}

void restore_end(Stream *stream, ApiCall *call) {
    Buf out;

    if (call) {
        api_begin(call, &out);
        stream_info_write(&out, stream, &(StreamInfoOptions){.has_domain = false});
        api_finish(call, &out);
    }
    api_advise_stream(stream->js, stream->account, stream_name(stream), LIT("create"));
    if (stream->restore)
        advise(stream->restore, true);
    restore_free(stream->restore);
}

void restore_drop(Stream *stream, unsigned code, ApiCall *call) {
    if (call && code) {
        Buf text = {0};
        Slice why = api_error(code).text;
        buf_printf(&text, "error adding stream: %.*s (%u)", SLICE_ARG(why), code);
        api_reply_error(call,
                        api_error_with(api_arena(call), JSStreamRestoreErrF, buf_slice(&text)));
        buf_done(&text);
    } else if (call) {
        api_drop(call);
    }
    if (stream->restore)
        advise(stream->restore, true);
    restore_free(stream->restore);
}

void restore_free(Restore *restore) {
    if (!restore)
        return;
    Stream *stream = restore->stream;
    stream->restore = NULL;
    stream->parts->copied = NULL;
    timer_cancel(stream->group.home, &restore->idle);
    task_cancel(&restore->task);
    if (restore->end_call)
        api_drop(restore->end_call);
    if (restore->sub && stream->js->api) /* at the end it goes with the bus */
        sub_remove(restore->sub);
    archive_reader_free(restore->reader);
    buf_done(&restore->replies);
    buf_done(&restore->why);
    buf_done(&restore->consumer);
    buf_done(&restore->client);
    mem_free(restore);
}
