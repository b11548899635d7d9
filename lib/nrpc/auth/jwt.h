// SPDX-License-Identifier: Apache-2.0
// jwt.h: one token against a set of keys and the rules for claims.
#ifndef AUTH_JWT_H
#define AUTH_JWT_H

#include "nrpc/auth/claims.h"
#include "nrpc/auth/keys.h"

struct jwt_verifier {
    struct claims_rules rules;
    _Atomic uint64_t signature_checks; // public-key operations so far
};

// token: `size` bytes, at most NRPC_TOKEN_MAX. *out gets a reference; whether it is good now is left to
// identity_check_time. Fails with UNAUTHENTICATED.
int jwt_verify(struct jwt_verifier *verifier, const struct keys *keys, const char *token, size_t size,
               struct nrpc_identity **out, struct nrpc_status *st);

#endif
