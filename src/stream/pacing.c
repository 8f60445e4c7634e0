#include "stream/pacing.h"

#include "io/clock.h"

/* A burst is one message of the largest size; this when the stream sets none. */
enum { BURST_BYTES_DEFAULT = 1024 * 1024, BITS_PER_BYTE = 8 };

void pacing_free(Consumer *consumer) {
    if (consumer->pacing)
        consumer_retire(consumer, consumer->pacing);
    consumer->pacing = NULL;
}

void pacing_refresh(Consumer *consumer) {
    const ConsumerConfig *config = consumer_config(consumer);
    const Stream *stream = consumer_stream(consumer);
    if (config->rate_limit_bps == 0 && config->replay_policy != REPLAY_ORIGINAL) {
        pacing_free(consumer);
        return;
    }
    if (consumer->pacing == NULL)
        consumer->pacing = mem_zalloc(sizeof *consumer->pacing);
    Pacing *pacing = consumer->pacing;
    int64_t size_max = stream->config->max_msg_size;
    pacing->bytes_per_s = config->rate_limit_bps / BITS_PER_BYTE;
    if (config->rate_limit_bps && pacing->bytes_per_s == 0)
        pacing->bytes_per_s = 1;
    pacing->burst_bytes = size_max > 0 ? (uint64_t)size_max : BURST_BYTES_DEFAULT;
    pacing->tokens = (double)pacing->burst_bytes;
    pacing->filled_ns = consumer->home->now_ns;
    pacing->due_ns = 0;
    if (config->replay_policy == REPLAY_ORIGINAL && !consumer->is_started)
        pacing->replay_until = stream->state.last_seq;
    else if (config->replay_policy == REPLAY_ORIGINAL && pacing->replay_sent_ns == 0)
        pacing->replay_until = stream->state.last_seq;
}

static uint64_t rate_due(Pacing *pacing, uint64_t now_ns, size_t bytes) {
    double rate = (double)pacing->bytes_per_s;
    pacing->tokens += rate * (double)(now_ns - pacing->filled_ns) / NS_PER_S;
    pacing->filled_ns = now_ns;
    if (pacing->tokens > (double)pacing->burst_bytes)
        pacing->tokens = (double)pacing->burst_bytes;
    double need = (double)(bytes < pacing->burst_bytes ? bytes : pacing->burst_bytes);
    if (pacing->tokens >= need)
        return 0;
    return now_ns + 1 + (uint64_t)((need - pacing->tokens) / rate * NS_PER_S);
}

static uint64_t replay_due(const Pacing *pacing, const StoredMsg *msg) {
    if (pacing->replay_sent_ns == 0 || msg->seq > pacing->replay_until ||
        msg->time_ns <= pacing->replay_time_ns)
        return 0;
    return pacing->replay_sent_ns + (uint64_t)(msg->time_ns - pacing->replay_time_ns);
}

bool pacing_allows(Consumer *consumer, const StoredMsg *msg, size_t bytes, bool is_new) {
    Pacing *pacing = consumer->pacing;
    if (pacing == NULL)
        return true;
    uint64_t now_ns = consumer->home->now_ns;
    uint64_t due_ns = is_new && pacing->replay_until ? replay_due(pacing, msg) : 0;
    if (due_ns <= now_ns && pacing->bytes_per_s)
        due_ns = rate_due(pacing, now_ns, bytes);
    pacing->due_ns = due_ns > now_ns ? due_ns : 0;
    consumer_arm(consumer, pacing->due_ns);
    return pacing->due_ns == 0;
}

void pacing_sent(Consumer *consumer, const StoredMsg *msg, size_t bytes, bool is_new) {
    Pacing *pacing = consumer->pacing;
    if (pacing == NULL)
        return;
    if (pacing->bytes_per_s)
        pacing->tokens -= (double)bytes;
    if (is_new && pacing->replay_until) {
        pacing->replay_time_ns = msg->time_ns;
        pacing->replay_sent_ns = consumer->home->now_ns;
        if (msg->seq >= pacing->replay_until)
            pacing->replay_until = 0;
    }
}
