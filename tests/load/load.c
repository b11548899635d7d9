// SPDX-License-Identifier: Apache-2.0
// load.c: a coordinator under the load of thousands of nodes, over TCP, with the nodes' own protocol.
//
//     dtf_load [OPTION]... [SCENARIO]...
//
// Scenarios: idle (nodes that have nothing to do), work (tasks over all nodes), restart (the coordinator is
// killed while they work), lose (a tenth of the nodes falls silent while they work). Each starts a
// coordinator and checks at its end that every subtask was counted once and that no healthy node was taken
// for lost.
#include "base/clock.h"
#include "base/process.h"
#include "bench/rpc/measure.h"
#include "dtf.h"
#include "dtf/v1/task_service.nrpc.h"
#include "load/nodes.h"
#include "servers/servers.h"
#include "system/daemon.h"

#include <getopt.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_MS = 600000, TASKS_MAX = 100000 };

static struct {
    size_t nodes, tasks;
    uint64_t subtasks; // in all
    uint64_t param;    // bytes of each
    unsigned slots, seconds, seed;
    double run_ms;
    bool cluster, uneven, pin;
} options = {.nodes = 10000,
             .tasks = 1000,
             .subtasks = 200000,
             .param = 100,
             .slots = 2,
             .seconds = 20,
             .seed = 1,
             .run_ms = 1000};

struct site {
    char folder[300], listen[200];
    struct server *redis, *mariadb;
    struct daemon coordinator;
    struct dtf_client *client;
    struct load_nodes *nodes;
    uint64_t ids[TASKS_MAX];
    long peak_kib;
};

static struct site site;

static _Noreturn void die(const char *what, const struct nrpc_status *st)
{
    fprintf(stderr, "dtf_load: %s%s%s\n", what, st ? ": " : "", st ? st->text : "");
    exit(1);
}

// ---- what it costs

static long kib_of(pid_t pid, const char *name) // "VmRSS:", "VmHWM:"
{
    char path[64], line[200];
    long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, name, strlen(name)))
            kib = strtol(line + strlen(name), NULL, 10);
    if (f)
        fclose(f);
    return kib;
}

static double redis_number(const char *command, const char *name)
{
    static char answer[65536];
    if (!site.redis)
        return 0;
    server_ask(site.redis, command, answer, sizeof answer);
    const char *at = strstr(answer, name);
    return at ? strtod(at + strlen(name), NULL) : 0;
}

// The slowest of the scripts that took 20 ms or more, in ms; 0: none did. (What SLOWLOG shows of them has
// zero bytes in it, where server_ask's text ends.)
static double slowest_script_ms(size_t *count)
{
    static const char event[] = "$7\r\ncommand\r\n";
    char answer[4096];
    double slowest_ms = 0;
    *count = (size_t)redis_number("SLOWLOG LEN", ":");
    if (!site.redis)
        return 0;
    server_ask(site.redis, "LATENCY LATEST", answer, sizeof answer);
    const char *at = strstr(answer, event); // then :when, :latest, :max
    if (at)
        (void)sscanf(at + strlen(event), ":%*d :%*d :%lf", &slowest_ms);
    return slowest_ms;
}

// ---- the site

static void start_coordinator(void)
{
    char plugin[4200];
    daemon_path(plugin, sizeof plugin, "noop.so");
    const char *embedded[] = {"--role",   "coordinator", "--data", site.folder, "--listen", site.listen,
                              "--plugin", plugin,        "--log",  "warn",      NULL};
    const char *cluster[] = {"--role",   "coordinator",
                             "--listen", site.listen,
                             "--redis",  site.redis ? server_url(site.redis) : "",
                             "--mysql",  site.mariadb ? server_url(site.mariadb) : "",
                             "--plugin", plugin,
                             "--log",    "warn",
                             NULL};
    cpu_set_t all, one;
    CPU_ZERO(&one);
    CPU_SET(0, &one);
    sched_getaffinity(0, sizeof all, &all);
    if (options.pin)
        sched_setaffinity(0, sizeof one, &one); // it inherits that
    if (!daemon_start(&site.coordinator, "dtfd", options.cluster ? cluster : embedded))
        die("no coordinator", NULL);
    sched_setaffinity(0, sizeof all, &all);
    strcpy(site.listen, site.coordinator.url);
}

