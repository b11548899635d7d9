// SPDX-License-Identifier: Apache-2.0
// library_test.c: a program that has threads of its own, and then an executor: its commands run, and end with
// it when it is killed.
#include "dtf/v1/command.pb-c.h"
#include "system/cluster.h"
#include "system/marked.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { THREADS = 4, COMMANDS = 3, GONE_MS = 5000 };

static char mark[MARK_BYTES];

// Takes and gives back memory all the time: a fork meets the allocator's locks in any state.
static void *be_busy(void *arg)
{
    (void)arg;
    for (;;)
        free(malloc(100000));
    return NULL;
}

static _Noreturn void be_the_program(void)
{
    struct dtf_service *service;
    struct nrpc_status st;
    uint64_t task;
    pthread_t thread;
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&thread, NULL, be_busy, NULL))
            _exit(1);
    const struct dtf_service_options options = {.slots = COMMANDS};
    if (dtf_service_start(DTF_ROLE_ALL, &options, &service, &st))
        _exit(2);
    struct dtf_client *client = dtf_client_local(service);
    const struct dtf_task_param param = {.type = "command", .fed = true};
    if (dtf_task_create(client, &param, &task, &st))
        _exit(3);
    char variable[MARK_BYTES + sizeof MARK_NAME + 1];
    snprintf(variable, sizeof variable, "%s=%s", MARK_NAME, mark);
    ProtobufCBinaryData argv = {sizeof "setsid sleep 1000 & sleep 1000" - 1,
                                (uint8_t *)"setsid sleep 1000 & sleep 1000"};
    ProtobufCBinaryData env = {strlen(variable), (uint8_t *)variable};
    Dtf__V1__Command command = DTF__V1__COMMAND__INIT;
    command.shell = true;
    command.argv = &argv;
    command.env = &env;
    command.n_argv = command.n_env = 1;
    uint8_t packed[1000];
    const struct dtf_subtask_spec spec = {packed, dtf__v1__command__pack(&command, packed), 3600000};
    for (uint64_t i = 0; i < COMMANDS; i++)
        if (dtf_task_feed(client, task, i, &spec, 1, false, &st))
            _exit(4);
    for (;;)
        pause();
}

static void test_threads(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        mark_make(mark);
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (!pid)
            be_the_program();
        WAIT_FOR(marked_count(mark) >= (size_t)2 * COMMANDS || waitpid(pid, NULL, WNOHANG) == pid,
                 PATIENCE_MS);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        WAIT_FOR(marked_count(mark) == 0, GONE_MS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
