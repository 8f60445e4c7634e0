#include "proto/time_zone.h"

#include "base/mem.h"
#include "proto/timefmt.h"

/* A file: head, block with 32-bit times; from version 2 on head and block again with 64-bit times,
 * then a newline, a POSIX rule for all later times, a newline.
 *   head:  "TZif" | u8 version | 15 bytes | u32 isut, isstd, leap, time, type, char counts
 *   block: times | u8 type of each | types: i32 offset, u8 is_dst, u8 name | names | leaps | flags
 * All numbers big endian. */
enum {
    HEAD_BYTES = 44,
    TYPE_BYTES = 6,
    COUNT_MAX = 10000, /* of anything; real files have a few hundred */
    DAY_SECONDS = 86400,
    OFFSET_MAX = 26 * 3600, /* RFC 8536: within -25 and 26 hours */
    TIME_MAX = 167 * 3600,
};

typedef struct Counts {
    uint32_t isut, isstd, leap, time, type, name;
} Counts;

typedef enum DayKind { DAY_OF_WEEK, DAY_JULIAN, DAY_ZERO_BASED } DayKind;

/* When a rule begins: "M3.2.0/2", "J60", "59". */
typedef struct RuleDay {
    DayKind kind;
    int64_t month, week, day;
    int64_t time; /* seconds, local */
} RuleDay;

typedef struct Rule {
    int64_t std_offset, dst_offset;
    bool has_dst;
    RuleDay dst_begins, dst_ends;
} Rule;

struct TimeZone {
    int64_t *times;   /* ascending */
    int32_t *offsets; /* from times[i] on */
    size_t count;
    int64_t first_offset; /* before times[0] */
    bool has_rule;
    Rule rule; /* from the last time on */
};

static uint64_t read_number(const char *from, unsigned bytes) {
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value = value << 8 | (uint8_t)from[i];
    return value;
}

static bool read_head(Slice file, char *out_version, Counts *out_counts) {
    if (file.len < HEAD_BYTES || memcmp(file.ptr, "TZif", 4) != 0)
        return false;
    uint32_t counts[6];
    for (unsigned i = 0; i < 6; i++)
        if ((counts[i] = (uint32_t)read_number(file.ptr + 20 + 4 * i, 4)) > COUNT_MAX)
            return false;
    *out_version = file.ptr[4];
    *out_counts = (Counts){counts[0], counts[1], counts[2], counts[3], counts[4], counts[5]};
    return counts[4] > 0;
}

static size_t block_bytes(const Counts *counts, unsigned time_bytes) {
    return (size_t)counts->time * (time_bytes + 1) + (size_t)counts->type * TYPE_BYTES +
           counts->name + (size_t)counts->leap * (time_bytes + 4) + counts->isstd + counts->isut;
}

static bool read_block(Slice block, const Counts *counts, unsigned time_bytes, TimeZone *zone) {
    const char *times = block.ptr, *indexes = times + (size_t)counts->time * time_bytes,
               *types = indexes + counts->time;
    if (block.len < block_bytes(counts, time_bytes))
        return false;
    zone->times = mem_alloc(counts->time * sizeof *zone->times);
    zone->offsets = mem_alloc(counts->time * sizeof *zone->offsets);
    zone->count = counts->time;
    zone->first_offset = (int32_t)read_number(types, 4);
    if (zone->first_offset < -OFFSET_MAX || zone->first_offset > OFFSET_MAX)
        return false;
    for (size_t i = 0; i < counts->time; i++) {
        uint64_t time = read_number(times + i * time_bytes, time_bytes);
        uint8_t type = (uint8_t)indexes[i];
        zone->times[i] = time_bytes == 4 ? (int32_t)time : (int64_t)time;
        if (type >= counts->type || (i && zone->times[i] <= zone->times[i - 1]))
            return false;
        zone->offsets[i] = (int32_t)read_number(types + (size_t)type * TYPE_BYTES, 4);
        if (zone->offsets[i] < -OFFSET_MAX || zone->offsets[i] > OFFSET_MAX)
            return false;
    }
    return true;
}

