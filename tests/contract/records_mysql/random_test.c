// SPDX-License-Identifier: Apache-2.0
// random_test.c: the same random calls give the same answers on both record stores.
//
//     DTF_SEED=n   repeats a run (the seed is printed); DTF_OPERATIONS=n: how many calls, 10,000 by default
//
// Every call is made on both stores and everything it answers is written as text; the first difference ends
// the test with both.
#include "admin.h"
#include "base/ids.h"
#include "contract/records_fixture.h"
#include "embedded/db.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STORES = 2, BATCH_MAX = 6, TASKS_NEAR = 40 };

static struct server *server;
static uint64_t random_state, tasks; // so many were created
static int64_t now_ms = 1000;

// ---- random values

static uint64_t random_below(uint64_t n) // xorshift64*
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 2685821657736338717ull % n;
}

static const char *random_text(void)
{
    static const char *const texts[] = {
        NULL,
        "",
        "a",
        "A",
        "a ",
        " a",
        "caf\xc3\xa9",
        "cafe\xcc\x81",
        "\xf0\x9f\xa6\x8a",
        "'; DROP TABLE tbl_task; --",
        "\\",
        "\\'",
        "%s$t$u",
        "NULL",
        "0",
        "\x1b[31m\r\n\t",
        "?1",
        "/*",
        "X'41'",
        "\xe2\x80\xae",
        "k1",
        "k2",
        "k3",
    };
    return texts[random_below(LENGTH(texts))];
}

static const char *random_message(void)
{
    static const char *const broken[] = {"\xff", "cut \xf0\x9f", "\xed\xa0\x80"};
    return random_below(8) ? random_text() : broken[random_below(LENGTH(broken))];
}

static struct records_blob random_blob(void)
{
    static const unsigned char bytes[] = "\0\1'\"\\\xff\xfe%_;--abcdefghijklmnopqrstuvwxyz";
    size_t size = random_below(sizeof bytes);
    return random_below(5) ? (struct records_blob){bytes, size} : (struct records_blob){NULL, 0};
}

static uint64_t random_task(void) // mostly one that is there and young
{
    uint64_t near = tasks < TASKS_NEAR ? tasks : TASKS_NEAR;
    if (!near || !random_below(20))
        return random_below(3) ? random_below(tasks + 5) : UINT64_MAX;
    return tasks - random_below(near);
}

static struct model_counters random_counters(void)
{
    return (struct model_counters){random_below(99), random_below(9), random_below(9), random_below(9),
                                   random_below(9),  random_below(9), random_below(9), random_below(9),
                                   random_below(9),  random_below(2)};
}

static size_t random_max(void)
{
    static const size_t sizes[] = {0, 1, 2, 15, 16, 17, 100, SIZE_MAX};
    return sizes[random_below(LENGTH(sizes))];
}

// ---- answers as text

static void show_text(FILE *out, const char *text)
{
    if (text)
        fprintf(out, "'%s' ", text);
    else
        fputs("none ", out);
}

static void show_blob(FILE *out, struct records_blob b)
{
    fputs(b.data ? "x" : "none", out);
    for (size_t i = 0; b.data && i < b.bytes; i++)
        fprintf(out, "%02x", ((const unsigned char *)b.data)[i]);
    fputc(' ', out);
}

static void show_number(FILE *out, uint64_t n)
{
    fprintf(out, "%lld ", (long long)n);
}

static void show_counters(FILE *out, const struct model_counters *n)
{
    const uint64_t all[] = {n->generated, n->succeeded,    n->failed,  n->timed_out, n->cancelled,
                            n->retried,   n->redispatched, n->running, n->queued,    n->generation_done};
    for (size_t i = 0; i < LENGTH(all); i++)
        show_number(out, all[i]);
}

static void show_task(FILE *out, const struct records_task *t)
{
    const char *const texts[] = {t->name,    t->description,     t->type,        t->creator, t->group,
                                 t->message, t->idempotency_key, t->stop_message};
    const uint64_t numbers[] = {t->id,
                                t->status,
                                t->creator_uid,
                                t->priority,
                                (uint64_t)t->created_ms,
                                (uint64_t)t->deadline_ms,
                                (uint64_t)t->finished_ms,
                                t->stop_asked};
    fputs("task ", out);
    for (size_t i = 0; i < LENGTH(numbers); i++)
        show_number(out, numbers[i]);
    for (size_t i = 0; i < LENGTH(texts); i++)
        show_text(out, texts[i]);
    show_counters(out, &t->counters);
    show_blob(out, t->param);
    fputc('\n', out);
}

