// SPDX-License-Identifier: Apache-2.0
// digest.c: SHA-256, and the comparison of secrets by it.
#include "nrpc/auth/digest.h"

#include "nrpc/auth/auth.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct digest digest_of(const void *data, size_t size)
{
    struct digest d;
    if (!EVP_Q_digest(NULL, "SHA256", NULL, data, size, d.bytes, NULL)) {
        fprintf(stderr, "the crypto library has no SHA-256\n");
        abort();
    }
    return d;
}

// Of the digests, so that the lengths do not show either.
bool nrpc_secret_equal(const char *a, const char *b)
{
    if (!a || !b)
        return false;
    struct digest da = digest_of(a, strlen(a)), db = digest_of(b, strlen(b));
    return !CRYPTO_memcmp(&da, &db, sizeof da);
}
