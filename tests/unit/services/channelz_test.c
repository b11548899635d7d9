// SPDX-License-Identifier: Apache-2.0
// channelz_test.c: what was counted: of the server, by method, by connection and page by page.
#include "fixture.h"

#include "nrpc/services/channelz.h"
#include "nrpc/v1/channelz.nrpc.h"

#include <string.h>

static struct fixture f;

static int setup(void **state)
{
    struct nrpc_status st;
    f.is_local = *state != NULL;
    fixture_create(&f, NULL);
    assert_int_equal(nrpc_channelz_add(f.server, &st), NRPC_OK);
    fixture_open(&f);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fixture_destroy(&f);
    return 0;
}

static int call_make(uint32_t fail_with)
{
    Sample__V1__Thing q = SAMPLE__V1__THING__INIT;
    struct nrpc_status st;
    q.fail_with = fail_with;
    return sample_v1_sample_make(f.channel, NULL, &q, NULL, &st);
}

static Nrpc__V1__MethodStatsResponse *list_methods(void)
{
    Nrpc__V1__MethodStatsRequest q = NRPC__V1__METHOD_STATS_REQUEST__INIT;
    Nrpc__V1__MethodStatsResponse *r;
    struct nrpc_status st;
    assert_int_equal(nrpc_v1_channelz_list_methods(f.channel, NULL, &q, &r, &st), NRPC_OK);
    return r;
}

static const Nrpc__V1__MethodStats *find(const Nrpc__V1__MethodStatsResponse *r, const char *name)
{
    for (size_t i = 0; i < r->n_methods; i++)
        if (!strcmp(r->methods[i]->name, name))
            return r->methods[i];
    fail_msg("%s is not listed", name);
    return NULL;
}

static void test_methods(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        assert_int_equal(call_make(0), NRPC_OK);
    assert_int_equal(call_make(NRPC_NOT_FOUND), NRPC_NOT_FOUND);
    assert_int_equal(call_make(NRPC_NOT_FOUND), NRPC_NOT_FOUND);
    assert_int_equal(call_make(NRPC_ABORTED), NRPC_ABORTED);
    Nrpc__V1__MethodStatsResponse *r = list_methods();
    assert_int_equal(r->n_methods, 6);
    for (size_t i = 1; i < r->n_methods; i++)
        assert_true(strcmp(r->methods[i - 1]->name, r->methods[i]->name) < 0);
    const Nrpc__V1__MethodStats *m = find(r, "/sample.v1.Sample/Make");
    assert_int_equal(m->started, 8);
    assert_int_equal(m->ok, 5);
    assert_int_equal(m->running, 0);
    assert_int_equal(m->n_failed, 2);
    assert_int_equal(m->failed[0]->code, NRPC_NOT_FOUND);
    assert_int_equal(m->failed[0]->count, 2);
    assert_int_equal(m->failed[1]->code, NRPC_ABORTED);
    assert_int_equal(m->failed[1]->count, 1);
    assert_int_equal(m->n_latency, r->n_latency_bounds_us + 1);
    uint64_t ended = 0;
    for (size_t i = 0; i < m->n_latency; i++)
        ended += m->latency[i];
    assert_int_equal(ended, 8);
    for (size_t i = 1; i < r->n_latency_bounds_us; i++)
        assert_true(r->latency_bounds_us[i - 1] < r->latency_bounds_us[i]);
    m = find(r, "/sample.v1.Other/Make");
    assert_int_equal(m->started, 0);
    assert_int_equal(m->n_failed, 0);
    protobuf_c_message_free_unpacked(&r->base, NULL);
}

static void ignore(void *user, const struct nrpc_status *st, const Sample__V1__Thing *r)
{
    (void)user;
    (void)st;
    (void)r;
}

static void test_running(void **state)
{
    (void)state;
    Sample__V1__Thing thing = SAMPLE__V1__THING__INIT;
    sample_v1_sample_park_async(f.channel, NULL, &thing, ignore, NULL);
    struct nrpc_call *call = fixture_parked(&f);
    Nrpc__V1__MethodStatsResponse *r = list_methods();
    assert_int_equal(find(r, "/sample.v1.Sample/Park")->running, 1);
    assert_int_equal(find(r, "/sample.v1.Sample/Park")->ok, 0);
    assert_int_equal(find(r, "/nrpc.v1.Channelz/ListMethods")->running, 1);
    protobuf_c_message_free_unpacked(&r->base, NULL);
    sample_v1_sample_park_reply(call, &thing);
    r = list_methods();
    assert_int_equal(find(r, "/sample.v1.Sample/Park")->running, 0);
    assert_int_equal(find(r, "/sample.v1.Sample/Park")->ok, 1);
    protobuf_c_message_free_unpacked(&r->base, NULL);
}

