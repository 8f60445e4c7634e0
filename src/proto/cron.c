#include "proto/cron.h"

#include "proto/timefmt.h"

enum { FIELDS = 6, DAY_SECONDS = 86400, HOUR_SECONDS = 3600, YEARS_AHEAD = 5 };

typedef struct Field {
    unsigned min, max;
    const char *const *names; /* of min, min + 1 ...; closed by NULL */
} Field;

static const char *const month_names[] = {"jan", "feb", "mar", "apr", "may", "jun", "jul",
                                          "aug", "sep", "oct", "nov", "dec", NULL};
static const char *const day_names[] = {"sun", "mon", "tue", "wed", "thu", "fri", "sat", NULL};

static const Field fields[FIELDS] = {
    {0, 59, NULL}, {0, 59, NULL},        {0, 23, NULL},
    {1, 31, NULL}, {1, 12, month_names}, {0, 6, day_names},
};

static const struct {
    const char *name, *pattern;
} aliases[] = {
    {"@yearly", "0 0 0 1 1 *"}, {"@annually", "0 0 0 1 1 *"}, {"@monthly", "0 0 0 1 * *"},
    {"@weekly", "0 0 0 * * 0"}, {"@daily", "0 0 0 * * *"},    {"@midnight", "0 0 0 * * *"},
    {"@hourly", "0 0 * * * *"},
};

static bool read_number(Slice text, unsigned *out_value) {
    uint64_t value;
    if (text.len && text.ptr[0] == '+')
        text = slice_from_at(text, 1);
    if (slice_parse_u64(text, &value) || value > INT32_MAX)
        return false;
    *out_value = (unsigned)value;
    return true;
}

static bool read_value(Slice text, const Field *field, unsigned *out_value) {
    for (unsigned i = 0; field->names && field->names[i]; i++)
        if (slice_equal_ignoring_case(text, slice_of_text(field->names[i]))) {
            *out_value = field->min + i;
            return true;
        }
    return read_number(text, out_value);
}

/* "5", "1-5", "*", each with "/2"; "5/2" goes on to the end. */
static bool read_range(Slice text, const Field *field, uint64_t *bits, bool *is_star) {
    Slice rest = text, range, step_text = {0}, extra, low;
    unsigned from = field->min, to = field->max, step = 1;
    (void)slice_cut(&rest, '/', &range);
    bool has_step = slice_cut(&rest, '/', &step_text);
    if (slice_cut(&rest, '/', &extra))
        return false;
    Slice ends = range;
    (void)slice_cut(&ends, '-', &low);
    bool has_star = slice_equal(low, LIT("*")) || slice_equal(low, LIT("?"));
    if (!has_star) {
        Slice high;
        if (!read_value(low, field, &from))
            return false;
        if (slice_cut(&ends, '-', &high)) {
            if (!read_value(high, field, &to) || slice_cut(&ends, '-', &extra))
                return false;
        } else if (!has_step) {
            to = from;
        }
    }
    if ((has_step && !read_number(step_text, &step)) || step == 0 || from < field->min ||
        to > field->max || from > to)
        return false;
    for (unsigned value = from; value <= to && value >= from; value += step)
        *bits |= 1ull << value;
    *is_star |= has_star && step == 1;
    return true;
}

static bool read_field(Slice text, const Field *field, uint64_t *out_bits, bool *out_is_star) {
    Slice rest = text, range;
    *out_bits = 0;
    *out_is_star = false;
    while (slice_cut(&rest, ',', &range))
        if (range.len && !read_range(range, field, out_bits, out_is_star))
            return false;
    return true;
}

static bool is_blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool next_word(Slice *rest, Slice *out_word) {
    size_t from = 0, to;
    while (from < rest->len && is_blank(rest->ptr[from]))
        from++;
    for (to = from; to < rest->len && !is_blank(rest->ptr[to]);)
        to++;
    *out_word = slice_first(slice_from_at(*rest, from), to - from);
    *rest = slice_from_at(*rest, to);
    return out_word->len > 0;
}

Status cron_parse(Slice pattern, Cron *out_cron) {
    uint64_t bits[FIELDS];
    bool stars[FIELDS];
    Slice word;
    for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
        if (slice_equal(pattern, slice_of_text(aliases[i].name)))
            pattern = slice_of_text(aliases[i].pattern);
    for (unsigned i = 0; i < FIELDS; i++)
        if (!next_word(&pattern, &word) || !read_field(word, &fields[i], &bits[i], &stars[i]))
            return ERR_SYNTAX;
    if (next_word(&pattern, &word))
        return ERR_SYNTAX;
    *out_cron = (Cron){bits[0], bits[1], bits[2], bits[3], bits[4], bits[5], stars[3], stars[5]};
    return OK;
}

typedef struct Civil {
    int64_t day_number, year, second; /* second: of the day */
    unsigned month, day, weekday;
} Civil;

static Civil civil_of(int64_t local_seconds) {
    Civil civil;
    civil.day_number = local_seconds / DAY_SECONDS - (local_seconds % DAY_SECONDS < 0);
    civil.second = local_seconds - civil.day_number * DAY_SECONDS;
    days_to_date(civil.day_number, &civil.year, &civil.month, &civil.day);
    civil.weekday = (unsigned)((((civil.day_number + 4) % 7) + 7) % 7);
    return civil;
}

static bool has(uint64_t bits, int64_t value) {
    return bits >> value & 1;
}

static bool day_fits(const Cron *cron, const Civil *civil) {
    bool day = has(cron->days, civil->day), weekday = has(cron->weekdays, civil->weekday);
    return cron->any_day || cron->any_weekday ? day && weekday : day || weekday;
}

static int64_t next_month(const Civil *civil) {
    return civil->month == 12 ? date_to_days(civil->year + 1, 1, 1)
                              : date_to_days(civil->year, civil->month + 1, 1);
}

Status cron_next(const Cron *cron, const TimeZone *zone, int64_t after_seconds,
                 int64_t *out_seconds) {
    if (!cron->seconds || !cron->minutes || !cron->hours) /* ",": no time of any day fits */
        return ERR_NOT_FOUND;
    int64_t at = after_seconds + 1;
    int64_t year_max = civil_of(at + time_zone_offset(zone, at)).year + YEARS_AHEAD;
    for (;;) {
        Civil civil = civil_of(at + time_zone_offset(zone, at));
        int64_t skip_to = at;
        if (civil.year > year_max)
            return ERR_NOT_FOUND;
        if (!has(cron->months, civil.month))
            skip_to = time_zone_to_unix(zone, next_month(&civil) * DAY_SECONDS);
        else if (!day_fits(cron, &civil))
            skip_to = time_zone_to_unix(zone, (civil.day_number + 1) * DAY_SECONDS);
        else if (!has(cron->hours, civil.second / HOUR_SECONDS))
            skip_to = at - civil.second % HOUR_SECONDS + HOUR_SECONDS;
        else if (!has(cron->minutes, civil.second / 60 % 60))
            skip_to = at - civil.second % 60 + 60;
        else if (!has(cron->seconds, civil.second % 60))
            skip_to = at + 1;
        else {
            *out_seconds = at;
            return OK;
        }
        at = skip_to > at ? skip_to : at + 1;
    }
}
