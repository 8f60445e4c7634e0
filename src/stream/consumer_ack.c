/* Acknowledgements: what they ask for, and what they do when they count. */
#include "base/log.h"
#include "io/clock.h"
#include "proto/json.h"
#include "proto/timefmt.h"
#include "stream/consumer.h"
#include "stream/pull.h"

/* Tokens of an ack subject behind the consumer's name. */
typedef struct AckTokens {
    uint64_t deliveries, sseq, dseq;
} AckTokens;

typedef enum AckVerb {
    VERB_ACK,
    VERB_NAK,
    VERB_PROGRESS,
    VERB_TERM,
    VERB_NEXT,
    VERB_UNKNOWN
} AckVerb;

int64_t consumer_ack_wait(const Consumer *consumer, uint32_t deliveries) {
    const ConsumerConfig *config = consumer_config(consumer);
    if (consumer->ack_policy == ACK_FLOW_CONTROL)
        return 0;
    if (config->backoff_count == 0)
        return config->ack_wait_ns;
    size_t nth = deliveries > 0 ? deliveries - 1 : 0;
    return config->backoff_ns[nth < config->backoff_count ? nth : config->backoff_count - 1];
}

static PendingEntry *find_pending(const Consumer *consumer, uint64_t sseq) {
    return consumer->acks ? pending_find(&consumer->acks->pending, sseq) : NULL;
}

GivenUp *consumer_find_given_up(const Consumer *consumer, uint64_t sseq) {
    size_t low = 0, high = consumer->acks ? consumer->acks->given_up.len : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (consumer->acks->given_up.at[middle].sseq < sseq)
            low = middle + 1;
        else
            high = middle;
    }
    if (consumer->acks == NULL || low == consumer->acks->given_up.len ||
        consumer->acks->given_up.at[low].sseq != sseq)
        return NULL;
    return &consumer->acks->given_up.at[low];
}

static void unqueue(Acks *acks, PendingEntry *entry) {
    if (entry->flags & PENDING_QUEUED)
        acks->queued--;
    entry->flags &= ~(uint32_t)PENDING_QUEUED;
}

void consumer_forget(Consumer *consumer, PendingEntry *entry) {
    Acks *acks = consumer->acks;
    unqueue(acks, entry);
    if (entry->flags & PENDING_ACKING)
        acks->acking--;
    if (entry->deliveries > 1)
        acks->redelivered--;
    pending_remove(&acks->pending, entry);
}

void consumer_queue(Consumer *consumer, PendingEntry *entry) {
    Acks *acks = consumer->acks;
    uint32_t delayed = entry->flags & PENDING_DELAYED; /* after a restart it is due at once */
    pending_set_due(&acks->pending, entry, 0);
    entry->flags |= delayed;
    if (entry->flags & (PENDING_QUEUED | PENDING_ACKING))
        return;
    entry->flags |= PENDING_QUEUED;
    acks->queued++;
    seq_queue_push(&acks->queue, entry->sseq);
}

static void insert_given_up(Acks *acks, GivenUp given_up) {
    vec_push(&acks->given_up, given_up);
    for (size_t i = acks->given_up.len - 1; i > 0 && acks->given_up.at[i - 1].sseq > given_up.sseq;
         i--) {
        acks->given_up.at[i] = acks->given_up.at[i - 1];
        acks->given_up.at[i - 1] = given_up;
    }
}

void consumer_apply_given_up(Consumer *consumer, uint64_t sseq) {
    consumer_will_change(consumer);
    PendingEntry *entry = find_pending(consumer, sseq);
    if (entry == NULL)
        return;
    GivenUp given_up = {entry->sseq, entry->dseq};
    consumer_forget(consumer, entry);
    insert_given_up(consumer->acks, given_up);
}

void consumer_give_up(Consumer *consumer, PendingEntry *entry) {
    uint64_t sseq = entry->sseq, deliveries = entry->deliveries;
    consumer_apply_given_up(consumer, sseq);
    consumer_log_op(consumer, DELTA_GIVEN_UP, 0, sseq, 0);
    consumer_advise_max_deliver(consumer, sseq, deliveries);
}

/* The floor after the message of dseq, sseq is no longer pending. It rises when that was the next
 * one, up to the one before the lowest pending; with nothing pending, to what was delivered. */
static void move_floor(Consumer *consumer, uint64_t dseq, uint64_t sseq) {
    if (consumer_pending_count(consumer) == 0) {
        consumer->floor = consumer->delivered;
        return;
    }
    if (dseq != consumer->floor.dseq + 1)
        return;
    const PendingEntry *next = pending_above(&consumer->acks->pending, sseq);
    consumer->floor = (SeqPair){dseq, sseq};
    if (next && next->dseq > 0)
        consumer->floor = (SeqPair){next->dseq - 1, next->sseq - 1};
}

