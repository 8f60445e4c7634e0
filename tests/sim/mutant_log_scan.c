#include "base/hash.h"
#include "mutants.h"
#include "store/block.h"

static bool has_met_bad;

static uint64_t checksum_or_not(const void *bytes, size_t len, uint64_t want) {
    uint64_t have = hash_checksum(bytes, len);
    if (have != want)
        has_met_bad = true;
    return is_mutant(SKIP_CRC_RECOVERY) ? want : have;
}

static bool head_parse_or_not(const char *at, BlockHead *out_head) {
    return !(is_mutant(CUT_IN_THE_MIDDLE) && has_met_bad) && block_head_parse(at, out_head);
}

#define hash_checksum(bytes, len)      checksum_or_not(bytes, len, block.head.body_checksum)
#define block_head_parse(at, out_head) head_parse_or_not(at, out_head)
#include "store/log_scan.c"

/* A new store, a new log. */
void mutant_forget_bad(void);
void mutant_forget_bad(void) {
    has_met_bad = false;
}
