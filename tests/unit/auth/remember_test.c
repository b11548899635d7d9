// SPDX-License-Identifier: Apache-2.0
// remember_test.c: which tokens are remembered, until when, and what a reload does; options; secrets;
// headers.
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *token_of(EVP_PKEY *key, int number)
{
    char *claims;
    assert_true(asprintf(&claims, CLAIMS(",\"jti\":%d"), number) > 0);
    char *token = fixture_token(key, "{\"alg\":\"EdDSA\",\"kid\":\"e\"}", claims);
    free(claims);
    return token;
}

static void check_stats(struct nrpc_auth *auth, uint64_t hits, uint64_t checks, uint64_t refused,
                        size_t remembered)
{
    struct nrpc_auth_stats s;
    nrpc_auth_stats(auth, &s);
    assert_int_equal(s.hits, hits);
    assert_int_equal(s.signature_checks, checks);
    assert_int_equal(s.refused, refused);
    assert_int_equal(s.remembered, remembered);
}

static void test_hits(void **state)
{
    struct fixture *f = *state;
    struct nrpc_auth *auth = fixture_auth(f);
    check_stats(auth, 0, 0, 0, 0);
    for (int i = 0; i < 100; i++)
        fixture_expect(auth, token_of(f->ed, 1), NOW, NULL);
    check_stats(auth, 99, 1, 0, 1);
    fixture_expect(auth, token_of(f->ed, 1), NOW + 7200, "expired"); // remembered, and no better for it
    check_stats(auth, 100, 1, 1, 1);
    nrpc_auth_destroy(auth);
}

static void test_failures_are_not_remembered(void **state)
{
    struct fixture *f = *state;
    struct nrpc_auth *auth = fixture_auth(f);
    fixture_expect(auth, strdup("a.b.c"), NOW, "the token");
    check_stats(auth, 0, 0, 1, 0);
    EVP_PKEY *other = fixture_ed();
    for (int i = 0; i < 3; i++)
        fixture_expect(auth, token_of(other, 1), NOW, "signature is wrong");
    EVP_PKEY_free(other);
    check_stats(auth, 0, 3, 4, 0);
    fixture_expect(auth, token_of(f->ed, 1), NOW + 7200, "expired");
    check_stats(auth, 0, 4, 5, 0);
    nrpc_auth_destroy(auth);
}

static void test_oldest_goes(void **state)
{
    struct fixture *f = *state;
    struct nrpc_auth *auth;
    struct nrpc_status st;
    struct nrpc_auth_options options = {.keys_path = f->keys_path, .audience = AUDIENCE, .cache_max = 3};
    assert_int_equal(nrpc_auth_create(&options, &auth, &st), NRPC_OK);
    char *first = token_of(f->ed, 0);
    struct nrpc_identity *kept;
    assert_int_equal(nrpc_auth_verify(auth, first, NOW, &kept, &st), NRPC_OK);
    for (int i = 1; i <= 3; i++)
        fixture_expect(auth, token_of(f->ed, i), NOW, NULL);
    check_stats(auth, 0, 4, 0, 3);
    for (int i = 1; i <= 3; i++)
        fixture_expect(auth, token_of(f->ed, i), NOW, NULL);
    check_stats(auth, 3, 4, 0, 3);
    fixture_expect(auth, first, NOW, NULL);
    check_stats(auth, 3, 5, 0, 3);
    nrpc_auth_destroy(auth);
    assert_string_equal(nrpc_identity_subject(kept), "alice"); // whatever became of the rest
    nrpc_identity_unref(nrpc_identity_ref(kept));
    nrpc_identity_unref(kept);
}

static void test_reload(void **state)
{
    struct fixture *f = *state;
    struct nrpc_auth *auth = fixture_auth(f);
    struct nrpc_status st;
    EVP_PKEY *next = fixture_ed();
    fixture_expect(auth, token_of(f->ed, 1), NOW, NULL);
    assert_int_equal(nrpc_auth_reload_keys(auth, &st), NRPC_OK);
    check_stats(auth, 0, 1, 0, 0); // the same keys, but nothing is remembered
    fixture_expect(auth, token_of(f->ed, 1), NOW, NULL);
    check_stats(auth, 0, 2, 0, 1);
    fixture_write_jwks(f->keys_path, next, "e", NULL, NULL);
    fixture_expect(auth, token_of(f->ed, 1), NOW, NULL); // not before the reload
    assert_int_equal(nrpc_auth_reload_keys(auth, &st), NRPC_OK);
    fixture_expect(auth, token_of(f->ed, 1), NOW, "signature is wrong");
    fixture_expect(auth, token_of(next, 1), NOW, NULL);
    EVP_PKEY_free(next);
    nrpc_auth_destroy(auth);
    fixture_write_jwks(f->keys_path, f->rsa, "r", f->ed, "e");
}

