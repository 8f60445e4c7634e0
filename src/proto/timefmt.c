#include "proto/timefmt.h"

#include <stdbool.h>
#include <string.h>

enum { SECONDS_PER_DAY = 86400 };
static const int64_t NS_IN_SECOND = 1000000000;

/* The era arithmetic counts years from March. */
int64_t date_to_days(int64_t year, unsigned month, unsigned day) {
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = (y >= 0 ? y : y - 399) / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + day_of_era - 719468;
}

void days_to_date(int64_t days, int64_t *year, unsigned *month, unsigned *day) {
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * day_of_year + 2) / 153;

    *day = (unsigned)(day_of_year - (153 * shifted + 2) / 5 + 1);
    *month = (unsigned)(shifted < 10 ? shifted + 3 : shifted - 9);
    *year = year_of_era + era * 400 + (*month <= 2);
}

static char *write_two(char *to, unsigned value) {
    static const char PAIRS[] = "00010203040506070809101112131415161718192021222324252627282930"
                                "31323334353637383940414243444546474849505152535455565758596061"
                                "62636465666768697071727374757677787980818283848586878889909192"
                                "93949596979899";
    memcpy(to, PAIRS + (size_t)2 * value, 2);
    return to + 2;
}

static char *write_digits(char *to, uint64_t value, int digits) {
    for (int i = digits - 1; i >= 0; i--) {
        to[i] = (char)('0' + value % 10);
        value /= 10;
    }
    return to + digits;
}

/* Below 10^9, all nine digits. */
static char *write_nine(char *to, uint32_t value) {
    uint32_t high = value / 100000, low = value % 100000; /* four digits, five digits */
    to = write_two(to, high / 100);
    to = write_two(to, high % 100);
    *to++ = (char)('0' + low / 10000);
    low %= 10000;
    to = write_two(to, low / 100);
    return write_two(to, low % 100);
}

/* ".5" for 500000000; nothing for 0. */
static char *write_fraction(char *to, uint64_t value, int digits) {
    if (value == 0)
        return to;
    *to++ = '.';
    if (digits == 9) {
        to = write_nine(to, (uint32_t)value);
        while (to[-1] == '0')
            to--;
        return to;
    }
    while (value % 10 == 0) {
        value /= 10;
        digits--;
    }
    return write_digits(to, value, digits);
}

static char *write_date_and_time(char *to, int64_t seconds) {
    int64_t days = seconds / SECONDS_PER_DAY, second = seconds % SECONDS_PER_DAY;
    if (second < 0) {
        second += SECONDS_PER_DAY;
        days--;
    }

    int64_t year;
    unsigned month, day;
    days_to_date(days, &year, &month, &day);
    to = write_digits(to, (uint64_t)year, 4);
    *to++ = '-';
    to = write_two(to, month);
    *to++ = '-';
    to = write_two(to, day);
    *to++ = 'T';
    unsigned of_day = (unsigned)second;
    to = write_two(to, of_day / 3600);
    *to++ = ':';
    to = write_two(to, of_day / 60 % 60);
    *to++ = ':';
    return write_two(to, of_day % 60);
}

void time_write_offset(Buf *out, int64_t unix_seconds, int64_t offset_seconds) {
    char *start = buf_reserve(out, 40);
    char *to = write_date_and_time(start, unix_seconds + offset_seconds);
    int64_t minutes = (offset_seconds < 0 ? -offset_seconds : offset_seconds) / 60;
    if (offset_seconds / 60 == 0) {
        *to++ = 'Z';
    } else {
        *to++ = offset_seconds < 0 ? '-' : '+';
        to = write_digits(to, (uint64_t)(minutes / 60), 2);
        *to++ = ':';
        to = write_digits(to, (uint64_t)(minutes % 60), 2);
    }
    out->len += (size_t)(to - start);
}

