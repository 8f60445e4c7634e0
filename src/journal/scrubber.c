#include "journal/scrubber.h"

#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/clock.h"
#include "io/disk.h"
#include "io/process.h"
#include "journal/journal_private.h"

enum {
    IDLE_SHARE = 10,      /* of the rate while the server is at work */
    BUSY_PERCENT = 5,     /* of a CPU: then it is at work */
    LOOK_MS = 1000,       /* how often that is looked at */
    FIRST_DELAY_S = 60,   /* after the start */
    SAVE_S = 60,          /* how often the position is kept, at most */
    DAMAGES_KEPT = 10000, /* of one pass, for the figures and for who asks */
    STATE_BYTES_MAX = 256,
};

/* <dir>/scrub */
typedef struct SavedState {
    char magic[8]; /* "HWSCRUB" and the version, '1' */
    int64_t began_ns, ended_ns;
    uint64_t segment; /* the pass goes on here; 0 = none is under way */
    uint64_t checksum;
} SavedState;
_Static_assert(sizeof(SavedState) == 40, "the position is 40 bytes on disk");

typedef enum JobKind { JOB_LIST, JOB_BEGIN, JOB_STEP, JOB_SAVE } JobKind;

typedef struct ScrubJob {
    OffloadJob job; /* first */
    Scrubber *scrubber;
    JobKind kind;
    Status status;
    bool is_done;
    uint64_t bytes;
    SavedState saved;
} ScrubJob;

typedef struct KnownDamage {
    ScrubFile file;
    uint64_t offset, bytes, pass;
} KnownDamage;

struct Scrubber {
    JournalStore *store;
    Worker *home;
    Scrub *scrub;
    ScrubJob job;
    bool is_job_out, is_asked_for, is_anew, is_on, is_slow;
    uint64_t interval_ns, rate;
    char *path;
    Timer timer;
    ScrubFiles files; /* of this pass, but for the segments */
    size_t file_at;
    uint64_t segment_next;
    uint64_t pass_began_mono_ns, owed_at_ns; /* owed: when the next piece may be read */
    uint64_t looked_ns, cpu_ns, saved_ns;
    ScrubStatus status;
    VEC(KnownDamage) known;
    void (*told)(void *cookie, const ScrubDamage *damage);
    void *cookie;
};

static void on_timer(Timer *timer);
static void submit(Scrubber *scrubber, JobKind kind);
static void begin_pass(Scrubber *scrubber, bool goes_on);
static void next_file(Scrubber *scrubber);

/* ---- the position ---- */

static void load_state(Scrubber *scrubber) {
    char *text;
    size_t len;
    SavedState saved;
    if (disk_read_file(scrubber->path, STATE_BYTES_MAX, &text, &len) != OK)
        return;
    if (len == sizeof saved) {
        memcpy(&saved, text, sizeof saved);
        if (memcmp(saved.magic, "HWSCRUB1", sizeof saved.magic) == 0 &&
            saved.checksum == hash_checksum(&saved, offsetof(SavedState, checksum))) {
            scrubber->status.began_ns = saved.began_ns;
            scrubber->status.ended_ns = saved.ended_ns;
            scrubber->segment_next = saved.segment;
        }
    }
    mem_free(text);
}

static void save_run(ScrubJob *job) {
    SavedState *saved = &job->saved;
    memcpy(saved->magic, "HWSCRUB1", sizeof saved->magic);
    saved->checksum = hash_checksum(saved, offsetof(SavedState, checksum));
    job->status = disk_write_file(job->scrubber->path, slice_from(saved, sizeof *saved), 0600);
    if (job->status != OK)
        LOG_DEBUG("position of the scrub not kept", "path=%s", job->scrubber->path);
}

/* ---- pace ---- */

/* The process's own CPU time says whether there is work. */
static void look_around(Scrubber *scrubber, uint64_t now_ns) {
    if (now_ns - scrubber->looked_ns < (uint64_t)LOOK_MS * NS_PER_MS)
        return;
    uint64_t cpu_ns = process_cpu_ns();
    uint64_t share = (cpu_ns - scrubber->cpu_ns) * 100 / (now_ns - scrubber->looked_ns);
    scrubber->is_slow = scrubber->looked_ns != 0 && share >= BUSY_PERCENT;
    scrubber->looked_ns = now_ns;
    scrubber->cpu_ns = cpu_ns;
}

