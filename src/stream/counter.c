#include "stream/counter.h"

#include "base/decimal.h"
#include "proto/headers.h"
#include "proto/json.h"
#include "stream/api_error.h"

enum { SOURCE_STREAM = 0, SOURCE_SUBJECT = 4 }; /* fields of Nats-Stream-Source */

static const Slice increment_name = LIT("Nats-Incr"), sources_name = LIT("Nats-Counter-Sources"),
                   origin_name = LIT("Nats-Stream-Source");

static bool is_object(Slice json) {
    return json.len >= 2 && json.ptr[0] == '{';
}

/* Without its quotes; false when the value is no string. */
static bool string_of(Slice value, Slice *out_text) {
    if (value.len < 2 || value.ptr[0] != '"')
        return false;
    *out_text = slice_from(value.ptr + 1, value.len - 2);
    return true;
}

static Status read_total(Slice payload, Slice *out_total) {
    size_t at = 0, i = 0;
    Slice key, value, total = {0}, json = slice_trim(payload);
    if (json_check(json, &at, false, NULL) || at != json.len || !is_object(json))
        return ERR_SYNTAX;
    while (json_next_member(json, &i, &key, &value))
        if (slice_equal_ignoring_case(key, LIT("val")) && !string_of(value, &total))
            return ERR_SYNTAX;
    *out_total = decimal_is_valid(total) ? total : LIT("0"); /* as the original takes it */
    return OK;
}

/* An object of objects of decimals. */
static bool sources_are_valid(Slice json) {
    size_t at = 0, i = 0;
    Slice stream, subject, subjects, value, total;
    if (json_check(json, &at, false, NULL) || at != json.len || !is_object(json))
        return false;
    while (json_next_member(json, &i, &stream, &subjects)) {
        size_t k = 0;
        if (!is_object(subjects))
            return false;
        while (json_next_member(subjects, &k, &subject, &value))
            if (!string_of(value, &total) || !decimal_is_valid(total))
                return false;
    }
    return true;
}

Status counter_read(Slice headers, Slice payload, CounterValue *out_value) {
    CounterValue value = {0};
    Status status = read_total(payload, &value.total);
    if (status)
        return status;
    if (headers.len && header_get(headers, sources_name, &value.sources) &&
        !sources_are_valid(value.sources))
        return ERR_SYNTAX;
    *out_value = value;
    return OK;
}

unsigned counter_check(const PubHeaders *ask, bool is_enabled, bool has_payload) {
    if (!ask || !ask->increment.len)
        return JSMessageIncrMissingErr;
    if (!decimal_is_valid(ask->increment))
        return JSMessageIncrInvalidErr;
    if (!is_enabled)
        return JSMessageIncrDisabledErr;
    if (has_payload)
        return JSMessageIncrPayloadErr;
    bool expects = ask->expected_stream.len || ask->expected_last_msg_id.len ||
                   ask->expected_last_seq.len || ask->expected_subject_seq.len ||
                   ask->expected_subject.len;
    return expects || ask->rollup.len ? JSMessageIncrInvalidErr : 0;
}

/* Appends block with the first header of that name changed, or a new one at the end. */
static void set_header(Buf *out, Slice block, Slice name, Slice value) {
    size_t line = 0;
    while (line < block.len) { /* a line that is "name:..." */
        Slice rest = slice_from_at(block, line);
        size_t end = slice_find(rest, '\n');
        if (slice_starts_with(rest, name) && rest.len > name.len && rest.ptr[name.len] == ':') {
            buf_append(out, slice_first(block, line));
            header_append(out, name, value);
            buf_append(out, slice_from_at(rest, end + 1));
            return;
        }
        line += end + 1;
    }
    buf_append(out, slice_first(block, block.len - 2)); /* without the empty line */
    header_append(out, name, value);
    header_end(out);
}

static void append_payload(Buf *out, CounterValue base, Slice increment) {
    buf_append_lit(out, "{\"val\":\"");
    decimal_add(out, base.total.len ? base.total : LIT("0"), increment);
    buf_append_lit(out, "\"}");
}

