#include "stream/consumer_delta.h"

enum { DELTA_VERSION = 1, VARINT_BYTES_MAX = 10, RUN_MAX = 1 << 20 };

void varint_write(Buf *out, uint64_t value) {
    char *to = buf_reserve(out, VARINT_BYTES_MAX);
    size_t n = 0;
    for (; value >= 0x80; value >>= 7)
        to[n++] = (char)(value | 0x80);
    to[n++] = (char)value;
    out->len += n;
}

Status varint_read(Slice *rest, uint64_t *out_value) {
    uint64_t value = 0;
    for (size_t i = 0; i < rest->len && i < VARINT_BYTES_MAX; i++) {
        uint8_t byte = (uint8_t)rest->ptr[i];
        if (i == VARINT_BYTES_MAX - 1 && byte > 1)
            return ERR_CORRUPT;
        value |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (!(byte & 0x80)) {
            *out_value = value;
            *rest = slice_from_at(*rest, i + 1);
            return OK;
        }
    }
    return ERR_CORRUPT;
}

static uint64_t zigzag(uint64_t now, uint64_t before) {
    uint64_t difference = now - before;
    return (difference << 1) ^ (uint64_t)((int64_t)difference >> 63);
}

static uint64_t unzigzag(uint64_t coded, uint64_t before) {
    return before + ((coded >> 1) ^ (0 - (coded & 1)));
}

static bool has_runs(DeltaKind kind) {
    return kind == DELTA_DELIVERED || kind == DELTA_ACK;
}

static void close_run(DeltaWriter *writer) {
    const DeltaOp *run = &writer->run;
    if (run->kind == 0)
        return;
    if (writer->ops.len == 0)
        buf_append_char(&writer->ops, DELTA_VERSION);
    buf_append_char(&writer->ops, (char)run->kind);
    varint_write(&writer->ops, zigzag(run->dseq, writer->dseq));
    varint_write(&writer->ops, zigzag(run->sseq, writer->sseq));
    varint_write(&writer->ops, has_runs(run->kind) ? writer->run_length : run->count);
    writer->dseq = run->dseq + writer->run_length - 1;
    writer->sseq = run->sseq + writer->run_length - 1;
    writer->run.kind = 0;
}

void delta_add(DeltaWriter *writer, const DeltaOp *op) {
    const DeltaOp *run = &writer->run;
    if (run->kind == op->kind && has_runs(op->kind) && writer->run_length < RUN_MAX &&
        op->dseq == run->dseq + writer->run_length && op->sseq == run->sseq + writer->run_length) {
        writer->run_length++;
        return;
    }
    if (run->kind == op->kind && op->kind == DELTA_POSITION) { /* the last one says it all */
        writer->run = *op;
        return;
    }
    close_run(writer);
    writer->run = *op;
    writer->run_length = 1;
}

Slice delta_finish(DeltaWriter *writer) {
    close_run(writer);
    return buf_slice(&writer->ops);
}

bool delta_is_empty(const DeltaWriter *writer) {
    return writer->ops.len == 0 && writer->run.kind == 0;
}

void delta_clear(DeltaWriter *writer) {
    enum { KEPT_BYTES = 256 };
    if (writer->ops.cap > KEPT_BYTES)
        buf_done(&writer->ops);
    *writer = (DeltaWriter){.ops = {writer->ops.ptr, 0, writer->ops.cap}};
}

DeltaReader delta_read(Slice payload) {
    DeltaReader reader = {.rest = payload};
    if (payload.len == 0 || payload.ptr[0] != DELTA_VERSION)
        reader.status = payload.len ? ERR_VERSION : ERR_CORRUPT;
    reader.rest = slice_from_at(payload, 1);
    return reader;
}

static Status read_op(DeltaReader *reader) {
    DeltaKind kind = (DeltaKind)(uint8_t)reader->rest.ptr[0];
    uint64_t dseq, sseq, n;
    reader->rest = slice_from_at(reader->rest, 1);
    if (kind < DELTA_DELIVERED || kind > DELTA_DELAY || varint_read(&reader->rest, &dseq) != OK ||
        varint_read(&reader->rest, &sseq) != OK || varint_read(&reader->rest, &n) != OK)
        return ERR_CORRUPT;
    reader->op =
        (DeltaOp){kind, unzigzag(dseq, reader->op.dseq), unzigzag(sseq, reader->op.sseq), 0};
    if (has_runs(kind)) {
        if (n == 0 || n > RUN_MAX || reader->op.sseq > UINT64_MAX - n ||
            reader->op.dseq > UINT64_MAX - n)
            return ERR_CORRUPT;
        reader->run_left = n - 1;
    } else {
        reader->op.count = n;
    }
    return OK;
}

bool delta_next(DeltaReader *reader, DeltaOp *out_op) {
    if (reader->status != OK)
        return false;
    if (reader->run_left > 0) {
        reader->run_left--;
        reader->op.dseq++;
        reader->op.sseq++;
    } else if (reader->rest.len == 0) {
        return false;
    } else {
        reader->status = read_op(reader);
        if (reader->status != OK)
            return false;
    }
    *out_op = reader->op;
    return true;
}