static void start(void)
{
    struct nrpc_status st;
    site.peak_kib = 0;
    strcpy(site.listen, "tcp://127.0.0.1:0");
    daemon_folder(site.folder, sizeof site.folder);
    if (options.cluster) {
        site.redis = server_redis(&(struct server_redis_options){.aof = true});
        site.mariadb = server_mariadb(&(struct server_mariadb_options){
            .config = "innodb_buffer_pool_size = 256M\ninnodb_log_file_size = 256M"});
        char answer[100];
        server_ask(site.redis, "CONFIG SET slowlog-log-slower-than 20000", answer, sizeof answer);
        server_ask(site.redis, "CONFIG SET latency-monitor-threshold 20", answer, sizeof answer);
    }
    start_coordinator();
    if (options.cluster) { // as after a minute without older programs
        char answer[100];
        server_ask(site.redis, "HSET dtf:{0}:meta format 3", answer, sizeof answer);
    }
    if (dtf_client_open(site.listen, &site.client, &st))
        die("client", &st);
}

static void stop(void)
{
    dtf_client_close(site.client);
    daemon_kill(&site.coordinator, SIGTERM);
    server_destroy(site.redis);
    server_destroy(site.mariadb);
    site.redis = site.mariadb = NULL;
    daemon_remove(site.folder);
}

static void note_memory(void)
{
    long kib = kib_of(site.coordinator.pid, "VmHWM:");
    site.peak_kib = kib > site.peak_kib ? kib : site.peak_kib;
}

// Waits until so many nodes are registered; gives the seconds it took.
static double wait_registered(size_t count)
{
    int64_t start_us = clock_mono_us();
    while (load_nodes_stats(site.nodes).registered < count &&
           clock_mono_us() - start_us < PATIENCE_MS * 1000LL) {
        poll(NULL, 0, 5);
        note_memory();
    }
    return (double)(clock_mono_us() - start_us) / 1e6;
}

// Nodes that talk all the time need no keepalive, and ten thousand timers that ring each second would take
// half of this program's core (nng looks at all of them whenever one rings).
enum { KEEPALIVE_MS = 1000 /* services/service.c */, TALKING_MS = 10000 };

static void start_nodes(int64_t keepalive_ms)
{
    site.nodes = load_nodes_start(&(struct load_options){.url = site.listen,
                                                         .count = options.nodes,
                                                         .slots = options.slots,
                                                         .run_us = (int64_t)(options.run_ms * 1000),
                                                         .is_uneven = options.uneven,
                                                         .seed = options.seed,
                                                         .keepalive_ms = keepalive_ms});
    printf("  registered                    %8.2f s\n", wait_registered(options.nodes));
}

// ---- tasks

static void create_tasks(void)
{
    struct nrpc_status st;
    uint64_t each[] = {options.subtasks / options.tasks, options.param};
    struct dtf_task_param p = {.type = "noop", .type_param = each, .type_param_bytes = sizeof each};
    for (size_t i = 0; i < options.tasks; i++)
        if (dtf_task_create(site.client, &p, &site.ids[i], &st))
            die("create", &st);
}

static void check_tasks(void)
{
    struct nrpc_status st;
    struct dtf_task_info info;
    uint64_t each = options.subtasks / options.tasks, redispatched = 0;
    for (size_t i = 0; i < options.tasks; i++) {
        if (dtf_task_wait(site.client, site.ids[i], PATIENCE_MS, &info, &st))
            die("wait", &st);
        if (info.status != DTF_TASK_COMPLETED || info.succeeded != each || info.generated != each)
            die("a task did not complete exactly", NULL);
        redispatched += info.redispatched;
    }
    struct load_stats s = load_nodes_stats(site.nodes);
    printf("  every subtask counted once; dispatched again %llu, twice at the same time %llu, failed calls "
           "%llu\n",
           (unsigned long long)redispatched, (unsigned long long)s.doubled, (unsigned long long)s.failures);
}

struct cost {
    int64_t us;
    uint64_t settled;
    double cpu, redis_cpu, scripts;
};

static struct cost cost_now(void)
{
    return (struct cost){
        .us = clock_mono_us(),
        .settled = load_nodes_stats(site.nodes).settled,
        .cpu = measure_cpu_s(site.coordinator.pid),
        .redis_cpu = site.redis ? measure_cpu_s(server_pid(site.redis)) : 0,
        .scripts = redis_number("INFO commandstats", "cmdstat_evalsha:calls="),
    };
}

