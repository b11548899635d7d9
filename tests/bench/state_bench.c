// SPDX-License-Identifier: Apache-2.0
// state_bench.c: how fast a state store is: subtasks per second through push, lease and settle.
//
//     state_bench [folder]     the embedded store (default: a new one under $TMPDIR or /tmp, removed at the
//     end) state_bench redis        a Redis of its own, with appendfsync everysec
//
// One thread, on a real file, with a watcher. Five runs each; minimum, median and maximum are shown.
#include "base/clock.h"
#include "embedded/db.h"
#include "lease_one.h"
#include "servers/servers.h"
#include "state/state_redis.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PARAM_BYTES = 100, PUSH = 1000, LEASE = 500, RUNS = 5, TASKS = 100, LATENCIES = 20000 };

static struct state *store;
static uint64_t node, hints, next_task = 1;
static char param[PARAM_BYTES];

static void must(int code, const struct nrpc_status *st)
{
    if (!code)
        return;
    fprintf(stderr, "%s: %s\n", nrpc_code_name(code), st->text);
    exit(1);
}

static void watch(void *user, const struct state_hint *hint)
{
    (void)user;
    hints += hint->kind == STATE_HINT_VIEW;
}

static uint64_t admit(void)
{
    struct nrpc_status st;
    struct state_task task = {.id = next_task++,
                              .type = "bench",
                              .group = "default",
                              .deadline_ms = CLOCK_NEVER,
                              .policy.tolerated_failures = -1};
    must(store->ops->admit(store, &task, 1, &st), &st);
    return task.id;
}

static uint64_t claim(uint64_t task)
{
    struct nrpc_status st;
    struct arena a;
    struct state_claim *claims;
    size_t count;
    arena_init(&a, 0);
    must(store->ops->claim(store, 1, 1000, CLOCK_NEVER - 1, 1, &a, &claims, &count, &st), &st);
    if (count != 1 || claims->task != task) {
        fprintf(stderr, "task %llu was not given to its generator\n", (unsigned long long)task);
        exit(1);
    }
    uint64_t fence = claims->fence;
    arena_fini(&a);
    return fence;
}

static void push(uint64_t task, uint64_t fence, uint64_t at, size_t count, bool done)
{
    static struct state_subtask subtasks[PUSH];
    struct nrpc_status st;
    struct state_queue queue;
    for (size_t i = 0; i < count; i++)
        subtasks[i] = (struct state_subtask){{param, sizeof param}, 300000};
    struct state_blob checkpoint = {&queue, sizeof queue};
    must(store->ops->push(store, task, fence, at, subtasks, count, checkpoint, done, -1, &queue, &st), &st);
}

static size_t lease(const struct state_pick *picks, size_t pick_count, struct arena *a,
                    struct state_work **works)
{
    struct nrpc_status st;
    size_t count;
    must(lease_one(store, node, 0, 1000, picks, pick_count, NULL, NULL, a, works, &count, &st), &st);
    return count;
}

static void settle(const struct state_work *works, size_t count)
{
    static struct state_settle entries[LEASE];
    static enum state_verdict verdicts[LEASE];
    struct nrpc_status st;
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct state_settle){.ref = {works[i].task, works[i].seq, works[i].attempt},
                                           .by.node = node,
                                           .kind = MODEL_SUCCESS,
                                           .message = "",
                                           .run_us = 10};
    must(store->ops->settle(store, 1000, entries, count, verdicts, &st), &st);
    for (size_t i = 0; i < count; i++)
        if (verdicts[i] != STATE_SETTLED) {
            fprintf(stderr, "a result was not settled\n");
            exit(1);
        }
}

static void lease_and_settle(const struct state_pick *picks, size_t pick_count, size_t count)
{
    struct arena a;
    arena_init(&a, 0);
    while (count) {
        struct state_work *works;
        size_t n = lease(picks, pick_count, &a, &works);
        settle(works, n);
        arena_reset(&a);
        count -= n;
    }
    arena_fini(&a);
}

// ---- what is measured: each gives a rate per second