/* Takes it out of what is pending or given up. */
static bool take_out(Consumer *consumer, uint64_t sseq, uint64_t *out_dseq) {
    PendingEntry *entry = find_pending(consumer, sseq);
    if (entry) {
        *out_dseq = entry->dseq;
        consumer_forget(consumer, entry);
        return true;
    }
    GivenUp *given_up = consumer_find_given_up(consumer, sseq);
    if (given_up == NULL)
        return false;
    *out_dseq = given_up->dseq;
    vec_remove_ordered(&consumer->acks->given_up, (size_t)(given_up - consumer->acks->given_up.at));
    return true;
}

bool consumer_drop_removed(Consumer *consumer, uint64_t sseq) {
    consumer_will_change(consumer);
    uint64_t dseq;
    if (!take_out(consumer, sseq, &dseq))
        return false;
    if (consumer->is_started)
        consumer->acked_at_ns = consumer->set->wall_ns;
    if (consumer->ack_policy == ACK_EXPLICIT || consumer_pending_count(consumer) == 0)
        move_floor(consumer, dseq, sseq);
    return true;
}

static void consumed(Consumer *consumer, uint64_t sseq) {
    Stream *stream = consumer_stream(consumer);
    if (stream->config->retention != RETENTION_LIMITS)
        stream_on_consumed(stream, consumer, sseq);
}

void consumer_apply_ack(Consumer *consumer, uint64_t dseq, uint64_t sseq) {
    uint64_t first_dseq;
    if (!take_out(consumer, sseq, &first_dseq))
        return;
    consumer->acked_at_ns = consumer->set->wall_ns;
    move_floor(consumer, first_dseq, sseq);
    consumed(consumer, sseq);
}

void consumer_apply_ack_all(Consumer *consumer, uint64_t dseq, uint64_t sseq) {
    if (dseq <= consumer->floor.dseq || sseq <= consumer->floor.sseq)
        return;
    consumer->floor = (SeqPair){dseq, sseq};
    consumer->acked_at_ns = consumer->set->wall_ns;
    Acks *acks = consumer->acks;
    if (acks == NULL)
        return;
    for (PendingEntry *entry;
         (entry = pending_above(&acks->pending, 0)) != NULL && entry->sseq <= sseq;) {
        uint64_t acked = entry->sseq;
        consumer_forget(consumer, entry);
        consumed(consumer, acked);
    }
    while (acks->given_up.len > 0 && acks->given_up.at[0].sseq <= sseq) {
        uint64_t acked = acks->given_up.at[0].sseq;
        vec_remove_ordered(&acks->given_up, 0);
        consumed(consumer, acked);
    }
}

static void flag_acking(Consumer *consumer, PendingEntry *entry) {
    Acks *acks = consumer->acks;
    if (entry->flags & PENDING_ACKING)
        return;
    unqueue(acks, entry);
    pending_set_due(&acks->pending, entry, 0);
    entry->flags |= PENDING_ACKING;
    acks->acking++;
}

static void unflag_acking(Consumer *consumer, PendingEntry *entry) {
    Acks *acks = consumer->acks;
    if (!(entry->flags & PENDING_ACKING))
        return;
    entry->flags &= ~(uint32_t)PENDING_ACKING;
    acks->acking--;
    int64_t wait_ns = consumer_ack_wait(consumer, entry->deliveries);
    pending_set_due(&acks->pending, entry,
                    wait_ns > 0 ? consumer->home->now_ns + (uint64_t)wait_ns : 0);
    consumer_arm(consumer, entry->due_ns);
}

void consumer_ack_refused(Consumer *consumer, DeltaKind kind, uint64_t sseq) {
    if (kind == DELTA_ACK) {
        PendingEntry *entry = find_pending(consumer, sseq);
        if (entry)
            unflag_acking(consumer, entry);
    } else if (kind == DELTA_ACK_ALL && consumer->acks) {
        Acks *acks = consumer->acks;
        for (PendingEntry *entry = pending_above(&acks->pending, 0); entry && entry->sseq <= sseq;
             entry = pending_above(&acks->pending, entry->sseq))
            unflag_acking(consumer, entry);
        acks->acking_all = 0;
    }
}

/* ack_time: since the delivery that is acknowledged, as far as its deadline tells. */
static void sample(Consumer *consumer, const PendingEntry *entry, const AckTokens *tokens) {
    uint8_t percent = consumer->options->sample_percent;
    if (entry == NULL || percent == 0 ||
        (percent < 100 && rand_below(&consumer->home->rand, 100) >= percent))
        return;
    int64_t wait_ns = consumer_ack_wait(consumer, entry->deliveries);
    int64_t ack_time_ns =
        entry->due_ns ? (int64_t)(consumer->home->now_ns - entry->due_ns) + wait_ns : wait_ns;
    consumer_advise_ack(consumer, tokens->dseq, tokens->sseq, tokens->deliveries,
                        ack_time_ns > 0 ? ack_time_ns : 0);
}

