// SPDX-License-Identifier: Apache-2.0
// archive.c: the two streams.
#include "archive.h"

#include "base/mem.h"
#include "client.h"
#include "dtf/v1/admin.nrpc.h"

#include <stdlib.h>

int client_export(struct dtf_client *c, bool unfinished, client_take_fn take, void *user,
                  struct nrpc_status *st)
{
    Dtf__V1__ExportRequest request = DTF__V1__EXPORT_REQUEST__INIT;
    const Dtf__V1__ExportResponse *response;
    struct nrpc_stream *stream;
    request.unfinished = unfinished;
    int code = dtf_v1_admin_service_export_(c->channel, NULL, &request, &stream, st);
    while (!code && !(code = dtf_v1_admin_service_export_read(stream, &response, st)) && response)
        code = response->item ? take(user, response->item, st)
                              : status_set(st, NRPC_INTERNAL, "the server sent nothing");
    nrpc_stream_close(stream);
    return client_note(c, code);
}

// Sends all items. The stream may end before: why, reading will tell.
static int send_items(struct nrpc_stream *stream, client_give_fn give, void *user, struct nrpc_status *st)
{
    Dtf__V1__ImportRequest request = DTF__V1__IMPORT_REQUEST__INIT;
    for (;;) {
        int code = give(user, &request.item, st);
        if (code)
            return code;
        if (!request.item)
            break;
        code = dtf_v1_admin_service_import_write(stream, &request);
        if (code == NRPC_RESOURCE_EXHAUSTED)
            return status_set(st, code, "an item is over the size limit of messages");
        if (code)
            break;
    }
    nrpc_stream_close_send(stream);
    return NRPC_OK;
}

// Messages of a stream are the stream's: the answer is copied.
static Dtf__V1__ImportResponse *copy(const Dtf__V1__ImportResponse *m)
{
    size_t size = dtf__v1__import_response__get_packed_size(m);
    uint8_t *packed = mem_alloc(size + 1);
    dtf__v1__import_response__pack(m, packed);
    Dtf__V1__ImportResponse *out = dtf__v1__import_response__unpack(NULL, size, packed);
    free(packed);
    return out;
}

int client_import(struct dtf_client *c, client_give_fn give, void *user, Dtf__V1__ImportResponse **response,
                  struct nrpc_status *st)
{
    const Dtf__V1__ImportResponse *answer = NULL;
    struct nrpc_stream *stream;
    *response = NULL;
    int code = dtf_v1_admin_service_import(c->channel, NULL, &stream, st);
    if (!code)
        code = send_items(stream, give, user, st);
    if (!code)
        code = dtf_v1_admin_service_import_read(stream, &answer, st);
    if (!code)
        *response = copy(answer);
    nrpc_stream_close(stream);
    return client_note(c, code);
}
