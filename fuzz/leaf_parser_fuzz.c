/* The same bytes at once and byte by byte must give the same sequence of operations. */
#include "base/assert.h"
#include "base/buf.h"
#include "base/mem.h"
#include "proto/leaf_parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void note(Buf *out, Slice slice) {
    buf_append_bytes(out, &slice.len, sizeof slice.len);
    buf_append(out, slice);
}

static void note_op(Buf *out, const LeafOp *op) {
    Slice rest = op->queues, name;
    buf_append_char(out, (char)op->verb);
    buf_append_bytes(out, &op->members, sizeof op->members);
    note(out, op->args);
    note(out, op->subject);
    note(out, op->queue);
    note(out, op->reply);
    while (leaf_cut_queue(&rest, &name)) {
        ASSERT(name.len > 0);
        note(out, name);
    }
    note(out, op->header);
    note(out, op->payload);
}

static void run(const uint8_t *bytes, size_t len, size_t step, Buf *out) {
    LeafParser parser = {.control_line_max = 128, .payload_max = 1000};
    size_t begin = 0, end = 0;

    while (end < len) {
        end = len - end < step ? len : end + step;
        while (begin < end) {
            LeafOp op = {0};
            size_t used;
            char *piece = mem_copy(bytes + begin, end - begin);
            LeafParse parse = leaf_parse(&parser, piece, end - begin, &op, &used);
            if (parse == LEAF_PARSE_OP) {
                ASSERT(used > 0 && used <= end - begin);
                note_op(out, &op);
                begin += used;
            }
            mem_free(piece);
            if (parse == LEAF_PARSE_MORE)
                break;
            if (parse != LEAF_PARSE_OP) {
                buf_append_char(out, (char)(parse + 100));
                return;
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    Buf whole = {0}, single = {0}, some = {0};
    run(bytes, len, len, &whole);
    run(bytes, len, 1, &single);
    run(bytes, len, 7, &some);
    ASSERT(slice_equal(buf_slice(&whole), buf_slice(&single)));
    ASSERT(slice_equal(buf_slice(&whole), buf_slice(&some)));
    buf_done(&whole);
    buf_done(&single);
    buf_done(&some);
    return 0;
}
