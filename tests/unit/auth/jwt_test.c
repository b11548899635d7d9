// SPDX-License-Identifier: Apache-2.0
// jwt_test.c: form, header and signature of JWTs: what is taken, and each thing that is refused.
#include "fixture.h"

#include <openssl/err.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *good(EVP_PKEY *key, const char *header)
{
    return fixture_token(key, header, CLAIMS(""));
}

static void test_accepted(void **state)
{
    struct fixture *f = *state;
    struct nrpc_auth *auth = fixture_auth(f);
    static const char *const rsa[] = {
        "{\"alg\":\"RS256\",\"kid\":\"r\"}",
        "{\"typ\":\"JWT\",\"kid\":\"r\",\"alg\":\"RS256\"}",
        " {\"alg\" : \"RS256\", \"kid\" : \"\\u0072\", \"typ\":\"at+JWT\", \"x5t\":\"AA\", \"jwk\":{}}\n",
    };
    for (size_t i = 0; i < sizeof rsa / sizeof *rsa; i++)
        fixture_expect(auth, good(f->rsa, rsa[i]), NOW, NULL);
    fixture_expect(auth, good(f->ed, "{\"alg\":\"EdDSA\",\"kid\":\"e\"}"), NOW, NULL);
    nrpc_auth_destroy(auth);
}

