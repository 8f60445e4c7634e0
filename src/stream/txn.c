#include "stream/txn.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "io/clock.h"
#include "proto/json.h"
#include "stream/api_private.h"
#include "stream/catalogue_private.h"
#include "stream/usage.h"

struct Txn {
    Link link; /* in Txns.waiting */
    Catalogue *catalogue;
    ApiCall *call;
    Arena *arena;
    TxnRequest request;
    TxnPart **parts;
    size_t part_count;
    size_t pending; /* parts that are away */
    bool is_storing;
    Status refused;
};

/* Before the members of each part. */
typedef struct PartHead {
    uint32_t group, zero;
    uint64_t len;
} PartHead;
static_assert(sizeof(PartHead) == 16, "on disk");

struct Txns {
    List waiting;
    size_t waiting_count;
    Txn *running;
};

static void start_next(Catalogue *catalogue);

/* --- end --- */

static void txn_free(Txn *txn) {
    for (size_t i = 0; i < txn->part_count; i++) {
        buf_done(&txn->parts[i]->error_text);
        buf_done(&txn->parts[i]->members);
        shared_unref(txn->parts[i]->hold);
        mem_free(txn->parts[i]);
    }
    arena_free(txn->arena);
    mem_free(txn);
}

static void answer_done(Txn *txn) {
    Buf out;
    for (size_t i = 0; i < txn->part_count; i++)
        for (size_t k = 0; k < txn->parts[i]->op_count; k++)
            txn->request.ops[txn->parts[i]->ops[k].number].seq = txn->parts[i]->ops[k].seq;
    api_begin(txn->call, &out);
    buf_append_lit(&out, ",\"results\":[");
    for (size_t i = 0; i < txn->request.count; i++) {
        buf_append(&out, i ? LIT(",{\"stream\":") : LIT("{\"stream\":"));
        json_write_string(&out, txn->request.streams[i]);
        buf_printf(&out, ",\"seq\":%llu}", (unsigned long long)txn->request.ops[i].seq);
    }
    buf_append_char(&out, ']');
    api_finish(txn->call, &out);
}

static const TxnPart *failed_part(const Txn *txn) {
    for (size_t i = 0; i < txn->part_count; i++)
        if (txn->parts[i]->error_code)
            return txn->parts[i];
    return NULL;
}

static void answer(Txn *txn) {
    const TxnPart *failed = failed_part(txn);
    if (txn->is_storing) {
        answer_done(txn);
    } else if (failed) {
        ApiError error = {.code = (uint16_t)failed->error_code,
                          .http = (uint16_t)failed->error_http,
                          .text = buf_slice(&failed->error_text)};
        txn_refuse(txn->call, failed->failed_number, error, &failed->current_seq);
    } else {
        api_reply_error(txn->call, api_error_of_status(api_arena(txn->call), txn->refused));
    }
}

static void finish(Txn *txn) {
    Catalogue *catalogue = txn->catalogue;
    catalogue->txns->running = NULL;
    journal_release(catalogue->js->journal, &catalogue->group);
    answer(txn);
    txn_free(txn);
    start_next(catalogue);
}

static void on_ended(TxnPart *part) {
    if (--part->txn->pending == 0)
        finish(part->txn);
}

static void let_all_go(Txn *txn) {
    txn->pending = txn->part_count;
    for (size_t i = 0; i < txn->part_count; i++) {
        txn->parts[i]->back = on_ended;
        txn_part_let_go(txn->parts[i]);
    }
}

/* --- the entry --- */

static void append_entry(Txn *txn) {
    Catalogue *catalogue = txn->catalogue;
    Buf payload = {0};
    for (size_t i = 0; i < txn->part_count; i++) {
        TxnPart *part = txn->parts[i];
        PartHead head = {.group = part->group, .len = part->members.len};
        if (!head.len)
            continue;
        buf_append_bytes(&payload, &head, sizeof head);
        part->members_at = payload.len;
        buf_append(&payload, buf_slice(&part->members));
    }
    Record draft = {
        .type = RECORD_TRANSACTION, .time_ns = clock_wall_ns(), .payload = buf_slice(&payload)};
    Ticket ticket = {.pointer = txn};
    journal_append_held(catalogue->js->journal, &catalogue->group, &draft, &ticket, false);
    buf_done(&payload);
}

