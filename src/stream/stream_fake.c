#include "stream/stream_fake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "bus/trace.h"
#include "io/clock.h"
#include "io/disk.h"
#include "stream/catalogue.h"
#include "stream/mirror_direct.h"
#include "stream/restore.h"
#include "stream/snapshot.h"

World world;

void interest_watch_add(Account *account, InterestWatch *watch) {
    (void)account;
    watch->count = 0;
}
void interest_watch_remove(Account *account, InterestWatch *watch) {
    (void)account;
    (void)watch;
}

/* ---- io ---- */

int64_t clock_wall_ns(void) {
    return world.wall_ns;
}
uint64_t clock_mono_ns(void) {
    world.mono_ns += world.mono_step_ns;
    return (uint64_t)world.wall_ns + world.mono_ns;
}
bool worker_is_current(const Worker *worker) {
    (void)worker;
    return true;
}
void timer_init(Timer *timer, void (*fire)(Timer *timer)) {
    *timer = (Timer){.fire = fire};
}
void timer_set(Worker *worker, Timer *timer, uint64_t due_mono_ns) {
    (void)worker;
    timer->due_ns = due_mono_ns;
    timer->heap_at = 1;
    world.timer = timer;
}
void timer_cancel(Worker *worker, Timer *timer) {
    (void)worker;
    timer->heap_at = 0;
    if (world.timer == timer)
        world.timer = NULL;
}
void task_init(Task *task, void (*run)(Task *task)) {
    link_init(&task->link);
    task->run = run;
}
enum { READY_BEFORE = sizeof world.ready_before / sizeof world.ready_before[0] };
void task_cancel(Task *task) {
    if (world.ready == task)
        world.ready = NULL;
    for (unsigned i = 0; i < READY_BEFORE; i++)
        if (world.ready_before[i] == task)
            world.ready_before[i] = NULL;
}
void worker_ready(Worker *worker, Task *task) {
    (void)worker;
    if (world.ready != task)
        for (unsigned i = 0; i < READY_BEFORE && world.ready; i++)
            if (!world.ready_before[i] || world.ready_before[i] == task) {
                world.ready_before[i] = world.ready;
                break;
            }
    world.ready = task;
}
bool world_run_ready(void) {
    Task *task = world.ready;
    world.ready = NULL;
    for (unsigned i = 0; i < READY_BEFORE && !task; i++) {
        task = world.ready_before[i];
        world.ready_before[i] = NULL;
    }
    if (task)
        task->run(task);
    return task != NULL;
}
void worker_soon(Worker *worker, Task *task) {
    (void)worker, (void)task;
}

/* ---- bus ---- */

static struct { int nothing; } fake_account;

/* It would bring the API in. */
void mirror_direct_configure(Stream *stream) {
    (void)stream;
}
void mirror_direct_free(MirrorDirect *direct) {
    (void)direct;
}

Slice account_name(const Account *account) {
    (void)account;
    return LIT("$G");
}

size_t account_index(const Account *account) {
    (void)account;
    return 0;
}
Bus *account_bus(const Account *account) {
    (void)account;
    return NULL;
}
size_t bus_account_count(const Bus *bus) {
    (void)bus;
    return 1;
}
size_t bus_publish(Account *account, Slice to, const Message *message, Port *from, unsigned flags) {
    (void)account, (void)from, (void)flags;
    if (world.is_quiet)
        return 1;
    world.sent = mem_realloc(world.sent, (world.sent_count + 1) * sizeof *world.sent);
    world.sent[world.sent_count++] = (FakeSent){slice_to_text(to), slice_to_text(message->headers),
                                                slice_to_text(message->payload)};
    return 1;
}
Sub *sub_add(Account *account, Port *port, Slice subject, Slice queue, Slice sid, bool is_local) {
    (void)account, (void)queue, (void)sid, (void)is_local;
    Sub *sub = mem_zalloc(sizeof *sub + subject.len);
    sub->port = port;
    sub->subject_len = (uint16_t)subject.len;
    memcpy(sub->text, subject.ptr, subject.len);
    sub->set = world.subs;
    world.subs = sub;
    return sub;
}
void sub_remove(Sub *sub) {
    Sub **at = &world.subs;
    while (*at != sub)
        at = (Sub **)(void *)&(*at)->set;
    *at = sub->set;
    mem_free(sub);
}

