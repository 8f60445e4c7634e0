/* SignalCommand: "--signal reload", "--signal ldm=1234", "--signal stop=/run/x.pid": tells a
 * running server what to do. */
#pragma once

#include "base/buf.h"

/* expression: <command>[=<pid, or a file that holds it, or the beginning of pids and "*">]. Without
 * a pid the only running server is meant. ERR_SYNTAX, ERR_NOT_FOUND, ERR_IO: text in out_error. */
MUST_CHECK Status signal_command_run(Slice expression, Buf *out_error);
