// SPDX-License-Identifier: Apache-2.0
// nodes.c: a client's calls about the installation: its nodes and quota groups.
#include "client.h"

#include "dtf/v1/admin.nrpc.h"

#include <string.h>

static const struct nrpc_call_options ordinary = {.timeout_ms = CLIENT_CALL_MS};

static void read_node(const Dtf__V1__Node *n, struct dtf_node_info *out)
{
    *out = (struct dtf_node_info){
        .id = n->id,
        .pid = n->pid,
        .slots = n->slots,
        .running = n->running,
        .settled = n->settled,
        .seen_ms_ago = n->seen_ms_ago,
        .usable = *n->short_of ? n->usable : n->slots,
    };
    client_copy_text(out->name, sizeof out->name, n->name);
    client_copy_text(out->host, sizeof out->host, n->host);
    client_copy_text(out->short_of, sizeof out->short_of, n->short_of);
    client_copy_text(out->quarantine, sizeof out->quarantine, n->quarantine);
}

int dtf_nodes(struct dtf_client *c, struct dtf_node_info *out, size_t *count, struct nrpc_status *st)
{
    Dtf__V1__NodesRequest request = DTF__V1__NODES_REQUEST__INIT;
    size_t capacity = *count;
    bool more = true;
    int code = NRPC_OK;
    *count = 0;
    while (code == NRPC_OK && more) {
        Dtf__V1__NodesResponse *response;
        struct client_tries again = {0};
        while ((code = client_note(
                    c, dtf_v1_admin_service_nodes(c->channel, &ordinary, &request, &response, st))) &&
               client_again(c, &again, code, st, INT64_MAX))
            continue;
        for (size_t i = 0; code == NRPC_OK && i < response->n_nodes && *count < capacity; i++)
            read_node(response->nodes[i], &out[(*count)++]);
        more = code == NRPC_OK && response->more && response->n_nodes && *count < capacity;
        if (more)
            request.after_id = response->nodes[response->n_nodes - 1]->id;
        dtf__v1__nodes_response__free_unpacked(response, NULL);
    }
    return code;
}

int dtf_group_set(struct dtf_client *c, const char *group, uint32_t quota, struct nrpc_status *st)
{
    int code = client_check_size("group", strlen(group), DTF_NAME_MAX, st);
    if (code)
        return code;
    Dtf__V1__SetGroupRequest request = DTF__V1__SET_GROUP_REQUEST__INIT;
    request.name = (char *)group;
    request.quota = quota;
    struct client_tries again = {0};
    while (
        (code = client_note(c, dtf_v1_admin_service_set_group(c->channel, &ordinary, &request, NULL, st))) &&
        client_again(c, &again, code, st, INT64_MAX))
        continue;
    return code;
}
