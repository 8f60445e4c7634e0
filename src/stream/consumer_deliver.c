#include "stream/consumer.h"

#include <assert.h>

#include "base/limits.h"
#include "proto/headers.h"

enum { DECIMAL_MAX = 20 };

static_assert(sizeof((Delivery){0}.ack_text) > 8 + 2 * LIMIT_NAME_BYTES + 2 + 5 * (DECIMAL_MAX + 1),
              "every ack subject fits");

static char *put_number(char *to, uint64_t number, char after) {
    to += u64_to_decimal(number, to);
    *to++ = after;
    return to;
}

/* A message goes to many consumers, each with the same time. */
static char *put_time(char *to, ConsumerSet *set, int64_t time_ns) {
    TimeText *text = &set->time_text;
    if (text->time_ns != time_ns || text->len == 0) {
        text->time_ns = time_ns;
        text->len = (uint8_t)(put_number(text->digits, (uint64_t)time_ns, '.') - text->digits);
    }
    memcpy(to, text->digits,
           sizeof text->digits); /* of constant size; what is too much is overwritten */
    return to + text->len;
}

/* $JS.ACK.<stream>.<consumer>.<deliveries>.<sseq>.<dseq>.<time ns>.<pending> */
static void write_ack_subject(Delivery *delivery, const Consumer *consumer) {
    Slice prefix = consumer_ack_prefix(consumer);
    char *to = delivery->ack_text;
    memcpy(to, prefix.ptr, prefix.len);
    to += prefix.len;
    to = put_number(to, delivery->deliveries, '.');
    to = put_number(to, delivery->msg->seq, '.');
    to = put_number(to, delivery->dseq, '.');
    to = put_time(to, consumer->set, delivery->msg->time_ns);
    to += u64_to_decimal(delivery->num_pending, to);
    delivery->ack_subject = slice_from(delivery->ack_text, (size_t)(to - delivery->ack_text));
}

/* The block with one more line, in the turn arena. */
static Slice with_line(Worker *home, Slice block, Slice name, Slice value) {
    static const Slice first_line = LIT("NATS/1.0\r\n"), end = LIT("\r\n");
    Slice open = block.len > end.len ? slice_first(block, block.len - end.len) : first_line;
    size_t len = open.len + name.len + 2 + value.len + 2 * end.len;
    char *text = arena_alloc(home->turn, len), *to = text;
    memcpy(to, open.ptr, open.len);
    to += open.len;
    memcpy(to, name.ptr, name.len);
    to += name.len;
    *to++ = ':';
    *to++ = ' ';
    if (value.len)
        memcpy(to, value.ptr, value.len);
    memcpy(to + value.len, "\r\n\r\n", 2 * end.len);
    return slice_from(text, len);
}

void delivery_prepare(Delivery *delivery, const Consumer *consumer, const StoredMsg *msg,
                      uint32_t deliveries, uint64_t num_pending) {
    delivery->msg = msg;
    delivery->deliveries = deliveries;
    delivery->num_pending = num_pending;
    delivery->dseq = consumer->delivered.dseq + 1;
    delivery->headers = msg->headers;
    delivery->payload = msg->payload;
    if (consumer_config(consumer)->headers_only) {
        char digits[DECIMAL_MAX];
        Slice size = slice_from(digits, u64_to_decimal(msg->payload.len, digits));
        delivery->headers = with_line(consumer->home, msg->headers, LIT("Nats-Msg-Size"), size);
        delivery->payload = (Slice){0};
    }
    write_ack_subject(delivery, consumer);
    delivery->bytes = msg->subject.len + delivery->ack_subject.len + delivery->headers.len +
                      delivery->payload.len;
}

void delivery_send(const Delivery *delivery, const Consumer *consumer, Slice to, const Slice *pin) {
    Message message = {
        .subject = delivery->msg->subject,
        .reply = delivery->ack_subject,
        .headers = delivery->headers,
        .payload = delivery->payload,
        .hold = delivery->msg->hold,
    };
    if (pin)
        message.headers = with_line(consumer->home, message.headers, LIT("Nats-Pin-Id"), *pin);
    if (message.headers.ptr != delivery->msg->headers.ptr) /* not in hold */
        message.hold = NULL;
    if (to.len)
        (void)bus_publish(consumer_stream(consumer)->account, to, &message, NULL, BUS_NO_MAPPINGS);
}

void consumer_send_status(const Consumer *consumer, Slice to, Slice reply, Slice status,
                          Slice extra) {
    static const Slice start = LIT("NATS/1.0 ");
    if (to.len == 0)
        return;
    size_t len = start.len + status.len + 2 + extra.len + 2;
    char *text = arena_alloc(consumer->home->turn, len), *at = text;
    memcpy(at, start.ptr, start.len);
    at += start.len;
    memcpy(at, status.ptr, status.len);
    at += status.len;
    memcpy(at, "\r\n", 2);
    at += 2;
    if (extra.len)
        memcpy(at, extra.ptr, extra.len);
    memcpy(at + extra.len, "\r\n", 2);
    Message message = {.subject = to, .reply = reply, .headers = slice_from(text, len)};
    (void)bus_publish(consumer_stream(consumer)->account, to, &message, NULL, BUS_NO_MAPPINGS);
}

void consumer_send_empty(const Consumer *consumer, Slice to) {
    Message message = {.subject = to};
    if (to.len)
        (void)bus_publish(consumer_stream(consumer)->account, to, &message, NULL, BUS_NO_MAPPINGS);
}

void consumer_heartbeat_lines(const Consumer *consumer, Buf *out) {
    uint64_t last_seq = consumer_stream(consumer)->state.last_seq;
    uint64_t sseq = consumer->delivered.sseq;
    if (consumer->num_pending == 0 && last_seq > sseq) /* nothing up to the end concerns it */
        sseq = last_seq;
    header_append_u64(out, LIT("Nats-Last-Consumer"), consumer->delivered.dseq);
    header_append_u64(out, LIT("Nats-Last-Stream"), sseq);
}
