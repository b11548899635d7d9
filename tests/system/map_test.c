// SPDX-License-Identifier: Apache-2.0
// map_test.c: dtf map and signals: what a shell's user expects of it and of its commands, whether they run in
// its own process or on a cluster.
#include "system/cluster.h"
#include "system/marked.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { GONE_MS = 5000, JOBS = 3, SUSPENDED_MS = 7000 };

static char folder[240], mark[MARK_BYTES];

static int setup(void **state)
{
    (void)state;
    mark_make(mark);
    daemon_folder(folder, sizeof folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    daemon_remove(folder);
    return 0;
}

// A shell script in the folder, with $dtf; what $dtf starts has the mark.
static pid_t start(const char *script)
{
    char dtf[4200];
    daemon_path(dtf, sizeof dtf, "dtf");
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid)
        return pid;
    setpgid(0, 0);
    if (chdir(folder) || setenv("dtf", dtf, 1) || setenv("mark", mark, 1))
        _exit(126);
    execl("/bin/sh", "sh", "-c", script, (char *)NULL);
    _exit(127);
}

static int end_of(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

#define ITEMS "<<X\n1\n2\n3\nX\n"
#define MAP "exec $dtf map -j 3 env " MARK_NAME "=$mark sh -c "

static pid_t start_long(void)
{
    pid_t map = start(MAP "'setsid sleep 1000 & (setsid sleep 1000 &); sleep 1000' " ITEMS);
    WAIT_FOR(marked_count(mark) >= (size_t)JOBS * 3, PATIENCE_MS);
    return map;
}

static void test_killed(void **state)
{
    (void)state;
    pid_t map = start_long();
    assert_int_equal(kill(map, SIGKILL), 0);
    assert_int_equal(end_of(map), 128 + SIGKILL);
    WAIT_FOR(marked_count(mark) == 0, GONE_MS);
}

// As a terminal's Ctrl-\ does, to the process and to its group.
static void test_quit(void **state)
{
    (void)state;
    pid_t map = start_long();
    assert_int_equal(kill(-map, SIGQUIT), 0);
    assert_int_equal(end_of(map), 128 + SIGQUIT);
    WAIT_FOR(marked_count(mark) == 0, GONE_MS);
}

static void test_interrupted(void **state)
{
    (void)state;
    pid_t map = start_long();
    assert_int_equal(kill(-map, SIGINT), 0);
    assert_int_equal(end_of(map), 128 + SIGINT);
    assert_int_equal(marked_count(mark), 0);
}

static size_t size_of(const char *name)
{
    char path[400];
    struct stat s;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return stat(path, &s) ? 0 : (size_t)s.st_size;
}

// As a terminal's Ctrl-Z does: the commands stand still, for longer than a node that says nothing is waited
// for; then they go on, and none runs twice.
static void test_suspended(void **state)
{
    (void)state;
    pid_t map = start(MAP "'echo >>begun; while ! test -e go; do sleep 0.01; done; echo >>ended' " ITEMS);
    WAIT_FOR(size_of("begun") == JOBS, PATIENCE_MS);
    assert_int_equal(kill(-map, SIGTSTP), 0);
    int status;
    assert_int_equal(waitpid(map, &status, WUNTRACED), map);
    assert_true(WIFSTOPPED(status));
    WAIT_FOR(marked_stopped(mark) >= JOBS, GONE_MS);
    int64_t until_ms = cluster_now_ms() + SUSPENDED_MS; // it is the time itself that must do nothing
    while (cluster_now_ms() < until_ms)
        cluster_pause();
    assert_int_equal(marked_stopped(mark), marked_count(mark));
    assert_int_equal(kill(-map, SIGCONT), 0);
    WAIT_FOR(marked_stopped(mark) == 0, GONE_MS);
    pid_t go = start("touch go");
    assert_int_equal(end_of(go), 0);
    assert_int_equal(end_of(map), 0);
    assert_int_equal(size_of("begun"), JOBS);
    assert_int_equal(size_of("ended"), JOBS);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(killed),
        TEST(quit),
        TEST(interrupted),
        TEST(suspended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
