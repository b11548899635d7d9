// SPDX-License-Identifier: Apache-2.0
// callback_test.c: what callbacks write into: buffers, follow-ups and their limits, an execution's cancel
// flag, fd and body.
#include "plugin/callback.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_buffer(void **state)
{
    (void)state;
    struct dtf_buffer b = {0};
    char expected[3000];
    for (size_t i = 0; i < 1000; i++) {
        char text[3] = {(char)i, 0, 'x'};
        memcpy(expected + 3 * i, text, 3);
        dtf_buffer_append(&b, text, 3);
        dtf_buffer_append(&b, NULL, 0);
    }
    assert_int_equal(b.size, sizeof expected);
    assert_memory_equal(b.data, expected, sizeof expected);
    buffer_fini(&b);
    assert_int_equal(b.size, 0);
}

static void test_followups(void **state)
{
    (void)state;
    struct arena a;
    struct nrpc_status st;
    arena_init(&a, 0);
    struct dtf_followups f = {.arena = &a, .allowed = true};
    char text[8] = "first";
    struct dtf_subtask_spec spec = {text, 6, 77};
    assert_int_equal(dtf_followup_add(&f, &spec, &st), NRPC_OK);
    strcpy(text, "other"); // it was copied
    assert_string_equal(f.specs[0].param, "first");
    assert_int_equal(f.specs[0].timeout_ms, 77);
    spec.param_bytes = DTF_SUBTASK_PARAM_MAX + 1;
    assert_int_equal(dtf_followup_add(&f, &spec, &st), NRPC_INVALID_ARGUMENT);
    spec = (struct dtf_subtask_spec){0};
    while (f.count < DTF_FOLLOWUPS_MAX)
        assert_int_equal(dtf_followup_add(&f, &spec, NULL), NRPC_OK);
    assert_int_equal(dtf_followup_add(&f, &spec, &st), NRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(f.count, DTF_FOLLOWUPS_MAX);
    followups_fini(&f);
    f.allowed = false;
    assert_int_equal(dtf_followup_add(&f, &spec, &st), NRPC_FAILED_PRECONDITION);
    assert_int_equal(f.count, 0);
    arena_fini(&a);
}

static bool is_readable(int fd)
{
    struct pollfd p = {fd, POLLIN, 0};
    return poll(&p, 1, 0) == 1;
}

static void test_cancel(void **state)
{
    (void)state;
    struct dtf_execution x;
    execution_init(&x);
    int fd = dtf_execution_cancel_fd(&x);
    assert_int_equal(dtf_execution_cancel_fd(&x), fd);
    assert_false(is_readable(fd));
    assert_false(dtf_execution_is_cancelled(&x));
    execution_cancel(&x);
    assert_true(dtf_execution_is_cancelled(&x));
    assert_true(is_readable(fd));
    execution_cancel(&x);
    assert_true(is_readable(fd)); // and stays so
    execution_fini(&x);
    execution_init(&x); // cancelled before anybody asked for the fd
    execution_cancel(&x);
    assert_true(is_readable(dtf_execution_cancel_fd(&x)));
    execution_fini(&x);
}

static void *cancel_thread(void *x)
{
    execution_cancel(x);
    return NULL;
}

// However the cancel and the first question for the fd fall together, the fd becomes readable.
static void test_cancel_race(void **state)
{
    (void)state;
    for (int i = 0; i < 500; i++) {
        struct dtf_execution x;
        pthread_t t;
        execution_init(&x);
        assert_int_equal(pthread_create(&t, NULL, cancel_thread, &x), 0);
        struct pollfd p = {dtf_execution_cancel_fd(&x), POLLIN, 0};
        assert_int_equal(poll(&p, 1, 10000), 1);
        pthread_join(t, NULL);
        execution_fini(&x);
    }
}

static void test_body(void **state)
{
    (void)state;
    struct dtf_execution x;
    execution_init(&x);
    char *large = calloc(1, DTF_RESULT_BODY_MAX + 1);
    dtf_execution_set_body(&x, "abc", 3);
    dtf_execution_set_code(&x, -7);
    assert_int_equal(x.code, -7);
    assert_memory_equal(x.body, "abc", 3);
    dtf_execution_set_body(&x, large, DTF_RESULT_BODY_MAX);
    assert_int_equal(x.body_size, DTF_RESULT_BODY_MAX);
    assert_false(x.body_refused);
    dtf_execution_set_body(&x, large, DTF_RESULT_BODY_MAX + 1);
    assert_true(x.body_refused);
    assert_int_equal(x.body_size, 0);
    dtf_execution_set_body(&x, NULL, 0);
    assert_false(x.body_refused);
    execution_fini(&x);
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buffer),      cmocka_unit_test(test_followups), cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_cancel_race), cmocka_unit_test(test_body),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
