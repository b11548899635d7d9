// SPDX-License-Identifier: Apache-2.0
// keys_test.c: which files of keys are taken, and which of their keys is chosen.
#include "nrpc/auth/keys.h"

#include "fixture.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct keys *parse(const char *text)
{
    struct keys *keys;
    struct nrpc_status st;
    if (keys_parse(text, strlen(text), &keys, &st))
        fail_msg("%s: %s", st.text, text);
    return keys;
}

static void refuse(const char *text, const char *sentence)
{
    struct keys *keys = (struct keys *)1;
    struct nrpc_status st;
    int code = keys_parse(text, strlen(text), &keys, &st);
    if (code != NRPC_INVALID_ARGUMENT || keys || !strstr(st.text, sentence))
        fail_msg("%s: \"%s\", not \"%s\"", text, st.text, sentence);
    assert_int_equal(ERR_peek_error(), 0);
}

// "{\"keys\":[<a>,<b>]}"; frees a and b.
static char *jwks(char *a, char *b)
{
    char *text;
    assert_true(asprintf(&text, "{\"keys\":[%s%s%s]}", a, b ? "," : "", b ? b : "") > 0);
    free(a);
    free(b);
    return text;
}

static void refuse_jwks(char *a, char *b, const char *sentence)
{
    char *text = jwks(a, b);
    refuse(text, sentence);
    free(text);
}

static void test_choice(void **state)
{
    struct fixture *f = *state;
    struct nrpc_status st;
    char *text = jwks(fixture_jwk(f->rsa, "r", ",\"use\":\"sig\",\"alg\":\"RS256\""),
                      fixture_jwk(f->ed, "e", ",\"alg\":\"EdDSA\""));
    struct keys *keys = parse(text);
    assert_string_equal(keys_find(keys, "r", &st)->kind->alg, "RS256");
    assert_string_equal(keys_find(keys, "e", &st)->kind->alg, "EdDSA");
    assert_int_equal(EVP_PKEY_eq(keys_find(keys, "e", &st)->key, f->ed), 1);
    assert_null(keys_find(keys, NULL, &st));
    assert_string_equal(st.text, "the token does not name its key (kid)");
    assert_null(keys_find(keys, "x", &st));
    assert_string_equal(st.text, "the token's key (kid) is not known");
    keys_unref(keys);
    free(text);
}

static void test_single(void **state)
{
    struct fixture *f = *state;
    struct nrpc_status st;
    char *text = jwks(fixture_jwk(f->ed, "e", ""), NULL);
    struct keys *keys = parse(text);
    assert_non_null(keys_find(keys, NULL, &st));
    assert_non_null(keys_find(keys, "e", &st));
    assert_null(keys_find(keys, "x", &st)); // the token names another key
    keys_unref(keys);
    free(text);
    EVP_PKEY *const both[] = {f->rsa, f->ed};
    for (int i = 0; i < 2; i++) {
        text = fixture_public_pem(both[i]);
        keys = parse(text);
        assert_non_null(keys_find(keys, NULL, &st));
        assert_non_null(keys_find(keys, "any", &st)); // this key has no name to tell it from others
        assert_int_equal(EVP_PKEY_eq(keys_find(keys, NULL, &st)->key, both[i]), 1);
        keys_unref(keys);
        free(text);
    }
}

// Keys of other purposes do not disturb.
static void test_skipped(void **state)
{
    struct fixture *f = *state;
    static const char *const others[] = {
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\",\"kid\":\"e\"}",
        "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"AA\"}",
        "{\"kty\":\"RSA\",\"use\":\"enc\",\"n\":\"AA\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"use\":7,\"n\":\"AA\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"alg\":\"PS256\",\"n\":\"AA\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"alg\":\"EdDSA\",\"n\":\"AA\",\"e\":\"AQAB\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"alg\":\"HS256\",\"x\":\"AA\"}",
        "{\"kty\":\"new\"}",
        "{}",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct nrpc_status st;
        char *text = jwks(strdup(others[i]), fixture_jwk(f->ed, "e", ""));
        struct keys *keys = parse(text);
        assert_int_equal(EVP_PKEY_eq(keys_find(keys, NULL, &st)->key, f->ed), 1);
        keys_unref(keys);
        free(text);
        refuse_jwks(strdup(others[i]), NULL, "there is no key for RS256 or EdDSA");
    }
}

static void test_no_jwks(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{}",
        "{\"keys\":{}}",
        "{\"keys\":[]",
        "{\"keys\":[]} x",
        "{\"keys\":[],\"keys\":[]}",
        "{\"a\":[[[[[[[[]]]]]]]],\"keys\":[]}",
        "{\"keys\":\"\xff\"}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refuse(bad[i], "it is not a JSON object with an array \"keys\"");
    refuse("{\"keys\":[]}", "there is no key");
    refuse("{\"keys\":[7]}", "a key is no object");
    refuse("{\"keys\":[{\"kid\":7}]}", "its kid is no text");
    refuse("[]", "neither a JWKS nor");
    refuse("", "neither a JWKS nor");
    refuse(" \n", "neither a JWKS nor");
}

