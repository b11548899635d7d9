// SPDX-License-Identifier: Apache-2.0
// parked.c: requests by task, and by the time when they must be answered.
#include "parked.h"

#include "base/clock.h"

#include <stdlib.h>
#include <uthash.h>

struct parked_task {
    UT_hash_handle hh;
    uint64_t task;
    struct request *first, **last;
};

static struct parked_task *find(struct parked *p, uint64_t task)
{
    struct parked_task *t;
    HASH_FIND(hh, p->tasks, &task, sizeof task, t);
    return t;
}

void parked_add(struct parked *p, struct request *r, uint64_t task, unsigned signals)
{
    struct parked_task *t = find(p, task);
    if (!t) {
        t = mem_calloc(1, sizeof *t);
        t->task = task;
        t->last = &t->first;
        HASH_ADD(hh, p->tasks, task, sizeof t->task, t);
    }
    r->task = task;
    r->signals = signals;
    r->next = NULL;
    r->prev = t->last;
    *t->last = r;
    t->last = &r->next;
    heap_put(&p->waits, &r->wait, r->until_ms);
    p->event_readers += (signals & PARKED_EVENT) != 0;
}

static void take_out(struct parked *p, struct request *r)
{
    struct parked_task *t = find(p, r->task);
    heap_remove(&p->waits, &r->wait);
    p->event_readers -= (r->signals & PARKED_EVENT) != 0;
    *r->prev = r->next;
    if (r->next)
        r->next->prev = r->prev;
    else
        t->last = r->prev;
    if (!t->first) {
        HASH_DEL(p->tasks, t);
        free(t);
    }
    r->next = NULL;
}

struct request *parked_take(struct parked *p, uint64_t task, unsigned signals)
{
    struct parked_task *t = find(p, task);
    struct request *taken = NULL, **tail = &taken;
    for (struct request *r = t ? t->first : NULL, *next; r; r = next) {
        next = r->next;
        if (!(r->signals & signals))
            continue;
        take_out(p, r);
        *tail = r;
        tail = &r->next;
    }
    return taken;
}

struct request *parked_take_all(struct parked *p)
{
    struct request *taken = NULL, **tail = &taken;
    for (struct request *r; (r = parked_any(p)); tail = &r->next)
        *tail = r;
    return taken;
}

struct request *parked_take_left(struct parked *p)
{
    struct request *taken = NULL, **tail = &taken;
    struct parked_task *t, *tmp;
    HASH_ITER(hh, p->tasks, t, tmp)
    {
        for (struct request *r = t->first, *next; r; r = next) {
            next = r->next; // with the last one the task's list goes
            if (!nrpc_call_is_cancelled(r->call))
                continue;
            take_out(p, r);
            *tail = r;
            tail = &r->next;
        }
    }
    return taken;
}

struct request *parked_any(struct parked *p)
{
    struct request *r = (struct request *)heap_top(&p->waits);
    if (r)
        take_out(p, r);
    return r;
}

struct request *parked_overdue(struct parked *p, int64_t now_ms, int64_t *next_ms)
{
    struct heap_node *top = heap_top(&p->waits);
    *next_ms = top ? top->key : CLOCK_NEVER;
    return top && top->key <= now_ms ? parked_any(p) : NULL;
}

void parked_fini(struct parked *p)
{
    heap_fini(&p->waits);
}
