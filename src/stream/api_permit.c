#include "stream/api_private.h"
#include "stream/txn.h"

/* Requests that write in the name of who asks. */

static bool may_touch(ApiCall *call, Port *from) {
    Slice subject = api_touched_subject(call);
    if (!subject.len || from->ops->may_publish(from, subject, true))
        return true; /* without a subject it is refused later */
    api_reply_error(call, api_error_with(api_arena(call), HWNotPermittedF, subject));
    return false;
}

bool api_is_permitted(ApiCall *call, Port *from) {
    if (!from || !from->ops->is_restricted || !from->ops->is_restricted(from))
        return true;
    if (call->endpoint->run == txn_on_request)
        return txn_request_is_permitted(call, from);
    return may_touch(call, from);
}
