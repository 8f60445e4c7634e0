/* Retained: what is known of messages that are gone, so that a look at the past can say whether it
 * tells the truth. Only what history still holds can be told: a message that was there then and was
 * removed since is not seen. */
#pragma once

#include "stream/stream.h"

typedef struct RetainedMarks {
    uint64_t hole_min,
        hole_max;         /* removed while an older message of the subject stayed; 0 = none */
    bool has_others;      /* removed by anything but the limit per subject */
    uint64_t subject_max; /* smallest limit per subject ever in force; 0 = none */
} RetainedMarks;

/* is_by_subject_limit: the subject has newer ones and got too many. */
void retained_on_removed(Stream *stream, uint64_t seq, uint64_t first_of_subject,
                         bool is_by_subject_limit);
void retained_on_config(Stream *stream);

/* A subject's newest message at or below upto (0 = none is there); count: its live messages. True:
 * at that point of the stream it was the newest one, for sure. */
bool retained_is_exact(Stream *stream, uint64_t found, uint64_t upto, uint64_t count);
/* True: every subject that existed then is still known. */
bool retained_has_all_subjects(Stream *stream, uint64_t upto);

/* Checkpoints. */
void retained_save(Stream *stream, Buf *out);
MUST_CHECK Status retained_load(Stream *stream, Slice bytes);