/* --- the rule --- */

static bool take(Slice *text, char c) {
    if (!text->len || text->ptr[0] != c)
        return false;
    *text = slice_from_at(*text, 1);
    return true;
}

static bool take_number(Slice *text, int64_t max, int64_t *out_value) {
    int64_t value = 0;
    size_t len = 0;
    for (; len < text->len && text->ptr[len] >= '0' && text->ptr[len] <= '9'; len++)
        if ((value = value * 10 + (text->ptr[len] - '0')) > max)
            return false;
    *text = slice_from_at(*text, len);
    *out_value = value;
    return len > 0;
}

static bool take_name(Slice *text) {
    if (take(text, '<')) {
        size_t end = slice_find(*text, '>');
        if (end == text->len)
            return false;
        *text = slice_from_at(*text, end + 1);
        return true;
    }
    size_t len = 0;
    while (len < text->len && (text->ptr[len] | 0x20) >= 'a' && (text->ptr[len] | 0x20) <= 'z')
        len++;
    *text = slice_from_at(*text, len);
    return len > 0;
}

/* "[+-]hh[:mm[:ss]]" in seconds. */
static bool take_time(Slice *text, int64_t *out_seconds) {
    int64_t sign = 1, hours, minutes = 0, seconds = 0;
    if (take(text, '-'))
        sign = -1;
    else
        (void)take(text, '+');
    if (!take_number(text, 167, &hours))
        return false;
    if (take(text, ':') && !take_number(text, 59, &minutes))
        return false;
    if (take(text, ':') && !take_number(text, 59, &seconds))
        return false;
    *out_seconds = sign * (hours * 3600 + minutes * 60 + seconds);
    return true;
}

static bool take_day(Slice *text, RuleDay *out_day) {
    RuleDay day = {.time = 2 * 3600};
    if (!take(text, ','))
        return false;
    if (take(text, 'M')) {
        if (!take_number(text, 12, &day.month) || !take(text, '.') ||
            !take_number(text, 5, &day.week) || !take(text, '.') || !take_number(text, 6, &day.day))
            return false;
        if (day.month == 0 || day.week == 0)
            return false;
    } else {
        day.kind = take(text, 'J') ? DAY_JULIAN : DAY_ZERO_BASED;
        if (!take_number(text, 365, &day.day))
            return false;
    }
    if (take(text, '/') && !take_time(text, &day.time))
        return false;
    *out_day = day;
    return true;
}

/* POSIX offsets are west of Greenwich. */
static bool read_rule(Slice text, Rule *out_rule) {
    Rule rule = {0};
    if (!take_name(&text) || !take_time(&text, &rule.std_offset))
        return false;
    rule.std_offset = -rule.std_offset;
    rule.dst_offset = rule.std_offset + 3600;
    if (text.len) {
        rule.has_dst = true;
        if (!take_name(&text))
            return false;
        if (text.len && text.ptr[0] != ',') {
            if (!take_time(&text, &rule.dst_offset))
                return false;
            rule.dst_offset = -rule.dst_offset;
        }
        if (!take_day(&text, &rule.dst_begins) || !take_day(&text, &rule.dst_ends) || text.len)
            return false;
    }
    *out_rule = rule;
    return true;
}

