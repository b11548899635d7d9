// SPDX-License-Identifier: Apache-2.0
// dtf_bench.c: the figures of the task framework: throughput, latency, dtf map against xargs, an idle daemon.
//
//     dtf_bench [cluster] [FIGURE]...
//
// Everything runs on this machine over TCP loopback: a coordinator process, node processes, this process as
// the client; with "cluster" on a Redis (appendfsync everysec) and a MariaDB (durable commits) of its own and
// one node, else on the embedded store and two nodes. Each figure is printed as min / median / max over the
// runs. See README.md for what they are compared with.
#include "base/clock.h"
#include "bench/rpc/measure.h"
#include "dtf.h"
#include "servers/servers.h"
#include "system/daemon.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NODES_MAX = 2, RUNS_MAX = 25 };

static char plugin[4200];
static struct server *redis, *mariadb; // NULL: on the embedded store
static size_t node_count = NODES_MAX;

struct cluster {
    char folder[300];
    struct daemon coordinator, nodes[NODES_MAX];
    struct dtf_client *client;
};

static _Noreturn void die(const char *what, const struct nrpc_status *st)
{
    fprintf(stderr, "dtf_bench: %s: %s\n", what, st ? st->text : "failed");
    exit(1);
}

static void cluster_start(struct cluster *c, const char *slots)
{
    struct nrpc_status st;
    *c = (struct cluster){0};
    daemon_folder(c->folder, sizeof c->folder);
    const char *embedded[] = {"--role",   "coordinator", "--data", c->folder, "--listen", "tcp://127.0.0.1:0",
                              "--plugin", plugin,        "--log",  "warn",    NULL};
    const char *on_servers[] = {"--role",   "coordinator",
                                "--listen", "tcp://127.0.0.1:0",
                                "--redis",  redis ? server_url(redis) : "",
                                "--mysql",  mariadb ? server_url(mariadb) : "",
                                "--plugin", plugin,
                                "--log",    "warn",
                                NULL};
    if (!daemon_start(&c->coordinator, "dtfd", redis ? on_servers : embedded))
        die("dtfd", NULL);
    for (size_t i = 0; i < node_count; i++)
        if (!daemon_start(&c->nodes[i], "dtfd",
                          (const char *[]){"--role", "executor", "--join", c->coordinator.url, "--slots",
                                           slots, "--plugin", plugin, "--log", "warn", NULL}))
            die("node", NULL);
    if (dtf_client_open(c->coordinator.url, &c->client, &st))
        die("client", &st);
    struct dtf_node_info nodes[NODES_MAX];
    for (size_t n = 0; n < node_count;) {
        n = NODES_MAX;
        if (dtf_nodes(c->client, nodes, &n, &st))
            die("nodes", &st);
    }
}

static void cluster_stop(struct cluster *c)
{
    dtf_client_close(c->client);
    for (size_t i = 0; i < node_count; i++)
        daemon_kill(&c->nodes[i], SIGTERM);
    daemon_kill(&c->coordinator, SIGTERM);
    daemon_remove(c->folder);
}

// ---- figures

static void print_figure(const char *name, double *values, size_t count, const char *unit)
{
    // cppcheck-suppress uninitvar ; the caller has filled `count` of them
    qsort(values, count, sizeof *values, measure_compare);
    printf("%-58s %11.2f / %11.2f / %11.2f %s\n", name, values[0], values[count / 2], values[count - 1],
           unit);
    fflush(stdout);
}

static double resident_mib(pid_t pid)
{
    char path[64], line[200];
    long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        sscanf(line, "VmRSS: %ld", &kib);
    if (f)
        fclose(f);
    return (double)kib / 1024;
}

// ---- throughput

struct noop { // as the plugin reads it
    uint64_t subtasks, bytes, run_us, uneven;
};

static uint64_t create_noop(struct cluster *c, const struct noop *noop)
{
    struct nrpc_status st;
    struct dtf_task_param p = {.type = "noop", .type_param = noop, .type_param_bytes = sizeof *noop};
    uint64_t id;
    if (dtf_task_create(c->client, &p, &id, &st))
        die("create", &st);
    return id;
}

static uint64_t create(struct cluster *c, uint64_t subtasks)
{
    return create_noop(c, &(struct noop){.subtasks = subtasks, .bytes = 100});
}

