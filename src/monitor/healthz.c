/* /healthz: whether the server, an account's stream or its consumer is well. */
#include "base/mem.h"
#include "journal/progress.h"
#include "journal/scrubber.h"
#include "monitor/gather.h"
#include "monitor/monitor.h"
#include "monitor/monitor_pages.h"
#include "proto/json.h"
#include "stream/consumer_set.h"
#include "stream/stream.h"

/* Of streams that are not ready. */
enum { NAMES_MAX = 16 };

typedef struct Healthz {
    Gather gather;
    Page *page;
    const MonitorFacts *facts;
    bool details;
    Buf account, stream, consumer;
    Buf waiting; /* streams that are not ready: "<account> <stream>\n" */
    bool has_stream, has_consumer;
    Status journal;
    uint64_t damaged_bytes;    /* that the scrubber knows of */
    const char *dir, *failure; /* of the log */
} Healthz;

static void visit(Gather *gather, Worker *here) {
    Healthz *all = CONTAINER_OF(gather, Healthz, gather);
    JetStream *js = here->jetstream;
    if (js == NULL)
        return;
    Status status = journal_health(js->journal);
    if (status != OK && all->journal != ERR_IO) {
        all->journal = status;
        all->dir = log_dir(journal_log(js->journal));
        all->failure = log_failure_text(journal_log(js->journal));
    }
    if (here->index == 0) {
        ScrubStatus scrub;
        journal_scrub_status(js->store, &scrub);
        all->damaged_bytes = scrub.damaged_bytes;
    }
    Account *account = bus_account_by_name(here->bus, buf_slice(&all->account));
    if (account == NULL || all->stream.len == 0)
        return;
    StreamRef *ref = jetstream_find(js, account, buf_slice(&all->stream));
    if (ref == NULL || ref->home != here || ref->stream == NULL)
        return;
    all->has_stream = true;
    if (all->consumer.len && consumer_set_find(ref->stream->consumers, buf_slice(&all->consumer)))
        all->has_consumer = true;
}

static void write_named(Buf *out, const char *name, Slice value) {
    if (value.len == 0)
        return;
    buf_printf(out, ",\"%s\":", name);
    json_write_string(out, value);
}

/* One of the errors that details show. type: "STREAM" and the like. */
static void write_error(Buf *out, const char *type, Slice account, Slice stream, Slice consumer,
                        Slice text) {
    buf_printf(out, "{\"type\":\"%s\"", type);
    write_named(out, "account", account);
    write_named(out, "stream", stream);
    write_named(out, "consumer", consumer);
    buf_append_lit(out, ",\"error\":");
    json_write_string(out, text);
    buf_append_char(out, '}');
}

static void write_trouble(Healthz *all, unsigned status, const char *type, const char *state,
                          Slice text) {
    Buf *out = &all->page->body;
    all->page->status = status;
    buf_printf(out, "{\"status\":\"%s\"", state);
    if (!all->details) {
        buf_append_lit(out, ",\"error\":");
        json_write_string(out, text);
        buf_append_char(out, '}');
        return;
    }
    buf_printf(out, ",\"status_code\":%u,\"errors\":[", status);
    write_error(out, type, buf_slice(&all->account), buf_slice(&all->stream),
                buf_slice(&all->consumer), text);
    for (Slice rest = buf_slice(&all->waiting), name; slice_cut(&rest, '\n', &name);) {
        Slice account;
        if (name.len == 0 || !slice_cut(&name, ' ', &account))
            continue;
        buf_append_char(out, ',');
        write_error(out, "STREAM", account, name, (Slice){0},
                    LIT("JetStream stream is recovering"));
    }
    buf_append_lit(out, "]}");
}

/* What a recovering store can say of the stream that is asked for; false: nothing yet. */
static bool write_waiting_stream(Healthz *all, Buf *text) {
    Slice account = buf_slice(&all->account), stream = buf_slice(&all->stream);
    Buf key = {0};
    buf_append(&key, account);
    buf_append_char(&key, ' ');
    buf_append(&key, stream);
    bool waits = stream.len && journal_progress_waits_for(all->facts->recovery, buf_slice(&key));
    buf_done(&key);
    if (waits) {
        buf_printf(text, "JetStream stream \"%.*s\" on account \"%.*s\" is recovering: ",
                   SLICE_ARG(stream), SLICE_ARG(account));
        journal_progress_write(all->facts->recovery, text);
    }
    return waits;
}

/* "; 3 streams are not ready: '$G > A', '$G > B' and 1 more" */
static void write_waiting(Healthz *all, Buf *text) {
    size_t count = journal_progress_names(all->facts->recovery, NAMES_MAX, &all->waiting),
           shown = 0;
    if (count == 0)
        return;
    buf_printf(text, "; %zu stream%s not ready: ", count, count == 1 ? " is" : "s are");
    for (Slice rest = buf_slice(&all->waiting), name; slice_cut(&rest, '\n', &name);) {
        Slice account;
        if (name.len && slice_cut(&name, ' ', &account))
            buf_printf(text, "%s'%.*s > %.*s'", shown++ ? ", " : "", SLICE_ARG(account),
                       SLICE_ARG(name));
    }
    if (shown < count)
        buf_printf(text, " and %zu more", count - shown);
}

