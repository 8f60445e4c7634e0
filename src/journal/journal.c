#include "journal/journal.h"

#include <string.h>

#include "base/mem.h"
#include "journal/journal_private.h"

enum { SCRATCH_BYTES = 16 * 1024, HAND_OVER_BYTES = 64 * 1024, LARGE_BYTES = 32 * 1024 };

/* Before each ticket's data, which is padded to 8 bytes. */
typedef struct TicketHead {
    Group *group; /* NULL: it left */
    void *pointer;
    uint32_t data_len;
    uint8_t kind, why; /* why: of a refusal */
} TicketHead;

static void on_turn(TurnHook *hook);
static void on_more(Task *task);
static void hand_over(Journal *journal, ChunkKind kind);
static void deliver(JournalChunk *chunk);
static void recycle(JournalChunk *chunk);

void journal_init(Journal *journal, JournalStore *store, Worker *home, uint64_t cache_bytes) {
    *journal = (Journal){.home = home, .store = store};
    list_init(&journal->groups);
    list_init(&journal->holds);
    list_init(&journal->in_flight);
    list_init(&journal->ready);
    list_init(&journal->unused);
    journal->reader = log_reader_new(store->log, home, cache_bytes);
    task_init(&journal->more, on_more);
    journal->hook.run = on_turn;
    worker_add_hook(home, &journal->hook);
    home->journal = journal;
}

static void chunk_free(JournalChunk *chunk) {
    shared_unref(chunk->log.bytes);
    buf_done(&chunk->tickets);
    mem_free(chunk);
}

static void free_chunks(List *list) {
    for (Link *link; (link = list_pop_front(list)) != NULL;)
        chunk_free(CONTAINER_OF(link, JournalChunk, link));
}

void journal_done(Journal *journal) {
    for (int kind = 0; kind < CHUNK_KINDS; kind++) {
        if (journal->open[kind])
            chunk_free(journal->open[kind]);
        shared_unref(journal->scratch[kind]);
    }
    free_chunks(&journal->in_flight);
    free_chunks(&journal->ready);
    free_chunks(&journal->unused);
    log_reader_free(journal->reader);
    list_remove(&journal->hook.link);
    if (journal->home->journal == journal)
        journal->home->journal = NULL;
}

LogReader *journal_reader(Journal *journal) {
    return journal->reader;
}

Log *journal_log(Journal *journal) {
    return journal->store->log;
}

Status journal_health(const Journal *journal) {
    const Log *log = journal->store->log;
    if (log_is_failed(log))
        return ERR_IO;
    return log_is_full(log) ? ERR_FULL : OK;
}

void journal_add_group(Journal *journal, Group *group) {
    ASSERT_HOME(journal);
    ASSERT(group->home == journal->home);
    list_push_back(&journal->groups, &group->link);
}

/* --- appending --- */

/* About what the last one took, so that a busy worker's chunks need not grow. */
static size_t first_bytes(const Journal *journal, ChunkKind kind) {
    size_t like_last = journal->len_last[kind] + journal->len_last[kind] / 8;
    if (like_last > JOURNAL_CHUNK_BYTES_MAX)
        return JOURNAL_CHUNK_BYTES_MAX;
    return like_last > SCRATCH_BYTES ? like_last : SCRATCH_BYTES;
}

static JournalChunk *open_chunk(Journal *journal, ChunkKind kind) {
    Link *link = list_pop_front(&journal->unused);
    JournalChunk *chunk;
    if (link) {
        chunk = CONTAINER_OF(link, JournalChunk, link);
    } else {
        chunk = mem_zalloc(sizeof *chunk);
        link_init(&chunk->link);
    }
    chunk->journal = journal;
    chunk->kind = kind;
    chunk->log.home = journal->home;
    chunk->log.source = &journal->source;
    chunk->log.refusals_seen = journal->refusals_seen;
    if (journal->scratch[kind] == NULL)
        journal->scratch[kind] = shared_new(first_bytes(journal, kind));
    chunk->log.bytes = journal->scratch[kind];
    journal->scratch[kind] = NULL;
    journal->open[kind] = chunk;
    return chunk;
}

/* Where one record is large others follow: then it is made as large as it may become at once, which
 * costs no memory before it is written to. */
static void grow(JournalChunk *chunk, size_t more) {
    size_t cap = shared_len(chunk->log.bytes) * 2;
    if (more >= LARGE_BYTES && cap < JOURNAL_CHUNK_BYTES_MAX && chunk->kind == CHUNK_LOG)
        cap = JOURNAL_CHUNK_BYTES_MAX;
    while (cap < chunk->log.len + more)
        cap *= 2;
    Shared *grown = shared_new(cap);
    memcpy(shared_bytes(grown), shared_bytes(chunk->log.bytes), chunk->log.len);
    shared_unref(chunk->log.bytes);
    chunk->log.bytes = grown;
}

