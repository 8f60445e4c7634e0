/* For tests: checkpoints of the stream of stream_fake.h that stand on index runs, and what is
 * loaded from them. */
#pragma once

#include "stream/stream_fake.h"

/* The state that was frozen last; the test ends it. */
extern Buf world_frozen;

/* GroupFreeze's done: keeps the state in world_frozen. */
void world_on_frozen(GroupFreeze *freeze);
/* To a run of this generation, all of it. */
void world_freeze(Stream *stream, uint64_t generation);
/* Damages that run on disk. */
void world_flip_run(uint64_t generation);

/* Loads what saved says into a copy, with all entries placed where is_rebuilt says that the run is
 * not good. The places of its messages, up to last, are those of stream, and check finds each as it
 * should be. Then the copy is deleted, and nothing may be live any more. */
void world_check_loaded(Stream *stream, const char *config, Slice saved, bool is_rebuilt,
                        uint64_t last, void (*check)(Stream *copy, uint64_t seq));
