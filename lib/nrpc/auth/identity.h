// SPDX-License-Identifier: Apache-2.0
// identity.h: an identity while it is made: subject, then roles, then the time it is good for.
#ifndef AUTH_IDENTITY_H
#define AUTH_IDENTITY_H

#include "nrpc/auth/auth.h"

struct nrpc_identity {
    _Atomic unsigned refs;
    char *subject;
    char **roles;
    size_t role_count, role_capacity;
    int64_t not_before_s, expires_s; // good from the one until before the other; the leeway is in them
};

// One reference, no roles, good for ever. NULL if the subject is empty, too long, not UTF-8 or has control
// characters.
struct nrpc_identity *identity_create(const char *subject);

// Adds the role of the first `size` bytes. False if it is empty, too long, not UTF-8, has control characters,
// or there are NRPC_ROLES_MAX already.
bool identity_add_role(struct nrpc_identity *identity, const char *role, size_t size);

// Adds the roles of a text, which one of the separators, or some of them, stand between. False as above.
bool identity_add_roles(struct nrpc_identity *identity, const char *roles, const char *separators);

// UNAUTHENTICATED unless it is good at that time.
int identity_check_time(const struct nrpc_identity *identity, int64_t now_s, struct nrpc_status *st);

#endif
