// SPDX-License-Identifier: Apache-2.0
// galera_loss_test.c: a store that knows all nodes of a Galera cluster loses the one that it uses: killed,
// silent, cut off. It goes on at another within two seconds, nothing that was acknowledged is lost or done
// twice, and numbers have no gaps.
#include "admin.h"
#include "base/clock.h"
#include "contract/records_fixture.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

enum { NODES = 3, THREADS = 4, LEFT_MS = 2000, EVICTED_MS = 1500, WITHIN_MS = 30000 };

static struct server *nodes[NODES];

static int set_up(void **state)
{
    admin_empty(nodes[0]);
    for (size_t i = 0; i < NODES; i++)
        admin_run(nodes[i], "SELECT 1"); // the new database has come there
    *state = admin_open_all(nodes, NODES);
    return 0;
}

static int tear_down(void **state)
{
    struct records *r = *state;
    r->ops->close(r);
    return 0;
}

// ---- load

static struct {
    struct records *r;
    atomic_bool over;
    atomic_int acknowledged;
    _Atomic int64_t last_ms, gap_ms; // since an acknowledgement; the longest
} load;

struct caller {
    pthread_t thread;
    int number, count;
    char problem[300];
};

static void acknowledge(void)
{
    int64_t now_ms = clock_mono_us() / 1000, gap_ms = now_ms - atomic_exchange(&load.last_ms, now_ms);
    int64_t longest = atomic_load(&load.gap_ms);
    while (gap_ms > longest && !atomic_compare_exchange_weak(&load.gap_ms, &longest, gap_ms))
        ;
    atomic_fetch_add(&load.acknowledged, 1);
}

// Creates tasks with keys, each again and again until it is acknowledged.
static void *create_stubbornly(void *arg)
{
    struct caller *c = arg;
    while (!atomic_load(&load.over) && !*c->problem) {
        struct nrpc_status own;
        char key[32];
        snprintf(key, sizeof key, "%d-%d", c->number, c->count);
        struct records_new_task t = records_seed_task("x", key, 1);
        int code = load.r->ops->create(load.r, &t, 1, &own);
        if (code && code != NRPC_UNAVAILABLE)
            snprintf(c->problem, sizeof c->problem, "%d: %s", code, own.text);
        c->count += !code;
        if (!code)
            acknowledge();
        else
            (void)poll(NULL, 0, 5); // as a caller would back off
    }
    return NULL;
}

static void wait_for_more(int n)
{
    int64_t until_ms = clock_now_ms() + WITHIN_MS;
    n += atomic_load(&load.acknowledged);
    while (atomic_load(&load.acknowledged) < n && clock_now_ms() < until_ms)
        (void)poll(NULL, 0, 1);
    assert_true(atomic_load(&load.acknowledged) >= n);
}

// Runs the load while something is done to the node in use; the longest time without an acknowledgement.
static int64_t run_load(struct records *r, void (*harm)(void), const struct server *witness)
{
    struct caller callers[THREADS];
    int total = 0;
    load.r = r;
    atomic_store(&load.over, false);
    for (int i = 0; i < THREADS; i++) {
        callers[i] = (struct caller){.number = i};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, create_stubbornly, &callers[i]), 0);
    }
    wait_for_more(50);
    atomic_store(&load.gap_ms, 0);
    harm();
    wait_for_more(50);
    atomic_store(&load.over, true);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_string_equal(callers[i].problem, "");
        total += callers[i].count;
    }
    assert_int_equal(admin_number(witness, "SELECT COUNT(*) FROM dtf.tbl_task"), total);
    assert_int_equal(admin_number(witness, "SELECT MAX(id) FROM dtf.tbl_task"), total);
    assert_int_equal(admin_number(witness, "SELECT COUNT(*) FROM dtf.tbl_task_event"), total);
    assert_int_equal(admin_number(witness, "SELECT MAX(sequence) FROM dtf.tbl_task_event"), total);
    return atomic_load(&load.gap_ms);
}

