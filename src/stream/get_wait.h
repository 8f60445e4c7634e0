/* GetWait: a get that is answered when its stream has applied what the request wants to see. */
#pragma once

#include "stream/api_private.h"
#include "stream/get_options.h"

/* Answers with 408 and the reason in HW-Error. */
void get_refuse_header(Api *api, Account *account, Slice reply, Slice header_name);

/* True: a DIRECT.GET waits, api_direct_get_now is called later, or it was refused. */
bool get_wait_direct(Api *api, Stream *stream, Slice rest, const Message *message,
                     const GetOptions *options);
/* The same for a call; then is called when it is to be answered, with the stream. Takes call when
 * true. */
bool get_wait_call(ApiCall *call, Stream *stream, const GetOptions *options,
                   void (*then)(ApiCall *call, Stream *stream));

/* 304 with what the client has already. */
void get_send_not_modified(Api *api, Stream *stream, Slice reply, uint64_t seq);
