// SPDX-License-Identifier: Apache-2.0
// versions.c: numbers against ranges.
#include "versions.h"

#include "base/version.h"
#include "records/records_schema.h"
#include "state/state_redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int check(const char *who, const char *others, unsigned says, unsigned least, unsigned most,
                 struct nrpc_status *st)
{
    if (says > most)
        return status_set(
            st, NRPC_FAILED_PRECONDITION,
            "this %s speaks protocol %u, coordinator %s speaks %u to %u: upgrade the coordinators first", who,
            says, version_number, least, most);
    if (says < least)
        return status_set(st, NRPC_FAILED_PRECONDITION,
                          "this %s speaks protocol %u, coordinator %s speaks %u to %u: upgrade the %s", who,
                          says, version_number, least, most, others);
    return NRPC_OK;
}

int versions_check_node(uint32_t protocol, struct nrpc_status *st)
{
    return check("node", "nodes", protocol ? protocol : 1, VERSION_NODE_PROTOCOL_LEAST, VERSION_NODE_PROTOCOL,
                 st);
}

// Only what clients call says a version: nodes say theirs when they register, and probes have none.
static int check_client(void *user, struct nrpc_call *call, struct nrpc_status *st)
{
    (void)user;
    const char *said = nrpc_call_metadata(call, VERSION_CLIENT_KEY);
    if (!said)
        return NRPC_OK;
    char *end;
    unsigned long protocol = strtoul(said, &end, 10);
    if (*end || !protocol || protocol > UINT32_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "%s: \"%.20s\" is no version", VERSION_CLIENT_KEY, said);
    return check("client", "clients", (unsigned)protocol, VERSION_CLIENT_PROTOCOL_LEAST,
                 VERSION_CLIENT_PROTOCOL, st);
}

void versions_check_clients(struct nrpc_server *server)
{
    nrpc_server_intercept(server, &(struct nrpc_server_interceptor){check_client, NULL, NULL});
}

void versions_print(void)
{
    printf("dtfd %s, commit %s\n"
           "state in Redis: format %d; records in MySQL and SQLite: schema %d\n"
           "protocol of nodes: %d to %d; of clients: %d to %d\n",
           version_number, version_commit, STATE_REDIS_FORMAT, RECORDS_SCHEMA_VERSION,
           VERSION_NODE_PROTOCOL_LEAST, VERSION_NODE_PROTOCOL, VERSION_CLIENT_PROTOCOL_LEAST,
           VERSION_CLIENT_PROTOCOL);
}
