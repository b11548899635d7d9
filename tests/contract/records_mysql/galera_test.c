// SPDX-License-Identifier: Apache-2.0
// galera_test.c: the MySQL record store on the nodes of a Galera cluster: it keeps the contract on one of
// them, and processes on different nodes are to each other as on one server.
#include "admin.h"
#include "base/clock.h"
#include "contract/records_fixture.h"
#include "together.h"

#include <pthread.h>
#include <stdio.h>

enum { NODES = 3, TASKS = 60, READS = 300 };

static struct server *nodes[NODES];
static struct records *stores[NODES]; // each on a node of its own
static struct nrpc_status st;

// ---- the contract

static struct records *create(void)
{
    admin_empty(nodes[0]);
    admin_run(nodes[1], "SELECT 1");
    return admin_open(nodes[1]);
}

static struct records *reopen(struct records *records)
{
    records->ops->close(records);
    return admin_open(nodes[2]);
}

static void destroy(struct records *records)
{
    records->ops->close(records);
}

// ---- several nodes

static void empty(void)
{
    admin_empty(nodes[0]);
    for (size_t i = 0; i < NODES; i++)
        admin_run(nodes[i], "SELECT 1"); // the new database has come there
}

static int set_up(void **state)
{
    (void)state;
    empty();
    for (size_t i = 0; i < NODES; i++)
        stores[i] = admin_open(nodes[i]);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < NODES; i++)
        stores[i]->ops->close(stores[i]);
    return 0;
}

static void must(int code)
{
    if (code)
        fail_msg("%s", st.text);
}

static uint64_t create_one(struct records *r, const char *key)
{
    struct records_new_task t = records_seed_task("x", key, 1);
    must(r->ops->create(r, &t, 1, &st));
    return t.id;
}

static void *migrate(void *arg)
{
    struct nrpc_status *own = arg;
    static _Atomic size_t next;
    if (!records_mysql_migrate(server_url(nodes[next++ % NODES]), own))
        *own = (struct nrpc_status){0};
    return NULL;
}

static void migrations_on_all_nodes_at_once_are_one(void **state)
{
    (void)state;
    for (int round = 0; round < 3; round++) {
        pthread_t threads[NODES];
        struct nrpc_status own[NODES] = {{0}};
        empty();
        for (size_t i = 0; i < NODES; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, migrate, &own[i]), 0);
        for (size_t i = 0; i < NODES; i++)
            pthread_join(threads[i], NULL);
        for (size_t i = 0; i < NODES; i++)
            assert_string_equal(own[i].text, "");
        assert_int_equal(admin_number(nodes[0], "SELECT COUNT(*) FROM dtf.tbl_schema WHERE number > 0"),
                         admin_number(nodes[1], "SELECT MAX(number) FROM dtf.tbl_schema"));
        assert_int_equal(admin_number(nodes[2], "SELECT SUM(next_id) FROM dtf.tbl_counter"), 2);
    }
}

// What one process was acknowledged another one sees, over whatever node.
static void a_read_follows_a_write_of_another_node(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 0);
    for (int i = 0; i < READS; i++) {
        struct records *writer = stores[i % NODES], *reader = stores[(i + 1) % NODES];
        struct records_task t;
        struct records_event *events;
        size_t count;
        uint64_t first_kept;
        char key[16];
        snprintf(key, sizeof key, "key-%d", i);
        uint64_t id = create_one(writer, key);
        assert_int_equal(id, i + 1);
        must(reader->ops->get(reader, id, &a, &t, &st));
        must(reader->ops->events(reader, (uint64_t)i, 0, 10, &a, &events, &count, &first_kept, &st));
        assert_int_equal(count, 1);
        assert_int_equal(events[0].task, id);
        struct records_new_task again = records_seed_task("x", key, 1);
        must(reader->ops->create(reader, &again, 1, &st));
        assert_true(again.existed);
        assert_int_equal(again.id, id);
        arena_reset(&a);
    }
    arena_fini(&a);
}

// ---- what row locks do on one server

static pthread_barrier_t both;

