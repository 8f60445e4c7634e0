#include "auth/permissions.h"

#include "base/hash.h"
#include "base/mem.h"
#include "proto/subject.h"

/* Decisions per subject: direct mapped, a newer subject takes the place of an older one. */
enum { CACHE_SLOTS = 256, CACHED_SUBJECT_BYTES_MAX = 512 };

typedef struct Decision {
    uint64_t hash;
    Slice subject; /* owned */
    bool verdict;
} Decision;

typedef struct Rule {
    Slice subject, queue; /* queue: only in subscribe lists; empty = plain */
} Rule;

typedef struct Rules {
    Rule *allow, *deny;
    size_t allow_count, deny_count;
    bool has_allow;
} Rules;

struct Permissions {
    PermissionsOptions shown; /* its slices lie in texts */
    Rules publish, subscribe;
    Slice *texts; /* owned, with what they point to */
    Rule *rules;  /* owned */
    size_t texts_used, rules_used;
    char *bytes;                             /* owned */
    Decision *publish_cache, *receive_cache; /* CACHE_SLOTS each, NULL until used */
};

static size_t count_texts(const SubjectRules *rules) {
    return rules->allow_count + rules->deny_count;
}

static size_t count_bytes(const SubjectRules *rules) {
    size_t bytes = 0;
    for (size_t i = 0; i < rules->allow_count; i++)
        bytes += rules->allow[i].len;
    for (size_t i = 0; i < rules->deny_count; i++)
        bytes += rules->deny[i].len;
    return bytes;
}

/* "subject" or "subject queue". */
static bool parse_rule(Slice text, bool takes_queue, Rule *out_rule) {
    Slice rest = slice_trim(text);
    size_t blank = slice_find(rest, ' ');
    out_rule->subject = slice_first(rest, blank);
    out_rule->queue = slice_trim(slice_from_at(rest, blank));
    if (!subject_is_valid(out_rule->subject))
        return false;
    return out_rule->queue.len == 0 || (takes_queue && subject_is_valid(out_rule->queue));
}

/* Copies one list; false when an entry is invalid. */
static bool copy_list(Permissions *permissions, const Slice *from, size_t count, bool takes_queue,
                      Buf *out_error, const Slice **out_texts, Rule **out_rules) {
    *out_texts = permissions->texts + permissions->texts_used;
    *out_rules = permissions->rules + permissions->rules_used;
    for (size_t i = 0; i < count; i++) {
        Slice text = slice_from(permissions->bytes, from[i].len);
        if (from[i].len)
            memcpy(permissions->bytes, from[i].ptr, from[i].len);
        permissions->bytes += from[i].len;
        permissions->texts[permissions->texts_used++] = text;
        if (!parse_rule(text, takes_queue, &permissions->rules[permissions->rules_used++])) {
            if (out_error)
                buf_printf(out_error, "subject \"%.*s\" is not a valid subject", SLICE_ARG(text));
            return false;
        }
    }
    return true;
}

static bool copy_rules(Permissions *permissions, const SubjectRules *from, bool takes_queue,
                       Buf *out_error, SubjectRules *out_shown, Rules *out_rules) {
    out_shown->allow_count = out_rules->allow_count = from->allow_count;
    out_shown->deny_count = out_rules->deny_count = from->deny_count;
    out_shown->has_allow = out_rules->has_allow = from->has_allow || from->allow_count > 0;
    return copy_list(permissions, from->allow, from->allow_count, takes_queue, out_error,
                     &out_shown->allow, &out_rules->allow) &&
           copy_list(permissions, from->deny, from->deny_count, takes_queue, out_error,
                     &out_shown->deny, &out_rules->deny);
}

Status permissions_new(const PermissionsOptions *options, Buf *out_error,
                       Permissions **out_permissions) {
    Permissions *permissions = mem_zalloc(sizeof *permissions);
    size_t count = count_texts(&options->publish) + count_texts(&options->subscribe);
    size_t bytes = count_bytes(&options->publish) + count_bytes(&options->subscribe);
    char *start = mem_alloc(bytes);

    permissions->texts = mem_alloc(count * sizeof(Slice));
    permissions->rules = mem_alloc(count * sizeof(Rule));
    permissions->bytes = start;
    permissions->shown = *options;
    permissions->shown.is_set = true;
    bool copied = copy_rules(permissions, &options->publish, false, out_error,
                             &permissions->shown.publish, &permissions->publish) &&
                  copy_rules(permissions, &options->subscribe, true, out_error,
                             &permissions->shown.subscribe, &permissions->subscribe);
    permissions->bytes = start;
    if (!copied) {
        permissions_free(permissions);
        return ERR_SYNTAX;
    }
    if (options->has_responses) {
        /* Who may answer requests may publish nothing else, unless it is listed. */
        permissions->publish.has_allow = permissions->shown.publish.has_allow = true;
        if (options->responses_max == 0)
            permissions->shown.responses_max = 1;
        if (options->responses_expire_ns == 0)
            permissions->shown.responses_expire_ns = INT64_C(120) * 1000 * 1000 * 1000;
    }
    *out_permissions = permissions;
    return OK;
}

static void free_cache(Decision *cache) {
    for (size_t i = 0; cache && i < CACHE_SLOTS; i++)
        mem_free((void *)(uintptr_t)cache[i].subject.ptr);
    mem_free(cache);
}

