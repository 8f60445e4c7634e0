/* LeafConn: a leafnode connection on its home. */
#include <stdarg.h>

#include "cluster/leaf_private.h"

static size_t on_data(Conn *conn, char *data, size_t len);
static void on_drained(Conn *conn);
static void on_closed(Conn *conn, ConnEnd end);
static void on_timer(Timer *timer);

static const ConnOps CONN_OPS = {on_data, on_drained, on_closed};

static LeafConn *leaf_of(Conn *conn) {
    return CONTAINER_OF(conn, LeafConn, conn);
}

void leaf_log_as(LogLevel level, const char *ip, uint16_t port, uint64_t id, const char *format,
                 ...) {
    Buf line = {0};
    va_list args;
    buf_printf(&line, strchr(ip, ':') ? "[%s]:%u - lid:%llu - " : "%s:%u - lid:%llu - ", ip, port,
               (unsigned long long)id);
    va_start(args, format);
    buf_vprintf(&line, format, args);
    va_end(args);
    log_event(level, buf_text(&line), "%s", "");
    buf_done(&line);
}

void leaf_log(const LeafConn *leaf, LogLevel level, const char *format, ...) {
    Buf text = {0};
    va_list args;
    va_start(args, format);
    buf_vprintf(&text, format, args);
    va_end(args);
    leaf_log_as(level, leaf->ip, leaf->peer_port, leaf->id, "%s", buf_text(&text));
    buf_done(&text);
}

static LeafConn *leaf_new(Leafnodes *leafnodes, uint64_t id, size_t account) {
    const LeafFacts *facts = leafnodes->facts;
    LeafConn *leaf = mem_zalloc(sizeof *leaf);
    leaf->port = (Port){.ops = &LEAF_PORT_OPS, .home = leafnodes->home, .no_echo = true};
    leaf->leafnodes = leafnodes;
    leaf->id = id;
    leaf->account = &leafnodes->accounts[account];
    leaf->payload_max = LIMIT_PAYLOAD_BYTES;
    leaf->has_headers = !facts->no_header_support;
    timer_init(&leaf->timer, on_timer);
    return leaf;
}

/* False: there is no connection, leaf is gone. */
static bool open_conn(LeafConn *leaf, int fd, uint64_t write_deadline_ns) {
    const LeafFacts *facts = leaf->leafnodes->facts;
    if (conn_open(&leaf->conn, leaf->leafnodes->home, fd, &CONN_OPS) != OK) {
        arena_free(leaf->arena);
        leaf_rules_free(&leaf->rules);
        mem_free(leaf);
        return false;
    }
    leaf->conn.pending_max = facts->max_pending;
    leaf->conn.congested_bytes = facts->max_pending / 2;
    if (facts->max_pending == 0 || leaf->conn.congested_bytes > LEAF_CONGESTED_BYTES_MAX)
        leaf->conn.congested_bytes = LEAF_CONGESTED_BYTES_MAX;
    leaf->conn.write_deadline_ns = write_deadline_ns ? write_deadline_ns : facts->write_deadline_ns;
    if (leaf->target) { /* it is not connected yet */
        memcpy(leaf->ip, leaf->target->ip, sizeof leaf->ip);
        leaf->peer_port = leaf->target->options.urls[0].port;
    } else if (conn_peer(&leaf->conn, leaf->ip, &leaf->peer_port) != OK)
        memcpy(leaf->ip, "0.0.0.0", sizeof "0.0.0.0");
    (void)map64_put(&leaf->leafnodes->by_id, leaf->id, leaf);
    return true;
}

/* The bytes that came with the CONNECT: what is complete now, the rest with what follows. */
static void take_early(LeafConn *leaf, Slice early) {
    if (early.len == 0)
        return;
    char *bytes = mem_copy(early.ptr, early.len);
    size_t used = on_data(&leaf->conn, bytes, early.len);
    if (used < early.len)
        buf_append_bytes(&leaf->conn.kept, bytes + used, early.len - used);
    mem_free(bytes);
}

