// SPDX-License-Identifier: Apache-2.0
// reflection.h: nrpc.v1.Reflection, the service that describes a server's services to tools and to clients
// without generated code.
#ifndef NRPC_SERVICES_REFLECTION_H
#define NRPC_SERVICES_REFLECTION_H

#include "nrpc/nrpc.h"

#ifdef __cplusplus
extern "C" {
#endif

// Adds the service; before the server's first listen. It tells of all services that the server has by then,
// whichever came first. Errors as nrpc_server_add.
int nrpc_reflection_add(struct nrpc_server *server, struct nrpc_status *st);

#ifdef __cplusplus
}
#endif

#endif
