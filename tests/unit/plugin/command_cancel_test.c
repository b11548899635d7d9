// SPDX-License-Identifier: Apache-2.0
// command_cancel_test.c: a cancelled command is gone soon, with all of its process group, however much it
// resists.
#include "command_fixture.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { PATIENCE_MS = 20000, GONE_MS = 3000 };

struct running {
    struct dtf_execution x;
    struct command_spec command;
    char script[600], folder[100], file[120];
    pthread_t thread;
    int code;
    struct nrpc_status st;
    _Atomic bool over;
};

static struct running r;

static void *run(void *user)
{
    (void)user;
    r.code = command_execute_in(&r.x, &r.command, &r.st);
    r.over = true;
    return NULL;
}

// Reads the number of a process that the script has written; 0: not yet.
static pid_t written_pid(void)
{
    FILE *f = fopen(r.file, "r");
    long pid = 0;
    char end = 0;
    if (f && (fscanf(f, "%ld%c", &pid, &end) != 2 || end != '\n'))
        pid = 0;
    if (f)
        fclose(f);
    return (pid_t)pid;
}

// Starts a script, in which %s stands for the file where it writes a process's number; returns that process.
static pid_t start(const char *script)
{
    const char *tmp = getenv("TMPDIR");
    memset(&r, 0, sizeof r);
    snprintf(r.folder, sizeof r.folder, "%s/dtf-test-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(r.folder));
    snprintf(r.file, sizeof r.file, "%s/pid", r.folder);
    snprintf(r.script, sizeof r.script, script, r.file);
    static const char *argv[2];
    argv[0] = r.script;
    r.command = (struct command_spec){.argv = argv, .shell = true};
    execution_init(&r.x);
    assert_int_equal(pthread_create(&r.thread, NULL, run, NULL), 0);
    pid_t pid = 0;
    for (int64_t until_ms = clock_now_ms() + PATIENCE_MS; !pid && clock_now_ms() < until_ms; poll(NULL, 0, 2))
        pid = written_pid();
    assert_true(pid > 0);
    return pid;
}

static void join(void)
{
    pthread_join(r.thread, NULL);
    execution_fini(&r.x);
    unlink(r.file);
    rmdir(r.folder);
}

static bool is_gone(pid_t pid)
{
    char path[40], line[300] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return true;
    bool zombie = !fgets(line, sizeof line, f) || strstr(line, ") Z ");
    fclose(f);
    return zombie;
}

static bool gone_within(pid_t pid, int64_t ms)
{
    for (int64_t until_ms = clock_now_ms() + ms; clock_now_ms() < until_ms; poll(NULL, 0, 2))
        if (is_gone(pid))
            return true;
    kill(pid, SIGKILL);
    return false;
}

// Cancels; returns how long it took until execute returned.
static int64_t cancel(pid_t pid)
{
    int64_t start_ms = clock_now_ms();
    execution_cancel(&r.x);
    join();
    int64_t took_ms = clock_now_ms() - start_ms;
    assert_true(gone_within(pid, GONE_MS));
    assert_int_not_equal(r.code, NRPC_OK);
    return took_ms;
}

static void test_group(void **state)
{
    (void)state;
    pid_t child = start("sleep 1000 & echo $! > %s; wait");
    assert_false(r.over);
    assert_true(cancel(child) < 1000); // SIGTERM is enough
    assert_int_equal(r.x.code, 128 + SIGTERM);
}

static void test_ignores_term(void **state)
{
    (void)state;
    pid_t child = start("trap '' TERM; sleep 1000 & echo $! > %s; wait; wait; sleep 1000");
    int64_t took_ms = cancel(child);
    assert_in_range(took_ms, 500, GONE_MS);
    assert_int_equal(r.x.code, 128 + SIGKILL);
}

// The program itself goes at once, a child of its group does not: that must not stay behind.
static void test_stubborn_child(void **state)
{
    (void)state;
    pid_t child = start("(trap '' TERM; sh -c 'echo $$ > %s; exec sleep 1000') & exec sleep 1000");
    int64_t took_ms = cancel(child);
    assert_true(took_ms < GONE_MS);
}

// SIGTERM caught, and an orderly end: its own code counts.
static void test_orderly(void **state)
{
    (void)state;
    pid_t pid = start("trap 'exit 7' TERM; echo $$ > %s; while :; do sleep 0.01; done");
    assert_true(cancel(pid) < 1000);
    assert_int_equal(r.x.code, 7);
}

// Output without end neither hides the cancel nor fills the memory.
static void test_flood(void **state)
{
    (void)state;
    pid_t pid = start("yes | head -c 2000; echo $$ > %s; exec yes"); // some has come by the time we know it
    assert_true(cancel(pid) < 1500);
    assert_in_range(r.x.body_size, 1000, 70000);
}

static void test_before_start(void **state)
{
    (void)state;
    struct nrpc_status st;
    struct command_spec c = {.argv = SHELL("sleep 1000"), .shell = true};
    struct dtf_execution x;
    execution_init(&x);
    execution_cancel(&x);
    int64_t start_ms = clock_now_ms();
    assert_int_not_equal(command_execute_in(&x, &c, &st), NRPC_OK);
    assert_true(clock_now_ms() - start_ms < 1000);
    execution_fini(&x);
}

// A program that has ended is waited for a second because of what it left in the background, which is gone
// then.
static void test_left_behind(void **state)
{
    (void)state;
    pid_t child = start("sleep 1000 & echo $! > %s");
    for (int64_t until_ms = clock_now_ms() + PATIENCE_MS; !r.over && clock_now_ms() < until_ms;)
        poll(NULL, 0, 2);
    bool over = r.over, gone = is_gone(child);
    kill(child, SIGKILL);
    join();
    assert_true(over);
    assert_true(gone);
    assert_int_equal(r.code, NRPC_OK);
    assert_non_null(r.x.note);
}

static void test_left_flooding(void **state)
{
    (void)state;
    pid_t child = start("yes & echo $! > %s");
    for (int64_t until_ms = clock_now_ms() + PATIENCE_MS; !r.over && clock_now_ms() < until_ms;)
        poll(NULL, 0, 2);
    bool over = r.over;
    kill(child, SIGKILL);
    join();
    assert_true(over);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_group),          cmocka_unit_test(test_ignores_term),
        cmocka_unit_test(test_stubborn_child), cmocka_unit_test(test_orderly),
        cmocka_unit_test(test_flood),          cmocka_unit_test(test_before_start),
        cmocka_unit_test(test_left_behind),    cmocka_unit_test(test_left_flooding),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