/* ---- journal ---- */

void journal_add_group(Journal *journal, Group *group) {
    (void)journal, (void)group;
}
void journal_remove_group(Journal *journal, Group *group) {
    (void)journal, (void)group;
}
void journal_note_run_lost(Journal *journal) {
    (void)journal;
}
Status journal_health(const Journal *journal) {
    (void)journal;
    return world.health;
}
Log *journal_log(Journal *journal) {
    (void)journal;
    return NULL;
}
void offload_submit(Offload *offload, OffloadJob *job) {
    (void)offload, (void)job;
    ASSERT(false); /* there is none */
}
const Cipher *journal_cipher(const Journal *journal) {
    (void)journal;
    return NULL;
}

const struct Counter *journal_is_hurried(const Journal *journal) {
    (void)journal;
    return NULL;
}
char *journal_run_dir(const Journal *journal) {
    (void)journal;
    if (!world.run_dir[0]) {
        snprintf(world.run_dir, sizeof world.run_dir, "/tmp/stream_fake-XXXXXX");
        ASSERT(mkdtemp(world.run_dir));
    }
    return mem_copy(world.run_dir, strlen(world.run_dir));
}
char *journal_run_path(const Journal *journal, uint32_t group, uint64_t generation) {
    char *dir = journal_run_dir(journal);
    Buf path = {0};
    buf_printf(&path, "%s%s/%u.%llu.run", dir, world.has_no_run_dir ? "/none" : "", group,
               (unsigned long long)generation);
    (void)buf_text(&path);
    mem_free(dir);
    return path.ptr;
}
uint64_t journal_inline_max(const Journal *journal) {
    (void)journal;
    return world.inline_max;
}
Offload *journal_offload(const Journal *journal) {
    (void)journal;
    return NULL;
}
LogReader *journal_reader(Journal *journal) {
    (void)journal;
    return NULL;
}

/* Each entry has a segment of its own. */
enum { ENTRY_OFFSET = 64 };

static FakeEntry *entry_at(Place place) {
    uint64_t segment = place_segment(place);
    return segment && segment <= world.entry_count ? &world.entries[segment - 1] : NULL;
}

/* What waits at the gate of the one stream. */
typedef struct FakeGated {
    struct FakeGated *next;
    Record record; /* all in text */
    Ticket ticket;
    GroupDecide *decide; /* NULL: appended as it is */
    char *text[4];
} FakeGated;

static int a_gate; /* only that it is there counts */

static void gated_free(FakeGated *gated) {
    for (unsigned i = 0; i < 4; i++)
        mem_free(gated->text[i]);
    mem_free(gated);
}

void journal_gate(Journal *journal, Group *group, const Record *draft, const Ticket *ticket,
                  GroupDecide *decide) {
    (void)journal;
    FakeGated *gated = mem_zalloc(sizeof *gated), **at = &world.gated;
    *gated = (FakeGated){.record = *draft, .ticket = *ticket, .decide = decide};
    Slice *const parts[] = {&gated->record.subject, &gated->record.headers, &gated->record.payload,
                            &gated->ticket.data};
    for (unsigned i = 0; i < 4; i++)
        parts[i]->ptr = gated->text[i] = slice_to_text(*parts[i]);
    while (*at)
        at = &(*at)->next;
    *at = gated;
    group->in_flight++;
    group->hold = (GroupHold *)(void *)&a_gate;
}