/* What the rest of the pass needs to end in time. */
static uint64_t rate_in_time(const Scrubber *scrubber, uint64_t now_ns) {
    Place from = (Place)scrubber->segment_next << PLACE_OFFSET_BITS;
    uint64_t left = log_bytes_after(scrubber->store->log, from);
    uint64_t end_ns = scrubber->pass_began_mono_ns + scrubber->interval_ns / 4 * 3;
    if (now_ns + NS_PER_S >= end_ns)
        return scrubber->rate;
    return left / ((end_ns - now_ns) / NS_PER_S);
}

static uint64_t rate_now(Scrubber *scrubber, uint64_t now_ns) {
    look_around(scrubber, now_ns);
    if (scrubber->is_asked_for || !scrubber->is_slow)
        return scrubber->rate;
    uint64_t rate = scrubber->rate / IDLE_SHARE, needed = rate_in_time(scrubber, now_ns);
    rate = rate > needed ? rate : needed;
    return rate < scrubber->rate ? rate : scrubber->rate;
}

static void wait_for_turn(Scrubber *scrubber, uint64_t bytes) {
    uint64_t now_ns = clock_mono_ns(), rate = rate_now(scrubber, now_ns);
    uint64_t cost_ns = rate ? bytes * NS_PER_S / rate : 0;
    if (scrubber->owed_at_ns < now_ns)
        scrubber->owed_at_ns = now_ns;
    scrubber->owed_at_ns += cost_ns;
    timer_set(scrubber->home, &scrubber->timer, scrubber->owed_at_ns);
}

/* ---- a pass ---- */

/* When the next pass is due, by the wall clock, which may have been set meanwhile. */
static uint64_t next_pass_in_ns(const Scrubber *scrubber) {
    int64_t now_ns = clock_wall_ns(), began_ns = scrubber->status.began_ns;
    uint64_t first_ns = (uint64_t)FIRST_DELAY_S * NS_PER_S;
    if (began_ns == 0 || began_ns > now_ns || scrubber->segment_next)
        return first_ns;
    uint64_t since_ns = (uint64_t)(now_ns - began_ns);
    if (since_ns >= scrubber->interval_ns)
        return first_ns;
    return scrubber->interval_ns - since_ns > first_ns ? scrubber->interval_ns - since_ns
                                                       : first_ns;
}

static void sleep_until_next(Scrubber *scrubber) {
    scrubber->status.is_running = scrubber->is_asked_for = false;
    if (scrubber->is_on)
        timer_set(scrubber->home, &scrubber->timer, clock_mono_ns() + next_pass_in_ns(scrubber));
}

static void begin_pass(Scrubber *scrubber, bool goes_on) {
    ScrubStatus *status = &scrubber->status;
    scrubber->is_anew = false;
    if (!goes_on)
        scrubber->segment_next = 0;
    if (!goes_on || status->began_ns == 0)
        status->began_ns = clock_wall_ns();
    status->is_running = true;
    scrubber->pass_began_mono_ns = clock_mono_ns();
    vec_clear(&scrubber->files);
    scrubber->file_at = 0;
    submit(scrubber, JOB_LIST);
}

/* Damage that this pass did not find again is gone: with its file, or healed. */
static void forget_healed(Scrubber *scrubber) {
    size_t to = 0;
    scrubber->status.damages = scrubber->status.damaged_bytes = 0;
    for (size_t i = 0; i < scrubber->known.len; i++) {
        KnownDamage *known = &scrubber->known.at[i];
        if (known->pass != scrubber->status.passes)
            continue;
        scrubber->status.damages++;
        scrubber->status.damaged_bytes += known->bytes;
        scrubber->known.at[to++] = *known;
    }
    scrubber->known.len = to;
}

static void end_pass(Scrubber *scrubber) {
    ScrubStatus *status = &scrubber->status;
    forget_healed(scrubber);
    status->passes++;
    status->ended_ns = clock_wall_ns();
    scrubber->segment_next = 0;
    status->is_running = scrubber->is_asked_for = false;
    LOG_INFO("store scrubbed", "dir=%s seconds=%lld damages=%llu damaged_bytes=%llu",
             scrubber->store->dir, (long long)((status->ended_ns - status->began_ns) / NS_PER_S),
             (unsigned long long)status->damages, (unsigned long long)status->damaged_bytes);
    submit(scrubber, JOB_SAVE);
}

