/* Subject: dot-separated tokens; "*" stands for one token, a last ">" for one or more. */
#pragma once

#include <stdbool.h>

#include "base/slice.h"

/* No empty token, no blank, tab, CR, LF, FF. Wildcards are allowed as whole tokens ('>' only last);
 * inside a token ("a*b", "foo>") they are literal. */
bool subject_is_valid(Slice subject);

/* Valid and without wildcard tokens. */
bool subject_is_literal(Slice subject);

/* Has a "*" token or a last ">" token; the subject need not be valid. */
bool subject_has_wildcard(Slice subject);

/* True when pattern, which may hold wildcards, covers subject, which is literal. O(length). */
bool subject_matches(Slice pattern, Slice subject);

/* True when every subject that `inner` covers is covered by `outer`; both may hold wildcards. */
bool subject_is_subset(Slice inner, Slice outer);

/* True when some literal subject is covered by both. */
bool subject_overlaps(Slice a, Slice b);

size_t subject_token_count(Slice subject);

/* The i-th token, from 0; {NULL,0} when there is none. */
Slice subject_token(Slice subject, size_t i);
