// SPDX-License-Identifier: Apache-2.0
// together.c: several callers and processes on one MySQL record store: numbers without gaps, one task a
// key, history that only grows at its end.
#include "together.h"

#include "admin.h"
#include "contract/records_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 8, ROUNDS = 60, STORES = 3 };

static struct server *const *servers;
static size_t server_count;
static struct server *server;          // the first
static struct records *stores[STORES]; // as of several processes, on several nodes if there are

static int set_up(void **state)
{
    (void)state;
    admin_empty(server);
    for (size_t i = 0; i < STORES; i++) {
        admin_run(servers[i % server_count], "SELECT 1"); // the new database has come there
        stores[i] = admin_open(servers[i % server_count]);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (int i = 0; i < STORES; i++)
        stores[i]->ops->close(stores[i]);
    return 0;
}

struct caller {
    pthread_t thread;
    int number;
    char problem[300];
};

static void run_callers(void *(*run)(void *), struct caller *callers)
{
    for (int i = 0; i < THREADS; i++) {
        callers[i] = (struct caller){.number = i};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, run, &callers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(callers[i].thread, NULL);
}

// When no thread runs any more: a test that fails ends at once, and closes the stores.
static void assert_no_problem(const struct caller *callers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_string_equal(callers[i].problem, "");
}

static bool failed(struct caller *c, int code, const struct nrpc_status *st)
{
    if (code)
        snprintf(c->problem, sizeof c->problem, "%s", st->text);
    return code != 0;
}

static void *create_and_change(void *arg)
{
    struct caller *c = arg;
    struct records *r = stores[c->number % STORES];
    for (int i = 0; i < ROUNDS; i++) {
        struct nrpc_status st;
        struct records_new_task t[2] = {records_seed_task("a", NULL, 1), records_seed_task("b", NULL, 1)};
        if (failed(c, r->ops->create(r, t, LENGTH(t), &st), &st))
            break;
        struct records_change ends[] = {
            {.task = t[1].id, .event = MODEL_FINISH_COMPLETED, .now_ms = 2},
            {.task = t[0].id, .event = MODEL_PAUSE, .now_ms = 2},
            {.task = 1, .event = i % 2 ? MODEL_PAUSE : MODEL_RESUME, .now_ms = 2}};
        if (failed(c, r->ops->change(r, ends, LENGTH(ends), &st), &st))
            break;
    }
    return NULL;
}

static atomic_bool over;

// Follows the history: every number must come, one after the other.
static void *follow(void *arg)
{
    struct caller *c = arg;
    struct arena a;
    uint64_t after = 0;
    bool last = false;
    arena_init(&a, 0);
    while (!*c->problem && !last) {
        struct nrpc_status st;
        struct records_event *events;
        size_t count;
        uint64_t first_kept;
        last = atomic_load(&over);
        arena_reset(&a);
        if (failed(c,
                   stores[1]->ops->events(stores[1], after, 0, 1000, &a, &events, &count, &first_kept, &st),
                   &st))
            break;
        for (size_t i = 0; i < count && !*c->problem; i++)
            if (events[i].sequence != ++after)
                snprintf(c->problem, sizeof c->problem, "event %llu came after %llu",
                         (unsigned long long)events[i].sequence, (unsigned long long)after - 1);
        last = last && !count;
    }
    c->number = (int)after;
    arena_fini(&a);
    return NULL;
}

static void numbers_have_no_gaps_and_come_in_order(void **state)
{
    (void)state;
    struct caller callers[THREADS], reader = {.number = 0};
    atomic_store(&over, false);
    assert_int_equal(pthread_create(&reader.thread, NULL, follow, &reader), 0);
    run_callers(create_and_change, callers);
    atomic_store(&over, true);
    pthread_join(reader.thread, NULL);
    assert_no_problem(callers, THREADS);
    assert_no_problem(&reader, 1);
    assert_int_equal(admin_number(server, "SELECT COUNT(*) FROM dtf.tbl_task"), 2 * THREADS * ROUNDS);
    assert_int_equal(admin_number(server, "SELECT MAX(id) FROM dtf.tbl_task"), 2 * THREADS * ROUNDS);
    assert_int_equal(admin_number(server, "SELECT MAX(sequence) FROM dtf.tbl_task_event"), reader.number);
    assert_int_equal(admin_number(server, "SELECT COUNT(*) FROM dtf.tbl_task_event"), reader.number);
}

static atomic_int created;

static void *create_with_keys(void *arg)
{
    struct caller *c = arg;
    struct records *r = stores[c->number % STORES];
    for (int i = 0; i < ROUNDS; i++) {
        struct nrpc_status st;
        char key[2][16];
        snprintf(key[0], sizeof key[0], "key-%d", i);
        snprintf(key[1], sizeof key[1], "key-%d", (i + 7 * c->number) % ROUNDS);
        struct records_new_task t[2] = {records_seed_task("a", key[0], 1), records_seed_task("b", key[1], 1)};
        if (failed(c, r->ops->create(r, t, LENGTH(t), &st), &st))
            break;
        atomic_fetch_add(&created, !t[0].existed + !t[1].existed);
    }
    return NULL;
}

static void a_key_is_one_task_whoever_asks(void **state)
{
    (void)state;
    struct caller callers[THREADS];
    atomic_store(&created, 0);
    run_callers(create_with_keys, callers);
    assert_no_problem(callers, THREADS);
    assert_int_equal(atomic_load(&created), ROUNDS);
    assert_int_equal(admin_number(server, "SELECT COUNT(*) FROM dtf.tbl_task"), ROUNDS);
    assert_int_equal(admin_number(server, "SELECT MAX(id) FROM dtf.tbl_task"), ROUNDS);
    assert_int_equal(admin_number(server, "SELECT MAX(sequence) FROM dtf.tbl_task_event"), ROUNDS);
}

static uint64_t firsts[THREADS][ROUNDS];

static void *take_ids(void *arg)
{
    struct caller *c = arg;
    struct records *r = stores[c->number % STORES];
    struct nrpc_status st;
    for (int i = 0; i < ROUNDS; i++)
        if (failed(c, r->ops->next_ids(r, "subtask", 10, &firsts[c->number][i], &st), &st))
            break;
    return NULL;
}

static void blocks_of_ids_are_taken_once(void **state)
{
    (void)state;
    static bool seen[THREADS * ROUNDS];
    struct caller callers[THREADS];
    run_callers(take_ids, callers);
    assert_no_problem(callers, THREADS);
    for (int i = 0; i < THREADS; i++)
        for (int k = 0; k < ROUNDS; k++) {
            uint64_t block = firsts[i][k] / 10;
            assert_int_equal(firsts[i][k] % 10, 1);
            assert_true(block < LENGTH(seen) && !seen[block]);
            seen[block] = true;
        }
}

static void *trim_all(void *arg)
{
    struct caller *c = arg;
    struct records *r = stores[c->number % STORES];
    struct nrpc_status st;
    size_t removed = 1;
    while (removed && !failed(c, r->ops->trim(r, 0, 100, UINT64_MAX, 7, &removed, &st), &st))
        ;
    return NULL;
}

static void trims_at_once_forget_no_more_than_one_would(void **state)
{
    (void)state;
    struct caller callers[THREADS];
    run_callers(create_and_change, callers);
    assert_no_problem(callers, THREADS);
    run_callers(trim_all, callers);
    assert_no_problem(callers, THREADS);
    assert_int_equal(admin_number(server, "SELECT COUNT(*) FROM dtf.tbl_task WHERE task_status > 3"), 100);
    assert_int_equal(admin_number(server, "SELECT COUNT(*) FROM dtf.tbl_task WHERE task_status <= 3"),
                     THREADS * ROUNDS);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int together_run(struct server *const *all, size_t count)
{
    static const struct CMUnitTest tests[] = {
        TEST(numbers_have_no_gaps_and_come_in_order),
        TEST(a_key_is_one_task_whoever_asks),
        TEST(blocks_of_ids_are_taken_once),
        TEST(trims_at_once_forget_no_more_than_one_would),
    };
    servers = all;
    server_count = count;
    server = all[0];
    return cmocka_run_group_tests_name("together", tests, NULL, NULL);
}
