#include "bus/exchange.h"

#include "base/assert.h"
#include "base/mem.h"
#include "bus/bus_private.h"
#include "bus/trace.h"

/* An item lies in a chunk, aligned to 8: its struct, then its texts. Sender and receiver are
 * threads of one process. */
typedef enum ItemKind { ITEM_INTEREST, ITEM_MESSAGE, ITEM_CREDIT, ITEM_CONGESTION } ItemKind;

typedef struct Item {
    uint32_t size;
    uint16_t account;
    uint8_t kind;
    bool flag; /* is_congested */
} Item;

typedef struct InterestItem {
    Item item;
    int64_t delta;
    uint16_t subject_len, queue_len;
    char text[]; /* subject, queue */
} InterestItem;

typedef struct MessageItem {
    Item item;
    Shared *hold; /* owned; NULL = headers and payload follow in text */
    Trace *trace; /* of the sender, held for us; NULL = none */
    bool is_trace_only;
    const char *headers, *payload;
    uint32_t to_len, subject_len, reply_len, headers_len, payload_len, picks_size;
    char text[]; /* to, subject, reply, picks (length of 2 bytes and name each), headers, payload */
} MessageItem;

typedef struct CreditItem {
    Item item;
    uint64_t bytes;
} CreditItem;

typedef struct CongestionItem {
    Item item;
    uint32_t to_len;
    char text[];
} CongestionItem;

typedef struct Chunk Chunk;
struct Chunk {
    Chunk *next;
    uint32_t used, cap;
    char bytes[] __attribute__((aligned(8)));
};

struct ExchangeMail {
    Mail mail;
    unsigned from;
    size_t size;
    Chunk *last;
    Chunk first; /* with the bytes behind it */
};

enum { CHUNK_MIN = 256, CHUNK_MAX = 64 * 1024 };

static void close_all(Bus *bus);
static void on_close_task(Task *task);
static void on_hook(TurnHook *hook);
static void on_arrive(Worker *here, Mail *mail);

void exchange_init(Bus *bus) {
    Exchange *exchange = &bus->exchange;
    exchange->peer_count = bus->home->count + 1;
    exchange->peers = mem_zalloc(exchange->peer_count * sizeof *exchange->peers);
    task_init(&exchange->close_task, on_close_task);
    exchange->hook.run = on_hook;
    worker_add_hook(bus->home, &exchange->hook);
    exchange->closed_ns = bus->home->now_ns; /* there is no turn yet that would close mail */
}

void exchange_done(Bus *bus) {
    task_cancel(&bus->exchange.close_task);
    mem_free(bus->exchange.peers);
    bus->exchange.peers = NULL;
}

/* Mail that was posted may be added to until the loop posts it: at the end of the turn, or at a
 * fence. The task
 * runs before the loop posts; the hook closes what was opened behind the task. */
static void close_all(Bus *bus) {
    if (!bus->exchange.has_open)
        return;
    bus->exchange.has_open = false;
    for (unsigned i = 0; i < bus->exchange.peer_count; i++)
        bus->exchange.peers[i].open = NULL; /* may be gone: a fence has posted it */
}

static void on_close_task(Task *task) {
    close_all(CONTAINER_OF(task, Bus, exchange.close_task));
}

static void on_hook(TurnHook *hook) {
    Bus *bus = CONTAINER_OF(hook, Bus, exchange.hook);
    close_all(bus);
    bus->exchange.closed_ns = bus->home->now_ns;
}

static ExchangeMail *mail_new(unsigned from, size_t first_size) {
    ExchangeMail *mail = mem_alloc(sizeof *mail + first_size);
    mail->mail.arrive = on_arrive;
    mail->from = from;
    mail->size = 0;
    mail->last = &mail->first;
    mail->first.next = NULL;
    mail->first.used = 0;
    mail->first.cap = (uint32_t)first_size;
    return mail;
}

static size_t clamp(size_t size, size_t low, size_t high) {
    return size < low ? low : size > high ? high : size;
}

