/* ConnCodec: what stands between a connection's socket and its owner: frames of WebSocket. The
 * owner reads and writes plain bytes as if the codec were not there. All of it on the connection's
 * home. */
#pragma once

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"

typedef struct ConnCodec ConnCodec;

typedef struct ConnCodecOps {
    /* Takes all of coded; appends to plain what the owner shall see, and to codec->replies what is
     * to be written. ERR_CLOSED, ERR_SYNTAX: the connection ends when plain was acted upon and
     * replies were written. */
    Status (*decode)(ConnCodec *codec, Slice coded, Buf *plain);
    /* Appends. */
    void (*encode)(ConnCodec *codec, Slice plain, Buf *coded);
    /* The last words of a connection that we close; not called after decode failed. */
    void (*end)(ConnCodec *codec, Buf *coded);
    void (*free)(ConnCodec *codec);
} ConnCodecOps;

/* First field of what it is. */
struct ConnCodec {
    const ConnCodecOps *ops;
    Buf replies; /* written before anything else */
};

/* Of one that no connection has taken. */
static inline void conn_codec_free(ConnCodec *codec) {
    buf_done(&codec->replies);
    codec->ops->free(codec);
}
