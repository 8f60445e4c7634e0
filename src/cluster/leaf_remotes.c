/* The servers that this one connects to, on the main worker: names are looked up on an offload
 * thread, the connection is made on the home of its account, and made anew when it has ended. */
#include <errno.h>

#include "cluster/leaf_private.h"
#include "io/offload.h"

typedef struct LeafRemote {
    LeafRemotes *remotes;
    uint64_t id;
    Arena *arena;
    LeafRemoteOptions options; /* in arena */
    VEC(LeafUrl) urls;         /* configured, then those it told of */
    size_t next_url;
    char *print; /* all that matters of its options */
    size_t print_len;
    Timer timer;       /* until the next attempt */
    bool is_under_way; /* looked up, dialled or connected */
    bool is_gone;      /* freed when nothing is under way */
    unsigned attempts;
} LeafRemote;

struct LeafRemotes {
    Leafnodes *main;
    VEC(LeafRemote *) all;
    uint64_t last_id;
    uint64_t reconnect_ns, dial_timeout_ns, write_deadline_ns;
    bool is_started;
};

static void on_timer(Timer *timer);

LeafRemotes *leaf_remotes_new(Leafnodes *main) {
    LeafRemotes *remotes = mem_zalloc(sizeof *remotes);
    remotes->main = main;
    return remotes;
}

static void free_remote(LeafRemote *remote) {
    timer_cancel(remote->remotes->main->home, &remote->timer);
    vec_done(&remote->urls);
    arena_free(remote->arena);
    mem_free(remote->print);
    mem_free(remote);
}

void leaf_remotes_free(LeafRemotes *remotes) {
    for (size_t i = 0; i < remotes->all.len; i++)
        free_remote(remotes->all.at[i]);
    vec_done(&remotes->all);
    mem_free(remotes);
}

size_t leaf_remotes_count(const LeafRemotes *remotes) {
    return remotes->all.len;
}

void leaf_target_free(LeafTarget *target) {
    arena_free(target->arena); /* target lies in it */
}

/* ---- configuration ---- */

static const Slice *copy_list(Arena *arena, const Slice *from, size_t count) {
    Slice *to = arena_alloc(arena, (count + 1) * sizeof *to);
    for (size_t i = 0; i < count; i++)
        to[i] = arena_copy(arena, from[i]);
    return to;
}

static LeafUrl copy_url(Arena *arena, const LeafUrl *url) {
    LeafUrl copy = *url;
    copy.host = arena_copy(arena, url->host);
    copy.user = arena_copy(arena, url->user);
    copy.password = arena_copy(arena, url->password);
    return copy;
}

/* urls: count of them from here on instead of all. */
static LeafRemoteOptions copy_options(Arena *arena, const LeafRemoteOptions *from,
                                      const LeafUrl *urls, size_t count) {
    LeafRemoteOptions to = *from;
    LeafUrl *copies = arena_alloc(arena, (count + 1) * sizeof *copies);
    for (size_t i = 0; i < count; i++)
        copies[i] = copy_url(arena, &urls[i]);
    to.urls = copies;
    to.url_count = count;
    to.account_name = arena_copy(arena, from->account_name);
    to.deny_imports = copy_list(arena, from->deny_imports, from->deny_import_count);
    to.deny_exports = copy_list(arena, from->deny_exports, from->deny_export_count);
    return to;
}

static void print_list(Buf *out, const Slice *list, size_t count) {
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "%zu:%.*s,", list[i].len, SLICE_ARG(list[i]));
    buf_append_char(out, ';');
}

static void print_options(Buf *out, const LeafRemoteOptions *options) {
    for (size_t i = 0; i < options->url_count; i++) {
        const LeafUrl *url = &options->urls[i];
        print_list(out, (const Slice[]){url->host, url->user, url->password}, 3);
        buf_printf(out, "%u,%d", url->port, url->has_password);
    }
    print_list(out, options->deny_imports, options->deny_import_count);
    print_list(out, options->deny_exports, options->deny_export_count);
    buf_printf(out, "%zu,%d%d%d%d%d,%lld,%lld", options->account, options->is_hub,
               options->is_in_order, options->ignores_discovered, options->is_isolated,
               options->asks_isolation, (long long)options->dial_timeout_ns,
               (long long)options->first_info_timeout_ns);
}

