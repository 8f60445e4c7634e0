/* WebSocketCodec: the frames of one connection, for io/conn.h. */
#pragma once

#include "io/conn_codec.h"
#include "proto/websocket.h"

/* greeting: raw bytes that go out first (copied). */
ConnCodec *websocket_codec_new(const WebSocketOptions *options, Slice greeting);