void time_write(Buf *out, int64_t wall_ns) {
    if (wall_ns == TIME_ZERO) {
        buf_append_lit(out, "0001-01-01T00:00:00Z");
        return;
    }

    int64_t seconds = wall_ns / NS_IN_SECOND, ns = wall_ns % NS_IN_SECOND;
    if (ns < 0) {
        ns += NS_IN_SECOND;
        seconds--;
    }
    char *start = buf_reserve(out, 40), *to = write_date_and_time(start, seconds);
    to = write_fraction(to, (uint64_t)ns, 9);
    *to++ = 'Z';
    out->len += (size_t)(to - start);
}

/* Reading: the elements of Go's layout "2006-01-02T15:04:05Z07:00" in order, so that a failure can
 * be told as Go tells it. */

typedef struct TimeReader {
    Slice all, rest;
    Buf *error;
    int64_t year, month, day, hour, minute, second, ns, offset_seconds;
} TimeReader;

static bool is_digit(Slice text, size_t at) {
    return at < text.len && text.ptr[at] >= '0' && text.ptr[at] <= '9';
}

static void quote(Buf *out, Slice text) {
    buf_append_char(out, '"');
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        if (c == '"' || c == '\\')
            buf_append_char(out, '\\');
        if (c < ' ' || c >= 0x7f)
            buf_printf(out, "\\x%02x", c);
        else
            buf_append_char(out, (char)c);
    }
    buf_append_char(out, '"');
}

static Status cannot_parse(TimeReader *reader, Slice value, const char *element) {
    if (reader->error) {
        buf_append_lit(reader->error, "parsing time ");
        quote(reader->error, reader->all);
        buf_append_lit(reader->error, " as \"2006-01-02T15:04:05Z07:00\": cannot parse ");
        quote(reader->error, value);
        buf_printf(reader->error, " as \"%s\"", element);
    }
    return ERR_SYNTAX;
}

static Status out_of_range(TimeReader *reader, const char *what) {
    if (reader->error) {
        buf_append_lit(reader->error, "parsing time ");
        quote(reader->error, reader->all);
        buf_printf(reader->error, ": %s out of range", what);
    }
    return ERR_SYNTAX;
}

static Status read_literal(TimeReader *reader, const char *literal) {
    if (reader->rest.len == 0 || reader->rest.ptr[0] != literal[0])
        return cannot_parse(reader, reader->rest, literal);
    reader->rest = slice_from_at(reader->rest, 1);
    return OK;
}

static Status read_number(TimeReader *reader, size_t digits, const char *element, int64_t *out) {
    Slice text = reader->rest;
    int64_t value = 0;

    if (digits == 2 && strcmp(element, "15") == 0 && is_digit(text, 0) && !is_digit(text, 1))
        digits = 1; /* Go takes one digit of hours */
    for (size_t i = 0; i < digits; i++) {
        if (!is_digit(text, i))
            return cannot_parse(reader, text, element);
        value = value * 10 + (text.ptr[i] - '0');
    }
    reader->rest = slice_from_at(text, digits);
    *out = value;
    return OK;
}

static void read_fraction(TimeReader *reader) {
    Slice text = reader->rest;
    size_t i = 1;
    int64_t scale = NS_IN_SECOND / 10;

    if (text.len < 2 || text.ptr[0] != '.' || !is_digit(text, 1))
        return;
    for (; is_digit(text, i); i++, scale /= 10)
        reader->ns += (text.ptr[i] - '0') * scale;
    reader->rest = slice_from_at(text, i);
}