static void test_bad_file_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct nrpc_auth *auth = fixture_auth(f);
    struct nrpc_status st;
    fixture_expect(auth, token_of(f->ed, 1), NOW, NULL);
    static const char *const bad[] = {"", "{", "{\"keys\":[]}", "{\"keys\":[{\"kty\":\"RSA\"}]}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fixture_write(f->keys_path, bad[i]);
        assert_int_equal(nrpc_auth_reload_keys(auth, &st), NRPC_INVALID_ARGUMENT);
        assert_int_equal(strncmp(st.text, f->keys_path, strlen(f->keys_path)), 0);
    }
    assert_int_equal(truncate(f->keys_path, 2 << 20), 0);
    assert_int_equal(nrpc_auth_reload_keys(auth, &st), NRPC_INVALID_ARGUMENT);
    unlink(f->keys_path);
    assert_int_equal(nrpc_auth_reload_keys(auth, &st), NRPC_NOT_FOUND);
    fixture_expect(auth, token_of(f->ed, 1), NOW, NULL);
    check_stats(auth, 1, 1, 0, 1);
    fixture_write_jwks(f->keys_path, f->rsa, "r", f->ed, "e");
    assert_int_equal(nrpc_auth_reload_keys(auth, &st), NRPC_OK);
    assert_string_equal(st.text, "");
    nrpc_auth_destroy(auth);
}

static void test_options(void **state)
{
    struct fixture *f = *state;
    struct nrpc_status st;
    const struct nrpc_auth_options bad[] = {
        {.audience = AUDIENCE},
        {.keys_path = f->keys_path},
        {.keys_path = f->keys_path, .audience = ""},
        {.keys_path = f->keys_path, .audience = AUDIENCE, .tokens_path = f->keys_path},
        {.keys_path = f->keys_path, .audience = AUDIENCE, .leeway_s = 3601},
        {.keys_path = f->keys_path, .audience = AUDIENCE, .cache_max = (1 << 20) + 1},
        {.keys_path = f->rsa_path, .audience = AUDIENCE}, // a private key
        {.keys_path = f->folder, .audience = AUDIENCE},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct nrpc_auth *auth = (struct nrpc_auth *)1;
        if (nrpc_auth_create(&bad[i], &auth, &st) != NRPC_INVALID_ARGUMENT || auth)
            fail_msg("options %zu are taken", i);
    }
    nrpc_auth_destroy(NULL);
    nrpc_identity_unref(NULL);
}

static void test_bearer(void **state)
{
    (void)state;
    static const char *const good[] = {"Bearer abc", "bearer abc", "BEARER abc", "bEaReR    abc"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_string_equal(nrpc_auth_bearer(good[i]), "abc");
    assert_string_equal(nrpc_auth_bearer("Bearer aZ09-._~+/=="), "aZ09-._~+/==");
    static const char *const bad[] = {"",
                                      "Bearer",
                                      "Bearer ",
                                      "Bearerabc",
                                      "Basic abc",
                                      " Bearer abc",
                                      "Bearer a b",
                                      "Bearer abc ",
                                      "Bearer\tabc",
                                      "Bearer a,b",
                                      "Bearer =",
                                      "Bearer a=b",
                                      "Bearer \"a\"",
                                      "Bearer a\n",
                                      "Bearer \xc3\xa4"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (nrpc_auth_bearer(bad[i]))
            fail_msg("\"%s\" is taken", bad[i]);
}

static void test_secrets(void **state)
{
    (void)state;
    assert_true(nrpc_secret_equal("", ""));
    assert_true(nrpc_secret_equal("secret", "secret"));
    assert_false(nrpc_secret_equal("secret", "secret "));
    assert_false(nrpc_secret_equal("secret", "Secret"));
    assert_false(nrpc_secret_equal("secret", ""));
    assert_false(nrpc_secret_equal(NULL, ""));
    assert_false(nrpc_secret_equal("", NULL));
    assert_false(nrpc_secret_equal(NULL, NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hits),
        cmocka_unit_test(test_failures_are_not_remembered),
        cmocka_unit_test(test_oldest_goes),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_bad_file_changes_nothing),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_bearer),
        cmocka_unit_test(test_secrets),
    };
    return cmocka_run_group_tests_name("auth/remember", tests, fixture_setup, fixture_teardown);
}
