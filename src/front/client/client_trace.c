#include <stdarg.h>

#include "base/log.h"
#include "front/client/client_private.h"
#include "proto/json.h"

static void append_prefix(Buf *out, const Client *client) {
    Slice ip = client_ip(client), name = client_name(client), lang = client_lang(client),
          version = client_version(client);
    bool is_v6 = slice_find(ip, ':') < ip.len;

    buf_printf(out, is_v6 ? "[%.*s]:%u - %s:%llu" : "%.*s:%u - %s:%llu", SLICE_ARG(ip),
               client->peer_port, client_is_websocket(client) ? "wid" : "cid",
               (unsigned long long)client->cid);
    if (name.len || lang.len || version.len)
        buf_printf(out, " - \"v%.*s:%.*s:%.*s\"", SLICE_ARG(version), SLICE_ARG(lang),
                   SLICE_ARG(name));
    if (client->user && client->user->name.len && client->account)
        buf_printf(out, " - \"%.*s/user:%.*s\"", SLICE_ARG(account_name(client->account)),
                   SLICE_ARG(client->user->name));
    buf_append_lit(out, " - ");
}

static void emit(LogLevel level, Buf *line) {
    log_event(level, buf_text(line), "%s", "");
    buf_done(line);
}

void client_log(const Client *client, LogLevel level, const char *format, ...) {
    Buf line = {0};
    va_list args;

    append_prefix(&line, client);
    va_start(args, format);
    buf_vprintf(&line, format, args);
    va_end(args);
    emit(level, &line);
}

/* Secrets in a CONNECT are not for the log. */
static void append_redacted(Buf *out, Slice json) {
    static const char *const secrets[] = {"\"pass\"", "\"auth_token\"", "\"jwt\"", "\"sig\""};
    while (json.len) {
        size_t at = json.len, key_len = 0;
        for (size_t i = 0; i < sizeof secrets / sizeof secrets[0]; i++) {
            Slice key = slice_of_text(secrets[i]);
            size_t hit = slice_find_slice(json, key);
            if (hit < at) {
                at = hit;
                key_len = key.len;
            }
        }
        buf_append(out, slice_first(json, at + key_len));
        json = slice_from_at(json, at + key_len);
        if (key_len == 0)
            break;
        size_t quote = slice_find(json, '"');
        buf_append(out, slice_first(json, quote));
        json = slice_from_at(json, quote + 1);
        size_t end = 0;
        while (end < json.len && json.ptr[end] != '"')
            end += json.ptr[end] == '\\' ? 2 : 1;
        buf_append_lit(out, "\"[REDACTED]\"");
        json = slice_from_at(json, end + 1);
    }
}

void client_trace_in(const Client *client, const NatsOp *op) {
    static const char *const verbs[] = {"CONNECT", "PUB",  "HPUB", "SUB", "UNSUB",
                                        "PING",    "PONG", "INFO", "+OK", "-ERR"};
    Buf line = {0};

    append_prefix(&line, client);
    buf_printf(&line, "<<- [%s", verbs[op->verb]);
    if (op->args.len)
        buf_append_char(&line, ' ');
    if (op->verb == NATS_CONNECT)
        append_redacted(&line, op->args);
    else
        buf_append(&line, op->args);
    buf_append_char(&line, ']');
    emit(LOG_TRACE_LEVEL, &line);
    if (op->verb == NATS_PUB || op->verb == NATS_HPUB)
        client_trace_payload(client, "<<-", op->header, op->payload);
}

void client_trace_out(const Client *client, Slice text) {
    Buf line = {0};
    append_prefix(&line, client);
    buf_append_lit(&line, "->> [");
    buf_append(&line, text);
    buf_append_char(&line, ']');
    emit(LOG_TRACE_LEVEL, &line);
}

void client_trace_payload(const Client *client, const char *arrow, Slice header, Slice payload) {
    const ClientOptions *options = client->clients->options;
    Buf line = {0}, body = {0};

    if (!options->trace_payloads || header.len + payload.len == 0)
        return;
    buf_append(&body, header);
    buf_append(&body, payload);
    Slice shown = buf_slice(&body);
    append_prefix(&line, client);
    buf_printf(&line, "%s MSG_PAYLOAD: [", arrow);
    if (options->max_traced_bytes && shown.len > options->max_traced_bytes) {
        json_go_quote(&line, slice_first(shown, options->max_traced_bytes));
        buf_append_lit(&line, "...]");
    } else {
        json_go_quote(&line, shown);
        buf_append_char(&line, ']');
    }
    buf_done(&body);
    emit(LOG_TRACE_LEVEL, &line);
}

void client_trace_delsub(const Client *client, const Sub *sub) {
    Buf line = {0};
    append_prefix(&line, client);
    buf_printf(&line, "<-> [DELSUB %.*s]", SLICE_ARG(sub_sid(sub)));
    emit(LOG_TRACE_LEVEL, &line);
}
