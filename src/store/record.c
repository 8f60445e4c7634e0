#include "store/record.h"

#include <string.h>

#include "base/assert.h"
#include "base/bytes.h"
#include "base/hash.h"

/* As drawn in record.h; native order is little endian on what we build for. */
typedef struct RecordHead {
    uint32_t len, crc;
    uint32_t group;
    uint8_t type, flags;
    uint16_t subject_len;
    uint64_t index;
    uint32_t term, headers_len;
    int64_t time_ns;
} RecordHead;
_Static_assert(sizeof(RecordHead) == RECORD_HEADER_BYTES, "the record header is 40 bytes on disk");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "formats on disk are little endian");

static uint32_t record_crc(const char *record, uint32_t len) {
    uint32_t crc = crc32c(0, record, 4);
    return crc32c(crc, record + 8, len - 8);
}

static char *put(char *to, Slice bytes) {
    if (bytes.len)
        memcpy(to, bytes.ptr, bytes.len);
    return to + bytes.len;
}

void record_write(const Record *record, char *to) {
    size_t len =
        RECORD_HEADER_BYTES + record->subject.len + record->headers.len + record->payload.len;
    ASSERT(len <= RECORD_BYTES_MAX);
    ASSERT(record->subject.len <= UINT16_MAX);
    RecordHead head = {
        .len = (uint32_t)len,
        .group = record->group,
        .type = (uint8_t)record->type,
        .flags = record->flags,
        .subject_len = (uint16_t)record->subject.len,
        .index = record->index,
        .term = record->term,
        .headers_len = (uint32_t)record->headers.len,
        .time_ns = record->time_ns,
    };
    memcpy(to, &head, sizeof head);
    char *end = put(put(put(to + sizeof head, record->subject), record->headers), record->payload);
    memset(end, 0, record_bytes(record) - len);
    head.crc = record_crc(to, head.len);
    memcpy(to + offsetof(RecordHead, crc), &head.crc, sizeof head.crc);
}

bool record_type_is_known(uint8_t type) {
    return (type >= RECORD_PUBLISH && type <= RECORD_CONSUMER_RESTORE) ||
           (type >= RECORD_COUNTER_BASE && type <= RECORD_SCHEDULE_FIRE) ||
           (type >= RECORD_BATCH && type <= RECORD_CHUNK);
}

Status record_parse_trusted(Slice bytes, Record *out_record, size_t *out_used) {
    RecordHead head;
    if (bytes.len < sizeof head)
        return ERR_RANGE;
    memcpy(&head, bytes.ptr, sizeof head);
    if (head.len < RECORD_HEADER_BYTES || head.len > RECORD_BYTES_MAX || head.type == 0)
        return ERR_CORRUPT;
    size_t body = head.len - RECORD_HEADER_BYTES;
    if (head.subject_len > body || head.headers_len > body - head.subject_len)
        return ERR_CORRUPT;
    size_t used = (head.len + (size_t)7) & ~(size_t)7;
    if (used > bytes.len)
        return ERR_RANGE;

    const char *subject = bytes.ptr + sizeof head;
    const char *headers = subject + head.subject_len;
    const char *payload = headers + head.headers_len;
    *out_record = (Record){
        .type = (RecordType)head.type,
        .flags = head.flags,
        .group = head.group,
        .term = head.term,
        .index = head.index,
        .time_ns = head.time_ns,
        .subject = {subject, head.subject_len},
        .headers = {headers, head.headers_len},
        .payload = {payload, body - head.subject_len - head.headers_len},
    };
    *out_used = used;
    return OK;
}

Status record_parse(Slice bytes, Record *out_record, size_t *out_used) {
    Record record;
    size_t used;
    Status status = record_parse_trusted(bytes, &record, &used);
    if (status != OK)
        return status;
    uint32_t len, crc;
    memcpy(&len, bytes.ptr, sizeof len);
    memcpy(&crc, bytes.ptr + 4, sizeof crc);
    if (crc != record_crc(bytes.ptr, len))
        return ERR_CORRUPT;
    *out_record = record;
    *out_used = used;
    return OK;
}

void record_ref_write(const RecordRef *ref, char *to) {
    memcpy(to, ref->id, RECORD_CHUNK_ID_BYTES);
    bytes_put_u64(to + RECORD_CHUNK_ID_BYTES, ref->len);
    bytes_put_u64(to + RECORD_CHUNK_ID_BYTES + 8, ref->place);
}

bool record_ref_read(const Record *record, RecordRef *out_ref) {
    bool is_copy = record->type == RECORD_COPY; /* then a prefix comes before */
    if (!record_refers(record) || record->payload.len < RECORD_REF_BYTES ||
        (!is_copy && record->payload.len != RECORD_REF_BYTES))
        return false;
    const char *from = record->payload.ptr + record->payload.len - RECORD_REF_BYTES;
    uint64_t len = bytes_get_u64(from + RECORD_CHUNK_ID_BYTES);
    if (len == 0 || len > RECORD_BYTES_MAX)
        return false;
    memcpy(out_ref->id, from, RECORD_CHUNK_ID_BYTES);
    out_ref->len = (uint32_t)len;
    out_ref->place = bytes_get_u64(from + RECORD_CHUNK_ID_BYTES + 8);
    return true;
}
