// SPDX-License-Identifier: Apache-2.0
// service.h: inside view of a running service, for the daemon, the benchmarks and tests.
#ifndef SERVICES_SERVICE_H
#define SERVICES_SERVICE_H

#include "dtf.h"

enum { SERVICE_GRACE_MS = 10000 }; // for running subtasks, where nothing else is said

// Waits until the service was told to stop and has come to rest; dtf_service_notify_stop may still be called.
// Then it only remains to join it.
void service_wait(struct dtf_service *service);

// A callback that it waits for, when it does not come to rest; false: none runs.
bool service_waits_for(struct dtf_service *service, char *text, size_t size);

// Brings the tables in MySQL up to date and starts nothing. UNAVAILABLE: to be tried again.
int service_migrate(const char *mysql_url, struct nrpc_status *st);

// "manager,executor" or "all" as an OR of enum dtf_role; INVALID_ARGUMENT names the unknown one.
int service_parse_roles(const char *text, unsigned *out, struct nrpc_status *st);
const char *service_role_name(unsigned role); // one bit; "manager"

#endif