static void shuffle(LeafRemote *remote, Rand *rand) {
    for (size_t i = remote->urls.len; i > 1; i--) {
        size_t k = (size_t)rand_below(rand, i);
        LeafUrl url = remote->urls.at[i - 1];
        remote->urls.at[i - 1] = remote->urls.at[k];
        remote->urls.at[k] = url;
    }
}

static LeafRemote *remote_new(LeafRemotes *remotes, const LeafRemoteOptions *options,
                              const Buf *print) {
    LeafRemote *remote = mem_zalloc(sizeof *remote);
    remote->remotes = remotes;
    remote->id = ++remotes->last_id;
    remote->arena = arena_new_small();
    remote->options = copy_options(remote->arena, options, options->urls, options->url_count);
    for (size_t i = 0; i < remote->options.url_count; i++)
        vec_push(&remote->urls, remote->options.urls[i]);
    if (!options->is_in_order)
        shuffle(remote, &remotes->main->home->rand);
    remote->print = mem_copy(print->ptr, print->len);
    remote->print_len = print->len;
    timer_init(&remote->timer, on_timer);
    return remote;
}

static LeafRemote *find_print(const LeafRemotes *remotes, const Buf *print) {
    for (size_t i = 0; i < remotes->all.len; i++) {
        LeafRemote *remote = remotes->all.at[i];
        if (!remote->is_gone &&
            slice_equal(slice_from(remote->print, remote->print_len), buf_slice(print)))
            return remote;
    }
    return NULL;
}

static LeafRemote *find_id(const LeafRemotes *remotes, uint64_t id, size_t *out_at) {
    for (size_t i = 0; i < remotes->all.len; i++)
        if (remotes->all.at[i]->id == id) {
            *out_at = i;
            return remotes->all.at[i];
        }
    return NULL;
}

static void begin(LeafRemote *remote, uint64_t delay_ns) {
    Worker *home = remote->remotes->main->home;
    if (remote->remotes->is_started && !remote->is_under_way && !remote->is_gone)
        timer_set(home, &remote->timer, home->now_ns + delay_ns);
}

static bool is_kept(const LeafOptions *options, const LeafRemote *remote) {
    Buf print = {0};
    bool is_found = false;
    for (size_t i = 0; i < options->remote_count && !is_found; i++) {
        buf_clear(&print);
        print_options(&print, &options->remotes[i]);
        is_found = !options->remotes[i].is_disabled &&
                   slice_equal(slice_from(remote->print, remote->print_len), buf_slice(&print));
    }
    buf_done(&print);
    return is_found;
}

static void leave(LeafRemotes *remotes, size_t at) {
    LeafRemote *remote = remotes->all.at[at];
    remote->is_gone = true;
    timer_cancel(remotes->main->home, &remote->timer);
    if (!remote->is_under_way) {
        free_remote(remote);
        vec_remove_ordered(&remotes->all, at);
        return;
    }
    leaf_close_elsewhere(remotes->main, leaf_home_of(remotes->main, remote->options.account), 0,
                         remote->id, "Client Closed");
}

void leaf_remotes_configure(LeafRemotes *remotes, const LeafOptions *options) {
    remotes->reconnect_ns =
        options->reconnect_ns > 0 ? (uint64_t)options->reconnect_ns : LEAF_RECONNECT_NS;
    remotes->dial_timeout_ns =
        options->dial_timeout_ns > 0 ? (uint64_t)options->dial_timeout_ns : LEAF_DIAL_TIMEOUT_NS;
    remotes->write_deadline_ns =
        options->write_deadline_ns > 0 ? (uint64_t)options->write_deadline_ns : 0;
    for (size_t i = remotes->all.len; i-- > 0;)
        if (!remotes->all.at[i]->is_gone && !is_kept(options, remotes->all.at[i]))
            leave(remotes, i);
    Buf print = {0};
    for (size_t i = 0; i < options->remote_count; i++) {
        if (options->remotes[i].is_disabled)
            continue;
        buf_clear(&print);
        print_options(&print, &options->remotes[i]);
        if (find_print(remotes, &print))
            continue;
        LeafRemote *remote = remote_new(remotes, &options->remotes[i], &print);
        vec_push(&remotes->all, remote);
        begin(remote, 0);
    }
    buf_done(&print);
}

void leaf_remotes_start(LeafRemotes *remotes) {
    remotes->is_started = true;
    for (size_t i = 0; i < remotes->all.len; i++)
        begin(remotes->all.at[i], 0);
}

