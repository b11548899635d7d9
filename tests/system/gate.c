// SPDX-License-Identifier: Apache-2.0
// gate.c: a task type for system tests, as a plugin: its subtasks do what the files in a folder say, and
// leave traces there.
#include "system/gate.h"

#include "dtf.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct counter {
    struct gate_param param;
    uint32_t made;
};

static bool is_there(const struct gate_param *p, const char *name)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", p->folder, name);
    return access(path, F_OK) == 0;
}

static void add_line(const struct gate_param *p, const char *line)
{
    char path[300];
    snprintf(path, sizeof path, "%s/log", p->folder);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, line, strlen(line)) < 0)
        perror(path);
    if (fd >= 0)
        close(fd);
}

static int overflow(volatile int *depth) // until the stack is full
{
    volatile char room[4096] = {0};
    return ++*depth ? overflow(depth) + room[*depth % 4096] : 0;
}

static void fork_child(void)
{
    pid_t child = fork();
    if (child == 0)
        exit(3);
    (void)waitpid(child, NULL, 0);
}

static void crash(const struct gate_param *p, const char *callback)
{
    char line[100];
    volatile int depth = 0;
    if (!p->crash || strcmp(p->crash_in, callback) != 0)
        return;
    snprintf(line, sizeof line, "crash %s %d\n", callback, (int)getpid());
    add_line(p, line);
    switch (p->crash) {
    case GATE_ABORT:
        abort();
    case GATE_SEGMENT:
        *(volatile int *)(uintptr_t)p->count = 1;
        break;
    case GATE_EXIT:
        exit(3);
    case GATE_EXIT_NOW:
        _exit(3);
    case GATE_QUICK_EXIT:
        quick_exit(3);
    case GATE_CHILD:
        fork_child();
        break;
    case GATE_STACK:
        overflow(&depth);
    }
}

static void note(const struct dtf_subtask *subtask, const struct gate_subtask *s, const char *what)
{
    char line[100];
    if (s->param.quiet)
        return;
    snprintf(line, sizeof line, "%s %u %u %d\n", what, s->index, subtask->attempt, (int)getpid());
    add_line(&s->param, line);
}

// ---- the generator

static int begin(void *user, const struct dtf_task *task, const void *saved, size_t saved_bytes, void **state,
                 struct nrpc_status *st)
{
    (void)user;
    if (task->param_bytes != sizeof(struct gate_param))
        return status_set(st, NRPC_INVALID_ARGUMENT, "the parameter of gate is a struct gate_param");
    struct counter *c = calloc(1, sizeof *c);
    if (!c)
        return status_set(st, NRPC_RESOURCE_EXHAUSTED, "out of memory");
    memcpy(&c->param, task->param, sizeof c->param);
    if (saved_bytes == sizeof c->made)
        memcpy(&c->made, saved, sizeof c->made);
    *state = c;
    return NRPC_OK;
}

static enum dtf_next next(void *state, struct dtf_subtask_spec *out, struct nrpc_status *st)
{
    (void)st;
    struct counter *c = state;
    static _Thread_local struct gate_subtask s;
    crash(&c->param, "generator");
    if (c->made == c->param.count)
        return DTF_NEXT_FINISHED;
    s = (struct gate_subtask){++c->made, c->param};
    *out = (struct dtf_subtask_spec){&s, sizeof s, c->param.timeout_ms};
    return DTF_NEXT_SUBTASK;
}

static void save_status(void *state, struct dtf_buffer *out)
{
    dtf_buffer_append(out, &((struct counter *)state)->made, sizeof(uint32_t));
}

// ---- the others

static int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int execute(void *user, const struct dtf_subtask *subtask, struct dtf_execution *x,
                   struct nrpc_status *st)
{
    (void)user;
    struct gate_subtask s;
    memcpy(&s, subtask->param, sizeof s);
    note(subtask, &s, "start");
    struct pollfd p = {dtf_execution_cancel_fd(x), POLLIN, 0};
    bool is_slow = s.param.slow_from && s.index >= s.param.slow_from;
    int64_t until_ms = now_ms() + (is_slow ? s.param.slow_ms : s.param.run_ms);
    while (now_ms() < until_ms || is_there(&s.param, "hold"))
        if (poll(&p, 1, 2) > 0) {
            note(subtask, &s, "cancel");
            return status_set(st, NRPC_CANCELLED, "cancelled");
        }
    note(subtask, &s, "end");
    if (subtask->attempt <= s.param.failures)
        return status_set(st, NRPC_ABORTED, "attempt %u of %u is to fail", subtask->attempt, s.index);
    dtf_execution_set_body(x, &s.index, sizeof s.index);
    return NRPC_OK;
}

static bool before_dispatch(void *user, const struct dtf_subtask *subtask)
{
    (void)user;
    struct gate_subtask s;
    memcpy(&s, subtask->param, sizeof s);
    note(subtask, &s, "ask");
    crash(&s.param, "before_dispatch");
    return !is_there(&s.param, "closed");
}

static void after_dispatch(void *user, const struct dtf_subtask *subtask)
{
    (void)user;
    struct gate_subtask s;
    memcpy(&s, subtask->param, sizeof s);
    note(subtask, &s, "dispatch");
}

static void after_execution(void *user, const struct dtf_subtask *subtask, const struct dtf_result *result,
                            struct dtf_followups *followups, bool *finished)
{
    (void)user, (void)result, (void)followups, (void)finished;
    struct gate_subtask s;
    memcpy(&s, subtask->param, sizeof s);
    note(subtask, &s, "review");
    crash(&s.param, "after_execution");
    for (int64_t until_ms = now_ms() + s.param.review_ms; now_ms() < until_ms || is_there(&s.param, "stuck");)
        (void)poll(NULL, 0, 5);
}

static int after_task_completed(void *user, const struct dtf_task *task,
                                const struct dtf_task_summary *summary, struct nrpc_status *st)
{
    (void)user, (void)summary, (void)st;
    struct gate_param p;
    memcpy(&p, task->param, sizeof p);
    crash(&p, "after_task_completed");
    return NRPC_OK;
}

static const struct dtf_generator generator = {
    .begin = begin, .next = next, .save_status = save_status, .end = free};
static const struct dtf_executor executor = {.execute = execute};
static const struct dtf_scheduler_callback scheduler = {.before_dispatch = before_dispatch,
                                                        .after_dispatch = after_dispatch};
static const struct dtf_collector_callback collector = {.after_execution = after_execution};
static const struct dtf_collector_callback whole_collector = {.after_execution = after_execution,
                                                              .after_task_completed = after_task_completed};
static const struct dtf_task_type types[] = {
    {.name = "gate", .description = "does what files say", .generator = &generator, .executor = &executor},
    {.name = "vetted_gate",
     .description = "the same, with a scheduler callback",
     .generator = &generator,
     .executor = &executor,
     .scheduler = &scheduler},
    {.name = "reviewed_gate",
     .description = "the same, with a collector callback",
     .generator = &generator,
     .executor = &executor,
     .collector = &collector},
    {.name = "whole_gate",
     .description = "the same, with all callbacks",
     .generator = &generator,
     .executor = &executor,
     .scheduler = &scheduler,
     .collector = &whole_collector},
};

const struct dtf_plugin dtf_plugin_v1 = {.abi = DTF_PLUGIN_ABI, .type_count = 4, .types = types};
