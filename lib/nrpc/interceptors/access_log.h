// SPDX-License-Identifier: Apache-2.0
// access_log.h: one line in the log for every call that a server has answered.
#ifndef NRPC_ACCESS_LOG_H
#define NRPC_ACCESS_LOG_H

#include "nrpc/nrpc.h"

// "/echo.v1.Echo/Say NOT_FOUND 0.123 ms connection 17 trace 4bf9...: no such word". Before the server's first
// listen. Errors that are the server's own (INTERNAL, UNKNOWN, DATA_LOSS) are warnings, other errors
// informations, the rest is for debugging.
void nrpc_access_log(struct nrpc_server *server);

#endif
