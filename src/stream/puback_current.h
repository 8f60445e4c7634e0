/* The refusal of a publish whose expected sequence is wrong, for who asked what is there instead
 * (HW-Want-Current, docs/EXTENSIONS.md). */
#pragma once

#include "stream/puback.h"

/* want is the header's value: "value" adds the message with sequence current (0 = there is none),
 * which may have to come from the disk first; whatever else adds its sequence only. */
void puback_refuse_current(Stream *stream, Slice reply, ApiError error, uint64_t current,
                           Slice want);

/* For stream.c: answers that wait for the disk are forgotten. */
void puback_current_init(Stream *stream);
void puback_current_done(Stream *stream);