// ---- the calls: each makes its arguments from the random numbers, calls, and shows all that was answered

struct run {
    struct records *r;
    struct arena *a;
    FILE *out;
    struct nrpc_status st;
};

static void shown(struct run *run, int code)
{
    fprintf(run->out, "%s %s\n", nrpc_code_name(code), code == NRPC_INVALID_ARGUMENT ? run->st.text : "");
}

static void call_create(struct run *run)
{
    struct records_new_task t[BATCH_MAX];
    size_t count = random_below(BATCH_MAX + 1);
    for (size_t i = 0; i < count; i++)
        t[i] = (struct records_new_task){.name = random_text(),
                                         .description = random_text(),
                                         .type = random_text(),
                                         .creator = random_text(),
                                         .group = random_text(),
                                         .creator_uid = random_below(2) ? random_below(9) : UINT64_MAX,
                                         .priority = random_below(2) ? (uint32_t)random_below(9) : UINT32_MAX,
                                         .idempotency_key = random_below(3) ? NULL : random_text(),
                                         .created_ms = now_ms,
                                         .deadline_ms = now_ms + (int64_t)random_below(1000),
                                         .param = random_blob()};
    shown(run, run->r->ops->create(run->r, t, count, &run->st));
    for (size_t i = 0; i < count; i++) {
        fprintf(run->out, "%llu %d %llu\n", (unsigned long long)t[i].id, t[i].existed,
                (unsigned long long)t[i].sequence);
        tasks = t[i].id > tasks ? t[i].id : tasks;
    }
}

static void call_change(struct run *run)
{
    struct records_change c[BATCH_MAX];
    struct model_counters counters[BATCH_MAX];
    size_t count = random_below(BATCH_MAX + 1);
    for (size_t i = 0; i < count; i++) {
        counters[i] = random_counters();
        c[i] = (struct records_change){.task = random_task(),
                                       .event = (enum model_event)random_below(MODEL_EVENT_COUNT + 1),
                                       .now_ms = now_ms,
                                       .message = random_message(),
                                       .counters = random_below(3) ? &counters[i] : NULL};
    }
    shown(run, run->r->ops->change(run->r, c, count, &run->st));
    for (size_t i = 0; i < count; i++)
        fprintf(run->out, "%d %d %d %llu\n", c[i].code, c[i].changed, c[i].status,
                (unsigned long long)c[i].sequence);
}

static void call_get(struct run *run)
{
    struct records_task t;
    int code = run->r->ops->get(run->r, random_task(), run->a, &t, &run->st);
    shown(run, code);
    if (!code)
        show_task(run->out, &t);
}

static void call_list(struct run *run)
{
    struct records_task *t;
    size_t count = 0, max = random_max();
    uint64_t from = random_below(2) ? random_task() : 0;
    enum model_status status = (enum model_status)random_below(9);
    shown(run, random_below(2) ? run->r->ops->list(run->r, status, from, max, run->a, &t, &count, &run->st)
                               : run->r->ops->unfinished(run->r, from, max, run->a, &t, &count, &run->st));
    for (size_t i = 0; i < count; i++)
        show_task(run->out, &t[i]);
}

static void call_events(struct run *run)
{
    struct records_event *e;
    size_t count = 0;
    uint64_t first_kept = 0, after = random_below(2) ? random_below(4 * tasks + 1) : 0;
    uint64_t task = random_below(2) ? random_task() : 0;
    shown(run,
          run->r->ops->events(run->r, after, task, random_max(), run->a, &e, &count, &first_kept, &run->st));
    show_number(run->out, first_kept);
    for (size_t i = 0; i < count; i++) {
        const uint64_t numbers[] = {e[i].sequence, e[i].task, e[i].status, (uint64_t)e[i].time_ms};
        for (size_t k = 0; k < LENGTH(numbers); k++)
            show_number(run->out, numbers[k]);
        show_text(run->out, e[i].message);
        fputc('\n', run->out);
    }
}

static void call_put_failures(struct run *run)
{
    struct records_failure f[BATCH_MAX];
    size_t count = random_below(BATCH_MAX + 1);
    for (size_t i = 0; i < count; i++)
        f[i] = (struct records_failure){random_task(),
                                        random_below(30),
                                        (uint32_t)random_below(9),
                                        (enum model_kind)(1 + random_below(5)),
                                        (int32_t)random_below(9) - 4,
                                        random_message(),
                                        random_blob(),
                                        random_blob(),
                                        (int64_t)random_below(99)};
    shown(run, run->r->ops->put_failures(run->r, f, count, false, &run->st));
}

