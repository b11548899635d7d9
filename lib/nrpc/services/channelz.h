// SPDX-License-Identifier: Apache-2.0
// channelz.h: nrpc.v1.Channelz, the service that tells what a server has counted: in all, by method, by
// connection.
#ifndef NRPC_SERVICES_CHANNELZ_H
#define NRPC_SERVICES_CHANNELZ_H

#include "nrpc/nrpc.h"

#ifdef __cplusplus
extern "C" {
#endif

// Adds the service; before the server's first listen. Errors as nrpc_server_add.
int nrpc_channelz_add(struct nrpc_server *server, struct nrpc_status *st);

#ifdef __cplusplus
}
#endif

#endif
