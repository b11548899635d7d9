// SPDX-License-Identifier: Apache-2.0
// walk.c: when all tasks are looked at, and how fast: from time to time, when hints may have been lost, and
// before a state that began anew is used. There may be very many of them, so this goes by slices, and rests
// between them: nine parts of ten, if nothing is known to be amiss; as long as a slice took, if something is;
// not at all while the state waits for it.
#include "base/clock.h"
#include "base/log.h"
#include "manager_internal.h"

#include <stdlib.h>

enum {
    WALK_MS = 60000,      // between two walks
    PAUSE_MAX_MS = 10000, // before a walk that failed is tried again
    AGAIN_MS = 1000,
    REST = 9, // times as long as a slice took
};

bool walk_is_wanted(const struct manager *m)
{
    return m->leads || m->repair_asked || (m->walk.is_walking && m->walk.is_asked);
}

void walk_soon(struct manager *m, int64_t now_ms)
{
    m->walk.again = m->walk.is_walking;
    m->walk.is_urgent = true;
    m->repair_pause_ms = ENV_STORE_RETRY_MS;
    m->next_repair_ms = now_ms;
}

static void begin(struct manager *m)
{
    struct repair *r = &m->walk;
    struct state *s = m->env->state;
    bool verified;
    uint64_t incarnation = s->ops->incarnation(s, &verified);
    bool urgent = r->is_urgent || m->repair_asked || m->compare_asked || !verified;
    free(r->failed);
    *r = (struct repair){.m = m,
                         .is_walking = true,
                         .is_asked = m->repair_asked,
                         .is_urgent = urgent,
                         .thorough = s->disposable && (!verified || m->compare_asked),
                         .was_verified = verified,
                         .incarnation = incarnation};
    m->repair_asked = m->compare_asked = false;
}

static int walk_records(struct repair *r, bool *more, struct nrpc_status *st)
{
    struct records *records = r->m->env->records;
    struct records_task *page;
    size_t count = 0;
    struct arena a;
    arena_init(&a, 0);
    int code = records->ops->unfinished(records, r->after, REPAIR_SLICE, &a, &page, &count, st);
    if (code == NRPC_OK && count)
        code = repair_some(r, page, count, &a, st);
    r->after = code == NRPC_OK && count ? page[count - 1].id : 0;
    r->phase = !count;
    *more = count || r->thorough;
    arena_fini(&a);
    return code;
}

// After the last slice, or the one that failed.
static int end(struct repair *r, int code, int64_t now_ms, struct nrpc_status *st)
{
    struct manager *m = r->m;
    struct state *s = m->env->state;
    r->is_walking = r->is_urgent = false;
    if (code == NRPC_OK && !r->was_verified)
        code = s->ops->verify(s, r->incarnation, r->failed, r->failed_count, st);
    if (code == NRPC_OK && r->thorough && !r->failed_count)
        log_info("the state was compared with the records");
    m->compare_asked |= r->thorough && code;
    if (code == NRPC_OK && r->unheard.code) {
        *st = r->unheard;
        code = st->code;
    }
    if (m->wall.agreed && s->ops->expire_results(s, wall_ms(&m->wall, now_ms), st))
        code = st->code;
    return code;
}

static void plan_next(struct manager *m, int code, const struct nrpc_status *st, int64_t now_ms)
{
    m->next_repair_ms = now_ms + WALK_MS;
    if (code) {
        m->repair_pause_ms = m->repair_pause_ms < PAUSE_MAX_MS ? 2 * m->repair_pause_ms : m->repair_pause_ms;
        trouble_say(m->env->trouble, st, "manager: housekeeping failed");
        m->repair_asked = true;
        m->next_repair_ms = now_ms + m->repair_pause_ms;
        return;
    }
    m->repair_pause_ms = ENV_STORE_RETRY_MS;
    if (m->repair_asked || m->walk.again) { // a queue was full; or hints were lost meanwhile
        m->walk.is_urgent = true;
        m->next_repair_ms = now_ms + AGAIN_MS;
    }
}

static int64_t rest_ms(const struct repair *r, int64_t slice_us)
{
    return !r->was_verified ? 0 : (r->is_urgent ? slice_us : slice_us * REST) / 1000;
}

void walk_step(struct manager *m, int64_t now_ms)
{
    struct repair *r = &m->walk;
    struct state *s = m->env->state;
    struct nrpc_status st;
    bool more = false, verified;
    int64_t begin_us = clock_mono_us();
    if (!r->is_walking || s->ops->incarnation(s, &verified) != r->incarnation || m->compare_asked)
        begin(m);
    int code = r->phase ? compare_slice(r, &more, &st) : walk_records(r, &more, &st);
    if (code == NRPC_OK && more)
        m->next_repair_ms = now_ms + rest_ms(r, clock_mono_us() - begin_us);
    else
        plan_next(m, end(r, code, now_ms, &st), &st, now_ms);
}
