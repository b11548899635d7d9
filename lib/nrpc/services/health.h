// SPDX-License-Identifier: Apache-2.0
// health.h: nrpc.v1.Health, the service that says whether a server and its services are fit to be called.
//
// Every service has a status that the program sets; "" is the server as a whole. It may be set from any
// thread and at any time, also inside handlers. Watchers hear of a change at once and cost no thread; there
// are at most NRPC_HEALTH_WATCHES_MAX of them on each server.
#ifndef NRPC_SERVICES_HEALTH_H
#define NRPC_SERVICES_HEALTH_H

#include "nrpc/nrpc.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { NRPC_HEALTH_WATCHES_MAX = 1024 };

enum nrpc_health_status { // the numbers of nrpc.v1.HealthCheckResponse.ServingStatus
    NRPC_HEALTH_UNKNOWN = 0,
    NRPC_HEALTH_SERVING = 1,
    NRPC_HEALTH_NOT_SERVING = 2,
};

struct nrpc_health;

// Knows the service "" as SERVING, and no other.
struct nrpc_health *nrpc_health_create(void);

// After the servers that it was added to. NULL is allowed.
void nrpc_health_destroy(struct nrpc_health *health);

// Adds the service to a server (or to several); before the server's first listen. Errors as nrpc_server_add.
int nrpc_health_add(struct nrpc_health *health, struct nrpc_server *server, struct nrpc_status *st);

// Sets the status of a service ("package.Service"), which is known from then on; copied.
void nrpc_health_set(struct nrpc_health *health, const char *service, enum nrpc_health_status status);

// Makes everything NOT_SERVING for good (what is set later is ignored) and ends all watches UNAVAILABLE. To
// be called before nrpc_server_drain, which otherwise would wait for the watchers.
void nrpc_health_shutdown(struct nrpc_health *health);

#ifdef __cplusplus
}
#endif

#endif