static void wait_for(struct cluster *c, uint64_t id, uint64_t subtasks)
{
    struct nrpc_status st;
    struct dtf_task_info info;
    if (dtf_task_wait(c->client, id, 600000, &info, &st))
        die("wait", &st);
    if (info.status != DTF_TASK_COMPLETED || info.succeeded != subtasks)
        die("the task did not complete", NULL);
}

static double run_tasks(struct cluster *c, size_t tasks, uint64_t subtasks)
{
    uint64_t *ids = calloc(tasks, sizeof *ids);
    int64_t start_us = clock_mono_us();
    for (size_t i = 0; i < tasks; i++)
        ids[i] = create(c, subtasks);
    for (size_t i = 0; i < tasks; i++)
        wait_for(c, ids[i], subtasks);
    free(ids);
    return (double)(tasks * subtasks) / ((double)(clock_mono_us() - start_us) / 1e6);
}

struct spent {
    double cpu, scripts, commits; // since the start
};

static double number_after(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at ? strtod(at + strlen(name), NULL) : 0;
}

static double commits_of(const struct server *s)
{
    char command[512], text[256] = "";
    snprintf(command, sizeof command,
             "mariadb -u root -S %s -Ne \"SHOW GLOBAL STATUS WHERE Variable_name = 'Com_commit'\"",
             server_socket(s));
    FILE *f = popen(command, "r");
    size_t n = f ? fread(text, 1, sizeof text - 1, f) : 0;
    text[n] = 0;
    if (f)
        pclose(f);
    return number_after(text, "Com_commit");
}

static struct spent spent(const struct cluster *c)
{
    char answer[32768];
    struct spent s = {.cpu = measure_cpu_s(c->coordinator.pid)};
    for (size_t i = 0; i < node_count; i++)
        s.cpu += measure_cpu_s(c->nodes[i].pid);
    if (!redis)
        return s;
    s.cpu += measure_cpu_s(server_pid(redis)) + measure_cpu_s(server_pid(mariadb));
    server_ask(redis, "INFO commandstats", answer, sizeof answer);
    s.scripts = number_after(answer, "cmdstat_evalsha:calls=");
    s.commits = commits_of(mariadb);
    return s;
}

static void bench_throughput(size_t runs, size_t tasks, uint64_t subtasks)
{
    double rate[RUNS_MAX], cpu[RUNS_MAX], scripts[RUNS_MAX], commits[RUNS_MAX];
    char name[100];
    struct cluster c;
    cluster_start(&c, "2");
    run_tasks(&c, 1, 1000);
    for (size_t i = 0; i < runs; i++) {
        struct spent before = spent(&c);
        rate[i] = run_tasks(&c, tasks, subtasks);
        struct spent after = spent(&c);
        cpu[i] = (after.cpu - before.cpu) * 1e3 / (double)(tasks * subtasks) * 1e3;
        scripts[i] = (after.scripts - before.scripts) * 1e3 / (double)(tasks * subtasks);
        commits[i] = (after.commits - before.commits) / (double)tasks;
    }
    snprintf(name, sizeof name, "noop: %zu task(s) of %llu subtasks", tasks, (unsigned long long)subtasks);
    print_figure(name, rate, runs, "subtasks/s");
    print_figure(redis ? "  CPU of coordinator, nodes, Redis, MariaDB" : "  CPU of coordinator and nodes",
                 cpu, runs, "ms per 1,000");
    if (redis) {
        print_figure("  Redis commands sent", scripts, runs, "per 1,000");
        print_figure("  MariaDB transactions per task", commits, runs, "");
    }
    double rss = resident_mib(c.coordinator.pid);
    print_figure("  resident memory of the coordinator afterwards", &rss, 1, "MiB");
    cluster_stop(&c);
}

// ---- how busy slots are

enum { BUSY_SLOTS = 16, BUSY_S = 20 };

// Of the time that all slots of all nodes have, what subtasks of this length slept.
static void bench_busy(size_t runs, uint64_t run_us, bool uneven)
{
    double busy[RUNS_MAX];
    char name[100], slots[8];
    struct cluster c;
    uint64_t all = node_count * BUSY_SLOTS, count = all * BUSY_S * 1000000 / run_us;
    const struct noop noop = {.subtasks = count, .bytes = 100, .run_us = run_us, .uneven = uneven};
    snprintf(slots, sizeof slots, "%d", BUSY_SLOTS);
    cluster_start(&c, slots);
    for (size_t i = 0; i < runs; i++) {
        int64_t start_us = clock_mono_us();
        wait_for(&c, create_noop(&c, &noop), count);
        busy[i] = 100 * (double)(count * run_us) / (double)all / (double)(clock_mono_us() - start_us);
    }
    snprintf(name, sizeof name, "%llu slots, subtasks of %llu ms%s: busy", (unsigned long long)all,
             (unsigned long long)run_us / 1000, uneven ? ", unevenly" : "");
    print_figure(name, busy, runs, "% of the time");
    cluster_stop(&c);
}

