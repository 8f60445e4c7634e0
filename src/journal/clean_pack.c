/* Packer: when records that are not compressed, of groups that want them to be, are.
 *
 * Each segment is packed once, when the floor has passed it: what would not become smaller stays
 * where it is, and is not read again before a restart. While clients are at work that follows each
 * checkpoint. When they are idle, the groups are first asked how much they have that is not
 * compressed, wherever it lies; if that is worth it, the log goes on in another segment,
 * checkpoints are made until the floor has passed all of it, and then it is packed too. */
#include "journal/journal_private.h"

enum {
    PACK_ROUND_BYTES = 256 * 1024 * 1024,
    /* The floor passes everything with the second one. */
    PACK_CHECKPOINTS_MAX = 4,
};

static uint64_t floor_segment(const JournalStore *store) {
    uint64_t floor = place_segment(log_floor(store->log));
    uint64_t head = place_segment(log_head(store->log));
    return floor < head ? floor : head;
}

/* Everything is to be looked at anew. */
static void take_asks(Packer *packer, const JournalStore *store) {
    uint64_t asks = counter_get(&store->pack_asks);
    if (asks == packer->asks)
        return;
    *packer = (Packer){.asks = asks, .is_due = true};
}

static void order_round(const Packer *packer, const JournalStore *store, CleanOrder *out_order) {
    *out_order = (CleanOrder){.kind = MOVE_PACK,
                              .from_segment = packer->packed_to,
                              .to_segment = floor_segment(store),
                              .bytes_max = PACK_ROUND_BYTES};
}

bool packer_choose_old(Packer *packer, const JournalStore *store, CleanOrder *out_order) {
    take_asks(packer, store);
    if (!packer->is_due)
        return false;
    packer->is_due = false;
    if (!packer->asks || packer->packed_to >= floor_segment(store))
        return false;
    order_round(packer, store, out_order);
    return true;
}

PackStep packer_choose(Packer *packer, const JournalStore *store, uint64_t worth,
                       CleanOrder *out_order) {
    uint64_t floor = floor_segment(store);
    take_asks(packer, store);
    if (!packer->asks)
        return PACK_NOTHING;
    if (packer->target && floor >= packer->target) {
        packer->target = 0;
        if (packer->packed_to < floor) {
            order_round(packer, store, out_order);
            return PACK_ROUND;
        }
    }
    if (packer->target) {
        if (packer->waited++ < PACK_CHECKPOINTS_MAX)
            return PACK_CHECKPOINT;
        packer->target = 0;
        return PACK_NOTHING;
    }
    if (packer->is_roll_due) {
        packer->is_roll_due = false;
        packer->target = place_segment(log_head(store->log)) + 1;
        packer->waited = 0;
        return PACK_ROLL;
    }
    if (packer->looked_head && log_bytes_after(store->log, packer->looked_head) < worth)
        return PACK_NOTHING;
    packer->looked_head = log_head(store->log);
    *out_order = (CleanOrder){.kind = MOVE_LOOK,
                              .from_segment = packer->packed_to,
                              .to_segment = UINT64_MAX,
                              .floor_segment = floor,
                              .bytes_max = UINT64_MAX};
    return PACK_ROUND;
}

void packer_note_unrolled(Packer *packer) {
    packer->target--;
}

void packer_note(Packer *packer, const CleanOrder *order, const GroupMove *move, uint64_t worth) {
    if (order->kind == MOVE_LOOK) {
        uint64_t old = move->plain_bytes - move->plain_new_bytes;
        packer->is_due |= old >= worth;
        packer->is_roll_due = !packer->is_due && move->plain_bytes >= worth;
    } else if (move->is_cut_short) {
        packer->is_due = true;
    } else {
        packer->packed_to = order->to_segment;
    }
}