static Status read_zone(TimeReader *reader) {
    Slice text = reader->rest;

    if (text.len >= 1 && text.ptr[0] == 'Z') {
        reader->rest = slice_from_at(text, 1);
        return OK;
    }
    if (text.len < 6 || (text.ptr[0] != '+' && text.ptr[0] != '-') || text.ptr[3] != ':' ||
        !is_digit(text, 1) || !is_digit(text, 2) || !is_digit(text, 4) || !is_digit(text, 5))
        return cannot_parse(reader, text, "Z07:00");

    int64_t hour = (text.ptr[1] - '0') * 10 + (text.ptr[2] - '0');
    int64_t minute = (text.ptr[4] - '0') * 10 + (text.ptr[5] - '0');
    if (hour > 23)
        return out_of_range(reader, "time zone offset hour");
    if (minute > 59)
        return out_of_range(reader, "time zone offset minute");
    reader->offset_seconds = (text.ptr[0] == '-' ? -1 : 1) * (hour * 3600 + minute * 60);
    reader->rest = slice_from_at(text, 6);
    return OK;
}

static int64_t days_in_month(int64_t year, int64_t month) {
    static const int8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return days[month - 1] + (month == 2 && is_leap);
}

static Status read_elements(TimeReader *r) {
    const struct {
        const char *before, *element;
        size_t digits;
        int64_t *value, min, max;
        const char *what;
    } elements[] = {
        {NULL, "2006", 4, &r->year, 0, 9999, "year"}, {"-", "01", 2, &r->month, 1, 12, "month"},
        {"-", "02", 2, &r->day, 0, 99, "day"},        {"T", "15", 2, &r->hour, 0, 23, "hour"},
        {":", "04", 2, &r->minute, 0, 59, "minute"},  {":", "05", 2, &r->second, 0, 59, "second"},
    };
    Status status;

    for (size_t i = 0; i < sizeof elements / sizeof elements[0]; i++) {
        if (elements[i].before && (status = read_literal(r, elements[i].before)))
            return status;
        if ((status = read_number(r, elements[i].digits, elements[i].element, elements[i].value)))
            return status;
        if (*elements[i].value < elements[i].min || *elements[i].value > elements[i].max)
            return out_of_range(r, elements[i].what);
    }
    read_fraction(r);
    if ((status = read_zone(r)))
        return status;
    if (r->rest.len != 0) {
        if (r->error) {
            buf_append_lit(r->error, "parsing time ");
            quote(r->error, r->all);
            buf_append_lit(r->error, ": extra text: ");
            quote(r->error, r->rest);
        }
        return ERR_SYNTAX;
    }
    if (r->day < 1 || r->day > days_in_month(r->year, r->month))
        return out_of_range(r, "day");
    return OK;
}

Status time_parse_explained(Slice text, int64_t *out_wall_ns, Buf *out_error) {
    TimeReader reader = {.all = text, .rest = text, .error = out_error};
    Status status = read_elements(&reader);

    if (status != OK)
        return status;

    int64_t days = date_to_days(reader.year, (unsigned)reader.month, (unsigned)reader.day);
    int64_t seconds = days * SECONDS_PER_DAY + reader.hour * 3600 + reader.minute * 60 +
                      reader.second - reader.offset_seconds;
    static const int64_t go_zero_seconds = -62135596800; /* 0001-01-01T00:00:00Z */
    if (seconds == go_zero_seconds && reader.ns == 0)
        *out_wall_ns = TIME_ZERO;
    else if (seconds >= INT64_MAX / NS_IN_SECOND)
        *out_wall_ns = INT64_MAX;
    else if (seconds <= INT64_MIN / NS_IN_SECOND)
        *out_wall_ns = INT64_MIN + 1;
    else
        *out_wall_ns = seconds * NS_IN_SECOND + reader.ns;
    return OK;
}

Status time_parse(Slice text, int64_t *out_wall_ns) {
    return time_parse_explained(text, out_wall_ns, NULL);
}

