// SPDX-License-Identifier: Apache-2.0
// tenure_test.c: which state the tasks of a database are run with: one at a time, until nothing was heard of
// it.
#include "admin.h"
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { LEASE_MS = 2000, WITHIN_MS = 10000 };

static struct server *server;
static struct records *store;
static struct nrpc_status st;
static const char odd[] = "an odd one: ' \xff \xe2\x82";

static int setup(void **state)
{
    (void)state;
    server = server_mariadb(NULL);
    store = admin_open(server);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    store->ops->close(store);
    server_destroy(server);
    return 0;
}

static int ask(uint64_t who, uint64_t former, bool *is_taken)
{
    struct records_tenure t = {.state = who, .former = former, .who = odd, .lease_ms = LEASE_MS};
    int code = store->ops->tenure(store, &t, &st);
    *is_taken = t.is_taken;
    return code;
}

static void expect_held(uint64_t who, uint64_t former)
{
    bool is_taken;
    assert_int_equal(ask(who, former, &is_taken), NRPC_OK);
    assert_false(is_taken);
}

static void expect_refused(uint64_t who, uint64_t former)
{
    bool is_taken;
    assert_int_equal(ask(who, former, &is_taken), NRPC_FAILED_PRECONDITION);
    assert_non_null(strstr(st.text, "the tasks of this database are run with an odd one: "));
}

static void one_has_them(void **state)
{
    (void)state;
    expect_held(UINT64_MAX - 1, 0); // nobody had them before
    expect_held(UINT64_MAX - 1, 0);
    expect_refused(7, 0);
    expect_refused(7, 8);
    expect_held(9, UINT64_MAX - 1); // the same one, which has begun anew
    expect_refused(UINT64_MAX - 1, 0);
    expect_held(9, UINT64_MAX - 1);
}

static void they_are_left_in_time(void **state)
{
    (void)state;
    bool is_taken = false;
    int64_t begin_ms = clock_now_ms();
    expect_held(9, 0);
    while (ask(10, 0, &is_taken)) {
        assert_true(clock_now_ms() - begin_ms < WITHIN_MS);
        (void)usleep(20000);
    }
    assert_true(is_taken &&
                clock_now_ms() - begin_ms >= LEASE_MS / 2); // what was said just now is not written again
    expect_held(10, 0);
    expect_refused(9, 0);
}

// After a clock that was far ahead was set right, or a backup was restored.
static void a_far_date_holds_nobody_up(void **state)
{
    (void)state;
    bool is_taken;
    expect_held(10, 0);
    admin_run(server, "UPDATE dtf.tbl_state SET heard = heard + 3600000");
    assert_int_equal(ask(11, 0, &is_taken), NRPC_OK);
    assert_true(is_taken);
    admin_run(server, "UPDATE dtf.tbl_state SET heard = heard + 500"); // a little is another host's clock
    expect_refused(12, 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_has_them),
        cmocka_unit_test(they_are_left_in_time),
        cmocka_unit_test(a_far_date_holds_nobody_up),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