static bool writes(const Txn *txn) {
    for (size_t i = 0; i < txn->part_count; i++)
        if (txn->parts[i]->members.len)
            return true;
    return false;
}

/* Each part fits by itself; whether all of them do is known only here. */
static void check_sum(Txn *txn) {
    uint64_t bytes[2] = {0};
    for (size_t i = 0; i < txn->part_count; i++)
        bytes[txn->parts[i]->is_memory] += txn->parts[i]->bytes;
    for (size_t i = 0; i < txn->part_count; i++) {
        TxnPart *part = txn->parts[i];
        ApiError error = API_OK;
        if (part->bytes)
            error = usage_check_bytes(txn->catalogue->js, account_index(txn->call->account),
                                      part->is_memory, bytes[part->is_memory]);
        if (!api_failed(error))
            continue;
        part->error_code = error.code;
        part->error_http = error.http;
        buf_append(&part->error_text, error.text);
        part->failed_number = part->ops[0].number;
        return;
    }
}

static void on_agreed(TxnPart *part) {
    Txn *txn = part->txn;
    if (--txn->pending)
        return;
    if (!failed_part(txn))
        check_sum(txn);
    if (failed_part(txn)) {
        let_all_go(txn);
    } else if (!writes(txn)) {
        txn->is_storing = true;
        let_all_go(txn);
    } else {
        append_entry(txn);
    }
}

void txn_refused(Txn *txn, Status why) {
    if (why == ERR_CLOSED)
        return; /* the server stops; freed with the catalogue */
    txn->refused = why;
    let_all_go(txn);
}

void txn_apply(Catalogue *catalogue, const Record *record, Place place, Shared *hold,
               const Ticket *ticket) {
    if (!ticket) {
        txn_replay(catalogue, record, place, hold);
        return;
    }
    Txn *txn = ticket->pointer;
    txn->is_storing = true;
    txn->pending = txn->part_count + 1;
    size_t count = txn->part_count;
    for (size_t i = 0; i < count; i++) {
        TxnPart *part = txn->parts[i];
        part->back = on_ended;
        part->index = record->index;
        part->place = place;
        part->hold = shared_ref(hold);
        part->stored = part->members.len
                           ? slice_from(record->payload.ptr + part->members_at, part->members.len)
                           : (Slice){0};
        txn_part_store(part);
    }
    if (--txn->pending == 0)
        finish(txn);
}

typedef void EachPart(Stream *stream, uint64_t index, Slice members, Place place, Shared *hold);

static void each_part(Catalogue *catalogue, const Record *record, Place place, Shared *hold,
                      EachPart *each) {
    Slice rest = record->payload;
    PartHead head;
    while (rest.len >= sizeof head) {
        memcpy(&head, rest.ptr, sizeof head);
        rest = slice_from_at(rest, sizeof head);
        if (head.len > rest.len)
            return;
        size_t at = record->payload.len - rest.len;
        JetStream *js = jetstream_home_of(catalogue->js->home, head.group)->jetstream;
        Stream *stream = map64_get(&js->streams, head.group);
        if (stream) /* else it was deleted later */
            each(stream, record->index, slice_first(rest, head.len), place + at, hold);
        rest = slice_from_at(rest, head.len);
    }
}

void txn_replay(Catalogue *catalogue, const Record *record, Place place, Shared *hold) {
    each_part(catalogue, record, place, hold, stream_txn_replay);
}

void txn_lost(Catalogue *catalogue, const Record *record, Place place) {
    each_part(catalogue, record, place, NULL, stream_txn_lost);
}

/* --- start --- */