void duration_write(Buf *out, int64_t ns) {
    uint64_t value = ns < 0 ? -(uint64_t)ns : (uint64_t)ns;
    char *start = buf_reserve(out, 48), *to = start;

    if (ns < 0)
        *to++ = '-';
    if (value < (uint64_t)NS_IN_SECOND) {
        static const struct {
            uint64_t size;
            int digits;
            const char *name;
        } units[] = {{1000000, 6, "ms"}, {1000, 3, "\xc2\xb5s"}, {1, 0, "ns"}};
        if (value == 0) {
            buf_append_lit(out, "0s");
            return;
        }
        for (size_t i = 0; i < 3; i++) {
            if (value < units[i].size)
                continue;
            to += u64_to_decimal(value / units[i].size, to);
            to = write_fraction(to, value % units[i].size, units[i].digits);
            for (const char *c = units[i].name; *c; c++)
                *to++ = *c;
            break;
        }
    } else {
        uint64_t seconds = value / (uint64_t)NS_IN_SECOND;
        if (seconds >= 3600) {
            to += u64_to_decimal(seconds / 3600, to);
            *to++ = 'h';
        }
        if (seconds >= 60) {
            to += u64_to_decimal(seconds / 60 % 60, to);
            *to++ = 'm';
        }
        to += u64_to_decimal(seconds % 60, to);
        to = write_fraction(to, value % (uint64_t)NS_IN_SECOND, 9);
        *to++ = 's';
    }
    out->len += (size_t)(to - start);
}

static bool cut_unit(Slice *text, uint64_t *out_size) {
    static const struct {
        Slice name;
        uint64_t size;
    } units[] = {
        {LIT("ns"), 1},           {LIT("us"), 1000},         {LIT("\xc2\xb5s"), 1000},
        {LIT("\xce\xbcs"), 1000}, {LIT("ms"), 1000000},      {LIT("s"), 1000000000},
        {LIT("m"), 60000000000},  {LIT("h"), 3600000000000},
    };
    size_t len = 0;

    while (len < text->len && text->ptr[len] != '.' && !is_digit(*text, len))
        len++;
    Slice name = slice_first(*text, len);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (slice_equal(units[i].name, name)) {
            *text = slice_from_at(*text, len);
            *out_size = units[i].size;
            return true;
        }
    return false;
}

/* One "1.5h" of a duration. */
static Status cut_part(Slice *text, uint64_t *out_ns) {
    uint64_t whole = 0, size;
    size_t at = 0, digits = 0;

    for (; is_digit(*text, at); at++, digits++)
        if (__builtin_mul_overflow(whole, 10, &whole) ||
            __builtin_add_overflow(whole, (uint64_t)(text->ptr[at] - '0'), &whole))
            return ERR_RANGE;
    double fraction = 0, scale = 1;
    if (at < text->len && text->ptr[at] == '.')
        for (at++; is_digit(*text, at); at++, digits++) {
            scale *= 10;
            fraction = fraction * 10 + (text->ptr[at] - '0');
        }
    if (digits == 0)
        return ERR_SYNTAX;
    *text = slice_from_at(*text, at);
    if (!cut_unit(text, &size))
        return ERR_SYNTAX;
    if (__builtin_mul_overflow(whole, size, &whole) ||
        __builtin_add_overflow(whole, (uint64_t)(fraction * ((double)size / scale)), &whole))
        return ERR_RANGE;
    *out_ns = whole;
    return OK;
}

Status duration_parse(Slice text, int64_t *out_ns) {
    uint64_t sum = 0;
    bool is_negative = false;

    if (text.len && (text.ptr[0] == '-' || text.ptr[0] == '+')) {
        is_negative = text.ptr[0] == '-';
        text = slice_from_at(text, 1);
    }
    if (slice_equal(text, LIT("0"))) {
        *out_ns = 0;
        return OK;
    }
    if (text.len == 0)
        return ERR_SYNTAX;
    while (text.len) {
        uint64_t part;
        Status status = cut_part(&text, &part);
        if (status != OK)
            return status;
        if (__builtin_add_overflow(sum, part, &sum) || sum > (uint64_t)INT64_MAX + is_negative)
            return ERR_RANGE;
    }
    *out_ns = is_negative ? (int64_t)-sum : (int64_t)sum;
    return OK;
}
