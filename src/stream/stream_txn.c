/* What a transaction does to a stream's state, live and in recovery. */
#include "stream/stream_txn.h"

#include "stream/packed.h"
#include "stream/stream_batch.h"

void stream_txn_store(Stream *stream, uint64_t index, Slice members, Place place, Shared *hold,
                      TxnPart *part) {
    const Record batch = {.payload = members};
    Record member;
    Place member_place;
    size_t i = 0;
    for (size_t at = 0; batch_next_member(&batch, place, &at, &member, &member_place);) {
        if (member.time_ns > stream->parts->clock_ns)
            stream->parts->clock_ns = member.time_ns;
        if (at == record_bytes(&member) && !stream_has_markers(stream))
            stream_expire(stream, member.time_ns, UINT64_MAX);
        stream_store_member(stream, &member, stream_is_file(stream) ? member_place : 0, hold,
                            part != NULL);
        while (part && i < part->op_count && !part->ops[i].is_write)
            i++;
        if (part && i < part->op_count)
            part->ops[i++].seq = stream->state.last_seq;
    }
    stream->parts->transaction_last = index;
}

void stream_txn_replay(Stream *stream, uint64_t index, Slice members, Place place, Shared *hold) {
    const Record batch = {.type = RECORD_BATCH, .payload = members};
    if (index <= stream->parts->transaction_last) {
        stream_place(&stream->group, &batch, place);
        return;
    }
    if (!hold)
        hold = shared_new(1); /* never looked at: members have a place */
    else
        shared_ref(hold);
    if (stream->parts->unseen)
        stream_settle_places(stream);
    stream->parts->is_replaying = true;
    stream_txn_store(stream, index, members, place, hold, NULL);
    stream->parts->is_replaying = false;
    shared_unref(hold);
}

void stream_txn_lost(Stream *stream, uint64_t index, Slice members, Place place, Shared *hold) {
    (void)hold;
    const Record batch = {.type = RECORD_BATCH, .group = stream->group.id, .payload = members};
    if (index <= stream->parts->transaction_last)
        return;
    stream_lost_batch(stream, &batch, place);
    stream->parts->transaction_last = index;
}

/* --- checkpoint --- */

void stream_txn_save(Stream *stream, Buf *out) {
    if (stream->parts->transaction_last)
        packed_write_u64(out, stream->parts->transaction_last);
}

Status stream_txn_load(Stream *stream, Slice bytes) {
    return packed_read_u64(&bytes, &stream->parts->transaction_last) ? OK : ERR_CORRUPT;
}
