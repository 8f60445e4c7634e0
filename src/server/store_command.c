#include "server/store_command.h"

#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "proto/json.h"
#include "proto/timefmt.h"
#include "store/backup.h"
#include "store/store_check.h"

enum { WHOLE = 0, DAMAGED = 1, NOT_DONE = 2 };

typedef struct Words {
    const char *words[3]; /* without options */
    int count;
    bool is_json, is_bad;
    const char *at, *seq;
} Words;

static void print(FILE *to, Buf *text) {
    (void)fwrite(text->ptr, 1, text->len, to);
    (void)fflush(to);
    buf_done(text);
}

static int usage(void) {
    (void)fprintf(stderr, "usage: holdwater backup DIR TARGET [--json]\n"
                          "       holdwater restore TARGET DIR [--at TIME | --seq BLOCK] [--json]\n"
                          "       holdwater check-store DIR [--json]\n");
    return NOT_DONE;
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
    return NOT_DONE;
}

/* --- names of streams --- */

typedef struct Names {
    Map64 by_group; /* group -> owned text "<account> <stream>" */
} Names;

static void add_name(Names *names, uint64_t group, Slice key) {
    if (group == 0 || group > UINT32_MAX)
        return;
    mem_free(map64_remove(&names->by_group, group));
    map64_put(&names->by_group, group, slice_to_text(key));
}

/* The catalogue's entry is {"group":N,...}. */
static void add_facts(Names *names, Slice key, Slice json) {
    Slice name, value;
    uint64_t group;
    if (json_check(json, &(size_t){0}, false, NULL) != OK || json.len == 0 || json.ptr[0] != '{')
        return;
    for (size_t at = 0; json_next_member(json, &at, &name, &value);)
        if (slice_equal(name, LIT("group")) && slice_parse_u64(value, &group) == OK)
            add_name(names, group, key);
}

static void on_record(void *cookie, const Record *record) {
    if (record->type == RECORD_STREAM_PUT)
        add_facts(cookie, record->subject, record->payload);
}

static bool cut_u32(Slice *from, uint32_t *out_value) {
    if (from->len < sizeof *out_value)
        return false;
    memcpy(out_value, from->ptr, sizeof *out_value);
    *from = slice_from_at(*from, sizeof *out_value);
    return true;
}

/* The catalogue's state (stream/catalogue.c): version, last group, count, then key and facts. */
static void on_state(void *cookie, uint32_t group, uint64_t index, Slice state) {
    uint32_t version, last, count, key_len, json_len;
    (void)index;
    if (group != 0 || !cut_u32(&state, &version) || !cut_u32(&state, &last) ||
        !cut_u32(&state, &count))
        return;
    while (count-- && cut_u32(&state, &key_len) && cut_u32(&state, &json_len) &&
           (uint64_t)key_len + json_len <= state.len) {
        add_facts(cookie, slice_first(state, key_len),
                  slice_first(slice_from_at(state, key_len), json_len));
        state = slice_from_at(state, (size_t)key_len + json_len);
    }
}

static void names_done(Names *names) {
    uint64_t group;
    void *text;
    for (size_t at = 0; map64_next(&names->by_group, &at, &group, &text);)
        mem_free(text);
    map64_done(&names->by_group);
}

/* "catalogue", "<account> <stream>", or the number. */
static void write_group(Buf *out, const Names *names, uint64_t group) {
    const char *name = map64_get(&names->by_group, group);
    if (group == 0)
        buf_append_lit(out, "catalogue");
    else if (name)
        buf_append(out, slice_of_text(name));
    else
        buf_append_u64(out, group);
}

/* --- check-store --- */

