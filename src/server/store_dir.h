/* StoreDir: where JetStream keeps its data.
 *
 *   store_dir X                 X/jetstream
 *   none, as nats-server        $TMPDIR/nats/jetstream: temporary; one beside it when another
 * server has it none, as holdwater, root    $XDG_DATA_HOME/holdwater or /var/lib/holdwater none, as
 * holdwater          $XDG_DATA_HOME/holdwater or ~/.local/share/holdwater */
#pragma once

#include "base/buf.h"
#include "server/options.h"

/* Appends the directory; *out_is_temporary when data may be lost with a restart of the machine. */
void store_dir_choose(const Options *options, bool is_nats_server, Buf *out_path,
                      bool *out_is_temporary);

/* The ones beside a temporary directory that is taken: that of a server with a port of its own,
 * which finds it again when it starts again, and a private one. */
void store_dir_of_port(const char *taken, uint16_t port, Buf *out_path);
void store_dir_of_process(const char *taken, Buf *out_path);
