/* JetStream: one per worker; the root of streams, directory and API there. The catalogue of all
 * assets lives on worker 0.
 *
 * A stream's home is all[group % count]. The directory (account, name -> group) is the same on
 * every worker: the catalogue mails each change to all of them before anybody is answered. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/map.h"
#include "bus/bus.h"
#include "io/offload.h"
#include "io/worker.h"
#include "journal/journal.h"
#include "stream/batch_counts.h"
#include "stream/stream_config.h"

typedef struct JetStream JetStream;
typedef struct Stream Stream;
typedef struct Catalogue Catalogue;

/* What one account may have; -1 = no limit. */
typedef struct JetStreamAccountLimits {
    int64_t max_memory, max_file; /* bytes */
    int64_t max_streams, max_consumers, max_ack_pending;
    int64_t max_memory_stream_bytes, max_file_stream_bytes;
    bool max_bytes_required;
    bool is_dedup_off; /* as in JetStreamOptions */
} JetStreamAccountLimits;

/* Of batches; 0 = the default. */
typedef struct BatchLimits {
    int64_t max_inflight_per_stream, max_inflight_total; /* atomic ones open: 50, 1000 */
    int64_t max_msgs;                                    /* of an atomic one: 1000 */
    int64_t timeout_ns;                                  /* without a message: 10 s */
} BatchLimits;

typedef struct JetStreamOptions {
    bool is_enabled;
    const char *store_dir;                       /* the directory itself, made when absent */
    int64_t max_memory, max_file;                /* bytes; -1 = no limit of its own */
    uint64_t sync_interval_ns;                   /* 0 = always */
    uint64_t checkpoint_bytes;                   /* of log between two checkpoints; 0 = default */
    uint64_t segment_bytes;                      /* of the log; 0 = default */
    CipherOptions cipher;                        /* needed until jetstream_open returned */
    uint64_t scrub_interval_ns;                  /* 0 = only when asked for */
    uint64_t scrub_rate;                         /* bytes a second; 0 = as fast as it goes */
    uint64_t max_in_flight, max_in_flight_bytes; /* publishes of a stream that wait for their sync;
                                                    0 = STREAM_IN_FLIGHT_MAX, _BYTES_MAX */
    bool is_dedup_off;        /* equal large payloads are stored as often as they come */
    uint64_t chunk_bytes_min; /* for tests; 0 = CHUNK_PAYLOAD_MIN */
    bool
        is_forgetting_chunks; /* the mutation that simulation must catch; never set by the server */
    bool is_sieve_blind;      /* for tests: all payloads have the same hash */
    uint64_t clean_ns;        /* between two looks at the log's segments; 0 = default */
    bool is_not_cleaned;      /* see JournalOptions */
    bool is_stepped; /* simulation: no log thread; what was appended waits for log_commit_now */
    Slice domain;
    Slice server_name, server_id;
    Slice version; /* what clients are told, "2.15.1" */
    ConfigLimits limits;
    BatchLimits batch;
    int64_t max_consumers_default; /* for streams with max_consumers -1; -1 = none (ours) */
    bool *account_is_enabled;      /* by account index */
    const JetStreamAccountLimits *account_limits; /* by account index; NULL = no account has any */
    Offload *offload;
    struct JournalProgress *progress; /* NULL: nobody asks */
} JetStreamOptions;

/* Figures per account and server, for account info and jsz; kept by the homes, added up when asked.
 */
typedef struct JetStreamUsage {
    uint64_t memory, storage, reserved_memory, reserved_storage;
    uint64_t streams, consumers, messages, bytes;
    uint64_t chunk_messages,
        chunk_bytes; /* of these, those whose payload is a chunk; of payloads */
    uint64_t api_total, api_errors;
} JetStreamUsage;

typedef struct StreamRef { /* directory entry; owned by the directory of its worker */
    Account *account;
    uint32_t group;
    Worker *home;
    Stream *stream; /* on home only; NULL elsewhere */
    uint16_t name_len;
    char key[]; /* account index (u32) and name: the directory's key */
} StreamRef;

struct JetStream {
    Worker *home;
    const JetStreamOptions *options;
    Journal *journal;
    JournalStore *store;
    Map directory;              /* key -> StreamRef */
    Map64 streams;              /* group -> Stream, those at home here */
    Catalogue *catalogue;       /* on worker 0 */
    struct Api *api;            /* ports and counters of this worker */
    JetStreamUsage *usage;      /* [account], of the streams at home here */
    struct UsageTable *held;    /* usage.h: the bytes among it, as other workers may read them */
    BatchCounts *batch_counts;  /* one for all workers */
    struct DamageWatch *damage; /* damage.h; on worker 0 */
    struct ChunkTable *chunks;  /* one for all workers */
    struct FrameCache *frames;  /* frame_read.h; NULL until the first was read */
    /* NULL or: a stream has come into the directory of this worker, or gone from it. */
    void (*on_ref)(JetStream *js, const StreamRef *ref, bool is_there);
};

/* Set-up: opens the store, replays it, creates streams on their homes and the API ports. options
 * stays the caller's and must live on. Logs what recovery found. The same errors as log_open. */
MUST_CHECK Status jetstream_open(const JetStreamOptions *options, Worker **all,
                                 JournalStore **out_store);
/* After the workers were joined. */
void jetstream_close(Worker **all, JournalStore *store);

/* The account's limits, or those of an account without any. */
const JetStreamAccountLimits *jetstream_limits(const JetStreamOptions *options, size_t account);
/* The server's config limits narrowed by the account's, for streams of that storage. */
ConfigLimits jetstream_config_limits(const JetStreamOptions *options, size_t account,
                                     Storage storage);

/* Tells who waits for messages of this worker's consumers that the server stops (409). */
void jetstream_end_pulls(Worker *here);

static inline Slice stream_ref_name(const StreamRef *ref) {
    return slice_from(ref->key + sizeof(uint32_t), ref->name_len);
}

/* NULL when unknown. O(1). */
StreamRef *jetstream_find(JetStream *js, const Account *account, Slice name);

/* Directory changes, on each worker (mailed by the catalogue; called directly in set-up). */
void jetstream_add_ref(JetStream *js, Account *account, Slice name, uint32_t group);
void jetstream_remove_ref(JetStream *js, Account *account, Slice name);

static inline Worker *jetstream_home_of(const Worker *any, uint32_t group) {
    return any->all[group % any->count];
}
