// SPDX-License-Identifier: Apache-2.0
// fixture.h: keys made on the spot, files with them, and tokens of any contents, made without the code under
// test.
#ifndef AUTH_FIXTURE_H
#define AUTH_FIXTURE_H

#include "nrpc/auth/auth.h"

#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define NOW 1700000000
#define AUDIENCE "pterergate"
// Claims that are in order, for an hour from NOW, and room for more.
#define CLAIMS(more) "{\"sub\":\"alice\",\"aud\":\"" AUDIENCE "\",\"exp\":1700003600" more "}"

struct fixture {
    char folder[64];
    EVP_PKEY *rsa, *ed;  // kid "r" and "e" in the JWKS
    char keys_path[128]; // a JWKS of the two
    char rsa_path[128];  // private keys
    char ed_path[128];
};

// Group setup and teardown: *state is a struct fixture.
int fixture_setup(void **state);
int fixture_teardown(void **state);

EVP_PKEY *fixture_rsa(int bits);
EVP_PKEY *fixture_ed(void);

// Texts to be freed with free. Members are added to the object as they stand: ",\"use\":\"sig\"".
char *fixture_jwk(EVP_PKEY *key, const char *kid, const char *members);
char *fixture_public_pem(EVP_PKEY *key);
void fixture_write(const char *path, const char *text);
void fixture_write_jwks(const char *path, EVP_PKEY *a, const char *a_kid, EVP_PKEY *b, const char *b_kid);

// base64url of a text; to be freed with free.
char *fixture_encode(const void *data, size_t size);

// header.claims.signature, of whatever texts, signed as the key's kind is; no key: an empty signature.
char *fixture_token(EVP_PKEY *key, const char *header, const char *claims);

struct nrpc_auth *fixture_auth(const struct fixture *f); // of the JWKS, audience AUDIENCE, defaults

// Verifies, and frees the token. NULL expects it to be good, otherwise a part of the sentence that refuses
// it.
void fixture_expect(struct nrpc_auth *auth, char *token, int64_t now_s, const char *refusal);

#endif