static void print_work(const struct cost *a, const struct cost *b)
{
    double seconds = (double)(b->us - a->us) / 1e6, count = (double)(b->settled - a->settled);
    double ideal = (double)options.nodes * options.slots / options.run_ms * 1000;
    double p99 = load_nodes_latency_ms(site.nodes, 0.99);
    size_t slow;
    printf("  settled                       %8.0f /s of %.0f that the slots could\n", count / seconds, ideal);
    printf("  exchange with results, p99    %8.1f ms\n", p99);
    printf("  coordinator                   %8.1f %% of a core, %.1f us a subtask\n",
           (b->cpu - a->cpu) / seconds * 100, (b->cpu - a->cpu) * 1e6 / count);
    if (site.redis) {
        double ms = slowest_script_ms(&slow);
        printf("  Redis                         %8.1f %% of a core, %.3f scripts a subtask; over 20 ms: %zu, "
               "slowest %.0f ms\n",
               (b->redis_cpu - a->redis_cpu) / seconds * 100, (b->scripts - a->scripts) / count, slow, ms);
    }
    note_memory();
    printf("  coordinator's memory, at most %8.1f MiB\n", (double)site.peak_kib / 1024);
}

// Until so many subtasks are settled.
static void wait_settled(uint64_t count)
{
    int64_t until_us = clock_mono_us() + PATIENCE_MS * 1000LL;
    while (load_nodes_stats(site.nodes).settled < count && clock_mono_us() < until_us) {
        poll(NULL, 0, 10);
        note_memory();
    }
    if (load_nodes_stats(site.nodes).settled < count)
        die("the work does not go on", NULL);
}

// ---- scenarios

static void idle(void)
{
    long before_kib = kib_of(site.coordinator.pid, "VmRSS:");
    start_nodes(KEEPALIVE_MS);
    poll(NULL, 0, 3000);
    double cpu = measure_cpu_s(site.coordinator.pid);
    int64_t start_us = clock_mono_us();
    poll(NULL, 0, (int)options.seconds * 1000); // the thing measured is that nothing happens
    printf("  coordinator                   %8.2f %% of a core\n",
           (measure_cpu_s(site.coordinator.pid) - cpu) / ((double)(clock_mono_us() - start_us) / 1e6) * 100);
    printf("  memory a node                 %8.1f KiB\n",
           (double)(kib_of(site.coordinator.pid, "VmRSS:") - before_kib) / (double)options.nodes);
    printf("  failed calls                  %8llu\n",
           (unsigned long long)load_nodes_stats(site.nodes).failures);
}

// The first tenth warms up, the last drains.
static void work(void)
{
    start_nodes(TALKING_MS);
    create_tasks();
    wait_settled(options.subtasks / 10);
    load_nodes_latency_ms(site.nodes, 0.5);
    struct cost a = cost_now();
    wait_settled(options.subtasks * 9 / 10);
    struct cost b = cost_now();
    print_work(&a, &b);
    check_tasks();
}

static void restart(void)
{
    start_nodes(TALKING_MS);
    create_tasks();
    wait_settled(options.subtasks / 4);
    daemon_kill(&site.coordinator, SIGKILL);
    start_coordinator();
    uint64_t at = load_nodes_stats(site.nodes).settled;
    int64_t start_us = clock_mono_us();
    wait_settled(at + options.nodes / 2);
    printf("  half a result a node after    %8.2f s\n", (double)(clock_mono_us() - start_us) / 1e6);
    printf("  all registered after          %8.2f s\n",
           (double)(clock_mono_us() - start_us) / 1e6 + wait_registered(options.nodes));
    check_tasks();
    note_memory();
    printf("  coordinator's memory, at most %8.1f MiB\n", (double)site.peak_kib / 1024);
}

static size_t nodes_known(void)
{
    struct nrpc_status st;
    size_t count = options.nodes;
    struct dtf_node_info *nodes = calloc(count, sizeof *nodes);
    if (!nodes || dtf_nodes(site.client, nodes, &count, &st))
        die("nodes", NULL);
    free(nodes);
    return count;
}

static void lose(void)
{
    start_nodes(TALKING_MS);
    create_tasks();
    wait_settled(options.subtasks / 4);
    load_nodes_kill(site.nodes, options.nodes / 10);
    int64_t start_us = clock_mono_us();
    while (nodes_known() > options.nodes - options.nodes / 10 &&
           clock_mono_us() - start_us < PATIENCE_MS * 1000LL)
        poll(NULL, 0, 500);
    printf("  %zu silent nodes noticed after %.2f s\n", options.nodes / 10,
           (double)(clock_mono_us() - start_us) / 1e6);
    check_tasks();
    printf("  nodes known at the end        %8zu of %zu that are well\n", nodes_known(),
           options.nodes - options.nodes / 10);
}

