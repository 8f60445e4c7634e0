#include "server/check_command.h"

#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "proto/json.h"
#include "store/store_check.h"
#include "stream/stream.h"

/* --- names of streams --- */

typedef struct NeededRun {
    uint64_t group, generation;
} NeededRun;

typedef struct Names {
    Map64 by_group;        /* group -> owned text "<account> <stream>" */
    VEC(NeededRun) needed; /* runs that the newest checkpoint names */
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
    Names *names = cookie;
    (void)index;
    if (group != 0) {
        uint64_t generation;
        if (stream_state_run(state, &generation) && generation)
            vec_push(&names->needed, ((NeededRun){group, generation}));
        return;
    }
    if (!cut_u32(&state, &version) || !cut_u32(&state, &last) || !cut_u32(&state, &count))
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
    vec_done(&names->needed);
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

/* --- the report --- */

static void write_streams(Buf *out, const Names *names, const ScanNumbers *groups) {
    for (size_t k = 0; k < groups->len; k++) {
        Buf name = {0};
        write_group(&name, names, groups->at[k]);
        if (k)
            buf_append_char(out, ',');
        json_write_string(out, buf_slice(&name));
        buf_done(&name);
    }
}

static void write_numbers(Buf *out, const ScanNumbers *numbers) {
    for (size_t i = 0; i < numbers->len; i++)
        buf_printf(out, "%s%llu", i ? "," : "", (unsigned long long)numbers->at[i]);
}

static void write_json_runs(Buf *out, const StoreCheck *check, const Names *names) {
    bool is_first = true;
    for (size_t i = 0; i < check->runs.len; i++) {
        const StoreRun *run = &check->runs.at[i];
        Buf name = {0};
        if (run->damage == NULL)
            continue;
        write_group(&name, names, run->group);
        buf_printf(
            out, "%s{\"file\":\"idx/%llu.%llu.run\",\"what\":\"%s\",\"offset\":%llu,\"stream\":",
            is_first ? "" : ",", (unsigned long long)run->group,
            (unsigned long long)run->generation, run->damage, (unsigned long long)run->offset);
        json_write_string(out, buf_slice(&name));
        buf_append_char(out, '}');
        buf_done(&name);
        is_first = false;
    }
}

static void write_json_damages(Buf *out, const StoreCheck *check, const Names *names) {
    for (size_t i = 0; i < check->damages.len; i++) {
        const StoreDamage *damage = &check->damages.at[i];
        buf_printf(out,
                   "%s{\"segment\":%llu,\"offset\":%llu,\"bytes\":%llu,\"what\":\"%s\","
                   "\"streams\":[",
                   i ? "," : "", (unsigned long long)damage->segment,
                   (unsigned long long)damage->offset, (unsigned long long)damage->bytes,
                   damage->what);
        write_streams(out, names, &damage->groups);
        buf_append_lit(out, "]}");
    }
}

static const char *super_word(const StoreCheck *check) {
    return check->is_super_lost ? "lost" : check->is_super_half ? "half" : "whole";
}

static void write_json(Buf *out, const StoreCheck *check, const Names *names) {
    buf_printf(out,
               "{\"whole\":%s,\"segments\":%llu,\"blocks\":%llu,\"records\":%llu,"
               "\"last_block\":%llu,\"unfinished_bytes\":%llu,\"super\":\"%s\",\"checkpoints\":%zu,"
               "\"damaged_checkpoints\":%zu,\"runs\":%zu,%s\"bad_checkpoints\":[",
               store_check_is_whole(check) ? "true" : "false", (unsigned long long)check->segments,
               (unsigned long long)check->blocks, (unsigned long long)check->records,
               (unsigned long long)check->last_block, (unsigned long long)check->torn_bytes,
               super_word(check), check->checkpoints.len, check->bad_checkpoints.len,
               check->runs.len, check->is_locked ? "\"locked\":true," : "");
    write_numbers(out, &check->bad_checkpoints);
    buf_append_lit(out, "],\"bad_runs\":[");
    write_json_runs(out, check, names);
    buf_append_lit(out, "],\"damages\":[");
    write_json_damages(out, check, names);
    buf_append_lit(out, "],\"unknown_files\":[");
    for (size_t i = 0; i < check->unknown.len; i++) {
        if (i)
            buf_append_char(out, ',');
        json_write_string(out, slice_of_text(check->unknown.at[i]));
    }
    buf_printf(out, "],\"set_aside\":{\"files\":%llu,\"bytes\":%llu}}\n",
               (unsigned long long)check->set_aside, (unsigned long long)check->set_aside_bytes);
}

static void write_text_damages(Buf *out, const StoreCheck *check, const Names *names) {
    for (size_t i = 0; i < check->runs.len; i++) {
        const StoreRun *run = &check->runs.at[i];
        if (run->damage == NULL)
            continue;
        buf_printf(out, "damaged: idx/%llu.%llu.run: %s (", (unsigned long long)run->group,
                   (unsigned long long)run->generation, run->damage);
        write_group(out, names, run->group);
        buf_append_lit(out, ")\n");
    }
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
}

static void write_text(Buf *out, const StoreCheck *check, const Names *names) {
    buf_printf(out, "%llu segments, %llu blocks, %llu records, %zu checkpoints, %zu index runs\n",
               (unsigned long long)check->segments, (unsigned long long)check->blocks,
               (unsigned long long)check->records, check->checkpoints.len, check->runs.len);
    if (check->is_locked)
        buf_append_lit(out,
                       "encrypted: the blocks' checksums are verified, the records could not be "
                       "looked into without the key\n");
    if (check->torn_bytes)
        buf_printf(out, "an unfinished write at the end: not damage\n");
    for (size_t i = 0; i < check->unknown.len; i++)
        buf_printf(out, "unknown: %s\n", check->unknown.at[i]);
    if (check->set_aside)
        buf_printf(out, "bad/: %llu files, %llu bytes, of damage that was found before\n",
                   (unsigned long long)check->set_aside,
                   (unsigned long long)check->set_aside_bytes);
    if (check->is_super_half || check->is_super_lost)
        buf_printf(out, "damaged: %s of SUPER\n",
                   check->is_super_lost ? "both copies" : "one copy");
    for (size_t i = 0; i < check->bad_checkpoints.len; i++)
        buf_printf(out, "damaged: checkpoint.%llu\n",
                   (unsigned long long)check->bad_checkpoints.at[i]);
    write_text_damages(out, check, names);
    buf_append(out, store_check_is_whole(check) ? LIT("whole\n") : LIT("damaged\n"));
}

/* Runs that a state names and that are not there. */
static size_t add_missing_runs(StoreCheck *check, const Names *names) {
    size_t count = 0;
    for (size_t i = 0; i < names->needed.len; i++) {
        const NeededRun *needed = &names->needed.at[i];
        bool is_there = false;
        for (size_t k = 0; k < check->runs.len && !is_there; k++)
            is_there = check->runs.at[k].group == needed->group &&
                       check->runs.at[k].generation == needed->generation;
        if (is_there)
            continue;
        vec_push(&check->runs, ((StoreRun){needed->group, needed->generation, "missing", 0}));
        count++;
    }
    return count;
}

/* A server that is at work may have made newer checkpoints, and given up the runs of the one that
 * was read: then it is looked at anew. */
static Status look(const char *dir, Slice key, Names *names, StoreCheck *out_check) {
    enum { TRIES = 3 };
    StoreVisitor visit = {.cookie = names, .state = on_state, .record = on_record};
    for (int i = 1;; i++) {
        Status status = store_check(dir, key, &visit, out_check);
        if (status != OK || add_missing_runs(out_check, names) == 0 || i == TRIES)
            return status;
        store_check_done(out_check);
        vec_clear(&names->needed);
    }
}

static int fail(bool is_json, Status status) {
    const char *why = status == ERR_DENIED ? "the key is not the store's" : status_text(status);
    if (is_json)
        (void)printf("{\"done\":false,\"error\":\"%s\"}\n", why);
    else
        (void)fprintf(stderr, "holdwater: check-store: %s\n", why);
    return STORE_NOT_DONE;
}

int check_command_run(const char *dir, Slice key, bool is_json) {
    StoreCheck check;
    Names names = {0};
    Buf out = {0};
    Status status = look(dir, key, &names, &check);
    if (status != OK) {
        names_done(&names);
        return fail(is_json, status);
    }
    if (is_json)
        write_json(&out, &check, &names);
    else
        write_text(&out, &check, &names);
    (void)fwrite(out.ptr, 1, out.len, stdout);
    (void)fflush(stdout);
    int code = store_check_is_whole(&check) ? STORE_WHOLE : STORE_DAMAGED;
    buf_done(&out);
    store_check_done(&check);
    names_done(&names);
    return code;
}
