// SPDX-License-Identifier: Apache-2.0
// task_message.c: copies, field by field.
#include "task_message.h"

#include "counters_message.h"

static Dtf__V1__TaskParam *param_message(const struct records_task *t, struct arena *a)
{
    Dtf__V1__TaskParam *p = arena_alloc(a, sizeof *p);
    dtf__v1__task_param__init(p);
    p->name = (char *)t->name;
    p->description = (char *)t->description;
    p->type = (char *)t->type;
    p->creator = (char *)t->creator;
    p->creator_uid = t->creator_uid;
    p->resource_group = (char *)t->group;
    p->priority = t->priority;
    return p;
}

static const char *message_of(const struct records_task *t, const struct state_progress *p, bool live)
{
    if (live && p->message && *p->message)
        return p->message;
    return t->message ? t->message : "";
}

Dtf__V1__Task *task_message(const struct records_task *t, const struct state_progress *p,
                            const char *why_unknown, bool with_param, struct arena *a)
{
    bool under_way = p && !model_status_is_terminal(t->status), live = under_way && p->found;
    Dtf__V1__Task *m = arena_alloc(a, sizeof *m);
    dtf__v1__task__init(m);
    m->id = t->id;
    m->status = (Dtf__V1__TaskStatus)t->status;
    m->created_ms = t->created_ms;
    m->finished_ms = t->finished_ms;
    m->state_unknown = under_way && p->unknown;
    m->message = m->state_unknown ? arena_strdup(a, why_unknown) : (char *)message_of(t, p, live);
    m->counters = counters_message(live ? &p->counters : &t->counters, a);
    m->progress_percent = live ? p->progress_percent : t->status == MODEL_COMPLETED ? 100 : -1;
    if (with_param)
        m->param = dtf__v1__task_param__unpack(&a->allocator, t->param.bytes, t->param.data);
    if (!m->param)
        m->param = param_message(t, a);
    return m;
}
