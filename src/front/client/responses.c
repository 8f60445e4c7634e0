#include "front/client/responses.h"

#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"

typedef struct Permit {
    Link link; /* oldest first */
    uint64_t used, since_ns;
    size_t len;
    char subject[];
} Permit;

struct Responses {
    Map by_subject;
    List by_age;
    uint64_t max, expire_ns;
};

Responses *responses_new(uint64_t max, uint64_t expire_ns) {
    Responses *responses = mem_zalloc(sizeof *responses);
    list_init(&responses->by_age);
    responses->max = max;
    responses->expire_ns = expire_ns;
    return responses;
}

static Slice subject_of(const Permit *permit) {
    return slice_from(permit->subject, permit->len);
}

static void drop(Responses *responses, Permit *permit) {
    map_remove(&responses->by_subject, subject_of(permit));
    list_remove(&permit->link);
    mem_free(permit);
}

void responses_free(Responses *responses) {
    if (!responses)
        return;
    LIST_FOR_EACH(link, &responses->by_age)
    mem_free(CONTAINER_OF(link, Permit, link));
    map_done(&responses->by_subject);
    mem_free(responses);
}

static bool is_expired(const Responses *responses, const Permit *permit, uint64_t now_ns) {
    return responses->expire_ns && now_ns - permit->since_ns > responses->expire_ns;
}

void responses_permit(Responses *responses, Slice reply, uint64_t now_ns) {
    Permit *permit = map_get(&responses->by_subject, reply);
    if (permit) {
        permit->used = 0;
        permit->since_ns = now_ns;
        list_remove(&permit->link);
        list_push_back(&responses->by_age, &permit->link);
        return;
    }
    while (!list_is_empty(&responses->by_age)) {
        Permit *oldest = CONTAINER_OF(responses->by_age.next, Permit, link);
        if (responses->by_subject.len < RESPONSES_MAX && !is_expired(responses, oldest, now_ns))
            break;
        drop(responses, oldest);
    }
    permit = mem_zalloc(sizeof *permit + reply.len);
    memcpy(permit->subject, reply.ptr, reply.len);
    permit->len = reply.len;
    permit->since_ns = now_ns;
    list_push_back(&responses->by_age, &permit->link);
    map_put(&responses->by_subject, subject_of(permit), permit);
}

bool responses_use(Responses *responses, Slice subject, uint64_t now_ns) {
    Permit *permit = map_get(&responses->by_subject, subject);
    if (!permit)
        return false;
    permit->used++;
    if (is_expired(responses, permit, now_ns) ||
        (responses->max && permit->used > responses->max)) {
        drop(responses, permit);
        return false;
    }
    return true;
}