/* Room for an item of size bytes, aligned and counted; the caller fills it. */
static void *add_item(Bus *bus, unsigned to, size_t size, ItemKind kind, const Account *account) {
    Exchange *exchange = &bus->exchange;
    Peer *peer = &exchange->peers[to];
    size = (size + 7) & ~(size_t)7;
    ASSERT(size <= UINT32_MAX);

    if (kind != ITEM_INTEREST)
        worker_fence_now(bus->home);
    if (exchange->has_open && exchange->opened_in != worker_mailings(bus->home))
        close_all(bus);
    ExchangeMail *mail = peer->open;
    if (mail == NULL) {
        size_t guess = clamp(peer->last_size, CHUNK_MIN, CHUNK_MAX);
        bool stays_open = bus->home->now_ns != exchange->closed_ns;
        mail = mail_new(bus->home->index, !stays_open || guess < size ? size : guess);
        worker_post(bus->home, bus->home->all[to], &mail->mail);
        if (stays_open) {
            peer->open = mail;
            if (!exchange->has_open) {
                exchange->has_open = true;
                exchange->opened_in = worker_mailings(bus->home);
                worker_soon(bus->home, &exchange->close_task);
            }
        }
    }
    Chunk *chunk = mail->last;
    if (chunk->cap - chunk->used < size) {
        size_t cap = clamp(mail->size, CHUNK_MIN, CHUNK_MAX);
        cap = cap < size ? size : cap;
        chunk = mem_alloc(sizeof *chunk + cap);
        *chunk = (Chunk){.cap = (uint32_t)cap};
        mail->last->next = chunk;
        mail->last = chunk;
    }
    Item *item = (void *)(chunk->bytes + chunk->used);
    *item = (Item){.size = (uint32_t)size,
                   .kind = (uint8_t)kind,
                   .account = (uint16_t)(account ? account->index : 0)};
    chunk->used += (uint32_t)size;
    mail->size += size;
    if (peer->open)
        peer->last_size = mail->size;
    return item;
}

static char *put(char *to, Slice slice) {
    if (slice.len)
        memcpy(to, slice.ptr, slice.len);
    return to + slice.len;
}

/* The main worker has a bus only if it takes part. */
static bool takes_part(const Bus *bus, unsigned worker) {
    const Worker *home = bus->home;
    return worker != home->index && (worker < home->count || home->all[worker]->bus != NULL);
}

void exchange_send_interest(Account *account, Slice subject, Slice queue, int64_t delta) {
    Bus *bus = account->bus;
    for (unsigned i = 0; i < bus->exchange.peer_count; i++) {
        if (!takes_part(bus, i))
            continue;
        InterestItem *item = add_item(
            bus, i, offsetof(InterestItem, text) + subject.len + queue.len, ITEM_INTEREST, account);
        item->delta = delta;
        item->subject_len = (uint16_t)subject.len;
        item->queue_len = (uint16_t)queue.len;
        put(put(item->text, subject), queue);
    }
    if (delta > 0)
        worker_fence(bus->home);
}

/* What counts against the limit of unprocessed bytes. */
static size_t message_weight(const MessageItem *item) {
    return item->item.size + (item->hold ? (size_t)item->headers_len + item->payload_len : 0);
}

void exchange_send_message(Account *account, unsigned to_worker, Slice to, const Message *message,
                           const Pick *picks, size_t pick_count) {
    Bus *bus = account->bus;
    Message room;
    const Message *held =
        message->payload.len >= EXCHANGE_SHARE_BYTES ? message_with_hold(message, &room) : NULL;
    bool is_shared = held != NULL;
    if (is_shared)
        message = held;
    size_t picks_size = 0;
    for (size_t i = 0; i < pick_count; i++)
        if (picks[i].worker == to_worker)
            picks_size += sizeof(uint16_t) + picks[i].queue.len;
    size_t size = offsetof(MessageItem, text) + to.len + message->subject.len + message->reply.len +
                  picks_size;
    if (!is_shared)
        size += message->headers.len + message->payload.len;

    MessageItem *item = add_item(bus, to_worker, size, ITEM_MESSAGE, account);
    item->hold = is_shared ? shared_ref(message->hold) : NULL;
    item->trace = message->trace;
    if (message->trace) {
        trace_hold(message->trace);
        item->is_trace_only = message->trace->is_only;
    }
    item->to_len = (uint32_t)to.len;
    item->subject_len = (uint32_t)message->subject.len;
    item->reply_len = (uint32_t)message->reply.len;
    item->headers_len = (uint32_t)message->headers.len;
    item->payload_len = (uint32_t)message->payload.len;
    item->picks_size = (uint32_t)picks_size;
    char *at = put(put(put(item->text, to), message->subject), message->reply);
    for (size_t i = 0; i < pick_count; i++) {
        if (picks[i].worker != to_worker)
            continue;
        uint16_t len = (uint16_t)picks[i].queue.len;
        at = put(put(at, slice_from(&len, sizeof len)), picks[i].queue);
    }
    item->headers = is_shared ? message->headers.ptr : at;
    if (!is_shared)
        at = put(at, message->headers);
    item->payload = is_shared ? message->payload.ptr : at;
    if (!is_shared)
        put(at, message->payload);
    bus->exchange.peers[to_worker].unprocessed += message_weight(item);
}

