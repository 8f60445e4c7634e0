#include "stream/direct_batch.h"

#include <string.h>

#include "base/mem.h"
#include "proto/headers.h"

enum {
    /* What a batch sends in one turn; the rest goes in the next one. */
    BATCH_MESSAGES_PER_TURN = 256,
    BATCH_BYTES_PER_TURN = 1024 * 1024,

    /* max_bytes when the request has none: what a client may have pending by default. */
    BATCH_BYTES_DEFAULT = 64 * 1024 * 1024,

    FETCH_TRIES_MAX = 8,
};

typedef enum Progress { BATCH_MORE, BATCH_DONE, BATCH_WAITS } Progress;

static void batch_ready(ApiWait *wait);
static void batch_gone(ApiWait *wait);
static void batch_drained(DrainWait *drain);
static void batch_run(Task *task);

static void send_end(DirectBatch *batch) {
    Buf *headers = &batch->api->headers;

    buf_clear(headers);
    header_begin(headers, LIT("204 EOB"));
    header_append_u64(headers, LIT("Nats-Num-Pending"), batch->pending);
    header_append_u64(headers, LIT("Nats-Last-Sequence"), batch->last_sent);
    if (batch->is_multi)
        header_append_u64(headers, LIT("Nats-UpTo-Sequence"), batch->up_to);
    header_end(headers);
    api_send(batch->api, batch->account, batch->reply, buf_slice(headers), (Slice){0});
}

static void send_one(DirectBatch *batch, const StoredMsg *msg) {
    Buf *headers = &batch->api->headers;

    if (batch->no_hdr) {
        api_send(batch->api, batch->account, batch->reply, (Slice){0}, msg->payload);
    } else {
        batch->pending -= batch->pending > 0;
        direct_write_headers(headers, batch->stream, msg);
        header_append_u64(headers, LIT("Nats-Num-Pending"), batch->pending);
        header_append_u64(headers, LIT("Nats-Last-Sequence"), batch->last_sent);
        header_end(headers);
        api_send(batch->api, batch->account, batch->reply, buf_slice(headers), msg->payload);
    }
    batch->last_sent = msg->seq;
    batch->sent++;
    batch->sent_bytes += msg->subject.len + msg->headers.len + msg->payload.len;
}

static bool is_full(const DirectBatch *batch) {
    uint64_t bytes_max = batch->max_bytes > 0 ? (uint64_t)batch->max_bytes : BATCH_BYTES_DEFAULT;

    return (batch->batch < 0 && !batch->is_multi) ||
           (batch->batch > 0 && batch->sent >= (uint64_t)batch->batch) ||
           batch->sent_bytes >= bytes_max;
}

/* 0 = no more. */
static uint64_t next_seq(DirectBatch *batch) {
    if (batch->is_multi)
        return batch->seq_at < batch->seq_count ? batch->seqs[batch->seq_at] : 0;
    Filters filters = {&batch->filter, batch->filter.len > 0};
    return stream_next(batch->stream, &filters, batch->next);
}

static void step_over(DirectBatch *batch, uint64_t seq) {
    if (batch->is_multi)
        batch->seq_at++;
    else
        batch->next = seq + 1;
    batch->tries = 0;
}

static Progress send_slice(DirectBatch *batch) {
    uint64_t sent = batch->sent, bytes = batch->sent_bytes, seq;

    while (!is_full(batch) && (seq = next_seq(batch)) != 0) {
        StoredMsg msg;
        Status status = stream_read(batch->stream, seq, &msg);
        if (status == ERR_AGAIN && batch->tries < FETCH_TRIES_MAX) {
            batch->next = batch->is_multi ? batch->next : seq;
            return BATCH_WAITS;
        }
        if (status == OK) {
            send_one(batch, &msg);
            stored_msg_done(&msg);
        } else {
            batch->pending -= batch->pending > 0; /* gone meanwhile, or damaged */
        }
        step_over(batch, seq);
        if (batch->sent - sent >= BATCH_MESSAGES_PER_TURN ||
            batch->sent_bytes - bytes >= BATCH_BYTES_PER_TURN)
            return BATCH_MORE;
    }
    return BATCH_DONE;
}

