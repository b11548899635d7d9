// SPDX-License-Identifier: Apache-2.0
// secure_test.c: TLS, client certificates, new certificates without a restart, tokens and roles.
#include "base/clock.h"
#include "echo.nrpc.h"
#include "nrpc/interceptors/bearer.h"
#include "nrpc/interceptors/guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/nrpc-secure-XXXXXX";

static const char *path(const char *name)
{
    static char paths[8][100];
    static unsigned next;
    char *p = paths[next++ % 8];
    snprintf(p, sizeof paths[0], "%s/%s", folder, name);
    return p;
}

static void shell(const char *format, ...)
{
    char command[1000];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    assert_int_equal(system(command), 0);
}

// A CA of this name, and a certificate for localhost that it signed: <name>-ca.pem, <name>.pem, <name>.key.
static void make_certificates(const char *name)
{
    shell("cd %s && openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=%s-ca -keyout %s-ca.key -out "
          "%s-ca.pem "
          "2>/dev/null && openssl req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout %s.key -out %s.csr "
          "2>/dev/null && "
          "openssl x509 -req -in %s.csr -CA %s-ca.pem -CAkey %s-ca.key -CAcreateserial -days 2 -out %s.pem "
          "2>/dev/null",
          folder, name, name, name, name, name, name, name, name, name);
}

static int set_up(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    make_certificates("one");
    make_certificates("two");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    shell("rm -r %s", folder);
    return 0;
}

static void on_say(struct nrpc_call *call, const Echo__V1__SayRequest *q, void *user)
{
    (void)q;
    (void)user;
    const struct nrpc_identity *identity = nrpc_guard_identity(call);
    Echo__V1__SayResponse r = ECHO__V1__SAY_RESPONSE__INIT;
    r.metadata = (char *)(identity ? nrpc_identity_subject(identity) : "");
    nrpc_reply(call, &r.base);
}

static const struct echo_v1_echo_handlers handlers = {
    .say = on_say, .say_again = on_say, .admin = on_say, .park = on_say};

static struct nrpc_server *open_server(const struct nrpc_tls_options *tls, struct nrpc_guard *guard)
{
    struct nrpc_status st;
    struct nrpc_server *s = nrpc_server_create(&(struct nrpc_server_options){.tls = tls});
    assert_int_equal(echo_v1_echo_register(s, NRPC_INLINE, &handlers, NULL, &st), NRPC_OK);
    if (guard)
        nrpc_guard_protect(guard, s);
    assert_int_equal(nrpc_server_listen(s, tls ? "tls+tcp://127.0.0.1:0" : "tcp://127.0.0.1:0", &st),
                     NRPC_OK);
    return s;
}

static int say_with(struct nrpc_server *s, const struct nrpc_tls_options *tls, int64_t connect_timeout_ms)
{
    struct nrpc_status st;
    struct nrpc_channel *ch;
    struct nrpc_channel_options o = {.tls = tls, .connect_timeout_ms = connect_timeout_ms};
    Echo__V1__SayRequest q = ECHO__V1__SAY_REQUEST__INIT;
    assert_int_equal(nrpc_channel_open(nrpc_server_url(s, 0), &o, &ch, &st), NRPC_OK);
    int code = echo_v1_echo_say(ch, NULL, &q, NULL, &st);
    nrpc_channel_close(ch);
    return code;
}

static void test_tls(void **state)
{
    (void)state;
    struct nrpc_tls_options server = {.certificate_file = path("one.pem"), .key_file = path("one.key")};
    struct nrpc_server *s = open_server(&server, NULL);
    struct nrpc_tls_options good = {.ca_file = path("one-ca.pem"), .server_name = "localhost"};
    struct nrpc_tls_options stranger = {.ca_file = path("two-ca.pem"), .server_name = "localhost"};
    struct nrpc_tls_options misnamed = {.ca_file = path("one-ca.pem"), .server_name = "example.org"};
    assert_int_equal(say_with(s, &good, 10000), NRPC_OK);
    assert_int_equal(say_with(s, &stranger, 400), NRPC_UNAVAILABLE);
    assert_int_equal(say_with(s, &misnamed, 400), NRPC_UNAVAILABLE);
    assert_int_equal(say_with(s, &good, 10000), NRPC_OK);
    nrpc_server_destroy(s);
}

