#include "monitor/metrics_text.h"

void metric_family(Buf *out, const char *name, MetricType type, const char *help) {
    static const char *const types[] = {"gauge", "counter", "histogram"};
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, types[type]);
}

void metric_label(Buf *labels, const char *name, Slice value) {
    if (value.len == 0)
        return;
    buf_printf(labels, "%s%s=\"", labels->len ? "," : "", name);
    for (size_t i = 0; i < value.len; i++) {
        char c = value.ptr[i];
        if (c == '\n')
            buf_append_lit(labels, "\\n");
        else if (c == '"' || c == '\\')
            buf_printf(labels, "\\%c", c);
        else
            buf_append_char(labels, c);
    }
    buf_append_char(labels, '"');
}

static void begin(Buf *out, const char *name, Slice labels) {
    buf_append(out, slice_of_text(name));
    if (labels.len) {
        buf_append_char(out, '{');
        buf_append(out, labels);
        buf_append_char(out, '}');
    }
    buf_append_char(out, ' ');
}

void metric_u64(Buf *out, const char *name, Slice labels, uint64_t value) {
    begin(out, name, labels);
    buf_append_u64(out, value);
    buf_append_char(out, '\n');
}

void metric_i64(Buf *out, const char *name, Slice labels, int64_t value) {
    begin(out, name, labels);
    buf_append_i64(out, value);
    buf_append_char(out, '\n');
}

void metric_double(Buf *out, const char *name, Slice labels, double value) {
    begin(out, name, labels);
    buf_printf(out, "%.9g\n", value);
}

void metric_one(Buf *out, const char *name, MetricType type, const char *help, Slice labels,
                uint64_t value) {
    metric_family(out, name, type, help);
    metric_u64(out, name, labels, value);
}
