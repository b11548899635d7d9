// SPDX-License-Identifier: Apache-2.0
// pool_test.c: pools and strands: order within a key, keys side by side, what a blocked job holds up, what
// destroying waits for.
#include "base/pool.h"

#include "base/clock.h"
#include "base/mem.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { KEYS = 8, JOBS = 4000, PATIENCE_MS = 20000 };

static bool becomes(_Atomic int *value, int wanted)
{
    for (int64_t until_ms = clock_now_ms() + PATIENCE_MS; clock_now_ms() < until_ms; poll(NULL, 0, 1))
        if (atomic_load(value) == wanted)
            return true;
    return false;
}

// ---- order

struct key_watch {
    _Atomic int inside;
    uint64_t next;
    bool out_of_order, at_once;
};

struct ordered {
    struct pool_job job; // first member
    struct key_watch *watch;
    uint64_t number;
};

static _Atomic int ran;

static void run_ordered(struct pool_job *job)
{
    struct ordered *o = (struct ordered *)job;
    o->watch->at_once |= atomic_fetch_add(&o->watch->inside, 1) != 0;
    o->watch->out_of_order |= o->watch->next++ != o->number;
    atomic_fetch_sub(&o->watch->inside, 1);
    free(o);
    atomic_fetch_add(&ran, 1);
}

static void post_ordered(struct strands *s, struct key_watch *watches, uint64_t number)
{
    struct ordered *o = mem_alloc(sizeof *o);
    uint64_t key = number % KEYS;
    *o = (struct ordered){{NULL, run_ordered}, &watches[key], number / KEYS};
    strands_post(s, key << 40, &o->job);
}

static void test_order(void **state)
{
    (void)state;
    static struct key_watch watches[KEYS];
    struct pool *p = pool_create("test", 4);
    struct strands *s = strands_create(p);
    atomic_store(&ran, 0);
    for (uint64_t i = 0; i < JOBS; i++)
        post_ordered(s, watches, i);
    strands_destroy(s); // waits for them all
    assert_int_equal(atomic_load(&ran), JOBS);
    pool_destroy(p);
    for (int k = 0; k < KEYS; k++) {
        assert_int_equal(watches[k].next, JOBS / KEYS);
        assert_false(watches[k].out_of_order);
        assert_false(watches[k].at_once);
    }
}

// ---- jobs that block

struct gate {
    pthread_mutex_t mu;
    pthread_cond_t opened;
    bool open;
    _Atomic int inside, most, done;
};

struct blocked {
    struct pool_job job; // first member
    struct gate *gate;
};

static void gate_init(struct gate *g)
{
    *g = (struct gate){0};
    pthread_mutex_init(&g->mu, NULL);
    pthread_cond_init(&g->opened, NULL);
}

static void gate_open(struct gate *g)
{
    pthread_mutex_lock(&g->mu);
    g->open = true;
    pthread_cond_broadcast(&g->opened);
    pthread_mutex_unlock(&g->mu);
}

static void run_blocked(struct pool_job *job)
{
    struct gate *g = ((struct blocked *)job)->gate;
    pthread_mutex_lock(&g->mu);
    int inside = atomic_fetch_add(&g->inside, 1) + 1;
    if (inside > atomic_load(&g->most))
        atomic_store(&g->most, inside);
    while (!g->open)
        pthread_cond_wait(&g->opened, &g->mu);
    atomic_fetch_sub(&g->inside, 1);
    pthread_mutex_unlock(&g->mu);
    atomic_fetch_add(&g->done, 1);
    free(job);
}

static struct pool_job *blocked_job(struct gate *g)
{
    struct blocked *b = mem_alloc(sizeof *b);
    *b = (struct blocked){{NULL, run_blocked}, g};
    return &b->job;
}

