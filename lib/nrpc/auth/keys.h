// SPDX-License-Identifier: Apache-2.0
// keys.h: the kinds of keys there are, and sets of public keys: never changed once made, reference-counted.
#ifndef AUTH_KEYS_H
#define AUTH_KEYS_H

#include "base/status.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>

// The kind of a key fixes everything about its signatures.
struct key_kind {
    const char *kty, *crv;  // what a JWK calls it; crv is NULL for keys without a curve
    const char *alg;        // what a JWS calls its signatures
    const char *name;       // what the crypto library calls it
    const char *digest;     // of its signatures; NULL: built in
    int bits_min, bits_max; // sizes that are neither weak nor slow
    EVP_PKEY *(*from_jwk)(const json_t *jwk);
};

const struct key_kind *key_kind_of(const EVP_PKEY *key); // NULL: of none that we use
const struct key_kind *key_kind_by_alg(const char *alg); // NULL: there is none

struct key {
    const struct key_kind *kind;
    char *kid; // NULL: it has none; only the only key of a set may have none
    EVP_PKEY *key;
};

struct keys;

// Reads a JWKS (a text that begins with "{") or one public key as PEM; auth.h says what is in order. *out
// must be unreferenced. Fails with INVALID_ARGUMENT.
int keys_parse(const char *text, size_t size, struct keys **out, struct nrpc_status *st);

struct keys *keys_ref(struct keys *keys);
void keys_unref(struct keys *keys); // NULL is allowed

// The key for a token that names this kid, or none (NULL). It is the set's. NULL with UNAUTHENTICATED in *st.
const struct key *keys_find(const struct keys *keys, const char *kid, struct nrpc_status *st);

// Whether the signature is the key's, over these bytes.
bool key_verify(const struct key *key, const void *data, size_t size, const unsigned char *signature,
                size_t signature_size);

#endif
