/* Pages: the documents that monitoring serves, by path. Each layer registers the pages of what it
 * owns (subscriptions, streams, clients, the server); front/http serves them, on the main worker.
 *
 * A handler reads its parameters, gathers, writes JSON to page->body and ends with exactly one of
 * page_finish and page_fail. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/map.h"
#include "base/slice.h"
#include "io/worker.h"

typedef struct Pages Pages;
typedef struct Page Page;

typedef void PageHandler(Page *page, void *cookie);

struct Page {
    Worker *home;    /* the main worker */
    Slice query;     /* "a=b&c=d", still escaped */
    Buf body;        /* compact JSON; shown indented unless is_compact */
    unsigned status; /* 200 unless set */
    bool is_compact, is_text, is_html, is_metrics;
    bool is_failed;           /* a parameter was bad; the handler just returns */
    void (*done)(Page *page); /* the door's: sends and frees */
    void *door;
};

Pages *pages_new(void);
void pages_free(Pages *pages);

/* path as literal text that lives on: "/connz". */
void pages_add(Pages *pages, Slice path, PageHandler *handler, void *cookie);

/* Runs the page at path; false when there is none (404 is the door's). Counts requests by path.
 * Takes page when true. */
bool pages_serve(Pages *pages, Slice path, Page *page);

/* "/varz": 1,"/connz": 2 ... as a JSON object. */
void pages_write_counts(const Pages *pages, Buf *out);

/* Parameters; absent ones leave *out as it is. False when the value is bad: page_fail was called.
 */
bool page_bool(Page *page, Slice name, bool *out);
bool page_int(Page *page, Slice name, int64_t *out);
bool page_u64(Page *page, Slice name, uint64_t *out);
/* Unescaped into page's own memory; borrowed until the page ends. False when absent. */
bool page_text(Page *page, Slice name, Slice *out);

void page_finish(Page *page);
/* Plain text. */
void page_fail(Page *page, unsigned status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Indents compact JSON by two blanks. */
void json_indent(Buf *out, Slice compact);
