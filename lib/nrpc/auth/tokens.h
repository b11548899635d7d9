// SPDX-License-Identifier: Apache-2.0
// tokens.h: the file of static tokens.
#ifndef AUTH_TOKENS_H
#define AUTH_TOKENS_H

#include "nrpc/auth/cache.h"

// Whether the text has the characters of a bearer token (RFC 6750), and no other.
bool tokens_is_bearer(const char *text);

// Reads the lines of a file (auth.h says of what form) into a cache that has room for them all. text ends
// with a NUL and is cut up. *out must be destroyed. Fails with INVALID_ARGUMENT for the first line that is
// not in order, and when there is no token.
int tokens_parse(char *text, struct cache **out, struct nrpc_status *st);

#endif