void journal_ungate(Journal *journal, Group *group) {
    if (!group->hold)
        return;
    group->hold = NULL;
    for (FakeGated *gated = world.gated, *next; gated; gated = next) {
        group->in_flight--;
        next = gated->next;
        world.gated = NULL;
        if (!gated->decide) {
            journal_append(journal, group, &gated->record, &gated->ticket, false);
        } else if (!gated->decide(group, &gated->record, &gated->ticket)) {
            ASSERT(!world.gated);
            group->in_flight++;
            world.gated = gated;
            group->hold = (GroupHold *)(void *)&a_gate;
            return;
        }
        gated_free(gated);
    }
}

void world_drop_gate(Stream *stream) {
    stream->group.hold = NULL;
    for (FakeGated *gated = world.gated, *next; gated; gated = next) {
        next = gated->next;
        stream->group.in_flight--;
        stream_group_ops.refused(&stream->group, &gated->record, &gated->ticket, ERR_CLOSED);
        gated_free(gated);
    }
    world.gated = NULL;
}

void journal_append(Journal *journal, Group *group, const Record *draft, const Ticket *ticket,
                    bool is_small) {
    if (group->hold) {
        journal_gate(journal, group, draft, ticket, NULL);
        return;
    }
    (void)is_small;
    if ((world.entry_count & (world.entry_count - 1)) == 0)
        world.entries =
            mem_realloc(world.entries, (2 * world.entry_count + 1) * sizeof *world.entries);
    FakeEntry *entry = &world.entries[world.entry_count++];
    *entry = (FakeEntry){.record = *draft, .ticket = *ticket};
    Record *record = &entry->record;
    record->group = group->id;
    record->index = ++group->index_last;
    group->in_flight++;
    size_t used;
    entry->bytes = shared_new(record_bytes(record));
    record_write(record, shared_bytes(entry->bytes));
    ASSERT(record_parse_trusted(slice_from(shared_bytes(entry->bytes), record_bytes(record)),
                                record, &used) == OK);
    entry->place = group->is_memory ? 0 : place_of(world.entry_count, ENTRY_OFFSET);
    entry->ticket.data.ptr = slice_to_text(ticket->data);
}

void log_add_live(Log *log, Place place, uint64_t bytes) {
    (void)log;
    FakeEntry *entry = entry_at(place); /* NULL: what a damaged checkpoint says */
    if (entry)
        entry->live += (int64_t)bytes;
}
void log_drop_live(Log *log, Place place, uint64_t bytes) {
    (void)log;
    FakeEntry *entry = entry_at(place);
    if (!entry)
        return;
    entry->live -= (int64_t)bytes;
    ASSERT(entry->live >= 0);
}

void log_add_dead(Log *log, Place place, uint64_t bytes) {
    (void)log, (void)bytes;
    FakeEntry *entry = entry_at(place);
    if (entry)
        entry->dead += (int64_t)bytes;
}
void log_drop_dead(Log *log, Place place, uint64_t bytes) {
    FakeEntry *entry = entry_at(place);
    if (entry) {
        entry->dead -= (int64_t)bytes;
        ASSERT(entry->dead >= 0);
    }
    log_drop_live(log, place, bytes);
}
uint64_t journal_move_pause_ns(Journal *journal, GroupMove *move) {
    (void)journal, (void)move;
    return 0;
}

void journal_ask_pack(Journal *journal, bool has_old) {
    (void)journal, (void)has_old;
}

