#include "base/mem.h"
#include "stream/catalogue_private.h"

/* Calls that wait for entries on their way, so that a client that did not wait for its answers
 * meets what it did: lists for all of the account, the others for the stream of that name. */

struct Deferred {
    Link link; /* in catalogue->deferred */
    ApiCall *call;
    uint64_t index; /* of the newest entry before it */
};

static bool is_about(const Proposal *proposal, const ApiCall *call) {
    if (proposal->account != account_index(call->account))
        return false;
    return call->stream.len == 0 ||
           (proposal->call && slice_equal(proposal->call->stream, call->stream));
}

static void defer(Catalogue *catalogue, ApiCall *call) {
    Deferred *deferred = mem_zalloc(sizeof *deferred);

    deferred->call = call;
    deferred->index = catalogue->group.index_last;
    list_push_back(&catalogue->deferred, &deferred->link);
}

bool catalogue_defer(Catalogue *catalogue, ApiCall *call) {
    ASSERT_HOME(&catalogue->group);
    LIST_FOR_EACH(link, &catalogue->proposals) {
        if (!is_about(CONTAINER_OF(link, Proposal, link), call))
            continue;
        defer(catalogue, call);
        return true;
    }
    return false;
}

bool catalogue_wait(Catalogue *catalogue, size_t account, ApiCall *call) {
    ASSERT_HOME(&catalogue->group);
    LIST_FOR_EACH(link, &catalogue->proposals) {
        if (call->has_waited || CONTAINER_OF(link, Proposal, link)->account != account)
            continue;
        call->has_waited = true;
        defer(catalogue, call);
        return true;
    }
    return false;
}

void catalogue_settle(Catalogue *catalogue) {
    const Group *group = &catalogue->group;

    while (!list_is_empty(&catalogue->deferred)) {
        Deferred *first = CONTAINER_OF(catalogue->deferred.next, Deferred, link);
        if (group->in_flight > 0 && group->index_applied < first->index)
            return;
        ApiCall *call = first->call;
        list_remove(&first->link);
        mem_free(first);
        api_run(call);
    }
}

void catalogue_settle_done(Catalogue *catalogue) {
    for (Link *link; (link = list_pop_front(&catalogue->deferred)) != NULL;) {
        Deferred *deferred = CONTAINER_OF(link, Deferred, link);
        api_drop(deferred->call);
        mem_free(deferred);
    }
}
