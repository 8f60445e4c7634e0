/* Mappings of an account: another subject for what clients publish, chosen by weight. */
#include "base/mem.h"
#include "bus/bus_private.h"
#include "proto/subject.h"
#include "proto/transform.h"

typedef struct Share {
    Transform *transform;
    unsigned below; /* chosen when the die, 0 .. 99, is below it and not below the one before */
} Share;

struct Mapping {
    char *from_text;
    Slice from;
    bool has_wildcard;
    size_t share_count;
    Share shares[];
};

static void use_mappings(Account *account, Mapping **mappings, size_t count);

static Status check(Slice from, const MappingDest *dests, size_t count, Buf *out_error) {
    unsigned total = 0;
    if (!subject_is_valid(from)) {
        buf_append_lit(out_error, "invalid subject");
        return ERR_SYNTAX;
    }
    for (size_t i = 0; i < count; i++) {
        if (dests[i].weight_percent > 100) {
            buf_printf(out_error, "Invalid weight %u for mapping destination",
                       dests[i].weight_percent);
            return ERR_SYNTAX;
        }
        total += dests[i].weight_percent;
        for (size_t k = 0; k < i; k++) {
            if (!slice_equal(dests[i].dest, dests[k].dest))
                continue;
            buf_printf(out_error, "duplicate entry for \"%.*s\"", SLICE_ARG(dests[i].dest));
            return ERR_SYNTAX;
        }
        if (total > 100) {
            buf_append_lit(out_error, "total weight needs to be <= 100");
            return ERR_SYNTAX;
        }
    }
    return OK;
}

Status mapping_new(Slice from, const MappingDest *dests, size_t count, Buf *out_error,
                   Mapping **out_mapping) {
    Buf unwanted = {0};
    Buf *error = out_error ? out_error : &unwanted;
    Status status = check(from, dests, count, error);
    Mapping *mapping = NULL;
    if (status == OK) {
        mapping = mem_zalloc(sizeof *mapping + count * sizeof mapping->shares[0]);
        mapping->from_text = mem_copy(from.ptr, from.len);
        mapping->from = slice_from(mapping->from_text, from.len);
        mapping->has_wildcard = subject_has_wildcard(from);
    }
    unsigned below = 0;
    for (size_t i = 0; status == OK && i < count; i++) {
        Share *share = &mapping->shares[i];
        status = transform_new(from, dests[i].dest, false, error, &share->transform);
        share->below = below += dests[i].weight_percent;
        mapping->share_count += status == OK;
    }
    buf_done(&unwanted);
    if (status == OK)
        *out_mapping = mapping;
    else
        mapping_free(mapping);
    return status;
}

void mapping_free(Mapping *mapping) {
    if (mapping == NULL)
        return;
    for (size_t i = 0; i < mapping->share_count; i++)
        transform_free(mapping->shares[i].transform);
    mem_free(mapping->from_text);
    mem_free(mapping);
}

static bool has_mapping(Mapping *const *mappings, size_t count, Slice from) {
    for (size_t i = 0; i < count; i++)
        if (slice_equal(mappings[i]->from, from))
            return true;
    return false;
}

uint64_t account_mapping_at(const Account *account, Slice subject) {
    return account->mapping_count > 0 &&
           has_mapping(account->mappings, account->mapping_count, subject);
}

void account_each_bare_mapping(Account *account,
                               void (*each)(void *cookie, Slice subject, Slice queue,
                                            uint64_t count),
                               void *cookie) {
    for (size_t i = 0; i < account->mapping_count; i++) {
        Slice from = account->mappings[i]->from;
        if (!has_mapping(account->mappings, i, from) &&
            interest_count(&account->interest, from, (Slice){0}) == 0)
            each(cookie, from, (Slice){0}, 1);
    }
}

/* Which subjects are wanted by mappings, and were not, or are not any more. */
static void tell_tap(Account *account, Mapping *const *old, size_t old_count, Mapping *const *now,
                     size_t now_count, bool is_wanted) {
    if (account->tap == NULL)
        return;
    for (size_t i = 0; i < now_count; i++) {
        Slice from = now[i]->from;
        if (has_mapping(old, old_count, from) || has_mapping(now, i, from))
            continue;
        uint64_t others = interest_count(&account->interest, from, (Slice){0});
        account->tap->changed(account->tap, from, (Slice){0}, others + !is_wanted,
                              others + is_wanted);
    }
}

void account_set_mappings(Account *account, Mapping **mappings, size_t count) {
    ASSERT_HOME(account->bus);
    Mapping **old = account->mappings;
    size_t old_count = account->mapping_count;
    use_mappings(account, mappings, count);
    tell_tap(account, old, old_count, account->mappings, count, true);
    tell_tap(account, account->mappings, count, old, old_count, false);
    for (size_t i = 0; i < old_count; i++)
        mapping_free(old[i]);
    mem_free(old);
}

static void use_mappings(Account *account, Mapping **mappings, size_t count) {
    map_done(&account->literal_mappings);
    account->mappings = NULL;
    account->mapping_count = count;
    account->has_wildcard_mappings = false;
    if (count == 0)
        return;
    account->mappings = mem_alloc(count * sizeof *mappings);
    memcpy(account->mappings, mappings, count * sizeof *mappings);
    for (size_t i = 0; i < count; i++) {
        Mapping *mapping = mappings[i];
        account->has_wildcard_mappings |= mapping->has_wildcard;
        if (!mapping->has_wildcard && !map_get(&account->literal_mappings, mapping->from))
            (void)map_put(&account->literal_mappings, mapping->from, mapping);
    }
}

static const Mapping *find(const Account *account, Slice subject) {
    const Mapping *mapping = map_get(&account->literal_mappings, subject);
    if (mapping || !account->has_wildcard_mappings)
        return mapping;
    for (size_t i = 0; i < account->mapping_count; i++)
        if (account->mappings[i]->has_wildcard &&
            subject_matches(account->mappings[i]->from, subject))
            return account->mappings[i];
    return NULL;
}

bool account_map(Account *account, Slice subject, Buf *out) {
    const Mapping *mapping = find(account, subject);
    if (mapping == NULL || mapping->share_count == 0)
        return false;
    Rand *rand = &account->bus->home->rand;
    unsigned die = mapping->shares[0].below == 100 ? 0 : (unsigned)rand_below(rand, 100);
    for (size_t i = 0; i < mapping->share_count; i++)
        if (die < mapping->shares[i].below)
            return transform_apply(mapping->shares[i].transform, subject, rand, out);
    return false;
}
