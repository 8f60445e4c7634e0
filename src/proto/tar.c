#include "proto/tar.h"

#include <string.h>

/* ustar head; what we look at. */
enum {
    NAME_AT = 0,
    NAME_BYTES = 100,
    SIZE_AT = 124,
    SIZE_BYTES = 12,
    SUM_AT = 148,
    SUM_BYTES = 8,
    TYPE_AT = 156,
    MAGIC_AT = 257,
    PREFIX_AT = 345,
    PREFIX_BYTES = 155,
};

static size_t text_len(const char *text, size_t max) {
    const char *end = memchr(text, 0, max);
    return end ? (size_t)(end - text) : max;
}

/* Octal with blanks or zeros around it; or, with the highest bit set, binary. */
static bool parse_number(const char *text, size_t len, uint64_t *out_value) {
    uint64_t value = 0;
    size_t i = 0;
    if (text[0] & 0x80) {
        for (i = 0; i < len; i++) {
            if (value >> 55)
                return false;
            value = value << 8 | (i ? (uint8_t)text[i] : (uint8_t)text[i] & 0x7f);
        }
        *out_value = value;
        return true;
    }
    while (i < len && text[i] == ' ')
        i++;
    for (; i < len && text[i] >= '0' && text[i] <= '7'; i++) {
        if (value >> 60)
            return false;
        value = value << 3 | (uint64_t)(text[i] - '0');
    }
    for (; i < len; i++)
        if (text[i] != ' ' && text[i] != 0)
            return false;
    *out_value = value;
    return true;
}

static bool is_sum_right(const char *block) {
    uint64_t told, sum = 0;
    for (size_t i = 0; i < TAR_BLOCK_BYTES; i++)
        sum += i >= SUM_AT && i < SUM_AT + SUM_BYTES ? ' ' : (uint8_t)block[i];
    return parse_number(block + SUM_AT, SUM_BYTES, &told) && told == sum;
}

static void take_name(const char *block, TarHead *head) {
    size_t prefix = 0, len = text_len(block + NAME_AT, NAME_BYTES);
    if (memcmp(block + MAGIC_AT, "ustar\0", 6) == 0)
        prefix = text_len(block + PREFIX_AT, PREFIX_BYTES);
    if (prefix) {
        memcpy(head->name, block + PREFIX_AT, prefix);
        head->name[prefix++] = '/';
    }
    memcpy(head->name + prefix, block + NAME_AT, len);
    head->name_len = prefix + len;
    head->name[head->name_len] = 0;
}

Status tar_parse_head(Slice block, TarHead *out_head) {
    static const char zeros[TAR_BLOCK_BYTES];
    *out_head = (TarHead){0};
    if (block.len != TAR_BLOCK_BYTES)
        return ERR_CORRUPT;
    if (memcmp(block.ptr, zeros, TAR_BLOCK_BYTES) == 0)
        return OK;
    if (!is_sum_right(block.ptr) || !parse_number(block.ptr + SIZE_AT, SIZE_BYTES, &out_head->size))
        return ERR_CORRUPT;
    take_name(block.ptr, out_head);
    switch (block.ptr[TYPE_AT]) {
    case '0':
    case 0:
        out_head->kind = TAR_FILE;
        break;
    case 'x':
        out_head->kind = TAR_PAX;
        break;
    case 'L':
        out_head->kind = TAR_LONG;
        break;
    default:
        out_head->kind = TAR_OTHER;
    }
    return OK;
}

Status tar_pax_next(Slice *rest, Slice *out_key, Slice *out_value) {
    uint64_t len;
    if (rest->len == 0)
        return ERR_NOT_FOUND;
    size_t blank = slice_find(*rest, ' ');
    if (slice_parse_u64(slice_first(*rest, blank), &len) != OK || len > rest->len ||
        len < blank + 3 || rest->ptr[len - 1] != '\n')
        return ERR_CORRUPT;
    Slice line = slice_from(rest->ptr + blank + 1, len - blank - 2);
    size_t equals = slice_find(line, '=');
    if (equals == line.len)
        return ERR_CORRUPT;
    *out_key = slice_first(line, equals);
    *out_value = slice_from_at(line, equals + 1);
    *rest = slice_from_at(*rest, len);
    return OK;
}