static char *reserve(Journal *journal, ChunkKind kind, size_t bytes) {
    size_t max = kind == CHUNK_LOG ? JOURNAL_CHUNK_BYTES_MAX : JOURNAL_MEMORY_CHUNK_BYTES_MAX;
    JournalChunk *chunk = journal->open[kind];
    if (chunk && chunk->log.len + bytes > max) {
        hand_over(journal, kind);
        chunk = NULL;
    }
    if (chunk == NULL)
        chunk = open_chunk(journal, kind);
    if (chunk->log.len + bytes > shared_len(chunk->log.bytes))
        grow(chunk, bytes);
    return shared_bytes(chunk->log.bytes) + chunk->log.len;
}

static void push_ticket(Buf *tickets, Group *group, const Ticket *ticket, Status why) {
    size_t data_len = ticket ? ticket->data.len : 0;
    size_t bytes = sizeof(TicketHead) + ((data_len + 7) & ~(size_t)7);
    char *to = buf_reserve(tickets, bytes);
    TicketHead head = {
        .group = group,
        .pointer = ticket ? ticket->pointer : NULL,
        .data_len = (uint32_t)data_len,
        .kind = ticket ? ticket->kind : 0,
        .why = (uint8_t)why,
    };
    memcpy(to, &head, sizeof head);
    if (data_len)
        memcpy(to + sizeof head, ticket->data.ptr, data_len);
    tickets->len += bytes;
}

/* Why an entry cannot even be submitted. */
static Status refusal(const Journal *journal, const Group *group, const Record *draft,
                      bool is_small) {
    if (draft->subject.len > UINT16_MAX ||
        RECORD_HEADER_BYTES + draft->subject.len + draft->headers.len + draft->payload.len >
            RECORD_BYTES_MAX)
        return ERR_FULL;
    if (group->is_memory)
        return OK;
    const Log *log = journal->store->log;
    if (log_is_failed(log) || journal->is_refusing || journal->refused != 0)
        return ERR_IO;
    return log_is_full(log) && !is_small ? ERR_FULL : OK;
}

void journal_append(Journal *journal, Group *group, const Record *draft, const Ticket *ticket,
                    bool is_small) {
    ASSERT_HOME(journal);
    if (__builtin_expect(group->hold != NULL, 0)) {
        journal_keep_held(group, draft, ticket, is_small);
        return;
    }
    Record record = *draft;
    record.group = group->id;
    record.term = 0;
    ChunkKind kind = group->is_memory ? CHUNK_MEMORY : CHUNK_LOG;
    Status why = refusal(journal, group, draft, is_small);
    if (__builtin_expect(why != OK, 0)) {
        kind = CHUNK_REFUSED;
        record.index = 0;
        if (record_bytes(&record) > RECORD_BYTES_MAX || record.subject.len > UINT16_MAX)
            record.subject = record.headers = record.payload = (Slice){0};
    } else {
        record.index = ++group->index_last;
    }
    group->in_flight++;
    size_t bytes = record_bytes(&record);
    record_write(&record, reserve(journal, kind, bytes));
    JournalChunk *chunk = journal->open[kind];
    chunk->log.len += bytes;
    chunk->log.record_count++;
    push_ticket(&chunk->tickets, group, ticket, why);
    if (why == ERR_IO) {
        chunk->refused++;
        journal->refused++;
    }
}

/* --- handing over --- */

/* Chunks live long, in caches and as held messages: a buffer with much room left is cut, or, when
 * little is in it, copied to size and used again. */
static void trim(Journal *journal, JournalChunk *chunk) {
    LogChunk *log = &chunk->log;
    if (log->len * 4 >= shared_len(log->bytes) * 3)
        return;
    if (log->len >= HAND_OVER_BYTES) {
        log->bytes = shared_shrink(log->bytes, log->len);
        return;
    }
    Shared *exact = shared_new(log->len);
    memcpy(shared_bytes(exact), shared_bytes(log->bytes), log->len);
    if (journal->scratch[chunk->kind] == NULL && shared_len(log->bytes) <= HAND_OVER_BYTES)
        journal->scratch[chunk->kind] = log->bytes;
    else
        shared_unref(log->bytes);
    log->bytes = exact;
}

static void on_committed(Worker *home, LogChunk *log_chunk) {
    (void)home;
    JournalChunk *chunk = (JournalChunk *)log_chunk;
    chunk->journal->submitted--;
    if (chunk->is_void) { /* its entries were refused when the refusal before it came */
        ASSERT(log_chunk->status != OK);
        recycle(chunk);
        return;
    }
    if (log_chunk->status == OK)
        log_reader_keep(chunk->journal->reader, log_chunk);
    deliver(chunk);
}

