// SPDX-License-Identifier: Apache-2.0
// errand.c: task types for the chaos test, as a plugin: subtasks that succeed, fail, hang and add follow-ups
// as their parameter says, and write down that they ran.
#include "chaos/errand.h"

#include "dtf.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct counter {
    struct errand_param param;
    uint64_t made;
    int64_t begun_us;
    unsigned char subtask[sizeof(struct errand_subtask) + ERRAND_PAD_MAX];
};

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static size_t pad_of(const struct errand_subtask *s)
{
    return s->shape.pad_bytes < ERRAND_PAD_MAX ? s->shape.pad_bytes : ERRAND_PAD_MAX;
}

static unsigned char pad_value(uint64_t index)
{
    return (unsigned char)(index * 31 + 7);
}

static int begin(void *user, const struct dtf_task *task, const void *saved, size_t saved_bytes, void **state,
                 struct nrpc_status *st)
{
    (void)user;
    if (task->param_bytes != sizeof(struct errand_param))
        return status_set(st, NRPC_INVALID_ARGUMENT, "the parameter of an errand is a struct errand_param");
    struct counter *c = calloc(1, sizeof *c);
    if (!c)
        return status_set(st, NRPC_RESOURCE_EXHAUSTED, "out of memory");
    memcpy(&c->param, task->param, sizeof c->param);
    c->begun_us = now_us();
    if (saved_bytes == sizeof c->made)
        memcpy(&c->made, saved, sizeof c->made);
    *state = c;
    return NRPC_OK;
}

static bool is_every(uint64_t index, uint32_t every)
{
    return every && index % every == 0;
}

static enum dtf_next next(void *state, struct dtf_subtask_spec *out, struct nrpc_status *st)
{
    (void)st;
    struct counter *c = state;
    if (c->made == c->param.count)
        return DTF_NEXT_FINISHED;
    if (c->made + 1 == c->param.count && now_us() < c->begun_us + c->param.last_ms * 1000ll)
        return DTF_NEXT_NONE_NOW;
    struct errand_subtask s = {++c->made, c->param.shape};
    memcpy(c->subtask, &s, sizeof s);
    memset(c->subtask + sizeof s, pad_value(s.index), pad_of(&s));
    *out = (struct dtf_subtask_spec){
        .param = c->subtask,
        .param_bytes = sizeof s + pad_of(&s),
        .timeout_ms = is_every(c->made, c->param.shape.hang_every) ? ERRAND_HANG_MS : 0,
    };
    return DTF_NEXT_SUBTASK;
}

static void save_status(void *state, struct dtf_buffer *out)
{
    dtf_buffer_append(out, &((struct counter *)state)->made, sizeof(uint64_t));
}

// ---- execution

