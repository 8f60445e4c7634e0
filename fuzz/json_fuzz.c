/* Any bytes may be given to the reader; what it accepts can be written and read again to the same.
 */
#include <assert.h>
#include <stddef.h>

#include "proto/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct Thing {
    Slice name, raw;
    int64_t count;
    bool flag, has_at;
    int64_t at_ns;
    Slice *tags;
    size_t tag_count;
    JsonPair *labels;
    size_t label_count;
} Thing;

static const JsonField rows[] = {
    JSON_ROW(Thing, name, "name", JSON_STRING),
    JSON_ROW(Thing, count, "count", JSON_INT),
    JSON_ROW(Thing, flag, "flag", JSON_BOOL),
    JSON_LIST_ROW(Thing, tags, tag_count, "tags", JSON_STRINGS, .flags = JSON_OMIT_EMPTY),
    JSON_LIST_ROW(Thing, labels, label_count, "labels", JSON_MAP, .flags = JSON_OMIT_EMPTY),
    JSON_TIME_ROW(Thing, at_ns, has_at, JSON_NONE, "at", .flags = JSON_OMIT_EMPTY),
    JSON_ROW(Thing, raw, "raw", JSON_RAW, .flags = JSON_OMIT_EMPTY),
};
static const JsonSchema schema = JSON_SCHEMA("Thing", rows);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Slice text = slice_from(data, size);
    Arena *arena = arena_new();
    Thing thing = {0}, again = {0};
    Buf error = {0}, first = {0}, second = {0};

    (void)json_is_empty_object(text);
    if (json_read(text, &schema, JSON_STRICT, arena, &thing, &error) == OK) {
        json_write(&first, &schema, &thing);
        Status status = json_read(buf_slice(&first), &schema, JSON_STRICT, arena, &again, NULL);
        assert(status == OK);
        json_write(&second, &schema, &again);
        assert(slice_equal(buf_slice(&first), buf_slice(&second)));
    }
    Thing loose = {0};
    (void)(json_read(text, &schema, JSON_LOOSE, arena, &loose, NULL) == OK);
    buf_done(&error);
    buf_done(&first);
    buf_done(&second);
    arena_free(arena);
    return 0;
}