/* One block: the batch, its reply and filter, its sequences. */
static DirectBatch *move_to_heap(DirectBatch *batch) {
    size_t seqs_bytes = (batch->seq_count - batch->seq_at) * sizeof *batch->seqs;

    if (batch->is_on_heap)
        return batch;
    DirectBatch *copy = mem_alloc(sizeof *copy + seqs_bytes + batch->reply.len + batch->filter.len);
    *copy = *batch;
    char *at = (char *)(copy + 1);
    if (seqs_bytes)
        memcpy(at, batch->seqs + batch->seq_at, seqs_bytes);
    copy->seqs = (const uint64_t *)(const void *)at;
    copy->seq_count -= copy->seq_at;
    copy->seq_at = 0;
    at += seqs_bytes;
    memcpy(at, batch->reply.ptr, batch->reply.len);
    copy->reply = slice_from(at, batch->reply.len);
    at += batch->reply.len;
    if (batch->filter.len)
        memcpy(at, batch->filter.ptr, batch->filter.len);
    copy->filter = slice_from(at, batch->filter.len);
    copy->is_on_heap = true;
    copy->wait = (ApiWait){.ready = batch_ready, .gone = batch_gone};
    link_init(&copy->wait.link);
    link_init(&copy->wait.wait.link);
    copy->drain = (DrainWait){.drained = batch_drained};
    link_init(&copy->drain.link);
    task_init(&copy->task, batch_run);
    return copy;
}

/* Between slices nothing of the stream is waited for, yet the batch must hear of its end. */
static void rest_in_list(DirectBatch *batch) {
    batch->wait.stream = batch->stream;
    list_push_back(&batch->api->waits, &batch->wait.link);
}

static void go_on(DirectBatch *batch) {
    Progress progress = send_slice(batch);

    if (progress == BATCH_DONE) {
        send_end(batch);
        if (batch->is_on_heap)
            mem_free(batch);
        return;
    }
    batch = move_to_heap(batch);
    if (progress == BATCH_WAITS) {
        batch->tries++;
        api_wait(&batch->wait, batch->api, batch->stream, next_seq(batch));
        return;
    }
    rest_in_list(batch);
    if (bus_is_congested(batch->account, batch->reply))
        bus_wait_for_drain(account_bus(batch->account), &batch->drain);
    else
        worker_ready(batch->api->js->home, &batch->task);
}

static void batch_ready(ApiWait *wait) {
    go_on(CONTAINER_OF(wait, DirectBatch, wait));
}

static void batch_run(Task *task) {
    DirectBatch *batch = CONTAINER_OF(task, DirectBatch, task);

    list_remove(&batch->wait.link);
    go_on(batch);
}

static void batch_drained(DrainWait *drain) {
    DirectBatch *batch = CONTAINER_OF(drain, DirectBatch, drain);

    if (bus_is_congested(batch->account, batch->reply)) {
        bus_wait_for_drain(account_bus(batch->account), &batch->drain);
        return;
    }
    list_remove(&batch->wait.link);
    go_on(batch);
}

static void batch_gone(ApiWait *wait) {
    DirectBatch *batch = CONTAINER_OF(wait, DirectBatch, wait);

    task_cancel(&batch->task);
    bus_cancel_wait(&batch->drain);
    send_end(batch);
    mem_free(batch);
}

void direct_batch_start(Api *api, Stream *stream, const DirectBatch *asked, Slice reply) {
    DirectBatch batch = *asked;

    batch.api = api;
    batch.stream = stream;
    batch.account = stream->account;
    batch.reply = reply;
    go_on(&batch);
}
