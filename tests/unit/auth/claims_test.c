// SPDX-License-Identifier: Apache-2.0
// claims_test.c: the claims of well-signed tokens: which make an identity, when, and with which roles.
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *token_of(const struct fixture *f, const char *claims)
{
    return fixture_token(f->ed, "{\"alg\":\"EdDSA\",\"kid\":\"e\"}", claims);
}

static struct nrpc_auth *auth_of(struct nrpc_auth_options options)
{
    struct nrpc_auth *auth;
    struct nrpc_status st;
    if (nrpc_auth_create(&options, &auth, &st))
        fail_msg("%s", st.text);
    return auth;
}

static struct nrpc_identity *identity_of(struct nrpc_auth *auth, char *token)
{
    struct nrpc_identity *identity;
    struct nrpc_status st;
    if (nrpc_auth_verify(auth, token, NOW, &identity, &st))
        fail_msg("%s", st.text);
    free(token);
    return identity;
}

static void test_refusals(void **state)
{
    struct fixture *f = *state;
    struct nrpc_auth *auth = fixture_auth(f);
    static const struct {
        const char *claims, *refusal;
    } bad[] = {
        {"{}", "audience"},
        {"{\"sub\":\"a\",\"exp\":1700003600}", "audience"},
        {"{\"sub\":\"a\",\"aud\":\"other\",\"exp\":1700003600}", "audience"},
        {"{\"sub\":\"a\",\"aud\":\"Pterergate\",\"exp\":1700003600}", "audience"},
        {"{\"sub\":\"a\",\"aud\":\"pterergate2\",\"exp\":1700003600}", "audience"},
        {"{\"sub\":\"a\",\"aud\":[],\"exp\":1700003600}", "audience"},
        {"{\"sub\":\"a\",\"aud\":[\"other\"],\"exp\":1700003600}", "audience"},
        {"{\"sub\":\"a\",\"aud\":[\"pterergate\",7],\"exp\":1700003600}", "audience"},
        {"{\"sub\":\"a\",\"aud\":[[\"pterergate\"]],\"exp\":1700003600}", "audience"},
        {"{\"sub\":\"a\",\"aud\":{\"pterergate\":1},\"exp\":1700003600}", "audience"},
        {"{\"sub\":\"a\",\"aud\":null,\"exp\":1700003600}", "audience"},
        {"{\"aud\":\"pterergate\",\"exp\":1700003600}", "subject"},
        {"{\"sub\":\"\",\"aud\":\"pterergate\",\"exp\":1700003600}", "subject"},
        {"{\"sub\":7,\"aud\":\"pterergate\",\"exp\":1700003600}", "subject"},
        {"{\"sub\":\"a\\nb\",\"aud\":\"pterergate\",\"exp\":1700003600}", "subject"},
        {"{\"sub\":\"a\\u007f\",\"aud\":\"pterergate\",\"exp\":1700003600}", "subject"},
        {"{\"sub\":\"a\",\"aud\":\"pterergate\"}", "(exp)"},
        {"{\"sub\":\"a\",\"aud\":\"pterergate\",\"exp\":\"1700003600\"}", "not a number"},
        {"{\"sub\":\"a\",\"aud\":\"pterergate\",\"exp\":null}", "not a number"},
        {"{\"sub\":\"a\",\"aud\":\"pterergate\",\"exp\":true}", "not a number"},
        {"{\"sub\":\"a\",\"aud\":\"pterergate\",\"exp\":-1}", "not a number"},
        {"{\"sub\":\"a\",\"aud\":\"pterergate\",\"exp\":1e300}", "not a number"},
        {"{\"sub\":\"a\",\"aud\":\"pterergate\",\"exp\":9223372036854775807}", "not a number"},
        {"{\"sub\":\"a\",\"aud\":\"pterergate\",\"exp\":9223372036854775808}", "claims are not in order"},
        {"{\"sub\":\"a\",\"aud\":\"pterergate\",\"exp\":1e999}", "claims are not in order"},
        {"{\"sub\":\"a\",\"aud\":\"pterergate\",\"exp\":NaN}", "claims are not in order"},
        {"{\"sub\":\"a\",\"aud\":\"pterergate\",\"exp\":0}", "expired"},
        {CLAIMS(",\"nbf\":\"1\""), "not a number"},
        {CLAIMS(",\"iat\":[1]"), "not a number"},
        {CLAIMS(",\"sub\":\"bob\""), "claims are not in order"},
        {CLAIMS(",\"x\":[[[[[[[[]]]]]]]]"), "claims are not in order"},
        {CLAIMS(",\"x\":\"\\u0000\""), "claims are not in order"},
        {CLAIMS(",\"x\":\"\\ud800\""), "claims are not in order"},
        {CLAIMS("") "{}", "claims are not in order"},
        {"[]", "claims are not in order"},
        {"", "claims are not in order"},
        {CLAIMS(",\"roles\":7"), "roles"},
        {CLAIMS(",\"roles\":null"), "roles"},
        {CLAIMS(",\"roles\":{\"admin\":1}"), "roles"},
        {CLAIMS(",\"roles\":[\"\"]"), "roles"},
        {CLAIMS(",\"roles\":[\"admin\",7]"), "roles"},
        {CLAIMS(",\"roles\":[[\"admin\"]]"), "roles"},
        {CLAIMS(",\"roles\":[\"a\\tb\"]"), "roles"},
        {CLAIMS(",\"roles\":\"a\\tb\""), "roles"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        fixture_expect(auth, token_of(f, bad[i].claims), NOW, bad[i].refusal);
    nrpc_auth_destroy(auth);
}

static void test_audience_and_issuer(void **state)
{
    struct fixture *f = *state;
    struct nrpc_auth *auth = fixture_auth(f);
    fixture_expect(auth, token_of(f, "{\"sub\":\"a\",\"aud\":[\"x\",\"pterergate\"],\"exp\":1700003600}"),
                   NOW, NULL);
    fixture_expect(auth, token_of(f, CLAIMS(",\"iss\":7")), NOW, NULL); // nobody asked
    nrpc_auth_destroy(auth);
    auth =
        auth_of((struct nrpc_auth_options){.keys_path = f->keys_path, .audience = AUDIENCE, .issuer = "me"});
    fixture_expect(auth, token_of(f, CLAIMS("")), NOW, "issuer");
    fixture_expect(auth, token_of(f, CLAIMS(",\"iss\":\"you\"")), NOW, "issuer");
    fixture_expect(auth, token_of(f, CLAIMS(",\"iss\":[\"me\"]")), NOW, "issuer");
    fixture_expect(auth, token_of(f, CLAIMS(",\"iss\":\"me\"")), NOW, NULL);
    nrpc_auth_destroy(auth);
}

// Each bound to the second, with tokens that are remembered and tokens that are not.
static void check_bounds(struct nrpc_auth *auth, const struct fixture *f, int64_t leeway_s)
{
    static const char *const early[] = {CLAIMS(",\"nbf\":1700000100"), CLAIMS(",\"iat\":1700000100"),
                                        CLAIMS(",\"nbf\":1,\"iat\":1700000100.9"),
                                        CLAIMS(",\"iat\":1,\"nbf\":1700000100")};
    for (size_t i = 0; i < sizeof early / sizeof *early; i++) {
        int64_t first = 1700000100 - leeway_s, last = 1700003600 + leeway_s - 1;
        for (int again = 0; again < 2; again++) {
            fixture_expect(auth, token_of(f, early[i]), first - 1, "not valid yet");
            fixture_expect(auth, token_of(f, early[i]), last + 1, "expired");
            fixture_expect(auth, token_of(f, early[i]), INT64_MAX, "expired");
            fixture_expect(auth, token_of(f, early[i]), INT64_MIN, "not valid yet");
            fixture_expect(auth, token_of(f, early[i]), first, NULL);
            fixture_expect(auth, token_of(f, early[i]), last, NULL);
        }
    }
    fixture_expect(auth, token_of(f, "{\"sub\":\"a\",\"aud\":\"pterergate\",\"exp\":9007199254740992}"),
                   9007199254740991, NULL);
}

static void test_times(void **state)
{
    struct fixture *f = *state;
    static const int64_t leeways[][2] = {{0, 30}, {-1, 0}, {INT64_MIN, 0}, {1, 1}, {3600, 3600}};
    for (size_t i = 0; i < sizeof leeways / sizeof *leeways; i++) {
        struct nrpc_auth *auth = auth_of((struct nrpc_auth_options){
            .keys_path = f->keys_path, .audience = AUDIENCE, .leeway_s = leeways[i][0]});
        check_bounds(auth, f, leeways[i][1]);
        nrpc_auth_destroy(auth);
    }
}

static void check_roles(struct nrpc_auth *auth, char *token, const char *expected)
{
    char all[256] = "";
    struct nrpc_identity *identity = identity_of(auth, token);
    const char *role;
    for (size_t i = 0; (role = nrpc_identity_role(identity, i)); i++) {
        strcat(strcat(all, role), "|");
        assert_true(nrpc_identity_has_role(identity, role));
    }
    assert_string_equal(all, expected);
    assert_string_equal(nrpc_identity_subject(identity), "alice");
    assert_false(nrpc_identity_has_role(identity, ""));
    assert_false(nrpc_identity_has_role(identity, "adm"));
    assert_false(nrpc_identity_has_role(identity, "Admin"));
    nrpc_identity_unref(identity);
}

static void test_roles(void **state)
{
    struct fixture *f = *state;
    struct nrpc_auth *auth = fixture_auth(f);
    check_roles(auth, token_of(f, CLAIMS("")), "");
    check_roles(auth, token_of(f, CLAIMS(",\"roles\":[]")), "");
    check_roles(auth, token_of(f, CLAIMS(",\"roles\":\"\"")), "");
    check_roles(auth, token_of(f, CLAIMS(",\"roles\":[\"admin\",\"a b\"]")), "admin|a b|");
    check_roles(auth, token_of(f, CLAIMS(",\"roles\":\"admin\"")), "admin|");
    check_roles(auth, token_of(f, CLAIMS(",\"roles\":\"  admin   user \",\"scope\":\"x\"")), "admin|user|");
    nrpc_auth_destroy(auth);
    auth = auth_of(
        (struct nrpc_auth_options){.keys_path = f->keys_path, .audience = AUDIENCE, .roles_claim = "scope"});
    check_roles(auth, token_of(f, CLAIMS(",\"roles\":7,\"scope\":\"read write\"")), "read|write|");
    nrpc_auth_destroy(auth);
}

// `count` roles of `size` bytes each.
static char *many_roles(const struct fixture *f, int count, int size)
{
    char *roles = strdup(""), *claims;
    for (int i = 0; i < count; i++) {
        char *more;
        assert_true(asprintf(&more, "%s%s\"%0*d\"", roles, i ? "," : "", size, i) > 0);
        free(roles);
        roles = more;
    }
    assert_true(asprintf(&claims, CLAIMS(",\"roles\":[%s]"), roles) > 0);
    char *token = token_of(f, claims);
    free(claims);
    free(roles);
    return token;
}

static void test_limits(void **state)
{
    struct fixture *f = *state;
    struct nrpc_auth *auth = fixture_auth(f);
    fixture_expect(auth, many_roles(f, NRPC_ROLES_MAX, 4), NOW, NULL);
    fixture_expect(auth, many_roles(f, NRPC_ROLES_MAX + 1, 4), NOW, "roles");
    fixture_expect(auth, many_roles(f, 1, NRPC_ROLE_MAX), NOW, NULL);
    fixture_expect(auth, many_roles(f, 1, NRPC_ROLE_MAX + 1), NOW, "roles");
    for (int extra = 0; extra < 2; extra++) {
        char *claims;
        assert_true(asprintf(&claims, "{\"sub\":\"%0*d\",\"aud\":\"pterergate\",\"exp\":1700003600}",
                             NRPC_SUBJECT_MAX + extra, 7) > 0);
        fixture_expect(auth, token_of(f, claims), NOW, extra ? "subject" : NULL);
        free(claims);
    }
    nrpc_auth_destroy(auth);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_audience_and_issuer),
        cmocka_unit_test(test_times),    cmocka_unit_test(test_roles),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests_name("auth/claims", tests, fixture_setup, fixture_teardown);
}