static void ack_explicit(Consumer *consumer, const AckTokens *tokens, Slice reply) {
    PendingEntry *entry = find_pending(consumer, tokens->sseq);
    if (entry == NULL && consumer_find_given_up(consumer, tokens->sseq) == NULL) {
        consumer_send_empty(consumer, reply); /* acknowledged before */
        return;
    }
    if (!consumer->is_logged) {
        consumer_apply_ack(consumer, tokens->dseq, tokens->sseq);
        consumer_send_empty(consumer, reply);
        return;
    }
    if (entry)
        flag_acking(consumer, entry);
    consumer_log_op(consumer, DELTA_ACK, tokens->dseq, tokens->sseq, 0);
    consumer_log_reply(consumer, reply);
}

static void ack_all(Consumer *consumer, uint64_t dseq, uint64_t sseq, Slice reply) {
    if (dseq <= consumer->floor.dseq || sseq <= consumer->floor.sseq) {
        consumer_send_empty(consumer, reply);
        return;
    }
    if (!consumer->is_logged) {
        consumer_apply_ack_all(consumer, dseq, sseq);
        consumer_send_empty(consumer, reply);
        return;
    }
    Acks *acks = consumer_need_acks(consumer);
    for (PendingEntry *entry = pending_above(&acks->pending, acks->acking_all);
         entry && entry->sseq <= sseq; entry = pending_above(&acks->pending, entry->sseq))
        flag_acking(consumer, entry);
    if (sseq > acks->acking_all)
        acks->acking_all = sseq;
    consumer_log_op(consumer, DELTA_ACK_ALL, dseq, sseq, 0);
    consumer_log_reply(consumer, reply);
}

void consumer_ack_up_to(Consumer *consumer, uint64_t dseq, uint64_t sseq, Slice reply) {
    if (sseq <= consumer->delivered.sseq && dseq <= consumer->delivered.dseq)
        ack_all(consumer, dseq, sseq, reply);
}

static void acknowledge(Consumer *consumer, const AckTokens *tokens, Slice reply) {
    if (consumer->ack_policy == ACK_ALL)
        ack_all(consumer, tokens->dseq, tokens->sseq, reply);
    else
        ack_explicit(consumer, tokens, reply);
}

typedef struct NakOptions {
    int64_t delay_ns;
} NakOptions;
static const JsonField nak_fields[] = {JSON_ROW(NakOptions, delay_ns, "delay", JSON_DURATION)};
static const JsonSchema nak_schema = JSON_SCHEMA("ConsumerNakOptions", nak_fields);

/* 0: at once, also for what does not parse. */
static int64_t nak_delay(const Consumer *consumer, Slice text) {
    NakOptions options = {0};
    text = slice_trim(text);
    if (text.len == 0)
        return 0;
    Status status = text.ptr[0] == '{' ? json_read(text, &nak_schema, JSON_LOOSE,
                                                   consumer->home->turn, &options, NULL)
                                       : duration_parse(text, &options.delay_ns);
    return status == OK && options.delay_ns > 0 ? options.delay_ns : 0;
}

static void nak(Consumer *consumer, const AckTokens *tokens, Slice text) {
    PendingEntry *entry = find_pending(consumer, tokens->sseq);
    if (entry == NULL || entry->flags & PENDING_ACKING)
        return;
    consumer_advise_nak(consumer, tokens->dseq, tokens->sseq, tokens->deliveries);
    int64_t delay_ns = nak_delay(consumer, text);
    if (delay_ns > 0) {
        unqueue(consumer->acks, entry);
        pending_set_due(&consumer->acks->pending, entry,
                        consumer->home->now_ns + (uint64_t)delay_ns);
        entry->flags |= PENDING_DELAYED;
        consumer_arm(consumer, entry->due_ns);
        consumer_log_op(consumer, DELTA_DELAY, tokens->dseq, tokens->sseq,
                        (uint64_t)clock_wall_ns() + (uint64_t)delay_ns);
    } else {
        consumer_queue(consumer, entry);
    }
}

static void progress(Consumer *consumer, const AckTokens *tokens) {
    PendingEntry *entry = find_pending(consumer, tokens->sseq);
    if (entry == NULL || entry->flags & (PENDING_ACKING | PENDING_QUEUED))
        return;
    int64_t wait_ns = consumer_ack_wait(consumer, entry->deliveries);
    pending_set_due(&consumer->acks->pending, entry,
                    wait_ns > 0 ? consumer->home->now_ns + (uint64_t)wait_ns : 0);
    consumer_arm(consumer, entry->due_ns);
}

