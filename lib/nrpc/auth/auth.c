// SPDX-License-Identifier: Apache-2.0
// auth.c: keys and remembered tokens, replaced together.
//
// What a call verifies by is taken under the lock and used outside of it. A token that was verified by keys
// which a reload has replaced meanwhile is not remembered, so nothing outlives its key.
#include "nrpc/auth/auth.h"

#include "base/mem.h"
#include "nrpc/auth/cache.h"
#include "nrpc/auth/file.h"
#include "nrpc/auth/jwt.h"
#include "nrpc/auth/tokens.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LEEWAY_S = 30, LEEWAY_S_MAX = 3600, CACHE_MAX = 1024, CACHE_MAX_MAX = 1 << 20 };

struct nrpc_auth {
    char *path;
    bool is_static; // the file has static tokens; then the cache has them all, and there are no keys
    unsigned cache_max;
    struct jwt_verifier verifier;
    _Atomic uint64_t hits, refused;
    pthread_mutex_t reloading; // reloads one after the other: the last to begin is the one that counts
    pthread_mutex_t mu;        // the two below; handlers of many threads verify at once
    struct keys *keys;
    struct cache *cache;
};

// ---- making, loading

static int check(const struct nrpc_auth_options *o, struct nrpc_status *st)
{
    if (!o->keys_path == !o->tokens_path)
        return status_set(st, NRPC_INVALID_ARGUMENT, "there must be a file of keys or a file of tokens");
    if (o->keys_path && (!o->audience || !*o->audience))
        return status_set(st, NRPC_INVALID_ARGUMENT, "there must be an audience to verify JWTs for");
    if (o->leeway_s > LEEWAY_S_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "a leeway must not be more than %d s", LEEWAY_S_MAX);
    if (o->cache_max > CACHE_MAX_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "no more than %d tokens can be remembered",
                          CACHE_MAX_MAX);
    return NRPC_OK;
}

int nrpc_auth_create(const struct nrpc_auth_options *options, struct nrpc_auth **out, struct nrpc_status *st)
{
    *out = NULL;
    int code = check(options, st);
    if (code)
        return code;
    struct nrpc_auth *a = mem_calloc(1, sizeof *a);
    pthread_mutex_init(&a->reloading, NULL);
    pthread_mutex_init(&a->mu, NULL);
    a->is_static = options->tokens_path != NULL;
    a->path = mem_strdup(a->is_static ? options->tokens_path : options->keys_path);
    a->cache_max = options->cache_max ? options->cache_max : CACHE_MAX;
    a->verifier.rules = (struct claims_rules){
        .audience = mem_strdup(options->audience),
        .issuer = mem_strdup(options->issuer),
        .roles_claim = mem_strdup(options->roles_claim ? options->roles_claim : "roles"),
        .leeway_s = options->leeway_s < 0 ? 0
                    : options->leeway_s   ? options->leeway_s
                                          : LEEWAY_S,
    };
    code = nrpc_auth_reload_keys(a, st);
    if (code)
        nrpc_auth_destroy(a);
    else
        *out = a;
    return code;
}

void nrpc_auth_destroy(struct nrpc_auth *a)
{
    if (!a)
        return;
    cache_destroy(a->cache);
    keys_unref(a->keys);
    pthread_mutex_destroy(&a->mu);
    pthread_mutex_destroy(&a->reloading);
    free(a->verifier.rules.audience);
    free(a->verifier.rules.issuer);
    free(a->verifier.rules.roles_claim);
    free(a->path);
    free(a);
}

static int load(const struct nrpc_auth *a, struct keys **keys, struct cache **cache, struct nrpc_status *st)
{
    struct file file;
    int code = file_read(a->path, &file, st);
    if (code == NRPC_OK && a->is_static)
        code = tokens_parse(file.text, cache, st);
    else if (code == NRPC_OK)
        code = keys_parse(file.text, file.size, keys, st);
    file_free(&file);
    return code;
}

