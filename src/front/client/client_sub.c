#include "base/log.h"
#include "front/client/client_private.h"
#include "proto/subject.h"

static SubVerdict verdict_of(const Client *client, Slice subject, Slice queue) {
    const Permissions *permissions = client->user->permissions;
    return permissions ? permissions_may_subscribe(permissions, subject, queue) : SUB_ALLOWED;
}

static void refuse(Client *client, const NatsOp *op) {
    if (op->queue.len) {
        CLIENT_LOG(client, LOG_ERROR,
                   "Subscription Violation - Subject \"%.*s\", Queue: \"%.*s\", SID %.*s",
                   SLICE_ARG(op->subject), SLICE_ARG(op->queue), SLICE_ARG(op->sid));
        client_send_error(client,
                          "Permissions Violation for Subscription to \"%.*s\" using queue \"%.*s\"",
                          SLICE_ARG(op->subject), SLICE_ARG(op->queue));
        return;
    }
    CLIENT_LOG(client, LOG_ERROR, "Subscription Violation - Subject \"%.*s\", SID %.*s",
               SLICE_ARG(op->subject), SLICE_ARG(op->sid));
    client_send_error(client, "Permissions Violation for Subscription to \"%.*s\"",
                      SLICE_ARG(op->subject));
}

static bool has_too_many_tokens(const Client *client, Slice subject) {
    unsigned max = client->clients->options->max_sub_tokens;
    return max && subject_token_count(subject) > max;
}

static bool fits(const NatsOp *op) {
    return op->subject.len <= UINT16_MAX && op->queue.len <= UINT16_MAX &&
           op->sid.len <= UINT16_MAX && subject_is_valid(op->subject);
}

void client_subscribe(Client *client, const NatsOp *op) {
    if (has_too_many_tokens(client, op->subject)) {
        client_send_error(client,
                          "Permissions Violation for Subscription to \"%.*s\", too many tokens",
                          SLICE_ARG(op->subject));
        return;
    }
    SubVerdict verdict = verdict_of(client, op->subject, op->queue);
    if (verdict == SUB_DENIED) {
        refuse(client, op);
        return;
    }
    if (client->subs.len >= client->subs_max) {
        CLIENT_LOG(client, LOG_ERROR, "maximum subscriptions exceeded");
        client_send_error(client, "maximum subscriptions exceeded");
        return;
    }
    if (!sub_table_get(&client->subs, op->sid)) {
        if (!fits(op)) {
            client_send_error(client, "Invalid Subject");
            return;
        }
        Sub *sub = sub_add(client->account, &client->port, op->subject, op->queue, op->sid, false);
        sub->cookie = verdict == SUB_FILTERED ? SUB_IS_FILTERED : 0;
        sub_table_add(&client->subs, sub);
        client->clients->stats.subscriptions++;
    }
    if (client->is_verbose)
        client_send_ok(client);
}

void client_remove_sub(Client *client, Sub *sub) {
    if (log_wants(LOG_TRACE_LEVEL))
        client_trace_delsub(client, sub);
    sub_table_remove(&client->subs, sub);
    client->clients->stats.subscriptions--;
    sub_remove(sub);
}

void client_remove_subs(Client *client) {
    Sub *sub;
    uint32_t at = 0;

    if (client->subs.len == 0)
        return;
    while ((sub = sub_table_next(&client->subs, &at))) {
        if (log_wants(LOG_TRACE_LEVEL))
            client_trace_delsub(client, sub);
        sub_remove(sub);
    }
    client->clients->stats.subscriptions -= client->subs.len;
    sub_table_done(&client->subs);
}

void client_unsubscribe(Client *client, const NatsOp *op) {
    Sub *sub = sub_table_get(&client->subs, op->sid);
    if (sub) {
        if (op->max > sub->delivered)
            sub->max = op->max;
        else
            client_remove_sub(client, sub);
    }
    if (client->is_verbose)
        client_send_ok(client);
}

static void drop_denied(Client *client, Sub *sub) {
    Slice subject = sub_subject(sub), queue = sub_queue(sub), sid = sub_sid(sub);
    if (queue.len)
        client_send_error(client,
                          "Permissions Violation for Subscription to \"%.*s\" using queue "
                          "\"%.*s\" (sid \"%.*s\")",
                          SLICE_ARG(subject), SLICE_ARG(queue), SLICE_ARG(sid));
    else
        client_send_error(client,
                          "Permissions Violation for Subscription to \"%.*s\" (sid \"%.*s\")",
                          SLICE_ARG(subject), SLICE_ARG(sid));
    CLIENT_LOG(client, LOG_INFO_LEVEL, "Removed sub \"%.*s\" (sid \"%.*s\"): no longer permitted",
               SLICE_ARG(subject), SLICE_ARG(sid));
    client_remove_sub(client, sub);
}

void client_recheck_subs(Client *client) {
    VEC(Sub *) denied = {0};
    Sub *sub;

    for (uint32_t i = 0; (sub = sub_table_next(&client->subs, &i));) {
        SubVerdict verdict = verdict_of(client, sub_subject(sub), sub_queue(sub));
        if (verdict == SUB_DENIED)
            vec_push(&denied, sub);
        sub->cookie = verdict == SUB_FILTERED ? SUB_IS_FILTERED : 0;
    }
    for (size_t i = 0; i < denied.len; i++)
        drop_denied(client, denied.at[i]);
    vec_done(&denied);
}
