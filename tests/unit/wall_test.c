// SPDX-License-Identifier: Apache-2.0
// wall_test.c: dates: the middle of three clocks, and what is done when one of them jumps.
#include "manager/wall.h"

#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define HOUR INT64_C(3600000)
#define DAY (24 * HOUR)
#define NOW INT64_C(1700000000000)

static void takes_the_middle(void **state)
{
    (void)state;
    // what the clocks are ahead of the true date: Redis', this machine's, MySQL's; the date; whether it
    // counts
    static const struct {
        int64_t redis, machine, records, date;
        bool agreed;
    } rows[] = {
        {0, 0, 0, 0, true},
        {0, 500, -500, 0, true},
        {40 * DAY, 0, 0, 0, true}, // the roles' clock is wrong, two others are not
        {-HOUR, 300, 0, 0, true},
        {0, 3 * HOUR, 0, 0, true},
        {0, 0, -DAY, 0, true},
        {0, HOUR, -HOUR, 0, false}, // all differ
        {HOUR, 2 * HOUR, 5 * HOUR, 0, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct wall w = {0};
        int64_t now = NOW + rows[i].redis;
        assert_true(wall_step(&w, now, 1000));
        wall_look(&w, now, NOW + rows[i].machine, true, NOW + rows[i].records);
        assert_int_equal(w.agreed, rows[i].agreed);
        if (w.agreed && llabs(wall_ms(&w, now) - NOW - rows[i].date) > 1000)
            fail_msg("row %zu: the date is off by %lld ms", i, (long long)(wall_ms(&w, now) - NOW));
    }
}

static void a_jump_moves_no_date(void **state)
{
    (void)state;
    struct wall w = {0};
    (void)wall_step(&w, NOW, 1000);
    wall_look(&w, NOW, NOW, true, NOW);
    assert_false(wall_step(&w, NOW + 700, 1700));
    assert_true(w.agreed);
    const int64_t jumps[] = {HOUR, -3 * HOUR, 40 * DAY, 2 * HOUR - 40 * DAY}; // they end where they began
    int64_t off = 0;
    for (size_t i = 0; i < 4; i++) {
        off += jumps[i];
        int64_t t = 2000 + 1000 * (int64_t)i;
        assert_true(wall_step(&w, NOW + t + off, t + 1000));
        assert_false(w.agreed); // nothing is destroyed before the others were asked
        assert_int_equal(wall_ms(&w, NOW + t + off), NOW + t);
        wall_look(&w, NOW + t + off, NOW + t, true, NOW + t); // the other two do agree
        assert_true(w.agreed);
        assert_int_equal(wall_ms(&w, NOW + t + off), NOW + t);
    }
    assert_int_equal(off, 0);
    assert_int_equal(w.offset_ms, 0);
}

static void without_mysql_two_must_agree(void **state)
{
    (void)state;
    struct wall w = {0};
    (void)wall_step(&w, NOW, 1000);
    wall_look(&w, NOW, NOW + 10, false, 0);
    assert_true(w.agreed);
    assert_true(wall_step(&w, NOW + DAY, 1001));
    wall_look(&w, NOW + DAY, NOW + 10, false, 0);
    assert_false(w.agreed);
    assert_int_equal(wall_ms(&w, NOW + DAY), NOW + 1); // as it was, and time has passed
    assert_true(wall_step(&w, NOW + 2, 1002));
    wall_look(&w, NOW + 2, NOW + 10, false, 0);
    assert_true(w.agreed);
    assert_int_equal(wall_ms(&w, NOW + 2), NOW + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_middle),
        cmocka_unit_test(a_jump_moves_no_date),
        cmocka_unit_test(without_mysql_two_must_agree),
    };
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