int nrpc_auth_reload_keys(struct nrpc_auth *a, struct nrpc_status *st)
{
    struct keys *keys = NULL;
    struct cache *cache = NULL;
    struct nrpc_status why;
    pthread_mutex_lock(&a->reloading);
    int code = load(a, &keys, &cache, &why);
    if (code == NRPC_OK) {
        if (!cache)
            cache = cache_create(a->cache_max);
        pthread_mutex_lock(&a->mu);
        struct keys *old_keys = a->keys;
        struct cache *old_cache = a->cache;
        a->keys = keys;
        a->cache = cache;
        pthread_mutex_unlock(&a->mu);
        keys_unref(old_keys);
        cache_destroy(old_cache);
    }
    pthread_mutex_unlock(&a->reloading);
    return code ? status_set(st, code, "%s: %s", a->path, why.text) : status_ok(st);
}

// ---- verifying

// A reference to what is remembered of the token, or (then NULL) to the keys to verify it by.
static struct nrpc_identity *look_up(struct nrpc_auth *a, const struct digest *digest, struct keys **keys)
{
    pthread_mutex_lock(&a->mu);
    struct nrpc_identity *identity = cache_find(a->cache, digest);
    if (identity)
        nrpc_identity_ref(identity);
    *keys = identity || !a->keys ? NULL : keys_ref(a->keys);
    pthread_mutex_unlock(&a->mu);
    return identity;
}

static void remember(struct nrpc_auth *a, const struct digest *digest, const struct keys *keys,
                     struct nrpc_identity *identity)
{
    pthread_mutex_lock(&a->mu);
    if (a->keys == keys)
        (void)cache_add(a->cache, digest, identity); // another thread may have been faster
    pthread_mutex_unlock(&a->mu);
}

static int verify(struct nrpc_auth *a, const char *token, size_t size, int64_t now_s,
                  struct nrpc_identity **out, struct nrpc_status *st)
{
    struct digest digest = digest_of(token, size);
    struct keys *keys;
    *out = look_up(a, &digest, &keys);
    if (*out) {
        atomic_fetch_add_explicit(&a->hits, 1, memory_order_relaxed);
        return identity_check_time(*out, now_s, st);
    }
    if (!keys)
        return status_set(st, NRPC_UNAUTHENTICATED, "the token is not known");
    int code = jwt_verify(&a->verifier, keys, token, size, out, st);
    if (code == NRPC_OK)
        code = identity_check_time(*out, now_s, st);
    if (code == NRPC_OK)
        remember(a, &digest, keys, *out);
    keys_unref(keys);
    return code;
}

int nrpc_auth_verify(struct nrpc_auth *a, const char *token, int64_t now_s, struct nrpc_identity **out,
                     struct nrpc_status *st)
{
    *out = NULL;
    size_t size = strnlen(token, NRPC_TOKEN_MAX + 1);
    int code = size <= NRPC_TOKEN_MAX ? verify(a, token, size, now_s, out, st)
                                      : status_set(st, NRPC_UNAUTHENTICATED,
                                                   "the token is longer than %d bytes", NRPC_TOKEN_MAX);
    if (code == NRPC_OK)
        return status_ok(st);
    atomic_fetch_add_explicit(&a->refused, 1, memory_order_relaxed);
    nrpc_identity_unref(*out);
    *out = NULL;
    return code;
}

void nrpc_auth_stats(struct nrpc_auth *a, struct nrpc_auth_stats *out)
{
    *out = (struct nrpc_auth_stats){
        .hits = atomic_load(&a->hits),
        .signature_checks = atomic_load(&a->verifier.signature_checks),
        .refused = atomic_load(&a->refused),
    };
    pthread_mutex_lock(&a->mu);
    out->remembered = cache_count(a->cache);
    pthread_mutex_unlock(&a->mu);
}

const char *nrpc_auth_bearer(const char *value)
{
    static const char scheme[] = "Bearer ";
    if (strncasecmp(value, scheme, sizeof scheme - 1))
        return NULL;
    const char *token = value + sizeof scheme - 1;
    token += strspn(token, " ");
    return tokens_is_bearer(token) ? token : NULL;
}
