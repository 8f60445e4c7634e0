/* The interest of the other side: entered into the bus as that of the connection's port. */
#include "cluster/leaf_private.h"
#include "proto/subject.h"

static Slice key_of(Slice subject, Slice queue, Buf *room) {
    if (queue.len == 0)
        return subject;
    buf_clear(room);
    buf_append(room, subject);
    buf_append_char(room, ' ');
    buf_append(room, queue);
    return buf_slice(room);
}

LeafSub *leaf_find_sub(const LeafConn *leaf, Slice subject, Slice queue) {
    Buf room = {0};
    LeafSub *sub = map_get(&leaf->subs, key_of(subject, queue, &room));
    buf_done(&room);
    return sub;
}

static bool is_free_of_rules(Slice subject) {
    return slice_starts_with(subject, LEAF_LOOP_PREFIX) ||
           slice_starts_with(subject, LIT("$GR.")) || slice_starts_with(subject, LIT("_GR_."));
}

/* False: a hub is asked for what it must not send, and closes. */
static bool is_permitted(LeafConn *leaf, Slice subject, bool *out_may_match) {
    *out_may_match = true;
    if (is_free_of_rules(subject))
        return true;
    if (!subject_has_wildcard(subject)) {
        *out_may_match = permissions_may_publish(leaf->rules.send, subject);
        return *out_may_match || leaf->is_spoke;
    }
    *out_may_match =
        permissions_may_subscribe(leaf->rules.cover, subject, (Slice){0}) != SUB_DENIED;
    return true;
}

/* What domains of JetStream keep apart is no violation: the other side tells of it all the same. */
static bool is_of_jetstream(Slice subject) {
    return slice_starts_with(subject, LIT("$JS.")) || slice_starts_with(subject, LIT("$KV.")) ||
           slice_starts_with(subject, LIT("$OBJ."));
}

static bool is_full(const LeafConn *leaf) {
    uint64_t max = leaf->leafnodes->facts->max_subs;
    return max && leaf->subs.len >= max;
}

static void refuse(LeafConn *leaf, Slice subject) {
    leaf->reconnect_delay_ns = LEAF_LONG_DELAY_NS;
    LEAF_LOG(leaf, LOG_ERROR, "Subscription Violation on \"%.*s\" - Check other side configuration",
             SLICE_ARG(subject));
    leaf_send_error(leaf, "Permissions Violation for Subscription to \"%.*s\"", SLICE_ARG(subject));
    leaf_close(leaf, "Protocol Violation", NULL);
}

static LeafSub *add(LeafConn *leaf, const LeafOp *op, Slice key, bool may_match) {
    LeafSub *sub = mem_zalloc(sizeof *sub + key.len);
    sub->subject_len = (uint16_t)op->subject.len;
    sub->key_len = (uint16_t)key.len;
    memcpy(sub->key, key.ptr, key.len);
    (void)map_put(&leaf->subs, slice_from(sub->key, sub->key_len), sub);
    Account *account = leaf->account->account;
    if (may_match && op->queue.len)
        sub->sub = sub_add_far(account, &leaf->port, op->subject, op->queue, op->members);
    else if (may_match)
        sub->sub = sub_add(account, &leaf->port, op->subject, (Slice){0}, (Slice){0}, false);
    return sub;
}

void leaf_on_sub(LeafConn *leaf, const LeafOp *op) {
    bool may_match;
    Buf room = {0};
    Slice key = key_of(op->subject, op->queue, &room);
    if (key.len > UINT16_MAX / 2 || !subject_is_valid(op->subject)) {
        LEAF_LOG(leaf, LOG_ERROR, "Could not insert subscription: invalid subject");
        leaf_send_error(leaf, "Invalid Subscription");
    } else if (slice_equal(op->subject, leaf_loop_subject(leaf->account))) {
        leaf_handle_loop(leaf, true);
    } else if (is_full(leaf) && !map_get(&leaf->subs, key)) {
        LEAF_LOG(leaf, LOG_ERROR, "maximum subscriptions exceeded");
        leaf_send_error(leaf, "maximum subscriptions exceeded");
    } else if (!is_permitted(leaf, op->subject, &may_match) && !is_of_jetstream(op->subject)) {
        refuse(leaf, op->subject);
    } else {
        uint32_t members = op->queue.len ? op->members : 1;
        LeafSub *sub = map_get(&leaf->subs, key);
        uint32_t before = sub ? sub->members : 0;
        if (!sub)
            sub = add(leaf, op, key, may_match);
        else if (sub->sub && op->queue.len)
            sub_set_members(sub->sub, members);
        sub->members = members;
        if (sub->sub && before != members)
            leaf_tell_change(leaf, op->subject, op->queue, before, members);
    }
    buf_done(&room);
}

/* Others hear of it when it is gone. */
static void drop(LeafConn *leaf, LeafSub *sub) {
    (void)map_remove(&leaf->subs, slice_from(sub->key, sub->key_len));
    if (sub->sub) {
        sub_remove(sub->sub);
        leaf_tell_change(leaf, leaf_sub_subject(sub), leaf_sub_queue(sub), sub->members, 0);
    }
    mem_free(sub);
}

void leaf_on_unsub(LeafConn *leaf, const LeafOp *op) {
    LeafSub *sub = leaf_find_sub(leaf, op->subject, op->queue);
    if (sub)
        drop(leaf, sub);
}

void leaf_remove_subs(LeafConn *leaf) {
    Slice key;
    void *sub;
    for (size_t i = 0; map_next(&leaf->subs, &i, &key, &sub);)
        drop(leaf, sub);
    map_done(&leaf->subs);
}