void leaf_remotes_stop(LeafRemotes *remotes) {
    remotes->is_started = false;
    for (size_t i = 0; i < remotes->all.len; i++)
        timer_cancel(remotes->main->home, &remotes->all.at[i]->timer);
}

/* ---- an attempt ---- */

typedef struct Lookup {
    OffloadJob job; /* first */
    LeafRemotes *remotes;
    uint64_t remote;
    Arena *arena; /* of target too */
    LeafTarget *target;
    char *host;
    Status status;
    DialAddress addresses[DIAL_ADDRESSES_MAX];
    size_t count;
    const char *why;
} Lookup;

typedef struct DialMail {
    Mail mail; /* first */
    uint64_t id;
    LeafTarget *target;
} DialMail;

static void retry(LeafRemote *remote, uint64_t delay_ns) {
    LeafRemotes *remotes = remote->remotes;
    uint64_t usual = remotes->reconnect_ns;
    usual += rand_below(&remotes->main->home->rand, usual);
    remote->is_under_way = false;
    begin(remote, delay_ns > usual ? delay_ns : usual);
}

/* Nothing is under way any more. */
static void has_ended(LeafRemotes *remotes, uint64_t id, uint64_t delay_ns) {
    size_t at;
    LeafRemote *remote = find_id(remotes, id, &at);
    if (!remote)
        return;
    remote->is_under_way = false;
    if (remote->is_gone) {
        free_remote(remote);
        vec_remove_ordered(&remotes->all, at);
        return;
    }
    retry(remote, delay_ns);
}

static void dial_arrives(Worker *here, Mail *mail) {
    DialMail *dial = CONTAINER_OF(mail, DialMail, mail);
    LeafTarget *target = dial->target;
    int fd;
    if (dial_start(&target->address, &fd) == OK) {
        leaf_open_solicited(here->leafnodes, dial->id, fd, target);
    } else {
        char why[128];
        LOG_ERR("Error trying to connect as leafnode to remote server", "\"%.*s:%u\": %s",
                SLICE_ARG(target->options.urls[0].host), target->options.urls[0].port,
                strerror_r(errno, why, sizeof why));
        leaf_remotes_tell_end(here->leafnodes, target->remote, 0);
        leaf_target_free(target);
    }
    mem_free(dial);
}

static void run_lookup(OffloadJob *job) {
    Lookup *lookup = CONTAINER_OF(job, Lookup, job);
    lookup->status = dial_resolve(lookup->host, lookup->target->options.urls[0].port,
                                  lookup->addresses, &lookup->count, &lookup->why);
}

static void lookup_done(Worker *here, OffloadJob *job) {
    Lookup *lookup = CONTAINER_OF(job, Lookup, job);
    LeafRemotes *remotes = lookup->remotes;
    LeafTarget *target = lookup->target;
    size_t at;
    LeafRemote *remote = find_id(remotes, lookup->remote, &at);
    bool is_wanted = remote && !remote->is_gone && remotes->is_started;
    if (is_wanted && lookup->status == OK) {
        const LeafFacts *facts = remotes->main->facts;
        DialMail *dial = mem_zalloc(sizeof *dial);
        target->address = lookup->addresses[rand_below(&here->rand, lookup->count)];
        dial_address_text(&target->address, target->ip);
        *dial = (DialMail){{.arrive = dial_arrives}, facts->next_id(facts->cookie), target};
        worker_post(here, leaf_home_of(remotes->main, target->options.account), &dial->mail);
    } else {
        if (is_wanted)
            LOG_ERR("Error trying to connect as leafnode to remote server",
                    "\"%.*s:%u\" (attempt %u): lookup %.*s: %s",
                    SLICE_ARG(target->options.urls[0].host), target->options.urls[0].port,
                    remote->attempts, SLICE_ARG(target->options.urls[0].host),
                    lookup->why ? lookup->why : "no such host");
        leaf_target_free(target);
        has_ended(remotes, lookup->remote, 0);
    }
    mem_free(lookup->host);
    mem_free(lookup);
}

