#include "cluster/leaf_private.h"

Leafnodes *leafnodes_new(Worker *home, const LeafFacts *facts) {
    Leafnodes *leafnodes = mem_zalloc(sizeof *leafnodes);
    leafnodes->home = home;
    leafnodes->facts = facts;
    if (home->index == home->count) {
        leafnodes->main = mem_zalloc(sizeof *leafnodes->main);
        leafnodes->main->guests = leaf_guests_new(leafnodes);
        leafnodes->main->remotes = leaf_remotes_new(leafnodes);
        return leafnodes;
    }
    leafnodes->accounts = mem_zalloc(facts->account_count * sizeof *leafnodes->accounts);
    for (size_t i = 0; i < facts->account_count; i++)
        if (leaf_home_of(leafnodes, i) == home)
            leaf_account_init(&leafnodes->accounts[i], leafnodes, i);
    return leafnodes;
}

void leafnodes_attach(Leafnodes *leafnodes) {
    if (leafnodes->home->jetstream)
        leafnodes->home->jetstream->on_ref = leaf_on_stream;
}

void leafnodes_free(Leafnodes *leafnodes) {
    uint64_t id;
    void *leaf;
    if (!leafnodes)
        return;
    for (size_t i = 0; map64_next(&leafnodes->by_id, &i, &id, &leaf);)
        leaf_discard(leaf);
    map64_done(&leafnodes->by_id);
    if (leafnodes->main) {
        leaf_guests_free(leafnodes->main->guests);
        leaf_remotes_free(leafnodes->main->remotes);
        mem_free(leafnodes->main);
    }
    for (size_t i = 0; leafnodes->accounts && i < leafnodes->facts->account_count; i++)
        leaf_account_done(&leafnodes->accounts[i]);
    mem_free(leafnodes->accounts);
    mem_free(leafnodes);
}

/* Connections that shall end. */
typedef struct LeaveMail {
    Mail mail;
    uint64_t id, remote; /* of both, 0 stands for any */
    const char *reason;
} LeaveMail;

static void leave_arrives(Worker *here, Mail *mail) {
    LeaveMail *leave = CONTAINER_OF(mail, LeaveMail, mail);
    uint64_t id;
    void *value;
    for (size_t i = 0; map64_next(&here->leafnodes->by_id, &i, &id, &value);) {
        LeafConn *leaf = value;
        bool is_meant =
            (leave->id == 0 || leave->id == id) &&
            (leave->remote == 0 || (leaf->target && leaf->target->remote == leave->remote));
        if (is_meant)
            leaf_close(leaf, leave->reason, NULL);
    }
    mem_free(leave);
}

void leaf_close_elsewhere(Leafnodes *main, Worker *home, uint64_t id, uint64_t remote,
                          const char *reason) {
    LeaveMail *leave = mem_zalloc(sizeof *leave);
    *leave = (LeaveMail){{.arrive = leave_arrives}, id, remote, reason};
    worker_post(main->home, home, &leave->mail);
}

Status leafnodes_configure(Leafnodes *main, const LeafOptions *options, const AuthOptions *users,
                           Buf *out_error) {
    ASSERT_HOME(main);
    Status status = leaf_guests_configure(main->main->guests, options, users, out_error);
    if (status == OK)
        leaf_remotes_configure(main->main->remotes, options);
    return status;
}

void leafnodes_start(Leafnodes *main) {
    ASSERT_HOME(main);
    leaf_remotes_start(main->main->remotes);
}

void leafnodes_accept(Leafnodes *main, int fd) {
    ASSERT_HOME(main);
    leaf_guests_accept(main->main->guests, fd);
}

void leafnodes_stop_dialling(Leafnodes *main) {
    ASSERT_HOME(main);
    leaf_remotes_stop(main->main->remotes);
}

void leafnodes_shutdown(Leafnodes *main) {
    ASSERT_HOME(main);
    leaf_remotes_stop(main->main->remotes);
    leaf_guests_close_all(main->main->guests);
}

void leafnodes_close_all(Leafnodes *leafnodes) {
    uint64_t id;
    void *leaf;
    ASSERT_HOME(leafnodes);
    leafnodes->is_ending = true;
    for (size_t i = 0; map64_next(&leafnodes->by_id, &i, &id, &leaf);)
        leaf_close(leaf, "Server Shutdown", NULL);
}

/* Figures. */

void leafnodes_each(const Leafnodes *leafnodes,
                    void (*each)(void *cookie, const LeafInfo *info, const LeafConn *leaf),
                    void *cookie) {
    uint64_t id;
    void *value;
    ASSERT_HOME(leafnodes);
    for (size_t i = 0; map64_next(&leafnodes->by_id, &i, &id, &value);) {
        const LeafConn *leaf = value;
        if (leaf->phase != LEAF_OPENED)
            continue;
        LeafInfo info = {
            .id = id,
            .name = leaf->name,
            .account = account_name(leaf->account->account),
            .ip = slice_of_text(leaf->ip),
            .account_index = account_index(leaf->account->account),
            .port = leaf->peer_port,
            .is_spoke = leaf->is_spoke,
            .is_isolated = leaf->is_isolated,
            .rtt_ns = leaf->rtt_ns,
            .in_msgs = leaf->in_msgs,
            .out_msgs = leaf->out_msgs,
            .in_bytes = leaf->in_bytes,
            .out_bytes = leaf->out_bytes,
            .subscriptions = leaf->subs.len,
        };
        each(cookie, &info, leaf);
    }
}

void leaf_each_sub(const LeafConn *leaf, void (*each)(void *cookie, Slice subject), void *cookie) {
    Slice key;
    void *sub;
    for (size_t i = 0; map_next(&leaf->subs, &i, &key, &sub);)
        each(cookie, leaf_sub_subject(sub));
}

void leaf_stats_add(LeafStats *sum, const LeafStats *more) {
    sum->open += more->open;
    sum->in_msgs += more->in_msgs;
    sum->in_bytes += more->in_bytes;
    sum->out_msgs += more->out_msgs;
    sum->out_bytes += more->out_bytes;
    sum->slow_consumers += more->slow_consumers;
    sum->stale_connections += more->stale_connections;
}

void leafnodes_account_stats(const Leafnodes *leafnodes, size_t account, LeafStats *out) {
    ASSERT_HOME(leafnodes);
    if (!leafnodes->accounts || leaf_home_of(leafnodes, account) != leafnodes->home)
        return;
    const LeafAccount *own = &leafnodes->accounts[account];
    leaf_stats_add(out, &own->ended);
    out->open += own->leafs.len;
    for (size_t i = 0; i < own->leafs.len; i++) {
        out->in_msgs += own->leafs.at[i]->in_msgs;
        out->in_bytes += own->leafs.at[i]->in_bytes;
        out->out_msgs += own->leafs.at[i]->out_msgs;
        out->out_bytes += own->leafs.at[i]->out_bytes;
    }
}

void leafnodes_stats(const Leafnodes *leafnodes, LeafStats *out) {
    for (size_t i = 0; leafnodes->accounts && i < leafnodes->facts->account_count; i++)
        leafnodes_account_stats(leafnodes, i, out);
    out->slow_consumers += leafnodes->slow_consumers;
    out->stale_connections += leafnodes->stale_connections;
}

size_t leafnodes_remote_count(const Leafnodes *main) {
    return leaf_remotes_count(main->main->remotes);
}
