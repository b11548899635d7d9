// SPDX-License-Identifier: Apache-2.0
// guard.c: an interceptor that verifies tokens and compares roles.
#include "nrpc/interceptors/guard.h"

#include "base/clock.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

enum { OPEN_MAX = 16 };

struct nrpc_guard {
    struct nrpc_auth *auth;
    char *open[OPEN_MAX]; // "/package.Service/"
    size_t open_count;
};

// Its address is the key of the identity among a call's values. Each guard also keeps the one that it found
// under its own address, so that several guards of a server each let go of their own.
static const char identity_key;

int nrpc_guard_create(const struct nrpc_auth_options *options, struct nrpc_guard **out,
                      struct nrpc_status *st)
{
    struct nrpc_auth *auth;
    *out = NULL;
    int code = nrpc_auth_create(options, &auth, st);
    if (code)
        return code;
    *out = mem_calloc(1, sizeof **out);
    (*out)->auth = auth;
    return NRPC_OK;
}

void nrpc_guard_destroy(struct nrpc_guard *g)
{
    if (!g)
        return;
    nrpc_auth_destroy(g->auth);
    for (size_t i = 0; i < g->open_count; i++)
        free(g->open[i]);
    free(g);
}

void nrpc_guard_open(struct nrpc_guard *g, const char *service)
{
    if (g->open_count == OPEN_MAX)
        return;
    size_t n = strlen(service);
    char *prefix = g->open[g->open_count++] = mem_alloc(n + 3);
    prefix[0] = '/';
    memcpy(prefix + 1, service, n);
    memcpy(prefix + 1 + n, "/", 2);
}

struct nrpc_auth *nrpc_guard_auth(struct nrpc_guard *g)
{
    return g->auth;
}

const struct nrpc_identity *nrpc_guard_identity(const struct nrpc_call *call)
{
    return nrpc_call_value(call, &identity_key);
}

static bool is_open(const struct nrpc_guard *g, const char *method)
{
    for (size_t i = 0; i < g->open_count; i++)
        if (!strncmp(method, g->open[i], strlen(g->open[i])))
            return true;
    return false;
}

static bool has_any_role(const struct nrpc_identity *identity, const char *const *roles)
{
    if (!roles)
        return true;
    for (; *roles; roles++)
        if (nrpc_identity_has_role(identity, *roles))
            return true;
    return false;
}

static int start(void *user, struct nrpc_call *call, struct nrpc_status *st)
{
    struct nrpc_guard *g = user;
    const struct nrpc_method *m = nrpc_call_method(call);
    struct nrpc_identity *identity;
    if (is_open(g, m->name))
        return NRPC_OK;
    const char *value = nrpc_call_metadata(call, "authorization");
    const char *token = value ? nrpc_auth_bearer(value) : NULL;
    if (!token)
        return status_set(st, NRPC_UNAUTHENTICATED, "the call carries no bearer token");
    int code = nrpc_auth_verify(g->auth, token, clock_wall_ms() / 1000, &identity, st);
    if (code)
        return code;
    nrpc_call_set_value(call, g, identity);
    nrpc_call_set_value(call, &identity_key, identity);
    return has_any_role(identity, m->roles)
               ? NRPC_OK
               : status_set(st, NRPC_PERMISSION_DENIED, "%s has none of the roles that %s asks for",
                            nrpc_identity_subject(identity), m->name);
}

static void end(void *user, struct nrpc_call *call, const struct nrpc_status *st)
{
    (void)st;
    nrpc_identity_unref(nrpc_call_value(call, user));
}

void nrpc_guard_protect(struct nrpc_guard *g, struct nrpc_server *server)
{
    nrpc_server_intercept(server, &(struct nrpc_server_interceptor){start, end, g});
}