static void on_timer(Timer *timer) {
    LeafRemote *remote = CONTAINER_OF(timer, LeafRemote, timer);
    LeafRemotes *remotes = remote->remotes;
    const LeafUrl *url = &remote->urls.at[remote->next_url++ % remote->urls.len];
    Arena *arena = arena_new_small();
    LeafTarget *target = arena_zalloc(arena, sizeof *target);
    Lookup *lookup = mem_zalloc(sizeof *lookup);

    target->arena = arena;
    target->remote = remote->id;
    target->options = copy_options(arena, &remote->options, url, 1);
    target->dial_timeout_ns = remote->options.dial_timeout_ns > 0
                                  ? (uint64_t)remote->options.dial_timeout_ns
                                  : remotes->dial_timeout_ns;
    target->write_deadline_ns = remotes->write_deadline_ns;
    remote->is_under_way = true;
    remote->attempts++;
    lookup->job.run = run_lookup;
    lookup->job.done = lookup_done;
    lookup->job.home = remotes->main->home;
    lookup->remotes = remotes;
    lookup->remote = remote->id;
    lookup->target = target;
    lookup->host = slice_to_text(url->host);
    LOG_DEBUG("Trying to connect as leafnode to remote server on", "\"%.*s:%u\"",
              SLICE_ARG(url->host), url->port);
    offload_submit(remotes->main->facts->offload, &lookup->job);
}

/* ---- what homes tell ---- */

typedef struct EndMail {
    Mail mail; /* first */
    uint64_t remote, delay_ns;
} EndMail;

static void end_arrives(Worker *here, Mail *mail) {
    EndMail *end = CONTAINER_OF(mail, EndMail, mail);
    has_ended(here->leafnodes->main->remotes, end->remote, end->delay_ns);
    mem_free(end);
}

void leaf_remotes_tell_end(Leafnodes *home, uint64_t remote, uint64_t delay_ns) {
    if (home->is_ending)
        return;
    EndMail *end = mem_zalloc(sizeof *end);
    *end = (EndMail){{.arrive = end_arrives}, remote, delay_ns};
    worker_post(home->home, leaf_main_worker(home), &end->mail);
}

typedef struct UrlsMail {
    Mail mail; /* first */
    uint64_t remote;
    Arena *arena;
    Slice *urls;
    size_t count;
} UrlsMail;

static bool parse_address(Slice text, Slice *out_host, uint16_t *out_port) {
    size_t colon = text.len;
    uint64_t port;
    while (colon > 0 && text.ptr[colon - 1] != ':')
        colon--;
    if (colon < 2 || slice_parse_u64(slice_from_at(text, colon), &port) != OK || port == 0 ||
        port > UINT16_MAX)
        return false;
    Slice host = slice_first(text, colon - 1);
    if (host.len > 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = slice_from(host.ptr + 1, host.len - 2);
    *out_host = host;
    *out_port = (uint16_t)port;
    return host.len > 0;
}

/* As the configured ones: the same credentials. */
static void learn_url(LeafRemote *remote, Slice text) {
    LeafUrl url = remote->options.urls[0];
    if (remote->urls.len >= LEAF_URLS_MAX || !parse_address(text, &url.host, &url.port))
        return;
    for (size_t i = 0; i < remote->urls.len; i++)
        if (slice_equal(remote->urls.at[i].host, url.host) && remote->urls.at[i].port == url.port)
            return;
    vec_push(&remote->urls, copy_url(remote->arena, &url));
}

static void urls_arrive(Worker *here, Mail *mail) {
    UrlsMail *urls = CONTAINER_OF(mail, UrlsMail, mail);
    size_t at;
    LeafRemote *remote = find_id(here->leafnodes->main->remotes, urls->remote, &at);
    for (size_t i = 0; remote && i < urls->count; i++)
        learn_url(remote, urls->urls[i]);
    arena_free(urls->arena);
    mem_free(urls);
}

void leaf_remotes_tell_urls(Leafnodes *home, uint64_t remote, const Slice *urls, size_t count) {
    UrlsMail *mail = mem_zalloc(sizeof *mail);
    mail->mail.arrive = urls_arrive;
    mail->remote = remote;
    mail->arena = arena_new_small();
    mail->count = count < LEAF_URLS_MAX ? count : LEAF_URLS_MAX;
    mail->urls = arena_alloc(mail->arena, (mail->count + 1) * sizeof(Slice));
    for (size_t i = 0; i < mail->count; i++)
        mail->urls[i] = arena_copy(mail->arena, urls[i]);
    worker_post(home->home, leaf_main_worker(home), &mail->mail);
}
