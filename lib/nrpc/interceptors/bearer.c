// SPDX-License-Identifier: Apache-2.0
// bearer.c: an interceptor that adds "authorization: Bearer <token>".
#include "nrpc/interceptors/bearer.h"

#include "base/mem.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static const char scheme[] = "Bearer ";

struct nrpc_bearer {
    pthread_mutex_t mu;
    char *value; // with the scheme; NULL: none
};

struct nrpc_bearer *nrpc_bearer_create(const char *token)
{
    struct nrpc_bearer *b = mem_calloc(1, sizeof *b);
    pthread_mutex_init(&b->mu, NULL);
    nrpc_bearer_set(b, token);
    return b;
}

static void forget(char *value)
{
    if (value)
        explicit_bzero(value, strlen(value));
    free(value);
}

void nrpc_bearer_destroy(struct nrpc_bearer *b)
{
    if (!b)
        return;
    forget(b->value);
    pthread_mutex_destroy(&b->mu);
    free(b);
}

void nrpc_bearer_set(struct nrpc_bearer *b, const char *token)
{
    char *value = NULL;
    if (token) {
        value = mem_alloc(sizeof scheme + strlen(token));
        memcpy(value, scheme, sizeof scheme - 1);
        memcpy(value + sizeof scheme - 1, token, strlen(token) + 1);
    }
    pthread_mutex_lock(&b->mu);
    char *old = b->value;
    b->value = value;
    pthread_mutex_unlock(&b->mu);
    forget(old);
}

static int start(void *user, struct nrpc_outgoing *call, struct nrpc_status *st)
{
    struct nrpc_bearer *b = user;
    int code = NRPC_OK;
    pthread_mutex_lock(&b->mu);
    if (b->value)
        code =
            nrpc_outgoing_add(call, &(struct nrpc_metadata){.key = "authorization", .value = b->value}, st);
    pthread_mutex_unlock(&b->mu);
    return code;
}

struct nrpc_client_interceptor nrpc_bearer_interceptor(struct nrpc_bearer *b)
{
    return (struct nrpc_client_interceptor){start, NULL, b};
}