// ---- one huge task

enum { HUGE_FIFTHS = 5 };

static void bench_huge(uint64_t subtasks)
{
    struct nrpc_status st;
    struct dtf_task_info info = {0};
    struct cluster c;
    char name[60];
    cluster_start(&c, "2");
    uint64_t id = create(&c, subtasks);
    int64_t last_us = clock_mono_us();
    for (uint64_t fifth = 1; fifth <= HUGE_FIFTHS; fifth++) {
        uint64_t from = info.succeeded;
        while (info.succeeded < subtasks * fifth / HUGE_FIFTHS) {
            usleep(10000);
            if (dtf_task_status(c.client, id, &info, &st))
                die("status", &st);
        }
        int64_t now_us = clock_mono_us();
        double rate = (double)(info.succeeded - from) / ((double)(now_us - last_us) / 1e6);
        double rss = resident_mib(c.coordinator.pid);
        last_us = now_us;
        snprintf(name, sizeof name, "one task of %llu, fifth %llu", (unsigned long long)subtasks,
                 (unsigned long long)fifth);
        print_figure(name, &rate, 1, "subtasks/s");
        print_figure("  resident memory of the coordinator", &rss, 1, "MiB");
    }
    wait_for(&c, id, subtasks);
    cluster_stop(&c);
}

// ---- latency

static void bench_latency(size_t runs, size_t count)
{
    double p50[RUNS_MAX], p99[RUNS_MAX], max[RUNS_MAX];
    double *us = calloc(count, sizeof *us);
    struct cluster c;
    cluster_start(&c, "2");
    run_tasks(&c, 1, 1000);
    for (size_t r = 0; r < runs; r++) {
        for (size_t i = 0; i < count; i++) {
            int64_t start_us = clock_mono_us();
            wait_for(&c, create(&c, 1), 1);
            us[i] = (double)(clock_mono_us() - start_us);
        }
        qsort(us, count, sizeof *us, measure_compare);
        p50[r] = us[count / 2] / 1e3;
        p99[r] = us[count * 99 / 100] / 1e3;
        max[r] = us[count - 1] / 1e3;
    }
    print_figure("one task of one subtask, create to completed, p50", p50, runs, "ms");
    print_figure("  p99", p99, runs, "ms");
    print_figure("  max", max, runs, "ms");
    free(us);
    cluster_stop(&c);
}

// ---- creation

enum { CREATORS = 64 };

struct creator {
    struct cluster *cluster;
    size_t count;
};

static void *create_many(void *arg)
{
    struct creator *c = arg;
    for (size_t i = 0; i < c->count; i++)
        create(c->cluster, 1);
    return NULL;
}

static double creation_rate(struct cluster *c, size_t count)
{
    pthread_t threads[CREATORS];
    struct creator creators[CREATORS];
    int64_t start_us = clock_mono_us();
    for (int i = 0; i < CREATORS; i++) {
        creators[i] = (struct creator){c, count / CREATORS};
        pthread_create(&threads[i], NULL, create_many, &creators[i]);
    }
    for (int i = 0; i < CREATORS; i++)
        pthread_join(threads[i], NULL);
    return (double)count / ((double)(clock_mono_us() - start_us) / 1e6);
}

// Tasks of one subtask, which run meanwhile; then the same over all those that are in the table.
static void bench_create(size_t runs, size_t count)
{
    double rate[RUNS_MAX];
    char name[100];
    struct cluster c;
    cluster_start(&c, "2");
    run_tasks(&c, 1, 1000);
    for (size_t pass = 0; pass < 2; pass++) {
        for (size_t r = 0; r < runs; r++)
            rate[r] = creation_rate(&c, count);
        snprintf(name, sizeof name, "%zu creations from %d threads, over %zu tasks", count, CREATORS,
                 pass * runs * count);
        print_figure(name, rate, runs, "tasks/s");
    }
    cluster_stop(&c);
}

// ---- dtf map

