#include "front/http/http_server.h"

#include <llhttp/llhttp.h>
#include <time.h>

#include "base/mem.h"
#include "io/clock.h"
#include "io/conn.h"
#include "io/listener.h"

enum {
    HTTP_URL_BYTES = 8192,          /* longer: 414 and close */
    HTTP_CONNECTIONS = 1024,        /* more: closed at once */
    HTTP_PENDING_BYTES = 256 << 20, /* of one connection */
};

struct HttpServer {
    Worker *home;
    Listener *listener;
    Pages *pages;
    Slice base_path, version;
    List conns;
    size_t conn_count;
    bool is_closing; /* freed with the last connection */
};

typedef struct HttpConn {
    Conn conn; /* first */
    HttpServer *server;
    Link link;
    llhttp_t parser;
    Buf url;
    Page *page; /* being made */
    bool is_head, keep_alive, is_closed, is_url_too_long;
} HttpConn;

static void on_accept(Listener *listener, int fd);
static int on_url(llhttp_t *parser, const char *at, size_t len);
static int on_message_begin(llhttp_t *parser);
static int on_message_complete(llhttp_t *parser);
static const ConnOps conn_ops;
static llhttp_settings_t settings;

Status http_server_open(Worker *main, const char *host, int port, Slice base_path, Slice version,
                        Pages *pages, HttpServer **out_server) {
    HttpServer *server = mem_zalloc(sizeof *server);
    *server =
        (HttpServer){.home = main, .pages = pages, .base_path = base_path, .version = version};
    list_init(&server->conns);
    llhttp_settings_init(&settings);
    settings.on_message_begin = on_message_begin;
    settings.on_url = on_url;
    settings.on_message_complete = on_message_complete;
    Status status = listener_open(main, host, port, on_accept, server, &server->listener);
    if (status != OK) {
        mem_free(server);
        return status;
    }
    *out_server = server;
    return OK;
}

uint16_t http_server_port(const HttpServer *server) {
    return listener_port(server->listener);
}

const char *http_server_host(const HttpServer *server) {
    return listener_host(server->listener);
}

void http_server_close(HttpServer *server) {
    if (server == NULL)
        return;
    listener_close(server->listener);
    LIST_FOR_EACH(link, &server->conns) {
        HttpConn *http = CONTAINER_OF(link, HttpConn, link);
        if (conn_is_open(&http->conn))
            conn_close(&http->conn, CONN_END_OURS);
    }
    server->is_closing = true;
    if (server->conn_count == 0)
        mem_free(server);
}

static void on_accept(Listener *listener, int fd) {
    HttpServer *server = listener_cookie(listener);
    HttpConn *http = mem_zalloc(sizeof *http);
    http->server = server;
    llhttp_init(&http->parser, HTTP_REQUEST, &settings);
    http->parser.data = http;
    if (conn_open(&http->conn, server->home, fd, &conn_ops) != OK) {
        mem_free(http);
        return;
    }
    http->conn.pending_max = HTTP_PENDING_BYTES;
    list_push_back(&server->conns, &http->link);
    if (++server->conn_count > HTTP_CONNECTIONS)
        conn_close(&http->conn, CONN_END_OURS);
}

static void http_free(HttpConn *http) {
    buf_done(&http->url);
    mem_free(http);
}

static void on_closed(Conn *conn, ConnEnd end) {
    HttpConn *http = CONTAINER_OF(conn, HttpConn, conn);
    HttpServer *server = http->server;
    list_remove(&http->link);
    http->is_closed = true;
    if (--server->conn_count == 0 && server->is_closing)
        mem_free(server);
    if (http->page == NULL)
        http_free(http);
}

static const char *reason_of(unsigned status) {
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 414:
        return "URI Too Long";
    case 500:
        return "Internal Server Error";
    case 503:
        return "Service Unavailable";
    default:
        return "Unknown";
    }
}

static void send_response(HttpConn *http, unsigned status, const char *type, bool is_shared,
                          Slice body) {
    Buf head = {0};
    char date[64];
    time_t now = (time_t)(clock_wall_ns() / NS_PER_S);
    struct tm tm;
    (void)gmtime_r(&now, &tm);
    (void)strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", &tm);
    buf_printf(&head,
               "HTTP/1.1 %u %s\r\n%sContent-Type: %s\r\nDate: %s\r\nContent-Length: %zu\r\n%s\r\n",
               status, reason_of(status), is_shared ? "Access-Control-Allow-Origin: *\r\n" : "",
               type, date, body.len, http->keep_alive ? "" : "Connection: close\r\n");
    conn_append(&http->conn, buf_slice(&head));
    if (!http->is_head)
        conn_append(&http->conn, body);
    buf_done(&head);
    if (!http->keep_alive)
        conn_close_after_flush(&http->conn);
}