static double one_task(void)
{
    uint64_t task = admit(), fence = claim(task), n = 200000;
    int64_t start = clock_mono_us();
    struct state_pick pick = {task, LEASE};
    for (uint64_t i = 0; i < n; i += PUSH) {
        push(task, fence, i, PUSH, i + PUSH == n);
        lease_and_settle(&pick, 1, PUSH);
    }
    return (double)n * 1e6 / (double)(clock_mono_us() - start);
}

static double interleaved(void)
{
    uint64_t tasks[TASKS], fences[TASKS], rounds = 2;
    struct state_pick picks[TASKS];
    for (int i = 0; i < TASKS; i++) {
        tasks[i] = admit();
        fences[i] = claim(tasks[i]);
        picks[i] = (struct state_pick){tasks[i], LEASE / TASKS};
    }
    int64_t start = clock_mono_us();
    for (uint64_t r = 0; r < rounds; r++) {
        for (int i = 0; i < TASKS; i++)
            push(tasks[i], fences[i], r * PUSH, PUSH, r + 1 == rounds);
        lease_and_settle(picks, TASKS, (size_t)PUSH * TASKS);
    }
    return (double)(rounds * PUSH * TASKS) * 1e6 / (double)(clock_mono_us() - start);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void measure(const char *what, double (*run)(void))
{
    double rates[RUNS];
    for (int i = 0; i < RUNS; i++)
        rates[i] = run();
    qsort(rates, RUNS, sizeof *rates, compare);
    printf("%-32s %9.0f %9.0f %9.0f subtasks/s (min median max)\n", what, rates[0], rates[RUNS / 2],
           rates[RUNS - 1]);
}

static void show_latency(const char *what, double *us)
{
    qsort(us, LATENCIES, sizeof *us, compare);
    printf("%-32s %9.0f %9.0f %9.0f us (median p99 max)\n", what, us[LATENCIES / 2], us[LATENCIES * 99 / 100],
           us[LATENCIES - 1]);
}

static void latency(void)
{
    static double pushes[LATENCIES], leases[LATENCIES], settles[LATENCIES];
    uint64_t task = admit(), fence = claim(task);
    struct state_pick pick = {task, 1};
    struct arena a;
    arena_init(&a, 0);
    for (int i = 0; i < LATENCIES; i++) {
        struct state_work *works;
        int64_t t0 = clock_mono_us();
        push(task, fence, i, 1, i + 1 == LATENCIES);
        int64_t t1 = clock_mono_us();
        size_t n = lease(&pick, 1, &a, &works);
        int64_t t2 = clock_mono_us();
        settle(works, n);
        int64_t t3 = clock_mono_us();
        pushes[i] = (double)(t1 - t0);
        leases[i] = (double)(t2 - t1);
        settles[i] = (double)(t3 - t2);
        arena_reset(&a);
    }
    arena_fini(&a);
    show_latency("push of 1", pushes);
    show_latency("lease of 1", leases);
    show_latency("settle of 1", settles);
}

static void million(void)
{
    enum { SLICE = 100000, SLICES = 10 };
    uint64_t task = admit(), fence = claim(task);
    struct state_pick pick = {task, LEASE};
    printf("%-32s", "a million, by 100,000 (1000/s)");
    for (int s = 0; s < SLICES; s++) {
        int64_t start = clock_mono_us();
        for (int i = 0; i < SLICE; i += PUSH) {
            push(task, fence, s * SLICE + i, PUSH, s + 1 == SLICES && i + PUSH == SLICE);
            lease_and_settle(&pick, 1, PUSH);
        }
        printf(" %.0f", SLICE * 1e3 / (double)(clock_mono_us() - start));
    }
    printf("\n");
}

static void remove_files(const char *dir)
{
    static const char *const names[] = {"dtf.db", "dtf.db-wal", "dtf.db-shm", "lock"};
    char path[512];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

// What a jump of the clock costs by what is held: one call, which holds up all others meanwhile.
static void jump(void)
{
    enum { NODES = 10000, EACH = 10 };
    struct nrpc_status st;
    struct arena a;
    double ms[RUNS];
    uint64_t task = admit(), fence = claim(task);
    arena_init(&a, 0);
    for (uint64_t n = 0; n < NODES * EACH; n += PUSH)
        push(task, fence, n, PUSH, n + PUSH == NODES * EACH);
    for (uint64_t i = 0; i < NODES; i++) {
        struct state_node about = {.session = i + 1,
                                   .name = "bench",
                                   .host = "here",
                                   .types = "bench",
                                   .lease_until_ms = clock_now_ms() + 60000};
        struct state_work *work;
        uint64_t id;
        size_t count;
        arena_reset(&a);
        must(store->ops->node_add(store, &about, NULL, &a, &id, &st), &st);
        must(lease_one(store, id, 0, 1000, &(struct state_pick){task, EACH}, 1, NULL, NULL, &a, &work, &count,
                       &st),
             &st);
    }
    for (int i = 0; i < RUNS; i++) {
        int64_t start_us = clock_mono_us();
        must(store->ops->rebase(store, clock_now_ms(), clock_now_ms() + 60000, &st), &st);
        ms[i] = (double)(clock_mono_us() - start_us) / 1000;
    }
    arena_fini(&a);
    qsort(ms, RUNS, sizeof *ms, compare);
    printf("%-32s %9.1f %9.1f %9.1f ms (min median max)\n", "jump, 10,000 nodes hold 100,000", ms[0],
           ms[RUNS / 2], ms[RUNS - 1]);
}

static void measure_all(void)
{
    struct nrpc_status st;
    store->ops->watch(store, watch, NULL);
    struct state_node about = {
        .name = "bench", .host = "here", .types = "bench", .lease_until_ms = CLOCK_NEVER};
    must(store->ops->node_add(store, &about, NULL, NULL, &node, &st), &st);
    measure("push 1000, lease 500, settle 500", one_task);
    measure("the same, 100 tasks interleaved", interleaved);
    latency();
    million();
}

static void embedded(const char *given)
{
    char made[256];
    snprintf(made, sizeof made, "%s/state_bench.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    const char *dir = given ? given : mkdtemp(made);
    struct nrpc_status st;
    struct db *db;
    must(db_open(dir, &db, &st), &st);
    store = state_sqlite_open(db);
    measure_all();
    jump();
    store->ops->close(store);
    db_close(db);
    if (!given)
        remove_files(dir);
}

static double redis_number(const struct server *server, const char *section, const char *name)
{
    char command[64], answer[16384];
    snprintf(command, sizeof command, "INFO %s", section);
    server_ask(server, command, answer, sizeof answer);
    const char *at = strstr(answer, name);
    return at ? strtod(at + strlen(name) + 1, NULL) : 0;
}

// What 100,000 queued subtasks of 100 bytes take in Redis.
static void memory_per_subtask(const struct server *server)
{
    uint64_t task = admit(), fence = claim(task), n = 0;
    double before = redis_number(server, "memory", "used_memory");
    for (; n < 100000; n += PUSH)
        push(task, fence, n, PUSH, n + PUSH == 100000);
    double bytes = (redis_number(server, "memory", "used_memory") - before) / (double)n;
    printf("%-32s %9.1f bytes each, the param's %d included\n", "100,000 queued", bytes, PARAM_BYTES);
    struct state_pick pick = {task, LEASE};
    lease_and_settle(&pick, 1, n);
    must(store->ops->remove(store, &task, 1, 0, NULL), &(struct nrpc_status){0});
    printf("%-32s %9.0f bytes more than before\n", "all settled, task removed",
           redis_number(server, "memory", "used_memory") - before);
}

static void redis(void)
{
    struct server *server = server_redis(&(struct server_redis_options){.aof = true});
    const char *url = server_url(server);
    struct nrpc_status st;
    must(state_redis_open(&(struct state_redis_options){.urls = &url, .url_count = 1}, &store, &st), &st);
    bool verified;
    must(store->ops->verify(store, store->ops->incarnation(store, &verified), NULL, 0, &st), &st);
    measure_all();
    memory_per_subtask(server);
    jump();
    store->ops->close(store);
    server_destroy(server);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "redis"))
        redis();
    else
        embedded(argc > 1 ? argv[1] : NULL);
    return 0;
}
