#include <assert.h>

#include "stream/account_hash.h"
#include "stream/copy.h"

static_assert((int)COPY_IDENTITY_LEN == (int)ACCOUNT_HASH_LEN, "one hash makes both");

void copy_identity_write(const Stream *stream, char out[COPY_IDENTITY_LEN]) {
    Buf text = {0};
    buf_printf(&text, "%.*s %.*s %lld", SLICE_ARG(account_name(stream->account)),
               SLICE_ARG(stream_name(stream)), (long long)stream->created_ns);
    account_hash_write(buf_slice(&text), out);
    buf_done(&text);
}
