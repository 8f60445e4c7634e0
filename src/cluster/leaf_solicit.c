/* The spoke's part of getting to know each other: INFO comes, CONNECT goes, INFO with what we may
 * do comes, and then both tell their interest. */
#include "cluster/leaf_private.h"

static Slice keep(LeafConn *leaf, Slice text) {
    return arena_copy(leaf->arena, text);
}

/* What the hub's INFO permits, and what we deny ourselves. */
static bool take_rules(LeafConn *leaf, const LeafHello *hello) {
    const LeafRemoteOptions *options = &leaf->target->options;
    LeafRuleParts parts = {
        .send = {hello->export_allow, hello->export_deny, hello->export_allow_count,
                 hello->export_deny_count, false},
        .interest = {hello->import_allow, hello->import_deny, hello->import_allow_count,
                     hello->import_deny_count, false},
        .deny_send = options->deny_exports,
        .deny_send_count = options->deny_export_count,
        .deny_interest = options->deny_imports,
        .deny_interest_count = options->deny_import_count,
    };
    LeafRules rules;
    Buf why = {0};
    Status status = leaf_rules_make(leaf->leafnodes->facts, options->account, leaf->domain, &parts,
                                    &why, &rules);
    if (status != OK)
        LEAF_LOG(leaf, LOG_ERROR, "Permissions of the remote are invalid: %.*s",
                 SLICE_ARG(buf_slice(&why)));
    buf_done(&why);
    if (status != OK)
        return false;
    leaf_rules_free(&leaf->rules);
    leaf->rules = rules;
    return true;
}

static void send_connect(LeafConn *leaf) {
    Worker *home = leaf->leafnodes->home;
    Buf line = {0};
    leaf_write_connect(&line, leaf->leafnodes->facts, leaf->target,
                       account_name(leaf->account->account));
    conn_append(&leaf->conn, buf_slice(&line));
    explicit_bzero(line.ptr, line.len);
    buf_done(&line);
    leaf->phase = LEAF_AWAITS_ANSWER;
    timer_set(home, &leaf->timer, home->now_ns + LEAF_FINISH_NS);
    LEAF_LOG(leaf, LOG_DEBUG_LEVEL, "Remote leafnode connect msg sent");
}

static void on_first_info(LeafConn *leaf, const LeafHello *hello) {
    if (hello->client_id == 0 || (hello->leafnode_url_count == 0 && !hello->info_on_connect)) {
        LEAF_LOG(leaf, LOG_ERROR, "attempted to connect to wrong port");
        leaf_close(leaf, "Incorrect Port", NULL);
        return;
    }
    if (hello->tls_required) {
        LEAF_LOG(leaf, LOG_ERROR, "The remote requires TLS, which is not supported");
        leaf->reconnect_delay_ns = LEAF_LONG_DELAY_NS;
        leaf_close(leaf, "TLS Handshake Failure", NULL);
        return;
    }
    leaf->has_headers = !leaf->leafnodes->facts->no_header_support && hello->headers;
    leaf->name = keep(leaf, hello->server_name.len ? hello->server_name : hello->server_id);
    leaf->cluster = keep(leaf, hello->cluster);
    leaf->domain = keep(leaf, hello->domain);
    send_connect(leaf);
}

/* The cluster we are about to be a leafnode of is one of this one. */
static bool is_leaf_of_ours(const LeafConn *leaf) {
    const LeafAccount *account = leaf->account;
    for (size_t i = 0; leaf->is_spoke && leaf->cluster.len && i < account->leafs.len; i++) {
        const LeafConn *other = account->leafs.at[i];
        if (!other->is_spoke && slice_equal(other->cluster, leaf->cluster))
            return true;
    }
    return false;
}

void leaf_on_info(LeafConn *leaf, Slice json) {
    LeafHello hello;
    if (!leaf->target || leaf->phase == LEAF_CLOSING) /* who accepts trusts no INFO */
        return;
    if (leaf_read_hello(json, leaf->leafnodes->home->turn, &hello) != OK) {
        LEAF_LOG(leaf, LOG_ERROR, "malformed INFO");
        leaf_close(leaf, "Protocol Violation", NULL);
        return;
    }
    bool is_first = leaf->phase == LEAF_AWAITS_INFO;
    if (is_first)
        on_first_info(leaf, &hello);
    if (leaf->phase == LEAF_CLOSING)
        return;
    if (hello.leafnode_url_count && !leaf->target->options.ignores_discovered)
        leaf_remotes_tell_urls(leaf->leafnodes, leaf->target->remote, hello.leafnode_urls,
                               hello.leafnode_url_count);
    bool has_rules = hello.has_import || hello.has_export;
    if ((is_first || has_rules) && !take_rules(leaf, &hello)) {
        leaf_close(leaf, "Protocol Violation", NULL);
        return;
    }
    if (!is_first && hello.remote_account.len && leaf->remote_account.len == 0)
        leaf->remote_account = keep(leaf, hello.remote_account);
    if (leaf->phase == LEAF_AWAITS_ANSWER &&
        (hello.connect_info || (is_first && !hello.info_on_connect))) {
        timer_cancel(leaf->leafnodes->home, &leaf->timer);
        if (is_leaf_of_ours(leaf))
            leaf_handle_loop(leaf, true);
        else
            leaf_begin(leaf);
    }
}
