/* A config that the catalogue has, and that the stream could not store: the disk was full, or
 * failed. It is proposed again until it is stored, so that the stream does not go on under the old
 * one and turn to the new one at the next start. */
#include "io/clock.h"
#include "stream/stream_parts.h"

enum { RETRY_NS = 1000 * 1000 * 1000 };

static void arm(Stream *stream) {
    StreamParts *parts = stream->parts;
    timer_set(stream->group.home, &parts->owed_timer, clock_mono_ns() + RETRY_NS);
}

void stream_append_config(Stream *stream, Slice json, ApiCall *call) {
    Record draft = {.type = RECORD_STREAM_CONFIG, .time_ns = stream_clock(stream), .payload = json};
    Ticket ticket = {.kind = TICKET_CALL, .pointer = call};
    stream->parts->configs_in_flight++;
    journal_append(stream->js->journal, &stream->group, &draft, &ticket, true);
}

/* A newer one on its way takes its place. */
static void on_timer(Timer *timer) {
    StreamParts *parts = CONTAINER_OF(timer, StreamParts, owed_timer);
    Stream *stream = parts->stream;
    if (!parts->owed_config.len)
        return;
    if (parts->configs_in_flight == 0 && journal_health(stream->js->journal) == OK)
        stream_append_config(stream, buf_slice(&parts->owed_config), NULL);
    else
        arm(stream);
}

void stream_owed_init(Stream *stream) {
    timer_init(&stream->parts->owed_timer, on_timer);
}

void stream_owe_config(Stream *stream, Slice json) {
    StreamParts *parts = stream->parts;
    parts->configs_in_flight--;
    if (parts->configs_in_flight) /* another one came later */
        return;
    Buf owed = {0};
    buf_append(&owed, json);
    buf_done(&parts->owed_config);
    parts->owed_config = owed;
    if (parts->is_started)
        arm(stream);
}

void stream_config_landed(Stream *stream) {
    StreamParts *parts = stream->parts;
    parts->configs_in_flight--;
    buf_clear(&parts->owed_config);
}

void stream_owed_done(Stream *stream) {
    timer_cancel(stream->group.home, &stream->parts->owed_timer);
    buf_done(&stream->parts->owed_config);
}