bool exchange_cut_pick(Slice *packed, Slice *out_queue) {
    uint16_t len;
    if (packed->len == 0)
        return false;
    memcpy(&len, packed->ptr, sizeof len);
    *out_queue = slice_from(packed->ptr + sizeof len, len);
    *packed = slice_from_at(*packed, sizeof len + len);
    return true;
}

void exchange_send_congestion(Account *account, unsigned to_worker, Slice to, bool is_congested) {
    CongestionItem *item = add_item(
        account->bus, to_worker, offsetof(CongestionItem, text) + to.len, ITEM_CONGESTION, account);
    item->item.flag = is_congested;
    item->to_len = (uint32_t)to.len;
    put(item->text, to);
}

bool exchange_is_congested(Bus *bus, unsigned worker) {
    Peer *peer = &bus->exchange.peers[worker];
    if (peer->unprocessed <= EXCHANGE_UNPROCESSED_BYTES)
        return false;
    peer->was_congested = true;
    return true;
}

/* Arrival. */

static void on_interest(Account *account, unsigned from, const InterestItem *item) {
    Slice subject = slice_from(item->text, item->subject_len);
    Slice queue = slice_from(item->text + item->subject_len, item->queue_len);
    interest_change_remote(&account->interest, subject, queue, from, item->delta);
    watches_tell(account, subject, queue, item->delta, NULL);
}

static void on_message(Account *account, unsigned from, const MessageItem *item) {
    Bus *bus = account->bus;
    const char *subject = item->text + item->to_len, *reply = subject + item->subject_len;
    Message message = {
        .subject = slice_from(subject, item->subject_len),
        .reply = slice_from(reply, item->reply_len),
        .headers = slice_from(item->headers, item->headers_len),
        .payload = slice_from(item->payload, item->payload_len),
        .hold = item->hold,
    };
    if (item->trace)
        message.trace = trace_part_new(bus->home, item->trace, from, item->is_trace_only);
    bus_deliver_from(account, from, slice_from(item->text, item->to_len), &message,
                     slice_from(reply + item->reply_len, item->picks_size));

    if (message.trace)
        trace_release(message.trace);

    Peer *peer = &bus->exchange.peers[from];
    peer->uncredited += message_weight(item);
    shared_unref(item->hold);
    if (peer->uncredited < EXCHANGE_CREDIT_BYTES)
        return;
    CreditItem *credit = add_item(bus, from, sizeof *credit, ITEM_CREDIT, NULL);
    credit->bytes = peer->uncredited;
    peer->uncredited = 0;
}

static void on_credit(Bus *bus, unsigned from, const CreditItem *item) {
    Peer *peer = &bus->exchange.peers[from];
    ASSERT(peer->unprocessed >= item->bytes);
    peer->unprocessed -= item->bytes;
    if (!peer->was_congested || peer->unprocessed > EXCHANGE_UNPROCESSED_BYTES / 2)
        return;
    peer->was_congested = false;
    congestion_wake(bus);
}

static void on_item(Bus *bus, unsigned from, const Item *item) {
    Account *account = bus_account(bus, item->account);
    switch ((ItemKind)item->kind) {
    case ITEM_INTEREST:
        on_interest(account, from, (const void *)item);
        return;
    case ITEM_MESSAGE:
        on_message(account, from, (const void *)item);
        return;
    case ITEM_CREDIT:
        on_credit(bus, from, (const void *)item);
        return;
    case ITEM_CONGESTION: {
        const CongestionItem *congestion = (const void *)item;
        congestion_on_report(account, from, slice_from(congestion->text, congestion->to_len),
                             item->flag);
        return;
    }
    }
    ASSERT(item->kind <= ITEM_CONGESTION);
}

static void on_arrive(Worker *here, Mail *base) {
    ExchangeMail *mail = CONTAINER_OF(base, ExchangeMail, mail);
    Bus *bus = here->bus; /* NULL: freed, at the end of the process */
    for (Chunk *chunk = &mail->first, *next; chunk; chunk = next) {
        next = chunk->next;
        for (uint32_t at = 0; at < chunk->used;) {
            const Item *item = (const void *)(chunk->bytes + at);
            if (bus)
                on_item(bus, mail->from, item);
            else if (item->kind == ITEM_MESSAGE)
                shared_unref(((const MessageItem *)(const void *)item)->hold);
            at += item->size;
        }
        if (chunk != &mail->first)
            mem_free(chunk);
    }
    mem_free(mail);
}
