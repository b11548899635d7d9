// SPDX-License-Identifier: Apache-2.0
// fixture.c: keys, files and tokens for the tests of tokens.
#include "fixture.h"

#include "base/mem.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

EVP_PKEY *fixture_rsa(int bits)
{
    EVP_PKEY *key = EVP_RSA_gen((unsigned)bits);
    assert_non_null(key);
    return key;
}

EVP_PKEY *fixture_ed(void)
{
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    assert_non_null(key);
    return key;
}

// The crypto library's own base64, made URL-safe.
char *fixture_encode(const void *data, size_t size)
{
    char *text = mem_calloc(1, size * 2 + 8);
    EVP_EncodeBlock((unsigned char *)text, data, (int)size);
    text[strcspn(text, "=")] = 0;
    for (char *c = text; *c; c++)
        *c = *c == '+' ? '-' : *c == '/' ? '_' : *c;
    return text;
}

static char *encode_number(EVP_PKEY *key, const char *name)
{
    BIGNUM *n = NULL;
    assert_true(EVP_PKEY_get_bn_param(key, name, &n));
    unsigned char bytes[2048];
    int size = BN_bn2bin(n, bytes);
    BN_free(n);
    return fixture_encode(bytes, (size_t)size);
}

char *fixture_jwk(EVP_PKEY *key, const char *kid, const char *members)
{
    char *text = NULL, *name = NULL;
    if (kid)
        assert_true(asprintf(&name, ",\"kid\":\"%s\"", kid) > 0);
    if (EVP_PKEY_is_a(key, "RSA")) {
        char *n = encode_number(key, OSSL_PKEY_PARAM_RSA_N), *e = encode_number(key, OSSL_PKEY_PARAM_RSA_E);
        assert_true(asprintf(&text, "{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"%s%s}", n, e, name ? name : "",
                             members) > 0);
        free(n);
        free(e);
    } else {
        unsigned char bytes[32];
        size_t size = sizeof bytes;
        assert_true(EVP_PKEY_get_raw_public_key(key, bytes, &size));
        char *x = fixture_encode(bytes, size);
        assert_true(asprintf(&text, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"%s%s}", x,
                             name ? name : "", members) > 0);
        free(x);
    }
    free(name);
    return text;
}

static char *text_of(BIO *bio)
{
    char *data;
    long size = BIO_get_mem_data(bio, &data);
    char *text = mem_calloc(1, (size_t)size + 1);
    memcpy(text, data, (size_t)size);
    BIO_free(bio);
    return text;
}

char *fixture_public_pem(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    assert_true(PEM_write_bio_PUBKEY(bio, key));
    return text_of(bio);
}

void fixture_write(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

void fixture_write_jwks(const char *path, EVP_PKEY *a, const char *a_kid, EVP_PKEY *b, const char *b_kid)
{
    char *first = fixture_jwk(a, a_kid, ""), *second = b ? fixture_jwk(b, b_kid, "") : NULL, *text;
    assert_true(asprintf(&text, "{\"keys\":[%s%s%s]}", first, b ? "," : "", b ? second : "") > 0);
    fixture_write(path, text);
    free(first);
    free(second);
    free(text);
}

static void write_private(const char *path, EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    assert_true(PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL));
    char *text = text_of(bio);
    fixture_write(path, text);
    free(text);
}

static char *encode_signature(EVP_PKEY *key, const char *text)
{
    if (!key)
        return mem_strdup("");
    unsigned char signature[2048];
    size_t size = sizeof signature;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    const EVP_MD *md = EVP_PKEY_is_a(key, "ED25519") ? NULL : EVP_sha256();
    assert_true(EVP_DigestSignInit(context, NULL, md, NULL, key) > 0);
    assert_true(EVP_DigestSign(context, signature, &size, (const unsigned char *)text, strlen(text)) > 0);
    EVP_MD_CTX_free(context);
    return fixture_encode(signature, size);
}

char *fixture_token(EVP_PKEY *key, const char *header, const char *claims)
{
    char *h = fixture_encode(header, strlen(header)), *c = fixture_encode(claims, strlen(claims)), *text,
         *token;
    assert_true(asprintf(&text, "%s.%s", h, c) > 0);
    char *signature = encode_signature(key, text);
    assert_true(asprintf(&token, "%s.%s", text, signature) > 0);
    free(h);
    free(c);
    free(text);
    free(signature);
    return token;
}

struct nrpc_auth *fixture_auth(const struct fixture *f)
{
    struct nrpc_auth_options options = {.keys_path = f->keys_path, .audience = AUDIENCE};
    struct nrpc_auth *auth;
    struct nrpc_status st;
    if (nrpc_auth_create(&options, &auth, &st))
        fail_msg("%s", st.text);
    return auth;
}

void fixture_expect(struct nrpc_auth *auth, char *token, int64_t now_s, const char *refusal)
{
    struct nrpc_identity *identity;
    struct nrpc_status st;
    int code = nrpc_auth_verify(auth, token, now_s, &identity, &st);
    if (code != (refusal ? NRPC_UNAUTHENTICATED : NRPC_OK) || code != st.code || !code != !!identity ||
        (refusal && !strstr(st.text, refusal)))
        fail_msg("%s: \"%s\", not \"%s\"", token, st.text, refusal ? refusal : "");
    nrpc_identity_unref(identity);
    free(token);
}

int fixture_setup(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof *f);
    strcpy(f->folder, "/tmp/auth_test.XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->keys_path, sizeof f->keys_path, "%s/keys", f->folder);
    snprintf(f->rsa_path, sizeof f->rsa_path, "%s/rsa.pem", f->folder);
    snprintf(f->ed_path, sizeof f->ed_path, "%s/ed.pem", f->folder);
    f->rsa = fixture_rsa(2048);
    f->ed = fixture_ed();
    fixture_write_jwks(f->keys_path, f->rsa, "r", f->ed, "e");
    write_private(f->rsa_path, f->rsa);
    write_private(f->ed_path, f->ed);
    *state = f;
    return 0;
}

int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    unlink(f->keys_path);
    unlink(f->rsa_path);
    unlink(f->ed_path);
    EVP_PKEY_free(f->rsa);
    EVP_PKEY_free(f->ed);
    int failed = rmdir(f->folder); // nothing else was left there
    free(f);
    return failed;
}
