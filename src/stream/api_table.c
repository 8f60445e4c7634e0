#include <string.h>

#include "proto/subject.h"
#include "stream/api_private.h"
#include "stream/catalogue.h"
#include "stream/txn.h"

#define PAGED ",\"total\":0,\"offset\":0,\"limit\":0"
#define NO_FIELDS                                                                                  \
    { NULL, 0 }

/* Longer verbs stand before those that begin them. */
static const ApiEndpoint endpoints[] = {
    {LIT("HW.TXN"), 0, 0, API_BODY_REQUIRED, API_CATALOGUE, API_WRITES,
     LIT("hw_transaction_response"), NO_FIELDS, txn_on_request},
    {LIT("INFO"), 0, 0, API_BODY_FREE, API_CATALOGUE, API_OF_ACCOUNT, LIT("account_info_response"),
     NO_FIELDS, catalogue_on_account_info},
    {LIT("STREAM.CREATE"), 1, 1, API_BODY_FREE, API_CATALOGUE, 0, LIT("stream_create_response"),
     NO_FIELDS, catalogue_on_stream_create},
    {LIT("STREAM.UPDATE"), 1, 1, API_BODY_FREE, API_CATALOGUE, 0, LIT("stream_update_response"),
     NO_FIELDS, catalogue_on_stream_update},
    {LIT("STREAM.DELETE"), 1, 1, API_BODY_EMPTY, API_CATALOGUE, 0, LIT("stream_delete_response"),
     NO_FIELDS, catalogue_on_stream_delete},
    {LIT("STREAM.NAMES"), 0, 0, API_BODY_FREE, API_CATALOGUE, 0, LIT("stream_names_response"),
     LIT(PAGED ",\"streams\":null"), catalogue_on_stream_names},
    {LIT("STREAM.LIST"), 0, 0, API_BODY_FREE, API_CATALOGUE, 0, LIT("stream_list_response"),
     LIT(PAGED ",\"streams\":[]"), catalogue_on_stream_list},
    {LIT("STREAM.INFO"), 1, 1, API_BODY_FREE, API_STREAM, API_SETTLED, LIT("stream_info_response"),
     LIT(PAGED), api_on_stream_info},
    {LIT("STREAM.PURGE"), 1, 1, API_BODY_FREE, API_STREAM, 0, LIT("stream_purge_response"),
     LIT(",\"purged\":0"), api_on_stream_purge},
    {LIT("STREAM.MSG.GET"), 1, 1, API_BODY_REQUIRED, API_STREAM, API_QUIET | API_SETTLED,
     LIT("stream_msg_get_response"), NO_FIELDS, api_on_stream_msg_get},
    {LIT("STREAM.MSG.DELETE"), 1, 1, API_BODY_REQUIRED, API_STREAM, 0,
     LIT("stream_msg_delete_response"), NO_FIELDS, api_on_stream_msg_delete},
    {LIT("STREAM.SNAPSHOT"), 1, 1, API_BODY_REQUIRED, API_STREAM, 0,
     LIT("stream_snapshot_response"), NO_FIELDS, api_on_stream_snapshot},
    {LIT("STREAM.RESTORE"), 1, 1, API_BODY_REQUIRED, API_CATALOGUE, 0,
     LIT("stream_restore_response"), LIT(",\"deliver_subject\":\"\""), catalogue_on_stream_restore},
    {LIT("CONSUMER.CREATE"), 1, UINT8_MAX, API_BODY_FREE, API_STREAM, API_BODY_FIRST,
     LIT("consumer_create_response"), NO_FIELDS, api_on_consumer_create},
    {LIT("CONSUMER.DURABLE.CREATE"), 2, 2, API_BODY_FREE, API_STREAM, API_BODY_FIRST,
     LIT("consumer_create_response"), NO_FIELDS, api_on_consumer_durable_create},
    {LIT("CONSUMER.NAMES"), 1, 1, API_BODY_FREE, API_STREAM, API_SETTLED,
     LIT("consumer_names_response"), LIT(PAGED ",\"consumers\":[]"), api_on_consumer_names},
    {LIT("CONSUMER.LIST"), 1, 1, API_BODY_FREE, API_STREAM, API_SETTLED,
     LIT("consumer_list_response"), LIT(PAGED ",\"consumers\":[]"), api_on_consumer_list},
    {LIT("CONSUMER.INFO"), 2, 2, API_BODY_EMPTY, API_STREAM, API_SETTLED | API_BODY_FIRST,
     LIT("consumer_info_response"), NO_FIELDS, api_on_consumer_info},
    {LIT("CONSUMER.DELETE"), 2, 2, API_BODY_EMPTY, API_STREAM, 0, LIT("consumer_delete_response"),
     NO_FIELDS, api_on_consumer_delete},
    {LIT("CONSUMER.PAUSE"), 2, 2, API_BODY_FREE, API_STREAM, API_BODY_FIRST,
     LIT("consumer_pause_response"),
     LIT(",\"paused\":false,\"pause_until\":\"0001-01-01T00:00:00Z\""), api_on_consumer_pause},
    {LIT("CONSUMER.UNPIN"), 2, 2, API_BODY_FREE, API_STREAM, API_BODY_FIRST,
     LIT("consumer_unpin_response"), NO_FIELDS, api_on_consumer_unpin},
    {LIT("CONSUMER.RESET"), 2, 2, API_BODY_FREE, API_STREAM, API_BY_CONSUMER,
     LIT("consumer_reset_response"), LIT(",\"reset_seq\":0"), api_on_consumer_reset},

    {LIT("HW.KEYS"), 1, 1, API_BODY_FREE, API_STREAM, API_QUIET | API_SETTLED,
     LIT("hw_keys_response"), NO_FIELDS, api_on_hw_keys},
    {LIT("HW.OBJECT.GET"), 1, 1, API_BODY_FREE, API_ANYWHERE, API_QUIET,
     LIT("hw_object_get_response"), NO_FIELDS, api_on_hw_object_get},
    {LIT("HW.TOUCH"), 1, 1, API_BODY_REQUIRED, API_STREAM, API_QUIET | API_WRITES,
     LIT("hw_touch_response"), NO_FIELDS, api_on_hw_touch},

    {LIT("STREAM.LEADER.STEPDOWN"), 1, 1, 0, API_ANYWHERE, API_CLUSTER,
     LIT("stream_leader_stepdown_response"), NO_FIELDS, NULL},
    {LIT("STREAM.PEER.REMOVE"), 1, 1, 0, API_ANYWHERE, API_CLUSTER,
     LIT("stream_remove_peer_response"), NO_FIELDS, NULL},
    {LIT("STREAM.PEER.EVACUATE"), 1, 1, 0, API_ANYWHERE, API_CLUSTER,
     LIT("stream_evacuate_peer_response"), NO_FIELDS, NULL},
    {LIT("STREAM.CANCEL_MOVE"), 1, 1, 0, API_ANYWHERE, API_CLUSTER,
     LIT("stream_cancel_move_response"), NO_FIELDS, NULL},
    {LIT("CONSUMER.LEADER.STEPDOWN"), 2, 2, 0, API_ANYWHERE, API_CLUSTER,
     LIT("consumer_leader_stepdown_response"), NO_FIELDS, NULL},
    {LIT("CONSUMER.PEER.REMOVE"), 2, 2, 0, API_ANYWHERE, API_CLUSTER,
     LIT("consumer_remove_peer_response"), NO_FIELDS, NULL},
    {LIT("CONSUMER.PEER.EVACUATE"), 2, 2, 0, API_ANYWHERE, API_CLUSTER,
     LIT("consumer_evacuate_peer_response"), NO_FIELDS, NULL},
    {LIT("META.LEADER.STEPDOWN"), 0, 0, 0, API_ANYWHERE, API_CLUSTER | API_SYSTEM,
     LIT("meta_leader_stepdown_response"), NO_FIELDS, NULL},
    {LIT("META.RESCUE"), 0, 0, 0, API_ANYWHERE, API_CLUSTER | API_SYSTEM,
     LIT("meta_rescue_response"), NO_FIELDS, NULL},
    {LIT("SERVER.REMOVE"), 0, 0, 0, API_ANYWHERE, API_CLUSTER | API_SYSTEM,
     LIT("meta_server_remove_response"), NO_FIELDS, NULL},
    {LIT("SERVER.EVACUATE"), 0, 0, 0, API_ANYWHERE, API_CLUSTER | API_SYSTEM,
     LIT("meta_server_evacuate_response"), NO_FIELDS, NULL},
    {LIT("ACCOUNT.PURGE"), 1, 1, API_BODY_FREE, API_CATALOGUE,
     API_SYSTEM | API_INITIATED | API_BODY_FIRST, LIT("account_purge_response"), NO_FIELDS,
     catalogue_on_account_purge},
    {LIT("ACCOUNT.STREAM.MOVE"), 2, 2, 0, API_ANYWHERE, API_CLUSTER | API_SYSTEM,
     LIT("stream_update_response"), NO_FIELDS, NULL},
    {LIT("ACCOUNT.STREAM.CANCEL_MOVE"), 2, 2, 0, API_ANYWHERE, API_CLUSTER | API_SYSTEM,
     LIT("stream_cancel_move_response"), NO_FIELDS, NULL},
};

const ApiEndpoint *api_find_endpoint(Slice tail, Slice *out_stream, Slice *out_consumer,
                                     Slice *out_rest) {
    for (size_t i = 0; i < sizeof endpoints / sizeof endpoints[0]; i++) {
        const ApiEndpoint *endpoint = &endpoints[i];
        if (!slice_starts_with(tail, endpoint->verb))
            continue;
        Slice names = slice_from_at(tail, endpoint->verb.len), none = {NULL, 0};
        if (names.len && names.ptr[0] != '.')
            continue;
        names = names.len ? slice_from_at(names, 1) : none;
        size_t count = names.ptr ? subject_token_count(names) : 0;
        if (count < endpoint->tokens_min || count > endpoint->tokens_max)
            return NULL;
        *out_stream = *out_consumer = *out_rest = none;
        (void)(slice_cut(&names, '.', out_stream) && slice_cut(&names, '.', out_consumer));
        if (names.ptr)
            *out_rest = names;
        return endpoint;
    }
    return NULL;
}