Status log_reader_peek(LogReader *reader, Place place, size_t bytes, Record *out_record,
                       Shared **out_hold) {
    (void)reader;
    FakeEntry *entry = entry_at(place);
    if (world.read_status)
        return world.read_status;
    if (world.is_cold && world.fetched != place)
        return ERR_AGAIN;
    if (!entry || entry->is_gone)
        return ERR_CORRUPT;
    size_t used, at = place_offset(place) - ENTRY_OFFSET, len = shared_len(entry->bytes);
    if (at >= len ||
        record_parse(slice_from(shared_bytes(entry->bytes) + at, len - at), out_record, &used))
        return ERR_CORRUPT;
    if (bytes && bytes != record_bytes(out_record))
        return ERR_CORRUPT;
    *out_hold = shared_ref(entry->bytes);
    return OK;
}
Status log_reader_read(LogReader *reader, Place place, size_t bytes, Record *out_record,
                       Shared **out_hold) {
    world.fetched = place;
    return log_reader_peek(reader, place, bytes, out_record, out_hold);
}
Status log_reader_look(LogReader *reader, Place place, Record *out_record, Shared **out_hold) {
    return log_reader_peek(reader, place, RECORD_HEADER_BYTES, out_record, out_hold);
}
void log_reader_fetch(LogReader *reader, Place place, size_t bytes,
                      void (*done)(void *cookie, Status status), void *cookie) {
    (void)reader, (void)bytes;
    world.fetched = place;
    world.fetch_done = done;
    world.fetch_cookie = cookie;
}

/* ---- consumers ---- */

ConsumerSet *consumer_set_new(Stream *stream) {
    (void)stream;
    return NULL;
}
void consumer_set_free(ConsumerSet *set) {
    (void)set;
}
void consumer_set_start(ConsumerSet *set) {
    (void)set;
}
void consumer_set_stop(ConsumerSet *set) {
    (void)set;
}
size_t consumer_set_visible_count(const ConsumerSet *set) {
    (void)set;
    return 0;
}
void consumer_set_on_stored(ConsumerSet *set, const StoredMsg *msg) {
    (void)set;
    ASSERT(msg->seq && msg->subject.len);
    world.stored_count++;
    world.unread_count += msg->is_unread;
    const char *begin = shared_bytes(msg->hold), *end = begin + shared_len(msg->hold);
    ASSERT(!msg->headers.len || (msg->headers.ptr >= begin && msg->headers.ptr < end));
}
void consumer_set_on_removed(ConsumerSet *set, uint64_t seq, Slice subject, bool has_advisory) {
    (void)set, (void)seq, (void)subject;
    world.removed_count++;
    world.advisory_count += has_advisory;
}
void consumer_set_on_purged(ConsumerSet *set, Slice filter) {
    (void)set;
    (void)filter;
}
void consumer_set_on_purged_all(ConsumerSet *set, uint64_t last_seq) {
    (void)set;
    world.purged_all = last_seq;
}
bool consumer_set_needs(const ConsumerSet *set, uint64_t seq, Slice subject) {
    (void)set, (void)subject;
    return world.needs && world.needs(seq);
}
bool consumer_set_wants(const ConsumerSet *set, Slice subject) {
    (void)set;
    return !world.wants || world.wants(subject);
}
void consumer_set_on_config(ConsumerSet *set) {
    (void)set;
}
void consumer_set_apply(ConsumerSet *set, const Record *record, ApiCall *call, Slice ack_replies,
                        bool is_recovery) {
    (void)set, (void)is_recovery;
    buf_printf(&world.api, "consumer %.*s %.*s\n", SLICE_ARG(record->subject),
               SLICE_ARG(ack_replies));
    mem_free(call);
}
void consumer_set_refused(ConsumerSet *set, const Record *record, ApiCall *call, Status why) {
    (void)set, (void)record;
    buf_printf(&world.api, "consumer refused: %s\n", status_text(why));
    mem_free(call);
}
void consumer_set_save(const ConsumerSet *set, Buf *out) {
    (void)set;
    buf_append_lit(out, "consumers");
}
size_t consumer_set_count(const ConsumerSet *set) {
    (void)set;
    return world.consumer_count;
}
void consumer_set_save_begin(ConsumerSet *set) {
    (void)set;
    ASSERT(!world.saves_consumers);
    world.saves_consumers = 3;
}
bool consumer_set_save_one(ConsumerSet *set) {
    (void)set;
    return --world.saves_consumers > 1;
}
void consumer_set_save_end(ConsumerSet *set, Buf *out) {
    world.saves_consumers = 0;
    if (out)
        consumer_set_save(set, out);
}
Status consumer_set_load(ConsumerSet *set, Slice saved) {
    (void)set;
    return slice_equal(saved, LIT("consumers")) ? OK : ERR_CORRUPT;
}

