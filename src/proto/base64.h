/* Base64 (RFC 4648) with padding. */
#pragma once

#include "base/buf.h"
#include "base/slice.h"

/* Appends. O(length). */
void base64_write(Buf *out, Slice bytes);
/* With '-' and '_' for '+' and '/'. */
void base64_write_url(Buf *out, Slice bytes);
