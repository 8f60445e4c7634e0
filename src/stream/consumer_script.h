/* What the consumer's tests are written with: one rig at a time, and words for what is done to it.
 * Included after cmocka.h. */
#pragma once

#include "stream/consumer_rig.h"

#define EXPLICIT "\"ack_policy\":\"explicit\",\"ack_wait\":1000000000"

static inline void start(Storage storage, Retention retention) {
    (void)rig_new(storage, retention);
    rig->hides_advisories = true;
}

static inline void store(const char *letters) {
    char subject[] = "s.?";
    for (; *letters; letters++) {
        subject[2] = *letters;
        rig_store(rig, subject, "x");
    }
}

static inline void create(const char *name, const char *config) {
    const char *reply = rig_create(rig, name, config);
    if (strstr(reply, "\"stream_name\":\"S\"") == NULL)
        fail_msg("create: %s", reply);
}

static inline void sent(const char *want) {
    assert_string_equal(rig_trace(rig), want);
}

static inline void info(const char *name, const char *want) {
    assert_string_equal(rig_info(rig, name), want);
}

/* Most rules hold for both ways of keeping state. */
static const Storage storages[] = {STORAGE_FILE, STORAGE_MEMORY};
#define FOR_EACH_STORAGE(retention)                                                                \
    for (size_t storage_i = 0; storage_i < 2; storage_i++)                                         \
        for (bool once = (start(storages[storage_i], retention), true); once;                      \
             once = (rig_free(rig), false))