/* The same server, on behalf of the same account there: the older connection is a stale one. */
static void replace_older(LeafConn *leaf) {
    LeafAccount *account = leaf->account;
    if (leaf->name.len == 0 || leaf->remote_account.len == 0)
        return;
    for (size_t i = 0; i < account->leafs.len; i++) {
        LeafConn *old = account->leafs.at[i];
        if (old->target || !slice_equal(old->name, leaf->name) ||
            !slice_equal(old->cluster, leaf->cluster) ||
            !slice_equal(old->remote_account, leaf->remote_account))
            continue;
        LEAF_LOG(leaf, LOG_WARN, "Replacing connection from same server");
        leaf_close(old, "Duplicate Remote LeafNode Connection",
                   "Duplicate Remote LeafNode Connection");
        return;
    }
}

void leaf_open_admitted(Leafnodes *leafnodes, LeafAdmission *admission) {
    LeafConn *leaf = leaf_new(leafnodes, admission->id, admission->account);
    Slice info = admission->info, early = admission->early;
    leaf->arena = admission->arena; /* holds admission's texts */
    leaf->rules = admission->rules;
    leaf->name = admission->name;
    leaf->cluster = admission->cluster;
    leaf->domain = admission->domain;
    leaf->remote_account = admission->remote_account;
    leaf->user = admission->user;
    leaf->is_spoke = admission->is_spoke;
    leaf->is_isolated = admission->is_isolated;
    leaf->has_headers = admission->has_headers;
    uint64_t id = leaf->id;
    bool is_open = open_conn(leaf, admission->fd, admission->write_deadline_ns);
    size_t account = admission->account;
    mem_free(admission);
    if (!is_open) {
        leaf_guests_tell_end(leafnodes, id);
        return;
    }
    uint64_t max = leafnodes->facts->max_leafs ? leafnodes->facts->max_leafs[account] : 0;
    replace_older(leaf);
    if (max && leaf->account->leafs.len >= max) {
        leaf_close(leaf, "Maximum Account Connections Exceeded",
                   "maximum account active connections exceeded");
        return;
    }
    conn_append(&leaf->conn, info);
    leaf_begin(leaf);
    take_early(leaf, early);
}

void leaf_open_solicited(Leafnodes *leafnodes, uint64_t id, int fd, LeafTarget *target) {
    LeafConn *leaf = leaf_new(leafnodes, id, target->options.account);
    uint64_t remote = target->remote, dial_ns = target->dial_timeout_ns;
    leaf->target = target;
    leaf->arena = arena_new_small();
    leaf->is_spoke = !target->options.is_hub;
    leaf->is_isolated = target->options.is_isolated;
    if (!open_conn(leaf, fd, target->write_deadline_ns)) {
        leaf_target_free(target);
        leaf_remotes_tell_end(leafnodes, remote, 0);
        return;
    }
    uint64_t info_ns = target->options.first_info_timeout_ns > 0
                           ? (uint64_t)target->options.first_info_timeout_ns
                           : LEAF_FIRST_INFO_NS;
    timer_set(leafnodes->home, &leaf->timer, leafnodes->home->now_ns + dial_ns + info_ns);
}

void leaf_begin(LeafConn *leaf) {
    Leafnodes *leafnodes = leaf->leafnodes;
    leaf->phase = LEAF_OPENED;
    LEAF_LOG(leaf, LOG_INFO_LEVEL, "Leafnode connection created for account: %.*s %.*s",
             SLICE_ARG(account_name(leaf->account->account)), SLICE_ARG(leaf->name));
    leaf_account_add(leaf->account, leaf);
    if (!slice_equal(leafnodes->facts->domain, leaf->domain))
        LEAF_LOG(leaf, LOG_INFO_LEVEL, "JetStream using domains: local \"%.*s\", remote \"%.*s\"",
                 SLICE_ARG(leafnodes->facts->domain), SLICE_ARG(leaf->domain));
    leaf_tell_all(leaf);
    leaf_start_pings(leaf);
}

