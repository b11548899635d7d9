// SPDX-License-Identifier: Apache-2.0
// log_test.c: levels, the sink, long lines, and that no byte can forge a line or steer a terminal.
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static int lines;
static enum log_level last_level;
static char last_line[2000];

static void take(enum log_level level, const char *line, void *user)
{
    assert_ptr_equal(user, &lines);
    lines++;
    last_level = level;
    strncpy(last_line, line, sizeof last_line - 1);
}

static int begin(void **state)
{
    (void)state;
    lines = 0;
    log_set_sink(take, &lines);
    log_set_level(LOG_DEBUG);
    return 0;
}

static int end(void **state)
{
    (void)state;
    log_set_sink(NULL, NULL);
    log_set_level(LOG_WARN);
    return 0;
}

static void test_levels(void **state)
{
    (void)state;
    log_set_level(LOG_WARN);
    log_debug("a");
    log_info("b");
    assert_int_equal(lines, 0);
    log_warn("c %d", 1);
    assert_int_equal(last_level, LOG_WARN);
    assert_string_equal(last_line, "c 1");
    log_error("d");
    assert_int_equal(last_level, LOG_ERROR);
    assert_int_equal(lines, 2);
}

static void test_parse(void **state)
{
    (void)state;
    enum log_level level = LOG_ERROR;
    assert_int_equal(log_level_parse("debug", &level), 0);
    assert_int_equal(level, LOG_DEBUG);
    assert_int_equal(log_level_parse("error", &level), 0);
    assert_int_equal(level, LOG_ERROR);
    assert_int_equal(log_level_parse("", &level), -1);
    assert_int_equal(log_level_parse("Debug", &level), -1);
}

static void test_control_bytes(void **state)
{
    (void)state;
    for (int c = 1; c < 0x80; c++) {
        log_info("<%c>", c);
        char expected[] = {'<', (char)(c < 0x20 || c == 0x7f ? '?' : c), '>', 0};
        assert_string_equal(last_line, expected);
    }
    log_info("%s", "name\n2026-01-01T00:00:00.000Z ERROR forged\r\x1b[2J");
    assert_null(strpbrk(last_line, "\n\r\x1b"));
    log_info("%s", "K\xc3\xbc\xc3\x9f"
                   "e");
    assert_string_equal(last_line, "K\xc3\xbc\xc3\x9f"
                                   "e");
}

static void test_long(void **state)
{
    (void)state;
    char text[1800];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    log_info("%s", text);
    assert_int_equal(strlen(last_line), 1000);
    assert_memory_equal(last_line, text, 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_levels, begin, end),
        cmocka_unit_test_setup_teardown(test_parse, begin, end),
        cmocka_unit_test_setup_teardown(test_control_bytes, begin, end),
        cmocka_unit_test_setup_teardown(test_long, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
