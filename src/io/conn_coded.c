/* A connection with a codec. Its outbox holds coded bytes, which go to the socket, in front of
 * plain ones, which are coded when those in front are gone. */
#include <string.h>

#include "base/mem.h"
#include "io/conn_codec.h"
#include "io/conn_private.h"

void conn_set_codec(Conn *conn, ConnCodec *codec) {
    ASSERT_HOME(conn);
    ASSERT(conn->codec == NULL && conn->pending_bytes == 0);
    conn->codec = codec;
    if (conn_has_replies(conn))
        conn_flush_later(conn);
}

void conn_drop_codec(Conn *conn) {
    if (conn->codec == NULL)
        return;
    conn_codec_free(conn->codec);
    conn->codec = NULL;
}

bool conn_has_replies(const Conn *conn) {
    return conn->codec->replies.len != 0 || (conn->state == CONN_FLUSHING && !conn->is_ended);
}

void conn_encode(Conn *conn) {
    OutPool *pool = &conn->home->loop->out;
    ConnCodec *codec = conn->codec;
    Buf coded = codec->replies, plain = {0};
    codec->replies = (Buf){0};
    while (conn->pending_bytes != 0) {
        struct iovec parts[OUT_PARTS_MAX];
        int count;
        size_t bytes = out_parts(conn, parts, &count);
        for (int i = 0; i < count; i++)
            buf_append_bytes(&plain, parts[i].iov_base, parts[i].iov_len);
        out_consume(pool, conn, bytes);
    }
    if (plain.len)
        codec->ops->encode(codec, buf_slice(&plain), &coded);
    if (conn->state == CONN_FLUSHING && !conn->is_ended) {
        conn->is_ended = true;
        codec->ops->end(codec, &coded);
    }
    if (coded.len) {
        out_add_room(pool, conn, coded.len);
        OutChunk *last = conn->out_last;
        memcpy(last->ptr + last->len, coded.ptr, coded.len);
        last->len += coded.len;
        last->room -= (uint32_t)coded.len;
        conn->pending_bytes += coded.len;
        pool->pending += coded.len;
        conn->coded_bytes = coded.len;
    }
    buf_done(&plain);
    buf_done(&coded);
}

Status conn_act_on_coded(Conn *conn, Slice coded) {
    Status status = conn->codec->ops->decode(conn->codec, coded, &conn->kept);
    if (conn->kept.len)
        conn_offer_kept(conn);
    if (conn->state != CONN_OPEN)
        return OK;
    if (conn_has_replies(conn))
        conn_flush_later(conn);
    if (status == OK)
        return OK;
    conn->is_ended = true; /* the codec's last words are among its replies */
    conn_end_after_flush(conn, status == ERR_CLOSED ? CONN_END_PEER : CONN_END_READ_ERROR);
    return OK;
}