static void test_client_certificates(void **state)
{
    (void)state;
    struct nrpc_tls_options server = {
        .certificate_file = path("one.pem"), .key_file = path("one.key"), .ca_file = path("two-ca.pem")};
    struct nrpc_server *s = open_server(&server, NULL);
    struct nrpc_tls_options known = {.ca_file = path("one-ca.pem"),
                                     .server_name = "localhost",
                                     .certificate_file = path("two.pem"),
                                     .key_file = path("two.key")};
    struct nrpc_tls_options unknown = known, nobody = known;
    unknown.certificate_file = path("one.pem");
    unknown.key_file = path("one.key");
    nobody.certificate_file = nobody.key_file = NULL;
    assert_int_equal(say_with(s, &known, 10000), NRPC_OK);
    assert_int_equal(say_with(s, &unknown, 400), NRPC_UNAVAILABLE);
    assert_int_equal(say_with(s, &nobody, 400), NRPC_UNAVAILABLE);
    nrpc_server_destroy(s);
}

// A channel whose certificate is replaced uses the new one when it connects next.
static void test_client_certificates_are_read_again(void **state)
{
    (void)state;
    struct nrpc_tls_options server = {
        .certificate_file = path("one.pem"), .key_file = path("one.key"), .ca_file = path("two-ca.pem")};
    struct nrpc_server *s = open_server(&server, NULL);
    shell("cd %s && cp one.pem mine.pem && cp one.key mine.key", folder);
    struct nrpc_tls_options mine = {.ca_file = path("one-ca.pem"),
                                    .server_name = "localhost",
                                    .certificate_file = path("mine.pem"),
                                    .key_file = path("mine.key")};
    struct nrpc_channel *ch;
    struct nrpc_status st;
    Echo__V1__SayRequest q = ECHO__V1__SAY_REQUEST__INIT;
    const struct nrpc_channel_options o = {.tls = &mine, .reconnect_max_ms = 50, .connect_timeout_ms = 300};
    assert_int_equal(nrpc_channel_open(nrpc_server_url(s, 0), &o, &ch, &st), NRPC_OK);
    assert_int_equal(echo_v1_echo_say(ch, NULL, &q, NULL, &st), NRPC_UNAVAILABLE);
    shell("cd %s && cp two.key mine.key && cp two.pem mine.pem", folder);
    struct nrpc_call_options ready = {.timeout_ms = 10000, .wait_for_ready = true};
    assert_int_equal(echo_v1_echo_say(ch, &ready, &q, NULL, &st), NRPC_OK);
    nrpc_channel_close(ch);
    nrpc_server_destroy(s);
}

static void test_reload(void **state)
{
    (void)state;
    struct nrpc_status st;
    struct nrpc_channel *old;
    Echo__V1__SayRequest q = ECHO__V1__SAY_REQUEST__INIT;
    struct nrpc_tls_options server = {.certificate_file = path("live.pem"), .key_file = path("live.key")};
    struct nrpc_tls_options one = {.ca_file = path("one-ca.pem"), .server_name = "localhost"};
    struct nrpc_tls_options two = {.ca_file = path("two-ca.pem"), .server_name = "localhost"};
    struct nrpc_channel_options o = {.tls = &one, .connect_timeout_ms = 10000};
    shell("cd %s && cp one.pem live.pem && cp one.key live.key", folder);
    struct nrpc_server *s = open_server(&server, NULL);
    assert_int_equal(nrpc_channel_open(nrpc_server_url(s, 0), &o, &old, &st), NRPC_OK);
    assert_int_equal(echo_v1_echo_say(old, NULL, &q, NULL, &st), NRPC_OK);
    shell("cd %s && echo nonsense > live.pem", folder);
    assert_int_not_equal(nrpc_server_reload_tls(s, &st), NRPC_OK); // the old one stays
    assert_int_equal(say_with(s, &one, 10000), NRPC_OK);
    shell("cd %s && cp two.pem live.pem && cp two.key live.key", folder);
    assert_int_equal(nrpc_server_reload_tls(s, &st), NRPC_OK);
    assert_int_equal(say_with(s, &two, 10000), NRPC_OK);
    assert_int_equal(say_with(s, &one, 400), NRPC_UNAVAILABLE);
    assert_int_equal(echo_v1_echo_say(old, NULL, &q, NULL, &st), NRPC_OK); // connections that stand go on
    nrpc_channel_close(old);
    nrpc_server_destroy(s);
}

