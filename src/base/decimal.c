#include "base/decimal.h"

#include "base/assert.h"

typedef struct Number {
    Slice digits; /* without leading zeros; zero has none */
    bool is_negative;
} Number;

bool decimal_is_valid(Slice text) {
    size_t at = text.len && (text.ptr[0] == '-' || text.ptr[0] == '+');
    if (at == text.len)
        return false;
    for (; at < text.len; at++)
        if (text.ptr[at] < '0' || text.ptr[at] > '9')
            return false;
    return true;
}

static Number number_of(Slice text) {
    ASSERT(decimal_is_valid(text));
    bool has_sign = text.ptr[0] == '-' || text.ptr[0] == '+';
    Number number = {.digits = slice_from_at(text, has_sign), .is_negative = text.ptr[0] == '-'};
    while (number.digits.len && number.digits.ptr[0] == '0')
        number.digits = slice_from_at(number.digits, 1);
    return number;
}

static int compare_digits(Slice a, Slice b) {
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return a.len ? memcmp(a.ptr, b.ptr, a.len) : 0;
}

/* The digit of that weight. */
static int digit_at(Slice digits, size_t weight) {
    return weight < digits.len ? digits.ptr[digits.len - 1 - weight] - '0' : 0;
}

/* larger + sign * smaller; the result is not negative. */
static void append_digits(Buf *out, Slice larger, Slice smaller, int sign) {
    size_t len = larger.len + 1, skip = 0;
    char *to = buf_reserve(out, len);
    int carry = 0;

    for (size_t weight = 0; weight < len; weight++) {
        int sum = digit_at(larger, weight) + sign * digit_at(smaller, weight) + carry;
        carry = sum < 0 ? -1 : sum / 10;
        to[len - 1 - weight] = (char)('0' + sum - 10 * carry);
    }
    while (skip < len - 1 && to[skip] == '0')
        skip++;
    memmove(to, to + skip, len - skip);
    out->len += len - skip;
}

static void append_sum(Buf *out, Number a, Number b) {
    int order = compare_digits(a.digits, b.digits);
    Number larger = order < 0 ? b : a, smaller = order < 0 ? a : b;
    int sign = a.is_negative == b.is_negative ? 1 : -1;
    bool is_zero = larger.digits.len == 0 || (sign < 0 && order == 0);

    if (larger.is_negative && !is_zero)
        buf_append_char(out, '-');
    append_digits(out, larger.digits, smaller.digits, sign);
}

void decimal_add(Buf *out, Slice a, Slice b) {
    append_sum(out, number_of(a), number_of(b));
}

void decimal_subtract(Buf *out, Slice a, Slice b) {
    Number negated = number_of(b);
    negated.is_negative = !negated.is_negative;
    append_sum(out, number_of(a), negated);
}
