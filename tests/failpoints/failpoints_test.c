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
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

enum { WORKERS_EMBEDDED = 8, WORKERS_CLUSTER = 8, WORKERS_MAX = 32, LOOK_MS = 20 };

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

// ---- a worker: runs until none is left, and once more in the next stage

static void wait_for_stage(struct plan *plan)
{
    unsigned stage = atomic_load(&plan->stage);
    atomic_fetch_add(&plan->idle, 1);
    while (atomic_load(&plan->stage) == stage)
        (void)poll(NULL, 0, LOOK_MS);
}

static int work(const char *path, const char *mysql_url)
{
    static struct rounds rounds;
    struct plan *plan = open_plan(path);
    unsigned failed = 0;
    rounds.seed = plan->seed;
    place_open(&rounds.place, mysql_url);
    while (atomic_load(&plan->stage) != PLAN_IS_OVER) {
        size_t i = atomic_fetch_add(&plan->next, 1);
        if (i < plan->count)
            failed += !round_run(&rounds, &plan->runs[i], plan);
        else
            wait_for_stage(plan);
    }
    atomic_fetch_add(&plan->failed, failed);
    place_close(&rounds.place, failed);
    return 0;
}

// ---- the test: plans, and lets workers do it

static char folder[240], plan_path[260];
static struct server *mariadb;
static pid_t workers[WORKERS_MAX]; // 0: it has ended
static unsigned worker_count;

// Each on a database of its own.
static void start_worker(unsigned i)
{
    char url[200] = "";
    char *argv[] = {"failpoints_test", "worker", plan_path, mariadb ? url : NULL, NULL};
    if (mariadb) {
        char statement[300];
        snprintf(statement, sizeof statement, "CREATE DATABASE IF NOT EXISTS dtf%u", i);
        bool done = look_do(mariadb, statement);
        snprintf(statement, sizeof statement, "GRANT ALL ON dtf%u.* TO 'dtf'@'127.0.0.1'", i);
        if (!done || !look_do(mariadb, statement))
            exit(1);
        snprintf(url, sizeof url, "%s%u", server_url(mariadb), i);
    }
    if (posix_spawn(&workers[i], "/proc/self/exe", NULL, NULL, argv, environ)) {
        perror("posix_spawn");
        exit(1);
    }
}

static bool forget(unsigned i)
{
    workers[i] = 0;
    return true;
}

// Until all have done what there was to do in this stage. Returns how many ended, which none should.
static unsigned wait_for_workers(const struct plan *plan)
{
    unsigned ended = 0;
    while (ended + atomic_load(&plan->idle) < worker_count) {
        for (unsigned i = 0; i < worker_count; i++)
            ended += workers[i] && waitpid(workers[i], NULL, WNOHANG) == workers[i] && forget(i);
        (void)poll(NULL, 0, LOOK_MS);
    }
    return ended;
}

static void begin_stage(struct plan *plan, enum plan_stage stage)
{
    atomic_store(&plan->idle, 0);
    atomic_store(&plan->next, 0);
    atomic_store(&plan->stage, stage);
}

// Returns how many did not come to their end.
static unsigned end_workers(struct plan *plan)
{
    unsigned wrong = 0;
    begin_stage(plan, PLAN_IS_OVER);
    for (unsigned i = 0; i < worker_count; i++) {
        int status = 0;
        wrong += workers[i] && (waitpid(workers[i], &status, 0) != workers[i] || status);
    }
    return wrong;
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
    for (unsigned i = 0; mariadb && i < worker_count; i++) {
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
    unsigned asked = number("DTF_WORKERS", cluster ? WORKERS_CLUSTER : WORKERS_EMBEDDED), wrong;
    worker_count = asked < WORKERS_MAX ? asked : WORKERS_MAX;
    daemon_folder(folder, sizeof folder);
    snprintf(plan_path, sizeof plan_path, "%s/plan", folder);
    struct plan *plan = open_plan(plan_path);
    plan->seed = number("DTF_SEED", (unsigned)(clock_now_ms() % 1000000));
    mariadb = cluster ? server_mariadb(NULL) : NULL;
    int64_t start_us = clock_mono_us();
    plan_counting(plan, cluster);
    for (unsigned i = 0; i < worker_count; i++)
        start_worker(i);
    wrong = wait_for_workers(plan);
    wrong += plan_dying(plan, cluster, number("DTF_ALL", 0));
    keep_only(plan, getenv("DTF_ONLY"));
    if (!wrong || getenv("DTF_ONLY")) {
        begin_stage(plan, PLAN_KILLS);
        wrong += wait_for_workers(plan);
    }
    wrong += end_workers(plan);
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
