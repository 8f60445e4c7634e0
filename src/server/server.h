/* Server: everything, from options to the last line of the log. One per process. */
#pragma once

#include "server/command_line.h"
#include "server/options.h"

/* Runs until a signal ends it. Takes options; borrows line. Returns the exit code. */
int server_run(const CommandLine *line, Options *options);
