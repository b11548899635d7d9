// SPDX-License-Identifier: Apache-2.0
// listings_test.c: whatever there is to list, an answer fits into a message, and the next goes on where it
// ended.
#include "lease_one.h"
#include "sim/sim.h"

#include "base/log.h"
#include "dtf.h"
#include "dtf/v1/admin.nrpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { FAILURES = 8000, MESSAGE_BYTES = 1000, NODES = 6000, TYPES_BYTES = 1500, TASKS = 1000 };

static int run(void *user, const struct dtf_subtask *s, struct dtf_execution *x, struct nrpc_status *st)
{
    (void)user;
    (void)s;
    (void)x;
    (void)st;
    return NRPC_OK;
}

static const struct dtf_executor executor = {.execute = run};
static const struct dtf_task_type lengthy = {.name = "lengthy", .executor = &executor};

static struct sim sim;

static int setup(void **state)
{
    (void)state;
    sim_open(&sim, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sim_close(&sim);
    return 0;
}

// ---- calls

struct page {
    bool done;
    int code;
    size_t count;
    uint64_t next;
    bool more;
};

static void got_results(void *user, const struct nrpc_status *st, const Dtf__V1__ResultsResponse *r)
{
    struct page *p = user;
    *p = (struct page){.done = true, .code = st->code};
    if (st->code)
        return;
    p->count = r->n_results;
    p->next = r->next;
    p->more = !r->end;
    assert_true(r->n_params == 0 || r->n_params == r->n_results);
}

static void got_list(void *user, const struct nrpc_status *st, const Dtf__V1__ListResponse *r)
{
    struct page *p = user;
    *p = (struct page){.done = true, .code = st->code};
    if (st->code)
        return;
    p->count = r->n_tasks;
    p->next = r->n_tasks ? r->tasks[r->n_tasks - 1]->id : 0;
}

static void check_page(const struct page *p)
{
    sim_settle(&sim);
    assert_true(p->done);
    assert_int_equal(p->code, NRPC_OK);
}

// ---- tests

static uint64_t create_fed(size_t count)
{
    uint64_t fed;
    struct nrpc_status st;
    struct state_subtask *subtasks = calloc(count, sizeof *subtasks);
    Dtf__V1__TaskParam p = DTF__V1__TASK_PARAM__INIT;
    p.type = "lengthy";
    p.fed = true;
    p.keep_results = true;
    p.tolerated_failures = -1;
    for (size_t i = 0; i < count; i++)
        subtasks[i] = (struct state_subtask){{"p", 1}, 1000};
    uint64_t task = sim_create(&sim, &p);
    assert_int_equal(sim.state->ops->feed(sim.state, task, 0, subtasks, count, true, &fed, &st), NRPC_OK);
    free(subtasks);
    return task;
}

// Settles all subtasks of a task as a node with much to say would.
static void fail_all(uint64_t task)
{
    char message[MESSAGE_BYTES + 1];
    memset(message, 'm', MESSAGE_BYTES);
    message[MESSAGE_BYTES] = 0;
    struct nrpc_status st;
    struct arena a;
    struct state_node n = {
        .name = "n", .host = "h", .types = "lengthy", .slots = 1, .lease_until_ms = sim_now_ms() + 1000000};
    struct state_pick pick = {task, FAILURES};
    struct state_work *w;
    uint64_t node;
    size_t count;
    arena_init(&a, 0);
    assert_int_equal(sim.state->ops->node_add(sim.state, &n, NULL, NULL, &node, &st), NRPC_OK);
    assert_int_equal(lease_one(sim.state, node, 0, sim_now_ms(), &pick, 1, NULL, NULL, &a, &w, &count, &st),
                     NRPC_OK);
    assert_int_equal(count, FAILURES);
    struct state_settle *entries = arena_calloc(&a, count * sizeof *entries);
    enum state_verdict *verdicts = arena_alloc(&a, count * sizeof *verdicts);
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct state_settle){.ref = {w[i].task, w[i].seq, w[i].attempt},
                                           .by.node = node,
                                           .kind = MODEL_FAILURE,
                                           .message = message};
    assert_int_equal(sim.state->ops->settle(sim.state, sim_now_ms(), entries, count, verdicts, &st), NRPC_OK);
    arena_fini(&a);
}

static size_t read_all(uint64_t task, bool failed_only, unsigned *pages)
{
    size_t sum = 0;
    Dtf__V1__ResultsRequest q = DTF__V1__RESULTS_REQUEST__INIT;
    struct page p = {.more = true};
    q.task_id = task;
    q.limit = 10000;
    q.failed_only = failed_only;
    for (*pages = 0; p.more && *pages < 100; ++*pages) {
        p.done = false;
        dtf_v1_task_service_results_async(sim.client, NULL, &q, got_results, &p);
        check_page(&p);
        sum += p.count;
        q.after = p.next;
    }
    return sum;
}

static void test_failures(void **state)
{
    (void)state;
    unsigned pages;
    sim.nodes[0].frozen = true;
    uint64_t task = create_fed(FAILURES);
    fail_all(task);
    sim.nodes[0].frozen = false;
    assert_int_equal(read_all(task, true, &pages), FAILURES); // while the task is closed, or from its record
    assert_true(pages > 2);
    assert_int_equal(sim_get(&sim, task).failed, FAILURES);
    assert_int_equal(read_all(task, true, &pages), FAILURES); // from its record
    assert_true(pages > 2);
    assert_int_equal(read_all(task, false, &pages), FAILURES); // kept
    assert_true(pages > 2);
}

