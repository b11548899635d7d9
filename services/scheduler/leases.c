// SPDX-License-Identifier: Apache-2.0
// leases.c: the leases of nodes: renewed for those that were heard of, swept by the one scheduler that leads,
// and begun anew when the clock jumps.
#include "scheduler_internal.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    JUMP_MS = 2000,
    REBASES = 2,
    REBASE_AGAIN_MS = 3000,
    SWEEP_US = 50000, // of a step
    NAMED_MAX = 8,    // nodes in a line of the log
};

// When it must be heard of again, at the latest: a call that waits here says nothing meanwhile.
static int64_t lease_until(const struct scheduler *s, const struct node *n, int64_t now_ms)
{
    int64_t waits_ms = n->parked ? n->wait.key - now_ms - scheduler_poll_ms(s) : 0;
    return now_ms + s->env->node_lease_ms + (waits_ms > 0 ? waits_ms : 0);
}

// Those that were heard of; and those whose call has ended without us: they have no longer than others then.
static size_t list_renewals(struct scheduler *s, struct state_renewal *out, int64_t now_ms)
{
    size_t count = 0;
    for (struct node *n = s->nodes.all; n; n = n->hh.next) {
        bool hung_up = n->parked && nrpc_call_is_cancelled(n->parked->call);
        if (hung_up)
            exchange_answer_parked(s, n, NULL, 0);
        int64_t until_ms = lease_until(s, n, now_ms);
        bool was_set_back = n->parked && now_ms < s->renew_all_until_ms;
        if (!n->seen && !was_set_back && !(hung_up && n->leased_until_ms > until_ms))
            continue;
        n->leased_until_ms = until_ms;
        out[count++] = (struct state_renewal){n->id, until_ms, hung_up};
    }
    return count;
}

void leases_renew(struct scheduler *s, int64_t now_ms)
{
    s->next_renew_ms = now_ms + s->env->node_lease_ms / 5;
    struct state_renewal *renewals =
        arena_alloc(&s->arena, (HASH_COUNT(s->nodes.all) + 1) * sizeof *renewals);
    size_t count = list_renewals(s, renewals, now_ms);
    if (leases_extend(s, renewals, count)) {
        s->next_renew_ms = now_ms + ENV_STORE_RETRY_MS;
        return;
    }
    for (struct node *n = s->nodes.all; n; n = n->hh.next)
        n->seen = false;
}

int leases_extend(struct scheduler *s, const struct state_renewal *renewals, size_t count)
{
    uint64_t *lost;
    size_t lost_count = 0;
    struct nrpc_status st;
    int code = count ? s->env->state->ops->node_renew(s->env->state, renewals, count, &s->arena, &lost,
                                                      &lost_count, &st)
                     : NRPC_OK;
    if (code)
        trouble_say(s->env->trouble, &st, "scheduler: cannot renew the nodes' leases");
    s->owes_grace |= code != NRPC_OK;
    for (size_t i = 0; i < lost_count; i++) {
        struct node *n = node_table_find(&s->nodes, lost[i]);
        if (n)
            exchange_drop_node(s, n, "its lease has ended");
    }
    return code;
}

// The one that sweeps; when it is new, or was stopped for longer than it leads, or could not write (a full
// disk), the nodes get time to be heard of: nobody may have renewed their leases.
static int lead(struct scheduler *s, int64_t now_ms, struct nrpc_status *st)
{
    const struct state_ops *ops = s->env->state->ops;
    int64_t until_ms = now_ms + s->env->node_lease_ms;
    bool led = s->leads && now_ms < s->lead_until_ms && !s->owes_grace;
    s->leads = false;
    s->lead_until_ms = until_ms;
    int code = ops->lead(s->env->state, "sweep", s->owner_id, now_ms, until_ms, &s->leads, st);
    if (code || led || !s->leads)
        return code;
    code = ops->node_grace(s->env->state, until_ms, st);
    s->owes_grace = code != NRPC_OK;
    return code;
}

// What was leased by the time before a jump must not end by the jump: the state is told, and once more when
// all processes have followed. That takes from those who wait here silently the longer time that they have:
// they are given it again.
static void expect_rebase(struct scheduler *s, int64_t now_ms)
{
    s->rebases = REBASES;
    s->has_jumped = true;
    s->next_rebase_ms = now_ms;
    s->renew_all_until_ms = now_ms + 2 * REBASES * REBASE_AGAIN_MS;
    s->next_renew_ms = now_ms;
    s->views.told = true; // what a jump makes ready no hint tells
}

