// SPDX-License-Identifier: Apache-2.0
// callback.c: buffers, follow-ups, executions.
#include "plugin/callback.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

void dtf_buffer_append(struct dtf_buffer *b, const void *data, size_t size)
{
    mem_grow(&b->data, &b->capacity, b->size + size, 1);
    if (size)
        memcpy(b->data + b->size, data, size);
    b->size += size;
}

void buffer_fini(struct dtf_buffer *b)
{
    free(b->data);
    *b = (struct dtf_buffer){0};
}

int dtf_followup_add(struct dtf_followups *f, const struct dtf_subtask_spec *spec, struct nrpc_status *st)
{
    if (!f->allowed)
        return status_set(st, NRPC_FAILED_PRECONDITION,
                          "the task type does not iterate: it cannot add follow-ups");
    if (f->count >= DTF_FOLLOWUPS_MAX)
        return status_set(st, NRPC_RESOURCE_EXHAUSTED, "a result can add %d follow-ups", DTF_FOLLOWUPS_MAX);
    if (spec->param_bytes > DTF_SUBTASK_PARAM_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT,
                          "a follow-up's param of %zu bytes is over the limit of %d", spec->param_bytes,
                          DTF_SUBTASK_PARAM_MAX);
    mem_grow(&f->specs, &f->capacity, f->count + 1, sizeof *f->specs);
    struct dtf_subtask_spec *s = &f->specs[f->count++];
    *s = *spec;
    s->param = arena_dup(f->arena, spec->param, spec->param_bytes);
    return NRPC_OK;
}

void followups_fini(struct dtf_followups *f)
{
    free(f->specs);
    f->specs = NULL;
    f->count = f->capacity = 0;
}

void execution_init(struct dtf_execution *x)
{
    *x = (struct dtf_execution){.cancel_fd = -1};
}

bool dtf_execution_is_cancelled(const struct dtf_execution *x)
{
    return atomic_load(&x->cancelled);
}

static void ring(int fd)
{
    uint64_t one = 1;
    if (fd >= 0 && write(fd, &one, sizeof one) < 0)
        return; // it is readable already
}

int dtf_execution_cancel_fd(const struct dtf_execution *cx)
{
    struct dtf_execution *x = (struct dtf_execution *)cx;
    int fd = atomic_load(&x->cancel_fd);
    if (fd >= 0)
        return fd;
    fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    atomic_store(&x->cancel_fd, fd);
    if (atomic_load(&x->cancelled)) // cancelled before there was an fd to ring
        ring(fd);
    return fd;
}

void execution_cancel(struct dtf_execution *x)
{
    atomic_store(&x->cancelled, true);
    ring(atomic_load(&x->cancel_fd));
}

void dtf_execution_set_code(struct dtf_execution *x, int32_t code)
{
    x->code = code;
}

void dtf_execution_set_body(struct dtf_execution *x, const void *data, size_t size)
{
    free(x->body);
    x->body = NULL;
    x->body_size = 0;
    x->body_refused = size > DTF_RESULT_BODY_MAX;
    if (x->body_refused || !size)
        return;
    x->body = mem_dup(data, size);
    x->body_size = size;
}

void execution_fini(struct dtf_execution *x)
{
    if (x->cancel_fd >= 0)
        close(x->cancel_fd);
    free(x->body);
}
