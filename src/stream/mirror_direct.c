#include "stream/mirror_direct.h"

#include "base/mem.h"
#include "stream/api_private.h"
#include "stream/stream_parts.h"

struct MirrorDirect {
    Port port; /* first */
    Stream *stream;
    Sub *sub;
};

static const Slice api_prefix = LIT("$JS.API.DIRECT.GET.");

static void on_deliver(Port *port, Sub *sub, const Message *message) {
    MirrorDirect *direct = CONTAINER_OF(port, MirrorDirect, port);
    Stream *stream = direct->stream;
    Api *api = stream->js->api;
    (void)sub;
    if (!api || !slice_starts_with(message->subject, api_prefix))
        return;
    Slice names = slice_from_at(message->subject, api_prefix.len);
    Slice rest = slice_from_at(names, slice_find(names, '.') + 1);
    if (api_level_is_met(message->headers))
        api_direct_get(api, stream, rest, message);
    else
        api_send_status(api, stream->account, message->reply, LIT("412 Required Api Level"));
}

static const PortOps port_ops = {.kind = PORT_API, .deliver = on_deliver};

static void write_subject(Slice origin, Buf *out) {
    buf_append_lit(out, "$JSC.DG.");
    buf_append(out, origin);
}

void mirror_direct_configure(Stream *stream) {
    StreamParts *parts = stream->parts;
    const StreamConfig *config = stream->config;
    bool is_wanted = parts->is_started && config->has_mirror && config->mirror_direct;
    if (!is_wanted) {
        if (parts->mirror_direct)
            sub_remove(parts->mirror_direct->sub);
        mirror_direct_free(parts->mirror_direct);
        parts->mirror_direct = NULL;
        return;
    }
    if (parts->mirror_direct)
        return;
    MirrorDirect *direct = mem_zalloc(sizeof *direct);
    Buf subject = {0};
    direct->port = (Port){.ops = &port_ops, .home = stream->group.home};
    direct->stream = stream;
    write_subject(config->mirror.name, &subject);
    direct->sub = sub_add(stream->account, &direct->port, buf_slice(&subject), LIT("_mirrors_"),
                          (Slice){0}, false);
    parts->mirror_direct = direct;
    buf_done(&subject);
}

void mirror_direct_free(MirrorDirect *direct) {
    mem_free(direct);
}

bool mirror_direct_pass(Account *account, Slice origin, const Message *message) {
    Buf subject = {0};
    write_subject(origin, &subject);
    bool is_taken = origin.len && bus_has_interest(account, buf_slice(&subject)) &&
                    bus_publish(account, buf_slice(&subject), message, NULL, BUS_NO_MAPPINGS) > 0;
    buf_done(&subject);
    return is_taken;
}