static void write_check_json(Buf *out, const StoreCheck *check, const Names *names) {
    buf_printf(out,
               "{\"whole\":%s,\"segments\":%llu,\"blocks\":%llu,\"records\":%llu,"
               "\"last_block\":%llu,\"unfinished_bytes\":%llu,\"super\":\"%s\",\"checkpoints\":%zu,"
               "\"damaged_checkpoints\":%zu,\"damages\":[",
               store_check_is_whole(check) ? "true" : "false", (unsigned long long)check->segments,
               (unsigned long long)check->blocks, (unsigned long long)check->records,
               (unsigned long long)check->last_block, (unsigned long long)check->torn_bytes,
               check->is_super_lost   ? "lost"
               : check->is_super_half ? "half"
                                      : "whole",
               check->checkpoints.len, check->bad_checkpoints.len);
    for (size_t i = 0; i < check->damages.len; i++) {
        const StoreDamage *damage = &check->damages.at[i];
        buf_printf(out,
                   "%s{\"segment\":%llu,\"offset\":%llu,\"bytes\":%llu,\"what\":\"%s\","
                   "\"streams\":[",
                   i ? "," : "", (unsigned long long)damage->segment,
                   (unsigned long long)damage->offset, (unsigned long long)damage->bytes,
                   damage->what);
        for (size_t k = 0; k < damage->groups.len; k++) {
            Buf name = {0};
            write_group(&name, names, damage->groups.at[k]);
            if (k)
                buf_append_char(out, ',');
            json_write_string(out, buf_slice(&name));
            buf_done(&name);
        }
        buf_append_lit(out, "]}");
    }
    buf_append_lit(out, "]}\n");
}

static void write_check_text(Buf *out, const StoreCheck *check, const Names *names) {
    buf_printf(out, "%llu segments, %llu blocks, %llu records, %zu checkpoints\n",
               (unsigned long long)check->segments, (unsigned long long)check->blocks,
               (unsigned long long)check->records, check->checkpoints.len);
    if (check->torn_bytes)
        buf_printf(out, "an unfinished write at the end: not damage\n");
    if (check->is_super_half || check->is_super_lost)
        buf_printf(out, "damaged: %s of SUPER\n",
                   check->is_super_lost ? "both copies" : "one copy");
    for (size_t i = 0; i < check->bad_checkpoints.len; i++)
        buf_printf(out, "damaged: checkpoint.%llu\n",
                   (unsigned long long)check->bad_checkpoints.at[i]);
    for (size_t i = 0; i < check->damages.len; i++) {
        const StoreDamage *damage = &check->damages.at[i];
        buf_printf(out, "damaged: segment %llu offset %llu, %llu bytes: %s",
                   (unsigned long long)damage->segment, (unsigned long long)damage->offset,
                   (unsigned long long)damage->bytes, damage->what);
        for (size_t k = 0; k < damage->groups.len; k++) {
            buf_append(out, k ? LIT(", ") : LIT(" ("));
            write_group(out, names, damage->groups.at[k]);
        }
        buf_append(out, damage->groups.len ? LIT(")\n") : LIT("\n"));
    }
    buf_append(out, store_check_is_whole(check) ? LIT("whole\n") : LIT("damaged\n"));
}

static int check_store(const Words *words) {
    StoreCheck check;
    Names names = {0};
    Buf out = {0};
    StoreVisitor visit = {.cookie = &names, .state = on_state, .record = on_record};
    if (words->count != 2)
        return usage();
    Status status = store_check(words->words[1], &visit, &check);
    if (status != OK) {
        names_done(&names);
        return not_done(words, "check-store", status, NULL);
    }
    if (words->is_json)
        write_check_json(&out, &check, &names);
    else
        write_check_text(&out, &check, &names);
    print(stdout, &out);
    int code = store_check_is_whole(&check) ? WHOLE : DAMAGED;
    store_check_done(&check);
    names_done(&names);
    return code;
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
    return report.damaged_blocks ? DAMAGED : WHOLE;
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
    return report.damaged_blocks ? DAMAGED : WHOLE;
}

static Words parse(int argc, char **argv) {
    Words words = {0};
    for (int i = 1; i < argc; i++) {
        const char **value = strcmp(argv[i], "--at") == 0    ? &words.at
                             : strcmp(argv[i], "--seq") == 0 ? &words.seq
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

int store_command_run(int argc, char **argv) {
    Words words = parse(argc, argv);
    if (words.is_bad || words.count == 0)
        return usage();
    bool is_restore = strcmp(words.words[0], "restore") == 0;
    if (!is_restore && (words.at || words.seq))
        return usage();
    if (is_restore)
        return restore(&words);
    return strcmp(words.words[0], "backup") == 0 ? backup(&words) : check_store(&words);
}
