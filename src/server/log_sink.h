/* LogSink: writes log lines in nats-server's format to standard error or a file, which is rotated
 * by size: [pid] 2026/11/23 01:09:19.678992 [INF] text One per process. */
#pragma once

#include "base/buf.h"
#include "server/options.h"

/* Before threads start. ERR_IO: text in out_error. */
MUST_CHECK Status log_sink_open(const Options *options, Buf *out_error);

/* Main thread, also while others log: levels, format, file. ERR_IO: the old file stays, text in
 * out_error. */
MUST_CHECK Status log_sink_apply(const Options *options, Buf *out_error);

/* After somebody has moved the file away. ERR_UNSUPPORTED: there is no file. */
MUST_CHECK Status log_sink_reopen(void);

/* After all other threads ended. */
void log_sink_close(void);
