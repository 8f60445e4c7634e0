/* Any bytes may be given as a consumer's deltas or as the body of a pull request. What is read as
 * deltas is written and read again alike. */
#include "base/assert.h"
#include "stream/consumer_delta.h"
#include "stream/pull_request.h"

enum { OPS_MAX = 10000 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void read_deltas(Slice payload) {
    DeltaReader first = delta_read(payload);
    DeltaWriter writer = {0};
    DeltaOp op, again;
    size_t n = 0;
    bool has_position = false; /* neighbours of these become one */

    for (; n < OPS_MAX && delta_next(&first, &op); n++) {
        delta_add(&writer, &op);
        has_position |= op.kind == DELTA_POSITION;
    }
    if (n > 0 && !has_position) {
        DeltaReader second = delta_read(delta_finish(&writer));
        first = delta_read(payload);
        for (; n > 0; n--) {
            ASSERT(delta_next(&first, &op) && delta_next(&second, &again));
            ASSERT(op.kind == again.kind && op.dseq == again.dseq && op.sseq == again.sseq);
            ASSERT(op.count == again.count);
        }
        ASSERT(!delta_next(&second, &again) && second.status == OK);
    }
    buf_done(&writer.ops);
}

static void read_pull(Slice text) {
    Arena *arena = arena_new();
    Buf error = {0};
    PullBody body;

    if (pull_body_parse(text, arena, &body, &error) == OK)
        ASSERT(body.batch >= 1 && body.max_bytes >= 0 && body.priority >= 0 && body.priority <= 9);
    else
        ASSERT(error.len > 0);
    buf_done(&error);
    arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    Slice text = slice_from(bytes, len);

    read_deltas(text);
    read_pull(text);
    return 0;
}