static void test_nodes(void **state)
{
    (void)state;
    char types[TYPES_BYTES + 1];
    for (size_t i = 0; i < TYPES_BYTES; i++)
        types[i] = i % 100 == 99 ? '\n' : 't';
    types[TYPES_BYTES - 1] = 't';
    types[TYPES_BYTES] = 0;
    for (size_t i = 0; i < NODES; i++) {
        struct nrpc_status st;
        uint64_t id;
        struct state_node n = {
            .name = "n", .host = "h", .types = types, .slots = 1, .lease_until_ms = sim_now_ms() + 1000000};
        assert_int_equal(sim.state->ops->node_add(sim.state, &n, NULL, NULL, &id, &st), NRPC_OK);
    }
    size_t sum = 0, pages = 0;
    Dtf__V1__NodesRequest q = DTF__V1__NODES_REQUEST__INIT;
    for (bool more = true; more; pages++) {
        Dtf__V1__NodesResponse *r;
        struct nrpc_status st;
        assert_int_equal(dtf_v1_admin_service_nodes(sim.client, NULL, &q, &r, &st), NRPC_OK);
        for (size_t i = 0; i < r->n_nodes; i++) {
            assert_true(r->nodes[i]->id > q.after_id);
            q.after_id = r->nodes[i]->id;
        }
        sum += r->n_nodes;
        more = r->more;
        dtf__v1__nodes_response__free_unpacked(r, NULL);
    }
    assert_int_equal(sum, NODES + 1); // and the one of the simulation
    assert_true(pages > 2);
}

static void test_list(void **state)
{
    (void)state;
    char text[256];
    memset(text, 'd', sizeof text - 1);
    text[sizeof text - 1] = 0;
    Dtf__V1__TaskParam p = DTF__V1__TASK_PARAM__INIT;
    p.type = "lengthy";
    p.fed = true;
    p.description = text;
    for (int i = 0; i < TASKS; i++)
        sim_create(&sim, &p);
    size_t sum = 0;
    Dtf__V1__ListRequest q = DTF__V1__LIST_REQUEST__INIT;
    q.limit = 1000;
    for (struct page page = {.count = 1}; page.count; sum += page.count) {
        dtf_v1_task_service_list_async(sim.client, NULL, &q, got_list, &page);
        check_page(&page);
        q.before_id = page.next ? page.next : 1;
    }
    assert_int_equal(sum, TASKS);
}

// ---- a walk through all tasks

enum { WALKED = 400, SLICE_MAX = 50 };

static const struct records_ops *plain;
static struct page asked; // by somebody, while the walk is under way
static size_t slices, walked;

static int unfinished(struct records *r, uint64_t after, size_t max, struct arena *a,
                      struct records_task **out, size_t *count, struct nrpc_status *st)
{
    Dtf__V1__ListRequest q = DTF__V1__LIST_REQUEST__INIT;
    if (++slices == 1)
        dtf_v1_task_service_list_async(sim.client, NULL, &q, got_list, &asked);
    else
        assert_true(asked.done);
    assert_true(max <= SLICE_MAX);
    int code = plain->unfinished(r, after, max, a, out, count, st);
    walked += code ? 0 : *count;
    return code;
}

// Hints may have been lost: all tasks are looked at, and who asks something meanwhile is answered.
static void test_a_walk_goes_by_slices(void **state)
{
    (void)state;
    Dtf__V1__TaskParam p = DTF__V1__TASK_PARAM__INIT;
    p.type = "lengthy";
    p.fed = true;
    for (int i = 0; i < WALKED; i++)
        sim_create(&sim, &p);
    plain = sim.records->ops;
    struct records_ops wrapped = *plain;
    wrapped.unfinished = unfinished;
    slices = walked = 0;
    sim.records->ops = &wrapped;
    sim.state->watch(sim.state->watch_user, &(struct state_hint){.kind = STATE_HINT_RESYNC});
    sim_advance(&sim, 5000);
    sim.records->ops = plain;
    assert_int_equal(walked, WALKED);
    assert_true(slices > WALKED / SLICE_MAX);
}

// What is old is forgotten in slices, one soon after the other, and not so many a minute.
static void test_old_tasks_go(void **state)
{
    (void)state;
    enum { OLD = 3500 };
    struct nrpc_status st;
    struct records_task *left;
    struct arena a;
    size_t count;
    arena_init(&a, 0);
    const struct records_ops *ops = sim.records->ops;
    const int64_t long_ago_ms = sim_now_ms() - INT64_C(40) * 86400000;
    for (int i = 0; i < OLD; i++) {
        struct records_new_task t = {.name = "old", .type = "plain", .created_ms = long_ago_ms};
        struct model_counters none = {0};
        assert_int_equal(ops->create(sim.records, &t, 1, &st), NRPC_OK);
        struct records_change end = {
            .task = t.id, .event = MODEL_FINISH_COMPLETED, .now_ms = long_ago_ms, .counters = &none};
        assert_int_equal(ops->change(sim.records, &end, 1, &st), NRPC_OK);
    }
    sim_advance(&sim, 62000); // when it looks the next time, and a little
    assert_int_equal(ops->list(sim.records, 0, 0, OLD, &a, &left, &count, &st), NRPC_OK);
    assert_int_equal(count, 0);
    arena_fini(&a);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {TEST(failures), TEST(nodes), TEST(list), TEST(a_walk_goes_by_slices),
                                       TEST(old_tasks_go)};
    log_set_level(getenv("SIM_LOG") ? LOG_DEBUG : LOG_ERROR);
    if (dtf_register_task_type(&lengthy, NULL))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
