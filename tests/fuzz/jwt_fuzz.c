// SPDX-License-Identifier: Apache-2.0
// jwt_fuzz.c: tokens, their headers and claims, key sets and token files of any bytes. The first byte of the
// input chooses: t a token, h the header of one, c claims, k keys, s static tokens, b base64url.
#include "nrpc/auth/base64url.h"
#include "nrpc/auth/jwt.h"
#include "nrpc/auth/strict_json.h"
#include "nrpc/auth/tokens.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Test vectors of RFC 8037 (A.2) and RFC 7515 (A.2).
static const char key_set[] = "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"e\","
                              "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"},"
                              "{\"kty\":\"RSA\",\"kid\":\"r\",\"e\":\"AQAB\",\"n\":"
                              "\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddx"
                              "HmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_"
                              "YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63"
                              "kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-"
                              "UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK"
                              "-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ\"}]}";

static struct jwt_verifier verifier = {.rules = {.audience = "a", .issuer = NULL, .roles_claim = "roles"}};

static void fuzz_token(const char *text, size_t size)
{
    static struct keys *keys;
    struct nrpc_status st;
    if (!keys && keys_parse(key_set, sizeof key_set - 1, &keys, &st))
        abort();
    struct nrpc_identity *identity;
    if (size <= NRPC_TOKEN_MAX && jwt_verify(&verifier, keys, text, size, &identity, &st) == NRPC_OK)
        abort(); // a signature was forged
}

static void fuzz_header(const char *text, size_t size)
{
    static const char rest[] = ".e30.AAAA";
    if (size > NRPC_TOKEN_MAX / 2)
        return;
    char *token = mem_alloc(BASE64URL_SIZE(size) + sizeof rest);
    size_t n = base64url_encode(text, size, token);
    memcpy(token + n, rest, sizeof rest);
    fuzz_token(token, n + sizeof rest - 1);
    free(token);
}

static void fuzz_claims(const char *text, size_t size)
{
    json_t *claims = strict_json_object(text, size);
    struct nrpc_identity *identity = NULL;
    struct nrpc_status st;
    if (claims && claims_read(claims, &verifier.rules, &identity, &st) == NRPC_OK)
        (void)identity_check_time(identity, 1700000000, &st);
    nrpc_identity_unref(identity);
    json_decref(claims);
}

static void fuzz_keys(const char *text, size_t size)
{
    struct keys *keys;
    struct nrpc_status st;
    if (keys_parse(text, size, &keys, &st) == NRPC_OK)
        (void)keys_find(keys, "e", &st);
    keys_unref(keys);
}

static void fuzz_static(const char *text, size_t size)
{
    char *copy = mem_calloc(size + 1, 1);
    memcpy(copy, text, size);
    struct cache *tokens;
    struct nrpc_status st;
    (void)tokens_parse(copy, &tokens, &st);
    cache_destroy(tokens);
    free(copy);
}

// What can be decoded is spelled in the only way that there is.
static void fuzz_base64url(const char *text, size_t size)
{
    unsigned char *bytes = mem_alloc(BASE64URL_BYTES(size));
    size_t n;
    if (base64url_decode(text, size, bytes, &n)) {
        char *again = mem_alloc(BASE64URL_SIZE(n) + 1);
        if (base64url_encode(bytes, n, again) != size || memcmp(again, text, size) != 0)
            abort();
        free(again);
    }
    free(bytes);
}

static const struct {
    uint8_t letter;
    void (*run)(const char *text, size_t size);
} targets[] = {
    {'t', fuzz_token}, {'h', fuzz_header}, {'c', fuzz_claims},
    {'k', fuzz_keys},  {'s', fuzz_static}, {'b', fuzz_base64url},
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (size_t i = 0; size && i < sizeof targets / sizeof *targets; i++)
        if (data[0] == targets[i].letter)
            targets[i].run((const char *)data + 1, size - 1);
    return 0;
}
