// SPDX-License-Identifier: Apache-2.0
// registry_test.c: which task types are taken, found again, refused.
#include "plugin/registry.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int execute(void *user, const struct dtf_subtask *subtask, struct dtf_execution *x,
                   struct nrpc_status *st)
{
    (void)user;
    (void)subtask;
    (void)x;
    (void)st;
    return 0;
}

static const struct dtf_executor executor = {.execute = execute};

static void refused(const struct dtf_task_type *t, int code, const char *word)
{
    struct nrpc_status st;
    size_t before = registry_count();
    assert_int_equal(dtf_register_task_type(t, &st), code);
    assert_non_null(strstr(st.text, word));
    assert_int_equal(registry_count(), before);
}

static void test_built_in(void **state)
{
    (void)state;
    assert_int_equal(registry_count(), 1);
    assert_non_null(registry_find("command"));
    assert_ptr_equal(registry_at(0), registry_find("command"));
    assert_null(registry_at(1));
    assert_null(registry_find("nothing"));
    assert_null(registry_find(""));
    refused(&(struct dtf_task_type){.name = "command", .executor = &executor}, NRPC_ALREADY_EXISTS,
            "command");
}

static void test_register(void **state)
{
    (void)state;
    static const struct dtf_task_type type = {.name = "one", .executor = &executor};
    struct nrpc_status st;
    assert_int_equal(dtf_register_task_type(&type, &st), NRPC_OK);
    assert_ptr_equal(registry_find("one"), &type);
    assert_ptr_equal(registry_at(registry_count() - 1), &type);
    refused(&type, NRPC_ALREADY_EXISTS, "one");
    assert_int_equal(dtf_register_task_type(&type, NULL), NRPC_ALREADY_EXISTS);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct dtf_generator no_next = {0};
    static const struct dtf_executor no_execute = {0};
    char long_name[DTF_NAME_MAX + 2];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    refused(&(struct dtf_task_type){.executor = &executor}, NRPC_INVALID_ARGUMENT, "name");
    refused(&(struct dtf_task_type){.name = "", .executor = &executor}, NRPC_INVALID_ARGUMENT, "name");
    refused(&(struct dtf_task_type){.name = long_name, .executor = &executor}, NRPC_INVALID_ARGUMENT, "name");
    refused(&(struct dtf_task_type){.name = "a\nb", .executor = &executor}, NRPC_INVALID_ARGUMENT, "name");
    refused(&(struct dtf_task_type){.name = "\xff", .executor = &executor}, NRPC_INVALID_ARGUMENT, "name");
    refused(&(struct dtf_task_type){.name = "a"}, NRPC_INVALID_ARGUMENT, "execute");
    refused(&(struct dtf_task_type){.name = "a", .executor = &no_execute}, NRPC_INVALID_ARGUMENT, "execute");
    refused(&(struct dtf_task_type){.name = "a", .executor = &executor, .generator = &no_next},
            NRPC_INVALID_ARGUMENT, "generator");
    refused(&(struct dtf_task_type){.name = "a",
                                    .executor = &executor,
                                    .conf.iteration = DTF_ITERATION_COLLECTOR},
            NRPC_INVALID_ARGUMENT, "after_execution");
    refused(&(struct dtf_task_type){.name = "a", .executor = &executor, .conf.timeout_ms = -1},
            NRPC_INVALID_ARGUMENT, "timeout");
    long_name[DTF_NAME_MAX] = 0; // the longest there may be
    static struct dtf_task_type longest = {.executor = &executor};
    static char kept[DTF_NAME_MAX + 1];
    longest.name = strcpy(kept, long_name);
    assert_int_equal(dtf_register_task_type(&longest, NULL), NRPC_OK);
}

static void test_plugins(void **state)
{
    (void)state;
    struct nrpc_status st;
    assert_int_equal(dtf_load_plugin("/there/is/no/such/plugin.so", &st), NRPC_NOT_FOUND);
    assert_non_null(strstr(st.text, "/there/is/no/such/plugin.so"));
    assert_int_equal(dtf_load_plugin("libc.so.6", &st), NRPC_INVALID_ARGUMENT);
    assert_non_null(strstr(st.text, DTF_PLUGIN_SYMBOL));
}

// Until there is no room; what is there stays.
static void test_full(void **state)
{
    (void)state;
    static struct dtf_task_type types[1100];
    static char names[1100][16];
    struct nrpc_status st;
    int code = NRPC_OK;
    size_t i = 0;
    for (; i < 1100 && code == NRPC_OK; i++) {
        snprintf(names[i], sizeof names[i], "type %zu", i);
        types[i] = (struct dtf_task_type){.name = names[i], .executor = &executor};
        code = dtf_register_task_type(&types[i], &st);
    }
    assert_int_equal(code, NRPC_RESOURCE_EXHAUSTED);
    assert_ptr_equal(registry_find("type 0"), &types[0]);
    assert_ptr_equal(registry_at(registry_count() - 1), &types[i - 2]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_built_in), cmocka_unit_test(test_register), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_plugins),  cmocka_unit_test(test_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
