// SPDX-License-Identifier: Apache-2.0
// jwk.h: public keys from the members of a JWK (RFC 7517, 7518, 8037).
#ifndef AUTH_JWK_H
#define AUTH_JWK_H

#include <jansson.h>
#include <openssl/evp.h>

// Both: a key to be freed with EVP_PKEY_free; NULL if a member is missing or not in order. The caller checks
// whether the key is any good.
EVP_PKEY *jwk_rsa(const json_t *jwk);     // of "n" and "e"
EVP_PKEY *jwk_ed25519(const json_t *jwk); // of "x"

#endif
