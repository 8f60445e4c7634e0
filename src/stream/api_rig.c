#include "stream/api_rig.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/clock.h"
#include "proto/subject.h"
#include "stream/catalogue.h"

Rig rig;

enum { QUIET_TURNS = 32, QUIET_NS = 120 * 1000 * 1000 };

static void on_message(Port *port, Sub *sub, const Message *message) {
    (void)port;
    (void)sub;
    rig.got = mem_realloc(rig.got, (rig.got_count + 1) * sizeof *rig.got);
    rig.got[rig.got_count++] = (RigReply){
        .subject = slice_to_text(message->subject),
        .reply = slice_to_text(message->reply),
        .headers = message->headers.len ? slice_to_text(message->headers) : NULL,
        .payload = slice_to_text(message->payload),
    };
}

static bool is_restricted(Port *port) {
    (void)port;
    return rig.denied != NULL;
}

static bool may_publish(Port *port, Slice subject, bool is_told) {
    (void)port;
    Slice all = slice_of_text(rig.denied), pattern;
    bool may = true;
    while (slice_cut(&all, ' ', &pattern))
        may = may && !subject_matches(pattern, subject);
    if (!may && is_told)
        (void)snprintf(rig.refused, sizeof rig.refused, "%.*s", SLICE_ARG(subject));
    return may;
}

static const PortOps port_ops = {.kind = PORT_CLIENT,
                                 .deliver = on_message,
                                 .is_restricted = is_restricted,
                                 .may_publish = may_publish};

void rig_new(void) {
    rig = (Rig){.dir = "/tmp/holdwater_api_XXXXXX", .arena = arena_new()};
    assert_non_null(mkdtemp(rig.dir));
    for (size_t i = 0; i < RIG_ACCOUNTS; i++) {
        rig.enabled[i] = i != 1;
        rig.limits[i] = (JetStreamAccountLimits){-1, -1, -1, -1, -1, -1, -1, false, false};
    }
    rig.options = (JetStreamOptions){
        .is_enabled = true,
        .store_dir = rig.dir,
        .max_memory = -1,
        .max_file = -1,
        .server_name = LIT("srv"),
        .server_id = LIT("ID"),
        .version = LIT("2.15.1"),
        .limits = {.max_stream_bytes = -1, .is_strict = true},
        .max_consumers_default = -1,
        .account_is_enabled = rig.enabled,
        .account_limits = rig.limits,
    };
}

void rig_open(void) {
    static const Slice names[RIG_ACCOUNTS] = {LIT("$G"), LIT("$SYS"), LIT("other")};

    assert_int_equal(offload_start(1, &rig.offload), OK);
    rig.options.offload = rig.offload;
    assert_int_equal(workers_new(RIG_WORKERS, &rig.all), OK);
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        (void)bus_new(rig.all[i], names, RIG_ACCOUNTS);
    assert_int_equal(jetstream_open(&rig.options, rig.all, &rig.store), OK);
    rig.port = (Port){.ops = &port_ops, .home = rig.all[0]};
    for (size_t i = 0; i < RIG_ACCOUNTS; i++)
        (void)sub_add(bus_account(rig.all[0]->bus, i), &rig.port, LIT("_INBOX.>"), (Slice){0},
                      (Slice){0}, false);
    rig_step(4);
}

static void forget(void) {
    for (size_t i = 0; i < rig.got_count; i++) {
        mem_free(rig.got[i].subject);
        mem_free(rig.got[i].reply);
        mem_free(rig.got[i].headers);
        mem_free(rig.got[i].payload);
    }
    mem_free(rig.got);
    rig.got = NULL;
    rig.got_count = rig.got_seen = 0;
}