/* The end as far as others can see. */
static void end(LeafConn *leaf, const char *reason) {
    Leafnodes *leafnodes = leaf->leafnodes;
    LeafStats *ended = &leaf->account->ended;
    const LeafPhase was = leaf->phase;
    leaf->phase = LEAF_CLOSING;
    leaf->reason = reason;
    timer_cancel(leafnodes->home, &leaf->timer);
    leaf_remove_subs(leaf);
    leaf_account_remove(leaf->account, leaf);
    bus_port_drained(&leaf->port);
    ended->in_msgs += leaf->in_msgs;
    ended->in_bytes += leaf->in_bytes;
    ended->out_msgs += leaf->out_msgs;
    ended->out_bytes += leaf->out_bytes;
    leaf->in_msgs = leaf->in_bytes = leaf->out_msgs = leaf->out_bytes = 0;
    if (leaf->target && was == LEAF_AWAITS_INFO)
        LEAF_LOG(leaf, LOG_ERROR,
                 "Error trying to connect as leafnode to remote server \"%.*s:%u\": %s",
                 SLICE_ARG(leaf->target->options.urls[0].host), leaf->peer_port, reason);
    else
        LEAF_LOG(leaf, LOG_INFO_LEVEL, "Leafnode connection closed: %s - Remote: %.*s", reason,
                 SLICE_ARG(leaf->name));
}

void leaf_close(LeafConn *leaf, const char *reason, const char *error) {
    if (leaf->phase == LEAF_CLOSING)
        return;
    if (error)
        leaf_send_error(leaf, "%s", error);
    end(leaf, reason);
    conn_close_after_flush(&leaf->conn);
}

static void free_leaf(LeafConn *leaf) {
    leaf_rules_free(&leaf->rules);
    if (leaf->target)
        leaf_target_free(leaf->target);
    arena_free(leaf->arena);
    mem_free(leaf);
}

void leaf_discard(LeafConn *leaf) {
    Slice key;
    void *sub;
    timer_cancel(leaf->leafnodes->home, &leaf->timer);
    conn_done(&leaf->conn);
    for (size_t i = 0; map_next(&leaf->subs, &i, &key, &sub);)
        mem_free(sub); /* the bus frees its own */
    map_done(&leaf->subs);
    free_leaf(leaf);
}

static const char *reason_of(const LeafConn *leaf, ConnEnd end) {
    switch (end) {
    case CONN_END_READ_ERROR:
        return "Read Error";
    case CONN_END_WRITE_ERROR:
        return "Write Error";
    case CONN_END_PENDING_BYTES:
        return "Slow Consumer (Pending Bytes)";
    case CONN_END_WRITE_DEADLINE:
        return "Slow Consumer (Write Deadline)";
    case CONN_END_PEER:
    case CONN_END_OURS:
        break;
    }
    return leaf->reason ? leaf->reason : "Client Closed";
}

static void on_closed(Conn *conn, ConnEnd conn_end) {
    LeafConn *leaf = leaf_of(conn);
    Leafnodes *leafnodes = leaf->leafnodes;
    if (leaf->phase != LEAF_CLOSING) {
        if (conn_end == CONN_END_PENDING_BYTES || conn_end == CONN_END_WRITE_DEADLINE) {
            leafnodes->slow_consumers++;
            LEAF_LOG(leaf, LOG_INFO_LEVEL, "Slow Consumer Detected: %zu bytes pending",
                     conn->pending_bytes);
        }
        end(leaf, reason_of(leaf, conn_end));
    }
    if (leaf->target)
        leaf_remotes_tell_end(leafnodes, leaf->target->remote, leaf->reconnect_delay_ns);
    else
        leaf_guests_tell_end(leafnodes, leaf->id);
    (void)map64_remove(&leafnodes->by_id, leaf->id);
    free_leaf(leaf);
}