static void test_bad_files(void **state)
{
    (void)state;
    struct nrpc_status st;
    struct nrpc_channel *ch;
    struct nrpc_tls_options missing = {.certificate_file = path("no.pem"), .key_file = path("one.key")};
    struct nrpc_server *s = nrpc_server_create(&(struct nrpc_server_options){.tls = &missing});
    assert_int_equal(nrpc_server_listen(s, "tls+tcp://127.0.0.1:0", &st), NRPC_NOT_FOUND);
    assert_non_null(strstr(st.text, "no.pem"));
    nrpc_server_destroy(s);
    s = nrpc_server_create(NULL);
    assert_int_equal(nrpc_server_listen(s, "tls+tcp://127.0.0.1:0", &st), NRPC_INVALID_ARGUMENT);
    nrpc_server_destroy(s);
    assert_int_equal(nrpc_channel_open("tls+tcp://127.0.0.1:1", NULL, &ch, &st), NRPC_INVALID_ARGUMENT);
}

static void expect(struct nrpc_server *s, struct nrpc_bearer *bearer, const char *token, bool admin,
                   int wanted, const char *subject)
{
    struct nrpc_status st;
    struct nrpc_channel *ch;
    struct nrpc_client_interceptor i = nrpc_bearer_interceptor(bearer);
    struct nrpc_channel_options o = {.interceptors = &i, .interceptor_count = 1};
    Echo__V1__SayRequest q = ECHO__V1__SAY_REQUEST__INIT;
    Echo__V1__SayResponse *r;
    nrpc_bearer_set(bearer, token);
    assert_int_equal(nrpc_channel_open(nrpc_server_url(s, 0), &o, &ch, &st), NRPC_OK);
    int code = admin ? echo_v1_echo_admin(ch, NULL, &q, &r, &st) : echo_v1_echo_say(ch, NULL, &q, &r, &st);
    assert_int_equal(code, wanted);
    if (r) {
        assert_string_equal(r->metadata, subject);
        echo__v1__say_response__free_unpacked(r, NULL);
    }
    if (token)
        assert_null(strstr(st.text, token));
    nrpc_channel_close(ch);
}

static void test_tokens_and_roles(void **state)
{
    (void)state;
    struct nrpc_status st;
    struct nrpc_guard *guard;
    shell("printf 'token-of-the-admin-1 anna admin\\ntoken-of-a-reader-01 rolf reader\\n' > %s",
          path("tokens"));
    struct nrpc_auth_options o = {.tokens_path = path("tokens")};
    assert_int_equal(nrpc_guard_create(&o, &guard, &st), NRPC_OK);
    struct nrpc_server *s = open_server(NULL, guard);
    struct nrpc_bearer *bearer = nrpc_bearer_create(NULL);
    expect(s, bearer, NULL, false, NRPC_UNAUTHENTICATED, NULL);
    expect(s, bearer, "token-of-nobody-0001", false, NRPC_UNAUTHENTICATED, NULL);
    expect(s, bearer, "token-of-a-reader-01", false, NRPC_OK, "rolf");
    expect(s, bearer, "token-of-a-reader-01", true, NRPC_PERMISSION_DENIED, NULL);
    expect(s, bearer, "token-of-the-admin-1", true, NRPC_OK, "anna");
    nrpc_server_destroy(s);
    nrpc_bearer_destroy(bearer);
    nrpc_guard_destroy(guard);
}

static void test_jwt(void **state)
{
    (void)state;
    struct nrpc_status st;
    struct nrpc_guard *guard;
    char *token, *expired;
    static const char *const roles[] = {"admin"};
    int64_t now_s = clock_now_ms() / 1000;
    struct nrpc_jwt_claims claims = {
        .subject = "jo", .audience = "echo", .roles = roles, .role_count = 1, .expires_s = now_s + 600};
    shell("cd %s && openssl genpkey -algorithm ed25519 -out jwt.key && openssl pkey -in jwt.key -pubout -out "
          "jwt.pub",
          folder);
    assert_int_equal(nrpc_jwt_sign(path("jwt.key"), NULL, &claims, &token, &st), NRPC_OK);
    claims.expires_s = now_s - 600;
    assert_int_equal(nrpc_jwt_sign(path("jwt.key"), NULL, &claims, &expired, &st), NRPC_OK);
    struct nrpc_auth_options o = {.keys_path = path("jwt.pub"), .audience = "echo"};
    assert_int_equal(nrpc_guard_create(&o, &guard, &st), NRPC_OK);
    struct nrpc_server *s = open_server(NULL, guard);
    struct nrpc_bearer *bearer = nrpc_bearer_create(NULL);
    for (int i = 0; i < 3; i++)
        expect(s, bearer, token, true, NRPC_OK, "jo");
    expect(s, bearer, expired, true, NRPC_UNAUTHENTICATED, NULL);
    struct nrpc_auth_stats stats;
    nrpc_auth_stats(nrpc_guard_auth(guard), &stats);
    assert_int_equal(stats.hits, 2); // verified once, remembered
    nrpc_server_destroy(s);
    nrpc_bearer_destroy(bearer);
    nrpc_guard_destroy(guard);
    free(token);
    free(expired);
}