// ---- waves: more than can be done

enum { CREATORS = 64, WAVE = 20000, WAVES = 3 };

static _Atomic uint64_t created;

static void create_one(void)
{
    struct nrpc_status st;
    uint64_t one = 1, id;
    struct dtf_task_param p = {.type = "noop", .type_param = &one, .type_param_bytes = sizeof one};
    if (dtf_task_create(site.client, &p, &id, &st))
        die("create", &st);
    created++;
}

static void *create_so_many(void *count)
{
    for (size_t i = 0; i < *(size_t *)count; i++)
        create_one();
    return NULL;
}

static uint64_t settled_by_nodes(void)
{
    struct nrpc_status st;
    struct dtf_node_info nodes[16];
    size_t count = 16;
    uint64_t settled = 0;
    if (dtf_nodes(site.client, nodes, &count, &st))
        die("nodes", &st);
    for (size_t i = 0; i < count; i++)
        settled += nodes[i].settled;
    return settled;
}

// What is created and done in each second, until all is done.
static void watch_wave(const char *what, uint64_t until_created, uint64_t until_settled)
{
    uint64_t was_created = created, was_settled = settled_by_nodes();
    int64_t last_us = clock_mono_us();
    do {
        poll(NULL, 0, 1000);
        uint64_t settled = settled_by_nodes();
        int64_t now_us = clock_mono_us();
        double seconds = (double)(now_us - last_us) / 1e6;
        printf("  %-8s created %6.0f /s, done %6.0f /s, waiting %llu\n", what,
               (double)(created - was_created) / seconds, (double)(settled - was_settled) / seconds,
               (unsigned long long)(created - settled));
        was_created = created;
        was_settled = settled;
        last_us = now_us;
    } while (was_created < until_created || was_settled < until_settled);
}

// How many tasks of one subtask, one after the other, are done in two seconds.
static double calm_rate(void)
{
    struct nrpc_status st;
    struct dtf_task_info info;
    uint64_t one = 1, id, count = 0;
    struct dtf_task_param p = {.type = "noop", .type_param = &one, .type_param_bytes = sizeof one};
    int64_t start_us = clock_mono_us();
    for (; clock_mono_us() - start_us < 2000000; count++) {
        if (dtf_task_create(site.client, &p, &id, &st) ||
            dtf_task_wait(site.client, id, PATIENCE_MS, &info, &st))
            die("calm", &st);
        created++;
    }
    return (double)count / ((double)(clock_mono_us() - start_us) / 1e6);
}

static void waves(void)
{
    char plugin[4200];
    struct daemon node;
    pthread_t threads[CREATORS];
    daemon_path(plugin, sizeof plugin, "noop.so");
    if (!daemon_start(&node, "dtfd",
                      (const char *[]){"--role", "executor", "--join", site.listen, "--slots", "8",
                                       "--plugin", plugin, "--log", "warn", NULL}))
        die("no node", NULL);
    double before = calm_rate();
    for (int wave = 0; wave < WAVES; wave++) {
        uint64_t begun = created;
        size_t each = WAVE / CREATORS;
        for (int i = 0; i < CREATORS; i++)
            pthread_create(&threads[i], NULL, create_so_many, &each);
        watch_wave("wave", begun + WAVE / CREATORS * CREATORS, 0);
        for (int i = 0; i < CREATORS; i++)
            pthread_join(threads[i], NULL);
    }
    watch_wave("after", 0, created);
    printf("  one task after the other      %8.0f /s before, %.0f after\n", before, calm_rate());
    size_t slow;
    double ms = slowest_script_ms(&slow);
    printf("  scripts over 20 ms            %8zu, slowest %.0f ms\n", slow, ms);
    daemon_kill(&node, SIGTERM);
}

// ---- many tasks that do not end: no node is there

enum { MANY = 100000, PROBE = 6400, LISTS = 50 };

static double create_rate(uint64_t count)
{
    pthread_t threads[CREATORS];
    size_t each = count / CREATORS;
    int64_t start_us = clock_mono_us();
    for (int i = 0; i < CREATORS; i++)
        pthread_create(&threads[i], NULL, create_so_many, &each);
    for (int i = 0; i < CREATORS; i++)
        pthread_join(threads[i], NULL);
    return (double)(each * CREATORS) / ((double)(clock_mono_us() - start_us) / 1e6);
}

