// SPDX-License-Identifier: Apache-2.0
// jwk.c: the numbers of a JWK become keys of the crypto library.
#include "nrpc/auth/jwk.h"

#include "nrpc/auth/base64url.h"

#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <stdbool.h>

enum { MEMBER_BYTES_MAX = 1025, ED25519_BYTES = 32 }; // 8192 bits and a leading zero

struct member {
    unsigned char data[BASE64URL_BYTES(BASE64URL_SIZE(MEMBER_BYTES_MAX))];
    size_t size;
};

static bool read_member(const json_t *jwk, const char *name, struct member *out)
{
    const json_t *m = json_object_get(jwk, name);
    size_t size = json_string_length(m);
    return size >= 1 && size <= BASE64URL_SIZE(MEMBER_BYTES_MAX) &&
           base64url_decode(json_string_value(m), size, out->data, &out->size);
}

static EVP_PKEY *rsa_of(OSSL_PARAM_BLD *numbers, const BIGNUM *n, const BIGNUM *e)
{
    if (!OSSL_PARAM_BLD_push_BN(numbers, OSSL_PKEY_PARAM_RSA_N, n) ||
        !OSSL_PARAM_BLD_push_BN(numbers, OSSL_PKEY_PARAM_RSA_E, e))
        return NULL;
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(numbers);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    if (params && context && EVP_PKEY_fromdata_init(context) > 0 &&
        EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, params) <= 0)
        key = NULL;
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(params);
    return key;
}

EVP_PKEY *jwk_rsa(const json_t *jwk)
{
    struct member n, e;
    if (!read_member(jwk, "n", &n) || !read_member(jwk, "e", &e))
        return NULL;
    OSSL_PARAM_BLD *numbers = OSSL_PARAM_BLD_new();
    BIGNUM *n_number = BN_bin2bn(n.data, (int)n.size, NULL), *e_number = BN_bin2bn(e.data, (int)e.size, NULL);
    EVP_PKEY *key = numbers && n_number && e_number ? rsa_of(numbers, n_number, e_number) : NULL;
    BN_free(e_number);
    BN_free(n_number);
    OSSL_PARAM_BLD_free(numbers);
    return key;
}

EVP_PKEY *jwk_ed25519(const json_t *jwk)
{
    struct member x;
    if (!read_member(jwk, "x", &x) || x.size != ED25519_BYTES)
        return NULL;
    return EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, x.data, x.size);
}
