// SPDX-License-Identifier: Apache-2.0
// status_test.c: codes and sentences, errno as a code, what is cut off.
#include "base/status.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(nrpc_code_name(NRPC_OK), "OK");
    assert_string_equal(nrpc_code_name(NRPC_UNAUTHENTICATED), "UNAUTHENTICATED");
    assert_string_equal(nrpc_code_name(NRPC_RESOURCE_EXHAUSTED), "RESOURCE_EXHAUSTED");
    assert_string_equal(nrpc_code_name(-1), "UNKNOWN");
    assert_string_equal(nrpc_code_name(17), "UNKNOWN");
    assert_string_equal(nrpc_code_name(INT32_MAX), "UNKNOWN");
}

static void test_set(void **state)
{
    (void)state;
    struct nrpc_status st;
    assert_int_equal(status_set(&st, NRPC_NOT_FOUND, "no task %d", 7), NRPC_NOT_FOUND);
    assert_int_equal(st.code, NRPC_NOT_FOUND);
    assert_string_equal(st.text, "no task 7");
    assert_int_equal(status_set(NULL, NRPC_ABORTED, "nobody reads this"), NRPC_ABORTED);
    assert_int_equal(status_ok(&st), NRPC_OK);
    assert_int_equal(st.code, NRPC_OK);
    assert_string_equal(st.text, "");
    assert_int_equal(status_ok(NULL), NRPC_OK);
}

static void test_cut(void **state)
{
    (void)state;
    struct nrpc_status st;
    char text[1000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    status_set(&st, NRPC_INTERNAL, "%s", text);
    assert_int_equal(strlen(st.text), sizeof st.text - 1);
    assert_memory_equal(st.text, text, sizeof st.text - 1);
    strcpy(text + sizeof st.text - 2, "\xe2\x82\xac"); // a character that does not fit whole
    status_set(&st, NRPC_INTERNAL, "%s", text);
    assert_int_equal(strlen(st.text), sizeof st.text - 1);
    assert_int_equal(st.text[sizeof st.text - 2], '?');
    status_set(&st, NRPC_INTERNAL, "cannot run \xff\xfe");
    assert_string_equal(st.text, "cannot run ??");
}

static void test_errno(void **state)
{
    (void)state;
    static const struct {
        int errnum, code;
    } rows[] = {
        {ENOENT, NRPC_NOT_FOUND},          {EACCES, NRPC_PERMISSION_DENIED},
        {ENOSPC, NRPC_RESOURCE_EXHAUSTED}, {EMFILE, NRPC_RESOURCE_EXHAUSTED},
        {EEXIST, NRPC_ALREADY_EXISTS},     {ETIMEDOUT, NRPC_DEADLINE_EXCEEDED},
        {ECONNREFUSED, NRPC_UNAVAILABLE},  {EIO, NRPC_INTERNAL},
        {0x7fff, NRPC_INTERNAL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct nrpc_status st;
        assert_int_equal(status_errno(&st, rows[i].errnum, "cannot do it"), rows[i].code);
        assert_int_equal(st.code, rows[i].code);
        assert_memory_equal(st.text, "cannot do it: ", 14);
        assert_true(strlen(st.text) > 14);
        assert_int_equal(status_errno(NULL, rows[i].errnum, "cannot do it"), rows[i].code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_errno),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
