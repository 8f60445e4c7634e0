#include "stream/jetstream.h"

const JetStreamAccountLimits *jetstream_limits(const JetStreamOptions *options, size_t account) {
    static const JetStreamAccountLimits none = {-1, -1, -1, -1, -1, -1, -1, false, false};

    return options->account_limits ? &options->account_limits[account] : &none;
}

/* Of two limits the smaller; zero and below is none. */
static int64_t narrower(int64_t a, int64_t b) {
    if (a <= 0)
        return b;
    return b > 0 && b < a ? b : a;
}

ConfigLimits jetstream_config_limits(const JetStreamOptions *options, size_t account,
                                     Storage storage) {
    const JetStreamAccountLimits *mine = jetstream_limits(options, account);
    ConfigLimits limits = options->limits;

    limits.max_stream_bytes =
        narrower(limits.max_stream_bytes, storage == STORAGE_MEMORY ? mine->max_memory_stream_bytes
                                                                    : mine->max_file_stream_bytes);
    limits.max_ack_pending = narrower(limits.max_ack_pending, mine->max_ack_pending);
    limits.max_bytes_required = limits.max_bytes_required || mine->max_bytes_required;
    return limits;
}
