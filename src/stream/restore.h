/* Restore: a stream made from an archive (proto/archive.h) whose pieces a client publishes.
 *
 * The stream is hidden: it has a group, entries and a home, but no name. Pieces arrive at
 * "$JS.SNAPSHOT.RESTORE.<stream>.<nuid>" and are decoded as they come; each is answered when all of
 * it was taken, which is the flow control. The empty message ends it: when everything is durable,
 * one entry of the catalogue gives the stream its name. Until then a crash or a failure leaves
 * nothing. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "stream/api.h"
#include "stream/stream.h"

typedef struct Restore Restore;

/* What the home tells the catalogue: body of a call that catalogue_on_restored runs. */
typedef struct RestoreVerdict {
    int64_t created_ns; /* 0: now */
    uint32_t group;
    uint32_t is_whole; /* else the hidden stream goes */
} RestoreVerdict;
void catalogue_on_restored(ApiCall *call);

/* The hidden stream was made: subscribes, answers call with the subject. Takes call. */
void restore_begin(Stream *stream, ApiCall *call);
/* It has its name and is started: answers call (may be NULL), frees the restore. */
void restore_end(Stream *stream, ApiCall *call);
/* It is going to be deleted. code: why the catalogue refused it, 0 = nobody need be told. */
void restore_drop(Stream *stream, unsigned code, ApiCall *call);
/* Without effects; NULL-safe. */
void restore_free(Restore *restore);
