#include "bus/congestion.h"

#include "base/mem.h"
#include "bus/bus_private.h"

/* Receivers here that cannot take more of what a worker sends to a subject. */
typedef struct Report {
    Account *account;
    unsigned worker;
    VEC(Sub *) subs;
    uint32_t to_len;
    char key[]; /* worker, account, to */
} Report;

/* Workers that have reported a subject. */
typedef struct Known {
    WorkerSet workers;
    char key[]; /* account, to */
} Known;

enum { KEY_HEAD = 2 * sizeof(uint32_t) };

/* The key of a report; a long subject makes buf grow. */
static Slice make_key(Buf *buf, uint32_t worker, const Account *account, Slice to) {
    uint32_t index = (uint32_t)account->index;
    buf_append_bytes(buf, &worker, sizeof worker);
    buf_append_bytes(buf, &index, sizeof index);
    buf_append(buf, to);
    return buf_slice(buf);
}

static void run_waits(Task *task) {
    Congestion *congestion = CONTAINER_OF(task, Congestion, wake_task);
    List due;
    list_init(&due);
    for (Link *link; (link = list_pop_front(&congestion->waits));)
        list_push_back(&due, link);
    for (Link *link; (link = list_pop_front(&due));) {
        DrainWait *wait = CONTAINER_OF(link, DrainWait, link);
        wait->drained(wait);
    }
}

void congestion_init(Bus *bus) {
    list_init(&bus->congestion.waits);
    task_init(&bus->congestion.wake_task, run_waits);
}

static void report_free(Report *report) {
    vec_done(&report->subs);
    mem_free(report);
}

void congestion_done(Bus *bus) {
    Congestion *congestion = &bus->congestion;
    Slice key;
    void *value;
    task_cancel(&congestion->wake_task);
    for (size_t i = 0; map_next(&congestion->reports, &i, &key, &value);)
        report_free(value);
    for (size_t i = 0; map_next(&congestion->known, &i, &key, &value);)
        mem_free(value);
    map_done(&congestion->reports);
    map_done(&congestion->known);
}

/* As the worker that delivers. */

static Report *report_new(Bus *bus, unsigned worker, Account *account, Slice to, Slice key) {
    Report *report = mem_zalloc(sizeof *report + key.len);
    report->account = account;
    report->worker = worker;
    report->to_len = (uint32_t)to.len;
    memcpy(report->key, key.ptr, key.len);
    (void)map_put(&bus->congestion.reports, slice_from(report->key, key.len), report);
    return report;
}

void congestion_report(Account *account, unsigned from, Slice to, Sub *sub) {
    Bus *bus = account->bus;
    Map *reports = &bus->congestion.reports;
    Buf buf = {0};
    Report *report = map_get(reports, make_key(&buf, from, account, to));
    if (report == NULL && reports->len >= CONGESTION_REPORTS_MAX) {
        account = bus_account(bus, 0);
        to = LIT("");
        buf_clear(&buf);
        report = map_get(reports, make_key(&buf, from, account, to));
    }
    if (report == NULL) {
        report = report_new(bus, from, account, to, buf_slice(&buf));
        exchange_send_congestion(account, from, to, true);
    }
    buf_done(&buf);
    if (sub->flags & SUB_REPORTED)
        for (size_t i = 0; i < report->subs.len; i++)
            if (report->subs.at[i] == sub)
                return;
    sub->flags |= SUB_REPORTED;
    vec_push(&report->subs, sub);
}

/* Takes those of a port, or one sub, out of all reports. */
static void forget(Bus *bus, const Port *port, const Sub *only) {
    Map *reports = &bus->congestion.reports;
    Slice key;
    void *value;
    for (size_t i = 0; map_next(reports, &i, &key, &value);) {
        Report *report = value;
        size_t before = report->subs.len;
        for (size_t k = before; k-- > 0;) {
            Sub *sub = report->subs.at[k];
            if (only ? sub != only : sub->port != port)
                continue;
            sub->flags &= (uint8_t)~SUB_REPORTED;
            vec_remove_unordered(&report->subs, k);
        }
        if (report->subs.len > 0)
            continue;
        exchange_send_congestion(report->account, report->worker,
                                 slice_from(report->key + KEY_HEAD, report->to_len), false);
        (void)map_remove(reports, key);
        report_free(report);
    }
}

void congestion_forget_sub(Sub *sub) {
    Bus *bus = sub->port->home->bus;
    if (sub->flags & SUB_REPORTED)
        forget(bus, NULL, sub);
    congestion_wake(bus);
}

void bus_port_drained(Port *port) {
    ASSERT_HOME(port);
    Bus *bus = port->home->bus;
    if (bus->congestion.reports.len > 0)
        forget(bus, port, NULL);
    congestion_wake(bus);
}

/* As the worker that sends. */

void congestion_on_report(Account *account, unsigned from, Slice to, bool is_congested) {
    Bus *bus = account->bus;
    Map *map = &bus->congestion.known;
    Buf buf = {0};
    Slice key = make_key(&buf, 0, account, to);
    Known *known = map_get(map, key);
    if (is_congested) {
        if (known == NULL) {
            known = mem_zalloc(sizeof *known + key.len);
            memcpy(known->key, key.ptr, key.len);
            (void)map_put(map, slice_from(known->key, key.len), known);
        }
        worker_set_add(&known->workers, from);
    } else if (known) {
        worker_set_remove(&known->workers, from);
        if (worker_set_is_empty(&known->workers)) {
            (void)map_remove(map, key);
            mem_free(known);
        }
        congestion_wake(bus);
    }
    buf_done(&buf);
}

bool congestion_is_known(Account *account, Slice to, const WorkerSet *workers) {
    Bus *bus = account->bus;
    const Map *map = &bus->congestion.known;
    if (map->len == 0)
        return false;
    Buf buf = {0};
    const Known *known = map_get(map, make_key(&buf, 0, account, to));
    if (known == NULL) {
        buf_clear(&buf);
        known = map_get(map, make_key(&buf, 0, bus_account(bus, 0), LIT("")));
        if (known && !worker_set_meets(&known->workers, workers))
            known = NULL;
    }
    buf_done(&buf);
    return known != NULL;
}

/* Waiting. */

void bus_wait_for_drain(Bus *bus, DrainWait *wait) {
    ASSERT_HOME(bus);
    if (wait->link.next == NULL)
        link_init(&wait->link);
    if (!link_is_listed(&wait->link))
        list_push_back(&bus->congestion.waits, &wait->link);
}

void bus_cancel_wait(DrainWait *wait) {
    if (wait->link.next)
        list_remove(&wait->link);
}

void congestion_wake(Bus *bus) {
    if (!list_is_empty(&bus->congestion.waits))
        worker_ready(bus->home, &bus->congestion.wake_task);
}
