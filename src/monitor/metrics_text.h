/* Text of metrics, as Prometheus reads it (exposition format 0.0.4): families, each with its
 * samples behind it. Codec only. */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

typedef enum MetricType { METRIC_GAUGE, METRIC_COUNTER, METRIC_HISTOGRAM } MetricType;

/* # HELP and # TYPE. */
void metric_family(Buf *out, const char *name, MetricType type, const char *help);

/* name="value", escaped, with a comma when labels has some already. Nothing when value is empty:
 * that is the same to who reads it. */
void metric_label(Buf *labels, const char *name, Slice value);

/* One line; labels may be empty. */
void metric_u64(Buf *out, const char *name, Slice labels, uint64_t value);
void metric_i64(Buf *out, const char *name, Slice labels, int64_t value);
void metric_double(Buf *out, const char *name, Slice labels, double value);

/* A family of one sample. */
void metric_one(Buf *out, const char *name, MetricType type, const char *help, Slice labels,
                uint64_t value);