static void test_blocked_key(void **state)
{
    (void)state;
    struct gate shut, open;
    gate_init(&shut);
    gate_init(&open);
    gate_open(&open);
    struct pool *p = pool_create("test", 3);
    struct strands *s = strands_create(p);
    for (int i = 0; i < 5; i++)
        strands_post(s, 1, blocked_job(&shut));
    assert_true(becomes(&shut.inside, 1));
    for (uint64_t i = 0; i < 100; i++)
        strands_post(s, 2 + i % 10, blocked_job(&open));
    assert_true(becomes(&open.done, 100));
    assert_int_equal(atomic_load(&shut.most), 1);
    assert_int_equal(strands_active(s), 1);
    gate_open(&shut);
    strands_destroy(s);
    assert_int_equal(atomic_load(&shut.done), 5);
    pool_destroy(p);
}

static void test_side_by_side(void **state)
{
    (void)state;
    struct gate g;
    gate_init(&g);
    struct pool *p = pool_create("test", 3);
    struct strands *s = strands_create(p);
    for (uint64_t key = 1; key <= 10; key++)
        strands_post(s, key, blocked_job(&g));
    assert_true(becomes(&g.inside, 3)); // as many as there are threads
    assert_int_equal(strands_active(s), 10);
    gate_open(&g);
    strands_destroy(s);
    assert_int_equal(atomic_load(&g.done), 10);
    assert_int_equal(atomic_load(&g.most), 3);
    pool_destroy(p);
}

static void test_destroy_runs_all(void **state)
{
    (void)state;
    struct gate g;
    gate_init(&g);
    struct pool *p = pool_create("a name that is too long for a thread", 2);
    for (int i = 0; i < 50; i++)
        pool_post(p, blocked_job(&g));
    assert_true(becomes(&g.inside, 2));
    gate_open(&g);
    pool_destroy(p);
    assert_int_equal(atomic_load(&g.done), 50);
}

// Threads that went idle are found again, one for each of two posts in a row.
static void test_idle_threads(void **state)
{
    (void)state;
    struct pool *p = pool_create("test", 2);
    for (int round = 0; round < 200; round++) {
        struct gate g;
        gate_init(&g);
        pool_post(p, blocked_job(&g));
        pool_post(p, blocked_job(&g));
        assert_true(becomes(&g.inside, 2));
        gate_open(&g);
        assert_true(becomes(&g.done, 2));
    }
    pool_destroy(p);
}

// ---- without threads

static char order[64];
static size_t order_size;

struct letter {
    struct pool_job job; // first member
    char letter;
};

static void run_letter(struct pool_job *job)
{
    order[order_size++] = ((struct letter *)job)->letter;
    free(job);
}

static struct pool_job *letter_job(char letter)
{
    struct letter *l = mem_alloc(sizeof *l);
    *l = (struct letter){{NULL, run_letter}, letter};
    return &l->job;
}

static void test_turns(void **state)
{
    (void)state;
    struct pool *p = pool_create("test", 0);
    struct strands *s = strands_create(p);
    order_size = 0;
    for (int i = 0; i < 20; i++)
        strands_post(s, 1, letter_job('a'));
    strands_post(s, 2, letter_job('b'));
    assert_int_equal(order_size, 0); // nothing runs by itself
    assert_int_equal(strands_active(s), 2);
    assert_true(pool_run_all(p) > 0);
    order[order_size] = 0;
    assert_string_equal(order, "aaaaaaaaaaaaaaaabaaaa"); // the many do not hold up the one for long
    assert_int_equal(strands_active(s), 0);
    strands_post(s, 1, letter_job('c'));
    strands_destroy(s);
    assert_int_equal(order_size, 22);
    pool_post(p, letter_job('d'));
    pool_destroy(p);
    assert_int_equal(order_size, 23);
}

static void test_null(void **state)
{
    (void)state;
    strands_destroy(NULL);
    pool_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order),        cmocka_unit_test(test_blocked_key),
        cmocka_unit_test(test_side_by_side), cmocka_unit_test(test_destroy_runs_all),
        cmocka_unit_test(test_idle_threads), cmocka_unit_test(test_turns),
        cmocka_unit_test(test_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
