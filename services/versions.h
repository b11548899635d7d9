// SPDX-License-Identifier: Apache-2.0
// versions.h: who may talk to whom: what nodes and clients say at their hello, compared with what this
// program knows. What the stores hold is compared where they are opened.
#ifndef SERVICES_VERSIONS_H
#define SERVICES_VERSIONS_H

#include "nrpc/nrpc.h"

#include <stdint.h>

// 0: a node from before it was said, which is 1. FAILED_PRECONDITION says who must be upgraded first.
int versions_check_node(uint32_t protocol, struct nrpc_status *st);

// Refuses the calls of clients that this server does not understand (FAILED_PRECONDITION). Before the first
// listen.
void versions_check_clients(struct nrpc_server *server);

void versions_print(void); // of this program, on standard output

#endif