static void hand_over(Journal *journal, ChunkKind kind) {
    JournalChunk *chunk = journal->open[kind];
    if (chunk == NULL)
        return;
    journal->open[kind] = NULL;
    journal->len_last[kind] = chunk->log.len;
    trim(journal, chunk);
    if (kind != CHUNK_LOG) {
        list_push_back(&journal->ready, &chunk->link);
        return;
    }
    list_push_back(&journal->in_flight, &chunk->link);
    journal->submitted++;
    chunk->log.done = on_committed;
    log_submit(journal->store->log, &chunk->log);
}

/* Writes the open chunk in this very turn, where the log takes that, and delivers it; else hands it
 * over. Returns the entries delivered. Only in the submit step: between the write and the delivery
 * no mail may be taken. */
static uint64_t write_or_hand_over(Journal *journal) {
    JournalChunk *chunk = journal->open[CHUNK_LOG];
    if (chunk == NULL)
        return 0;
    if (journal->submitted != 0 || !log_write_here(journal->store->log, &chunk->log)) {
        hand_over(journal, CHUNK_LOG);
        return 0;
    }
    journal->open[CHUNK_LOG] = NULL;
    journal->len_last[CHUNK_LOG] = chunk->log.len;
    trim(journal, chunk);
    uint64_t count = chunk->log.record_count;
    list_push_back(&journal->in_flight, &chunk->link);
    if (chunk->log.status == OK)
        log_reader_keep(journal->reader, &chunk->log);
    deliver(chunk);
    return count;
}

/* --- delivering --- */

/* Takes the next entry off chunk; false at its end. *out_head is where the ticket's head stands. */
static bool next_entry(const JournalChunk *chunk, size_t *record_at, size_t *ticket_at,
                       Record *out_record, TicketHead **out_head, Ticket *out_ticket) {
    const LogChunk *log = &chunk->log;
    if (*record_at >= log->len)
        return false;
    size_t used = 0;
    Slice rest = slice_from(shared_bytes(log->bytes) + *record_at, log->len - *record_at);
    Status status = record_parse_trusted(rest, out_record, &used);
    ASSERT(status == OK);
    TicketHead *head = (TicketHead *)(void *)(chunk->tickets.ptr + *ticket_at);
    *out_head = head;
    *out_ticket = (Ticket){head->kind, slice_from(head + 1, head->data_len), head->pointer};
    *record_at += used;
    *ticket_at += sizeof *head + ((head->data_len + (size_t)7) & ~(size_t)7);
    return true;
}

static void recycle(JournalChunk *chunk) {
    Journal *journal = chunk->journal;
    journal->refused -= chunk->refused;
    list_remove(&chunk->link);
    shared_unref(chunk->log.bytes);
    Buf tickets = chunk->tickets;
    buf_clear(&tickets);
    if (tickets.cap > HAND_OVER_BYTES)
        buf_done(&tickets);
    *chunk = (JournalChunk){.tickets = tickets};
    list_push_front(&journal->unused, &chunk->link);
}

/* The callbacks may append, and may remove groups, even the one that is called. why: of all entries
 * of a chunk for the log. */
static void deliver_entries(JournalChunk *chunk, Status why_all) {
    Record record;
    TicketHead *head;
    Ticket ticket;
    size_t at = chunk->record_at;
    for (; next_entry(chunk, &chunk->record_at, &chunk->ticket_at, &record, &head, &ticket);
         at = chunk->record_at) {
        Group *group = head->group;
        if (group == NULL)
            continue;
        group->in_flight--;
        Status why = chunk->kind == CHUNK_REFUSED ? (Status)head->why
                     : chunk->kind == CHUNK_LOG   ? why_all
                                                  : OK;
        if (why != OK) {
            group->ops->refused(group, &record, &ticket, why);
            continue;
        }
        group->index_applied = record.index;
        Place place = chunk->kind == CHUNK_LOG ? chunk->log.place + at : 0;
        group->ops->apply(group, &record, place, chunk->log.bytes, &ticket);
    }
}

static JournalChunk *first_untold(Journal *journal) {
    LIST_FOR_EACH(link, &journal->in_flight) {
        JournalChunk *chunk = CONTAINER_OF(link, JournalChunk, link);
        if (chunk->is_void && chunk->record_at < chunk->log.len)
            return chunk;
    }
    return NULL;
}

/* What was made before the refusal was known will be refused by the log: said now, so that the
 * groups know of all of it before they make anything new. */
