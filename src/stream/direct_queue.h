/* DirectQueue: plain DIRECT.GETs of one turn (a key's value), answered together in it, so that what
 * they need comes from memory together. Private to api*.c. */
#pragma once

#include "stream/api_private.h"

enum { DIRECT_QUEUE_MAX = 64 };

typedef struct DirectGet {
    ApiPort *port;
    Slice subject, reply; /* in the turn's arena */
    size_t names_at;      /* of the stream's name, in subject */
} DirectGet;

typedef struct DirectQueue {
    Worker *home;
    Task task;
    unsigned count;
    DirectGet gets[DIRECT_QUEUE_MAX];
} DirectQueue;

DirectQueue *direct_queue_new(Worker *home);
/* NULL-safe. */
void direct_queue_free(DirectQueue *queue);

/* Nothing but a subject is asked for, and nobody wants to know the way of the request. */
bool direct_queue_takes(const Message *message, Slice names);
/* Copies. */
void direct_queue_add(DirectQueue *queue, ApiPort *port, const Message *message, Slice names);
/* Answers what is there. */
void direct_queue_run(DirectQueue *queue);
