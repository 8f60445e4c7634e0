/* Usage: bytes that streams hold, per account and on the whole server, against their limits.
 *
 * Each worker counts what lives there and is the only one to write its sums; another one reads them
 * once a turn, and only where there is a limit. So what the others add within that turn is seen in
 * the next one; what is proposed here counts at once. */
#pragma once

#include "stream/stream.h"

typedef struct UsageTable UsageTable;

/* Set-up: of one worker, for that many accounts. */
UsageTable *usage_table_new(size_t accounts);
void usage_table_free(UsageTable *table);

/* What storing the message of record takes, as accounted. */
uint64_t usage_of_record(const Stream *stream, const Record *record);

/* A message came (bytes) or went (-bytes). */
void usage_count(Stream *stream, int64_t bytes);
/* An entry with a message was proposed; it was applied or refused. */
void usage_propose(Stream *stream, const Record *record);
void usage_land(Stream *stream, const Record *record);

/* Whether an account may have so many bytes more of that storage. */
ApiError usage_check_bytes(const JetStream *js, size_t account, bool is_memory, uint64_t bytes);

/* Whether the message may be proposed: 10023 when the server holds more than it may; 10002 when the
 * message would bring the account above its limit (record NULL: not looked at). Cheap. */
ApiError usage_check(Stream *stream, const Record *record);
