// SPDX-License-Identifier: Apache-2.0
// records_bench.c: how fast the MySQL record store is: durable creates per second, one by one from 1 and 8
// callers and in batches, in an empty table and in one of 100,000 tasks.
//
//     records_bench [url]     (default: a private server, which waits for its disk at every commit)
//
// With a url the database must be empty, and is not cleared. Five runs each; minimum, median and maximum are
// shown.
#include "base/clock.h"
#include "records/records_mysql.h"
#include "servers/servers.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { RUNS = 5, RUN_US = 1000000, CALLERS_MAX = 8, BATCH = 100, FILL = 100000, FILL_BATCH = 1000 };

static struct records *store;

static void must(int code, const struct nrpc_status *st)
{
    if (!code)
        return;
    fprintf(stderr, "%s: %s\n", nrpc_code_name(code), st->text);
    exit(1);
}

static struct records_new_task one_task(void)
{
    static const char param[100];
    return (struct records_new_task){.name = "bench",
                                     .description = "a task like others",
                                     .type = "bench",
                                     .creator = "bench",
                                     .group = "default",
                                     .priority = 2000,
                                     .created_ms = 1,
                                     .deadline_ms = 1000,
                                     .param = {param, sizeof param}};
}

static void create(size_t count)
{
    struct nrpc_status st;
    struct records_new_task tasks[FILL_BATCH];
    for (size_t i = 0; i < count; i++)
        tasks[i] = one_task();
    must(store->ops->create(store, tasks, count, &st), &st);
}

struct caller {
    pthread_t thread;
    size_t batch;
    int64_t until_us;
    uint64_t created;
};

static void *create_until(void *arg)
{
    struct caller *c = arg;
    while (clock_mono_us() < c->until_us) {
        create(c->batch);
        c->created += c->batch;
    }
    return NULL;
}

static double run_once(unsigned callers, size_t batch)
{
    struct caller all[CALLERS_MAX];
    uint64_t created = 0;
    int64_t start = clock_mono_us();
    for (unsigned i = 0; i < callers; i++) {
        all[i] = (struct caller){.batch = batch, .until_us = start + RUN_US};
        if (pthread_create(&all[i].thread, NULL, create_until, &all[i]))
            exit(1);
    }
    for (unsigned i = 0; i < callers; i++) {
        pthread_join(all[i].thread, NULL);
        created += all[i].created;
    }
    return (double)created * 1e6 / (double)(clock_mono_us() - start);
}

static int compare(const void *x, const void *y)
{
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static void measure(const char *what, unsigned callers, size_t batch)
{
    double rates[RUNS];
    for (int i = 0; i < RUNS; i++)
        rates[i] = run_once(callers, batch);
    qsort(rates, RUNS, sizeof *rates, compare);
    printf("%-44s %8.0f %8.0f %8.0f\n", what, rates[0], rates[RUNS / 2], rates[RUNS - 1]);
    fflush(stdout);
}

static void measure_singles(const char *when)
{
    printf("%s: tasks/s, min median max\n", when);
    measure("  1 caller, one by one", 1, 1);
    measure("  8 callers, one by one", CALLERS_MAX, 1);
}

// The time for what a manager does with a full table, in milliseconds.
static void measure_reads(void)
{
    struct nrpc_status st;
    struct arena a;
    struct records_task *tasks;
    size_t count = 1, seen = 0, removed;
    arena_init(&a, 0);
    int64_t start = clock_mono_us();
    for (uint64_t after = 0; count; seen += count) {
        arena_reset(&a);
        must(store->ops->unfinished(store, after, 1000, &a, &tasks, &count, &st), &st);
        after = count ? tasks[count - 1].id : 0;
    }
    printf("all %zu unfinished tasks read: %.0f ms\n", seen, (double)(clock_mono_us() - start) / 1e3);
    start = clock_mono_us();
    must(store->ops->list(store, 0, 0, 100, &a, &tasks, &count, &st), &st);
    printf("the newest %zu listed: %.1f ms\n", count, (double)(clock_mono_us() - start) / 1e3);
    start = clock_mono_us();
    must(store->ops->trim(store, 0, UINT64_MAX, UINT64_MAX, 1000, &removed, &st), &st);
    printf("a trim that finds nothing: %.1f ms\n", (double)(clock_mono_us() - start) / 1e3);
    arena_fini(&a);
}

int main(int argc, char **argv)
{
    struct nrpc_status st;
    struct server_mariadb_options o = {.config = "innodb-buffer-pool-size=256M\ninnodb-log-file-size=256M"};
    struct server *server = argc > 1 ? NULL : server_mariadb(&o);
    const char *url = server ? server_url(server) : argv[1];
    must(records_mysql_open(&(struct records_mysql_options){.url = url, .migrate = true}, &store, &st), &st);
    measure_singles("empty table");
    for (size_t i = 0; i < FILL; i += FILL_BATCH)
        create(FILL_BATCH);
    measure_reads();
    measure_singles("over 100,000 tasks");
    measure("  1 caller, batches of 100", 1, BATCH);
    measure("  8 callers, batches of 100", CALLERS_MAX, BATCH);
    store->ops->close(store);
    server_destroy(server);
    return 0;
}
