#include <string.h>

#include "base/mem.h"
#include "stream/catalogue_private.h"
#include "stream/consumer_limits.h"
#include "stream/restore.h"

/* What the catalogue decided, on its way to the workers. All others are told before the home, which
 * answers the client: posted at once and in that order, the news is known everywhere before the
 * answer can be. */

typedef enum NewsKind {
    NEWS_ADDED,
    NEWS_REMOVED,
    NEWS_CONFIG,
    NEWS_SHOWN,
    NEWS_ASKED,
    NEWS_HIDDEN,
    NEWS_REVEALED,
    NEWS_DROPPED,
} NewsKind;

typedef struct News {
    Mail mail;
    NewsKind kind;
    uint32_t account, group;
    unsigned code; /* dropped: why */
    int64_t created_ns;
    StreamConfig *config; /* for the home: added, config */
    ApiCall *call;        /* for the home; may be NULL */
    size_t name_len;
    char name[];
} News;

static void news_arrived(Worker *here, Mail *mail);

static News *new_news(NewsKind kind, const Asset *asset) {
    Slice name = asset->config->name;
    News *news = mem_zalloc(sizeof *news + name.len);

    news->mail.arrive = news_arrived;
    news->kind = kind;
    news->account = (uint32_t)account_index(asset->account);
    news->group = asset->group;
    news->created_ns = asset->created_ns;
    news->name_len = name.len;
    memcpy(news->name, name.ptr, name.len);
    return news;
}

static void tell_home(Catalogue *catalogue, News *news, ApiCall *call) {
    if (call) {
        news->call = call;
        api_detach(call);
    }
    Worker *here = catalogue->js->home;
    worker_post(here, jetstream_home_of(here, news->group), &news->mail);
}

static void tell_others(Catalogue *catalogue, NewsKind kind, const Asset *asset) {
    Worker *first = catalogue->js->home, *home = jetstream_home_of(first, asset->group);

    for (unsigned i = 0; i < first->count; i++)
        if (first->all[i] != home)
            worker_post(first, first->all[i], &new_news(kind, asset)->mail);
    worker_fence(first); /* who hears of it from the home finds it known everywhere */
}

void catalogue_tell_added(Catalogue *catalogue, const Asset *asset, ApiCall *call) {
    News *news = new_news(NEWS_ADDED, asset);

    news->config = stream_config_copy(asset->config);
    tell_others(catalogue, NEWS_ADDED, asset);
    tell_home(catalogue, news, call);
}

void catalogue_tell_removed(Catalogue *catalogue, const Asset *asset, ApiCall *call) {
    tell_others(catalogue, NEWS_REMOVED, asset);
    tell_home(catalogue, new_news(NEWS_REMOVED, asset), call);
}

void catalogue_tell_config(Catalogue *catalogue, const Asset *asset, ApiCall *call) {
    News *news = new_news(NEWS_CONFIG, asset);

    news->config = stream_config_copy(asset->config);
    tell_home(catalogue, news, call);
}

void catalogue_tell_shown(Catalogue *catalogue, const Asset *asset, ApiCall *call) {
    tell_home(catalogue, new_news(NEWS_SHOWN, asset), call);
}

void catalogue_ask_home(Catalogue *catalogue, const Asset *asset, StreamConfig *config,
                        ApiCall *call) {
    News *news = new_news(NEWS_ASKED, asset);

    news->config = config;
    tell_home(catalogue, news, call);
}

void catalogue_tell_hidden(Catalogue *catalogue, const Asset *asset, ApiCall *call) {
    News *news = new_news(NEWS_HIDDEN, asset);

    news->config = stream_config_copy(asset->config);
    tell_home(catalogue, news, call);
}

void catalogue_tell_revealed(Catalogue *catalogue, const Asset *asset, ApiCall *call) {
    tell_others(catalogue, NEWS_ADDED, asset);
    tell_home(catalogue, new_news(NEWS_REVEALED, asset), call);
}

void catalogue_tell_dropped(Catalogue *catalogue, const Asset *asset, unsigned code,
                            ApiCall *call) {
    News *news = new_news(NEWS_DROPPED, asset);

    news->code = code;
    tell_home(catalogue, news, call);
}

/* On the workers. */