static void terminate(Consumer *consumer, const AckTokens *tokens, Slice reason, Slice reply) {
    const PendingEntry *entry = find_pending(consumer, tokens->sseq);
    if (entry && !(entry->flags & PENDING_ACKING))
        consumer_advise_terminated(consumer, tokens->dseq, tokens->sseq, tokens->deliveries,
                                   slice_trim(reason));
    acknowledge(consumer, tokens, reply);
}

static AckVerb verb_of(Slice body, Slice *out_rest) {
    static const struct {
        Slice word;
        bool is_exact;
        AckVerb verb;
    } verbs[] = {
        {LIT(""), true, VERB_ACK},           {LIT("+ACK"), true, VERB_ACK},
        {LIT("+OK"), true, VERB_ACK},        {LIT("-NAK"), false, VERB_NAK},
        {LIT("+WPI"), false, VERB_PROGRESS}, {LIT("+TERM"), false, VERB_TERM},
        {LIT("+NXT"), false, VERB_NEXT},
    };
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        bool is_it = verbs[i].is_exact ? slice_equal(body, verbs[i].word)
                                       : slice_starts_with(body, verbs[i].word);
        if (!is_it)
            continue;
        *out_rest = slice_from_at(body, verbs[i].word.len);
        return verbs[i].verb;
    }
    return VERB_UNKNOWN;
}

static void act(Consumer *consumer, const AckTokens *tokens, const Message *message) {
    Slice rest, reply = message->reply;
    AckVerb verb = verb_of(message->payload, &rest);
    bool is_final = verb == VERB_ACK || verb == VERB_TERM;
    /* The original leaves sequence 0 unanswered, except to explicit acks. */
    if (tokens->sseq == 0 && (!is_final || consumer->ack_policy == ACK_ALL))
        reply = (Slice){0};
    switch (verb) {
    case VERB_ACK:
        sample(consumer, find_pending(consumer, tokens->sseq), tokens);
        acknowledge(consumer, tokens, reply);
        return;
    case VERB_TERM:
        terminate(consumer, tokens, rest, reply);
        return;
    case VERB_NEXT:
        sample(consumer, find_pending(consumer, tokens->sseq), tokens);
        acknowledge(consumer, tokens, (Slice){0});
        if (message->reply.len)
            pull_on_request(consumer, message->reply, rest);
        return;
    case VERB_NAK:
        nak(consumer, tokens, rest);
        break;
    case VERB_PROGRESS:
        progress(consumer, tokens);
        break;
    case VERB_UNKNOWN:
        break;
    }
    consumer_send_empty(consumer, reply);
}

/* What was not delivered, or is no number: nothing changes. Acks are not answered then, except by
 * consumers with flow control. */
static void act_beyond(Consumer *consumer, const Message *message) {
    Slice rest;
    switch (verb_of(message->payload, &rest)) {
    case VERB_NEXT:
        if (message->reply.len)
            pull_on_request(consumer, message->reply, rest);
        return;
    case VERB_ACK:
    case VERB_TERM:
        if (!consumer_has_flow_control(consumer))
            return;
        break;
    default:
        break;
    }
    consumer_send_empty(consumer, message->reply);
}

/* <deliveries>.<sseq>.<dseq>.<time>.<pending>: OK; ERR_NOT_FOUND: another number of tokens;
 * ERR_SYNTAX: not numbers. */
static Status parse_tokens(Slice text, AckTokens *out_tokens) {
    enum { TOKENS = 5 };
    uint64_t numbers[TOKENS];
    Slice token;
    size_t n = 0;
    bool is_bad = false;
    while (slice_cut(&text, '.', &token)) {
        if (n == TOKENS)
            return ERR_NOT_FOUND;
        is_bad |= slice_parse_u64(token, &numbers[n++]) != OK;
    }
    if (n != TOKENS)
        return ERR_NOT_FOUND;
    if (is_bad)
        return ERR_SYNTAX;
    *out_tokens = (AckTokens){.deliveries = numbers[0], .sseq = numbers[1], .dseq = numbers[2]};
    return OK;
}

bool consumer_on_ack(Consumer *consumer, Slice tokens, const Message *message) {
    ASSERT_HOME(consumer);
    AckTokens parsed;
    if (!consumer_takes_acks(consumer))
        return false;
    Status status = parse_tokens(tokens, &parsed);
    if (status == ERR_NOT_FOUND)
        return false;
    if (consumer->is_gone)
        return true;
    if (status != OK || parsed.sseq > consumer->delivered.sseq) {
        act_beyond(consumer, message);
        consumer_pump(consumer);
        return true;
    }
    if (!consumer->is_logged) /* else it acts when it is applied */
        consumer_set_note_time(consumer->set);
    act(consumer, &parsed, message);
    consumer_pump(consumer);
    return true;
}