// ---- the system's clock

static _Atomic int64_t step_s; // by which somebody has set it

int __real_clock_gettime(clockid_t id, struct timespec *t);
int __wrap_clock_gettime(clockid_t id, struct timespec *t);

int __wrap_clock_gettime(clockid_t id, struct timespec *t)
{
    int rv = __real_clock_gettime(id, t);
    if (id == CLOCK_REALTIME)
        t->tv_sec += step_s;
    return rv;
}

// Tokens are good and bad by the clock that the system has now, not by the one it had when the process began.
static void test_tokens_follow_the_clock(void **state)
{
    (void)state;
    enum { DAY_S = 24 * 3600 };
    struct nrpc_status st;
    struct nrpc_guard *guard;
    char *today, *tomorrow;
    int64_t now_s = clock_wall_ms() / 1000;
    struct nrpc_jwt_claims claims = {.subject = "jo", .audience = "echo", .expires_s = now_s + 600};
    shell("cd %s && openssl genpkey -algorithm ed25519 -out day.key && openssl pkey -in day.key -pubout -out "
          "day.pub",
          folder);
    assert_int_equal(nrpc_jwt_sign(path("day.key"), NULL, &claims, &today, &st), NRPC_OK);
    claims.not_before_s = now_s + DAY_S - 600;
    claims.expires_s = now_s + DAY_S + 600;
    assert_int_equal(nrpc_jwt_sign(path("day.key"), NULL, &claims, &tomorrow, &st), NRPC_OK);
    struct nrpc_auth_options o = {.keys_path = path("day.pub"), .audience = "echo"};
    assert_int_equal(nrpc_guard_create(&o, &guard, &st), NRPC_OK);
    struct nrpc_server *s = open_server(NULL, guard);
    struct nrpc_bearer *bearer = nrpc_bearer_create(NULL);
    const int64_t steps_s[] = {0, DAY_S, 0};
    for (size_t i = 0; i < sizeof steps_s / sizeof *steps_s; i++) {
        step_s = steps_s[i];
        expect(s, bearer, today, false, i == 1 ? NRPC_UNAUTHENTICATED : NRPC_OK, i == 1 ? NULL : "jo");
        expect(s, bearer, tomorrow, false, i == 1 ? NRPC_OK : NRPC_UNAUTHENTICATED, i == 1 ? "jo" : NULL);
    }
    nrpc_server_destroy(s);
    nrpc_bearer_destroy(bearer);
    nrpc_guard_destroy(guard);
    free(today);
    free(tomorrow);
}

// Two guards: each lets go of the identity that it has found, and of no other.
static void test_two_guards(void **state)
{
    (void)state;
    struct nrpc_status st;
    struct nrpc_guard *guards[2];
    struct nrpc_auth_options o = {.tokens_path = path("two")};
    shell("printf 'token-of-jo-0123456789 jo admin\\n' >%s/two && chmod 600 %s/two", folder, folder);
    for (int i = 0; i < 2; i++)
        assert_int_equal(nrpc_guard_create(&o, &guards[i], &st), NRPC_OK);
    struct nrpc_server *s = open_server(NULL, guards[0]);
    nrpc_guard_protect(guards[1], s);
    struct nrpc_bearer *bearer = nrpc_bearer_create(NULL);
    for (int i = 0; i < 20; i++)
        expect(s, bearer, "token-of-jo-0123456789", true, NRPC_OK, "jo");
    nrpc_server_destroy(s);
    nrpc_bearer_destroy(bearer);
    for (int i = 0; i < 2; i++)
        nrpc_guard_destroy(guards[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tls),
        cmocka_unit_test(test_client_certificates),
        cmocka_unit_test(test_client_certificates_are_read_again),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_tokens_and_roles),
        cmocka_unit_test(test_jwt),
        cmocka_unit_test(test_tokens_follow_the_clock),
        cmocka_unit_test(test_two_guards),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
