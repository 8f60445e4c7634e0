/* Headers: a block "NATS/1.0[ status[ text]]CRLF" (name: value CRLF)* CRLF. Names are
 * case-sensitive. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"

/* Value (trimmed) of the first header of that name; false when absent or empty. No allocation. */
bool header_get(Slice block, Slice name, Slice *out_value);

/* for (size_t at = 0; header_next(block, &at, &name, &value);) : lines after the first, in order.
 * Malformed lines are skipped. */
bool header_next(Slice block, size_t *at, Slice *out_name, Slice *out_value);

/* Appends "NATS/1.0 <status line>CRLF" or, with status empty, "NATS/1.0CRLF". Follow with
 * header_append and header_end. */
void header_begin(Buf *out, Slice status);
void header_append(Buf *out, Slice name, Slice value);
void header_append_u64(Buf *out, Slice name, uint64_t value);
void header_end(Buf *out);

/* Appends block without the headers for which drop says true; the status line is reduced to
 * NATS/1.0. The closing CRLF is left out, so that more can be added; call header_end. block may be
 * empty: then just the first line. */
void header_copy_open(Buf *out, Slice block, bool (*drop)(Slice name, void *cookie), void *cookie);