static void call_failures(struct run *run)
{
    struct records_failure *f;
    size_t count = 0;
    uint64_t task = random_task(), after = random_below(30);
    shown(run, run->r->ops->failures(run->r, task, after, random_max(), run->a, &f, &count, &run->st));
    for (size_t i = 0; i < count; i++) {
        const uint64_t numbers[] = {
            f[i].task, f[i].seq, f[i].attempt, f[i].kind, (uint64_t)f[i].code, (uint64_t)f[i].run_us};
        for (size_t k = 0; k < LENGTH(numbers); k++)
            show_number(run->out, numbers[k]);
        show_text(run->out, f[i].message);
        show_blob(run->out, f[i].body);
        show_blob(run->out, f[i].param);
        fputc('\n', run->out);
    }
}

static void call_groups(struct run *run)
{
    struct records_group *g;
    size_t count = 0;
    const char *name = random_text();
    shown(run, run->r->ops->set_group(run->r, name ? name : "default", (uint32_t)random_below(99), &run->st));
    shown(run, run->r->ops->groups(run->r, run->a, &g, &count, &run->st));
    for (size_t i = 0; i < count; i++)
        fprintf(run->out, "'%s' %u\n", g[i].name, g[i].quota);
}

static void call_trim(struct run *run)
{
    size_t removed = 0;
    int64_t before = random_below(2) ? now_ms - 500 : 0;
    uint64_t keep_tasks = random_below(200), keep_events = random_below(500);
    shown(run,
          run->r->ops->trim(run->r, before, keep_tasks, keep_events, random_below(20), &removed, &run->st));
    show_number(run->out, removed);
}

static void call_next_ids(struct run *run)
{
    uint64_t first = 0;
    const char *name = random_text();
    shown(run, run->r->ops->next_ids(run->r, name, random_below(100), &first, &run->st));
    show_number(run->out, first);
    shown(run, run->r->ops->check(run->r, &run->st));
}

static void call_ask_stop(struct run *run)
{
    uint64_t task = random_task();
    shown(run, run->r->ops->ask_stop(run->r, task, random_message(), now_ms, &run->st));
}

static void call_save_resumes(struct run *run)
{
    struct records_resume p[BATCH_MAX];
    size_t count = random_below(BATCH_MAX + 1);
    for (size_t i = 0; i < count; i++)
        p[i] = (struct records_resume){.task = random_task(),
                                       .checkpoint = random_blob(),
                                       .has_checkpoint = random_below(2),
                                       .made = random_below(40),
                                       .counters = random_counters(),
                                       .progress_percent = (int)random_below(102) - 1};
    shown(run, run->r->ops->save_resumes(run->r, p, count, &run->st));
}

static void call_resumes(struct run *run)
{
    uint64_t ids[BATCH_MAX];
    struct records_resume p[BATCH_MAX];
    for (size_t i = 0; i < BATCH_MAX; i++)
        ids[i] = random_task();
    shown(run, run->r->ops->resumes(run->r, ids, BATCH_MAX, run->a, p, &run->st));
    for (size_t i = 0; i < BATCH_MAX; i++) {
        fprintf(run->out, "%lld %d %d %lld %d ", (long long)p[i].task, p[i].found, p[i].has_checkpoint,
                (long long)p[i].made, p[i].progress_percent);
        show_counters(run->out, &p[i].counters);
        show_blob(run->out, p[i].checkpoint);
    }
}

static void call_put_fed(struct run *run)
{
    uint64_t task = random_task(), at = random_below(40), count = random_below(10);
    bool finish = !random_below(10);
    struct records_blob packed = {"packed", 6}; // of one row it is always the same
    shown(run, run->r->ops->put_fed(run->r, task, at, count, finish, packed, &run->st));
}

static void call_fed(struct run *run)
{
    struct records_fed *f;
    size_t count = 0;
    uint64_t task = random_task(), after = random_below(40);
    shown(run, run->r->ops->fed(run->r, task, after, random_max(), run->a, &f, &count, &run->st));
    for (size_t i = 0; i < count; i++) {
        fprintf(run->out, "%llu+%llu %d ", (unsigned long long)f[i].at, (unsigned long long)f[i].count,
                f[i].finish);
        show_blob(run->out, f[i].packed);
    }
}