static void on_drained(Conn *conn) {
    bus_port_drained(&leaf_of(conn)->port);
}

void leaf_send_error(LeafConn *leaf, const char *format, ...) {
    Buf line = {0};
    va_list args;
    buf_append_lit(&line, "-ERR '");
    va_start(args, format);
    buf_vprintf(&line, format, args);
    va_end(args);
    buf_append_lit(&line, "'\r\n");
    conn_append(&leaf->conn, buf_slice(&line));
    buf_done(&line);
}

/* Our own interest came back to us: messages would go round for ever. */
void leaf_handle_loop(LeafConn *leaf, bool tells) {
    Slice account = account_name(leaf->account->account);
    const char *delay = leaf->target ? "30s" : "0s";
    leaf->reconnect_delay_ns = LEAF_LONG_DELAY_NS;
    if (tells)
        leaf_send_error(
            leaf,
            "Loop detected for leafnode account=\"%.*s\". Delaying attempt to reconnect for %s",
            SLICE_ARG(account), delay);
    LEAF_LOG(leaf, LOG_ERROR,
             "Loop detected for leafnode account=\"%.*s\". Delaying attempt to reconnect for %s",
             SLICE_ARG(account), delay);
    leaf_close(leaf, "Protocol Violation", NULL);
}

static bool has(Slice text, Slice what) {
    return slice_find_slice(text, what) < text.len;
}

void leaf_on_error_line(LeafConn *leaf, Slice text) {
    LEAF_LOG(leaf, LOG_ERROR, "Leafnode Error %.*s", SLICE_ARG(text));
    if (has(text, LIT("Loop detected"))) {
        leaf_handle_loop(leaf, false);
        return;
    }
    if (has(text, LIT("remote leafnode has same cluster name"))) {
        leaf->reconnect_delay_ns = LEAF_LONG_DELAY_NS;
        LEAF_LOG(leaf, LOG_ERROR,
                 "Leafnode connection dropped with same cluster name error. Delaying attempt to "
                 "reconnect for 30s");
    } else if (has(text, LIT("connection rejected since minimum version required is"))) {
        leaf->reconnect_delay_ns = LEAF_MIN_VERSION_NS;
        LEAF_LOG(leaf, LOG_ERROR,
                 "Leafnode connection dropped due to minimum version requirement. Delaying attempt "
                 "to reconnect for 5s");
    } else if (has(text, LIT("Permissions Violation"))) {
        leaf->reconnect_delay_ns = LEAF_LONG_DELAY_NS;
    } /* whether it goes on is the other side's decision */
}

/* Input. */

static void act(LeafConn *leaf, const LeafOp *op) {
    if (leaf->phase != LEAF_OPENED && op->verb != LEAF_INFO && op->verb != LEAF_ERROR &&
        op->verb != LEAF_PING && op->verb != LEAF_PONG) {
        leaf_close(leaf, "Protocol Violation", "Authorization Violation");
        return;
    }
    switch (op->verb) {
    case LEAF_MESSAGE:
        leaf_on_message(leaf, op);
        break;
    case LEAF_SUB:
        leaf_on_sub(leaf, op);
        break;
    case LEAF_UNSUB:
        leaf_on_unsub(leaf, op);
        break;
    case LEAF_PING:
        conn_append(&leaf->conn, LIT("PONG\r\n"));
        break;
    case LEAF_PONG:
        if (leaf->pings_out) {
            uint64_t now_ns = leaf->leafnodes->home->now_ns;
            leaf->rtt_ns = now_ns > leaf->rtt_start_ns ? now_ns - leaf->rtt_start_ns : 1;
        }
        leaf->pings_out = 0;
        break;
    case LEAF_INFO:
        leaf_on_info(leaf, op->args);
        break;
    case LEAF_ERROR:
        leaf_on_error_line(leaf, op->args);
        break;
    case LEAF_CONNECT: /* a second one says nothing new */
    case LEAF_OK:
        break;
    }
}