static void list_first_page(void)
{
    static double ms[LISTS];
    struct dtf_task_info infos[100];
    struct nrpc_status st;
    for (int i = 0; i < LISTS; i++) {
        size_t count = 100;
        int64_t start_us = clock_mono_us();
        if (dtf_task_list(site.client, 0, 0, infos, &count, &st))
            die("list", &st);
        ms[i] = (double)(clock_mono_us() - start_us) / 1000;
    }
    qsort(ms, LISTS, sizeof *ms, measure_compare);
    printf("  the first 100 listed, p50     %8.2f ms, max %.2f\n", ms[LISTS / 2], ms[LISTS - 1]);
}

static void many(void)
{
    struct nrpc_status st;
    struct dtf_task_info info;
    size_t slow;
    double before = create_rate(PROBE);
    long before_kib = kib_of(site.coordinator.pid, "VmRSS:");
    double meanwhile = create_rate(MANY);
    double kib = (double)(kib_of(site.coordinator.pid, "VmRSS:") - before_kib) / MANY;
    printf("  created over none, while, over %d: %.0f, %.0f, %.0f /s\n", MANY, before, meanwhile,
           create_rate(PROBE));
    printf("  memory a task                 %8.2f KiB\n", kib);
    list_first_page();
    daemon_kill(&site.coordinator, SIGKILL);
    int64_t start_us = clock_mono_us();
    start_coordinator();
    if (dtf_task_status(site.client, 1, &info, &st))
        die("status", &st);
    printf("  serves after kill -9          %8.2f s\n", (double)(clock_mono_us() - start_us) / 1e6);
    printf("  memory a task after that      %8.2f KiB\n",
           (double)kib_of(site.coordinator.pid, "VmRSS:") / (MANY + 2 * PROBE));
    double ms = slowest_script_ms(&slow);
    printf("  scripts over 20 ms            %8zu, slowest %.0f ms\n", slow, ms);
}

// ---- readers of events

enum { READERS = 1000, CREATIONS = 300, READER_CHANNELS = 10 };

struct reader {
    struct nrpc_channel *channel;
    uint64_t after;
};
static _Atomic uint64_t events_read;
static _Atomic bool readers_stop;

static void read_on(struct reader *r);

static void events_came(void *user, const struct nrpc_status *st, const Dtf__V1__EventsResponse *r)
{
    struct reader *reader = user;
    if (st->code || atomic_load(&readers_stop))
        return;
    events_read += r->n_events;
    if (r->n_events)
        reader->after = r->events[r->n_events - 1]->sequence;
    read_on(reader);
}

static void read_on(struct reader *r)
{
    Dtf__V1__EventsRequest q = DTF__V1__EVENTS_REQUEST__INIT;
    q.after = r->after;
    q.wait_ms = 30000;
    dtf_v1_task_service_events_async(r->channel, &(struct nrpc_call_options){.timeout_ms = 60000}, &q,
                                     events_came, r);
}

// One after the other, with a pause in which those who were told can ask again.
static void create_slowly(const char *what)
{
    static double ms[CREATIONS];
    struct nrpc_status st;
    uint64_t one = 1, id;
    struct dtf_task_param p = {.type = "noop", .type_param = &one, .type_param_bytes = sizeof one};
    for (int i = 0; i < CREATIONS; i++) {
        poll(NULL, 0, 100);
        int64_t start_us = clock_mono_us();
        if (dtf_task_create(site.client, &p, &id, &st))
            die("create", &st);
        ms[i] = (double)(clock_mono_us() - start_us) / 1000;
    }
    qsort(ms, CREATIONS, sizeof *ms, measure_compare);
    printf("  creation, %-20s p50 %.2f, p99 %.2f, max %.2f ms\n", what, ms[CREATIONS / 2],
           ms[CREATIONS * 99 / 100], ms[CREATIONS - 1]);
}

static void readers(void)
{
    static struct reader all[READERS];
    struct nrpc_channel *channels[READER_CHANNELS];
    struct nrpc_status st;
    create_slowly("no readers:");
    for (int i = 0; i < READER_CHANNELS; i++)
        if (nrpc_channel_open(site.listen, NULL, &channels[i], &st))
            die("channel", &st);
    double cpu = measure_cpu_s(site.coordinator.pid);
    for (int i = 0; i < READERS; i++) {
        all[i].channel = channels[i % READER_CHANNELS];
        read_on(&all[i]);
    }
    poll(NULL, 0, 2000);
    uint64_t before = events_read;
    create_slowly("1,000 readers:");
    poll(NULL, 0, 1000);
    printf("  events read %.1f times each, coordinator %.2f s of CPU\n",
           (double)(events_read - before) / CREATIONS, measure_cpu_s(site.coordinator.pid) - cpu);
    readers_stop = true;
    for (int i = 0; i < READER_CHANNELS; i++)
        nrpc_channel_close(channels[i]);
}

