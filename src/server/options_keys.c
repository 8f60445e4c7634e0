/* The keys of encryption: known until they were used, then only a hash of each, for reloads. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>

#include "server/options.h"

static Slice mark_of(Options *options, Slice key) {
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    if (key.len == 0 || EVP_Digest(key.ptr, key.len, hash, &len, EVP_sha256(), NULL) != 1)
        return (Slice){0};
    char text[2 * EVP_MAX_MD_SIZE + 8];
    int used = snprintf(text, sizeof text, "key:");
    for (unsigned i = 0; i < len; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, "%02x", hash[i]);
    OPENSSL_cleanse(hash, sizeof hash);
    return arena_copy(options->arena, slice_from(text, (size_t)used));
}

/* Puts mark in the place of key wherever a key's directive, or a variable, says it. True when
 * something else does: then the bytes are needed. */
static bool replace(const ConfValue *value, Slice key, Slice mark) {
    bool is_shared = false;
    if (value->type == CONF_MAP || value->type == CONF_ARRAY) {
        for (const ConfValue *one = value->list.first; one != NULL; one = one->next)
            is_shared |= replace(one, key, mark);
        return is_shared;
    }
    if (value->type != CONF_STRING || value->text.ptr != key.ptr)
        return false;
    static const Slice names[] = {LIT("encryption_key"),      LIT("key"),      LIT("ek"),
                                  LIT("prev_encryption_key"), LIT("prev_key"), LIT("prev_ek")};
    bool is_key = value->was_used;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        is_key = is_key || slice_equal_ignoring_case(value->key, names[i]);
    if (is_key)
        ((ConfValue *)(uintptr_t)value)->text = mark;
    return !is_key;
}

static bool hide(Options *options, Slice key, Slice *out_mark) {
    *out_mark = mark_of(options, key);
    return key.len != 0 && options->conf != NULL &&
           replace(conf_root(options->conf), key, *out_mark);
}

void options_hide_keys(Options *options) {
    JetStreamServerOptions *js = &options->jetstream;
    js->is_key_shared = hide(options, js->key, &js->key_mark);
    js->is_key_before_shared = hide(options, js->key_before, &js->key_before_mark);
    if (js->key.ptr == js->key_before.ptr)
        js->is_key_shared = js->is_key_before_shared |= js->is_key_shared;
}

static void wipe(Slice key, bool is_shared) {
    if (key.len && !is_shared)
        OPENSSL_cleanse((void *)(uintptr_t)key.ptr, key.len);
}

void options_forget_keys(Options *options) {
    wipe(options->jetstream.key, options->jetstream.is_key_shared);
    wipe(options->jetstream.key_before, options->jetstream.is_key_before_shared);
}
