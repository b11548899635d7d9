// SPDX-License-Identifier: Apache-2.0
// threads_test.c: many threads verify while keys are replaced: a token is good exactly as long as its key is.
#include "fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4, TOKENS = 16, ROUNDS = 40, KEEP = 8 };

struct shared {
    struct nrpc_auth *auth;
    char *constant[TOKENS]; // by a key that is in every set
    char *even[TOKENS];     // by a key that is in every other set
    _Atomic bool stop;
    _Atomic int wrong;
    _Atomic unsigned long verified; // good tokens so far
};

static void *verify_all(void *arg)
{
    struct shared *s = arg;
    struct nrpc_identity *kept[KEEP] = {NULL};
    for (unsigned n = 0; !atomic_load(&s->stop); n++) {
        struct nrpc_identity *identity;
        struct nrpc_status st;
        if (nrpc_auth_verify(s->auth, s->constant[n % TOKENS], NOW, &identity, &st) == NRPC_OK) {
            atomic_fetch_add(&s->verified, 1);
            nrpc_identity_unref(kept[n % KEEP]);
            kept[n % KEEP] = identity;
        } else {
            atomic_fetch_add(&s->wrong, 1);
        }
        if (kept[(n + 1) % KEEP] && strcmp(nrpc_identity_subject(kept[(n + 1) % KEEP]), "alice") != 0)
            atomic_fetch_add(&s->wrong, 1);
        (void)nrpc_auth_verify(s->auth, s->even[n % TOKENS], NOW, &identity, &st); // good or not
        nrpc_identity_unref(identity);
    }
    for (int i = 0; i < KEEP; i++)
        nrpc_identity_unref(kept[i]);
    return NULL;
}

// Once a reload has returned, its keys count, whatever the other threads are in the middle of.
static void reload_and_look(struct shared *s, const struct fixture *f, bool has_even)
{
    struct nrpc_status st;
    fixture_write_jwks(f->keys_path, f->ed, "e", has_even ? f->rsa : NULL, "r");
    assert_int_equal(nrpc_auth_reload_keys(s->auth, &st), NRPC_OK);
    for (int again = 0; again < 3; again++) {
        for (int i = 0; i < TOKENS; i++)
            fixture_expect(s->auth, strdup(s->even[i]), NOW, has_even ? NULL : "the token");
        unsigned long seen = atomic_load(&s->verified); // let the others go on
        while (atomic_load(&s->verified) < seen + THREADS && !atomic_load(&s->wrong))
            sched_yield();
    }
}

static void test_reload_under_load(void **state)
{
    struct fixture *f = *state;
    static struct shared s;
    struct nrpc_status st;
    struct nrpc_auth_options options = {.keys_path = f->keys_path, .audience = AUDIENCE, .cache_max = TOKENS};
    assert_int_equal(nrpc_auth_create(&options, &s.auth, &st), NRPC_OK);
    for (int i = 0; i < TOKENS; i++) {
        char claims[128];
        snprintf(claims, sizeof claims, CLAIMS(",\"jti\":%d"), i);
        s.constant[i] = fixture_token(f->ed, "{\"alg\":\"EdDSA\",\"kid\":\"e\"}", claims);
        s.even[i] = fixture_token(f->rsa, "{\"alg\":\"RS256\",\"kid\":\"r\"}", claims);
    }
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, verify_all, &s), 0);
    for (int round = 0; round < ROUNDS; round++)
        reload_and_look(&s, f, round % 2 == 0);
    atomic_store(&s.stop, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&s.wrong), 0);
    for (int i = 0; i < TOKENS; i++) {
        free(s.constant[i]);
        free(s.even[i]);
    }
    nrpc_auth_destroy(s.auth);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reload_under_load)};
    return cmocka_run_group_tests_name("auth/threads", tests, fixture_setup, fixture_teardown);
}
