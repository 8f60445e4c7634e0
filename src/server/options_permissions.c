/* Permissions of users, and subject mappings. */
#include "base/mem.h"
#include "proto/subject.h"
#include "proto/timefmt.h"
#include "server/directive.h"

/* "subject", or for subscriptions "subject queue". */
static bool check_subject(OptionsReader *reader, const ConfValue *at, Slice text,
                          bool takes_queue) {
    Slice subject = text, queue = {0};

    if (takes_queue) {
        size_t blank = 0;
        text = slice_trim(text);
        while (blank < text.len && text.ptr[blank] != ' ' && text.ptr[blank] != '\t')
            blank++;
        subject = slice_first(text, blank);
        queue = slice_trim(slice_from_at(text, blank));
    }
    if (!subject_is_valid(subject)) {
        reader_fail(reader, at, "subject \"%.*s\" is not a valid subject", SLICE_ARG(subject));
        return false;
    }
    if (queue.len > 0 && !subject_is_valid(queue)) {
        reader_fail(reader, at, "queue \"%.*s\" is not a valid queue", SLICE_ARG(queue));
        return false;
    }
    return true;
}

static bool read_subjects(OptionsReader *reader, const ConfValue *value, bool takes_queue,
                          TextList *out) {
    if (value->type != CONF_STRING && value->type != CONF_ARRAY) {
        reader_fail(reader, value,
                    "Expected subject permissions to be a subject, or array of subjects, got %s",
                    conf_type_name(value->type));
        return false;
    }
    if (!reader_texts(reader, value, out))
        return false;
    for (size_t i = 0; i < out->count; i++)
        if (!check_subject(reader, value, out->at[i], takes_queue))
            return false;
    return true;
}

static void read_rules(OptionsReader *reader, const ConfValue *value, bool takes_queue,
                       SubjectRules *out) {
    TextList list = {0};

    if (value->type != CONF_MAP) {
        if (read_subjects(reader, value, takes_queue, &list))
            *out = (SubjectRules){.allow = list.at, .allow_count = list.count, .has_allow = true};
        return;
    }
    for (const ConfValue *one = value->list.first; one != NULL; one = one->next) {
        bool is_allow = key_is(one, "allow");
        list = (TextList){0};
        if (!is_allow && !key_is(one, "deny")) {
            if (!one->was_used)
                reader_fail(reader, one,
                            "Unknown field name \"%.*s\" parsing subject permissions, only 'allow' "
                            "or 'deny' are "
                            "permitted",
                            SLICE_ARG(one->key));
        } else if (read_subjects(reader, one, takes_queue, &list)) {
            *(is_allow ? &out->allow : &out->deny) = list.at;
            *(is_allow ? &out->allow_count : &out->deny_count) = list.count;
            out->has_allow = out->has_allow || is_allow;
        }
    }
}

static bool key_is_any(const ConfValue *value, const char *names) {
    Slice rest = slice_of_text(names), one;
    while (slice_cut(&rest, '|', &one))
        if (slice_equal_ignoring_case(value->key, one))
            return true;
    return false;
}

static void read_responses(OptionsReader *reader, const ConfValue *value, PermissionsOptions *out) {
    if (value->type == CONF_BOOL) {
        out->has_responses = value->flag;
        return;
    }
    if (value->type != CONF_MAP) {
        reader_fail(reader, value,
                    "error parsing response permissions, expected a boolean or a map");
        return;
    }
    out->has_responses = true;
    for (const ConfValue *one = value->list.first; one != NULL; one = one->next) {
        if (key_is_any(one, "max|max_msgs|max_messages|max_responses")) {
            if (reader_want(reader, one, CONF_INT))
                out->responses_max = one->integer;
        } else if (key_is_any(one, "expires|expiration|ttl")) {
            if (one->type != CONF_STRING)
                reader_fail(reader, one, "error parsing expires, not a duration string");
            else
                (void)reader_duration(reader, one, false, &out->responses_expire_ns);
        } else if (!one->was_used) {
            reader_fail(reader, one, "Unknown field \"%.*s\" parsing permissions",
                        SLICE_ARG(one->key));
        }
    }
}