/* ---- api ---- */

void api_begin(ApiCall *call, Buf *out) {
    (void)call;
    *out = (Buf){0};
    buf_append_lit(out, "{\"type\":\"t\"");
}
void api_finish(ApiCall *call, Buf *out) {
    buf_append(&world.api, buf_slice(out));
    buf_append_lit(&world.api, "}\n");
    buf_done(out);
    mem_free(call);
}
void api_reply_error(ApiCall *call, ApiError error) {
    buf_printf(&world.api, "%u %u %.*s\n", error.http, error.code, SLICE_ARG(error.text));
    mem_free(call);
}
void api_advisory(JetStream *js, Account *account, Slice subject_tail, Slice type, Slice fields) {
    (void)js, (void)account, (void)type;
    buf_printf(&world.api, "advisory %.*s %.*s\n", SLICE_ARG(subject_tail), SLICE_ARG(fields));
}
void api_drop(ApiCall *call) {
    mem_free(call);
}
void api_reply_success(ApiCall *call) {
    buf_append_lit(&world.api, "success\n");
    mem_free(call);
}

/* ---- traces ---- */

Buf *trace_event(Trace *trace, const char *type) {
    buf_printf(&trace->events, ",{\"type\":\"%s\"", type);
    return &trace->events;
}
void trace_release(Trace *trace) {
    trace->holds--;
}

/* ---- the world ---- */

void world_begin(void) {
    world = (World){
        .options = {.is_enabled = true, .max_memory = -1, .max_file = -1, .server_name = LIT("S1")},
        .wall_ns = 1700000000ll * NS_PER_S,
        .inline_max = UINT64_MAX,
    };
    world.worker.turn = arena_new();
    rand_init(&world.worker.rand, 1);
    world.js = (JetStream){.home = &world.worker,
                           .options = &world.options,
                           .usage = world.usage,
                           .held = usage_table_new(sizeof world.usage / sizeof world.usage[0]),
                           .batch_counts = batch_counts_new(),
                           .chunks = chunk_table_new(NULL)};
}

static void remove_run(void *cookie, const char *name, bool is_dir) {
    (void)cookie, (void)is_dir;
    Buf path = {0};
    buf_printf(&path, "%s/%s", world.run_dir, name);
    ASSERT(remove(buf_text(&path)) == 0);
    buf_done(&path);
}

void world_end(void) {
    if (world.run_dir[0]) {
        ASSERT(disk_list(world.run_dir, remove_run, NULL) == OK);
        ASSERT(remove(world.run_dir) == 0);
    }
    while (world.subs) /* as the bus does */
        sub_remove(world.subs);
    for (size_t i = 0; i < world.entry_count; i++) {
        shared_unref(world.entries[i].bytes);
        mem_free((void *)(uintptr_t)world.entries[i].ticket.data.ptr);
    }
    mem_free(world.entries);
    usage_table_free(world.js.held);
    frame_cache_free(world.js.frames);
    for (size_t i = 0; i < world.sent_count; i++) {
        mem_free(world.sent[i].to);
        mem_free(world.sent[i].headers);
        mem_free(world.sent[i].payload);
    }
    mem_free(world.sent);
    buf_done(&world.api);
    batch_counts_free(world.js.batch_counts);
    chunk_table_free(world.js.chunks);
    map64_done(&world.js.streams);
    arena_free(world.worker.turn);
}

int world_setup(void **state) {
    (void)state;
    world_begin();
    return 0;
}

int world_teardown(void **state) {
    (void)state;
    world_end();
    return 0;
}

