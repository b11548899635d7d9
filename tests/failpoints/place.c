// SPDX-License-Identifier: Apache-2.0
// place.c: processes, their arguments, and a look into the state store.
#include "failpoints/place.h"

#include "base/clock.h"
#include "chaos/errand.h"
#include "chaos/site.h"
#include "system/daemon.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { END_MS = 20000, BIN_MAX = 400 };

static _Noreturn void die(const char *what)
{
    perror(what);
    exit(1);
}

// ---- opening

static void share_point(struct place *p)
{
    int fd = open(p->shared, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof *p->point))
        die(p->shared);
    p->point = mmap(NULL, sizeof *p->point, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void)close(fd);
    if (p->point == MAP_FAILED || setenv(FAILPOINT_FILE, p->shared, 1))
        die(p->shared);
}

static void start_node(struct place *p, unsigned i)
{
    char dtfd[BIN_MAX], plugin[BIN_MAX], name[20], log[sizeof p->nodes[i].log];
    daemon_path(dtfd, sizeof dtfd, "dtfd");
    daemon_path(plugin, sizeof plugin, "errand.so");
    snprintf(name, sizeof name, "node%u", i);
    const char *argv[] = {dtfd,     "--role", "executor", "--slots", "2",     "--plugin", plugin,
                          "--name", name,     "--join",   p->url,    "--log", "info",     NULL};
    snprintf(log, sizeof log, "%s/%s.log", p->folder, name);
    memcpy(p->nodes[i].log, log, sizeof log);
    program_start(&p->nodes[i], argv, NULL);
}

void place_open(struct place *p, const char *mysql_url)
{
    *p = (struct place){.mysql_url = mysql_url};
    daemon_folder(p->folder, sizeof p->folder);
    snprintf(p->data, sizeof p->data, "%s/data", p->folder);
    snprintf(p->runs, sizeof p->runs, "%s/runs", p->folder);
    snprintf(p->shared, sizeof p->shared, "%s/point", p->folder);
    snprintf(p->url, sizeof p->url, "ipc://%s/socket", p->folder);
    snprintf(p->coordinator.log, sizeof p->coordinator.log, "%s/coordinator.log", p->folder);
    if (mkdir(p->runs, 0700) || setenv(ERRAND_RUNS, p->runs, 1))
        die(p->runs);
    share_point(p);
    if (mysql_url)
        p->redis = server_redis(&(struct server_redis_options){.aof = true});
    for (unsigned i = 0; i < PLACE_NODES; i++)
        start_node(p, i);
}

void place_close(struct place *p, bool keep_folder)
{
    for (unsigned i = 0; i < PLACE_NODES; i++)
        (void)program_end(&p->nodes[i], SIGKILL);
    (void)program_end(&p->coordinator, SIGKILL);
    server_destroy(p->redis);
    if (!keep_folder)
        daemon_remove(p->folder);
}

// ---- the coordinator

void place_start(struct place *p, int operation, bool is_after, uint32_t call)
{
    char dtfd[BIN_MAX], plugin[BIN_MAX], lease[20];
    daemon_path(dtfd, sizeof dtfd, "failpoints_dtfd");
    daemon_path(plugin, sizeof plugin, "errand.so");
    snprintf(lease, sizeof lease, "%d", PLACE_LEASE_MS);
    const char *redis_url = p->redis ? server_url(p->redis) : NULL;
    const char *argv[] = {dtfd,    "--role",   "coordinator", "--plugin", plugin, "--node-lease",
                          lease,   "--listen", p->url,        "--log",    "info", "--data",
                          p->data, NULL,       NULL,          NULL};
    if (p->mysql_url)
        memcpy(&argv[11], (const char *[]){"--redis", redis_url, "--mysql", p->mysql_url}, 4 * sizeof *argv);
    memset(p->point, 0, sizeof *p->point);
    p->point->operation = operation;
    p->point->is_after = is_after;
    p->point->call = call;
    program_start(&p->coordinator, argv, NULL);
}

bool place_is_ready(const struct place *p)
{
    return program_said(&p->coordinator, "ready\n");
}

bool place_has_died(struct place *p)
{
    return !program_runs(&p->coordinator);
}

bool place_end(struct place *p)
{
    int64_t until_us = clock_mono_us() + END_MS * 1000ll;
    program_signal(&p->coordinator, SIGTERM);
    while (program_runs(&p->coordinator) && clock_mono_us() < until_us)
        (void)poll(NULL, 0, 2);
    if (p->coordinator.pid) {
        (void)program_end(&p->coordinator, SIGKILL);
        return false;
    }
    return !atomic_load(&p->point->is_hit);
}

// ---- what is left

static const char *const tables[] = {"task",   "task_param", "checkpoint", "params", "tile",
                                     "result", "failure",    "gone",       "blame",  "feeder"};

static void sqlite_leftovers(const struct place *p, char *out, size_t size)
{
    char path[300], query[80];
    sqlite3 *db;
    snprintf(path, sizeof path, "%s/dtf.db", p->data);
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL))
        snprintf(out, size, "%s cannot be opened", path);
    for (size_t i = 0; i < sizeof tables / sizeof *tables && !*out; i++) {
        sqlite3_stmt *stmt = NULL;
        snprintf(query, sizeof query, "SELECT count(*) FROM %s%s", tables[i],
                 !strcmp(tables[i], "gone") ? " WHERE until >= 0" : ""); // not read to the end
        if (sqlite3_prepare_v2(db, query, -1, &stmt, NULL) || sqlite3_step(stmt) != SQLITE_ROW)
            snprintf(out, size, "%s: %s", query, sqlite3_errmsg(db));
        else if (sqlite3_column_int64(stmt, 0))
            snprintf(out, size, "%lld rows of %s", sqlite3_column_int64(stmt, 0), tables[i]);
        sqlite3_finalize(stmt);
    }
    sqlite3_close(db);
}

void place_leftovers(const struct place *p, char *out, size_t size)
{
    *out = 0;
    if (p->redis)
        site_leftovers(p->redis, out, size);
    else
        sqlite_leftovers(p, out, size);
}
