#include "server/store_dir.h"

#include <stdlib.h>

#include "io/process.h"

static Slice environment_text(const char *name) {
    return slice_of_text(getenv(name));
}

static void append_folder(Buf *out, Slice folder) {
    while (folder.len > 1 && folder.ptr[folder.len - 1] == '/')
        folder.len--;
    buf_append(out, folder);
}

void store_dir_choose(const Options *options, bool is_nats_server, Buf *out_path,
                      bool *out_is_temporary) {
    Slice data = environment_text("XDG_DATA_HOME"), home = environment_text("HOME"),
          temporary = environment_text("TMPDIR");

    *out_is_temporary = false;
    if (options->jetstream.store_dir.len > 0) {
        append_folder(out_path, options->jetstream.store_dir);
        buf_append_lit(out_path, "/jetstream");
    } else if (is_nats_server) {
        *out_is_temporary = true;
        append_folder(out_path, temporary.len > 0 ? temporary : LIT("/tmp"));
        buf_append_lit(out_path, "/nats/jetstream");
    } else if (data.len > 0) {
        append_folder(out_path, data);
        buf_append_lit(out_path, "/holdwater");
    } else if (process_is_root() || home.len == 0) {
        buf_append_lit(out_path, "/var/lib/holdwater");
    } else {
        append_folder(out_path, home);
        buf_append_lit(out_path, "/.local/share/holdwater");
    }
}

void store_dir_of_port(const char *taken, uint16_t port, Buf *out_path) {
    buf_printf(out_path, "%s-%u", taken, port);
}

void store_dir_of_process(const char *taken, Buf *out_path) {
    buf_printf(out_path, "%s-pid-%d", taken, process_pid());
}
