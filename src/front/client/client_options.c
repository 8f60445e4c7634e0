#include "front/client/client_options.h"

#include "base/mem.h"
#include "front/client/client_private.h"

ClientOptions client_options_default(void) {
    const uint64_t second_ns = 1000 * 1000 * 1000;
    return (ClientOptions){
        .max_payload = 1024 * 1024,
        .max_control_line = 4096,
        .max_pending = 64 * 1024 * 1024,
        .max_connections = 65536,
        .ping_interval_ns = 120 * second_ns,
        .ping_max = 2,
        .write_deadline_ns = 10 * second_ns,
        .auth_timeout_ns = 2 * second_ns,
        .max_closed_clients = 10000,
        .trace_payloads = true,
        .api_level = 5,
        .system_account = 1,
    };
}

/* Where the copies of texts go: counted first, then written. */
typedef struct TextCopy {
    char *to; /* NULL while counting */
    size_t bytes;
} TextCopy;

static void copy_text(TextCopy *copy, Slice *text) {
    size_t at = copy->bytes;
    copy->bytes += text->len;
    if (!copy->to)
        return;
    if (text->len)
        memcpy(copy->to + at, text->ptr, text->len);
    text->ptr = copy->to + at;
}

static void copy_texts(TextCopy *copy, Slice *texts, size_t count) {
    for (size_t i = 0; i < count; i++)
        copy_text(copy, &texts[i]);
}

static Slice *copy_list(const Slice *from, size_t count) {
    Slice *list = mem_alloc(count * sizeof *list);
    if (count)
        memcpy(list, from, count * sizeof *list);
    return list;
}

static void copy_all(TextCopy *copy, OwnedOptions *owned) {
    ClientOptions *options = &owned->options;
    Slice *single[] = {&options->server_id,  &options->server_name, &options->version,
                       &options->git_commit, &options->go,          &options->host,
                       &options->cluster,    &options->domain,      &options->websocket_host};
    copy->bytes = 0;
    for (size_t i = 0; i < sizeof single / sizeof single[0]; i++)
        copy_text(copy, single[i]);
    copy_texts(copy, owned->connect_urls, options->connect_url_count);
    copy_texts(copy, owned->tags, options->tag_count);
    copy_texts(copy, owned->metadata, options->metadata_count);
}

OwnedOptions *owned_options_new(const ClientOptions *options) {
    OwnedOptions *owned = mem_zalloc(sizeof *owned);
    owned->options = *options;
    owned->connect_urls = copy_list(options->connect_urls, options->connect_url_count);
    owned->tags = copy_list(options->tags, options->tag_count);
    owned->metadata = copy_list(options->metadata, options->metadata_count);
    owned->limits = mem_alloc(options->account_limit_count * sizeof(AccountLimits));
    if (options->account_limit_count)
        memcpy(owned->limits, options->account_limits,
               options->account_limit_count * sizeof(AccountLimits));

    TextCopy copy = {NULL, 0};
    copy_all(&copy, owned);
    owned->bytes = mem_alloc(copy.bytes);
    copy.to = owned->bytes;
    copy_all(&copy, owned);
    owned->options.connect_urls = owned->connect_urls;
    owned->options.tags = owned->tags;
    owned->options.metadata = owned->metadata;
    owned->options.account_limits = owned->limits;
    return owned;
}

void owned_options_free(OwnedOptions *owned) {
    if (!owned)
        return;
    mem_free(owned->connect_urls);
    mem_free(owned->tags);
    mem_free(owned->metadata);
    mem_free(owned->limits);
    mem_free(owned->bytes);
    mem_free(owned);
}
