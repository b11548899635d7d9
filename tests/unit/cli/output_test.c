// SPDX-License-Identifier: Apache-2.0
// output_test.c: JSON, tables, the progress line and failures in words.
#include "json.h"
#include "outcome.h"
#include "progress.h"
#include "table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static char *text;
static size_t size;

static void assert_text(FILE *f, const char *expected)
{
    fclose(f);
    assert_string_equal(text, expected);
    free(text);
}

static void json_escapes(void **state)
{
    (void)state;
    struct json j;
    FILE *f = open_memstream(&text, &size);
    json_begin(&j, f);
    json_text(&j, "none", NULL);
    json_bytes(&j, "hard", "\"\\\n\t\x01\x1b\x7f\0\xff\xc3", 10);
    json_text(&j, "good", "\xc3\xa9\xf0\x9f\xa6\x8a/'");
    json_text(&j, "sly", "\xe2\x80\xae\xc2\x9b");
    json_number(&j, "least", INT64_MIN);
    json_unsigned(&j, "most", UINT64_MAX);
    json_bool(&j, "yes", true);
    json_array_begin(&j, "list");
    json_array_item(&j, "a", 1);
    json_array_item(&j, NULL, 0);
    json_array_end(&j);
    json_array_begin(&j, "empty");
    json_array_end(&j);
    json_bool(&j, "no", false);
    json_end(&j);
    json_begin(&j, f);
    json_end(&j);
    assert_text(
        f, "{\"none\":\"\",\"hard\":\"\\\"\\\\\\n\\t\\u0001\\u001b\\u007f\\u0000\xef\xbf\xbd\xef\xbf\xbd\","
           "\"good\":\"\xc3\xa9\xf0\x9f\xa6\x8a/'\",\"sly\":\"\\u202e\\u009b\","
           "\"least\":-9223372036854775808,\"most\":18446744073709551615,\"yes\":true,"
           "\"list\":[\"a\",\"\"],\"empty\":[],\"no\":false}\n{}\n");
}

static void json_base64_encodes(void **state)
{
    (void)state;
    static const char *const expected[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    for (size_t n = 0; n <= 6; n++) {
        char line[64];
        struct json j;
        FILE *f = open_memstream(&text, &size);
        json_begin(&j, f);
        json_base64(&j, "b", "foobar", n);
        json_end(&j);
        snprintf(line, sizeof line, "{\"b\":\"%s\"}\n", expected[n]);
        assert_text(f, line);
    }
}

static void tables_are_aligned_and_safe(void **state)
{
    (void)state;
    struct table t;
    table_init(&t, ">ID NAME LAST");
    FILE *f = open_memstream(&text, &size);
    table_cell(&t, "%d", 7);
    table_cell(&t, "%s", "x\x1b[2Jy");
    table_cell(&t, "%s", "");
    table_cell(&t, "%d", 1234);
    table_cell(&t, "%s", "\xc3\xa9");
    table_cell(&t, "%s", "end");
    table_cell(&t, "%s", "a row that is not whole is left out");
    table_print(&t, f);
    assert_text(f, "  ID  NAME    LAST\n"
                   "   7  x?[2Jy  \n"
                   "1234  \xc3\xa9       end\n");
    table_fini(&t);
}

static void assert_progress(struct progress_state s, unsigned columns, const char *expected)
{
    char line[256];
    progress_format(line, sizeof line, &s, columns);
    assert_string_equal(line, expected);
}

static void the_progress_line(void **state)
{
    (void)state;
    assert_progress((struct progress_state){0}, 79, "0/0+");
    assert_progress((struct progress_state){.done = 5, .total = 9, .rate = 1.25}, 79, "5/9+  1.2/s");
    assert_progress(
        (struct progress_state){.done = 50, .total = 100, .rate = 10, .total_known = true, .failed = 3}, 79,
        "[############            ] 50/100  10/s  5.0 s left  3 failed");
    assert_progress((struct progress_state){.done = 9, .total = 9, .rate = 10, .total_known = true}, 79,
                    "[########################] 9/9  10/s");
    assert_progress((struct progress_state){.total_known = true}, 79, "[                        ] 0/0");
    assert_progress((struct progress_state){.done = 9, .total = 9, .rate = 10, .total_known = true}, 9,
                    "[########");
    assert_progress((struct progress_state){.done = UINT64_MAX, .total = UINT64_MAX, .rate = 1e300}, 20,
                    "18446744073709551615");
}

static void failures_in_words(void **state)
{
    (void)state;
    char buffer[100];
    struct outcome none = {0}, whole = {0};
    Dtf__V1__CommandOutput output = DTF__V1__COMMAND_OUTPUT__INIT;
    whole.output = &output;
    struct dtf_result r = {.kind = DTF_RESULT_SUCCESS};
    assert_null(outcome_failure(&none, &r, buffer, sizeof buffer));
    assert_null(outcome_failure(&whole, &r, buffer, sizeof buffer));
    output.err_cut = true;
    assert_string_equal(outcome_failure(&whole, &r, buffer, sizeof buffer),
                        "too much output: the rest is lost");
    r.kind = DTF_RESULT_FAILURE;
    r.code = 3;
    assert_string_equal(outcome_failure(&whole, &r, buffer, sizeof buffer), "exit code 3");
    r.message = "no such file";
    assert_string_equal(outcome_failure(&none, &r, buffer, sizeof buffer), "no such file");
    r.kind = DTF_RESULT_TIMEOUT;
    assert_string_equal(outcome_failure(&none, &r, buffer, sizeof buffer), "timed out");
    r.kind = 99;
    assert_non_null(outcome_failure(&none, &r, buffer, sizeof buffer)); // what is not known is no success
    assert_string_equal(outcome_kind_name(99), "unknown");
    assert_string_equal(outcome_kind_name(-1), "unknown");
}

static void garbage_is_no_output(void **state)
{
    (void)state;
    struct outcome o;
    struct dtf_task_result t = {
        .result = {.body = "\xff\xff\xff", .body_bytes = 3}, .param = "\xff", .param_bytes = 1};
    outcome_read(&o, &t, true);
    assert_null(o.output);
    assert_null(o.command);
    outcome_free(&o);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_escapes),
        cmocka_unit_test(json_base64_encodes),
        cmocka_unit_test(tables_are_aligned_and_safe),
        cmocka_unit_test(the_progress_line),
        cmocka_unit_test(failures_in_words),
        cmocka_unit_test(garbage_is_no_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
