/* Index runs: the head, the body by its checksums, then the pieces of places by theirs. */
#include "base/mem.h"
#include "store/scrub_private.h"

static void note(Scrub *scrub, uint64_t offset, uint64_t bytes, const char *what) {
    if (scrub_is_there(scrub))
        scrub_note(scrub, &scrub->current, offset, bytes, what, NULL);
}

static bool read_sums(Scrub *scrub) {
    RunScrub *run = &scrub->run;
    uint64_t len = run_sums_bytes(&run->head);
    run->sums = mem_try_alloc(len + 1);
    for (uint64_t at = 0; run->sums && at < len;) {
        size_t n = len - at < SCRUB_PIECE_BYTES ? (size_t)(len - at) : SCRUB_PIECE_BYTES;
        bool is_given;
        memcpy((char *)run->sums + at,
               scrub_read(scrub, scrub->piece, run->head.body_end + at, n, &is_given), n);
        at += n;
    }
    return run->sums && hash_checksum(run->sums, len) == run->head.sums_checksum;
}

Status scrub_run_begin(Scrub *scrub) {
    RunScrub *run = &scrub->run;
    bool is_given;
    *run = (RunScrub){0};
    if (scrub->size < RUN_HEAD_BYTES) {
        note(scrub, 0, scrub->size, "too short");
        scrub->at = scrub->size;
        return OK;
    }
    memcpy(&run->head, scrub_read(scrub, scrub->piece, 0, RUN_HEAD_BYTES, &is_given),
           sizeof run->head);
    Status status = run_head_check(&run->head, scrub->size);
    if (status == ERR_CORRUPT)
        note(scrub, 0, RUN_HEAD_BYTES, "head");
    if (status == OK && !read_sums(scrub)) {
        note(scrub, run->head.body_end, run_sums_bytes(&run->head), "checksums");
        status = ERR_CORRUPT;
    }
    scrub->at = status == OK ? RUN_HEAD_BYTES : scrub->size;
    return OK;
}

static uint64_t check_body(Scrub *scrub) {
    RunScrub *run = &scrub->run;
    uint64_t left = run->head.body_end - scrub->at;
    size_t len = left < RUN_SUM_BYTES ? (size_t)left : RUN_SUM_BYTES;
    size_t number = (scrub->at - RUN_HEAD_BYTES) / RUN_SUM_BYTES;
    bool is_given;
    const char *piece = scrub_read(scrub, scrub->piece, scrub->at, len, &is_given);
    if (hash_checksum(piece, len) != run->sums[number])
        note(scrub, scrub->at, len, "body");
    scrub->at += len;
    if (scrub->at == run->head.body_end)
        scrub->at = run->head.sections[RUN_PLACES].at;
    return len;
}

/* As many whole pieces of places as the bytes hold. */
static uint64_t check_places(Scrub *scrub) {
    const RunSection *places = &scrub->run.head.sections[RUN_PLACES];
    uint64_t left = places->at + places->bytes - scrub->at;
    size_t len = left < SCRUB_PIECE_BYTES ? (size_t)left : SCRUB_PIECE_BYTES, at = 0;
    bool is_given;
    const char *bytes = scrub_read(scrub, scrub->piece, scrub->at, len, &is_given);
    RunPlacesHead head;
    while (len - at >= sizeof head) {
        memcpy(&head, bytes + at, sizeof head);
        if (head.bytes > len - at - sizeof head)
            break;
        if (run_places_checksum(&head, bytes + at + sizeof head) != head.checksum)
            break;
        at += (sizeof head + head.bytes + 7) & ~(size_t)7;
    }
    if (at == 0 && len >= sizeof head)
        note(scrub, scrub->at, left, "places");
    scrub->at += at == 0 || at > left ? left : at;
    return len;
}

bool scrub_run_step(Scrub *scrub, uint64_t *out_bytes) {
    const RunSection *places = &scrub->run.head.sections[RUN_PLACES];
    *out_bytes = 0;
    if (scrub->at >= scrub->size)
        return true;
    if (scrub->at < scrub->run.head.body_end)
        *out_bytes = check_body(scrub);
    else if (scrub->at < places->at + places->bytes)
        *out_bytes = check_places(scrub);
    return scrub->at >= places->at + places->bytes && scrub->at >= scrub->run.head.body_end;
}

void scrub_run_end(Scrub *scrub) {
    mem_free(scrub->run.sums);
    scrub->run.sums = NULL;
}