static bool is_leap_year(int64_t year) {
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

/* Days since 1970. */
static int64_t day_in_year(const RuleDay *rule, int64_t year) {
    int64_t first = date_to_days(year, 1, 1);
    if (rule->kind == DAY_ZERO_BASED)
        return first + rule->day;
    if (rule->kind == DAY_JULIAN) /* 29 February is never counted */
        return first + rule->day - 1 + (is_leap_year(year) && rule->day >= 60);
    int64_t begin = date_to_days(year, (unsigned)rule->month, 1);
    int64_t end = rule->month == 12 ? date_to_days(year + 1, 1, 1)
                                    : date_to_days(year, (unsigned)rule->month + 1, 1);
    int64_t weekday = (((begin + 4) % 7) + 7) % 7; /* 1970-01-01 was a Thursday */
    int64_t day = begin + (rule->day - weekday + 7) % 7 + 7 * (rule->week - 1);
    while (day >= end) /* week 5 is the last one */
        day -= 7;
    return day;
}

static int64_t rule_offset(const Rule *rule, int64_t unix_seconds) {
    if (!rule->has_dst)
        return rule->std_offset;
    int64_t local = unix_seconds + rule->std_offset, year;
    unsigned month, day;
    int64_t days = local / DAY_SECONDS - (local % DAY_SECONDS < 0);
    days_to_date(days, &year, &month, &day);
    int64_t begins = day_in_year(&rule->dst_begins, year) * DAY_SECONDS + rule->dst_begins.time -
                     rule->std_offset;
    int64_t ends =
        day_in_year(&rule->dst_ends, year) * DAY_SECONDS + rule->dst_ends.time - rule->dst_offset;
    bool is_dst = begins < ends ? unix_seconds >= begins && unix_seconds < ends
                                : unix_seconds >= begins || unix_seconds < ends;
    return is_dst ? rule->dst_offset : rule->std_offset;
}

/* --- the whole --- */

static bool parse_into(Slice file, TimeZone *zone) {
    char version;
    Counts counts;
    unsigned time_bytes = 4;
    if (!read_head(file, &version, &counts))
        return false;
    Slice rest = slice_from_at(file, HEAD_BYTES);
    if (version >= '2') {
        if (rest.len < block_bytes(&counts, 4))
            return false;
        rest = slice_from_at(rest, block_bytes(&counts, 4));
        if (!read_head(rest, &version, &counts))
            return false;
        rest = slice_from_at(rest, HEAD_BYTES);
        time_bytes = 8;
    }
    if (!read_block(rest, &counts, time_bytes, zone))
        return false;
    if (time_bytes == 4)
        return true;
    rest = slice_from_at(rest, block_bytes(&counts, 8));
    if (!take(&rest, '\n'))
        return false;
    Slice rule = slice_first(rest, slice_find(rest, '\n'));
    if (!rule.len)
        return true;
    zone->has_rule = true;
    return read_rule(rule, &zone->rule);
}

Status time_zone_parse(Slice file, TimeZone **out_zone) {
    TimeZone *zone = mem_zalloc(sizeof *zone);
    if (!parse_into(file, zone)) {
        time_zone_free(zone);
        return ERR_SYNTAX;
    }
    *out_zone = zone;
    return OK;
}

void time_zone_free(TimeZone *zone) {
    if (!zone)
        return;
    mem_free(zone->times);
    mem_free(zone->offsets);
    mem_free(zone);
}

int64_t time_zone_offset(const TimeZone *zone, int64_t unix_seconds) {
    if (!zone)
        return 0;
    if (zone->has_rule && (!zone->count || unix_seconds >= zone->times[zone->count - 1]))
        return rule_offset(&zone->rule, unix_seconds);
    size_t low = 0, high = zone->count; /* first time after unix_seconds */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (zone->times[middle] > unix_seconds)
            high = middle;
        else
            low = middle + 1;
    }
    return low ? zone->offsets[low - 1] : zone->first_offset;
}

int64_t time_zone_to_unix(const TimeZone *zone, int64_t local_seconds) {
    int64_t before = time_zone_offset(zone, local_seconds - DAY_SECONDS);
    int64_t after = time_zone_offset(zone, local_seconds + DAY_SECONDS);
    if (time_zone_offset(zone, local_seconds - before) == before)
        return local_seconds - before;
    if (time_zone_offset(zone, local_seconds - after) == after)
        return local_seconds - after;
    /* Skipped: look for the moment the offset changes. */
    int64_t low = local_seconds - (after > before ? after : before);
    int64_t high = local_seconds - (after > before ? before : after);
    int64_t old = time_zone_offset(zone, low);
    while (low + 1 < high) {
        int64_t middle = low + (high - low) / 2;
        if (time_zone_offset(zone, middle) == old)
            low = middle;
        else
            high = middle;
    }
    return high;
}