static int runs = -1;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void open_runs(void)
{
    char path[400];
    const char *folder = getenv(ERRAND_RUNS);
    snprintf(path, sizeof path, "%s/%ld", folder ? folder : ".", (long)getpid());
    runs = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

// Waits; true: it was cancelled.
static bool take_time(struct dtf_execution *x, int64_t us)
{
    struct pollfd p = {dtf_execution_cancel_fd(x), POLLIN, 0};
    struct timespec t = {us / 1000000, us % 1000000 * 1000};
    return us && ppoll(&p, 1, &t, NULL) > 0;
}

static int run(const struct dtf_subtask *subtask, const struct errand_subtask *s, struct dtf_execution *x,
               struct nrpc_status *st)
{
    if (is_every(s->index, s->shape.hang_every)) {
        (void)take_time(x, 60000000);
        return status_set(st, NRPC_CANCELLED, "hung until it was told to stop");
    }
    if (take_time(x, (int64_t)(s->shape.run_us * (s->index % 7 + 1) / 7)))
        return status_set(st, NRPC_CANCELLED, "told to stop");
    if (is_every(s->index, s->shape.fail_every))
        return status_set(st, NRPC_ABORTED, "fails each time");
    if (is_every(s->index, s->shape.flaky_every) && subtask->attempt == 1)
        return status_set(st, NRPC_ABORTED, "fails at first");
    dtf_execution_set_body(x, &s->index, sizeof s->index);
    return NRPC_OK;
}

static int execute(void *user, const struct dtf_subtask *subtask, struct dtf_execution *x,
                   struct nrpc_status *st)
{
    (void)user;
    struct errand_subtask s;
    memcpy(&s, subtask->param, sizeof s);
    const unsigned char *pad = (const unsigned char *)subtask->param + sizeof s;
    bool whole = subtask->param_bytes == sizeof s + pad_of(&s);
    for (size_t i = 0; whole && i < pad_of(&s); i++)
        whole = pad[i] == pad_value(s.index);
    struct errand_run note = {subtask->task_id, subtask->id, s.index, now_us(), subtask->attempt, 0};
    pthread_once(&once, open_runs);
    int code = run(subtask, &s, x, st);
    note.code = whole ? (uint32_t)code : ERRAND_WRONG;
    if (write(runs, &note, sizeof note) != sizeof note) // one step: a kill leaves no half of it
        return status_set(st, NRPC_INTERNAL, "cannot write down what ran");
    return code;
}

static void note(const struct errand_run *run)
{
    pthread_once(&once, open_runs);
    if (write(runs, run, sizeof *run) != sizeof *run)
        abort();
}

static void pass_ms(uint32_t ms)
{
    const struct timespec t = {ms / 1000, ms % 1000 * 1000000l};
    if (ms)
        nanosleep(&t, NULL);
}

static void after_execution(void *user, const struct dtf_subtask *subtask, const struct dtf_result *result,
                            struct dtf_followups *followups, bool *finished)
{
    (void)user;
    (void)finished;
    struct errand_subtask s;
    memcpy(&s, subtask->param, sizeof s);
    pass_ms(s.index == 1 ? s.shape.review_ms : 0);
    // A result is given together with the parameter of the subtask whose it is: whatever went back in time.
    if (result->kind == DTF_RESULT_SUCCESS &&
        (result->body_bytes != sizeof s.index || memcmp(result->body, &s.index, sizeof s.index) != 0))
        note(&(struct errand_run){subtask->task_id, subtask->id, s.index, now_us(), subtask->attempt,
                                  ERRAND_WRONG});
    if (result->kind != DTF_RESULT_SUCCESS || !is_every(s.index, s.shape.followup_every) ||
        s.index >= ERRAND_FOLLOWUP)
        return;
    s.index += ERRAND_FOLLOWUP;
    s.shape.fail_every = s.shape.flaky_every = s.shape.hang_every = s.shape.pad_bytes = 0;
    dtf_followup_add(followups, &(struct dtf_subtask_spec){.param = &s, .param_bytes = sizeof s}, NULL);
}

static int after_task_completed(void *user, const struct dtf_task *task,
                                const struct dtf_task_summary *summary, struct nrpc_status *st)
{
    (void)user;
    (void)summary;
    (void)st;
    struct errand_param param;
    memcpy(&param, task->param, sizeof param);
    pass_ms(param.shape.close_ms);
    note(&(struct errand_run){.task = task->id, .index = ERRAND_COMPLETED, .start_us = now_us()});
    return NRPC_OK;
}

static bool before_dispatch(void *user, const struct dtf_subtask *subtask)
{
    (void)user;
    struct errand_subtask s;
    memcpy(&s, subtask->param, sizeof s);
    return subtask->attempt > 1 || !is_every(s.index, s.shape.decline_every);
}

static int crash(void *user, const struct dtf_task *task, const void *saved, size_t saved_bytes, void **state,
                 struct nrpc_status *st)
{
    (void)user, (void)task, (void)saved, (void)saved_bytes, (void)state;
    raise(SIGSEGV);
    return status_set(st, NRPC_INTERNAL, "a crash that did not happen");
}

static const struct dtf_generator with_status = {
    .begin = begin, .next = next, .save_status = save_status, .end = free};
static const struct dtf_generator without_status = {.begin = begin, .next = next, .end = free};
static const struct dtf_generator crashing = {.begin = crash, .next = next, .end = free};
static const struct dtf_executor executor = {.execute = execute};
static const struct dtf_collector_callback collector = {.after_execution = after_execution};
static const struct dtf_collector_callback closing = {.after_execution = after_execution,
                                                      .after_task_completed = after_task_completed};
static const struct dtf_scheduler_callback declining = {.before_dispatch = before_dispatch};
static const struct dtf_task_type types[] = {
    {.name = "errand", .generator = &with_status, .executor = &executor},
    {.name = "errand_plain", .generator = &without_status, .executor = &executor},
    {.name = "errand_more",
     .conf = {.iteration = DTF_ITERATION_COLLECTOR},
     .generator = &with_status,
     .executor = &executor,
     .collector = &collector},
    {.name = "errand_closing",
     .generator = &with_status,
     .executor = &executor,
     .scheduler = &declining,
     .collector = &closing},
    {.name = "errand_crashing", .generator = &crashing, .executor = &executor},
};

const struct dtf_plugin dtf_plugin_v1 = {
    .abi = DTF_PLUGIN_ABI, .type_count = sizeof types / sizeof *types, .types = types};
