#include "base/log.h"
#include "base/mem.h"
#include "front/client/client_private.h"
#include "front/client/clients.h"

/* One block: texts of info and subs lie in bytes. The mail brings it to the main worker. */
struct ClosedClient {
    Mail mail; /* first */
    unsigned worker;
    bool is_gone_only; /* a connection that never became a client */
    ClientInfo info;
    unsigned sub_count;
    ClientSubInfo subs[CLOSED_SUBS_MAX];
    size_t bytes_used;
    char bytes[];
};

static void closed_arrives(Worker *here, Mail *mail);

static Slice keep(ClosedClient *closed, Slice text, size_t max) {
    Slice kept = slice_from(closed->bytes + closed->bytes_used, text.len < max ? text.len : max);
    if (kept.len)
        memcpy(closed->bytes + closed->bytes_used, text.ptr, kept.len);
    closed->bytes_used += kept.len;
    return kept;
}

static size_t cut_len(Slice text) {
    return text.len < CLOSED_TEXT_BYTES_MAX ? text.len : CLOSED_TEXT_BYTES_MAX;
}

/* The first subscriptions that fit. */
static unsigned choose_subs(const Client *client, Sub **out_subs, size_t *out_bytes) {
    unsigned count = 0;
    Sub *sub;
    *out_bytes = 0;
    for (uint32_t i = 0; count < CLOSED_SUBS_MAX && (sub = sub_table_next(&client->subs, &i));) {
        size_t bytes = (size_t)sub->subject_len + sub->queue_len + sub->sid_len;
        if (*out_bytes + bytes > CLOSED_SUBS_BYTES_MAX)
            continue;
        *out_bytes += bytes;
        out_subs[count++] = sub;
    }
    return count;
}

ClosedClient *closed_client_new(const Client *client, CloseReason reason) {
    Sub *subs[CLOSED_SUBS_MAX];
    size_t bytes;
    unsigned count = choose_subs(client, subs, &bytes);
    ClientInfo info;

    client_info(client, &info);
    bytes += info.ip.len + cut_len(info.name) + cut_len(info.lang) + cut_len(info.version) +
             cut_len(info.user) + cut_len(info.account);
    ClosedClient *closed = mem_zalloc(sizeof *closed + bytes);
    closed->worker = client->clients->home->index;
    closed->info = info;
    closed->info.reason = close_reason_text(reason);
    closed->info.stop_ns = clock_wall_ns();
    closed->info.ip = keep(closed, info.ip, info.ip.len);
    closed->info.name = keep(closed, info.name, CLOSED_TEXT_BYTES_MAX);
    closed->info.lang = keep(closed, info.lang, CLOSED_TEXT_BYTES_MAX);
    closed->info.version = keep(closed, info.version, CLOSED_TEXT_BYTES_MAX);
    closed->info.user = keep(closed, info.user, CLOSED_TEXT_BYTES_MAX);
    closed->info.account = keep(closed, info.account, CLOSED_TEXT_BYTES_MAX);
    closed->sub_count = count;
    for (unsigned i = 0; i < count; i++) {
        closed->subs[i].subject = keep(closed, sub_subject(subs[i]), SIZE_MAX);
        closed->subs[i].queue = keep(closed, sub_queue(subs[i]), SIZE_MAX);
        closed->subs[i].sid = keep(closed, sub_sid(subs[i]), SIZE_MAX);
        closed->subs[i].msgs = subs[i]->delivered;
        closed->subs[i].max = subs[i]->max;
    }
    return closed;
}

void closed_client_free(ClosedClient *closed) {
    mem_free(closed);
}

static void post(Clients *clients, ClosedClient *closed) {
    Worker *home = clients->home;
    closed->mail.arrive = closed_arrives;
    worker_post(home, home->all[home->count], &closed->mail);
}

void closed_client_send(Clients *clients, ClosedClient *closed) {
    post(clients, closed);
}

void closed_client_send_gone(Clients *clients) {
    ClosedClient *closed = mem_zalloc(sizeof *closed);
    closed->worker = clients->home->index;
    closed->is_gone_only = true;
    post(clients, closed);
}

/* The newest pushes the oldest out. */
static void remember(ClientsMain *main, ClosedClient *closed) {
    if (main->ring_cap == 0) {
        closed_client_free(closed);
        return;
    }
    if (!main->ring)
        main->ring = mem_zalloc(main->ring_cap * sizeof(ClosedClient *));
    ClosedClient **slot = &main->ring[main->ring_at];
    closed_client_free(*slot);
    *slot = closed;
    main->ring_at = (main->ring_at + 1) % main->ring_cap;
    if (main->ring_len < main->ring_cap)
        main->ring_len++;
}

static void closed_arrives(Worker *here, Mail *mail) {
    ClosedClient *closed = CONTAINER_OF(mail, ClosedClient, mail);
    Clients *clients = here->clients;
    ClientsMain *main = clients->main;

    main->open--;
    main->open_by_worker[closed->worker]--;
    if (closed->is_gone_only)
        closed_client_free(closed);
    else
        remember(main, closed);
    clients_check_end(clients);
}

void clients_forget_closed(Clients *main) {
    for (size_t i = 0; main->main->ring && i < main->main->ring_cap; i++)
        closed_client_free(main->main->ring[i]);
    mem_free(main->main->ring);
    main->main->ring = NULL;
    main->main->ring_len = main->main->ring_at = 0;
}

void clients_each_closed(Clients *main,
                         void (*each)(void *cookie, const ClientInfo *info,
                                      const ClosedClient *closed),
                         void *cookie) {
    ASSERT_HOME(main);
    ClientsMain *own = main->main;
    size_t oldest = own->ring_len < own->ring_cap ? 0 : own->ring_at;
    for (size_t i = 0; i < own->ring_len; i++) {
        const ClosedClient *closed = own->ring[(oldest + i) % own->ring_cap];
        each(cookie, &closed->info, closed);
    }
}

void closed_client_each_sub(const ClosedClient *closed,
                            void (*each)(void *cookie, const ClientSubInfo *sub), void *cookie) {
    for (unsigned i = 0; i < closed->sub_count; i++)
        each(cookie, &closed->subs[i]);
}
