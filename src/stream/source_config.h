/* SourceConfig: where a mirror or a sourcing stream takes its messages from
 * (reference/jetstream-api.md section 10). Plain data; the slices belong to the config around it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "proto/json.h"

typedef struct SubjectTransformConfig {
    Slice src, dest;
} SubjectTransformConfig;

typedef struct SourceConfig {
    Slice name;
    uint64_t opt_start_seq;
    bool has_opt_start_time;
    int64_t opt_start_time_ns;
    Slice opt_start_time_text; /* as it is echoed */
    Slice filter_subject;
    SubjectTransformConfig *transforms;
    size_t transform_count;
    bool has_external; /* another account or domain */
    Slice external_api, external_deliver;
    bool has_consumer; /* a durable consumer made by somebody else */
    Slice consumer_name, consumer_deliver;
} SourceConfig;

/* Offsets are in SourceConfig. */
extern const JsonSchema source_config_schema;
/* {"src","dest"}; offsets are in SubjectTransformConfig. */
extern const JsonSchema subject_transform_schema;

/* Equal in every field. */
bool source_config_equal(const SourceConfig *a, const SourceConfig *b);
/* The same messages of the same stream: name, external API, consumer, filter and transforms are
 * equal, where empty is ">". Two such sources in a stream are one too many. */
bool source_config_is_same(const SourceConfig *a, const SourceConfig *b);
