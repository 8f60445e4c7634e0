#include "stream/copy.h"

#include "base/mem.h"
#include "io/clock.h"
#include "proto/json.h"
#include "stream/copy_source.h"

static CopySource *take(CopySource **from, size_t len, uint64_t key, bool is_mirror) {
    for (size_t i = 0; i < len; i++)
        if (from[i] && from[i]->key == key && from[i]->is_mirror == is_mirror) {
            CopySource *source = from[i];
            from[i] = NULL;
            return source;
        }
    return NULL;
}

static void put(Copies *copies, CopySource **old, size_t old_len, const SourceConfig *config,
                bool is_mirror) {
    CopySource *source = take(old, old_len, copy_key(config), is_mirror);
    if (source)
        source->config = config;
    else
        source = copy_source_new(copies, config, is_mirror);
    copies->at[copies->len++] = source;
}

void copies_configure(Stream *stream) {
    StreamParts *parts = stream->parts;
    const StreamConfig *config = stream->config;
    Copies *copies = parts->copies;

    if (!copies && !config->has_mirror && !config->source_count)
        return;
    if (!copies) {
        copies = parts->copies = mem_zalloc(sizeof *copies);
        copies->stream = stream;
        copies->is_started = parts->is_started;
    }
    CopySource **old = copies->at;
    size_t old_len = copies->len;
    copies->at = mem_zalloc((config->source_count + 1) * sizeof(CopySource *));
    copies->len = 0;
    if (config->has_mirror)
        put(copies, old, old_len, &config->mirror, true);
    for (size_t i = 0; i < config->source_count; i++)
        put(copies, old, old_len, &config->sources[i], false);
    for (size_t i = 0; i < old_len; i++)
        if (old[i]) {
            copy_source_stop(old[i]);
            copy_source_free(old[i]);
        }
    mem_free(old);
    for (size_t i = 0; copies->is_started && i < copies->len; i++)
        if (copies->at[i]->state == COPY_STOPPED)
            copy_source_start(copies->at[i]);
}

void copies_start(Stream *stream) {
    Copies *copies = stream->parts->copies;
    if (!copies)
        return;
    copies->is_started = true;
    for (size_t i = 0; i < copies->len; i++)
        copy_source_start(copies->at[i]);
}

void copies_stop(Stream *stream) {
    Copies *copies = stream->parts->copies;
    for (size_t i = 0; copies && i < copies->len; i++)
        copy_source_stop(copies->at[i]);
}

void copies_free(Copies *copies) {
    if (!copies)
        return;
    for (size_t i = 0; i < copies->len; i++)
        copy_source_free(copies->at[i]);
    mem_free(copies->at);
    copy_positions_done(&copies->positions);
    buf_done(&copies->subject);
    buf_done(&copies->headers);
    buf_done(&copies->payload);
    mem_free(copies);
}

static Copies *need_copies(Stream *stream) {
    if (!stream->parts->copies) {
        stream->parts->copies = mem_zalloc(sizeof *stream->parts->copies);
        stream->parts->copies->stream = stream;
    }
    return stream->parts->copies;
}

void copies_save(Stream *stream, Buf *out) {
    if (stream->parts->copies)
        copy_positions_save(&stream->parts->copies->positions, out);
}

Status copies_load(Stream *stream, Slice bytes) {
    return copy_positions_load(&need_copies(stream)->positions, bytes);
}

/* Info */

static void write_external(const SourceConfig *config, Buf *out) {
    buf_append_lit(out, ",\"external\":{\"api\":");
    json_write_string(out, config->external_api);
    buf_append_lit(out, ",\"deliver\":");
    json_write_string(out, config->external_deliver);
    buf_append_char(out, '}');
}

static void write_transforms(const SourceConfig *config, Buf *out) {
    buf_append_lit(out, ",\"subject_transforms\":[");
    for (size_t i = 0; i < config->transform_count; i++) {
        buf_append(out, i ? LIT(",{\"src\":") : LIT("{\"src\":"));
        json_write_string(out, config->transforms[i].src);
        buf_append_lit(out, ",\"dest\":");
        json_write_string(out, config->transforms[i].dest);
        buf_append_char(out, '}');
    }
    buf_append_char(out, ']');
}

static void write_error(const CopySource *source, Buf *out) {
    buf_printf(out, ",\"error\":{\"code\":%u,\"err_code\":%u,\"description\":", source->error_http,
               source->error_code);
    json_write_string(out, buf_slice(&source->error));
    buf_append_char(out, '}');
}

static void write_source(const CopySource *source, Buf *out) {
    const SourceConfig *config = source->config;
    uint64_t position = source->is_mirror ? 0 : copy_position(source);
    buf_append_lit(out, "{\"name\":");
    json_write_string(out, config->name);
    if (config->has_external)
        write_external(config, out);
    buf_printf(out, ",\"lag\":%llu", (unsigned long long)source->lag);
    if (position)
        buf_printf(out, ",\"seq\":%llu", (unsigned long long)position);
    buf_append_lit(out, ",\"active\":");
    if (source->heard_ns)
        buf_append_u64(out, clock_mono_ns() - source->heard_ns);
    else
        buf_append_lit(out, "-1");
    /* As the original: of a mirror, once it has been asked for. */
    if (config->filter_subject.len && (!source->is_mirror || source->tried_ns)) {
        buf_append_lit(out, ",\"filter_subject\":");
        json_write_string(out, config->filter_subject);
    }
    if (config->transform_count)
        write_transforms(config, out);
    if (source->error.len)
        write_error(source, out);
    buf_append_char(out, '}');
}

void copies_info_write(Buf *out, Stream *stream) {
    const Copies *copies = stream->parts->copies;
    if (!copies || !copies->len)
        return;
    if (copies->at[0]->is_mirror) {
        buf_append_lit(out, ",\"mirror\":");
        write_source(copies->at[0], out);
        return;
    }
    buf_append_lit(out, ",\"sources\":[");
    for (size_t i = 0; i < copies->len; i++) {
        if (i)
            buf_append_char(out, ',');
        write_source(copies->at[i], out);
    }
    buf_append_char(out, ']');
}
