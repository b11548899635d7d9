// SPDX-License-Identifier: Apache-2.0
// start_test.c: it does not matter how a program was started: with closed descriptors, under nohup, at a
// terminal that goes away; and what is somebody else's is not taken for its own.
#include "system/cluster.h"

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

static char folder[240], dtf[4200], dtfd[4200];

static int setup(void **state)
{
    (void)state;
    daemon_folder(folder, sizeof folder);
    daemon_path(dtf, sizeof dtf, "dtf");
    daemon_path(dtfd, sizeof dtfd, "dtfd");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    daemon_remove(folder);
    return 0;
}

// A shell script in the folder, with $dtf and $dtfd; returns its process.
static pid_t start(const char *script)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid)
        return pid;
    setpgid(0, 0);
    if (chdir(folder) || setenv("dtf", dtf, 1) || setenv("dtfd", dtfd, 1))
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

static int run(const char *script)
{
    return end_of(start(script));
}

static char *path_of(const char *name)
{
    static char path[400];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static bool says(const char *name, const char *text)
{
    char line[1000];
    bool found = false;
    FILE *f = fopen(path_of(name), "r");
    while (f && fgets(line, sizeof line, f))
        found |= strstr(line, text) != NULL;
    if (f)
        fclose(f);
    return found;
}

#define DAEMON "exec $dtfd --data data --listen ipc://$PWD/s.ipc --slots 1 >out 2>log"

static void test_hangup(void **state)
{
    (void)state;
    pid_t pid = start(DAEMON);
    WAIT_FOR(says("out", "ready"), PATIENCE_MS);
    assert_int_equal(kill(pid, SIGHUP), 0);
    WAIT_FOR(says("log", "hangup"), PATIENCE_MS);
    assert_int_equal(run("seq 3 | $dtf --server ipc://$PWD/s.ipc map true"), 0);
    assert_int_equal(kill(pid, SIGTERM), 0);
    assert_int_equal(end_of(pid), 0);
}

static void test_nohup(void **state)
{
    (void)state;
    pid_t pid = start("trap '' HUP; " DAEMON);
    WAIT_FOR(says("out", "ready"), PATIENCE_MS);
    assert_int_equal(kill(pid, SIGHUP), 0);
    assert_int_equal(run("seq 3 | $dtf --server ipc://$PWD/s.ipc map true"), 0);
    assert_false(says("log", "hangup"));
    pid_t map =
        start("trap '' HUP; echo 1 | $dtf map sh -c 'touch begun; while ! test -e go; do sleep 0.01; done'");
    WAIT_FOR(access(path_of("begun"), F_OK) == 0, PATIENCE_MS);
    assert_int_equal(kill(-map, SIGHUP),
                     0); // the command is in a group of its own, and was told to ignore it, too
    assert_int_equal(run("touch go"), 0);
    assert_int_equal(end_of(map), 0);
    assert_int_equal(kill(pid, SIGTERM), 0);
    assert_int_equal(end_of(pid), 0);
}

static bool is_pending(pid_t pid, int signal_number)
{
    char path[64], line[200];
    unsigned long long mask = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f))
        if (!strncmp(line, "ShdPnd:", 7))
            mask = strtoull(line + 7, NULL, 16);
    fclose(f);
    return mask >> (signal_number - 1) & 1;
}

// A signal that is none of its own does not make a map deaf.
static void test_deaf(void **state)
{
    (void)state;
    pid_t map = start("exec $dtf map sh -c 'touch begun; sleep 60' <<X\n1\nX\n");
    WAIT_FOR(access(path_of("begun"), F_OK) == 0, PATIENCE_MS);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(kill(map, SIGUSR1), 0);
        WAIT_FOR(!is_pending(map, SIGUSR1), PATIENCE_MS);
    }
    assert_int_equal(kill(map, SIGINT), 0);
    assert_int_equal(end_of(map), 130);
}

static void test_closed_descriptors(void **state)
{
    (void)state;
    assert_int_equal(run("$dtfd --data data --listen ipc://$PWD/s.ipc <&- >&- 2>&- & echo $! >pid"), 0);
    WAIT_FOR(access(path_of("s.ipc"), F_OK) == 0, PATIENCE_MS);
    assert_int_equal(run("seq 3 | $dtf --server ipc://$PWD/s.ipc map true"), 0);
    assert_int_equal(run("kill $(cat pid); i=0; while kill -0 $(cat pid) 2>/dev/null && test $i -lt 600; do "
                         "i=$((i+1)); sleep 0.05; done; test $i -lt 600"),
                     0);
    assert_int_equal(run("cmp data/lock pid"), 0); // nothing else was written into it
}

// What is no socket is not replaced by one; a socket that was left behind is.
static void test_listen_on_a_file(void **state)
{
    (void)state;
    assert_int_equal(run("echo precious >s.ipc; $dtfd --data data --listen ipc://$PWD/s.ipc >out 2>log"), 1);
    assert_true(says("log", "which is no socket"));
    assert_true(says("s.ipc", "precious"));
    assert_int_equal(
        run("rm s.ipc; ln -s data s.ipc; $dtfd --data data --listen ipc://$PWD/s.ipc >out 2>log"), 1);
    assert_int_equal(run("test -L s.ipc && rm s.ipc"), 0);
    for (int i = 0; i < 2; i++) {
        pid_t pid = start(DAEMON);
        WAIT_FOR(says("out", "ready"), PATIENCE_MS);
        assert_int_equal(kill(pid, SIGKILL), 0);
        assert_int_equal(end_of(pid), 128 + SIGKILL);
        assert_int_equal(run("rm out; test -S s.ipc"), 0);
    }
}

static void test_lock_is_a_link(void **state)
{
    (void)state;
    assert_int_equal(run("mkdir data; echo precious >target; ln -s ../target data/lock; "
                         "$dtfd --data data --listen ipc://$PWD/s.ipc >out 2>log"),
                     1);
    assert_true(says("log", "is a symbolic link"));
    assert_true(says("target", "precious"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(hangup),           TEST(nohup),          TEST(deaf), TEST(closed_descriptors),
        TEST(listen_on_a_file), TEST(lock_is_a_link),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