static void next_file(Scrubber *scrubber) {
    ScrubStatus *status = &scrubber->status;
    uint64_t now_ns = clock_mono_ns();
    status->offset = 0;
    if (scrubber->is_anew)
        begin_pass(scrubber, false);
    else if (scrubber->file_at < scrubber->files.len) {
        status->position = scrubber->files.at[scrubber->file_at++];
        submit(scrubber, JOB_BEGIN);
    } else if (now_ns - scrubber->saved_ns > (uint64_t)SAVE_S * NS_PER_S &&
               scrubber->segment_next) {
        submit(scrubber, JOB_SAVE);
    } else if (scrub_next_segment(scrubber->store->log, scrubber->segment_next,
                                  &status->position)) {
        scrubber->segment_next = status->position.number;
        submit(scrubber, JOB_BEGIN);
    } else {
        end_pass(scrubber);
    }
}

static void file_is_done(Scrubber *scrubber) {
    ScrubStatus *status = &scrubber->status;
    status->files++;
    if (status->position.kind == SCRUB_SEGMENT) {
        status->segments++;
        scrubber->segment_next = status->position.number + 1;
    }
    next_file(scrubber);
}

/* ---- damage ---- */

static bool is_same(const KnownDamage *known, const ScrubDamage *damage) {
    return known->file.kind == damage->file.kind && known->file.number == damage->file.number &&
           known->file.group == damage->file.group && known->offset == damage->offset;
}

static void remember(Scrubber *scrubber, const ScrubDamage *damage) {
    ScrubStatus *status = &scrubber->status;
    for (size_t i = 0; i < scrubber->known.len; i++)
        if (is_same(&scrubber->known.at[i], damage)) {
            scrubber->known.at[i].pass = status->passes;
            return;
        }
    status->damages++;
    status->damaged_bytes += damage->bytes;
    if (scrubber->known.len < DAMAGES_KEPT)
        vec_push(&scrubber->known,
                 ((KnownDamage){damage->file, damage->offset, damage->bytes, status->passes}));
}

static void tell(Scrubber *scrubber, const ScrubDamage *damage) {
    static const char *const kinds[] = {"SUPER", "checkpoint", "run", "segment"};
    remember(scrubber, damage);
    LOG_ERR("store damaged", "file=%s number=%llu group=%llu offset=%llu bytes=%llu what=\"%s\"",
            kinds[damage->file.kind], (unsigned long long)damage->file.number,
            (unsigned long long)damage->file.group, (unsigned long long)damage->offset,
            (unsigned long long)damage->bytes, damage->what);
    if (damage->file.kind < SCRUB_RUN || scrubber->told == NULL)
        journal_request_checkpoints(scrubber->store);
    else
        scrubber->told(scrubber->cookie, damage);
}

static void tell_all(Scrubber *scrubber) {
    ScrubDamages damages;
    scrub_take(scrubber->scrub, &damages);
    for (size_t i = 0; i < damages.len; i++)
        tell(scrubber, &damages.at[i]);
    scrub_damages_done(&damages);
}

/* ---- jobs ---- */

static void job_run(OffloadJob *offloaded) {
    ScrubJob *job = (ScrubJob *)offloaded;
    Scrubber *scrubber = job->scrubber;
    switch (job->kind) {
    case JOB_LIST:
        job->status = scrub_list(scrubber->scrub, &scrubber->files);
        break;
    case JOB_BEGIN:
        job->status = scrub_begin(scrubber->scrub, &scrubber->status.position);
        break;
    case JOB_STEP:
        job->is_done = scrub_step(scrubber->scrub, &job->bytes);
        break;
    case JOB_SAVE:
        save_run(job);
        break;
    }
}

static void on_begun(Scrubber *scrubber, Status status) {
    if (status == OK) {
        wait_for_turn(scrubber, 0);
        return;
    }
    if (status != ERR_NOT_FOUND)
        LOG_ERR("store file cannot be read", "dir=%s kind=%d number=%llu why=%s",
                scrubber->store->dir, (int)scrubber->status.position.kind,
                (unsigned long long)scrubber->status.position.number, status_text(status));
    file_is_done(scrubber);
}

