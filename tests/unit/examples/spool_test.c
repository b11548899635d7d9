// SPDX-License-Identifier: Apache-2.0
// spool_test.c: the last record of a number counts; torn records are passed over.
#include "files/spool.h"

#include "base/mem.h"
#include "tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct tree tree;

static int set_up(void **state)
{
    (void)state;
    tree_create(&tree);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    tree_destroy(&tree);
    return 0;
}

static void append(uint64_t id, const char *text)
{
    assert_int_equal(spool_append(tree.output, id, text, strlen(text), NULL), NRPC_OK);
}

// Writes "id=text;" for each record.
static int print_record(void *user, uint64_t id, const void *data, size_t size, struct nrpc_status *st)
{
    (void)st;
    fprintf(user, "%llu=%.*s;", (unsigned long long)id, (int)size, (const char *)data);
    return NRPC_OK;
}

static void assert_records(uint64_t last, const char *expected)
{
    char text[256] = "";
    uint64_t count, expected_count = 0;
    FILE *f = fmemopen(text, sizeof text, "w");
    assert_int_equal(spool_read(tree.output, last, print_record, f, &count, NULL), NRPC_OK);
    fclose(f);
    assert_string_equal(text, expected);
    for (const char *c = expected; *c; c++)
        expected_count += *c == ';';
    assert_int_equal(count, expected_count);
}

static void test_order_and_last(void **state)
{
    (void)state;
    append(3, "three");
    append(1, "old");
    append(2, "");
    append(1, "new");
    append(9, "beyond");
    assert_records(8, "1=new;2=;3=three;");
    assert_records(9, "1=new;2=;3=three;9=beyond;");
    assert_records(0, "");
}

static void test_missing(void **state)
{
    (void)state;
    uint64_t count;
    struct nrpc_status st;
    assert_int_equal(spool_read(tree.output, 1, print_record, NULL, &count, &st), NRPC_NOT_FOUND);
    assert_int_equal(spool_append("/nowhere/spool", 1, "x", 1, &st), NRPC_NOT_FOUND);
    assert_int_equal(spool_create(tree.output, &st), NRPC_OK);
    assert_records(1, "");
    append(1, "kept");
    assert_int_equal(spool_create(tree.output, &st), NRPC_OK);
    assert_records(1, "1=kept;");
    spool_remove(tree.output);
    spool_remove(tree.output);
    assert_false(tree_exists(tree.output));
}

// Cut off after any byte, the last record is not there, and what is appended then is.
static void test_torn(void **state)
{
    (void)state;
    size_t whole, first;
    append(1, "one");
    free(tree_read(tree.output, &first));
    append(2, "two");
    free(tree_read(tree.output, &whole));
    for (size_t cut = first; cut < whole; cut++) {
        spool_remove(tree.output);
        append(1, "one");
        append(2, "two");
        assert_int_equal(truncate(tree.output, (off_t)cut), 0);
        assert_records(9, "1=one;");
        append(3, "three");
        append(2, "again");
        assert_records(9, "1=one;2=again;3=three;");
    }
}

static int stop_at_two(void *user, uint64_t id, const void *data, size_t size, struct nrpc_status *st)
{
    (void)user, (void)data, (void)size;
    return id == 2 ? status_set(st, NRPC_DATA_LOSS, "stop") : NRPC_OK;
}

static void test_stops_at_failure(void **state)
{
    (void)state;
    uint64_t count;
    append(1, "x");
    append(2, "x");
    append(3, "x");
    assert_int_equal(spool_read(tree.output, 3, stop_at_two, NULL, &count, NULL), NRPC_DATA_LOSS);
    assert_int_equal(count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_order_and_last, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_missing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_torn, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stops_at_failure, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
