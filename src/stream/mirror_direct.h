/* MirrorDirect: a mirror with mirror_direct answers direct gets of its origin that no stream of the
 * account serves itself (api.c): such a request goes to "$JSC.DG.<origin>", where one of the
 * mirrors takes it, on whatever worker it lives. */
#pragma once

#include "stream/stream.h"

typedef struct MirrorDirect MirrorDirect;

/* Listens or stops listening, as the started stream's config says. */
void mirror_direct_configure(Stream *stream);
/* NULL-safe; its subscription goes with the bus. */
void mirror_direct_free(MirrorDirect *direct);

/* Hands a DIRECT.GET of that stream to a mirror; false: there is none. */
bool mirror_direct_pass(Account *account, Slice origin, const Message *message);
