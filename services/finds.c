// SPDX-License-Identifier: Apache-2.0
// finds.c: suspects that wait for the hint that explains them.
#include "finds.h"

#include "base/clock.h"
#include "base/log.h"

enum { LOG_EVERY_MS = 10000 };

void finds_init(struct finds *f, const char *role, _Atomic uint64_t *total)
{
    *f = (struct finds){.role = role, .total = total};
}

static void drop(struct finds *f, size_t i)
{
    f->suspects[i] = f->suspects[--f->count];
}

void finds_heard(struct finds *f, uint64_t task, uint64_t number)
{
    for (size_t i = f->count; i-- > 0;)
        if (f->suspects[i].task == task && number > f->suspects[i].after && number <= f->suspects[i].upto)
            drop(f, i);
}

void finds_count(struct finds *f, uint64_t task, const char *what, int64_t now_ms)
{
    uint64_t total = atomic_fetch_add(f->total, 1) + 1;
    if (now_ms < f->log_ms)
        return;
    f->log_ms = now_ms + LOG_EVERY_MS;
    log_warn("%s: task %llu: a periodic look found that %s; no hint had told of it (%llu such finds here)",
             f->role, (unsigned long long)task, what, (unsigned long long)total);
}

void finds_suspect(struct finds *f, uint64_t task, uint64_t after, uint64_t upto, const char *what,
                   int64_t now_ms)
{
    for (size_t i = 0; i < f->count; i++)
        if (f->suspects[i].task == task)
            return;
    if (f->count < FINDS_SUSPECTS) // more at the same time tell nothing new
        f->suspects[f->count++] = (struct finds_suspect){task, after, upto, now_ms, what};
}

void finds_remember(struct finds *f, uint64_t task)
{
    f->heard[task % FINDS_HEARD] = task;
}

void finds_unheard(struct finds *f, uint64_t task, uint64_t number, const char *what, int64_t now_ms)
{
    if (f->heard[task % FINDS_HEARD] != task)
        finds_suspect(f, task, number - 1, number, what, now_ms);
}

void finds_excuse(struct finds *f)
{
    f->count = 0;
}

int64_t finds_tick(struct finds *f, int64_t now_ms)
{
    int64_t next_ms = CLOCK_NEVER;
    for (size_t i = f->count; i-- > 0;) {
        struct finds_suspect s = f->suspects[i];
        if (s.since_ms > now_ms) // the clock was set back
            s.since_ms = f->suspects[i].since_ms = now_ms;
        if (now_ms - s.since_ms < FINDS_GRACE_MS) {
            next_ms = s.since_ms + FINDS_GRACE_MS < next_ms ? s.since_ms + FINDS_GRACE_MS : next_ms;
            continue;
        }
        drop(f, i);
        finds_count(f, s.task, s.what, now_ms);
    }
    return next_ms;
}
