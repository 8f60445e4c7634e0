/* Measures what a match costs, and the memory of a subscription. Not a test: prints a table. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "bus/bus.h"
#include "io/clock.h"

static uint64_t received;

static void on_deliver(Port *port, Sub *sub, const Message *message) {
    (void)port;
    (void)sub;
    (void)message;
    received++;
}

static const PortOps ops = {.kind = PORT_SYSTEM, .deliver = on_deliver};

typedef struct Bench {
    Worker **all;
    Bus *bus;
    Account *account;
    Port port;
} Bench;

static Bench *bench_new(void) {
    static const Slice names[] = {{"$G", 2}, {"$SYS", 4}};
    Bench *bench = mem_zalloc(sizeof *bench);
    if (workers_new(1, &bench->all) != OK)
        abort();
    bench->bus = bus_new(bench->all[0], names, 2);
    bench->account = bus_account(bench->bus, 0);
    bench->port = (Port){.ops = &ops, .home = bench->all[0]};
    return bench;
}

static void bench_free(Bench *bench) {
    bus_free(bench->bus);
    workers_free(bench->all);
    mem_free(bench);
}

static void add(Bench *bench, Slice subject) {
    static unsigned sid;
    char text[16];
    int len = snprintf(text, sizeof text, "%u", ++sid);
    (void)sub_add(bench->account, &bench->port, subject, (Slice){0}, slice_from(text, (size_t)len),
                  false);
}

/* The i-th of n subjects, in an order that caches cannot guess. */
static Slice subject_of(char *out, const char *form, size_t i, size_t n) {
    return slice_from(out, (size_t)snprintf(out, 80, form, (unsigned)(i * 2654435761u % n)));
}

static void run(Bench *bench, const char *what, size_t subs, const char *form, size_t distinct) {
    enum { TEXTS = 1 << 16, ROUNDS = 1 << 21 };
    char(*texts)[80] = mem_alloc((size_t)TEXTS * 80);
    Slice *subjects = mem_alloc(TEXTS * sizeof *subjects);
    for (size_t i = 0; i < TEXTS; i++)
        subjects[i] = subject_of(texts[i], form, i % distinct, distinct);
    for (int warm = 0; warm < 2; warm++) {
        received = 0;
        uint64_t begin = clock_mono_ns();
        for (size_t i = 0; i < ROUNDS; i++) {
            Message message = {.subject = subjects[i % TEXTS]};
            (void)bus_publish(bench->account, message.subject, &message, NULL, 0);
        }
        double ns = (double)(clock_mono_ns() - begin) / ROUNDS;
        if (warm)
            printf("%-44s %8zu subs %7.1f ns  %.2f received\n", what, subs, ns,
                   (double)received / ROUNDS);
    }
    mem_free(texts);
    mem_free(subjects);
}

/* What each message of a stream asks for once: its ack, a key, the answer to a request. */
static void run_once_only(void) {
    Bench *bench = bench_new();
    add(bench, LIT("$JS.API.>"));
    add(bench, LIT("$JS.ACK.>"));
    add(bench, LIT("$JS.FC.>"));
    add(bench, LIT("$KV.bucket.>"));
    add(bench, LIT("_INBOX.abcdefghijklmno.*"));
    run(bench, "one-time acks", 5, "$JS.ACK.KV_bucket.consumer.1.%07u.17.1764000000000000000.0",
        1000000);
    run(bench, "keys of a bucket", 5, "$KV.bucket.some.key.%07u", 1000000);
    run(bench, "direct gets of a bucket", 5, "$JS.API.DIRECT.GET.KV_bucket.$KV.bucket.key.%07u",
        1000000);
    run(bench, "one-time answers", 5, "_INBOX.abcdefghijklmno.%07u", 1000000);
    bench_free(bench);
}

int main(void) {
    run_once_only();
    static const size_t counts[] = {1, 1000, 1000000};
    for (size_t c = 0; c < 3; c++) {
        size_t n = counts[c];
        char text[80];
        Bench *bench = bench_new();
        size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
        uint64_t begin = clock_mono_ns();
        for (size_t i = 0; i < n; i++)
            add(bench, subject_of(text, "orders.eu.%07u", i, n));
        double add_ns = (double)(clock_mono_ns() - begin) / (double)n;
        size_t after = mallinfo2().uordblks + mallinfo2().hblkhd;
        if (n > 1000)
            printf("%zu literal subscriptions: %.1f bytes each, %.0f ns to add\n", n,
                   (double)(after - before) / (double)n, add_ns);
        run(bench, "literal, account without wildcards, one", n, "orders.eu.%07u", 1);
        run(bench, "literal, account without wildcards, many", n, "orders.eu.%07u", n);

        Sub *wild = sub_add(bench->account, &bench->port, LIT("metrics.*.cpu"), (Slice){0},
                            LIT("x"), false);
        run(bench, "literal, cached, one", n, "orders.eu.%07u", 1);
        run(bench, "literal, cached or not, many", n, "orders.eu.%07u", n);
        run(bench, "wildcard, cached", n, "metrics.a.cpu", 1);
        run(bench, "nobody, cached", n, "nobody.%u", 1);
        sub_remove(wild);
        bench_free(bench);

        bench = bench_new();
        before = mallinfo2().uordblks + mallinfo2().hblkhd;
        for (size_t i = 0; i < n; i++)
            add(bench, subject_of(text, "_INBOX.abcdefghijklmno%07u.*", i, n));
        after = mallinfo2().uordblks + mallinfo2().hblkhd;
        if (n > 1000)
            printf("%zu inbox wildcards: %.1f bytes each\n", n,
                   (double)(after - before) / (double)n);
        char form[64]; /* each reply is asked for once in 65536 publishes */
        (void)snprintf(form, sizeof form, "_INBOX.abcdefghijklmno%07u.%%07u", 0u);
        run(bench, "one-time inbox replies to one client", n, form, 1000000);
        run(bench, "one-time inbox replies to many clients", n,
            "_INBOX.abcdefghijklmno%07u.Xy7Gh2aa", n);
        bench_free(bench);
    }
    return 0;
}
