// SPDX-License-Identifier: Apache-2.0
// features_disk_test.c: a data folder that cannot be used, a disk that is full, plugins that are none: one
// clear line, or a clear code; and afterwards it goes on.
#include "system/cluster.h"

#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

extern char **environ;

static struct cluster c;

static int setup(void **state)
{
    (void)state;
    memset(&c, 0, sizeof c);
    daemon_folder(c.folder, sizeof c.folder);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    daemon_remove(c.folder);
    return 0;
}

// ---- starts that must fail

struct failed_start {
    int code;
    char text[2000]; // stderr
};

static void read_to_end(int fd, char *out, size_t size)
{
    size_t n = 0;
    for (ssize_t got; n < size - 1 && (got = read(fd, out + n, size - 1 - n)) > 0;)
        n += (size_t)got;
    out[n] = 0;
}

static void start_dtfd(const char *const *args, struct failed_start *out)
{
    char path[4200];
    char *argv[20] = {path};
    int fds[2], status;
    pid_t pid;
    daemon_path(path, sizeof path, "dtfd");
    for (int i = 0; args[i]; i++)
        argv[i + 1] = (char *)args[i];
    posix_spawn_file_actions_t actions;
    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fds[1], 2);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    assert_int_equal(posix_spawn(&pid, path, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(fds[1]);
    struct pollfd p = {fds[0], POLLIN, 0};
    if (poll(&p, 1, 20000) != 1) // it runs, and should not
        kill(pid, SIGKILL);
    read_to_end(fds[0], out->text, sizeof out->text);
    close(fds[0]);
    waitpid(pid, &status, 0);
    out->code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

// Exit code 1 and one line on stderr, with these words in it.
static void check_refused(const char *const *args, const char *word, const char *other_word)
{
    struct failed_start f;
    start_dtfd(args, &f);
    const char *end = strchr(f.text, '\n');
    if (f.code != 1 || strncmp(f.text, "dtfd: ", 6) || !end || end[1] || !strstr(f.text, word) ||
        !strstr(f.text, other_word))
        fail_msg("exit code %d, stderr: \"%s\"; expected: 1, one line with \"%s\" and \"%s\"", f.code, f.text,
                 word, other_word);
}

static void check_data_refused(const char *data, const char *word)
{
    const char *args[] = {"--role", "coordinator", "--data", data, "--listen", "tcp://127.0.0.1:0",
                          "--log",  "error",       NULL};
    check_refused(args, word, data);
}

static void test_data_folder(void **state)
{
    (void)state;
    char path[400];
    file_touch(&c, "file");
    file_path(&c, "file", path, sizeof path);
    check_data_refused(path, "Not a directory");
    file_path(&c, "missing/deeper", path, sizeof path);
    check_data_refused(path, "No such file");
    file_path(&c, "locked", path, sizeof path);
    assert_int_equal(mkdir(path, 0500), 0);
    if (geteuid()) // nothing is unwritable to root, save what follows
        check_data_refused(path, "Permission denied");
    check_data_refused("/proc/dtf", "/proc/dtf");
}

static void test_damaged(void **state)
{
    (void)state;
    char path[400];
    file_path(&c, "dtf.db", path, sizeof path);
    FILE *f = fopen(path, "w");
    for (int i = 0; i < 1000; i++)
        fputs("this is no database ", f);
    fclose(f);
    check_data_refused(c.folder, "not a database");
}

static void test_in_use(void **state)
{
    (void)state;
    struct cluster running;
    char word[40];
    cluster_start(&running);
    snprintf(word, sizeof word, "in use by process %d", (int)running.coordinator.pid);
    check_data_refused(running.data, word);
    uint64_t task =
        cluster_create_gate(&running, "gate", &(struct gate_param){.count = 1}, NULL); // it does not mind
    assert_int_equal(cluster_status(&running, task).status, DTF_TASK_RUNNING);
    const char *args[] = {"--role",       "coordinator", "--memory", "--listen",
                          running.listen, "--log",       "error",    NULL};
    check_refused(args, running.listen, "in use"); // its port
    cluster_stop(&running);
}

static void test_plugins(void **state)
{
    (void)state;
    static const struct {
        const char *file, *word;
    } rows[] = {
        {"there_is_no_such_plugin.so", "No such file"},
        {"dtfd", "dtfd"},
        {"no_plugin.so", "dtf_plugin_v1"},
        {"old_abi.so", "ABI 2"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char path[4200];
        daemon_path(path, sizeof path, rows[i].file);
        const char *args[] = {"--memory", "--listen", "tcp://127.0.0.1:0", "--plugin", path, "--log",
                              "error",    NULL};
        check_refused(args, rows[i].file, rows[i].word);
    }
    char gate[4200];
    daemon_path(gate, sizeof gate, "gate.so");
    const char *twice[] = {"--memory", "--listen", "tcp://127.0.0.1:0", "--plugin", gate, "--plugin",
                           gate,       NULL};
    check_refused(twice, "gate", "registered already");
}

// ---- a full disk

static void set_limit(pid_t pid, rlim_t bytes)
{
    struct rlimit l;
    assert_int_equal(prlimit(pid, RLIMIT_FSIZE, NULL, &l), 0);
    l.rlim_cur = bytes < l.rlim_max ? bytes : l.rlim_max;
    assert_int_equal(prlimit(pid, RLIMIT_FSIZE, &l, NULL), 0);
}

static int create_large(uint64_t *task, struct nrpc_status *st)
{
    static char param[200000];
    struct dtf_task_param p = {
        .type = "command", .fed = true, .type_param = param, .type_param_bytes = sizeof param};
    return dtf_task_create(c.client, &p, task, st);
}

// Creates tasks until there is no room; returns the last that was taken.
static uint64_t fill_disk(struct nrpc_status *st)
{
    uint64_t task = 0, last = 0;
    for (int i = 0; i < 500; i++) {
        if (create_large(&task, st))
            return last;
        last = task;
    }
    fail_msg("the disk does not get full");
    return 0;
}

// The limit of the size of files stands for a disk without room: the daemon inherits it, and that the signal
// is ignored.
static void test_full(void **state)
{
    (void)state;
    struct nrpc_status st;
    signal(SIGXFSZ, SIG_IGN);
    set_limit(0, 3 << 20);
    daemon_remove(c.folder);
    cluster_start(&c);
    set_limit(0, RLIM_INFINITY);
    cluster_start_node(&c, 0, "2", "1000");
    uint64_t last = fill_disk(&st);
    print_message("when the disk is full: %s, \"%s\"\n", nrpc_code_name(st.code), st.text);
    assert_true(last > 0);
    assert_true(st.code == NRPC_RESOURCE_EXHAUSTED || st.code == NRPC_UNAVAILABLE);
    assert_true(strlen(st.text) > 10);
    for (int i = 0; i < 100; i++) // it goes on answering
        assert_int_equal(cluster_status(&c, last).status, DTF_TASK_RUNNING);
    uint64_t task;
    assert_int_equal(create_large(&task, &st), st.code);
    assert_int_not_equal(st.code, NRPC_OK);
    set_limit(c.coordinator.pid, RLIM_INFINITY); // somebody made room
    WAIT_FOR(create_large(&task, &st) == NRPC_OK, 20000);
    assert_int_equal(dtf_task_cancel(c.client, task, NULL, &st), NRPC_OK);
    assert_int_equal(cluster_wait(&c, task).status, DTF_TASK_CANCELLED);
    uint64_t commands = cluster_create_commands(&c, NULL, "true", 3, 0);
    assert_int_equal(cluster_wait(&c, commands).succeeded, 3);
    assert_int_equal(cluster_status(&c, last).status, DTF_TASK_RUNNING);
    cluster_restart(&c, SIGKILL);
    assert_int_equal(cluster_status(&c, last).status, DTF_TASK_RUNNING); // all that was acknowledged is there
    cluster_stop(&c);
    daemon_folder(c.folder, sizeof c.folder);
}

// The disk is full while results come in: they are kept by the nodes until there is room.
static void test_full_meanwhile(void **state)
{
    (void)state;
    struct nrpc_status st;
    signal(SIGXFSZ, SIG_IGN);
    daemon_remove(c.folder);
    cluster_start(&c);
    cluster_start_node(&c, 0, "2", "1000");
    uint64_t task = cluster_create_gate(&c, "gate", &(struct gate_param){.count = 300, .run_ms = 2}, NULL);
    WAIT_FOR(cluster_status(&c, task).succeeded > 20, PATIENCE_MS);
    set_limit(c.coordinator.pid, 4096); // not even what is there already
    struct dtf_task_info info;
    assert_int_equal(dtf_task_wait(c.client, task, 4000, &info, &st),
                     NRPC_DEADLINE_EXCEEDED); // the lease is 1 s
    assert_true(info.succeeded < 300);
    WAIT_FOR(cluster_health(&c, "dtf.records") == HEALTH_NOT_SERVING, PATIENCE_MS);
    assert_int_equal(cluster_health(&c, "dtf.state"), HEALTH_NOT_SERVING);
    assert_int_equal(cluster_health(&c, ""), HEALTH_SERVING);
    set_limit(c.coordinator.pid, RLIM_INFINITY);
    WAIT_FOR(cluster_health(&c, "dtf.records") == HEALTH_SERVING, PATIENCE_MS);
    info = cluster_wait(&c, task);
    assert_int_equal(info.status, DTF_TASK_COMPLETED);
    assert_int_equal(info.succeeded, 300);
    assert_int_equal(info.generated, 300);
    assert_int_equal(info.redispatched, 0); // the node was there all the time
    cluster_stop(&c);
    daemon_folder(c.folder, sizeof c.folder);
}

// What would be written into a file that is on no disk any more is not acknowledged.
static void test_deleted(void **state)
{
    (void)state;
    struct nrpc_status st;
    uint64_t task;
    char data[sizeof c.data];
    daemon_remove(c.folder);
    cluster_start(&c);
    snprintf(data, sizeof data, "%s", c.data);
    assert_int_equal(create_large(&task, &st), NRPC_OK);
    daemon_remove(data);
    assert_int_not_equal(create_large(&task, &st), NRPC_OK);
    assert_non_null(strstr(st.text, "was deleted, moved or replaced"));
    WAIT_FOR(cluster_health(&c, "dtf.records") == HEALTH_NOT_SERVING, PATIENCE_MS);
    WAIT_FOR(cluster_health(&c, "dtf.state") == HEALTH_NOT_SERVING, PATIENCE_MS);
    cluster_restart(&c, SIGTERM); // it begins anew
    assert_int_equal(create_large(&task, &st), NRPC_OK);
    assert_int_equal(cluster_health(&c, "dtf.records"), HEALTH_SERVING);
    cluster_stop(&c);
    daemon_folder(c.folder, sizeof c.folder);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(data_folder), TEST(damaged),        TEST(in_use),  TEST(plugins),
        TEST(full),        TEST(full_meanwhile), TEST(deleted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
