#include "server/store_command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/disk.h"
#include "proto/json.h"
#include "proto/timefmt.h"
#include "server/check_command.h"
#include "store/backup.h"

typedef struct Words {
    const char *words[3]; /* without options */
    int count;
    bool is_json, is_bad;
    const char *at, *seq, *key_file;
    Slice key;
} Words;

static void print(FILE *to, Buf *text) {
    (void)fwrite(text->ptr, 1, text->len, to);
    (void)fflush(to);
    buf_done(text);
}

static int usage(void) {
    (void)fprintf(stderr, "usage: holdwater backup DIR TARGET [--json]\n"
                          "       holdwater restore TARGET DIR [--at TIME | --seq BLOCK]"
                          " [--key-file FILE] [--json]\n"
                          "       holdwater check-store DIR [--key-file FILE] [--json]\n");
    return STORE_NOT_DONE;
}

static int not_done(const Words *words, const char *what, Status status, const char *why) {
    Buf out = {0};
    if (words->is_json) {
        buf_append_lit(&out, "{\"done\":false,\"error\":");
        json_write_string(&out, slice_of_text(why ? why : status_text(status)));
        buf_append_lit(&out, "}\n");
        print(stdout, &out);
    } else {
        (void)fprintf(stderr, "holdwater: %s: %s%s%s\n", what, why ? why : "", why ? ": " : "",
                      status_text(status));
    }
    return STORE_NOT_DONE;
}

/* --- backup, restore --- */

static int backup(const Words *words) {
    BackupReport report;
    Buf out = {0};
    if (words->count != 3)
        return usage();
    Status status = backup_run(words->words[1], words->words[2], &report);
    if (status != OK)
        return not_done(words, "backup", status, report.why);
    buf_printf(&out,
               words->is_json
                   ? "{\"done\":true,\"segments\":%llu,\"segments_written\":%llu,"
                     "\"bytes_written\":%llu,\"last_block\":%llu,\"damaged_blocks\":%llu}\n"
                   : "%llu segments, %llu of them changed, %llu bytes written, up to block %llu, "
                     "%llu damaged blocks\n",
               (unsigned long long)report.segments, (unsigned long long)report.segments_written,
               (unsigned long long)report.bytes_written, (unsigned long long)report.last_block,
               (unsigned long long)report.damaged_blocks);
    print(stdout, &out);
    return report.damaged_blocks ? STORE_DAMAGED : STORE_WHOLE;
}

static bool read_point(const Words *words, RestorePoint *out_point) {
    *out_point = (RestorePoint){0};
    if (words->at) {
        out_point->has_time = true;
        return time_parse(slice_of_text(words->at), &out_point->time_ns) == OK && !words->seq;
    }
    return !words->seq ||
           (slice_parse_u64(slice_of_text(words->seq), &out_point->last_block) == OK &&
            out_point->last_block > 0);
}

static int restore(const Words *words) {
    RestorePoint point;
    RestoreReport report;
    Buf out = {0}, time = {0};
    if (words->count != 3 || !read_point(words, &point))
        return usage();
    point.key = words->key;
    Status status = backup_restore(words->words[1], words->words[2], &point, &report);
    if (status != OK)
        return not_done(words, "restore", status, report.why);
    time_write(&time, report.last_time_ns);
    buf_printf(&out,
               words->is_json
                   ? "{\"done\":true,\"segments\":%llu,\"records\":%llu,\"last_block\":%llu,"
                     "\"checkpoint\":%llu,\"damaged_blocks\":%llu,\"last_time\":\"%.*s\"}\n"
                   : "%llu segments, %llu records, up to block %llu, checkpoint %llu, %llu damaged "
                     "blocks, newest entry of %.*s\n",
               (unsigned long long)report.segments, (unsigned long long)report.records,
               (unsigned long long)report.last_block, (unsigned long long)report.checkpoint,
               (unsigned long long)report.damaged_blocks, SLICE_ARG(buf_slice(&time)));
    print(stdout, &out);
    buf_done(&time);
    return report.damaged_blocks ? STORE_DAMAGED : STORE_WHOLE;
}

static Words parse(int argc, char **argv) {
    Words words = {0};
    for (int i = 1; i < argc; i++) {
        const char **value = strcmp(argv[i], "--at") == 0         ? &words.at
                             : strcmp(argv[i], "--seq") == 0      ? &words.seq
                             : strcmp(argv[i], "--key-file") == 0 ? &words.key_file
                                                                  : NULL;
        if (value && i + 1 < argc)
            *value = argv[++i];
        else if (strcmp(argv[i], "--json") == 0)
            words.is_json = true;
        else if (value || argv[i][0] == '-' || words.count == 3)
            words.is_bad = true;
        else
            words.words[words.count++] = argv[i];
    }
    return words;
}

bool store_command_is(const char *word) {
    return strcmp(word, "backup") == 0 || strcmp(word, "restore") == 0 ||
           strcmp(word, "check-store") == 0;
}

/* Of --key-file, else of the environment; owned, NULL when there is none. */
static Status read_key(const Words *words, char **out_key) {
    enum { KEY_BYTES_MAX = 64 * 1024 };
    const char *text = getenv("HOLDWATER_KEY");
    size_t len;
    *out_key = NULL;
    if (words->key_file == NULL) {
        *out_key = text && text[0] ? mem_copy(text, strlen(text)) : NULL;
        return OK;
    }
    Status status = disk_read_file(words->key_file, KEY_BYTES_MAX, out_key, &len);
    while (status == OK && len && strchr("\r\n", (*out_key)[len - 1]))
        (*out_key)[--len] = '\0';
    return status == OK && len == 0 ? ERR_SYNTAX : status;
}

static int run(const Words *words) {
    if (strcmp(words->words[0], "restore") == 0)
        return restore(words);
    if (strcmp(words->words[0], "backup") == 0)
        return backup(words);
    return words->count == 2 ? check_command_run(words->words[1], words->key, words->is_json)
                             : usage();
}

int store_command_run(int argc, char **argv) {
    Words words = parse(argc, argv);
    if (words.is_bad || words.count == 0)
        return usage();
    bool is_restore = strcmp(words.words[0], "restore") == 0;
    if (!is_restore && (words.at || words.seq))
        return usage();
    char *key;
    Status status = read_key(&words, &key);
    if (status != OK) {
        mem_free(key);
        return not_done(&words, words.words[0], status, "the key file holds no key");
    }
    if (key)
        words.key = slice_of_text(key);
    int code = run(&words);
    mem_free(key);
    return code;
}
