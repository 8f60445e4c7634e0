/* Transform: src pattern -> dest with functions (reference/jetstream-api.md section 15). */
#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/rand.h"
#include "base/slice.h"

typedef struct Transform Transform;

/* src "" = ">", dest "" = unchanged. is_strict: all wildcards of src must be used (account
 * mappings). ERR_SYNTAX: out_error (may be NULL) gets the server's text, such as "invalid mapping
 * destination: unknown function in {{foo(1)}}" or "invalid subject". */
MUST_CHECK Status transform_new(Slice src, Slice dest, bool is_strict, Buf *out_error,
                                Transform **out_transform);
void transform_free(Transform *transform);

/* False when src does not cover subject; else appends the new subject to out. rand serves
 * {{random(n)}}. */
bool transform_apply(const Transform *transform, Slice subject, Rand *rand, Buf *out);