static void send_page(HttpConn *http, Page *page) {
    Buf indented = {0};
    Slice body = buf_slice(&page->body);
    const char *type = page->is_text      ? "text/plain; charset=utf-8"
                       : page->is_metrics ? "text/plain; version=0.0.4; charset=utf-8"
                       : page->is_html    ? "text/html; charset=utf-8"
                                          : "application/json";
    if (!page->is_text && !page->is_html && !page->is_compact && !page->is_metrics) {
        json_indent(&indented, body);
        body = buf_slice(&indented);
    } else if (page->is_text) {
        buf_append_char(&page->body, '\n');
        body = buf_slice(&page->body);
    }
    send_response(http, page->status, type, !page->is_text && !page->is_html, body);
    buf_done(&indented);
}

static void page_done(Page *page) {
    HttpConn *http = page->door;
    http->page = NULL;
    if (!http->is_closed && conn_is_open(&http->conn)) {
        send_page(http, page);
        if (http->keep_alive)
            conn_resume_reading(&http->conn);
    }
    buf_done(&page->body);
    mem_free(page);
    if (http->is_closed)
        http_free(http);
}

static void index_page(HttpConn *http, Page *page) {
    static const char *const links[] = {"varz",  "jsz",     "connz",  "accountz",
                                        "subsz", "healthz", "metrics"};
    page->status = 200;
    page->is_html = true;
    buf_printf(
        &page->body,
        "<html "
        "lang=\"en\"><head><title>Holdwater</title></head><body><h1>Holdwater</h1><p>%.*s</p>",
        SLICE_ARG(http->server->version));
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++)
        buf_printf(&page->body, "<a href=./%s>%s</a><br/>", links[i], links[i]);
    buf_append_lit(&page->body, "</body></html>");
    page_finish(page);
}

static void serve(HttpConn *http) {
    Slice url = buf_slice(&http->url);
    size_t at = slice_find(url, '?');
    Slice path = slice_first(url, at);
    if (http->server->base_path.len && slice_starts_with(path, http->server->base_path))
        path = slice_from_at(path, http->server->base_path.len);
    Page *page = mem_zalloc(sizeof *page);
    *page = (Page){.home = http->server->home,
                   .query = slice_from_at(url, at + 1),
                   .done = page_done,
                   .door = http};
    http->page = page;
    conn_pause_reading(&http->conn);
    if (path.len == 0 || slice_equal(path, LIT("/")))
        index_page(http, page);
    else if (!pages_serve(http->server->pages, path, page))
        page_fail(page, 404, "404 page not found");
}

static int on_message_begin(llhttp_t *parser) {
    HttpConn *http = parser->data;
    buf_clear(&http->url);
    http->is_url_too_long = false;
    return 0;
}

static int on_url(llhttp_t *parser, const char *at, size_t len) {
    HttpConn *http = parser->data;
    if (http->url.len + len > HTTP_URL_BYTES)
        http->is_url_too_long = true;
    else
        buf_append_bytes(&http->url, at, len);
    return 0;
}

/* One request at a time: the parser stops here and goes on when the response was made. */
static int on_message_complete(llhttp_t *parser) {
    (void)parser;
    return HPE_PAUSED;
}

static void refuse(HttpConn *http, unsigned status) {
    http->keep_alive = false;
    send_response(http, status, "text/plain; charset=utf-8", false,
                  slice_of_text(reason_of(status)));
}

static size_t on_data(Conn *conn, char *data, size_t len) {
    HttpConn *http = CONTAINER_OF(conn, HttpConn, conn);
    llhttp_errno_t result = llhttp_execute(&http->parser, data, len);
    if (result == HPE_OK)
        return len;
    if (result != HPE_PAUSED) {
        http->is_head = false;
        refuse(http, 400);
        return len;
    }
    size_t used = (size_t)(llhttp_get_error_pos(&http->parser) - data);
    llhttp_resume(&http->parser);
    http->keep_alive = llhttp_should_keep_alive(&http->parser) != 0;
    http->is_head = http->parser.method == HTTP_HEAD;
    if (http->is_url_too_long)
        refuse(http, 414);
    else if (http->parser.method != HTTP_GET && http->parser.method != HTTP_HEAD)
        refuse(http, 405);
    else
        serve(http);
    return used < len ? used : len;
}

static void on_drained(Conn *conn) {
    (void)conn;
}

static const ConnOps conn_ops = {
    .on_data = on_data, .on_drained = on_drained, .on_closed = on_closed};
