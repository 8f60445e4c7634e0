#include "stream/source_config.h"

#include <stddef.h>

static const JsonField subject_transform_rows[] = {
    JSON_ROW(SubjectTransformConfig, src, "src", JSON_STRING, ),
    JSON_ROW(SubjectTransformConfig, dest, "dest", JSON_STRING, ),
};
const JsonSchema subject_transform_schema =
    JSON_SCHEMA("server.SubjectTransformConfig", subject_transform_rows);

static const JsonField external_rows[] = {
    JSON_ROW(SourceConfig, external_api, "api", JSON_STRING, ),
    JSON_ROW(SourceConfig, external_deliver, "deliver", JSON_STRING, ),
};
static const JsonSchema external_schema = JSON_SCHEMA("server.ExternalStream", external_rows);

static const JsonField consumer_rows[] = {
    JSON_ROW(SourceConfig, consumer_name, "name", JSON_STRING, .flags = JSON_OMIT_EMPTY),
    JSON_ROW(SourceConfig, consumer_deliver, "deliver_subject", JSON_STRING,
             .flags = JSON_OMIT_EMPTY),
};
static const JsonSchema consumer_schema = JSON_SCHEMA("server.StreamConsumerSource", consumer_rows);

/* In the order in which the API shows them. */
static const JsonField source_rows[] = {
    JSON_ROW(SourceConfig, name, "name", JSON_STRING, ),
    JSON_ROW(SourceConfig, opt_start_seq, "opt_start_seq", JSON_UINT, .flags = JSON_OMIT_EMPTY),
    JSON_TIME_ROW(SourceConfig, opt_start_time_ns, has_opt_start_time,
                  offsetof(SourceConfig, opt_start_time_text), "opt_start_time",
                  .flags = JSON_OMIT_EMPTY),
    JSON_ROW(SourceConfig, filter_subject, "filter_subject", JSON_STRING, .flags = JSON_OMIT_EMPTY),
    JSON_STRUCTS_ROW(SourceConfig, transforms, transform_count, SubjectTransformConfig,
                     "subject_transforms", &subject_transform_schema,
                     "[]server.SubjectTransformConfig", .flags = JSON_OMIT_EMPTY),
    JSON_OBJECT_ROW("external", &external_schema, offsetof(SourceConfig, has_external),
                    .flags = JSON_OMIT_EMPTY),
    JSON_OBJECT_ROW("consumer", &consumer_schema, offsetof(SourceConfig, has_consumer),
                    .flags = JSON_OMIT_EMPTY),
};
const JsonSchema source_config_schema = JSON_SCHEMA("server.StreamSource", source_rows);

bool source_config_equal(const SourceConfig *a, const SourceConfig *b) {
    Buf one = {0}, two = {0};

    json_write(&one, &source_config_schema, a);
    json_write(&two, &source_config_schema, b);
    bool is_equal = slice_equal(buf_slice(&one), buf_slice(&two));
    buf_done(&one);
    buf_done(&two);
    return is_equal;
}

static Slice all_if_empty(Slice subject) {
    return subject.len ? subject : LIT(">");
}

/* The i-th transform; a filter alone is one that changes nothing. */
static SubjectTransformConfig transform_of(const SourceConfig *source, size_t i) {
    SubjectTransformConfig of = {.src = source->filter_subject};

    if (source->transform_count)
        of = source->transforms[i];
    return (SubjectTransformConfig){all_if_empty(of.src), all_if_empty(of.dest)};
}

bool source_config_is_same(const SourceConfig *a, const SourceConfig *b) {
    size_t count = a->transform_count ? a->transform_count : 1;

    if (!slice_equal(a->name, b->name) || a->has_external != b->has_external ||
        (a->has_external && !slice_equal(a->external_api, b->external_api)) ||
        a->has_consumer != b->has_consumer ||
        (a->has_consumer && !slice_equal(a->consumer_name, b->consumer_name)) ||
        count != (b->transform_count ? b->transform_count : 1))
        return false;
    for (size_t i = 0; i < count; i++) {
        SubjectTransformConfig one = transform_of(a, i), two = transform_of(b, i);
        if (!slice_equal(one.src, two.src) || !slice_equal(one.dest, two.dest))
            return false;
    }
    return true;
}