// The roles' time may jump with the clock that it follows. An embedded store is told at the start: the clock
// may have been set while nobody ran. Other processes may just be following a jump when this one begins.
void leases_notice_jump(struct scheduler *s, int64_t now_ms)
{
    int64_t mono_ms = clock_mono_us() / 1000;
    int64_t jump_ms = now_ms - s->seen_now_ms - (mono_ms - s->seen_mono_ms);
    bool first = !s->seen_mono_ms, disposable = s->env->state->disposable;
    s->seen_now_ms = now_ms;
    s->seen_mono_ms = mono_ms;
    if (first) {
        s->rebases = 1;
        s->has_jumped = !disposable;
        s->next_rebase_ms = disposable ? now_ms + REBASE_AGAIN_MS : now_ms;
    } else if (disposable && llabs(jump_ms) > JUMP_MS)
        expect_rebase(s, now_ms);
    if (s->rebases == REBASES)
        s->next_sweep_ms = s->next_sweep_ms < now_ms + REBASE_AGAIN_MS ? s->next_sweep_ms : now_ms;
}

static int rebase(struct scheduler *s, int64_t now_ms, struct nrpc_status *st)
{
    int64_t until_ms = s->has_jumped ? now_ms + s->env->node_lease_ms : 0;
    int code = s->env->state->ops->rebase(s->env->state, now_ms, until_ms, st);
    if (code == NRPC_OK && --s->rebases)
        s->next_rebase_ms = s->next_sweep_ms = now_ms + REBASE_AGAIN_MS;
    return code;
}

static void sweep_again(struct scheduler *s, int64_t now_ms, const char *what, const struct nrpc_status *st)
{
    s->next_sweep_ms = now_ms + ENV_STORE_RETRY_MS;
    if (st->code == NRPC_ABORTED) // others may follow already, even if it jumps back before we do
        expect_rebase(s, now_ms);
    else
        trouble_say(s->env->trouble, st, "scheduler: cannot %s", what);
}

// Of many that are lost together one line tells.
static void say_lost(const struct scheduler *s, const uint64_t *ids, size_t count)
{
    char some[200] = "";
    size_t named = count < NAMED_MAX ? count : NAMED_MAX, at = 0;
    for (size_t i = 0; i < named; i++)
        at += (size_t)snprintf(some + at, sizeof some - at, "%s%llu", i ? ", " : "",
                               (unsigned long long)ids[i]);
    if (count)
        log_warn("%zu node%s not heard of for %lld ms: what %s held is dispatched again (%s%s)", count,
                 count > 1 ? "s were" : " was", (long long)s->env->node_lease_ms, count > 1 ? "they" : "it",
                 some, named < count ? ", ..." : "");
}

// A call of the store looks for some only.
static int sweep_all(struct scheduler *s, int64_t now_ms, struct nrpc_status *st)
{
    int64_t until_us = clock_mono_us() + SWEEP_US;
    uint64_t *lost, *all = NULL;
    size_t count, total = 0, capacity = 0;
    int code;
    do {
        code =
            s->env->state->ops->sweep(s->env->state, now_ms, &s->arena, &lost, &count, &s->next_sweep_ms, st);
        for (size_t i = 0; code == NRPC_OK && i < count; i++) {
            struct node *n = node_table_find(&s->nodes, lost[i]);
            if (n)
                exchange_drop_node(s, n, "its lease has ended");
            mem_grow(&all, &capacity, total + 1, sizeof *all);
            all[total++] = lost[i];
        }
    } while (code == NRPC_OK && s->next_sweep_ms <= now_ms && clock_mono_us() < until_us);
    say_lost(s, all, total);
    free(all);
    return code;
}

void leases_sweep(struct scheduler *s, int64_t now_ms)
{
    struct nrpc_status st;
    s->next_sweep_ms = now_ms + s->env->node_lease_ms / 4;
    if (lead(s, now_ms, &st) == NRPC_OK && !s->leads)
        return;
    if (s->leads && s->rebases) {
        if (now_ms < s->next_rebase_ms)
            return;
        if (rebase(s, now_ms, &st))
            sweep_again(s, now_ms, "adapt the leases to the clock", &st);
        if (s->rebases)
            return;
    }
    if (llabs(s->env->now_ms() - now_ms) > JUMP_MS)
        return; // it has just jumped: the next step notices
    if (!s->leads || sweep_all(s, now_ms, &st))
        sweep_again(s, now_ms, "look for lost nodes", &st);
    else if (s->next_sweep_ms > now_ms + s->env->node_lease_ms / 4)
        s->next_sweep_ms = now_ms + s->env->node_lease_ms / 4;
}
