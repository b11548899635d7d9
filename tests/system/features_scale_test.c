// SPDX-License-Identifier: Apache-2.0
// features_scale_test.c: many tasks: ten thousand of one subtask; a thousand of three groups that share two
// nodes by quota.
#include "system/cluster.h"

#include "base/mem.h"
#include "dtf/v1/task_service.nrpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { SMALL_TASKS = 10000, GROUPS = 3, GROUP_TASKS = 334, GROUP_SUBTASKS = 80, LIST_MAX = 20000 };

static struct cluster c;
static struct dtf_task_info infos[LIST_MAX];

static int setup(void **state)
{
    (void)state;
    cluster_start(&c);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    cluster_stop(&c);
    return 0;
}

static size_t list(int status)
{
    struct nrpc_status st;
    size_t count = LIST_MAX;
    assert_int_equal(dtf_task_list(c.client, status, 0, infos, &count, &st), NRPC_OK);
    return count;
}

// ---- many calls at once

static _Atomic int created, failed;

static void create_done(void *user, const struct nrpc_status *st, const Dtf__V1__CreateResponse *response)
{
    (void)user;
    (void)response;
    atomic_fetch_add(st->code ? &failed : &created, 1);
}

static void create_async(struct nrpc_channel *ch, const char *group, uint32_t count, uint32_t run_ms)
{
    struct gate_param param = {.count = count, .run_ms = run_ms, .quiet = 1};
    Dtf__V1__TaskParam p = DTF__V1__TASK_PARAM__INIT;
    Dtf__V1__CreateRequest r = DTF__V1__CREATE_REQUEST__INIT;
    struct nrpc_call_options o = {.timeout_ms = PATIENCE_MS};
    p.type = "gate";
    snprintf(param.folder, sizeof param.folder, "%s", c.folder);
    p.resource_group = (char *)group;
    p.type_param = (ProtobufCBinaryData){sizeof param, (uint8_t *)&param};
    r.param = &p;
    dtf_v1_task_service_create_async(ch, &o, &r, create_done, NULL);
}

static struct nrpc_channel *open_channel(void)
{
    struct nrpc_channel *ch;
    struct nrpc_channel_options o = {.max_waiting = 20000};
    struct nrpc_status st;
    assert_int_equal(nrpc_channel_open(c.listen, &o, &ch, &st), NRPC_OK);
    atomic_store(&created, 0);
    atomic_store(&failed, 0);
    return ch;
}

static void test_small_tasks(void **state)
{
    (void)state;
    int64_t start_ms = cluster_now_ms();
    struct nrpc_channel *ch = open_channel();
    cluster_start_node(&c, 0, "2", "1000");
    for (int i = 0; i < SMALL_TASKS; i++)
        create_async(ch, "", 1, 0);
    WAIT_FOR(atomic_load(&created) + atomic_load(&failed) == SMALL_TASKS, PATIENCE_MS);
    assert_int_equal(atomic_load(&failed), 0);
    nrpc_channel_close(ch);
    WAIT_FOR(list(DTF_TASK_RUNNING) == 0, 3 * PATIENCE_MS); // under a thread sanitizer
    assert_int_equal(list(0), SMALL_TASKS);
    for (size_t i = 0; i < SMALL_TASKS; i++) {
        assert_int_equal(infos[i].status, DTF_TASK_COMPLETED);
        assert_int_equal(infos[i].generated, 1);
        assert_int_equal(infos[i].succeeded, 1);
        assert_int_equal(infos[i].running + infos[i].queued + infos[i].retried + infos[i].redispatched, 0);
    }
    print_message("%d tasks of one subtask each: %lld ms\n", SMALL_TASKS,
                  (long long)(cluster_now_ms() - start_ms));
}

// ---- shares

static const char *const groups[GROUPS] = {"g100", "g200", "g400"};
static const uint32_t quotas[GROUPS] = {100, 200, 400};

struct share {
    uint64_t settled[GROUPS];
    size_t backlogged[GROUPS]; // tasks that still have something waiting
    size_t begun[GROUPS];      // tasks of which something was settled
};

static void look(struct share *s)
{
    memset(s, 0, sizeof *s);
    size_t count = list(0);
    for (size_t i = 0; i < count; i++)
        for (size_t g = 0; g < GROUPS; g++)
            if (!strcmp(infos[i].resource_group, groups[g])) {
                s->settled[g] += infos[i].succeeded;
                s->backlogged[g] += infos[i].queued > 0;
                s->begun[g] += infos[i].succeeded > 0;
            }
}

static uint64_t total(const struct share *s)
{
    return s->settled[0] + s->settled[1] + s->settled[2];
}

static bool nobody_starves(const struct share *s)
{
    return s->begun[0] == GROUP_TASKS && s->begun[1] == GROUP_TASKS && s->begun[2] == GROUP_TASKS;
}

static void check_shares(const struct share *before, const struct share *after)
{
    uint64_t all = total(after) - total(before);
    for (size_t g = 0; g < GROUPS; g++) {
        double got = (double)(after->settled[g] - before->settled[g]) / (double)all, share = quotas[g] / 700.;
        print_message("%s: %.3f of %llu settled subtasks (its quota: %.3f); %zu of its tasks have begun\n",
                      groups[g], got, (unsigned long long)all, share, after->begun[g]);
        assert_true(after->backlogged[g] > 0); // or it could not have had more
        assert_true(got > share * 0.75 && got < share * 1.25);
    }
}

static void test_shares(void **state)
{
    (void)state;
    struct nrpc_status st;
    struct share before, after;
    struct nrpc_channel *ch = open_channel();
    for (size_t g = 0; g < GROUPS; g++)
        assert_int_equal(dtf_group_set(c.client, groups[g], quotas[g], &st), NRPC_OK);
    for (int i = 0; i < GROUP_TASKS; i++)
        for (size_t g = 0; g < GROUPS; g++)
            create_async(ch, groups[g], GROUP_SUBTASKS, 2);
    WAIT_FOR(atomic_load(&created) + atomic_load(&failed) == GROUPS * GROUP_TASKS, PATIENCE_MS);
    assert_int_equal(atomic_load(&failed), 0);
    nrpc_channel_close(ch);
    WAIT_FOR((list(0), infos[0].generation_done && infos[GROUPS * GROUP_TASKS - 1].generation_done),
             PATIENCE_MS);
    cluster_start_node(&c, 0, "4", "1000");
    cluster_start_node(&c, 1, "4", "1000");
    WAIT_FOR((look(&before), total(&before) > 2000), PATIENCE_MS); // what it costs is known by then
    WAIT_FOR((look(&after), total(&after) > total(&before) + 12000), PATIENCE_MS);
    check_shares(&before, &after);
    WAIT_FOR((look(&after), nobody_starves(&after)), PATIENCE_MS);
    print_message("when every task had begun, %llu subtasks were settled\n",
                  (unsigned long long)total(&after));
    assert_true(after.backlogged[2] > 0); // the poor did not have to wait for the rich to end
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(small_tasks), TEST(shares)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