static double seconds_of(const char *command)
{
    int64_t start_us = clock_mono_us();
    if (system(command))
        die(command, NULL);
    return (double)(clock_mono_us() - start_us) / 1e6;
}

static void bench_map(size_t runs, size_t items)
{
    double ours[RUNS_MAX], xargs[RUNS_MAX], ratio[RUNS_MAX];
    char map[4400], peer[200];
    snprintf(map, sizeof map, "seq %zu | %s/dtf map -j 2 true >/dev/null", items, daemon_bin());
    snprintf(peer, sizeof peer, "seq %zu | xargs -P2 -n1 true", items);
    for (size_t r = 0; r < runs; r++) {
        xargs[r] = (double)items / seconds_of(peer);
        ours[r] = (double)items / seconds_of(map);
        ratio[r] = ours[r] / xargs[r];
    }
    print_figure("dtf map -j 2 true", ours, runs, "items/s");
    print_figure("xargs -P2 -n1 true", xargs, runs, "items/s");
    print_figure("  ratio, pair by pair", ratio, runs, "");
}

// ---- idle

static void bench_idle(size_t runs, int64_t seconds)
{
    double cpu[RUNS_MAX], rss[RUNS_MAX], node[RUNS_MAX];
    struct cluster c;
    cluster_start(&c, "2");
    run_tasks(&c, 1, 1000);
    for (size_t r = 0; r < runs; r++) {
        double before = measure_cpu_s(c.coordinator.pid), node_before = measure_cpu_s(c.nodes[0].pid);
        sleep((unsigned)seconds); // the thing measured is that nothing happens
        cpu[r] = (measure_cpu_s(c.coordinator.pid) - before) / (double)seconds * 100;
        node[r] = (measure_cpu_s(c.nodes[0].pid) - node_before) / (double)seconds * 100;
        rss[r] = resident_mib(c.coordinator.pid);
    }
    print_figure("idle coordinator with two nodes: CPU", cpu, runs, "% of one core");
    print_figure("  resident memory", rss, runs, "MiB");
    print_figure("  CPU of a node", node, runs, "% of one core");
    cluster_stop(&c);
}

// ---- which

static void all_noop(void)
{
    bench_throughput(5, 1, 200000);
    bench_throughput(5, 100, 2000);
}
// For who compares: the rate alone, after a run that warms up.
static void rate(void)
{
    struct cluster c;
    cluster_start(&c, "2");
    run_tasks(&c, 1, 50000);
    printf("%.0f\n", run_tasks(&c, 1, 200000));
    cluster_stop(&c);
}
static void long_noop(void)
{
    bench_throughput(3, 1, 1000000);
}
static void huge(void)
{
    bench_huge(20000000);
}
static void latency(void)
{
    bench_latency(5, 1000);
}
static void busy(void)
{
    bench_busy(3, 10000, false);
    bench_busy(3, 10000, true);
    bench_busy(3, 100000, false);
    bench_busy(3, 100000, true);
}
static void creation(void)
{
    bench_create(5, 20000);
}
static void map(void)
{
    bench_map(5, 10000);
}
static void idle(void)
{
    bench_idle(3, 10);
}

static const struct {
    const char *name;
    void (*run)(void);
} benches[] = {
    {"noop", all_noop}, {"long", long_noop}, {"latency", latency}, {"create", creation}, {"map", map},
    {"idle", idle},     {"rate", rate},      {"busy", busy},       {"huge", huge},
};

int main(int argc, char **argv)
{
    daemon_path(plugin, sizeof plugin, "noop.so");
    bool cluster = argc > 1 && !strcmp(argv[1], "cluster");
    if (cluster) {
        redis = server_redis(&(struct server_redis_options){.aof = true});
        // as docs/OPERATIONS.md says, in small
        mariadb = server_mariadb(&(struct server_mariadb_options){
            .config = "innodb_buffer_pool_size = 256M\ninnodb_log_file_size = 256M"});
        node_count = 1;
    }
    printf("%-58s %11s / %11s / %11s\n", "", "min", "median", "max");
    for (size_t i = 0; i < sizeof benches / sizeof *benches; i++) {
        bool wanted = argc < 2 + cluster && benches[i].run != rate && benches[i].run != huge &&
                      !(cluster && benches[i].run == map);
        for (int k = 1 + cluster; k < argc; k++)
            wanted |= !strcmp(argv[k], benches[i].name);
        if (wanted)
            benches[i].run();
    }
    return 0;
}
