/* Interest told to the other side of each connection: what clients, streams and other leafnodes of
 * the account want. Nothing is remembered of what was told: it follows from the bus's counts and
 * from the interest of the account's leafnode connections, which all live here. */
#include "cluster/leaf_private.h"

static bool is_same_cluster(const LeafConn *a, const LeafConn *b) {
    return a->cluster.len > 0 && slice_equal(a->cluster, b->cluster);
}

/* to hears of what from wants. */
static bool is_passed_on(const LeafConn *from, const LeafConn *to, bool is_loop) {
    if (from == to || is_same_cluster(from, to))
        return false;
    return is_loop || (!(from->is_spoke && to->is_spoke) && !to->is_isolated);
}

static bool is_loop_subject(Slice subject) {
    return slice_starts_with(subject, LEAF_LOOP_PREFIX);
}

/* A plain subscription counts as one, a queue with its members. */
static uint64_t wanted_by(const LeafConn *leaf, Slice subject, Slice queue) {
    if (leaf->subs.len == 0)
        return 0;
    const LeafSub *sub = leaf_find_sub(leaf, subject, queue);
    return sub && sub->sub ? sub->members : 0;
}

/* What the other leafnodes want, as far as to hears of it. */
static uint64_t wanted_by_others(const LeafAccount *account, const LeafConn *to, Slice subject,
                                 Slice queue) {
    bool is_loop = is_loop_subject(subject);
    uint64_t sum = 0;
    for (size_t i = 0; i < account->leafs.len; i++)
        if (is_passed_on(account->leafs.at[i], to, is_loop))
            sum += wanted_by(account->leafs.at[i], subject, queue);
    return sum;
}

/* What the bus counts of plain subscriptions includes those of leafnodes; groups stand apart. */
static uint64_t counted_of_leafs(const LeafAccount *account, Slice subject, Slice queue) {
    uint64_t sum = 0;
    if (queue.len)
        return 0;
    for (size_t i = 0; i < account->leafs.len; i++)
        sum += wanted_by(account->leafs.at[i], subject, queue);
    return sum;
}

static uint64_t less(uint64_t from, uint64_t what) {
    return from > what ? from - what : 0;
}

/* Acknowledgements and answers to flow control: JetStream here takes those of all its streams by
 * one subscription; others are told of each stream, so that they keep what is for their own. */
static const Slice stream_prefixes[] = {LIT("$JS.ACK."), LIT("$JS.FC.")};

static const StreamRef *stream_of(const LeafAccount *account, Slice subject) {
    JetStream *js = account->leafnodes->home->jetstream;
    if (js == NULL || subject.len < 8 || subject.ptr[0] != '$')
        return NULL;
    for (size_t i = 0; i < sizeof stream_prefixes / sizeof stream_prefixes[0]; i++) {
        Slice rest = slice_from_at(subject, stream_prefixes[i].len);
        if (slice_starts_with(subject, stream_prefixes[i]) && slice_ends_with(rest, LIT(".>")))
            return jetstream_find(js, account->account, slice_first(rest, rest.len - 2));
    }
    return NULL;
}

static bool is_of_all_streams(Slice subject) {
    return slice_equal(subject, LIT("$JS.ACK.>")) || slice_equal(subject, LIT("$JS.FC.>"));
}

/* What is wanted here, of what the bus counts. */
static uint64_t near_of(const LeafAccount *account, Slice subject, Slice queue, uint64_t counted) {
    const LeafFacts *facts = account->leafnodes->facts;
    uint64_t near = less(counted, counted_of_leafs(account, subject, queue));
    if (queue.len || subject.ptr[0] != '$')
        return near;
    bool has_jetstream = facts->account_has_jetstream &&
                         facts->account_has_jetstream[account_index(account->account)];
    if (has_jetstream && is_of_all_streams(subject))
        near = less(near, 1);
    return near + (stream_of(account, subject) != NULL);
}

static bool may_tell(const LeafConn *leaf, Slice subject) {
    return is_loop_subject(subject) || leaf_rules_may_tell(&leaf->rules, subject);
}

/* Of a queue every change is told, of a plain subject whether there is anybody. */
static void tell(LeafConn *leaf, Slice subject, Slice queue, uint64_t before, uint64_t after) {
    if (before == after || (queue.len == 0 && (before > 0) == (after > 0)) ||
        !may_tell(leaf, subject))
        return;
    Buf line = {0};
    if (after)
        leaf_write_sub(&line, subject, queue, after);
    else
        leaf_write_unsub(&line, subject, queue);
    if (log_wants(LOG_TRACE_LEVEL))
        leaf_log(leaf, LOG_TRACE_LEVEL, "->> [%.*s]", SLICE_ARG(slice_trim(buf_slice(&line))));
    conn_append(&leaf->conn, buf_slice(&line));
    buf_done(&line);
}

/* Groups of leafnodes come as changes of leafnodes; what other workers count is told as it is. */
static void on_changed(InterestTap *tap, Slice subject, Slice queue, uint64_t before,
                       uint64_t after) {
    LeafAccount *account = CONTAINER_OF(tap, LeafAccount, tap);
    if (queue.len && queue.ptr[0] == SUB_FAR_MARK)
        return;
    before = near_of(account, subject, queue, before);
    after = near_of(account, subject, queue, after);
    for (size_t i = 0; i < account->leafs.len; i++) {
        LeafConn *leaf = account->leafs.at[i];
        uint64_t others = wanted_by_others(account, leaf, subject, queue);
        tell(leaf, subject, queue, before + others, after + others);
    }
}

