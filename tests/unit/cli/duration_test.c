// SPDX-License-Identifier: Apache-2.0
// duration_test.c: durations and numbers as people write them.
#include "duration.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <time.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

static void durations_are_read(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"500ms", 500},   {"30s", 30000}, {"5m", 300000}, {"2h", 7200000},
                {"1d", 86400000}, {"0s", 0},      {"007s", 7000}, {"4611686018427387903ms", INT64_MAX / 2}};
    static const char *const bad[] = {
        "",
        "s",
        "ms",
        "30",
        "-1s",
        "+1s",
        " 1s",
        "1s ",
        "1 s",
        "1.5h",
        "1h30m",
        "1S",
        "1sec",
        "1w",
        "0x1s",
        "4611686018427387904ms",
        "99999999999999999999d",
        "53375995584d",
    };
    for (size_t i = 0; i < LENGTH(good); i++) {
        int64_t ms = -1;
        assert_true(duration_parse(good[i].text, &ms));
        assert_int_equal(ms, good[i].ms);
    }
    for (size_t i = 0; i < LENGTH(bad); i++) {
        int64_t ms;
        if (duration_parse(bad[i], &ms))
            fail_msg("\"%s\" was read as %lld", bad[i], (long long)ms);
    }
}

static void durations_are_written(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {{-5, "0 ms"},
                 {0, "0 ms"},
                 {999, "999 ms"},
                 {1000, "1.0 s"},
                 {59999, "59.9 s"},
                 {60000, "1 m 00 s"},
                 {3599999, "59 m 59 s"},
                 {3600000, "1 h 00 m"},
                 {86399999, "23 h 59 m"},
                 {86400000, "1 d 00 h"},
                 {INT64_MAX, "106751991167 d 07 h"}};
    for (size_t i = 0; i < LENGTH(cases); i++) {
        char text[DURATION_TEXT];
        duration_format(text, cases[i].ms);
        assert_string_equal(text, cases[i].text);
    }
}

static void times_are_written(void **state)
{
    (void)state;
    char text[DURATION_TEXT];
    setenv("TZ", "UTC", 1);
    tzset();
    time_format(text, 0);
    assert_string_equal(text, "-");
    time_format(text, 1714564984000);
    assert_string_equal(text, "2024-05-01 12:03:04");
    time_format(text, -1);
    assert_string_equal(text, "-");
}

static void numbers_are_read(void **state)
{
    (void)state;
    uint64_t n;
    assert_true(number_parse("0", 0, &n) && n == 0);
    assert_true(number_parse("18446744073709551615", UINT64_MAX, &n) && n == UINT64_MAX);
    assert_true(number_parse("10", 10, &n) && n == 10);
    static const char *const bad[] = {"", "11", "-1", "+1", "1 ", " 1", "0x1", "1e3", "18446744073709551616"};
    for (size_t i = 0; i < LENGTH(bad); i++)
        assert_false(number_parse(bad[i], 10, &n));
    assert_false(number_parse("18446744073709551616", UINT64_MAX, &n));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_read),
        cmocka_unit_test(durations_are_written),
        cmocka_unit_test(times_are_written),
        cmocka_unit_test(numbers_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