static TxnPart *part_of(Txn *txn, const Asset *asset, Slice name) {
    for (size_t i = 0; i < txn->part_count; i++)
        if (txn->parts[i]->group == asset->group)
            return txn->parts[i];
    TxnPart *part = mem_zalloc(sizeof *part);
    *part = (TxnPart){.txn = txn,
                      .from = txn->catalogue->js->home,
                      .stream = name,
                      .group = asset->group,
                      .home = jetstream_home_of(txn->catalogue->js->home, asset->group),
                      .ops = arena_alloc(txn->arena, txn->request.count * sizeof(TxnOp))};
    txn->parts[txn->part_count++] = part;
    return part;
}

/* The streams as the catalogue knows them now. False: one is unknown; *out_number. */
static bool make_parts(Txn *txn, size_t *out_number) {
    Slice account = account_name(txn->call->account);
    txn->parts = arena_alloc(txn->arena, txn->request.count * sizeof(TxnPart *));
    for (size_t i = 0; i < txn->request.count; i++) {
        Slice name = txn->request.streams[i];
        const Asset *asset = catalogue_find(txn->catalogue, account, name);
        *out_number = i;
        if (!asset)
            return false;
        TxnPart *part = part_of(txn, asset, name);
        part->ops[part->op_count++] = txn->request.ops[i];
    }
    return true;
}

/* No change of the catalogue is in flight, and none comes. */
static void on_catalogue_held(Group *group, void *cookie) {
    Txn *txn = cookie;
    size_t number = 0;
    (void)group;
    if (!make_parts(txn, &number)) {
        ApiCall *call = txn->call;
        Catalogue *catalogue = txn->catalogue;
        catalogue->txns->running = NULL;
        journal_release(catalogue->js->journal, &catalogue->group);
        txn_refuse(call, number, api_error(JSStreamNotFoundErr), NULL);
        txn_free(txn);
        start_next(catalogue);
        return;
    }
    txn->pending = txn->part_count;
    for (size_t i = 0; i < txn->part_count; i++) {
        txn->parts[i]->back = on_agreed;
        txn_part_hold(txn->parts[i]);
    }
}

static void start_next(Catalogue *catalogue) {
    struct Txns *txns = catalogue->txns;
    Link *link = txns->running ? NULL : list_pop_front(&txns->waiting);
    if (!link)
        return;
    txns->waiting_count--;
    txns->running = CONTAINER_OF(link, Txn, link);
    journal_hold(catalogue->js->journal, &catalogue->group, on_catalogue_held, txns->running);
}

static struct Txns *txns_of(Catalogue *catalogue) {
    if (!catalogue->txns) {
        catalogue->txns = mem_zalloc(sizeof *catalogue->txns);
        list_init(&catalogue->txns->waiting);
    }
    return catalogue->txns;
}

void txn_on_request(ApiCall *call) {
    Catalogue *catalogue = call->js->catalogue;
    struct Txns *txns = txns_of(catalogue);
    if (txns->waiting_count >= TXN_WAITING_MAX) {
        api_reply_error(call, api_error(JSStreamTooManyRequests));
        return;
    }
    Txn *txn = mem_zalloc(sizeof *txn);
    txn->arena = arena_new();
    txn->catalogue = catalogue;
    txn->call = call;
    link_init(&txn->link);
    if (!txn_request_read(call, txn->arena, &txn->request)) {
        txn_free(txn);
        return;
    }
    list_push_back(&txns->waiting, &txn->link);
    txns->waiting_count++;
    start_next(catalogue);
}

void txns_free(Catalogue *catalogue) {
    struct Txns *txns = catalogue->txns;
    if (!txns)
        return;
    if (txns->running) {
        api_drop(txns->running->call);
        txn_free(txns->running);
    }
    for (Link *link; (link = list_pop_front(&txns->waiting));) {
        Txn *txn = CONTAINER_OF(link, Txn, link);
        api_drop(txn->call);
        txn_free(txn);
    }
    mem_free(txns);
    catalogue->txns = NULL;
}
