#include "bus/trace.h"

#include "base/mem.h"
#include "io/clock.h"
#include "proto/json.h"
#include "proto/timefmt.h"

typedef struct Part {
    Trace trace; /* first */
    Mail mail;
    Trace *whole;
    unsigned whole_worker;
} Part;

void trace_init(Trace *trace, Worker *home, bool is_only, void (*finish)(Trace *trace)) {
    *trace = (Trace){.home = home, .is_only = is_only, .holds = 1, .finish = finish};
}

void trace_release(Trace *trace) {
    ASSERT_HOME(trace);
    if (--trace->holds == 0)
        trace->finish(trace);
}

Buf *trace_event(Trace *trace, const char *type) {
    Buf *out = &trace->events;
    buf_printf(out, ",{\"type\":\"%s\",\"ts\":\"", type);
    time_write(out, clock_wall_ns());
    buf_append_char(out, '"');
    return out;
}

static void append_text(Buf *out, const char *name, Slice text) {
    buf_printf(out, ",\"%s\":", name);
    json_write_string(out, text);
}

/* In the original a consumer or a stream answers, not the service of the system account. */
static bool is_served_here(Slice subject) {
    return slice_starts_with(subject, LIT("$JS.API.CONSUMER.MSG.NEXT.")) ||
           slice_starts_with(subject, LIT("$JS.API.DIRECT.GET.")) ||
           !slice_starts_with(subject, LIT("$JS.API."));
}

bool trace_port(Trace *trace, const Sub *sub, const Message *message, const char *error) {
    const PortOps *ops = sub->port->ops;
    Buf *out;
    switch (ops->kind) {
    case PORT_STREAM: /* says what becomes of it, also when it is only asked */
        return true;
    case PORT_API:
        if (is_served_here(message->subject))
            break;
        out = trace_event(trace, "si");
        append_text(out, "acc", LIT("$SYS"));
        append_text(out, "from", message->subject);
        append_text(out, "to", message->subject);
        buf_append_char(out, '}');
        break;
    case PORT_CLIENT:
        out = trace_event(trace, "eg");
        if (ops->describe)
            ops->describe(sub->port, out);
        append_text(out, "sub", sub_subject(sub));
        if (sub->queue_len)
            append_text(out, "queue", sub_queue(sub));
        if (error)
            append_text(out, "error", slice_of_text(error));
        buf_append_char(out, '}');
        break;
    default:
        break;
    }
    return !trace->is_only;
}

static void on_back(Worker *here, Mail *mail) {
    Part *part = CONTAINER_OF(mail, Part, mail);
    (void)here;
    buf_append(&part->whole->events, buf_slice(&part->trace.events));
    part->whole->is_silent |= part->trace.is_silent;
    trace_release(part->whole);
    buf_done(&part->trace.events);
    mem_free(part);
}

static void send_back(Trace *trace) {
    Part *part = CONTAINER_OF(trace, Part, trace);
    part->mail.arrive = on_back;
    worker_post(trace->home, trace->home->all[part->whole_worker], &part->mail);
}

Trace *trace_part_new(Worker *here, Trace *whole, unsigned whole_worker, bool is_only) {
    Part *part = mem_zalloc(sizeof *part);
    trace_init(&part->trace, here, is_only, send_back);
    part->whole = whole;
    part->whole_worker = whole_worker;
    return &part->trace;
}
