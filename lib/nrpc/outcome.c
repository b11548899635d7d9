// SPDX-License-Identifier: Apache-2.0
// outcome.c: metadata and details that came back with a call.
#include "nrpc/channel.h"

#include <stdlib.h>
#include <string.h>

const char *nrpc_metadata_find(const struct nrpc_metadata *metadata, size_t count, const char *key)
{
    for (size_t i = 0; metadata && i < count; i++)
        if (!strcmp(metadata[i].key, key))
            return metadata[i].value;
    return NULL;
}

void nrpc_outcome_fini(struct nrpc_outcome *o)
{
    free(o->block);
    *o = (struct nrpc_outcome){0};
}

void outcome_take(struct nrpc_outcome *o, const struct frame *f)
{
    *o = (struct nrpc_outcome){.header_count = f->metadata_count, .trailer_count = f->trailer_count};
    size_t entries = f->metadata_count + f->trailer_count;
    if (!entries && !f->status_details.size)
        return;
    o->headers = o->block =
        mem_alloc(entries * sizeof *o->headers + FRAME_TEXT_SIZE(f) + f->status_details.size);
    o->trailers = o->headers + f->metadata_count;
    char *text = (char *)(o->headers + entries);
    frame_copy_metadata(f, o->headers, o->trailers, text);
    if (f->status_details.size) {
        o->details = memcpy(text + FRAME_TEXT_SIZE(f), f->status_details.data, f->status_details.size);
        o->details_bytes = f->status_details.size;
    }
}

int64_t outcome_retry_after_ms(const struct frame *f)
{
    if (!f->trailer_count)
        return 0;
    struct nrpc_outcome o;
    outcome_take(&o, f);
    const char *value = nrpc_metadata_find(o.trailers, o.trailer_count, "retry-after-ms");
    int64_t ms = 0;
    if (value) {
        char *end;
        ms = strtoll(value, &end, 10);
        if (*end || end == value || ms < 0 || ms > INT32_MAX) // gRPC: what cannot be read means never
            ms = -1;
    }
    nrpc_outcome_fini(&o);
    return ms;
}