void rig_close(void) {
    offload_stop(rig.offload); /* first: what waits there may be the journal's */
    rig_step(1);
    jetstream_close(rig.all, rig.store);
    for (unsigned i = 0; i < RIG_WORKERS; i++)
        bus_free(rig.all[i]->bus);
    workers_free(rig.all);
    forget();
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

void rig_done(void) {
    rig_close();
    assert_int_equal(nftw(rig.dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
    arena_free(rig.arena);
}

int rig_setup(void **state) {
    (void)state;
    rig_new();
    rig_open();
    return 0;
}

int rig_teardown(void **state) {
    (void)state;
    rig_done();
    return 0;
}

void rig_step(unsigned turns) {
    for (unsigned t = 0; t < turns; t++)
        for (unsigned i = 0; i < RIG_WORKERS; i++)
            worker_turn(rig.all[i], false);
}

static uint64_t entries_in_flight(void) {
    uint64_t sum = catalogue_group(rig.all[0]->jetstream->catalogue)->in_flight, group;
    void *stream;

    for (unsigned i = 0; i < RIG_WORKERS; i++)
        for (size_t at = 0; map64_next(&rig.all[i]->jetstream->streams, &at, &group, &stream);)
            sum += ((Group *)stream)->in_flight;
    return sum;
}

/* Until something new came, or nothing has been under way for a while. */
static bool wait_for_message(void) {
    uint64_t until_ns = clock_mono_ns() + QUIET_NS;

    for (unsigned quiet = 0; quiet < QUIET_TURNS || clock_mono_ns() < until_ns; quiet++) {
        rig_step(1);
        if (rig.got_count > rig.got_seen)
            return true;
        if (entries_in_flight())
            quiet = 0;
    }
    return false;
}

/* Every RFC 3339 time becomes T. */
static char *without_times(const char *text) {
    Buf out = {0};

    for (const char *c = text; *c;) {
        int year, month, day, taken = 0;
        if (*c >= '0' && *c <= '9' &&
            sscanf(c, "%4d-%2d-%2dT%*2d:%*2d:%*2d%n", &year, &month, &day, &taken) == 3 &&
            taken == 19 && year > 1) {
            c += taken;
            while (*c == '.' || (*c >= '0' && *c <= '9'))
                c++;
            c += *c == 'Z';
            buf_append_char(&out, 'T');
        } else {
            buf_append_char(&out, *c++);
        }
    }
    char *copy = slice_to_text(buf_slice(&out));
    buf_done(&out);
    return copy;
}

static const char *text_of(const RigReply *got, bool has_subject) {
    Buf out = {0};

    if (has_subject)
        buf_printf(&out, "%s ", got->subject);
    if (got->headers) {
        for (const char *c = got->headers; *c; c++)
            if (*c != '\n')
                buf_append_char(&out, *c == '\r' ? '|' : *c);
    }
    buf_append(&out, slice_of_text(got->payload));
    char *plain = without_times(buf_text(&out));
    const char *text = arena_copy(rig.arena, slice_of_text(plain)).ptr;
    mem_free(plain);
    buf_done(&out);
    return text;
}

const char *rig_next(void) {
    if (rig.got_count == rig.got_seen && !wait_for_message())
        return "silence";
    return text_of(&rig.got[rig.got_seen++], true);
}

static const char *ask(size_t account, const char *subject, const char *headers, const char *body) {
    Message message = {
        .subject = slice_of_text(subject),
        .reply = LIT("_INBOX.x"),
        .headers = slice_of_text(headers),
        .payload = slice_of_text(body),
        .from = &rig.port,
    };

    rig.got_seen = rig.got_count;
    size_t taken =
        bus_publish(bus_account(rig.all[0]->bus, account), message.subject, &message, &rig.port, 0);
    if (taken == 0)
        return "no responders";
    if (!wait_for_message())
        return "silence";
    return text_of(&rig.got[rig.got_seen++], false);
}

const char *rig_ask(const char *subject, const char *body) {
    return ask(0, subject, "", body);
}

const char *rig_ask_with(const char *subject, const char *headers, const char *body) {
    return ask(0, subject, headers, body);
}

const char *rig_ask_as(size_t account, const char *subject, const char *body) {
    return ask(account, subject, "", body);
}

Sub *rig_subscribe(const char *subject) {
    Sub *sub = sub_add(bus_account(rig.all[0]->bus, 0), &rig.port, slice_of_text(subject),
                       (Slice){0}, (Slice){0}, false);

    rig_step(4);
    return sub;
}

void rig_tell(const char *subject, const char *reply, const char *body) {
    Message message = {.subject = slice_of_text(subject),
                       .reply = slice_of_text(reply),
                       .payload = slice_of_text(body)};

    (void)bus_publish(bus_account(rig.all[0]->bus, 0), message.subject, &message, &rig.port, 0);
}
