// SPDX-License-Identifier: Apache-2.0
// cache.h: identities by the digest of their token; a bounded number. The owner locks.
#ifndef AUTH_CACHE_H
#define AUTH_CACHE_H

#include "nrpc/auth/digest.h"
#include "nrpc/auth/identity.h"

struct cache;

struct cache *cache_create(size_t max);  // max: 1 or more
void cache_destroy(struct cache *cache); // NULL is allowed

struct nrpc_identity *cache_find(struct cache *cache,
                                 const struct digest *digest); // still the cache's; or NULL

// Takes a reference of its own; the oldest entry makes room. False if the digest is there already.
bool cache_add(struct cache *cache, const struct digest *digest, struct nrpc_identity *identity);

size_t cache_count(const struct cache *cache);

#endif
