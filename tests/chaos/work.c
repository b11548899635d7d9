// SPDX-License-Identifier: Apache-2.0
// work.c: what is done to tasks, and a thread for each.
#include "chaos/work.h"

#include "base/clock.h"
#include "base/mem.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FEED_BATCH = 100, RESULTS_WAIT_MS = 500, AGAIN_MS = 20 };

void job_trouble(struct job *j, const char *format, ...)
{
    va_list args;
    if (*j->trouble)
        return;
    va_start(args, format);
    vsnprintf(j->trouble, sizeof j->trouble, format, args);
    va_end(args);
}

// ---- asking again until it is done

static bool time_is_up(const struct job *j)
{
    return clock_mono_us() >= j->work->until_us;
}

// A call that failed is to be made again: pauses. false: time is up, or it cannot become better.
static bool again(struct job *j, const char *what, const struct nrpc_status *st)
{
    bool may_pass = st->code == NRPC_UNAVAILABLE || st->code == NRPC_DEADLINE_EXCEEDED;
    if (!may_pass || time_is_up(j)) {
        job_trouble(j, "%s: %s (%s)", what, st->text, nrpc_code_name(st->code));
        return false;
    }
    (void)poll(NULL, 0, AGAIN_MS);
    return true;
}

static void create_at(struct job *j, struct dtf_client *client, uint64_t *task)
{
    const struct job_kind *k = j->kind;
    const struct dtf_task_param p = {
        .type = k->type,
        .name = k->name,
        .type_param = &j->param,
        .type_param_bytes = sizeof j->param,
        .idempotency_key = j->key,
        .max_retries = k->max_retries,
        .retry_backoff_ms = 20,
        .tolerated_failures = k->tolerated,
        .max_running = k->max_running,
        .timeout_ms = k->timeout_ms,
        .keep_results = k->keep_results,
        .fed = k->fed,
    };
    struct nrpc_status st = {0};
    while (dtf_task_create(client, &p, task, &st) && again(j, "create", &st))
        ;
}

// ---- what is done to tasks

// Asks one server after the other for the same task.
void job_create_twice(struct job *j)
{
    char urls[sizeof j->work->urls], *rest = urls;
    snprintf(urls, sizeof urls, "%s", j->work->urls);
    for (const char *url; (url = strsep(&rest, ","));) {
        uint64_t task = 0;
        struct dtf_client *client;
        struct nrpc_status st;
        if (dtf_client_open(url, &client, &st)) {
            job_trouble(j, "%s: %s", url, st.text);
            return;
        }
        create_at(j, client, &task);
        dtf_client_close(client);
        if (task != j->task && !*j->trouble)
            job_trouble(j, "one key, and the tasks %llu and %llu", (unsigned long long)j->task,
                        (unsigned long long)task);
    }
}

void job_feed(struct job *j)
{
    struct errand_subtask subtasks[FEED_BATCH];
    struct dtf_subtask_spec specs[FEED_BATCH];
    struct nrpc_status st = {0};
    for (uint64_t at = 0; at < j->param.count && !*j->trouble;) {
        size_t n = 0;
        for (; n < FEED_BATCH && at + n < j->param.count; n++) {
            subtasks[n] = (struct errand_subtask){at + n + 1, j->param.shape};
            specs[n] = (struct dtf_subtask_spec){.param = &subtasks[n], .param_bytes = sizeof *subtasks};
        }
        bool last = at + n == j->param.count;
        while (dtf_task_feed(j->work->client, j->task, at, specs, n, last, &st) && again(j, "feed", &st))
            ;
        at += n;
        if (!last)
            (void)poll(NULL, 0, (int)j->kind->act_ms);
    }
}

void job_cancel(struct job *j)
{
    struct nrpc_status st = {0};
    (void)poll(NULL, 0, (int)j->act_ms);
    for (;;) {
        int code = dtf_task_cancel(j->work->client, j->task, "the test says so", &st);
        if (code == NRPC_OK) {
            j->cancel_acknowledged = true;
            j->cancelled_us = clock_mono_us();
        }
        if (code == NRPC_OK || code == NRPC_FAILED_PRECONDITION || !again(j, "cancel", &st))
            return;
    }
}

static bool set_paused(struct job *j, bool paused)
{
    struct nrpc_status st = {0};
    for (;;) {
        int code = (paused ? dtf_task_pause : dtf_task_resume)(j->work->client, j->task, &st);
        if (code == NRPC_OK)
            return true;
        if (code == NRPC_FAILED_PRECONDITION || !again(j, paused ? "pause" : "resume", &st))
            return false;
    }
}

