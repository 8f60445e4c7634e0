#include "stream/jetstream.h"

#include <string.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "journal/progress.h"
#include "store/chunk_table.h"
#include "stream/api.h"
#include "stream/catalogue.h"
#include "stream/damage.h"
#include "stream/frame_read.h"
#include "stream/pull.h"
#include "stream/stream.h"
#include "stream/usage.h"

/* What recovery needs to know again. */
typedef struct Recovery {
    Worker **all;
    uint64_t damages, damaged_bytes;
} Recovery;

/* The directory. */

enum { KEY_PREFIX_BYTES = sizeof(uint32_t), KEY_BYTES_MAX = KEY_PREFIX_BYTES + LIMIT_NAME_BYTES };

static Slice make_key(const Account *account, Slice name, char *to) {
    uint32_t index = (uint32_t)account_index(account);

    memcpy(to, &index, sizeof index);
    memcpy(to + sizeof index, name.ptr, name.len);
    return slice_from(to, sizeof index + name.len);
}

StreamRef *jetstream_find(JetStream *js, const Account *account, Slice name) {
    char key[KEY_BYTES_MAX];

    ASSERT_HOME(js);
    if (name.len == 0 || name.len > LIMIT_NAME_BYTES)
        return NULL;
    return map_get(&js->directory, make_key(account, name, key));
}

void jetstream_add_ref(JetStream *js, Account *account, Slice name, uint32_t group) {
    ASSERT_HOME(js);
    ASSERT(name.len > 0 && name.len <= LIMIT_NAME_BYTES && !jetstream_find(js, account, name));
    StreamRef *ref = mem_alloc(sizeof *ref + KEY_PREFIX_BYTES + name.len);

    *ref = (StreamRef){
        .account = account,
        .group = group,
        .home = jetstream_home_of(js->home, group),
        .name_len = (uint16_t)name.len,
    };
    map_put(&js->directory, make_key(account, name, ref->key), ref);
    if (js->on_ref)
        js->on_ref(js, ref, true);
}

void jetstream_remove_ref(JetStream *js, Account *account, Slice name) {
    char key[KEY_BYTES_MAX];

    ASSERT_HOME(js);
    StreamRef *ref = map_remove(&js->directory, make_key(account, name, key));
    if (ref && js->on_ref)
        js->on_ref(js, ref, false);
    mem_free(ref);
}

/* Opening and closing. */

static void new_on_worker(const JetStreamOptions *options, Worker *worker) {
    JetStream *js = mem_zalloc(sizeof *js);

    js->home = worker;
    js->options = options;
    js->usage = mem_zalloc(bus_account_count(worker->bus) * sizeof *js->usage);
    js->held = usage_table_new(bus_account_count(worker->bus));
    worker->jetstream = js;
}

static Group *find_group(void *cookie, uint32_t id) {
    Recovery *recovery = cookie;
    JetStream *first = recovery->all[0]->jetstream;

    if (id == 0)
        return catalogue_group(first->catalogue);
    JetStream *js = jetstream_home_of(recovery->all[0], id)->jetstream;
    Stream *stream = map64_get(&js->streams, id);
    return stream ? &stream->group : NULL;
}

static void on_damage(void *cookie, Place at, uint64_t bytes) {
    Recovery *recovery = cookie;

    recovery->damages++;
    recovery->damaged_bytes += bytes;
    LOG_ERR("store damaged", "segment=%llu offset=%llu bytes=%llu",
            (unsigned long long)place_segment(at), (unsigned long long)place_offset(at),
            (unsigned long long)bytes);
}

static void log_report(const JetStreamOptions *options, Worker **all, const LogReport *report) {
    size_t streams = 0;
    uint64_t messages = 0, damaged = 0, group;
    void *value;

    for (unsigned i = 0; i < all[0]->count; i++)
        for (size_t at = 0; map64_next(&all[i]->jetstream->streams, &at, &group, &value);) {
            const Stream *stream = value;
            streams++;
            messages += stream->state.messages;
            damaged += stream->state.damaged;
        }
    LOG_INFO("store recovered",
             "dir=%s streams=%zu messages=%llu blocks=%llu records=%llu segments=%llu",
             options->store_dir, streams, (unsigned long long)messages,
             (unsigned long long)report->blocks, (unsigned long long)report->records,
             (unsigned long long)report->segments);
    if (report->torn_bytes)
        LOG_INFO("unfinished last write dropped", "bytes=%llu",
                 (unsigned long long)report->torn_bytes);
    if (damaged || report->damaged_records)
        LOG_ERR("messages damaged on disk", "messages=%llu records=%llu",
                (unsigned long long)damaged, (unsigned long long)report->damaged_records);
    Slice rest = buf_slice(&report->text), line;
    while (slice_cut(&rest, '\n', &line))
        if (line.len)
            LOG_WARNING("store", "%.*s", SLICE_ARG(line));
}