static void healthz_free(Healthz *all) {
    buf_done(&all->account);
    buf_done(&all->stream);
    buf_done(&all->consumer);
    buf_done(&all->waiting);
    mem_free(all);
}

/* Nothing of the workers is looked at: they are the recovery's. */
static void answer_recovering(Healthz *all) {
    Buf text = {0};
    bool is_of_stream = write_waiting_stream(all, &text);
    if (!is_of_stream) {
        buf_append_lit(&text, "JetStream is recovering: ");
        journal_progress_write(all->facts->recovery, &text);
        write_waiting(all, &text);
    }
    write_trouble(all, 503, is_of_stream ? "STREAM" : "JETSTREAM", "unavailable", buf_slice(&text));
    buf_done(&text);
    page_finish(all->page);
    healthz_free(all);
}

static void finish(Gather *gather) {
    Healthz *all = CONTAINER_OF(gather, Healthz, gather);
    Buf text = {0};
    Slice account = buf_slice(&all->account), stream = buf_slice(&all->stream),
          consumer = buf_slice(&all->consumer);
    if (all->journal != OK) {
        if (all->journal == ERR_FULL)
            buf_append_lit(&text, "JetStream store is out of space");
        else
            buf_printf(&text,
                       "JetStream log in %s failed (%s): streams and consumers refuse writes until "
                       "the disk works again",
                       all->dir, all->failure);
        write_trouble(all, 503, "CONN", "unavailable", buf_slice(&text));
    } else if (account.len && bus_account_by_name(all->page->home->all[0]->bus, account) == NULL) {
        buf_printf(&text, "JetStream account \"%.*s\" not found", SLICE_ARG(account));
        write_trouble(all, 404, "ACCOUNT", "unavailable", buf_slice(&text));
    } else if (stream.len && !all->has_stream) {
        buf_printf(&text, "JetStream stream \"%.*s\" not found on account \"%.*s\"",
                   SLICE_ARG(stream), SLICE_ARG(account));
        write_trouble(all, 404, "STREAM", "unavailable", buf_slice(&text));
    } else if (consumer.len && !all->has_consumer) {
        buf_printf(&text,
                   "JetStream consumer \"%.*s\" not found for stream \"%.*s\" on account \"%.*s\"",
                   SLICE_ARG(consumer), SLICE_ARG(stream), SLICE_ARG(account));
        write_trouble(all, 404, "CONSUMER", "unavailable", buf_slice(&text));
    } else {
        buf_append_lit(&all->page->body, "{\"status\":\"ok\"");
        if (all->damaged_bytes)
            buf_printf(&all->page->body,
                       ",\"warning\":\"JetStream store has %llu damaged bytes on disk\"",
                       (unsigned long long)all->damaged_bytes);
        buf_append_char(&all->page->body, '}');
    }
    buf_done(&text);
    page_finish(all->page);
    healthz_free(all);
}

static void refuse(Page *page, bool details, const char *text) {
    page->status = 400;
    buf_append_lit(&page->body, "{\"status\":\"error\"");
    if (details)
        buf_append_lit(&page->body, ",\"status_code\":400,\"errors\":[{\"type\":\"BAD_REQUEST\"");
    buf_append_lit(&page->body, ",\"error\":");
    json_write_string(&page->body, slice_of_text(text));
    buf_append(&page->body, details ? LIT("}]}") : LIT("}"));
    page_finish(page);
}

void healthz_page(Page *page, void *cookie) {
    static const Slice flags[] = {LIT("js-enabled-only"), LIT("js-enabled"), LIT("js-server-only"),
                                  LIT("js-meta-only")};
    const MonitorFacts *facts = cookie;
    bool values[4] = {false}, details = false;
    Slice account = {0}, stream = {0}, consumer = {0};
    page->is_compact = true;
    for (size_t i = 0; i < 4; i++)
        if (!page_bool(page, flags[i], &values[i]))
            return;
    if (!page_bool(page, LIT("details"), &details))
        return;
    (void)page_text(page, LIT("account"), &account);
    (void)page_text(page, LIT("stream"), &stream);
    (void)page_text(page, LIT("consumer"), &consumer);
    if (account.len == 0 && stream.len)
        return refuse(page, details, "\"account\" must not be empty when checking stream health");
    if (stream.len == 0 && consumer.len)
        return refuse(page, details, "\"stream\" must not be empty when checking consumer health");
    Healthz *all = mem_zalloc(sizeof *all);
    *all = (Healthz){.gather = {.visit = visit, .finish = finish},
                     .page = page,
                     .facts = facts,
                     .details = details};
    if (facts->jetstream == NULL && (values[0] || values[1])) {
        write_trouble(all, 503, "JETSTREAM", "unavailable", LIT("JetStream not enabled"));
        page_finish(page);
        mem_free(all);
        return;
    }
    buf_append(&all->account, account);
    buf_append(&all->stream, stream);
    buf_append(&all->consumer, consumer);
    if (monitor_is_recovering(facts)) {
        answer_recovering(all);
        return;
    }
    gather_start(&all->gather, page->home);
}
