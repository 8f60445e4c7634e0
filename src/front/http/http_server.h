/* HttpServer: serves monitoring pages over HTTP/1.x on the main worker. GET and HEAD; keep-alive
 * and pipelining as HTTP has them. */
#pragma once

#include <stdint.h>

#include "io/worker.h"
#include "monitor/page.h"

typedef struct HttpServer HttpServer;

/* base_path: "" or "/x", cut off the front of each path. index_title: shown at "/". pages must live
 * on. ERR_IO: errno says why. */
MUST_CHECK Status http_server_open(Worker *main, const char *host, int port, Slice base_path,
                                   Slice version, Pages *pages, HttpServer **out_server);
uint16_t http_server_port(const HttpServer *server);
const char *http_server_host(const HttpServer *server);
/* Takes server: stops listening and closes connections, in this turn and the next. In set-up or on
 * the main worker. NULL-safe. */
void http_server_close(HttpServer *server);
