// SPDX-License-Identifier: Apache-2.0
// tokens_test.c: static tokens: the file's form, who its tokens speak for, what of them stays in memory.
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_A "alice-0123456789"
#define TOKEN_B "bob/+~._-0123456789=="

static struct nrpc_auth *auth_of(const struct fixture *f, const char *text)
{
    struct nrpc_auth *auth;
    struct nrpc_status st;
    fixture_write(f->keys_path, text);
    if (nrpc_auth_create(&(struct nrpc_auth_options){.tokens_path = f->keys_path}, &auth, &st))
        fail_msg("%s", st.text);
    return auth;
}

static void test_tokens(void **state)
{
    struct fixture *f = *state;
    struct nrpc_auth *auth = auth_of(f, "# who may call\n\n" TOKEN_A " alice admin,user\r\n"
                                        "  " TOKEN_B "\tbob  \n   # and nobody else");
    struct nrpc_identity *identity;
    struct nrpc_status st;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(nrpc_auth_verify(auth, TOKEN_A, i ? INT64_MIN : INT64_MAX - 1, &identity, &st),
                         NRPC_OK);
        assert_string_equal(nrpc_identity_subject(identity), "alice");
        assert_true(nrpc_identity_has_role(identity, "admin"));
        assert_true(nrpc_identity_has_role(identity, "user"));
        assert_null(nrpc_identity_role(identity, 2));
        nrpc_identity_unref(identity);
    }
    assert_int_equal(nrpc_auth_verify(auth, TOKEN_B, NOW, &identity, &st), NRPC_OK);
    assert_string_equal(nrpc_identity_subject(identity), "bob");
    assert_null(nrpc_identity_role(identity, 0));
    nrpc_identity_unref(identity);
    static const char *const bad[] = {"", "alice", "#", TOKEN_A "x", "alice-012345678", "a.b.c", TOKEN_A " "};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        fixture_expect(auth, strdup(bad[i]), NOW, "the token is not known");
    struct nrpc_auth_stats s;
    nrpc_auth_stats(auth, &s);
    assert_int_equal(s.hits, 3);
    assert_int_equal(s.signature_checks, 0);
    assert_int_equal(s.refused, 7);
    assert_int_equal(s.remembered, 2);
    nrpc_auth_destroy(auth);
}

static void test_reload(void **state)
{
    struct fixture *f = *state;
    struct nrpc_auth *auth = auth_of(f, TOKEN_A " alice\n");
    struct nrpc_status st;
    fixture_write(f->keys_path, TOKEN_B " bob\n" TOKEN_A "\n");
    assert_int_equal(nrpc_auth_reload_keys(auth, &st), NRPC_INVALID_ARGUMENT);
    fixture_expect(auth, strdup(TOKEN_A), NOW, NULL);
    fixture_expect(auth, strdup(TOKEN_B), NOW, "not known");
    fixture_write(f->keys_path, TOKEN_B " bob\n");
    assert_int_equal(nrpc_auth_reload_keys(auth, &st), NRPC_OK);
    fixture_expect(auth, strdup(TOKEN_A), NOW, "not known");
    fixture_expect(auth, strdup(TOKEN_B), NOW, NULL);
    nrpc_auth_destroy(auth);
}

// No sentence may show what is in the line.
static void test_bad_lines(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *text, *sentence;
    } bad[] = {
        {"", "there is no token in it"},
        {"\n# x\n \n", "there is no token in it"},
        {TOKEN_A "\n", "line 1 is not"},
        {"\n" TOKEN_A " alice admin user\n", "line 2 is not"},
        {"short alice\n", "line 1: a token must have 16"},
        {"secret,secret,secret alice\n", "line 1: a token must have 16"},
        {"secret=secret=secret alice\n", "line 1: a token must have 16"},
        {TOKEN_A " alice\n" TOKEN_A " alice\n", "line 2: this token was on an earlier line"},
        {TOKEN_A " \x01\n", "line 1: a bad subject"},
        {TOKEN_A " \xff\n", "line 1: a bad subject"},
        {TOKEN_A " alice a\x7f\n", "line 1: a bad subject, a bad role"},
        {TOKEN_A " alice a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,"
                 "a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a\n",
         "line 1: a bad subject, a bad role, or too many roles"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct nrpc_auth *auth;
        struct nrpc_status st;
        fixture_write(f->keys_path, bad[i].text);
        int code = nrpc_auth_create(&(struct nrpc_auth_options){.tokens_path = f->keys_path}, &auth, &st);
        if (code != NRPC_INVALID_ARGUMENT || auth || !strstr(st.text, bad[i].sentence))
            fail_msg("%zu: %s", i, st.text);
        assert_null(strstr(st.text, "alice"));
        assert_null(strstr(st.text, "secret"));
    }
}

static void test_many(void **state)
{
    struct fixture *f = *state;
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    for (int i = 0; i < 16384; i++)
        fprintf(out, "token-%010d s%d\n", i, i);
    fflush(out);
    struct nrpc_auth *auth = auth_of(f, text);
    fixture_expect(auth, strdup("token-0000000000"), NOW, NULL); // none has made room for another
    fixture_expect(auth, strdup("token-0000016383"), NOW, NULL);
    fprintf(out, "token-one-too-many s\n");
    fclose(out);
    fixture_write(f->keys_path, text);
    free(text);
    struct nrpc_status st;
    assert_int_equal(nrpc_auth_reload_keys(auth, &st), NRPC_INVALID_ARGUMENT);
    nrpc_auth_destroy(auth);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_bad_lines),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests_name("auth/tokens", tests, fixture_setup, fixture_teardown);
}
