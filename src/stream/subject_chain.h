/* SubjectChain: the live messages of one subject, from the first to the last, linked by
 * MsgSlot.next.
 *
 * Linked one way only: removing in the middle looks for the one before by walking the chain and the
 * slots at once, and takes whichever arrives first; queues remove near the front, where that is
 * short. */
#pragma once

#include <stdint.h>

#include "stream/msg_index.h"
#include "stream/subject_index.h"

/* seq was just added as slot, above all others; sets slot->subject and the entry. */
void subject_chain_add(MsgIndex *index, const SubjectIndex *subjects, SubjectId id, uint64_t seq,
                       MsgSlot *slot);

/* Before seq is removed from the index; its subject is owned (subject_index_own). The caller tells
 * subject_index_emptied when the count fell to 0. */
void subject_chain_remove(MsgIndex *index, const SubjectIndex *subjects, uint64_t seq,
                          const MsgSlot *slot);

/* The one behind seq; 0 when it is the last. */
uint64_t subject_chain_next(const MsgIndex *index, uint64_t seq, const MsgSlot *slot);

/* First one at or above from, last one at or below upto; 0 when there is none. */
uint64_t subject_chain_seek(const MsgIndex *index, const SubjectIndex *subjects, SubjectId id,
                            uint64_t from);
uint64_t subject_chain_upto(const MsgIndex *index, const SubjectIndex *subjects, SubjectId id,
                            uint64_t upto);

/* How many are at or above from. */
uint64_t subject_chain_count(const MsgIndex *index, const SubjectIndex *subjects, SubjectId id,
                             uint64_t from);