static void job_done(Worker *here, OffloadJob *offloaded) {
    (void)here;
    ScrubJob *job = (ScrubJob *)offloaded;
    Scrubber *scrubber = job->scrubber;
    ScrubStatus *status = &scrubber->status;
    scrubber->is_job_out = false;
    tell_all(scrubber);
    switch (job->kind) {
    case JOB_LIST:
        next_file(scrubber);
        break;
    case JOB_BEGIN:
        on_begun(scrubber, job->status);
        break;
    case JOB_STEP:
        status->bytes += job->bytes;
        status->offset += job->bytes;
        if (scrubber->is_anew)
            next_file(scrubber);
        else if (job->is_done)
            file_is_done(scrubber);
        else
            wait_for_turn(scrubber, job->bytes);
        break;
    case JOB_SAVE:
        scrubber->saved_ns = clock_mono_ns();
        if (status->is_running || scrubber->is_anew)
            next_file(scrubber);
        else
            sleep_until_next(scrubber);
        break;
    }
}

static void submit(Scrubber *scrubber, JobKind kind) {
    ScrubJob *job = &scrubber->job;
    const ScrubStatus *status = &scrubber->status;
    *job = (ScrubJob){.scrubber = scrubber, .kind = kind};
    job->job = (OffloadJob){.run = job_run, .done = job_done, .home = scrubber->home};
    job->saved.began_ns = status->began_ns;
    job->saved.ended_ns = status->ended_ns;
    job->saved.segment = scrubber->segment_next;
    scrubber->is_job_out = true;
    offload_submit(scrubber->store->offload, &job->job);
}

static void on_timer(Timer *timer) {
    Scrubber *scrubber = CONTAINER_OF(timer, Scrubber, timer);
    if (scrubber->is_job_out)
        return;
    if (scrubber->status.is_running && scrubber->is_anew)
        next_file(scrubber);
    else if (scrubber->status.is_running)
        submit(scrubber, JOB_STEP);
    else
        begin_pass(scrubber, scrubber->segment_next != 0);
}

/* ---- for others ---- */

Scrubber *scrubber_new(JournalStore *store, const JournalOptions *options) {
    Scrubber *scrubber = mem_zalloc(sizeof *scrubber);
    Buf path = {0};
    scrubber->store = store;
    scrubber->home = store->all[0];
    scrubber->scrub = scrub_new(store->log, store->dir);
    scrubber->is_on = scrubber->status.is_on = options->scrub_interval_ns > 0;
    scrubber->interval_ns = options->scrub_interval_ns;
    scrubber->rate = options->scrub_rate;
    buf_printf(&path, "%s/scrub", store->dir);
    (void)buf_text(&path);
    scrubber->path = path.ptr;
    timer_init(&scrubber->timer, on_timer);
    load_state(scrubber);
    return scrubber;
}

void scrubber_start(Scrubber *scrubber) {
    if (scrubber->store->offload)
        sleep_until_next(scrubber);
    else
        scrubber->is_on = scrubber->status.is_on = false;
}

void scrubber_free(Scrubber *scrubber) {
    if (scrubber == NULL)
        return;
    timer_cancel(scrubber->home, &scrubber->timer);
    scrub_free(scrubber->scrub);
    vec_done(&scrubber->files);
    vec_done(&scrubber->known);
    mem_free(scrubber->path);
    mem_free(scrubber);
}

void journal_on_damage(JournalStore *store, void (*told)(void *cookie, const ScrubDamage *damage),
                       void *cookie) {
    store->scrubber->told = told;
    store->scrubber->cookie = cookie;
}

bool journal_scrub_now(JournalStore *store) {
    Scrubber *scrubber = store->scrubber;
    ASSERT_HOME(scrubber);
    if (store->offload == NULL || !store->is_started || scrubber->is_asked_for)
        return false;
    scrubber->is_asked_for = true;
    scrubber->owed_at_ns = 0;
    scrubber->is_anew = true;
    if (scrubber->is_job_out)
        return true;
    if (scrubber->status.is_running)
        timer_set(scrubber->home, &scrubber->timer, 0);
    else
        begin_pass(scrubber, false);
    return true;
}

void journal_scrub_status(const JournalStore *store, ScrubStatus *out_status) {
    ASSERT_HOME(store->scrubber);
    *out_status = store->scrubber->status;
}
