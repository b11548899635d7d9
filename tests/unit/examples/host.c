// SPDX-License-Identifier: Apache-2.0
// host.c: generates, executes, collects.
#include "host.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"

void host_init(struct host *h, const struct dtf_task_type *type, const ProtobufCMessage *param)
{
    *h = (struct host){.type = type};
    size_t size = protobuf_c_message_get_packed_size(param);
    h->param = mem_alloc(size);
    protobuf_c_message_pack(param, h->param);
    h->task = (struct dtf_task){.id = 7, .type = type->name, .created_ms = clock_now_ms()};
    h->task.param = h->param;
    h->task.param_bytes = size;
}

void host_fini(struct host *h)
{
    for (size_t i = 0; i < h->count; i++)
        free(h->subtasks[i].param);
    free(h->subtasks);
    free(h->param);
    buffer_fini(&h->saved);
}

static void add_subtask(struct host *h, const struct dtf_subtask_spec *spec)
{
    assert_true(spec->param_bytes <= DTF_SUBTASK_PARAM_MAX);
    mem_grow(&h->subtasks, &h->capacity, h->count + 1, sizeof *h->subtasks);
    h->subtasks[h->count++] =
        (struct host_subtask){mem_dup(spec->param, spec->param_bytes), spec->param_bytes};
}

// ---- the generator

int host_begin(struct host *h)
{
    const void *saved = h->saved.size ? h->saved.data : NULL;
    return h->type->generator->begin(h->type->user, &h->task, saved, h->saved.size, &h->state, &h->st);
}

bool host_next(struct host *h)
{
    struct dtf_subtask_spec spec;
    enum dtf_next next = h->type->generator->next(h->state, &spec, &h->st);
    if (next == DTF_NEXT_FINISHED)
        return false;
    assert_true(next == DTF_NEXT_SUBTASK || next == DTF_NEXT_LAST);
    add_subtask(h, &spec);
    return next == DTF_NEXT_SUBTASK;
}

void host_save(struct host *h)
{
    h->saved.size = 0;
    h->type->generator->save_status(h->state, &h->saved);
    assert_true(h->saved.size <= DTF_CHECKPOINT_MAX);
}

void host_end(struct host *h)
{
    h->type->generator->end(h->state);
}

void host_generate(struct host *h, unsigned steps)
{
    assert_int_equal(host_begin(h), NRPC_OK);
    for (unsigned n = 1; host_next(h); n++) {
        if (!steps || n % steps)
            continue;
        host_save(h);
        host_end(h);
        assert_int_equal(host_begin(h), NRPC_OK);
    }
    host_end(h);
}

// ---- executor and collector

static struct dtf_subtask subtask_at(const struct host *h, size_t index)
{
    return (struct dtf_subtask){.task_id = h->task.id,
                                .id = index + 1,
                                .attempt = 1,
                                .type = h->type->name,
                                .param = h->subtasks[index].param,
                                .param_bytes = h->subtasks[index].param_bytes};
}

int host_execute(struct host *h, size_t index, bool cancelled, struct host_result *out)
{
    struct dtf_subtask subtask = subtask_at(h, index);
    struct dtf_execution x;
    struct nrpc_status st = {0};
    execution_init(&x);
    if (cancelled)
        execution_cancel(&x);
    *out = (struct host_result){0};
    int code = h->type->executor->execute(h->type->user, &subtask, &x, &st);
    assert_false(x.body_refused);
    snprintf(out->message, sizeof out->message, "%s", st.text);
    out->body = x.body_size ? mem_dup(x.body, x.body_size) : NULL;
    out->result = (struct dtf_result){.kind = code ? DTF_RESULT_FAILURE : DTF_RESULT_SUCCESS, .code = x.code};
    out->result.message = out->message;
    out->result.body = out->body;
    out->result.body_bytes = x.body_size;
    execution_fini(&x);
    return code;
}

void host_result_fini(struct host_result *r)
{
    free(r->body);
}

bool host_collect(struct host *h, size_t index, const struct host_result *r, bool settle)
{
    struct arena arena;
    arena_init(&arena, 0);
    bool finished = true;
    struct dtf_subtask subtask = subtask_at(h, index);
    struct dtf_followups followups = {.arena = &arena,
                                      .allowed = h->type->conf.iteration == DTF_ITERATION_COLLECTOR};
    h->type->collector->after_execution(h->type->user, &subtask, &r->result, &followups, &finished);
    if (settle && finished) {
        for (size_t i = 0; i < followups.count; i++)
            add_subtask(h, &followups.specs[i]);
        h->succeeded += r->result.kind == DTF_RESULT_SUCCESS;
        h->failed += r->result.kind != DTF_RESULT_SUCCESS;
    }
    followups_fini(&followups);
    arena_fini(&arena);
    return finished;
}

void host_run(struct host *h, unsigned times)
{
    for (size_t i = 0; i < h->count; i++) {
        struct host_result r;
        host_execute(h, i, false, &r);
        for (unsigned n = 1; n <= times; n++)
            assert_true(host_collect(h, i, &r, n == times));
        host_result_fini(&r);
    }
}

int host_complete(struct host *h, const char *outcome)
{
    struct dtf_task_summary summary = {.task_id = h->task.id,
                                       .outcome = outcome,
                                       .generated = h->count,
                                       .succeeded = h->succeeded,
                                       .failed = h->failed};
    return h->type->collector->after_task_completed(h->type->user, &h->task, &summary, &h->st);
}
