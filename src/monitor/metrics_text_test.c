#include "monitor/metrics_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void a_family_stands_before_its_samples(void **state) {
    (void)state;
    Buf out = {0}, labels = {0};
    metric_label(&labels, "stream_name", LIT("S"));
    metric_family(&out, "a_total", METRIC_COUNTER, "What it is");
    metric_u64(&out, "a_total", buf_slice(&labels), UINT64_MAX);
    metric_i64(&out, "a_total", (Slice){0}, -1);
    metric_double(&out, "a_total", (Slice){0}, 0.25);
    assert_string_equal(buf_text(&out), "# HELP a_total What it is\n"
                                        "# TYPE a_total counter\n"
                                        "a_total{stream_name=\"S\"} 18446744073709551615\n"
                                        "a_total -1\n"
                                        "a_total 0.25\n");
    buf_clear(&out);
    metric_one(&out, "b", METRIC_GAUGE, "One", (Slice){0}, 7);
    assert_string_equal(buf_text(&out), "# HELP b One\n# TYPE b gauge\nb 7\n");
    buf_done(&out);
    buf_done(&labels);
}

static void labels_are_escaped_and_empty_ones_left_out(void **state) {
    (void)state;
    Buf labels = {0};
    metric_label(&labels, "a", LIT("x\"y\\z\nw"));
    metric_label(&labels, "none", (Slice){0});
    metric_label(&labels, "b", LIT("\xc3\xa9"));
    assert_string_equal(buf_text(&labels), "a=\"x\\\"y\\\\z\\nw\",b=\"\xc3\xa9\"");
    buf_done(&labels);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_family_stands_before_its_samples),
        cmocka_unit_test(labels_are_escaped_and_empty_ones_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