void job_pause_and_resume(struct job *j)
{
    struct dtf_task_info info;
    struct nrpc_status st = {0};
    (void)poll(NULL, 0, (int)j->act_ms);
    if (!set_paused(j, true))
        return;
    while (dtf_task_status(j->work->client, j->task, &info, &st) && again(j, "status", &st))
        ;
    if (!*j->trouble && info.status != DTF_TASK_PAUSED && info.status < DTF_TASK_CANCELLED)
        job_trouble(j, "paused, and it is %s", dtf_task_status_name(info.status));
    (void)poll(NULL, 0, (int)j->act_ms / 2);
    (void)set_paused(j, false);
}

static void see(void *user, const struct dtf_task_result *r)
{
    struct job *j = user;
    uint64_t index = 0;
    if (r->result.kind == DTF_RESULT_SUCCESS && r->result.body_bytes == sizeof index)
        memcpy(&index, r->result.body, sizeof index);
    if (!index || index > j->param.count || index != r->subtask_id)
        job_trouble(j, "result of subtask %llu: kind %d, of %llu", (unsigned long long)r->subtask_id,
                    (int)r->result.kind, (unsigned long long)index);
    else
        j->seen[index]++;
}

// The answer that says that it was the last is acknowledged by asking once more.
void job_read_results(struct job *j)
{
    uint64_t cursor = 0;
    bool end = false;
    j->seen = mem_calloc(j->param.count + 1, sizeof *j->seen);
    for (uint64_t before = 1; (!end || cursor != before) && !*j->trouble && !time_is_up(j);) {
        struct nrpc_status st = {0};
        before = cursor;
        int code =
            dtf_task_results(j->work->client, j->task, &cursor, RESULTS_WAIT_MS, false, see, j, &end, &st);
        if (code == NRPC_DATA_LOSS) { // after the end: somebody has heard the last acknowledgement before
            j->results_lost = !end;
            return;
        }
        if (code && !again(j, "results", &st))
            return;
    }
    if (!end)
        job_trouble(j, "the results do not come to their end");
}

// ---- a job

static void *run(void *arg)
{
    struct job *j = arg;
    struct nrpc_status st;
    create_at(j, j->work->client, &j->task);
    if (j->task && j->kind->act)
        j->kind->act(j);
    for (int code = 1; j->task && code && !*j->trouble;) {
        int64_t left_ms = (j->work->until_us - clock_mono_us()) / 1000;
        code = dtf_task_wait(j->work->client, j->task, left_ms > 0 ? left_ms : 0, &j->info, &st);
        if (code == NRPC_DEADLINE_EXCEEDED && time_is_up(j))
            job_trouble(j, "not ended: %s", st.text);
        else if (code)
            (void)again(j, "wait", &st);
    }
    j->ended_us = clock_mono_us();
    atomic_store(&j->is_done, true);
    return NULL;
}

void work_start(struct work *w, const struct work_plan *plan)
{
    struct nrpc_status st;
    *w = (struct work){.count = plan->count, .until_us = clock_mono_us() + plan->patience_ms * 1000};
    snprintf(w->urls, sizeof w->urls, "%s", plan->urls);
    if (dtf_client_open(w->urls, &w->client, &st)) {
        fprintf(stderr, "%s: %s\n", w->urls, st.text);
        exit(1);
    }
    for (size_t i = 0; i < w->count; i++) {
        const struct job_kind *k = &plan->kinds[i];
        struct job *j = &w->jobs[i];
        *j = (struct job){.kind = k, .work = w, .act_ms = k->act_ms ? k->act_ms : 50 + random() % 1500};
        j->param.count = k->least + (uint64_t)random() % (k->most - k->least + 1);
        j->param.last_ms = k->last_ms;
        j->param.shape = k->shape;
        snprintf(j->key, sizeof j->key, "%u-%s", plan->seed, k->name);
    }
    for (size_t i = 0; i < w->count; i++)
        if (pthread_create(&w->jobs[i].thread, NULL, run, &w->jobs[i]))
            abort();
}

bool work_is_done(const struct work *w)
{
    bool done = true;
    for (size_t i = 0; i < w->count; i++)
        done = done && atomic_load(&w->jobs[i].is_done);
    return done;
}

void work_join(struct work *w)
{
    for (size_t i = 0; i < w->count; i++)
        pthread_join(w->jobs[i].thread, NULL);
}

const char *work_last_to_end(const struct work *w)
{
    const struct job *last = &w->jobs[0];
    for (size_t i = 1; i < w->count; i++)
        last = w->jobs[i].ended_us > last->ended_us ? &w->jobs[i] : last;
    return last->kind->name;
}

void work_fini(struct work *w)
{
    for (size_t i = 0; i < w->count; i++)
        free(w->jobs[i].seen);
    dtf_client_close(w->client);
}
