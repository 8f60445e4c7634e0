/* What a reload would change, row by row of the tables. */
#include "proto/timefmt.h"
#include "server/directive.h"

static DirectiveKind held_kind(const Directive *row) {
    return row->kind == DIRECTIVE_WHAT_HANDLER_SAYS ? row->held : row->kind;
}

static const void *place_of(const Directive *row, const void *base) {
    return (const char *)base + row->offset;
}

static bool is_same_list(const TextList *a, const TextList *b) {
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!slice_equal(a->at[i], b->at[i]))
            return false;
    return true;
}

static bool is_same(const Directive *row, const void *a, const void *b) {
    const void *left = place_of(row, a), *right = place_of(row, b);
    switch (held_kind(row)) {
    case DIRECTIVE_BOOL:
        return *(const bool *)left == *(const bool *)right;
    case DIRECTIVE_INT:
    case DIRECTIVE_SIZE:
    case DIRECTIVE_DURATION:
    case DIRECTIVE_DURATION_TEXT:
        return *(const int64_t *)left == *(const int64_t *)right;
    case DIRECTIVE_TEXT:
        return slice_equal(*(const Slice *)left, *(const Slice *)right);
    case DIRECTIVE_TEXTS:
        return is_same_list(left, right);
    default:
        return true;
    }
}

static void write_list(Buf *out, const TextList *list) {
    buf_append_char(out, '[');
    for (size_t i = 0; i < list->count; i++) {
        if (i > 0)
            buf_append_char(out, ' ');
        buf_append(out, list->at[i]);
    }
    buf_append_char(out, ']');
}

static void write_held(Buf *out, const Directive *row, const void *base) {
    const void *place = place_of(row, base);
    switch (held_kind(row)) {
    case DIRECTIVE_BOOL:
        buf_append(out, *(const bool *)place ? LIT("true") : LIT("false"));
        break;
    case DIRECTIVE_INT:
    case DIRECTIVE_SIZE:
        buf_append_i64(out, *(const int64_t *)place);
        break;
    case DIRECTIVE_DURATION:
    case DIRECTIVE_DURATION_TEXT:
        duration_write(out, *(const int64_t *)place);
        break;
    case DIRECTIVE_TEXT:
        buf_append(out, *(const Slice *)place);
        break;
    case DIRECTIVE_TEXTS:
        write_list(out, place);
        break;
    default:
        break;
    }
}

/* ERR_UNSUPPORTED at the first row with a field that differs. */
static Status compare_table(DirectiveTable table, const void *old, const void *now, Buf *error,
                            Buf *changed) {
    for (size_t i = 0; i < table.count; i++) {
        const Directive *row = &table.rows[i];
        if ((row->kind == DIRECTIVE_WHAT_HANDLER_SAYS && row->field == NULL) ||
            is_same(row, old, now))
            continue;
        if (row->field != NULL) {
            buf_printf(error, "config reload not supported for %s: old=", row->field);
            write_held(error, row, old);
            buf_append_lit(error, ", new=");
            write_held(error, row, now);
            return ERR_UNSUPPORTED;
        }
        buf_append(changed, directive_name(row));
        buf_append_lit(changed, " = ");
        write_held(changed, row, now);
        buf_append_char(changed, '\n');
    }
    return OK;
}

static const ConfValue *find_value(const Options *options, const Directive *row) {
    if (options->conf == NULL)
        return NULL;
    for (const ConfValue *value = conf_root(options->conf)->list.first; value != NULL;
         value = value->next) {
        Slice names = slice_of_text(row->names), one;
        while (slice_cut(&names, '|', &one))
            if (slice_equal_ignoring_case(one, value->key))
                return value;
    }
    return NULL;
}

/* Blocks are compared as they stand in the file. */
static void compare_blocks(const Options *old, const Options *now, Buf *changed) {
    DirectiveTable table = options_top_table();
    Buf left = {0}, right = {0};

    for (size_t i = 0; i < table.count; i++) {
        const Directive *row = &table.rows[i];
        if (row->kind != DIRECTIVE_WHAT_HANDLER_SAYS || row->field != NULL)
            continue;
        const ConfValue *a = find_value(old, row), *b = find_value(now, row);
        buf_clear(&left);
        buf_clear(&right);
        if (a != NULL)
            conf_write_json(&left, a);
        if (b != NULL)
            conf_write_json(&right, b);
        if (slice_equal(buf_slice(&left), buf_slice(&right)))
            continue;
        buf_append(changed, directive_name(row));
        buf_append_char(changed, '\n');
    }
    buf_done(&left);
    buf_done(&right);
}

