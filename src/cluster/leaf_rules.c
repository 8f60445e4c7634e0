/* What may cross a leafnode connection. */
#include "cluster/leaf_private.h"
#include "proto/subject.h"

/* Requests to JetStream and what its buckets are made of stay on their side: other domains are
 * reached by their names. */
static const Slice jetstream_denied[] = {LIT("$JS.API.>"), LIT("$KV.>"), LIT("$OBJ.>")};
static const Slice system_denied[] = {LIT("$JSC.>"), LIT("$NRG.>"), LIT("$JS.API.>"), LIT("$KV.>"),
                                      LIT("$OBJ.>")};
enum { JETSTREAM_DENIED = 3, SYSTEM_DENIED = 5 };

typedef VEC(Slice) Subjects;

void leaf_rules_free(LeafRules *rules) {
    permissions_free(rules->send);
    permissions_free(rules->cover);
    permissions_free(rules->accept);
    *rules = (LeafRules){0};
}

/* A wider pattern than what is allowed is told all the same: the other side sends what it may. */
bool leaf_rules_may_tell(const LeafRules *rules, Slice subject) {
    if (permissions_may_subscribe(rules->send, subject, (Slice){0}) != SUB_DENIED)
        return true;
    if (!subject_has_wildcard(subject))
        return false;
    const SubjectRules *list = &permissions_options(rules->send)->subscribe;
    for (size_t i = 0; i < list->deny_count; i++)
        if (subject_is_subset(subject, slice_trim(list->deny[i])))
            return false;
    for (size_t i = 0; i < list->allow_count; i++)
        if (subject_overlaps(subject, slice_trim(list->allow[i])))
            return true;
    return false;
}

static void add_all(Subjects *to, const Slice *from, size_t count) {
    for (size_t i = 0; i < count; i++)
        vec_push(to, from[i]);
}

/* A subscribe list may name queues, a publish list may not: they mean nothing there. */
static void add_subjects(Subjects *to, const Slice *from, size_t count) {
    for (size_t i = 0; i < count; i++) {
        Slice text = slice_trim(from[i]);
        if (slice_find(text, ' ') == text.len)
            vec_push(to, text);
    }
}

static void add_domain_denials(const LeafFacts *facts, size_t account, Slice remote_domain,
                               Subjects *both, Subjects *send, Buf *own_api) {
    bool is_system = account == facts->system_account;
    bool is_apart = !slice_equal(facts->domain, remote_domain) ||
                    (!facts->has_jetstream && facts->domain.len == 0);
    if (!is_system)
        add_all(both, jetstream_denied, JETSTREAM_DENIED);
    else if (is_apart)
        add_all(both, system_denied, SYSTEM_DENIED);
    if (is_apart && facts->domain.len) {
        buf_printf(own_api, "$JS.%.*s.API.>", SLICE_ARG(facts->domain));
        vec_push(send, buf_slice(own_api));
    }
}

static Status make(const PermissionsOptions *options, Buf *out_error, Permissions **out) {
    PermissionsOptions set = *options;
    set.is_set = true;
    return permissions_new(&set, out_error, out);
}

Status leaf_rules_make(const LeafFacts *facts, size_t account, Slice remote_domain,
                       const LeafRuleParts *parts, Buf *out_error, LeafRules *out) {
    Subjects denied = {0}, deny_send = {0}, deny_interest = {0}, allow_send = {0};
    Buf own_api = {0};
    LeafRules rules = {0};

    add_domain_denials(facts, account, remote_domain, &denied, &deny_send, &own_api);
    add_all(&deny_send, denied.at, denied.len);
    add_all(&deny_interest, denied.at, denied.len);
    add_subjects(&deny_send, parts->send.deny, parts->send.deny_count);
    add_all(&deny_send, parts->deny_send, parts->deny_send_count);
    add_all(&deny_interest, parts->interest.deny, parts->interest.deny_count);
    add_all(&deny_interest, parts->deny_interest, parts->deny_interest_count);
    add_subjects(&allow_send, parts->send.allow, parts->send.allow_count);

    PermissionsOptions send = {
        .publish = {allow_send.at, deny_send.at, allow_send.len, deny_send.len,
                    parts->send.has_allow},
        .subscribe = {parts->interest.allow, deny_interest.at, parts->interest.allow_count,
                      deny_interest.len, parts->interest.has_allow},
    };
    PermissionsOptions cover = {.subscribe = {NULL, deny_send.at, 0, deny_send.len, false}};
    PermissionsOptions accept = {.publish = parts->accept};
    Status status = make(&send, out_error, &rules.send);
    if (status == OK)
        status = make(&cover, out_error, &rules.cover);
    if (status == OK && parts->has_accept)
        status = make(&accept, out_error, &rules.accept);
    vec_done(&denied);
    vec_done(&deny_send);
    vec_done(&deny_interest);
    vec_done(&allow_send);
    buf_done(&own_api);
    if (status == OK)
        *out = rules;
    else
        leaf_rules_free(&rules);
    return status;
}
