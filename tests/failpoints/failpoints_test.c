// SPDX-License-Identifier: Apache-2.0
// failpoints_test.c: a coordinator dies before and after each operation of both stores, and another goes on:
// every guarantee must have been kept.
//
// First runs in which nobody dies count the calls of each operation; one that is never called, and not
// exempt, fails the test. Each further run dies at one operation, phase and call. Without arguments on the
// embedded stores, with "cluster" on Redis and MariaDB. DTF_ALL: at the first four calls of each operation,
// not at one of them; DTF_SEED says at which; DTF_ONLY: only operations whose names begin so. Runs go side by
// side, each worker with an installation of its own, since most of a run is waiting.
#include "failpoints/plan.h"
#include "failpoints/round.h"

#include "base/clock.h"
#include "chaos/look.h"
#include "system/daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS_EMBEDDED = 8, WORKERS_CLUSTER = 8, WORKERS_MAX = 32 };

extern char **environ;

static struct plan *open_plan(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(struct plan))) {
        perror(path);
        exit(1);
    }
    struct plan *p = mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (p != MAP_FAILED)
        return p;
    perror(path);
    exit(1);
}

// ---- a worker: runs until none is left

static int work(const char *path, const char *mysql_url)
{
    static struct rounds rounds;
    struct plan *plan = open_plan(path);
    unsigned failed = 0;
    size_t i = atomic_fetch_add(&plan->next, 1);
    if (i >= plan->count)
        return 0;
    rounds.seed = plan->seed;
    place_open(&rounds.place, mysql_url);
    for (; i < plan->count; i = atomic_fetch_add(&plan->next, 1))
        failed += !round_run(&rounds, &plan->runs[i], plan);
    atomic_fetch_add(&plan->failed, failed);
    place_close(&rounds.place, failed);
    return 0;
}

// ---- the test: plans, and lets workers do it

static char folder[240], plan_path[260];
static struct server *mariadb;
static unsigned started; // workers, each with a database of its own

// Worker `i` of all that there will have been.
static pid_t start_worker(unsigned i)
{
    char url[200] = "";
    char *argv[] = {"failpoints_test", "worker", plan_path, url, NULL};
    if (mariadb) {
        char statement[300];
        snprintf(statement, sizeof statement, "CREATE DATABASE IF NOT EXISTS dtf%u", i);
        bool done = look_do(mariadb, statement);
        snprintf(statement, sizeof statement, "GRANT ALL ON dtf%u.* TO 'dtf'@'127.0.0.1'", i);
        if (!done || !look_do(mariadb, statement))
            exit(1);
        snprintf(url, sizeof url, "%s%u", server_url(mariadb), i);
    }
    pid_t pid;
    if (!mariadb)
        argv[3] = NULL;
    if (posix_spawn(&pid, "/proc/self/exe", NULL, NULL, argv, environ)) {
        perror("posix_spawn");
        exit(1);
    }
    return pid;
}

// Returns how many workers did not come to their end.
static unsigned let_workers(unsigned count)
{
    pid_t pids[WORKERS_MAX];
    unsigned died = 0;
    for (unsigned i = 0; i < count; i++)
        pids[i] = start_worker(started++);
    for (unsigned i = 0; i < count; i++) {
        int status = 0;
        died += waitpid(pids[i], &status, 0) != pids[i] || status;
    }
    return died;
}

// An operation's runs that nobody asked for.
static void keep_only(struct plan *p, const char *prefix)
{
    size_t n = 0;
    for (size_t i = 0; i < p->count; i++)
        if (!prefix || !strncmp(plan_name(p->runs[i].operation), prefix, strlen(prefix)))
            p->runs[n++] = p->runs[i];
    p->count = n;
}

static void take_count(void *user, const uint64_t *columns)
{
    *(uint64_t *)user = columns[0];
}

// What no ended task may leave in the databases.
static unsigned check_databases(void)
{
    unsigned wrong = 0;
    for (unsigned i = 0; mariadb && i < started; i++) {
        char query[200];
        uint64_t rest = 0;
        snprintf(
            query, sizeof query,
            "SELECT (SELECT COUNT(*) FROM dtf%u.tbl_resume_point) + (SELECT COUNT(*) FROM dtf%u.tbl_fed)", i,
            i);
        (void)look(mariadb, query, take_count, &rest);
        if (rest)
            printf("%llu resume points and fed subtasks of ended tasks in dtf%u\n", (unsigned long long)rest,
                   i);
        wrong += rest > 0;
    }
    return wrong;
}

static unsigned number(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);
    return text && *text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static unsigned test(bool cluster)
{
    unsigned workers = number("DTF_WORKERS", cluster ? WORKERS_CLUSTER : WORKERS_EMBEDDED), wrong;
    workers = workers < WORKERS_MAX ? workers : WORKERS_MAX;
    daemon_folder(folder, sizeof folder);
    snprintf(plan_path, sizeof plan_path, "%s/plan", folder);
    struct plan *plan = open_plan(plan_path);
    plan->seed = number("DTF_SEED", (unsigned)(clock_now_ms() % 1000000));
    mariadb = cluster ? server_mariadb(NULL) : NULL;
    int64_t start_us = clock_mono_us();
    plan_counting(plan, cluster);
    wrong = let_workers(workers);
    wrong += plan_dying(plan, cluster, number("DTF_ALL", 0));
    keep_only(plan, getenv("DTF_ONLY"));
    wrong += let_workers(workers);
    wrong += check_databases() + plan->failed;
    printf("seed %u: %zu deaths of coordinators in %.0f s, %u runs failed; %s\n", plan->seed, plan->count,
           (double)(clock_mono_us() - start_us) / 1000000, plan->failed,
           wrong ? "BAD" : "every guarantee was kept");
    server_destroy(mariadb);
    daemon_remove(folder);
    return wrong;
}

int main(int argc, char **argv)
{
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 2 && !strcmp(argv[1], "worker"))
        return work(argv[2], argv[3]);
    return test(argc > 1 && !strcmp(argv[1], "cluster")) > 0;
}