static Status open_store(const JetStreamOptions *options, Worker **all, JournalStore **out_store) {
    JournalOptions journal_options = {
        .dir = options->store_dir,
        .sync_interval_ns = options->sync_interval_ns,
        .checkpoint_bytes = options->checkpoint_bytes,
        .segment_bytes = options->segment_bytes,
        .cipher = options->cipher,
        .scrub_interval_ns = options->scrub_interval_ns,
        .scrub_rate = options->scrub_rate,
        .progress = options->progress,
        .clean_ns = options->clean_ns,
        .is_not_cleaned = options->is_not_cleaned,
        .is_read_ahead = !options->is_stepped,
        .offload = options->offload,
    };
    LogReport report = {0};
    Recovery recovery = {.all = all};
    JournalRecovery callbacks = {.cookie = &recovery, .find = find_group, .damaged = on_damage};
    JournalStore *store = NULL;

    Status status = journal_store_open(&journal_options, all, &report, &store);
    if (status != OK) {
        buf_done(&report.text);
        return status;
    }
    *out_store = store;
    ChunkTable *chunks = chunk_table_new(journal_log(all[0]->journal));
    if (options->is_forgetting_chunks)
        chunk_table_forget(chunks);
    if (options->is_sieve_blind)
        chunk_table_blind(chunks);
    for (unsigned i = 0; i < all[0]->count; i++) {
        all[i]->jetstream->chunks = chunks;
        all[i]->jetstream->journal = all[i]->journal;
        all[i]->jetstream->store = store;
    }
    all[0]->jetstream->catalogue = catalogue_new(all[0]->jetstream);
    all[0]->jetstream->damage = damage_watch_new(all[0]->jetstream);
    status = journal_store_recover(store, &callbacks);
    if (status == OK)
        chunk_table_set_key(chunks, log_store_id(journal_log(all[0]->journal)));
    if (status == OK && !options->is_stepped)
        status = journal_store_start(store);
    if (status == OK) {
        catalogue_start(all[0]->jetstream->catalogue);
        log_report(options, all, &report);
    }
    buf_done(&report.text);
    return status;
}

static Status try_open(const JetStreamOptions *options, Worker **all, JournalStore **out_store) {
    JournalStore *store = NULL;

    ASSERT(options->is_enabled);
    journal_progress_forget(options->progress);
    BatchCounts *counts = batch_counts_new();
    for (unsigned i = 0; i < all[0]->count; i++) {
        new_on_worker(options, all[i]);
        all[i]->jetstream->batch_counts = counts;
    }
    Status status = open_store(options, all, &store);
    if (status != OK) {
        jetstream_close(all, store);
        return status;
    }
    for (unsigned i = 0; i < all[0]->count; i++)
        all[i]->jetstream->api = api_new(all[i]->jetstream);
    *out_store = store;
    return OK;
}

/* Each time one checkpoint fewer. */
Status jetstream_open(const JetStreamOptions *options, Worker **all, JournalStore **out_store) {
    Status status;
    do
        status = try_open(options, all, out_store);
    while (status == ERR_AGAIN);
    return status;
}

void jetstream_end_pulls(Worker *here) {
    JetStream *js = here->jetstream;
    uint64_t group;
    void *value;

    for (size_t at = 0; js && map64_next(&js->streams, &at, &group, &value);)
        pull_end_everywhere(((Stream *)value)->consumers, LIT("409 Server Shutdown"));
}

static void free_on_worker(Worker *worker) {
    JetStream *js = worker->jetstream;
    uint64_t group;
    void *value;
    Slice key;

    if (!js)
        return;
    api_free(js->api);
    js->api = NULL;
    for (size_t at = 0; map64_next(&js->streams, &at, &group, &value); at = 0)
        stream_free(value); /* leaves the map */
    damage_watch_free(js->damage);
    catalogue_free(js->catalogue);
    for (size_t at = 0; map_next(&js->directory, &at, &key, &value);)
        mem_free(value);
    map_done(&js->directory);
    map64_done(&js->streams);
    usage_table_free(js->held);
    frame_cache_free(js->frames);
    mem_free(js->usage);
    mem_free(js);
    worker->jetstream = NULL;
}

void jetstream_close(Worker **all, JournalStore *store) {
    unsigned count = all[0]->count;
    JetStream *first = all[0]->jetstream;
    BatchCounts *counts = first ? first->batch_counts : NULL;
    ChunkTable *chunks = first ? first->chunks : NULL;

    /* Groups leave before their journals go; what they appended is still committed. */
    for (unsigned i = 0; i < count; i++)
        free_on_worker(all[i]);
    batch_counts_free(counts);
    chunk_table_free(chunks);
    if (store)
        journal_store_close(store);
}
