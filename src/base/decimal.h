/* Decimal: whole numbers of any length, as decimal text. Nothing is rounded. */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/slice.h"

/* One sign or none, then decimal digits, at least one. Leading zeros are fine. */
bool decimal_is_valid(Slice text);

/* Appends a + b, or a - b, without a plus sign or leading zeros; zero is "0". Both must be valid
 * and lie outside out. O(length). */
void decimal_add(Buf *out, Slice a, Slice b);
void decimal_subtract(Buf *out, Slice a, Slice b);
