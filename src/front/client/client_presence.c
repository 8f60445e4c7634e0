/* Presence: a subject that has a subscriber exactly as long as a connection is open, so that others
 * can tell, on any worker, that it is gone. Made when it is first asked for. */
#include "base/mem.h"
#include "front/client/client_private.h"

typedef struct Presence {
    Port port;
    Task task;
    Account *account;
    Sub *sub; /* NULL: not yet, until the end of the turn */
    size_t subject_len;
    char subject[];
} Presence;

/* Nothing is to be published there. */
static void deliver(Port *port, Sub *sub, const Message *message) {
    (void)port, (void)sub, (void)message;
}

static const PortOps ops = {.kind = PORT_SYSTEM, .deliver = deliver};

static void subscribe(Task *task) {
    Presence *presence = CONTAINER_OF(task, Presence, task);
    presence->sub = sub_add(presence->account, &presence->port,
                            slice_from(presence->subject, presence->subject_len), (Slice){0},
                            (Slice){0}, false);
}

static Presence *new_presence(const Client *client) {
    Clients *clients = client->clients;
    Buf subject = {0};
    buf_printf(&subject, "$HW.CONNECTION.%.*s.%llu", SLICE_ARG(clients->options->server_id),
               (unsigned long long)client->cid);
    Presence *presence = mem_zalloc(sizeof *presence + subject.len);
    presence->port = (Port){.ops = &ops, .home = clients->home};
    presence->account = client->account;
    presence->subject_len = subject.len;
    memcpy(presence->subject, subject.ptr, subject.len);
    task_init(&presence->task, subscribe);
    worker_soon(clients->home, &presence->task);
    buf_done(&subject);
    return presence;
}

void client_presence(Port *port, Buf *out) {
    const Client *client = CONTAINER_OF(port, Client, port);
    Map64 *presences = &client->clients->presences;
    Presence *presence = map64_get(presences, client->cid);
    if (!client_is_open(client))
        return;
    if (!presence) {
        presence = new_presence(client);
        map64_put(presences, client->cid, presence);
    }
    buf_append_bytes(out, presence->subject, presence->subject_len);
}

void client_end_presence(const Client *client) {
    Map64 *presences = &client->clients->presences;
    Presence *presence = presences->len ? map64_remove(presences, client->cid) : NULL;
    if (!presence)
        return;
    task_cancel(&presence->task);
    if (presence->sub)
        sub_remove(presence->sub);
    mem_free(presence);
}

void client_forget_presences(Clients *clients) {
    uint64_t cid;
    void *presence;
    for (size_t i = 0; map64_next(&clients->presences, &i, &cid, &presence);)
        mem_free(presence);
    map64_done(&clients->presences);
}