static void test_server(void **state)
{
    (void)state;
    Nrpc__V1__ServerStatsRequest q = NRPC__V1__SERVER_STATS_REQUEST__INIT;
    Nrpc__V1__ServerStatsResponse *r;
    struct nrpc_status st;
    assert_int_equal(call_make(0), NRPC_OK);
    assert_int_equal(call_make(NRPC_ABORTED), NRPC_ABORTED);
    assert_int_equal(nrpc_v1_channelz_get_server(f.channel, NULL, &q, &r, &st), NRPC_OK);
    assert_int_equal(r->started, 3);
    assert_int_equal(r->answered, 2);
    assert_int_equal(r->unanswered, 1); // this one
    assert_int_equal(r->refused, 0);
    assert_int_equal(r->bad_frames, 0);
    assert_int_equal(r->connections, f.is_local ? 0 : 1);
    protobuf_c_message_free_unpacked(&r->base, NULL);
}

static Nrpc__V1__ConnectionStatsResponse *list_connections(uint32_t after, uint32_t limit)
{
    Nrpc__V1__ConnectionStatsRequest q = NRPC__V1__CONNECTION_STATS_REQUEST__INIT;
    Nrpc__V1__ConnectionStatsResponse *r;
    struct nrpc_status st;
    q.after = after;
    q.limit = limit;
    assert_int_equal(nrpc_v1_channelz_list_connections(f.channel, NULL, &q, &r, &st), NRPC_OK);
    return r;
}

static void test_connections(void **state)
{
    (void)state;
    enum { MORE = 4 };
    struct nrpc_channel *more[MORE];
    Sample__V1__Thing thing = SAMPLE__V1__THING__INIT;
    struct nrpc_status st;
    for (size_t i = 0; i < MORE; i++) {
        more[i] = fixture_connect(&f);
        assert_int_equal(sample_v1_sample_make(more[i], NULL, &thing, NULL, &st), NRPC_OK);
    }
    size_t seen = 0, pages = 0;
    uint32_t after = 0;
    for (bool go_on = true; go_on; pages++) {
        Nrpc__V1__ConnectionStatsResponse *r = list_connections(after, 2);
        assert_true(r->n_connections == 2 || !r->more);
        for (size_t i = 0; i < r->n_connections; i++, seen++) {
            assert_true(r->connections[i]->connection > after);
            after = r->connections[i]->connection;
            assert_true(r->connections[i]->age_ms >= r->connections[i]->silent_ms);
            assert_true(f.is_local || !strncmp(r->connections[i]->peer, "127.0.0.1:", 10));
            assert_true(f.is_local || r->connections[i]->frames_received > 0);
        }
        go_on = r->more;
        protobuf_c_message_free_unpacked(&r->base, NULL);
    }
    assert_int_equal(seen, MORE + 1);
    assert_int_equal(pages, 3);
    Nrpc__V1__ConnectionStatsResponse *r = list_connections(0, UINT32_MAX);
    assert_int_equal(r->n_connections, MORE + 1);
    assert_false(r->more);
    protobuf_c_message_free_unpacked(&r->base, NULL);
    r = list_connections(after, 0);
    assert_int_equal(r->n_connections, 0);
    protobuf_c_message_free_unpacked(&r->base, NULL);
    for (size_t i = 0; i < MORE; i++)
        nrpc_channel_close(more[i]);
}

int main(void)
{
    static char local;
#define TCP(test)                                                                                            \
    {                                                                                                        \
#test " tcp", test, setup, teardown, NULL                                                            \
    }
#define LOCAL(test)                                                                                          \
    {                                                                                                        \
#test " local", test, setup, teardown, &local                                                        \
    }
    const struct CMUnitTest tests[] = {
        TCP(test_methods), LOCAL(test_methods), TCP(test_running),     LOCAL(test_running),
        TCP(test_server),  LOCAL(test_server),  TCP(test_connections), LOCAL(test_connections),
    };
    return cmocka_run_group_tests_name("services/channelz", tests, NULL, NULL);
}