static void refuse_bytes(LeafConn *leaf, LeafParse parse, Slice bytes) {
    const Slice shown = slice_first(bytes, 32);
    switch (parse) {
    case LEAF_PARSE_LINE_TOO_LONG:
        leaf_close(leaf, "Maximum Control Line Exceeded", "maximum control line exceeded");
        break;
    case LEAF_PARSE_PAYLOAD_TOO_BIG:
        leaf_close(leaf, "Maximum Message Payload Exceeded", "Maximum Payload Violation");
        break;
    default:
        LEAF_LOG(leaf, LOG_ERROR, "Leafnode parser ERROR, proto='%.*s...'", SLICE_ARG(shown));
        leaf_close(leaf, "Protocol Violation",
                   parse == LEAF_PARSE_UNKNOWN_VERB ? "Unknown Protocol Operation" : NULL);
        break;
    }
}

static size_t on_data(Conn *conn, char *data, size_t len) {
    LeafConn *leaf = leaf_of(conn);
    LeafParser parser = {leaf->searched,
                         leaf->leafnodes->facts->max_control_line * LEAF_CONTROL_LINE_FACTOR,
                         leaf->payload_max};
    size_t at = 0;
    while (at < len && leaf->phase != LEAF_CLOSING) {
        LeafOp op = {0};
        size_t used;
        LeafParse parse = leaf_parse(&parser, data + at, len - at, &op, &used);
        if (__builtin_expect(parse == LEAF_PARSE_OP, 1)) {
            at += used;
            if (__builtin_expect(log_wants(LOG_TRACE_LEVEL), 0) && op.verb >= LEAF_SUB)
                leaf_log(leaf, LOG_TRACE_LEVEL, "<<- [%.*s]", SLICE_ARG(op.args));
            act(leaf, &op);
            continue;
        }
        if (parse != LEAF_PARSE_MORE) {
            refuse_bytes(leaf, parse, slice_from(data + at, len - at));
            break;
        }
        if (used > len - at)
            conn_want(conn, used);
        break;
    }
    leaf->searched = parser.searched;
    return leaf->phase == LEAF_CLOSING ? len : at;
}

/* Time. */

void leaf_start_pings(LeafConn *leaf) {
    Worker *home = leaf->leafnodes->home;
    uint64_t interval = leaf->leafnodes->facts->ping_interval_ns;
    uint64_t first = LEAF_FIRST_PING_NS + rand_below(&home->rand, LEAF_FIRST_PING_NS / 5);
    timer_set(home, &leaf->timer, home->now_ns + (interval < first ? interval : first));
}

static void on_timer(Timer *timer) {
    LeafConn *leaf = CONTAINER_OF(timer, LeafConn, timer);
    const LeafFacts *facts = leaf->leafnodes->facts;
    Worker *home = leaf->leafnodes->home;
    if (leaf->phase != LEAF_OPENED) {
        LEAF_LOG(leaf, LOG_DEBUG_LEVEL, "Stale Leaf Node Connection - Closing");
        leaf_close(leaf, "Stale Connection",
                   leaf->phase == LEAF_AWAITS_INFO ? NULL : "Stale Leaf Node Connection - Closing");
        return;
    }
    if (leaf->pings_out + 1 > facts->ping_max) {
        leaf->leafnodes->stale_connections++;
        leaf_close(leaf, "Stale Connection", "Stale Connection");
        return;
    }
    bool is_quiet = home->now_ns - leaf->conn.last_input_ns >= facts->ping_interval_ns;
    if (is_quiet || leaf->rtt_ns == 0) {
        leaf->pings_out++;
        leaf->rtt_start_ns = home->now_ns;
        conn_append(&leaf->conn, LIT("PING\r\n"));
    }
    timer_set(home, timer, home->now_ns + facts->ping_interval_ns);
}
