// SPDX-License-Identifier: Apache-2.0
// admin.c: the handlers of AdminService; they run on the server's workers and read the stores.
#include "admin.h"

#include "base/version.h"

#include "archive.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "dtf.h"
#include "dtf/v1/admin.nrpc.h"
#include "sched/sched.h"
#include "service.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

_Static_assert((int)STATE_NOTE_MAX == (int)DTF_NODE_NOTE_MAX, "what is kept of a node can be told");
_Static_assert(BUDGET_MESSAGE_BYTES == NRPC_DEFAULT_MAX_MESSAGE, "a budget is a message's");

struct admin {
    const struct env *env;
    unsigned roles;
    int64_t started_ms;
    struct admin_listener listener;
};

struct admin *admin_create(const struct env *env, unsigned roles, const struct admin_listener *listener)
{
    struct admin *a = mem_calloc(1, sizeof *a);
    *a = (struct admin){env, roles, env->now_ms(), *listener};
    return a;
}

void admin_destroy(struct admin *a)
{
    free(a);
}

static void on_roles(struct nrpc_call *call, const Dtf__V1__RolesRequest *request, void *user)
{
    (void)request;
    const struct admin *a = user;
    Dtf__V1__RolesResponse response = DTF__V1__ROLES_RESPONSE__INIT;
    char *names[8];
    for (unsigned role = 1; role <= DTF_ROLE_COLLECTOR; role <<= 1)
        if (a->roles & role)
            names[response.n_roles++] = (char *)service_role_name(role);
    response.roles = names;
    response.version = (char *)version_number;
    response.commit = (char *)version_commit;
    response.started_ms = a->started_ms;
    response.pid = (uint32_t)getpid();
    response.finds = atomic_load(a->env->finds);
    dtf_v1_admin_service_roles_reply(call, &response);
}

// Splits names separated by '\n' in place.
static char **split_types(struct arena *a, const char *types, size_t *count)
{
    char *text = arena_strdup(a, types), *rest = text;
    char **names = arena_alloc(a, (strlen(types) / 2 + 2) * sizeof *names);
    *count = 0;
    for (char *name; *types && (name = strsep(&rest, "\n"));)
        names[(*count)++] = name;
    return names;
}

static Dtf__V1__Node *node_message(struct arena *a, const struct state_node *in, int64_t now_ms,
                                   int64_t lease_ms)
{
    Dtf__V1__Node *n = arena_alloc(a, sizeof *n);
    dtf__v1__node__init(n);
    n->id = in->id;
    n->name = (char *)in->name;
    n->host = (char *)in->host;
    n->pid = in->pid;
    n->slots = in->slots;
    n->running = in->running;
    n->settled = in->settled;
    int64_t seen_ms = in->lease_until_ms - lease_ms;
    n->seen_ms_ago = now_ms > seen_ms ? now_ms - seen_ms : 0;
    n->usable = in->usable;
    n->short_of = (char *)in->short_of;
    n->quarantine = (char *)in->quarantine;
    n->types = split_types(a, in->types, &n->n_types);
    return n;
}

static void on_nodes(struct nrpc_call *call, const Dtf__V1__NodesRequest *request, void *user)
{
    const struct admin *a = user;
    Dtf__V1__NodesResponse response = DTF__V1__NODES_RESPONSE__INIT;
    struct budget room = budget_of_message();
    struct state_node *nodes;
    struct nrpc_status st;
    struct arena arena;
    size_t count;
    arena_init(&arena, 0);
    if (a->env->state->ops->nodes(a->env->state, &arena, &nodes, &count, &st)) {
        nrpc_reply_status(call, &st);
    } else {
        response.nodes = arena_alloc(&arena, (count + 1) * sizeof *response.nodes);
        for (size_t i = 0; i < count && !response.more; i++) {
            if (nodes[i].id <= request->after_id)
                continue;
            Dtf__V1__Node *n = node_message(&arena, &nodes[i], a->env->now_ms(), a->env->node_lease_ms);
            response.more = !budget_take(&room, dtf__v1__node__get_packed_size(n));
            if (!response.more)
                response.nodes[response.n_nodes++] = n;
        }
        dtf_v1_admin_service_nodes_reply(call, &response);
    }
    arena_fini(&arena);
}

static void on_health(struct nrpc_call *call, const Dtf__V1__HealthRequest *request, void *user)
{
    (void)request;
    const struct admin *a = user;
    Dtf__V1__HealthResponse response = DTF__V1__HEALTH_RESPONSE__INIT;
    struct nrpc_status st = {0};
    struct arena arena;
    struct records_group *groups;
    struct state_progress p;
    size_t count;
    uint64_t none = 0;
    arena_init(&arena, 0);
    response.serving = a->env->state->ops->progress(a->env->state, &none, 1, &arena, &p, &st) == NRPC_OK &&
                       a->env->records->ops->groups(a->env->records, &arena, &groups, &count, &st) == NRPC_OK;
    response.detail = st.text;
    dtf_v1_admin_service_health_reply(call, &response);
    arena_fini(&arena);
}

int admin_set_group(const struct admin *a, const char *name, uint32_t quota, struct nrpc_status *st)
{
    size_t size = strlen(name);
    if (size < 1 || size > DTF_NAME_MAX || !utf8_is_valid(name))
        return status_set(st, NRPC_INVALID_ARGUMENT, "name: 1 to %d bytes of UTF-8 are needed", DTF_NAME_MAX);
    if (quota < 1 || quota > SCHED_QUOTA_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "quota: %u is not in 1..%d", quota, SCHED_QUOTA_MAX);
    int code = a->env->records->ops->set_group(a->env->records, name, quota, st);
    if (code == NRPC_OK)
        a->listener.groups_changed(a->listener.user);
    return code;
}

static void on_set_group(struct nrpc_call *call, const Dtf__V1__SetGroupRequest *request, void *user)
{
    Dtf__V1__SetGroupResponse response = DTF__V1__SET_GROUP_RESPONSE__INIT;
    struct nrpc_status st;
    if (admin_set_group(user, request->name, request->quota, &st))
        nrpc_reply_status(call, &st);
    else
        dtf_v1_admin_service_set_group_reply(call, &response);
}

void admin_tasks_imported(const struct admin *a)
{
    a->listener.tasks_imported(a->listener.user);
}

static void on_export(struct nrpc_call *call, const Dtf__V1__ExportRequest *request, void *user)
{
    const struct admin *a = user;
    archive_export(a->env, call, request->unfinished);
}

static void on_import(struct nrpc_call *call, void *user)
{
    struct admin *a = user;
    archive_import(a, a->env, call);
}

static const struct dtf_v1_admin_service_handlers handlers = {
    .roles = on_roles,
    .nodes = on_nodes,
    .health = on_health,
    .set_group = on_set_group,
    .export_ = on_export,
    .import = on_import,
};

int admin_add_service(struct admin *a, struct nrpc_server *server, struct nrpc_status *st)
{
    static const char *const slow[] = {"/dtf.v1.AdminService/Export", "/dtf.v1.AdminService/Import"};
    int code = dtf_v1_admin_service_register(server, NRPC_POOLED, &handlers, a, st);
    for (size_t i = 0; code == NRPC_OK && i < sizeof slow / sizeof *slow; i++)
        code = nrpc_server_limit(server, slow[i], 1, st); // a worker each; the others are for the quick calls
    return code;
}