void read_permissions(OptionsReader *reader, const ConfValue *value, void *target) {
    PermissionsOptions *out = target;

    if (value->type != CONF_MAP) {
        reader_fail(reader, value, "Expected permissions to be a map/struct, got %s",
                    conf_type_name(value->type));
        return;
    }
    out->is_set = true;
    for (const ConfValue *one = value->list.first; one != NULL; one = one->next) {
        if (key_is_any(one, "publish|pub|import"))
            read_rules(reader, one, false, &out->publish);
        else if (key_is_any(one, "subscribe|sub|export"))
            read_rules(reader, one, true, &out->subscribe);
        else if (key_is_any(one, "allow_responses|publish_allow_responses"))
            read_responses(reader, one, out);
        else if (!one->was_used)
            reader_fail(reader, one, "Unknown field \"%.*s\" parsing permissions",
                        SLICE_ARG(one->key));
    }
}

/* 50, "50" or "50%". */
static bool read_weight(OptionsReader *reader, const ConfValue *value, unsigned *out) {
    int64_t weight;

    if (value->type == CONF_INT) {
        weight = value->integer;
    } else if (value->type == CONF_STRING) {
        Slice text = value->text;
        if (slice_ends_with(text, LIT("%")))
            text.len--;
        if (slice_parse_i64(text, &weight) != OK) {
            reader_fail(reader, value, "Invalid weight \"%.*s\" for mapping destination",
                        SLICE_ARG(text));
            return false;
        }
    } else {
        reader_fail(reader, value, "Unknown entry type for weight: %s",
                    conf_type_name(value->type));
        return false;
    }
    if (weight < 0 || weight > 100) {
        reader_fail(reader, value, "Invalid weight %lld for mapping destination",
                    (long long)weight);
        return false;
    }
    *out = (unsigned)weight;
    return true;
}

/* False when it is not to be used. A destination of a cluster is for servers in that cluster only,
 * and so not for us. */
static bool read_destination(OptionsReader *reader, const ConfValue *value, MappingDest *out) {
    bool has_weight = false, has_cluster = false;

    if (value->type != CONF_MAP) {
        reader_fail(reader, value, "Expected an entry for the mapping destination");
        return false;
    }
    for (const ConfValue *one = value->list.first; one != NULL; one = one->next) {
        if (key_is_any(one, "dest|destination")) {
            if (!reader_want(reader, one, CONF_STRING))
                return false;
            out->dest = one->text;
        } else if (key_is(one, "weight")) {
            if (!read_weight(reader, one, &out->weight_percent))
                return false;
            has_weight = true;
        } else if (key_is(one, "cluster")) {
            if (!reader_want(reader, one, CONF_STRING))
                return false;
            has_cluster = one->text.len > 0;
        } else {
            reader_fail(reader, one, "Unknown field \"%.*s\" for mapping destination",
                        SLICE_ARG(one->key));
            return false;
        }
    }
    if (!has_weight)
        reader_fail(reader, value, "Missing weight for mapping destination \"%.*s\"",
                    SLICE_ARG(out->dest));
    return has_weight && !has_cluster;
}

static void read_mapping(OptionsReader *reader, const ConfValue *value, MappingList *list) {
    bool is_list = value->type == CONF_ARRAY;
    const ConfValue *first = is_list ? value->list.first : value;
    size_t room = is_list ? value->list.count : 1, errors_before = reader->errors->len;
    MappingOptions mapping = {
        value->key, arena_zalloc(reader->options->arena, (room + 1) * sizeof(MappingDest)), 0};
    Buf error = {0};
    Mapping *checked = NULL;

    if (value->type == CONF_STRING) {
        mapping.dests[mapping.count++] = (MappingDest){value->text, 100};
    } else {
        for (const ConfValue *one = first; one != NULL; one = is_list ? one->next : NULL)
            if (read_destination(reader, one, &mapping.dests[mapping.count]))
                mapping.count++;
    }
    if (reader->errors->len > errors_before || mapping.count == 0)
        return;
    if (mapping_new(mapping.from, mapping.dests, mapping.count, &error, &checked) == OK)
        vec_push(list, mapping);
    else if (value->type == CONF_STRING)
        reader_fail(reader, value, "Error adding mapping for \"%.*s\" to \"%.*s\" : %s",
                    SLICE_ARG(value->key), SLICE_ARG(value->text), buf_text(&error));
    else
        reader_fail(reader, value, "Error adding mapping for \"%.*s\" : %s", SLICE_ARG(value->key),
                    buf_text(&error));
    mapping_free(checked);
    buf_done(&error);
}

void read_mappings(OptionsReader *reader, const ConfValue *value, void *target) {
    if (!reader_want(reader, value, CONF_MAP))
        return;
    for (const ConfValue *one = value->list.first; one != NULL; one = one->next) {
        if (subject_is_valid(one->key))
            read_mapping(reader, one, target);
        else
            reader_fail(reader, one, "Subject \"%.*s\" is not a valid subject",
                        SLICE_ARG(one->key));
    }
}
