/* Damage: what the scrubber (journal/scrubber.h) found in the log is marked in the streams whose
 * messages lie there, on their homes, as if somebody had read them: API gets answer that they are
 * damaged, consumers skip them. Each stream that is hit says so in an advisory. */
#pragma once

typedef struct JetStream JetStream;
typedef struct DamageWatch DamageWatch;

/* Set-up: first is worker 0's; from now on the store tells it. */
DamageWatch *damage_watch_new(JetStream *first);
/* After the workers were joined. NULL-safe. */
void damage_watch_free(DamageWatch *watch);