static void call_import(struct run *run)
{
    const struct records_event events[] = {{0, 0, MODEL_RUNNING, random_message(), now_ms},
                                           {0, 0, MODEL_PAUSED, random_message(), now_ms}};
    const struct records_failure failures[] = {{.seq = 1, .kind = MODEL_LOST, .message = random_message()},
                                               {.seq = 9, .kind = MODEL_FAILURE, .body = random_blob()}};
    struct records_import in[2];
    for (size_t i = 0; i < LENGTH(in); i++)
        in[i] =
            (struct records_import){.task = {.id = random_below(2) ? random_task() : tasks + random_below(9),
                                             .status = (enum model_status)random_below(8),
                                             .name = random_text(),
                                             .message = random_message(),
                                             .created_ms = now_ms,
                                             .finished_ms = now_ms + 1700,
                                             .counters = random_counters(),
                                             .param = random_blob(),
                                             .idempotency_key = random_text(),
                                             .stop_asked = random_below(2),
                                             .stop_message = random_message()},
                                    .events = events,
                                    .event_count = random_below(3),
                                    .failures = failures,
                                    .failure_count = random_below(3)};
    int code = run->r->ops->import(run->r, in, LENGTH(in), &run->st);
    shown(run, code);
    for (size_t i = 0; i < LENGTH(in) && !code; i++) {
        fprintf(run->out, "%d ", in[i].code);
        if (!in[i].code && in[i].task.id > tasks)
            tasks = in[i].task.id;
    }
}

static const struct {
    const char *name;
    void (*call)(struct run *run);
    unsigned share;
} calls[] = {
    {"create", call_create, 10},    {"change", call_change, 14},
    {"get", call_get, 5},           {"list or unfinished", call_list, 4},
    {"events", call_events, 4},     {"put_failures", call_put_failures, 5},
    {"failures", call_failures, 4}, {"groups", call_groups, 2},
    {"trim", call_trim, 1},         {"next_ids", call_next_ids, 2},
    {"ask_stop", call_ask_stop, 4}, {"save_resumes", call_save_resumes, 8},
    {"resumes", call_resumes, 5},   {"put_fed", call_put_fed, 10},
    {"fed", call_fed, 5},           {"import", call_import, 2},
};

static size_t random_call(void)
{
    unsigned total = 0, at;
    for (size_t i = 0; i < LENGTH(calls); i++)
        total += calls[i].share;
    at = (unsigned)random_below(total);
    size_t i = 0;
    for (; at >= calls[i].share; i++)
        at -= calls[i].share;
    return i;
}

// ---- both stores

static char *call_on(struct records *r, struct arena *a, size_t call)
{
    char *text;
    size_t size;
    struct run run = {.r = r, .a = a, .out = open_memstream(&text, &size)};
    calls[call].call(&run);
    fclose(run.out);
    arena_reset(a);
    return text;
}

static uint64_t number_from(const char *variable, uint64_t by_default)
{
    const char *text = getenv(variable);
    return text ? strtoull(text, NULL, 10) : by_default;
}

static void both_stores_give_the_same_answers(void **state)
{
    (void)state;
    uint64_t seed = number_from("DTF_SEED", ids_random()), count = number_from("DTF_OPERATIONS", 10000);
    struct nrpc_status st;
    struct db *db;
    struct arena a;
    printf("DTF_SEED=%llu\n", (unsigned long long)seed);
    random_state = seed;
    if (db_open(NULL, &db, &st))
        fail_msg("%s", st.text);
    struct records *stores[STORES] = {records_sqlite_open(db), admin_open(server)};
    arena_init(&a, 0);
    for (uint64_t i = 0; i < count; i++) {
        size_t call = random_call();
        uint64_t start = random_state, tasks_before = tasks;
        char *answers[STORES];
        for (int k = 0; k < STORES; k++) {
            random_state = start;
            tasks = tasks_before;
            answers[k] = call_on(stores[k], &a, call);
        }
        if (strcmp(answers[0], answers[1]))
            fail_msg("call %llu, %s:\nSQLite:\n%s\nMySQL:\n%s", (unsigned long long)i, calls[call].name,
                     answers[0], answers[1]);
        free(answers[0]);
        free(answers[1]);
        now_ms += (int64_t)random_below(20);
    }
    arena_fini(&a);
    for (int k = 0; k < STORES; k++)
        stores[k]->ops->close(stores[k]);
    db_close(db);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {cmocka_unit_test(both_stores_give_the_same_answers)};
    server = server_mariadb(NULL);
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    server_destroy(server);
    return result;
}
