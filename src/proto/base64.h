/* Base64 (RFC 4648) with padding. */
#pragma once

#include "base/buf.h"
#include "base/slice.h"
#include "base/status.h"

/* Appends. O(length). */
void base64_write(Buf *out, Slice bytes);
/* The reverse, appended; padding may be missing. ERR_SYNTAX: nothing but whole bytes of the
 * standard alphabet is taken; out may have grown. */
MUST_CHECK Status base64_read(Buf *out, Slice text);
/* With '-' and '_' for '+' and '/'. */
void base64_write_url(Buf *out, Slice bytes);
