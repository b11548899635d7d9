// SPDX-License-Identifier: Apache-2.0
// admin.h: AdminService: what an operator asks of a process with coordinator roles.
#ifndef SERVICES_ADMIN_H
#define SERVICES_ADMIN_H

#include "env.h"

struct admin;

// groups_changed (NULL: nobody cares) is called after a quota was set.
struct admin *admin_create(const struct env *env, unsigned roles, void (*groups_changed)(void *user),
                           void *user);
int admin_add_service(struct admin *a, struct nrpc_server *server, struct nrpc_status *st);
void admin_destroy(struct admin *a);

#endif