static void assert_left(struct records *r, int64_t gap_ms, const char *why)
{
    char used[40];
    snprintf(used, sizeof used, "127.0.0.1:%u is used", server_port(nodes[1]));
    admin_wait_for_words(r, used, LEFT_MS);
    admin_wait_for_words(r, why, LEFT_MS);
    print_message("nothing was acknowledged for %d ms\n", (int)gap_ms);
    assert_true(gap_ms <= LEFT_MS + EVICTED_MS); // commits wait until the cluster has put the node out
}

// The node is back: it is not gone back to, whichever of the others is used (one that gives its data to the
// first may be left meanwhile). A process that starts now takes it.
static void assert_stays(struct records *r)
{
    char text[80];
    struct nrpc_status st;
    struct records_new_task t = records_seed_task("x", NULL, 1);
    int64_t until_ms = clock_now_ms() + WITHIN_MS;
    while (admin_number(nodes[1], "SET STATEMENT wsrep_sync_wait = 0 FOR "
                                  "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS "
                                  "WHERE VARIABLE_NAME = 'wsrep_cluster_size'") < NODES) {
        if (clock_now_ms() > until_ms)
            fail_msg("the node has not come back");
        (void)poll(NULL, 0, 10);
    }
    snprintf(text, sizeof text, "127.0.0.1:%u can be used; ", server_port(nodes[0]));
    admin_wait_for_words(r, text, WITHIN_MS);
    struct records *other = admin_open_all(nodes, NODES);
    snprintf(text, sizeof text, "127.0.0.1:%u is used; 127.0.0.1:%u can be used", server_port(nodes[0]),
             server_port(nodes[1]));
    admin_wait_for_words(other, text, LEFT_MS);
    assert_int_equal(other->ops->create(other, &t, 1, &st), NRPC_OK);
    other->ops->close(other);
    assert_int_equal(r->ops->create(r, &t, 1, &st), NRPC_OK);
}

// ---- tests

static void kill_first(void)
{
    server_kill(nodes[0]);
}

static void a_node_that_is_killed_is_left(void **state)
{
    int64_t gap_ms = run_load(*state, kill_first, nodes[1]);
    assert_left(*state, gap_ms, "cannot be used: ");
    server_start(nodes[0]);
    assert_stays(*state);
}

static void pause_first(void)
{
    server_pause(nodes[0]);
}

static void a_node_that_is_silent_is_left(void **state)
{
    int64_t gap_ms = run_load(*state, pause_first, nodes[1]);
    assert_left(*state, gap_ms, "does not answer");
    server_resume(nodes[0]);
    assert_stays(*state);
}

static void cut_off_first(void)
{
    admin_run(nodes[0], "SET GLOBAL wsrep_provider_options = 'gmcast.isolate=1'");
}

static void a_node_that_is_cut_off_is_left(void **state)
{
    int64_t gap_ms = run_load(*state, cut_off_first, nodes[1]);
    print_message("nothing was acknowledged for %d ms\n", (int)gap_ms);
    admin_wait_for_words(*state, "is a node that is", WITHIN_MS);
    admin_run(nodes[0], "SET GLOBAL wsrep_provider_options = 'gmcast.isolate=0'");
    assert_stays(*state);
}

static void without_a_majority_nothing_is_acknowledged(void **state)
{
    struct records *r = *state;
    struct nrpc_status st;
    struct records_new_task t = records_seed_task("x", "k", 1);
    server_kill(nodes[1]);
    server_kill(nodes[2]);
    admin_wait_for_words(r, "no host of the database can be used", WITHIN_MS);
    assert_int_equal(r->ops->create(r, &t, 1, &st), NRPC_UNAVAILABLE);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(a_node_that_is_killed_is_left), TEST(a_node_that_is_silent_is_left),
        TEST(a_node_that_is_cut_off_is_left),
        TEST(without_a_majority_nothing_is_acknowledged), // last: the cluster does not come back
    };
    if (!server_galera_is_there())
        return 77;
    server_galera(nodes, NODES);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