static const struct {
    const char *name;
    void (*run)(void);
} scenarios[] = {{"idle", idle},       {"work", work},   {"restart", restart}, {"lose", lose},
                 {"readers", readers}, {"waves", waves}, {"many", many}};

static const struct option longs[] = {
    {"cluster", no_argument, NULL, 'c'},
    {"nodes", required_argument, NULL, 'n'},
    {"tasks", required_argument, NULL, 't'},
    {"subtasks", required_argument, NULL, 'u'},
    {"param", required_argument, NULL, 'b'},
    {"slots", required_argument, NULL, 's'},
    {"run", required_argument, NULL, 'r'},
    {"seconds", required_argument, NULL, 'S'},
    {"seed", required_argument, NULL, 'd'},
    {"uneven", no_argument, NULL, 'v'},
    {"pin", no_argument, NULL, 'p'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static _Noreturn void usage(FILE *to)
{
    fputs("usage: dtf_load [OPTION]... [SCENARIO]...\n\n"
          "scenarios: idle, work, restart, lose, readers, waves, many; default: all\n\n"
          "  --cluster      on a Redis and a MariaDB of its own; default: the embedded store\n"
          "  --nodes N      default: 10000\n"
          "  --slots N      of each; default: 2\n"
          "  --tasks N      at the same time; default: 1000\n"
          "  --subtasks N   of all tasks together; default: 200000\n"
          "  --param BYTES  of a subtask's parameter; default: 100\n"
          "  --run MS       how long one runs; default: 1000\n"
          "  --uneven       between a half and one and a half of that\n"
          "  --seconds N    how long idleness is watched; default: 20\n"
          "  --pin          the coordinator runs on one core only\n"
          "  --seed N\n",
          to);
    exit(to == stderr ? 2 : 0);
}

static void parse(int argc, char **argv)
{
    for (int o; (o = getopt_long(argc, argv, "", longs, NULL)) != -1;)
        switch (o) {
        case 'c':
            options.cluster = true;
            break;
        case 'n':
            options.nodes = strtoul(optarg, NULL, 10);
            break;
        case 't':
            options.tasks = strtoul(optarg, NULL, 10);
            break;
        case 'u':
            options.subtasks = strtoull(optarg, NULL, 10);
            break;
        case 's':
            options.slots = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'b':
            options.param = strtoull(optarg, NULL, 10);
            break;
        case 'r':
            options.run_ms = strtod(optarg, NULL);
            break;
        case 'S':
            options.seconds = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'd':
            options.seed = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'v':
            options.uneven = true;
            break;
        case 'p':
            options.pin = true;
            break;
        case 'h':
            usage(stdout);
        default:
            usage(stderr);
        }
    if (!options.nodes || !options.slots || options.run_ms <= 0 || !options.tasks ||
        options.tasks > TASKS_MAX || options.param > DTF_SUBTASK_PARAM_MAX)
        usage(stderr);
    options.subtasks -= options.subtasks % options.tasks;
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    process_prefer_batches(); // ten thousand machines would not push each other out
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) {
        bool wanted = optind == argc;
        for (int k = optind; k < argc; k++)
            wanted |= !strcmp(argv[k], scenarios[i].name);
        if (!wanted)
            continue;
        printf("%s: %zu nodes of %u slots, %s%s; %zu tasks, %llu subtasks of %g ms%s and %llu bytes; "
               "seed %u\n",
               scenarios[i].name, options.nodes, options.slots,
               options.cluster ? "Redis and MariaDB" : "the embedded store", options.pin ? ", one core" : "",
               options.tasks, (unsigned long long)options.subtasks, options.run_ms,
               options.uneven ? ", uneven" : "", (unsigned long long)options.param, options.seed);
        fflush(stdout);
        // Each in a process of its own: the nodes of one live until it ends.
        pid_t pid = fork();
        if (pid == 0) {
            start();
            scenarios[i].run();
            fflush(stdout);
            stop();
            _exit(0);
        }
        int status = 0;
        (void)waitpid(pid, &status, 0);
        if (status)
            return 1;
    }
    return 0;
}
