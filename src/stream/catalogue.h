/* Catalogue: which streams exist, with which config. Group 0, on worker 0. A change is decided when
 * its entry is applied; then the directory of each worker and the stream's home are told, and the
 * home answers. */
#pragma once

#include "stream/api.h"
#include "stream/jetstream.h"

/* Set-up, on worker 0. */
Catalogue *catalogue_new(JetStream *js);
void catalogue_free(Catalogue *catalogue);
Group *catalogue_group(Catalogue *catalogue);

/* In recovery: the config of a stream as of the catalogue's entries so far; NULL when there is
 * none. Borrowed. */
const StreamConfig *catalogue_config_of(const Catalogue *catalogue, Slice account, Slice stream);

/* After recovery: starts streams, mends what a crash left between the catalogue's and a stream's
 * entries. */
void catalogue_start(Catalogue *catalogue);

/* True: took call, which runs (api_run) when the entries in flight that it asks about are applied.
 */
bool catalogue_defer(Catalogue *catalogue, ApiCall *call);

/* Endpoints of the catalogue's home; each takes call. */
void catalogue_on_stream_create(ApiCall *call);
void catalogue_on_stream_update(ApiCall *call);
void catalogue_on_stream_delete(ApiCall *call);
void catalogue_on_stream_restore(ApiCall *call);
void catalogue_on_stream_names(ApiCall *call);
void catalogue_on_stream_list(ApiCall *call);
void catalogue_on_account_info(ApiCall *call);
/* Deletes all streams of the account that the subject names; of one that is not configured none. */
void catalogue_on_account_purge(ApiCall *call);
