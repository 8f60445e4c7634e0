#include "server/signal_command.h"

#include <signal.h>

#include "base/mem.h"
#include "base/vec.h"
#include "io/disk.h"
#include "io/process.h"

typedef VEC(int) Pids;

static int signal_number(Slice command) {
    static const struct {
        Slice name;
        int number;
    } commands[] = {
        {{"stop", 4}, SIGKILL},   {{"quit", 4}, SIGINT},   {{"term", 4}, SIGTERM},
        {{"reopen", 6}, SIGUSR1}, {{"reload", 6}, SIGHUP}, {{"ldm", 3}, SIGUSR2},
    };
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (slice_equal(command, commands[i].name))
            return commands[i].number;
    return 0;
}

static bool is_server_name(Slice name) {
    name = slice_trim(name);
    return slice_starts_with(name, LIT("nats-server")) || slice_equal(name, LIT("holdwater"));
}

/* By the name that the OS shows. */
static void note_process(void *cookie, const char *name, bool is_dir) {
    Pids *pids = cookie;
    uint64_t pid;
    char path[64], *text;
    size_t len;

    if (slice_parse_u64(slice_of_text(name), &pid) != OK || pid > INT32_MAX ||
        (int)pid == process_pid())
        return;
    Slice number = slice_of_text(name);
    Buf built = {0};
    buf_printf(&built, "/proc/%.*s/comm", SLICE_ARG(number));
    bool fits = built.len < sizeof path;
    if (fits)
        memcpy(path, buf_text(&built), built.len + 1);
    buf_done(&built);
    if (!fits || disk_read_file(path, 256, &text, &len) != OK)
        return;
    if (is_server_name(slice_from(text, len)))
        vec_push(pids, (int)pid);
    mem_free(text);
}

/* A number, or a file that holds one. */
static Status parse_pid(Slice text, int *out_pid, Buf *error) {
    uint64_t pid = 0;
    Status status = slice_parse_u64(text, &pid);

    if (status != OK && text.len > 0) {
        char *path = slice_to_text(text), *held;
        size_t len;
        if (disk_read_file(path, 64, &held, &len) == OK) {
            status = slice_parse_u64(slice_trim(slice_from(held, len)), &pid);
            mem_free(held);
        }
        mem_free(path);
    }
    if (status != OK || pid == 0 || pid > INT32_MAX) {
        buf_printf(error, "invalid pid: %.*s", SLICE_ARG(text));
        return ERR_SYNTAX;
    }
    *out_pid = (int)pid;
    return OK;
}

static bool pid_begins_with(int pid, Slice digits) {
    char text[20];
    size_t len = u64_to_decimal((uint64_t)pid, text);
    return slice_starts_with(slice_from(text, len), digits);
}

/* Those that are meant, of all that run. */
static Status find_running(Slice prefix, bool is_pattern, Pids *pids, Buf *error) {
    if (disk_list("/proc", note_process, pids) != OK) {
        buf_append_lit(error, "unable to resolve pid, try providing one");
        return ERR_IO;
    }
    for (size_t i = pids->len; i-- > 0;)
        if (!pid_begins_with(pids->at[i], prefix))
            vec_remove_ordered(pids, i);
    if (pids->len == 0) {
        buf_append_lit(error, "no nats-server processes running");
        return ERR_NOT_FOUND;
    }
    if (pids->len > 1 && !is_pattern) {
        buf_append_lit(error, "multiple nats-server processes running:");
        for (size_t i = 0; i < pids->len; i++)
            buf_printf(error, "\n%d", pids->at[i]);
        return ERR_SYNTAX;
    }
    return OK;
}

Status signal_command_run(Slice expression, Buf *out_error) {
    Slice target = expression, command;
    (void)slice_cut(&target, '=', &command);
    int number = signal_number(command), pid;
    bool is_pattern = slice_ends_with(target, LIT("*"));
    Pids pids = {0};
    Status status;

    if (number == 0) {
        buf_printf(out_error, "unknown signal \"%.*s\"", SLICE_ARG(command));
        return ERR_SYNTAX;
    }
    if (is_pattern)
        target.len--;
    if (target.len == 0 || is_pattern) {
        status = find_running(target, is_pattern, &pids, out_error);
    } else {
        status = parse_pid(target, &pid, out_error);
        if (status == OK)
            vec_push(&pids, pid);
    }
    for (size_t i = 0; i < pids.len && (status == OK || is_pattern); i++) {
        Status sent = process_signal(pids.at[i], number);
        if (sent != OK) {
            buf_printf(out_error, "\nsignal \"%.*s\" %d: %s", SLICE_ARG(command), pids.at[i],
                       sent == ERR_NOT_FOUND ? "no such process"
                       : sent == ERR_DENIED  ? "operation not permitted"
                                             : "failed");
            status = sent;
        }
    }
    vec_done(&pids);
    return status;
}
