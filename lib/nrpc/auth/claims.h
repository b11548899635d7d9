// SPDX-License-Identifier: Apache-2.0
// claims.h: what a token's claims must be, and the identity that they make.
#ifndef AUTH_CLAIMS_H
#define AUTH_CLAIMS_H

#include "nrpc/auth/identity.h"

#include <jansson.h>

struct claims_rules {
    char *audience, *issuer, *roles_claim; // issuer: NULL: not looked at
    int64_t leeway_s;
};

// *out gets a reference; whether it is good now is left to identity_check_time. Fails with UNAUTHENTICATED.
int claims_read(const json_t *claims, const struct claims_rules *rules, struct nrpc_identity **out,
                struct nrpc_status *st);

#endif