void permissions_free(Permissions *permissions) {
    if (!permissions)
        return;
    free_cache(permissions->publish_cache);
    free_cache(permissions->receive_cache);
    mem_free(permissions->texts);
    mem_free(permissions->rules);
    mem_free(permissions->bytes);
    mem_free(permissions);
}

static bool covers_plainly(const Rule *rules, size_t count, Slice subject) {
    for (size_t i = 0; i < count; i++) {
        if (rules[i].queue.len == 0 && subject_matches(rules[i].subject, subject))
            return true;
    }
    return false;
}

/* The slot of subject; *out_known when it holds the answer. */
static Decision *cache_slot(Decision **cache, Slice subject, uint64_t hash, bool *out_known) {
    if (!*cache)
        *cache = mem_zalloc(CACHE_SLOTS * sizeof **cache);
    Decision *slot = &(*cache)[hash % CACHE_SLOTS];
    *out_known = slot->subject.ptr && slot->hash == hash && slice_equal(slot->subject, subject);
    return slot;
}

static void cache_put(Decision *slot, Slice subject, uint64_t hash, bool verdict) {
    if (subject.len > CACHED_SUBJECT_BYTES_MAX)
        return;
    mem_free((void *)(uintptr_t)slot->subject.ptr);
    slot->subject = slice_from(mem_copy(subject.ptr, subject.len), subject.len);
    slot->hash = hash;
    slot->verdict = verdict;
}

bool permissions_may_publish(Permissions *permissions, Slice subject) {
    const Rules *rules = &permissions->publish;
    if (!rules->has_allow && rules->deny_count == 0)
        return true;
    uint64_t hash = hash_slice(subject);
    bool known;
    Decision *slot = cache_slot(&permissions->publish_cache, subject, hash, &known);
    if (known)
        return slot->verdict;
    bool verdict = !covers_plainly(rules->deny, rules->deny_count, subject) &&
                   (!rules->has_allow || covers_plainly(rules->allow, rules->allow_count, subject));
    cache_put(slot, subject, hash, verdict);
    return verdict;
}

bool permissions_may_publish_all(const Permissions *permissions, Slice pattern) {
    const Rules *rules = &permissions->publish;
    bool is_allowed = !rules->has_allow;
    for (size_t i = 0; i < rules->deny_count; i++)
        if (subject_overlaps(rules->deny[i].subject, pattern))
            return false;
    for (size_t i = 0; i < rules->allow_count && !is_allowed; i++)
        is_allowed = subject_is_subset(pattern, rules->allow[i].subject);
    return is_allowed;
}

bool permissions_may_receive(Permissions *permissions, Slice subject) {
    const Rules *rules = &permissions->subscribe;
    uint64_t hash = hash_slice(subject);
    bool known;
    Decision *slot = cache_slot(&permissions->receive_cache, subject, hash, &known);
    if (known)
        return slot->verdict;
    bool verdict = !covers_plainly(rules->deny, rules->deny_count, subject);
    cache_put(slot, subject, hash, verdict);
    return verdict;
}

/* What the entries that cover the whole subscription say of it. */
typedef struct Cover {
    bool plain;         /* a plain one covers it */
    bool queued;        /* one with a queue covers the subject */
    bool queue_matches; /* ... and its queue */
} Cover;

static Cover cover_of(const Rule *rules, size_t count, Slice subject, Slice queue) {
    Cover cover = {false, false, false};
    for (size_t i = 0; i < count; i++) {
        if (!subject_is_subset(subject, rules[i].subject))
            continue;
        if (rules[i].queue.len == 0) {
            cover.plain = true;
            continue;
        }
        cover.queued = true;
        if (queue.len && subject_matches(rules[i].queue, queue))
            cover.queue_matches = true;
    }
    return cover;
}

SubVerdict permissions_may_subscribe(const Permissions *permissions, Slice subject, Slice queue) {
    const Rules *rules = &permissions->subscribe;

    if (rules->has_allow) {
        Cover cover = cover_of(rules->allow, rules->allow_count, subject, queue);
        /* Entries that name queues decide alone over queue subscriptions. */
        if (queue.len && cover.queued ? !cover.queue_matches : !cover.plain)
            return SUB_DENIED;
    }
    if (rules->deny_count == 0)
        return SUB_ALLOWED;
    Cover cover = cover_of(rules->deny, rules->deny_count, subject, queue);
    if (queue.len && cover.queued ? cover.queue_matches : cover.plain)
        return SUB_DENIED;
    if (!subject_has_wildcard(subject))
        return SUB_ALLOWED;
    for (size_t i = 0; i < rules->deny_count; i++) {
        if (rules->deny[i].queue.len == 0 && subject_overlaps(rules->deny[i].subject, subject))
            return SUB_FILTERED;
    }
    return SUB_ALLOWED;
}

bool permissions_responses(const Permissions *permissions, uint64_t *out_max,
                           uint64_t *out_expire_ns) {
    const PermissionsOptions *shown = &permissions->shown;
    if (!shown->has_responses)
        return false;
    *out_max = shown->responses_max > 0 ? (uint64_t)shown->responses_max : 0;
    *out_expire_ns = shown->responses_expire_ns > 0 ? (uint64_t)shown->responses_expire_ns : 0;
    return true;
}

const PermissionsOptions *permissions_options(const Permissions *permissions) {
    return &permissions->shown;
}