static void answer_create(ApiCall *call, Stream *stream) {
    StreamInfoOptions options = {0};
    Buf out;

    if (!call)
        return;
    api_begin(call, &out);
    stream_info_write(&out, stream, &options);
    buf_append_lit(&out, ",\"did_create\":true");
    api_finish(call, &out);
}

static void on_added(JetStream *js, Account *account, News *news) {
    Slice name = slice_from(news->name, news->name_len);

    jetstream_add_ref(js, account, name, news->group);
    if (!news->config)
        return;
    Stream *stream = stream_new(js, account, news->group, news->config, news->created_ns);
    jetstream_find(js, account, name)->stream = stream;
    stream_start(stream);
    answer_create(news->call, stream);
    api_advise_stream(js, account, name, LIT("create"));
}

static void on_removed(JetStream *js, Account *account, News *news) {
    Slice name = slice_from(news->name, news->name_len);
    Stream *stream = map64_get(&js->streams, news->group);

    jetstream_remove_ref(js, account, name);
    if (!stream)
        return;
    api_stream_gone(js->api, stream);
    stream_delete(stream);
    api_advise_stream(js, account, name, LIT("delete"));
    if (news->call)
        api_reply_success(news->call);
}

static void on_hidden(JetStream *js, Account *account, News *news) {
    Stream *stream = stream_new(js, account, news->group, news->config, news->created_ns);

    stream_hide(stream);
    restore_begin(stream, news->call);
}

static void on_revealed(JetStream *js, Account *account, News *news) {
    Slice name = slice_from(news->name, news->name_len);
    Stream *stream = map64_get(&js->streams, news->group);

    ASSERT(stream != NULL);
    jetstream_add_ref(js, account, name, news->group);
    jetstream_find(js, account, name)->stream = stream;
    stream->created_ns = news->created_ns;
    stream_reveal(stream);
    stream_start(stream);
    restore_end(stream, news->call);
}

static void on_dropped(JetStream *js, News *news) {
    Stream *stream = map64_get(&js->streams, news->group);

    ASSERT(stream != NULL);
    restore_drop(stream, news->code, news->call);
    stream_delete(stream);
}

static void on_config(JetStream *js, Account *account, News *news) {
    Stream *stream = map64_get(&js->streams, news->group);

    ASSERT(stream != NULL); /* the catalogue's news comes in its order */
    api_advise_stream(js, account, slice_from(news->name, news->name_len), LIT("modify"));
    stream_propose_config(stream, news->config, news->call);
}

static void on_asked(JetStream *js, News *news) {
    Stream *stream = map64_get(&js->streams, news->group);
    ApiCall *call = news->call;
    Buf names = {0}, text = {0};

    ASSERT(stream != NULL);
    consumer_limits_find_above(stream->consumers, news->config, &names);
    stream_config_free(news->config);
    if (names.len) {
        buf_append_lit(&text, "change to limits violates consumers: ");
        buf_append(&text, buf_slice(&names));
        api_reply_error(call,
                        api_error_with(api_arena(call), JSStreamUpdateErrF, buf_slice(&text)));
    } else {
        call->is_checked = true;
        api_move(call, js->home->all[0]);
    }
    buf_done(&names);
    buf_done(&text);
}

static void news_arrived(Worker *here, Mail *mail) {
    News *news = CONTAINER_OF(mail, News, mail);
    JetStream *js = here->jetstream;
    Account *account = bus_account(here->bus, news->account);

    if (news->call)
        api_attach(news->call, here);
    switch (news->kind) {
    case NEWS_ADDED:
        on_added(js, account, news);
        break;
    case NEWS_REMOVED:
        on_removed(js, account, news);
        break;
    case NEWS_CONFIG:
        on_config(js, account, news);
        break;
    case NEWS_ASKED:
        on_asked(js, news);
        break;
    case NEWS_HIDDEN:
        on_hidden(js, account, news);
        break;
    case NEWS_REVEALED:
        on_revealed(js, account, news);
        break;
    case NEWS_DROPPED:
        on_dropped(js, news);
        break;
    case NEWS_SHOWN: {
        Stream *stream = map64_get(&js->streams, news->group);
        ASSERT(stream != NULL);
        answer_create(news->call, stream);
        break;
    }
    }
    mem_free(news);
}
