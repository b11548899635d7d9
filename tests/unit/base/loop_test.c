// SPDX-License-Identifier: Apache-2.0
// loop_test.c: when a loop steps: for mail, for a wake-up, when its time has come; and not otherwise.
#include "base/loop.h"

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

enum { PATIENCE_MS = 20000 };

struct role {
    struct loop loop;
    _Atomic int steps, mails, out_of_order;
    _Atomic int64_t next_in_ms; // what a step answers: this long from now; 0: never
    _Atomic int64_t due_ms;     // when the step wanted to run next
    _Atomic int early;          // steps before that without a reason
    int last_kind;
    _Atomic bool slow, inside;
};

static int64_t step(void *self, int64_t now_ms)
{
    struct role *r = self;
    atomic_store(&r->inside, true);
    if (atomic_load(&r->slow))
        poll(NULL, 0, 50);
    struct mail *m = loop_take(&r->loop);
    int64_t due_ms = atomic_load(&r->due_ms);
    if (!m && due_ms && now_ms < due_ms)
        atomic_fetch_add(&r->early, 1);
    for (struct mail *next; m; m = next) {
        next = m->next;
        if (m->kind != ++r->last_kind)
            atomic_fetch_add(&r->out_of_order, 1);
        free(m);
        atomic_fetch_add(&r->mails, 1);
    }
    int64_t in_ms = atomic_load(&r->next_in_ms), next_ms = in_ms ? now_ms + in_ms : CLOCK_NEVER;
    atomic_store(&r->due_ms, next_ms);
    atomic_fetch_add(&r->steps, 1);
    atomic_store(&r->inside, false);
    return next_ms;
}

static void role_start(struct role *r, int64_t next_in_ms)
{
    *r = (struct role){0};
    r->next_in_ms = next_in_ms;
    loop_init(&r->loop, "test", step, r);
    loop_start(&r->loop);
}

static void role_stop(struct role *r)
{
    loop_stop(&r->loop);
    loop_fini(&r->loop);
}

static bool reaches(_Atomic int *value, int wanted)
{
    for (int64_t until_ms = clock_now_ms() + PATIENCE_MS; clock_now_ms() < until_ms; poll(NULL, 0, 1))
        if (atomic_load(value) >= wanted)
            return true;
    return false;
}

static void post(struct role *r, int kind)
{
    struct mail *m = mem_alloc(sizeof *m);
    *m = (struct mail){NULL, kind};
    loop_post(&r->loop, m);
}

static void test_mail(void **state)
{
    (void)state;
    static struct role r;
    role_start(&r, 0);
    for (int i = 1; i <= 10000; i++)
        post(&r, i);
    assert_true(reaches(&r.mails, 10000));
    role_stop(&r);
    assert_int_equal(atomic_load(&r.mails), 10000);
    assert_int_equal(atomic_load(&r.out_of_order), 0);
}

static void test_time(void **state)
{
    (void)state;
    static struct role r;
    int64_t start_ms = clock_now_ms();
    role_start(&r, 20);
    assert_true(reaches(&r.steps, 6));
    role_stop(&r);
    assert_true(clock_now_ms() - start_ms >= 5 * 20);
    assert_int_equal(atomic_load(&r.early), 0);
}

static void test_never(void **state)
{
    (void)state;
    static struct role r;
    role_start(&r, 0);
    assert_true(reaches(&r.steps, 1)); // the first comes by itself
    poll(NULL, 0, 50);                 // time for a step that must not come
    assert_int_equal(atomic_load(&r.steps), 1);
    loop_wake(&r.loop);
    assert_true(reaches(&r.steps, 2));
    role_stop(&r);
    assert_int_equal(atomic_load(&r.steps), 2);
}

static void test_stop_waits(void **state)
{
    (void)state;
    static struct role r;
    role_start(&r, 0);
    assert_true(reaches(&r.steps, 1));
    atomic_store(&r.slow, true);
    loop_wake(&r.loop);
    for (int64_t until_ms = clock_now_ms() + PATIENCE_MS;
         !atomic_load(&r.inside) && clock_now_ms() < until_ms;)
        poll(NULL, 0, 1);
    loop_stop(&r.loop);
    assert_false(atomic_load(&r.inside));
    assert_int_equal(atomic_load(&r.steps), 2);
    loop_fini(&r.loop);
}

static void test_by_hand(void **state)
{
    (void)state;
    static struct role r;
    r = (struct role){0};
    loop_init(&r.loop, "test", step, &r);
    assert_false(loop_was_woken(&r.loop));
    assert_null(loop_take(&r.loop));
    post(&r, 1);
    post(&r, 2);
    assert_true(loop_was_woken(&r.loop));
    assert_false(loop_was_woken(&r.loop));
    assert_true(r.loop.step(r.loop.self, 5) == CLOCK_NEVER);
    assert_int_equal(atomic_load(&r.mails), 2);
    assert_int_equal(atomic_load(&r.out_of_order), 0);
    loop_wake(&r.loop);
    assert_true(loop_was_woken(&r.loop));
    role_stop(&r); // it was never started
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mail),       cmocka_unit_test(test_time),    cmocka_unit_test(test_never),
        cmocka_unit_test(test_stop_waits), cmocka_unit_test(test_by_hand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
