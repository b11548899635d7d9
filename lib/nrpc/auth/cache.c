// SPDX-License-Identifier: Apache-2.0
// cache.c: a hash whose order of insertion says which entry is the oldest.
#include "nrpc/auth/cache.h"

#include "base/mem.h"

#include <openssl/crypto.h>
#include <stdlib.h>

#define HASH_KEYCMP(a, b, n) CRYPTO_memcmp(a, b, n)
#include <uthash.h>

struct entry {
    struct digest digest;
    struct nrpc_identity *identity;
    UT_hash_handle hh;
};

struct cache {
    struct entry *entries; // the oldest first
    size_t max;
};

struct cache *cache_create(size_t max)
{
    struct cache *cache = mem_calloc(1, sizeof *cache);
    cache->max = max;
    return cache;
}

static void drop(struct cache *cache, struct entry *e)
{
    HASH_DEL(cache->entries, e);
    nrpc_identity_unref(e->identity);
    free(e);
}

void cache_destroy(struct cache *cache)
{
    if (!cache)
        return;
    while (cache->entries)
        drop(cache, cache->entries);
    free(cache);
}

static struct entry *find(struct cache *cache, const struct digest *digest)
{
    struct entry *e;
    HASH_FIND(hh, cache->entries, digest, sizeof *digest, e);
    return e;
}

struct nrpc_identity *cache_find(struct cache *cache, const struct digest *digest)
{
    struct entry *e = find(cache, digest);
    return e ? e->identity : NULL;
}

bool cache_add(struct cache *cache, const struct digest *digest, struct nrpc_identity *identity)
{
    if (find(cache, digest))
        return false;
    if (cache_count(cache) >= cache->max)
        drop(cache, cache->entries);
    struct entry *e = mem_calloc(1, sizeof *e);
    e->digest = *digest;
    e->identity = nrpc_identity_ref(identity);
    HASH_ADD(hh, cache->entries, digest, sizeof e->digest, e);
    return true;
}

size_t cache_count(const struct cache *cache)
{
    return HASH_COUNT(cache->entries);
}