static void write_accounts(Buf *out, const Options *options) {
    bool is_first = true;
    buf_append_char(out, '[');
    for (size_t i = 0; i < options->accounts.len; i++) {
        if (!options->accounts.at[i].is_configured)
            continue;
        if (!is_first)
            buf_append_char(out, ' ');
        is_first = false;
        buf_append(out, options->accounts.at[i].name);
    }
    buf_append_char(out, ']');
}

static bool is_account_jetstream_same(const AccountOptions *a, const AccountOptions *b) {
    const AccountJetStreamOptions *x = &a->jetstream, *y = &b->jetstream;
    return a->has_jetstream == b->has_jetstream && x->max_memory == y->max_memory &&
           x->max_file == y->max_file && x->max_streams == y->max_streams &&
           x->max_consumers == y->max_consumers && x->max_ack_pending == y->max_ack_pending &&
           x->memory_stream_max == y->memory_stream_max &&
           x->file_stream_max == y->file_stream_max &&
           x->max_bytes_required == y->max_bytes_required && x->dedup == y->dedup;
}

/* Accounts are known to every worker before it starts: no new ones. */
static Status compare_accounts(const Options *old, const Options *now, Buf *error) {
    if (now->accounts.len > old->accounts.len) {
        buf_append_lit(error, "config reload not supported for Accounts: old=");
        write_accounts(error, old);
        buf_append_lit(error, ", new=");
        write_accounts(error, now);
        return ERR_UNSUPPORTED;
    }
    for (size_t i = 0; old->jetstream.is_enabled && i < now->accounts.len; i++) {
        const AccountOptions *a = &old->accounts.at[i], *b = &now->accounts.at[i];
        if ((b->is_configured || i == ACCOUNT_GLOBAL) && !is_account_jetstream_same(a, b)) {
            buf_printf(error,
                       "config reload not supported for JetStream of account %.*s: old=%s, new=%s",
                       SLICE_ARG(a->name), a->has_jetstream ? "enabled" : "disabled",
                       b->has_jetstream ? "enabled" : "disabled");
            return ERR_UNSUPPORTED;
        }
    }
    return OK;
}

static bool is_limits_same(const JetStreamLimitsOptions *a, const JetStreamLimitsOptions *b) {
    return a->max_consumers_default == b->max_consumers_default &&
           a->max_ack_pending == b->max_ack_pending && a->max_ha_assets == b->max_ha_assets &&
           a->max_request_batch == b->max_request_batch &&
           a->duplicate_window_ns == b->duplicate_window_ns &&
           a->batch.max_msgs == b->batch.max_msgs &&
           a->batch.max_inflight_per_stream == b->batch.max_inflight_per_stream &&
           a->batch.max_inflight_total == b->batch.max_inflight_total &&
           a->batch.timeout_ns == b->batch.timeout_ns;
}

/* Another key takes the place of the one in use when that is named as the one before. No key is
 * shown. */
static Status compare_keys(const JetStreamServerOptions *old, const JetStreamServerOptions *now,
                           Buf *error, Buf *changed) {
    if (slice_equal(old->key_mark, now->key_mark))
        return OK;
    if (old->key.len == 0 || now->key.len == 0) {
        buf_printf(error, "config reload not supported for JetStreamKey: a store %s",
                   now->key.len ? "is given its first key at a start" : "keeps its key");
        return ERR_UNSUPPORTED;
    }
    if (!slice_equal(old->key_mark, now->key_before_mark)) {
        buf_append_lit(error, "config reload not supported for JetStreamKey: prev_key is not the "
                              "key in use");
        return ERR_UNSUPPORTED;
    }
    buf_append_lit(changed, "key\n");
    return OK;
}

Status options_compare(const Options *old, const Options *now, Buf *out_error, Buf *out_changed) {
    Status status = compare_table(options_top_table(), old, now, out_error, out_changed);

    if (status == OK)
        status = compare_table(options_jetstream_table(), &old->jetstream, &now->jetstream,
                               out_error, out_changed);
    if (status == OK)
        status = compare_table(options_websocket_table(), &old->websocket, &now->websocket,
                               out_error, out_changed);
    if (status == OK)
        status = compare_table(options_leafnodes_table(), &old->leafnodes, &now->leafnodes,
                               out_error, out_changed);
    if (status == OK)
        status = compare_keys(&old->jetstream, &now->jetstream, out_error, out_changed);
    if (status == OK && !is_limits_same(&old->jetstream.limits, &now->jetstream.limits)) {
        buf_append_lit(out_error,
                       "config reload not supported for JetStreamLimits: old=..., new=...");
        status = ERR_UNSUPPORTED;
    }
    if (status == OK)
        status = compare_accounts(old, now, out_error);
    if (status == OK)
        compare_blocks(old, now, out_changed);
    return status;
}