static void test_bad_members(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "{\"kty\":\"RSA\"}",
        "{\"kty\":\"RSA\",\"n\":\"AA\"}",
        "{\"kty\":\"RSA\",\"n\":\"AA\",\"e\":7}",
        "{\"kty\":\"RSA\",\"n\":\"AA\",\"e\":\"\"}",
        "{\"kty\":\"RSA\",\"n\":\"A A\",\"e\":\"AQAB\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAA\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refuse_jwks(strdup(bad[i]), NULL, "key 1 is not a key of RSA or Ed25519");
    refuse_jwks(strdup("{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}"), NULL,
                "key 1 does not have 2048 to 8192 bits");
    refuse_jwks(strdup("{\"kty\":\"RSA\",\"d\":\"AQAB\"}"), NULL, "private");
    refuse_jwks(strdup("{\"kty\":\"oct\",\"k\":\"AQAB\"}"), NULL, "private");
}

// Moduli of the right size that no signature is safe with.
static void test_broken_rsa(void **state)
{
    struct fixture *f = *state;
    char *good = fixture_jwk(f->rsa, NULL, ""), *e = strstr(good, "\"AQAB\"");
    assert_non_null(e);
    memcpy(e, "\"AAAB\"", 6); // the exponent 1 lets everything through
    refuse_jwks(good, NULL, "key 1 is broken");
    unsigned char n[256];
    memset(n, 0xff, sizeof n);
    n[sizeof n - 1] = 0xfe;
    char *even = fixture_encode(n, sizeof n), *text;
    assert_true(asprintf(&text, "{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAB\"}", even) > 0);
    free(even);
    refuse_jwks(text, NULL, "key 1 is broken");
    EVP_PKEY *small = fixture_rsa(1024);
    refuse_jwks(fixture_jwk(small, "s", ""), NULL, "key 1 does not have 2048 to 8192 bits");
    char *pem = fixture_public_pem(small);
    refuse(pem, "key 1 does not have 2048 to 8192 bits");
    free(pem);
    EVP_PKEY_free(small);
}

static void test_names(void **state)
{
    struct fixture *f = *state;
    const char *sentence = "keys 1 and 2 are not told apart by a kid";
    refuse_jwks(fixture_jwk(f->rsa, "a", ""), fixture_jwk(f->ed, "a", ""), sentence);
    refuse_jwks(fixture_jwk(f->rsa, NULL, ""), fixture_jwk(f->ed, "a", ""), sentence);
    refuse_jwks(fixture_jwk(f->rsa, "a", ""), fixture_jwk(f->ed, NULL, ""), sentence);
    char kid[300];
    memset(kid, 'k', sizeof kid);
    kid[sizeof kid - 1] = 0;
    refuse_jwks(fixture_jwk(f->ed, kid, ""), NULL, "the kid of key 1 is too long");
}

static void test_too_many(void **state)
{
    struct fixture *f = *state;
    char *all = strdup("");
    for (int i = 0; i < 65; i++) {
        char kid[16], *more;
        snprintf(kid, sizeof kid, "k%d", i);
        char *jwk = fixture_jwk(f->ed, kid, "");
        assert_true(asprintf(&more, "%s%s%s", all, i ? "," : "", jwk) > 0);
        free(jwk);
        free(all);
        all = more;
    }
    refuse_jwks(all, NULL, "there are more than 64 keys");
}

static void test_pem(void **state)
{
    struct fixture *f = *state;
    char *one = fixture_public_pem(f->rsa), *two;
    assert_true(asprintf(&two, "%s%s", one, one) > 0);
    refuse(two, "neither a JWKS nor one public key");
    one[40] ^= 1;
    refuse(one, "neither a JWKS nor");
    free(one);
    free(two);
    EVP_PKEY *ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"), *pss = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
    assert_true(EVP_PKEY_keygen_init(context) > 0 && EVP_PKEY_generate(context, &pss) > 0);
    EVP_PKEY_CTX_free(context);
    char *others[] = {fixture_public_pem(ec), fixture_public_pem(pss)};
    for (int i = 0; i < 2; i++) {
        refuse(others[i], "key 1 is not a key of RSA or Ed25519");
        free(others[i]);
    }
    EVP_PKEY_free(ec);
    EVP_PKEY_free(pss);
    refuse("-----BEGIN PUBLIC KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: "
           "AES-128-CBC,00000000000000000000000000000000\n"
           "\nAAAAAAAAAAAAAAAAAAAAAA==\n-----END PUBLIC KEY-----\n",
           "neither a JWKS nor");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),  cmocka_unit_test(test_single),      cmocka_unit_test(test_skipped),
        cmocka_unit_test(test_no_jwks), cmocka_unit_test(test_bad_members), cmocka_unit_test(test_broken_rsa),
        cmocka_unit_test(test_names),   cmocka_unit_test(test_too_many),    cmocka_unit_test(test_pem),
    };
    return cmocka_run_group_tests_name("auth/keys", tests, fixture_setup, fixture_teardown);
}
