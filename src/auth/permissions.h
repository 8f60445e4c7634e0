/* Permissions: which subjects a user may publish to and subscribe to.
 *
 * Deny wins over allow; without an allow list everything is allowed. Entries of the subscribe lists
 * may be "subject queue" (queue may have wildcards): then they speak of queue subscriptions of that
 * queue only. Publish decisions are cached per subject, in bounded memory; a Permissions belongs to
 * one worker. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/slice.h"

/* Plain data. has_allow with allow_count 0 allows nothing. */
typedef struct SubjectRules {
    const Slice *allow, *deny;
    size_t allow_count, deny_count;
    bool has_allow;
} SubjectRules;

typedef struct PermissionsOptions {
    bool is_set; /* false: the defaults of the authorization block or account, if any, else
                    everything */
    SubjectRules publish, subscribe;
    bool has_responses;          /* allow_responses */
    int64_t responses_max;       /* per request; 0 = 1; negative = no limit */
    int64_t responses_expire_ns; /* 0 = 2 minutes; negative = never */
} PermissionsOptions;

typedef struct Permissions Permissions;

/* Copies. ERR_SYNTAX: an invalid subject, text in out_error (may be NULL). */
MUST_CHECK Status permissions_new(const PermissionsOptions *options, Buf *out_error,
                                  Permissions **out_permissions);
void permissions_free(Permissions *permissions);

/* Subject as the client wrote it. allow_responses is not looked at: see permissions_responses. ~10
 * ns when cached. */
bool permissions_may_publish(Permissions *permissions, Slice subject);

/* The same of all that pattern covers. Not cached. */
bool permissions_may_publish_all(const Permissions *permissions, Slice pattern);

typedef enum SubVerdict {
    SUB_DENIED,
    SUB_ALLOWED,
    SUB_FILTERED, /* allowed, but some messages are not: ask permissions_may_receive for each */
} SubVerdict;

/* subject may have wildcards, queue may be empty. */
SubVerdict permissions_may_subscribe(const Permissions *permissions, Slice subject, Slice queue);

/* False when a plain deny entry covers the literal subject. Cached as well. */
bool permissions_may_receive(Permissions *permissions, Slice subject);

/* False without allow_responses; max and expiry as configured, 0 = no limit. */
bool permissions_responses(const Permissions *permissions, uint64_t *out_max,
                           uint64_t *out_expire_ns);

/* For showing ($SYS.REQ.USER.INFO): the lists as configured, borrowed; has_responses may have added
 * an empty allow list. */
const PermissionsOptions *permissions_options(const Permissions *permissions);

DEFINE_CLEANUP(Permissions, permissions_free)