void counter_add(CounterValue base, Slice headers, Slice increment, Buf *out_headers,
                 Buf *out_payload) {
    Slice sources;
    append_payload(out_payload, base, increment);
    if (base.sources.len &&
        !(header_get(headers, sources_name, &sources) && slice_equal(sources, base.sources)))
        set_header(out_headers, headers, sources_name, base.sources);
}

static Status read_origin(Slice headers, Slice *out_stream, Slice *out_subject) {
    Slice text, field;
    *out_stream = *out_subject = (Slice){0};
    if (!header_get(headers, origin_name, &text))
        return ERR_SYNTAX;
    for (unsigned i = 0; slice_cut(&text, ' ', &field); i++) {
        if (i == SOURCE_STREAM)
            *out_stream = field;
        if (i == SOURCE_SUBJECT) {
            *out_subject = field;
            return OK;
        }
    }
    return ERR_SYNTAX;
}

/* Of one of the two levels of sources. */
typedef struct Member {
    Slice key, json;
} Member;

static void append_member(Buf *out, Member member) {
    if (out->ptr[out->len - 1] != '{')
        buf_append_char(out, ',');
    json_write_string(out, member.key);
    buf_append_char(out, ':');
    buf_append(out, member.json);
}

/* Appends object with that member set; keys stay sorted. */
static void set_member(Buf *out, Slice object, Member member, Arena *arena) {
    size_t i = 0;
    Slice raw, value;
    bool is_written = false;

    buf_append_char(out, '{');
    while (object.len && json_next_member(object, &i, &raw, &value)) {
        Slice key = json_unescape(raw, arena);
        int order = slice_compare(key, member.key);
        if (order >= 0 && !is_written) {
            append_member(out, member);
            is_written = true;
        }
        if (order != 0)
            append_member(out, (Member){key, value});
    }
    if (!is_written)
        append_member(out, member);
    buf_append_char(out, '}');
}

/* The raw value of a member, empty when there is none. */
static Slice find_member(Slice object, Slice key, Arena *arena) {
    size_t i = 0;
    Slice raw, value, found = {0};
    while (object.len && json_next_member(object, &i, &raw, &value))
        if (slice_equal(json_unescape(raw, arena), key))
            found = value;
    return found;
}

Status counter_copy(CounterValue base, Slice headers, Slice origin_total, Arena *arena,
                    Buf *out_headers, Buf *out_payload) {
    Slice stream, subject, old_increment, previous = LIT("0");
    if (read_origin(headers, &stream, &subject) ||
        !header_get(headers, increment_name, &old_increment) || !decimal_is_valid(origin_total) ||
        (base.sources.len && !sources_are_valid(base.sources)))
        return ERR_SYNTAX;
    Slice subjects = find_member(base.sources, stream, arena), last;
    if (string_of(find_member(subjects, subject, arena), &last))
        previous = last;

    Buf total = {0}, inner = {0}, sources = {0}, increment = {0}, half = {0};
    buf_append_char(&total, '"');
    decimal_add(&total, origin_total, LIT("0"));
    buf_append_char(&total, '"');
    set_member(&inner, subjects, (Member){subject, buf_slice(&total)}, arena);
    set_member(&sources, base.sources, (Member){stream, buf_slice(&inner)}, arena);
    decimal_subtract(&increment, origin_total, previous);
    set_header(&half, headers, increment_name, buf_slice(&increment));
    set_header(out_headers, buf_slice(&half), sources_name, buf_slice(&sources));
    append_payload(out_payload, base, buf_slice(&increment));
    buf_done(&total);
    buf_done(&inner);
    buf_done(&sources);
    buf_done(&increment);
    buf_done(&half);
    return OK;
}

Status counter_origin_total(Slice headers, Arena *arena, Slice *out_total) {
    Slice stream, subject, sources;
    if (read_origin(headers, &stream, &subject) || !header_get(headers, sources_name, &sources) ||
        !sources_are_valid(sources))
        return ERR_SYNTAX;
    Slice subjects = find_member(sources, stream, arena);
    return string_of(find_member(subjects, subject, arena), out_total) ? OK : ERR_SYNTAX;
}
