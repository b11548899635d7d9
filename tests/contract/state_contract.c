// SPDX-License-Identifier: Apache-2.0
// state_contract.c: runs the groups of tests that every state store must pass.
#include "state_contract_fixture.h"

int state_contract_run(const struct state_contract *contract)
{
    const struct {
        const char *name;
        const struct CMUnitTest *tests;
        size_t count;
    } groups[] = {
        {"life", state_life_tests, state_life_count},
        {"generation", state_generation_tests, state_generation_count},
        {"queue", state_queue_tests, state_queue_count},
        {"dispatch", state_dispatch_tests, state_dispatch_count},
        {"results", state_result_tests, state_result_count},
        {"nodes", state_node_tests, state_node_count},
        {"numbers", state_number_tests, state_number_count},
        {"the whole", state_whole_tests, state_whole_count},
    };
    int failed = 0;
    fixture_contract = contract;
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        char name[100];
        snprintf(name, sizeof name, "%s state: %s", contract->name, groups[i].name);
        failed += _cmocka_run_group_tests(name, groups[i].tests, groups[i].count, NULL, NULL);
    }
    return failed;
}