// Ends each task as soon as its number of failures is what the end counts, or was to be.
static void *end_all(void *arg)
{
    struct nrpc_status *own = arg;
    for (uint64_t id = 1; id <= TASKS; id++) {
        static const struct model_counters one = {.generated = 1, .failed = 1}, none = {.generated = 1};
        struct records_change c = {
            .task = id, .event = MODEL_FINISH_FAILED, .now_ms = 2, .with_failures = true, .counters = &none};
        pthread_barrier_wait(&both);
        int code = stores[0]->ops->change(stores[0], &c, 1, own);
        if (!code && c.code == NRPC_ABORTED) {
            c.counters = &one;
            code = stores[0]->ops->change(stores[0], &c, 1, own);
        }
        if (code || c.code)
            status_set(own, NRPC_INTERNAL, "task %d did not end: %d, %d", (int)id, code, c.code);
        else
            *own = (struct nrpc_status){0};
    }
    return NULL;
}

static void *add_to_all(void *arg)
{
    struct nrpc_status *own = arg;
    for (uint64_t id = 1; id <= TASKS; id++) {
        struct records *r = stores[1];
        const struct records_failure f = {.task = id, .seq = 1, .attempt = 1, .kind = MODEL_FAILURE};
        const struct records_resume p = {.task = id, .made = 1, .counters = {.generated = 1}};
        const struct records_blob packed = {"x", 1};
        int code = NRPC_OK;
        pthread_barrier_wait(&both);
        switch (id % 3) {
        case 0:
            code = r->ops->put_failures(r, &f, 1, false, own);
            break;
        case 1:
            code = r->ops->save_resumes(r, &p, 1, own);
            break;
        default:
            code = r->ops->put_fed(r, id, 0, 1, false, packed, own);
        }
        if (code && code != NRPC_NOT_FOUND)
            return NULL;
        *own = (struct nrpc_status){0};
    }
    return NULL;
}

static void nothing_passes_by_the_end_of_a_task(void **state)
{
    (void)state;
    pthread_t threads[2];
    struct nrpc_status own[2] = {{0}};
    for (int i = 0; i < TASKS; i++)
        create_one(stores[i % NODES], NULL);
    pthread_barrier_init(&both, NULL, 2);
    assert_int_equal(pthread_create(&threads[0], NULL, end_all, &own[0]), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, add_to_all, &own[1]), 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        assert_string_equal(own[i].text, "");
    }
    pthread_barrier_destroy(&both);
    assert_int_equal(admin_number(nodes[2], "SELECT COUNT(*) FROM dtf.tbl_task WHERE ended = 1"), TASKS);
    assert_int_equal(admin_number(nodes[2], "SELECT COUNT(*) FROM dtf.tbl_fed"), 0);
    assert_int_equal(admin_number(nodes[2], "SELECT COUNT(*) FROM dtf.tbl_resume_point"), 0);
    assert_int_equal(admin_number(nodes[2], "SELECT COUNT(*) FROM dtf.tbl_task t WHERE failed <> "
                                            "(SELECT COUNT(*) FROM dtf.tbl_task_failure WHERE task = t.id)"),
                     0);
}

// ---- what it costs

static int64_t time_gets(struct records *r)
{
    struct arena a;
    struct records_task t;
    arena_init(&a, 0);
    int64_t begin_us = clock_mono_us();
    for (int i = 0; i < READS; i++) {
        must(r->ops->get(r, 1, &a, &t, &st));
        arena_reset(&a);
    }
    arena_fini(&a);
    return (clock_mono_us() - begin_us) / READS;
}

static void reads_of_an_idle_cluster_are_quick(void **state)
{
    (void)state;
    create_one(stores[0], NULL);
    int64_t us = time_gets(stores[1]);
    print_message("a read takes %d us\n", (int)us);
    assert_true(us < 20000);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    static const struct records_contract contract = {"records in a Galera cluster", create, reopen, destroy};
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(migrations_on_all_nodes_at_once_are_one),
        TEST(a_read_follows_a_write_of_another_node),
        TEST(nothing_passes_by_the_end_of_a_task),
        TEST(reads_of_an_idle_cluster_are_quick),
    };
    if (!server_galera_is_there())
        return 77;
    server_galera(nodes, NODES);
    int failed = cmocka_run_group_tests_name("nodes of a cluster", tests, NULL, NULL);
    failed += together_run(nodes, NODES);
    failed += records_contract_run(&contract);
    return failed;
}