void leaf_tell_change(LeafConn *from, Slice subject, Slice queue, uint32_t before, uint32_t after) {
    LeafAccount *account = from->account;
    bool is_loop = is_loop_subject(subject);
    if (account->leafs.len < 2)
        return;
    uint64_t near =
        near_of(account, subject, queue, account_interest(account->account, subject, queue));
    for (size_t i = 0; i < account->leafs.len; i++) {
        LeafConn *leaf = account->leafs.at[i];
        if (!is_passed_on(from, leaf, is_loop))
            continue;
        uint64_t others = wanted_by_others(account, leaf, subject, queue);
        others = less(others, wanted_by(from, subject, queue));
        tell(leaf, subject, queue, near + others + before, near + others + after);
    }
}

/* Everything at once, for a new connection. */

static void tell_near(void *cookie, Slice subject, Slice queue, uint64_t count) {
    LeafConn *leaf = cookie;
    LeafAccount *account = leaf->account;
    if (queue.len && queue.ptr[0] == SUB_FAR_MARK)
        return;
    uint64_t near = near_of(account, subject, queue, count);
    if (near)
        tell(leaf, subject, queue, 0, near + wanted_by_others(account, leaf, subject, queue));
}

/* What leafnodes alone want; told with the first of them that wants it. */
static void tell_of(LeafConn *leaf, size_t index) {
    LeafAccount *account = leaf->account;
    const LeafConn *from = account->leafs.at[index];
    Slice key;
    void *value;
    for (size_t i = 0; map_next(&from->subs, &i, &key, &value);) {
        const LeafSub *sub = value;
        Slice subject = leaf_sub_subject(sub), queue = leaf_sub_queue(sub);
        bool is_loop = is_loop_subject(subject);
        if (!sub->sub || !is_passed_on(from, leaf, is_loop && !leaf->is_spoke))
            continue;
        bool is_told = near_of(account, subject, queue,
                               account_interest(account->account, subject, queue)) > 0;
        for (size_t k = 0; k < index && !is_told; k++)
            is_told = is_passed_on(account->leafs.at[k], leaf, is_loop) &&
                      wanted_by(account->leafs.at[k], subject, queue) > 0;
        if (!is_told)
            tell(leaf, subject, queue, 0, wanted_by_others(account, leaf, subject, queue));
    }
}

/* The two subjects of a stream, to one connection or all. */
static void tell_stream(LeafAccount *account, LeafConn *only, const StreamRef *ref, bool is_there) {
    Buf subject = {0};
    for (size_t i = 0; i < sizeof stream_prefixes / sizeof stream_prefixes[0]; i++) {
        buf_clear(&subject);
        buf_printf(&subject, "%.*s%.*s.>", SLICE_ARG(stream_prefixes[i]),
                   SLICE_ARG(stream_ref_name(ref)));
        Slice text = buf_slice(&subject);
        uint64_t others = less(account_interest(account->account, text, (Slice){0}),
                               counted_of_leafs(account, text, (Slice){0}));
        for (size_t k = 0; k < account->leafs.len; k++) {
            LeafConn *leaf = account->leafs.at[k];
            uint64_t wanted = others + wanted_by_others(account, leaf, text, (Slice){0});
            if (only == NULL || only == leaf)
                tell(leaf, text, (Slice){0}, wanted + !is_there, wanted + is_there);
        }
    }
    buf_done(&subject);
}

void leaf_on_stream(JetStream *js, const StreamRef *ref, bool is_there) {
    Leafnodes *leafnodes = js->home->leafnodes;
    LeafAccount *account = &leafnodes->accounts[account_index(ref->account)];
    if (leaf_home_of(leafnodes, account_index(ref->account)) == leafnodes->home)
        tell_stream(account, NULL, ref, is_there);
}

static void tell_streams(LeafConn *leaf) {
    JetStream *js = leaf->leafnodes->home->jetstream;
    Slice key;
    void *ref;
    if (js == NULL)
        return;
    for (size_t i = 0; map_next(&js->directory, &i, &key, &ref);)
        if (((const StreamRef *)ref)->account == leaf->account->account)
            tell_stream(leaf->account, leaf, ref, true);
}

void leaf_tell_all(LeafConn *leaf) {
    LeafAccount *account = leaf->account;
    tell_streams(leaf);
    account_each_interest(account->account, tell_near, leaf);
    for (size_t i = 0; i < account->leafs.len; i++)
        if (account->leafs.at[i] != leaf)
            tell_of(leaf, i);
    tell(leaf, leaf_loop_subject(account), (Slice){0}, 0, 1);
}

/* Accounts. */

void leaf_account_init(LeafAccount *account, Leafnodes *leafnodes, size_t index) {
    Worker *home = leafnodes->home;
    *account = (LeafAccount){
        .tap = {on_changed}, .leafnodes = leafnodes, .account = bus_account(home->bus, index)};
    memcpy(account->loop, LEAF_LOOP_PREFIX.ptr, LEAF_LOOP_PREFIX.len);
    nuid_write(&home->rand, account->loop + LEAF_LOOP_PREFIX.len, NUID_LEN);
}

void leaf_account_done(LeafAccount *account) {
    vec_done(&account->leafs);
}

void leaf_account_add(LeafAccount *account, LeafConn *leaf) {
    if (account->leafs.len == 0)
        account_set_tap(account->account, &account->tap);
    vec_push(&account->leafs, leaf);
    leaf->is_listed = true;
}

void leaf_account_remove(LeafAccount *account, LeafConn *leaf) {
    if (!leaf->is_listed)
        return;
    leaf->is_listed = false;
    for (size_t i = 0; i < account->leafs.len; i++)
        if (account->leafs.at[i] == leaf) {
            vec_remove_ordered(&account->leafs, i);
            break;
        }
    if (account->leafs.len == 0)
        account_set_tap(account->account, NULL);
}