StreamConfig *world_config(const char *json) {
    StreamConfig *config;
    bool is_pedantic;
    ConfigLimits limits = {.max_stream_bytes = -1, .is_strict = true};
    ApiError error =
        stream_config_parse(slice_of_text(json), &limits, world.worker.turn, &config, &is_pedantic);
    if (!api_failed(error))
        error = stream_config_check_create(config, &limits, false, world.worker.turn);
    ASSERT(!api_failed(error));
    return config;
}

Stream *world_stream(const char *json) {
    Stream *stream = stream_new(&world.js, (Account *)(void *)&fake_account, 7, world_config(json),
                                world.wall_ns);
    stream_start(stream);
    return stream;
}

void world_publish(Stream *stream, const char *subject, const char *headers, Slice payload,
                   const char *reply) {
    Buf block = {0};
    if (headers) {
        buf_append_lit(&block, "NATS/1.0\r\n");
        for (const char *c = headers; *c; c++) {
            if (*c == '\n')
                buf_append_char(&block, '\r');
            buf_append_char(&block, *c);
        }
        buf_append_lit(&block, "\r\n");
    }
    Message message = {.subject = slice_of_text(subject),
                       .reply = slice_of_text(reply ? reply : ""),
                       .headers = buf_slice(&block),
                       .payload = payload};
    stream_on_publish(&stream->parts->port, NULL, &message);
    buf_done(&block);
}

void world_flush(Stream *stream) {
    while (world.applied_count < world.entry_count) {
        FakeEntry entry = world.entries[world.applied_count++]; /* a copy: more may be appended */
        if (world.before_apply)
            world.before_apply(&entry);
        stream->group.index_applied = entry.record.index;
        stream->group.in_flight--;
        stream_group_ops.apply(&stream->group, &entry.record, entry.place, entry.bytes,
                               &entry.ticket);
    }
    if (world.is_quiet)
        arena_reset(world.worker.turn);
}

void world_forget(size_t kept) {
    for (size_t i = kept; i < world.entry_count; i++) {
        shared_unref(world.entries[i].bytes);
        mem_free((void *)(uintptr_t)world.entries[i].ticket.data.ptr);
    }
    world.entry_count = world.applied_count = kept;
}

void world_refuse(Stream *stream, Status why) {
    while (world.applied_count < world.entry_count) {
        FakeEntry entry = world.entries[world.applied_count++];
        stream->group.in_flight--;
        stream_group_ops.refused(&stream->group, &entry.record, &entry.ticket, why);
    }
}

const char *world_request(Stream *stream, const char *subject, const char *headers,
                          const char *payload) {
    size_t before = world.sent_count;
    world_publish(stream, subject, headers, slice_of_text(payload), "reply");
    world_flush(stream);
    for (size_t i = world.sent_count; i-- > before;)
        if (strcmp(world.sent[i].to, "reply") == 0)
            return world.sent[i].payload;
    return "";
}

void world_fire(Stream *stream) {
    Timer *timer = world.timer;
    if (!timer || timer->due_ns > clock_mono_ns())
        return;
    timer->heap_at = 0;
    world.timer = NULL;
    timer->fire(timer);
    world_flush(stream);
}

ApiCall *world_call(void) {
    return mem_zalloc(sizeof(ApiCall));
}

const char *world_api_text(void) {
    static char text[4096];
    snprintf(text, sizeof text, "%.*s", SLICE_ARG(buf_slice(&world.api)));
    buf_clear(&world.api);
    return text;
}

/* No snapshots, no restores. */

void snapshot_on_removed(Stream *stream, uint64_t seq, const MsgSlot *slot, size_t subject_len) {
    (void)stream;
    (void)seq;
    (void)slot;
    (void)subject_len;
}

void snapshot_end_all(Stream *stream, Slice status) {
    (void)stream;
    (void)status;
}

void restore_free(Restore *restore) {
    (void)restore;
}

/* ---- catalogue ---- */

const StreamConfig *catalogue_config_of(const Catalogue *catalogue, Slice account, Slice stream) {
    (void)catalogue, (void)account, (void)stream;
    return NULL;
}