static void test_header(void **state)
{
    struct fixture *f = *state;
    struct nrpc_auth *auth = fixture_auth(f);
    static const struct {
        const char *header, *refusal;
    } bad[] = {
        {"{\"kid\":\"r\"}", "algorithm (alg) that is not taken"},
        {"{\"alg\":7,\"kid\":\"r\"}", "algorithm (alg) that is not taken"},
        {"{\"alg\":\"none\",\"kid\":\"r\"}", "algorithm (alg) that is not taken"},
        {"{\"alg\":\"nOnE\",\"kid\":\"r\"}", "algorithm (alg) that is not taken"},
        {"{\"alg\":\"HS256\",\"kid\":\"r\"}", "algorithm (alg) that is not taken"},
        {"{\"alg\":\"PS256\",\"kid\":\"r\"}", "algorithm (alg) that is not taken"},
        {"{\"alg\":\"RS512\",\"kid\":\"r\"}", "algorithm (alg) that is not taken"},
        {"{\"alg\":\"ES256\",\"kid\":\"r\"}", "algorithm (alg) that is not taken"},
        {"{\"alg\":\"rs256\",\"kid\":\"r\"}", "algorithm (alg) that is not taken"},
        {"{\"alg\":\"EdDSA\",\"kid\":\"r\"}", "algorithm (alg) is not its key's"},
        {"{\"alg\":\"RS256\",\"kid\":\"e\"}", "algorithm (alg) is not its key's"},
        {"{\"alg\":\"RS256\"}", "does not name its key"},
        {"{\"alg\":\"RS256\",\"kid\":\"x\"}", "key (kid) is not known"},
        {"{\"alg\":\"RS256\",\"kid\":\"\"}", "key (kid) is not known"},
        {"{\"alg\":\"RS256\",\"kid\":7}", "kid is no text"},
        {"{\"alg\":\"RS256\",\"kid\":null}", "kid is no text"},
        {"{\"alg\":\"RS256\",\"kid\":\"r\",\"crit\":[\"b64\"],\"b64\":false}", "extensions"},
        {"{\"alg\":\"RS256\",\"kid\":\"r\",\"crit\":[]}", "extensions"},
        {"{\"alg\":\"RS256\",\"kid\":\"r\",\"typ\":\"logout+jwt\"}", "another type"},
        {"{\"alg\":\"RS256\",\"kid\":\"r\",\"typ\":7}", "another type"},
        {"{\"alg\":\"RS256\",\"kid\":\"r\",\"alg\":\"none\"}", "header is not in order"},
        {"{\"alg\":\"RS256\",\"kid\":\"r\",\"\\u0061lg\":\"RS256\"}", "header is not in order"},
        {"{\"alg\":\"RS256\",\"kid\":\"r\",\"jwk\":{\"a\":1,\"a\":1}}", "header is not in order"},
        {"{\"alg\":\"RS256\",\"kid\":\"r\\u0000\"}", "header is not in order"},
        {"{\"alg\":\"RS256\",\"kid\":\"\xff\"}", "header is not in order"},
        {"{\"alg\":\"RS256\",\"kid\":\"r\"} ,", "header is not in order"},
        {"{\"alg\":\"RS256\",\"kid\":\"r\",\"x\":[[[[[[[[1]]]]]]]]}", "header is not in order"},
        {"{\"alg\":\"RS256\",\"kid\":\"r\"", "header is not in order"},
        {"[\"RS256\"]", "header is not in order"},
        {"\"RS256\"", "header is not in order"},
        {"", "header is not in order"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        fixture_expect(auth, good(f->rsa, bad[i].header), NOW, bad[i].refusal);
    nrpc_auth_destroy(auth);
}

// What the header says of keys is not believed, wherever it comes from.
static void test_key_in_header(void **state)
{
    struct fixture *f = *state;
    struct nrpc_auth *auth = fixture_auth(f);
    EVP_PKEY *other = fixture_ed();
    char *jwk = fixture_jwk(other, "e", ""), *header;
    assert_true(asprintf(&header, "{\"alg\":\"EdDSA\",\"kid\":\"e\",\"jwk\":%s}", jwk) > 0);
    fixture_expect(auth, good(other, header), NOW, "signature is wrong");
    free(header);
    free(jwk);
    EVP_PKEY_free(other);
    nrpc_auth_destroy(auth);
}

// The oldest trick: a public key, which everybody has, as the secret of an HMAC.
static void test_public_key_as_secret(void **state)
{
    struct fixture *f = *state;
    char *pem = fixture_public_pem(f->rsa);
    struct nrpc_status st;
    struct nrpc_auth *auth;
    fixture_write(f->keys_path, pem);
    assert_int_equal(
        nrpc_auth_create(&(struct nrpc_auth_options){.keys_path = f->keys_path, .audience = AUDIENCE}, &auth,
                         &st),
        NRPC_OK);
    static const char *const headers[] = {"{\"alg\":\"HS256\"}", "{\"alg\":\"RS256\"}"};
    for (int i = 0; i < 2; i++) {
        char *text = fixture_token(NULL, headers[i], CLAIMS("")), *token;
        text[strlen(text) - 1] = 0; // its last dot
        unsigned char mac[32];
        unsigned size;
        HMAC(EVP_sha256(), pem, (int)strlen(pem), (unsigned char *)text, strlen(text), mac, &size);
        char *signature = fixture_encode(mac, size);
        assert_true(asprintf(&token, "%s.%s", text, signature) > 0);
        free(signature);
        free(text);
        fixture_expect(auth, token, NOW, i ? "signature is wrong" : "algorithm (alg) that is not taken");
    }
    fixture_expect(auth, good(f->rsa, "{\"alg\":\"RS256\"}"), NOW, NULL); // that it is the right key
    fixture_expect(auth, good(f->rsa, "{\"alg\":\"EdDSA\"}"), NOW, "is not its key's");
    free(pem);
    nrpc_auth_destroy(auth);
    fixture_write_jwks(f->keys_path, f->rsa, "r", f->ed, "e");
}

static void test_signature(void **state)
{
    struct fixture *f = *state;
    struct nrpc_auth *auth = fixture_auth(f);
    static const char header[] = "{\"alg\":\"EdDSA\",\"kid\":\"e\"}";
    fixture_expect(auth, good(NULL, header), NOW, "signature is wrong");
    fixture_expect(auth, good(f->rsa, header), NOW, "signature is wrong");
    char *token = good(f->ed, header), *other = fixture_token(f->ed, header, CLAIMS(",\"roles\":\"admin\""));
    char *mixed;
    assert_true(asprintf(&mixed, "%.*s%s", (int)(strrchr(other, '.') - other), other, strrchr(token, '.')) >
                0);
    fixture_expect(auth, mixed, NOW, "signature is wrong");
    for (size_t i = 0; i < strlen(token); i++) { // no character can be another
        char *wrong = strdup(token);
        wrong[i] = wrong[i] == 'A' ? 'B' : 'A';
        fixture_expect(auth, wrong, NOW, "the token");
    }
    static const char *const tails[] = {"A", "AA", "AAAA", "=", "==", " ", "\n", ".", ".AAAA"};
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        char *wrong;
        assert_true(asprintf(&wrong, "%s%s", token, tails[i]) > 0);
        fixture_expect(auth, wrong, NOW, "the token");
    }
    for (size_t n = 0; n < strlen(token); n++)
        fixture_expect(auth, strndup(token, n), NOW, "the token");
    fixture_expect(auth, token, NOW, NULL);
    free(other);
    assert_int_equal(ERR_peek_error(), 0);
    nrpc_auth_destroy(auth);
}

static void test_form(void **state)
{
    struct fixture *f = *state;
    struct nrpc_auth *auth = fixture_auth(f);
    static const char *const bad[] = {"", "a", "a.b", "a.b.c.d", "a.b.c.d.e", "....", "alice"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        fixture_expect(auth, strdup(bad[i]), NOW, "does not have three parts");
    fixture_expect(auth, strdup(".."), NOW, "header is not in order");
    fixture_expect(auth, strdup("e30.."), NOW, "algorithm (alg)");
    nrpc_auth_destroy(auth);
}

// Up to 8192 bytes a token is good; a longer one is refused, however well it is signed.
static void test_size(void **state)
{
    struct fixture *f = *state;
    struct nrpc_auth *auth = fixture_auth(f);
    size_t size = 0;
    for (int n = 5900; size <= NRPC_TOKEN_MAX; n++) {
        char *claims, *token;
        assert_true(asprintf(&claims, CLAIMS(",\"x\":\"%*s\""), n, "") > 0);
        token = fixture_token(f->ed, "{\"alg\":\"EdDSA\",\"kid\":\"e\"}", claims);
        size = strlen(token);
        fixture_expect(auth, token, NOW, size <= NRPC_TOKEN_MAX ? NULL : "longer than 8192 bytes");
        free(claims);
    }
    char *huge = calloc(1, 1 << 20);
    memset(huge, 'A', (1 << 20) - 1);
    fixture_expect(auth, huge, NOW, "longer than 8192 bytes");
    nrpc_auth_destroy(auth);
}

// ---- signing

static void test_sign(void **state)
{
    struct fixture *f = *state;
    struct nrpc_auth *auth = fixture_auth(f);
    static const char *const roles[] = {"admin", "\xc3\xa4"};
    struct nrpc_jwt_claims claims = {.subject = "a \"b\"",
                                     .issuer = "i",
                                     .audience = AUDIENCE,
                                     .roles = roles,
                                     .role_count = 2,
                                     .issued_s = NOW,
                                     .not_before_s = NOW,
                                     .expires_s = NOW + 60};
    const char *const keys[][2] = {{f->rsa_path, "r"}, {f->ed_path, "e"}};
    for (int i = 0; i < 2; i++) {
        char *token;
        struct nrpc_status st;
        struct nrpc_identity *identity;
        assert_int_equal(nrpc_jwt_sign(keys[i][0], keys[i][1], &claims, &token, &st), NRPC_OK);
        assert_int_equal(nrpc_auth_verify(auth, token, NOW, &identity, &st), NRPC_OK);
        assert_string_equal(nrpc_identity_subject(identity), claims.subject);
        assert_string_equal(nrpc_identity_role(identity, 0), roles[0]);
        assert_string_equal(nrpc_identity_role(identity, 1), roles[1]);
        assert_null(nrpc_identity_role(identity, 2));
        nrpc_identity_unref(identity);
        free(token);
    }
    nrpc_auth_destroy(auth);
}

static void test_sign_refusals(void **state)
{
    struct fixture *f = *state;
    struct nrpc_status st;
    char *token = (char *)1, path[128];
    static const char *const bad_roles[] = {"\xff"};
    const struct nrpc_jwt_claims none = {.subject = "a"}, bad = {.subject = "\xff"},
                                 bad_role = {.roles = bad_roles, .role_count = 1};
    assert_int_equal(nrpc_jwt_sign(f->ed_path, NULL, &bad, &token, &st), NRPC_INVALID_ARGUMENT);
    assert_null(token);
    assert_int_equal(nrpc_jwt_sign(f->ed_path, NULL, &bad_role, &token, &st), NRPC_INVALID_ARGUMENT);
    assert_int_equal(nrpc_jwt_sign(f->ed_path, "\xff", &none, &token, &st), NRPC_INVALID_ARGUMENT);
    assert_int_equal(nrpc_jwt_sign(f->keys_path, NULL, &none, &token, &st), NRPC_INVALID_ARGUMENT);
    assert_non_null(strstr(st.text, f->keys_path));
    snprintf(path, sizeof path, "%s/none", f->folder);
    assert_int_equal(nrpc_jwt_sign(path, NULL, &none, &token, &st), NRPC_NOT_FOUND);
    assert_int_equal(nrpc_jwt_sign(f->folder, NULL, &none, &token, &st), NRPC_INVALID_ARGUMENT);
    assert_null(token);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),      cmocka_unit_test(test_header),
        cmocka_unit_test(test_key_in_header), cmocka_unit_test(test_public_key_as_secret),
        cmocka_unit_test(test_signature),     cmocka_unit_test(test_form),
        cmocka_unit_test(test_size),          cmocka_unit_test(test_sign),
        cmocka_unit_test(test_sign_refusals),
    };
    return cmocka_run_group_tests_name("auth/jwt", tests, fixture_setup, fixture_teardown);
}