static void deliver_refusal(JournalChunk *chunk) {
    Journal *journal = chunk->journal;
    Status why = chunk->log.status;
    journal->refusals_seen++;
    journal->is_refusing = true;
    hand_over(journal, CHUNK_LOG);
    LIST_FOR_EACH(link, &journal->in_flight) {
        JournalChunk *later = CONTAINER_OF(link, JournalChunk, link);
        later->is_void = later != chunk && later->kind == CHUNK_LOG;
    }
    deliver_entries(chunk, why);
    for (JournalChunk *later; (later = first_untold(journal)) != NULL;)
        deliver_entries(later, why);
    journal->is_refusing = false;
}

/* Takes chunk. */
static void deliver(JournalChunk *chunk) {
    Journal *journal = chunk->journal;
    if (chunk->kind == CHUNK_LOG && chunk->log.status != OK)
        deliver_refusal(chunk);
    else
        deliver_entries(chunk, OK);
    recycle(chunk);
    if (!list_is_empty(&journal->holds))
        journal_check_holds(journal);
}

static void refuse_all_of(JournalChunk *chunk, Group *group) {
    size_t record_at = chunk->record_at, ticket_at = chunk->ticket_at;
    Record record;
    TicketHead *head;
    Ticket ticket;
    while (next_entry(chunk, &record_at, &ticket_at, &record, &head, &ticket)) {
        if (head->group != group)
            continue;
        head->group = NULL;
        group->in_flight--;
        group->ops->refused(group, &record, &ticket, ERR_CLOSED);
    }
}

static void refuse_in_list(List *list, Group *group) {
    LIST_FOR_EACH(link, list)
    refuse_all_of(CONTAINER_OF(link, JournalChunk, link), group);
}

void journal_remove_group(Journal *journal, Group *group) {
    ASSERT_HOME(journal);
    list_remove(&group->link);
    if (journal->round)
        clean_round_forget(journal->round, group);
    if (group->hold)
        journal_drop_hold(group);
    if (group->in_flight == 0)
        return;
    /* What is open is closed first, so that callbacks which append do not change what we walk over.
     */
    for (int kind = 0; kind < CHUNK_KINDS; kind++)
        hand_over(journal, (ChunkKind)kind);
    refuse_in_list(&journal->in_flight, group);
    refuse_in_list(&journal->ready, group);
    ASSERT(group->in_flight == 0);
}

/* --- the submit step --- */

static JournalChunk *next_ready(Journal *journal) {
    if (list_is_empty(&journal->ready)) {
        hand_over(journal, CHUNK_REFUSED);
        hand_over(journal, CHUNK_MEMORY);
    }
    Link *link = list_pop_front(&journal->ready);
    return link ? CONTAINER_OF(link, JournalChunk, link) : NULL;
}

static void on_nudge_back(Worker *here, Mail *mail) {
    (void)here;
    CONTAINER_OF(mail, Journal, nudge)->is_nudge_out = false;
}

/* Its turn considers a checkpoint. */
static void on_nudged(Worker *here, Mail *mail) {
    Journal *journal = CONTAINER_OF(mail, Journal, nudge);
    mail->arrive = on_nudge_back;
    worker_post(here, journal->home, mail);
}

static void nudge_when_grown(Journal *journal) {
    Place head = log_head(journal->store->log);
    if (journal->is_nudge_out ||
        head - journal->nudged_at < checkpointer_step(journal->store->checkpointer))
        return;
    journal->nudged_at = head;
    journal->is_nudge_out = true;
    journal->nudge.arrive = on_nudged;
    worker_post(journal->home, journal->store->all[0], &journal->nudge);
}

static void on_turn(TurnHook *hook) {
    Journal *journal = CONTAINER_OF(hook, Journal, hook);
    uint64_t delivered = 0, count = 1;
    /* What is applied here may append again. */
    while (delivered < JOURNAL_ENTRIES_PER_TURN && count != 0) {
        JournalChunk *chunk = next_ready(journal);
        if (chunk == NULL) {
            count = write_or_hand_over(journal);
        } else {
            count = chunk->log.record_count;
            list_push_back(&journal->in_flight, &chunk->link);
            deliver(chunk);
        }
        delivered += count;
    }
    if (delivered >= JOURNAL_ENTRIES_PER_TURN)
        worker_ready(journal->home, &journal->more);
    hand_over(journal, CHUNK_LOG);
    if (journal->home->index == 0) {
        cleaner_consider(journal->store->cleaner);
        checkpointer_consider(journal->store->checkpointer);
    } else {
        nudge_when_grown(journal);
    }
}

static void on_more(Task *task) {
    (void)task; /* its turn has a submit step */
}
