// SPDX-License-Identifier: Apache-2.0
// admin.h: AdminService: what an operator asks of a process with coordinator roles.
#ifndef SERVICES_ADMIN_H
#define SERVICES_ADMIN_H

#include "env.h"

struct admin;

struct admin_listener { // who is told that something was changed; any thread
    void (*groups_changed)(void *user);
    void (*tasks_imported)(void *user); // some of them are to run
    void *user;
};

struct admin *admin_create(const struct env *env, unsigned roles, const struct admin_listener *listener);
int admin_add_service(struct admin *a, struct nrpc_server *server, struct nrpc_status *st);
void admin_destroy(struct admin *a);

// INVALID_ARGUMENT names the argument.
int admin_set_group(const struct admin *a, const char *name, uint32_t quota, struct nrpc_status *st);
void admin_tasks_imported(const struct admin *a);

#endif
