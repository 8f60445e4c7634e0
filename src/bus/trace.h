/* Trace: what becomes of one message that asked for it (Nats-Trace-Dest). Its home is the worker it
 * came in on; where it goes on to other workers a part of the trace is kept there and mailed back.
 * Whoever still has something to say holds it; when nobody does, it is finished. */
#pragma once

#include "bus/bus.h"

struct Trace {
    Worker *home;
    bool is_only;   /* Nats-Trace-Only: told where it would go, not delivered */
    bool is_silent; /* in the end nothing is told: a part of a batch that came to nothing yet */
    uint32_t holds;
    Buf events;                   /* JSON objects, a comma in front of each */
    void (*finish)(Trace *trace); /* takes it */
};

/* holds is 1. Embedded: the owner calls buf_done(&trace->events). */
void trace_init(Trace *trace, Worker *home, bool is_only, void (*finish)(Trace *trace));
static inline void trace_hold(Trace *trace) {
    trace->holds++;
}
void trace_release(Trace *trace);

/* An event {"type":<type>,"ts":<now> is begun; the caller appends members and the brace. */
Buf *trace_event(Trace *trace, const char *type);

/* A port takes the message: notes it; false: it must not be delivered. error NULL: it may be. */
bool trace_port(Trace *trace, const Sub *sub, const Message *message, const char *error);

/* For the exchange. On the worker of trace: it is mailed to another one. There: a part of it, and
 * its way back when it is released. */
Trace *trace_part_new(Worker *here, Trace *whole, unsigned whole_worker, bool is_only);
