// SPDX-License-Identifier: Apache-2.0
// auth.h: who is calling: verifies bearer tokens; knows nothing of sockets.
//
// A token is either a JWT (RFC 7519 in JWS compact form, signed RS256 or EdDSA with Ed25519) or, in a small
// installation, one of a file of static tokens; an nrpc_auth verifies the one kind or the other, by the same
// call. A token that was found good is remembered, so that only its first use costs a public-key operation.
//
// Threads: every function here may be called from any thread. Time is an argument, in unix seconds. No status
// text ever has a token, or a part of one, in it.
#ifndef NRPC_AUTH_H
#define NRPC_AUTH_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NRPC_TOKEN_MAX 8192  // bytes of a token; a longer one is refused unread
#define NRPC_SUBJECT_MAX 255 // bytes of a subject
#define NRPC_ROLES_MAX 64    // roles of one identity
#define NRPC_ROLE_MAX 128    // bytes of a role

// ---------------------------------------------------------------- identity
//
// Who a token speaks for. Never changes; reference-counted: it stays valid whatever becomes of the nrpc_auth
// that made it.

struct nrpc_identity;

struct nrpc_identity *nrpc_identity_ref(struct nrpc_identity *identity); // returns it
void nrpc_identity_unref(struct nrpc_identity *identity);                // NULL is allowed

// 1..NRPC_SUBJECT_MAX bytes of UTF-8 without control characters; lives as long as the identity.
const char *nrpc_identity_subject(const struct nrpc_identity *identity);

// Role `index`, in the token's order; lives as long as the identity; NULL past the last.
const char *nrpc_identity_role(const struct nrpc_identity *identity, size_t index);

bool nrpc_identity_has_role(const struct nrpc_identity *identity, const char *role);

// ---------------------------------------------------------------- verifying

struct nrpc_auth;

struct nrpc_auth_options {
    // Exactly one of the two:
    const char *keys_path;   // public keys for JWTs: a JWKS file, or one public key as PEM
    const char *tokens_path; // static tokens, one a line: "token subject role,role" (roles may be left out);
                             // empty lines and lines that begin with # are skipped; tokens are of 16 or more
                             // of the characters of a bearer token. Keep the file private: it has the tokens
                             // themselves in it (memory keeps only their SHA-256 digests)
    // Of JWTs alone:
    const char *audience;    // must be (in) the token's `aud`; must be set
    const char *issuer;      // must be the token's `iss`; NULL: not looked at
    const char *roles_claim; // the claim that holds the roles, an array of strings or one string with spaces
                             // between the roles; NULL: "roles"
    int64_t leeway_s; // by how much clocks may differ, for exp, nbf and iat; up to 3600; 0: 30; below 0: none
    unsigned cache_max; // verified tokens remembered, the oldest are forgotten; up to 1048576; 0: 1024
};

// Reads the file. The options are copied. *out must be destroyed. Fails, with *out NULL, for options that
// make no sense (INVALID_ARGUMENT) and for a file that nrpc_auth_reload_keys would not take.
int nrpc_auth_create(const struct nrpc_auth_options *options, struct nrpc_auth **out, struct nrpc_status *st);

// No call may be under way. Identities stay. NULL is allowed.
void nrpc_auth_destroy(struct nrpc_auth *auth);

// Reads the keys (or static tokens) again from the same file and, from then on, verifies by the new ones
// alone: what was remembered is forgotten. A file that cannot be read (the errno's code) or is not in order
// (INVALID_ARGUMENT) leaves everything as it was. To change a file, rename a new one over it, so that no half
// of one is read.
//
// A JWKS is in order if it has 1 to 64 keys that can be used, with a `kid` each, all different (one single
// key may be without). Keys of another kty, crv, alg or use are skipped, as RFC 7517 wants it. RSA keys have
// 2048 to 8192 bits.
int nrpc_auth_reload_keys(struct nrpc_auth *auth, struct nrpc_status *st);

// Whether the token is good at the time now_s. Then *out is its identity, a reference that the caller must
// unref; otherwise *out is NULL, the code UNAUTHENTICATED, and the text says what is wrong.
//
// A JWT must have `exp`, `sub` and `aud`; `nbf` and `iat` must not be in the future. Its key is chosen by
// `kid` (which it may leave out if there is only one key), and the key alone fixes the algorithm.
int nrpc_auth_verify(struct nrpc_auth *auth, const char *token, int64_t now_s, struct nrpc_identity **out,
                     struct nrpc_status *st);

struct nrpc_auth_stats {
    uint64_t hits;             // calls of verify that were answered from memory
    uint64_t signature_checks; // public-key operations
    uint64_t refused;          // calls of verify that failed
    size_t remembered;         // verified tokens in memory now; or the number of static tokens
};
void nrpc_auth_stats(struct nrpc_auth *auth, struct nrpc_auth_stats *out);

// The token in the value of an Authorization header, "Bearer <token>" (the scheme in any case), as a pointer
// into it; NULL if it is of any other form.
const char *nrpc_auth_bearer(const char *authorization_value);

// Compares two secrets in a time that does not tell where they differ. NULL is equal to nothing.
bool nrpc_secret_equal(const char *a, const char *b);

// ---------------------------------------------------------------- signing (for command lines and tests)

struct nrpc_jwt_claims {
    const char *subject, *issuer, *audience; // NULL: left out
    const char *roles_claim;                 // NULL: "roles"
    const char *const *roles;                // written as an array; left out if there are none
    size_t role_count;
    int64_t issued_s, not_before_s, expires_s; // 0: left out
};

// Makes a JWT, signed with the private key (RSA or Ed25519, PEM, without a passphrase) in the file. kid may
// be NULL. *token must be freed with free; NULL on failure.
int nrpc_jwt_sign(const char *key_path, const char *kid, const struct nrpc_jwt_claims *claims, char **token,
                  struct nrpc_status *st);

#ifdef __cplusplus
}
#endif

#endif
