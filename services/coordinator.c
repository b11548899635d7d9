// SPDX-License-Identifier: Apache-2.0
// coordinator.c: puts the roles together. The only place that knows all of them.
#include "coordinator.h"

#include "admin.h"
#include "base/clock.h"
#include "collector/collector.h"
#include "dtf/v1/node.nrpc.h"
#include "generator/generator.h"
#include "manager/manager.h"
#include "scheduler/scheduler.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { ROLES = 4 };

struct coordinator {
    struct env env;
    struct trouble trouble;
    struct callbacks callbacks;
    struct crash crash;
    unsigned roles;
    struct manager *manager;
    struct generator *generator;
    struct scheduler *scheduler;
    struct collector *collector;
    struct admin *admin;
    struct nrpc_publisher *events;
    _Atomic uint64_t finds;
    int64_t due_ms[ROLES]; // for coordinator_step
};

// ---- hints: from the state to whom they may concern

static void hint(void *user, const struct state_hint *h)
{
    struct coordinator *c = user;
    records_know_task(c->env.records, h->task);
    if (c->manager)
        manager_hint(c->manager, h);
    if (c->generator)
        generator_hint(c->generator, h);
    if (c->scheduler)
        scheduler_hint(c->scheduler, h);
    if (c->collector)
        collector_hint(c->collector, h);
}

// ---- NodeService: results to the collector, free slots to the scheduler

static void on_register(struct nrpc_call *call, const Dtf__V1__RegisterRequest *request, void *user)
{
    struct coordinator *c = user;
    if (c->scheduler)
        scheduler_register(c->scheduler, call, request);
    else
        nrpc_reply_error(call, NRPC_UNAVAILABLE, "no scheduler runs here");
}

static void on_leave(struct nrpc_call *call, const Dtf__V1__LeaveRequest *request, void *user)
{
    struct coordinator *c = user;
    if (c->scheduler)
        scheduler_leave(c->scheduler, call, request);
    else
        nrpc_reply_error(call, NRPC_UNAVAILABLE, "no scheduler runs here");
}

static void on_exchange(struct nrpc_call *call, const Dtf__V1__ExchangeRequest *request, void *user)
{
    struct coordinator *c = user;
    struct exchange *x = nrpc_call_alloc(call, sizeof *x);
    if (!x || !c->scheduler || (request->n_results && !c->collector)) {
        nrpc_reply_error(call, x ? NRPC_UNAVAILABLE : NRPC_RESOURCE_EXHAUSTED,
                         x ? "no scheduler with a collector runs here" : "the request is too large");
        return;
    }
    *x = (struct exchange){.call = call, .request = request};
    x->later = nrpc_call_alloc(call, (request->n_results + 1) * sizeof *x->later);
    if (!x->later) {
        nrpc_reply_error(call, NRPC_RESOURCE_EXHAUSTED, "the request is too large");
        return;
    }
    if (request->n_results)
        collector_take(c->collector, x);
    else
        scheduler_offer(c->scheduler, x);
}

static const struct dtf_v1_node_service_handlers node_handlers = {
    .register_ = on_register,
    .exchange = on_exchange,
    .leave = on_leave,
};

// ---- life

static int add_services(struct coordinator *c, struct nrpc_server *server, struct nrpc_status *st)
{
    int code = dtf_v1_node_service_register(server, NRPC_INLINE, &node_handlers, c, st);
    if (code == NRPC_OK && c->manager)
        code = dtf_v1_task_service_register(server, NRPC_INLINE, &manager_handlers, c->manager, st);
    if (code == NRPC_OK)
        code = admin_add_service(c->admin, server, st);
    return code;
}

static void groups_changed(void *user)
{
    struct coordinator *c = user;
    if (c->scheduler)
        scheduler_reload_groups(c->scheduler);
}

// A manager admits what is recorded and not under way.
static void tasks_imported(void *user)
{
    struct coordinator *c = user;
    if (c->manager)
        manager_hint(c->manager, &(struct state_hint){.kind = STATE_HINT_RESYNC});
}

int coordinator_create(unsigned roles, struct state *state, struct records *records,
                       struct nrpc_server *server, const struct dtf_service_options *options,
                       unsigned pool_threads, int64_t (*now_ms)(void), struct coordinator **out,
                       struct nrpc_status *st)
{
    struct coordinator *c = mem_calloc(1, sizeof *c);
    *out = NULL;
    c->roles = roles;
    if (options->event_url && nrpc_publisher_open(options->event_url, &c->events, st)) {
        free(c);
        return st->code;
    }
    callbacks_init(&c->callbacks);
    crash_start(&c->crash, state);
    c->callbacks.crash = &c->crash;
    c->env = (struct env){
        .state = state,
        .records = records,
        .trouble = &c->trouble,
        .pool = pool_create("callback", pool_threads),
        .callbacks = &c->callbacks,
        .now_ms = now_ms,
        .node_lease_ms = options->node_lease_ms,
        .no_quarantine = options->no_quarantine,
        .events = c->events,
        .finds = &c->finds,
        .offer = scheduler_offer,
    };
    c->manager = roles & DTF_ROLE_MANAGER ? manager_create(&c->env) : NULL;
    c->generator = roles & DTF_ROLE_GENERATOR ? generator_create(&c->env) : NULL;
    c->scheduler = roles & DTF_ROLE_SCHEDULER ? scheduler_create(&c->env) : NULL;
    c->collector = roles & DTF_ROLE_COLLECTOR ? collector_create(&c->env) : NULL;
    c->env.scheduler = c->scheduler;
    c->admin = admin_create(&c->env, roles, &(struct admin_listener){groups_changed, tasks_imported, c});
    state->ops->watch(state, hint, c);
    int code = add_services(c, server, st);
    if (code)
        coordinator_destroy(c);
    else
        *out = c;
    return code;
}

void coordinator_start(struct coordinator *c)
{
    if (c->manager)
        manager_start(c->manager);
    if (c->generator)
        generator_start(c->generator);
    if (c->scheduler)
        scheduler_start(c->scheduler);
    if (c->collector)
        collector_start(c->collector);
}

void coordinator_stop(struct coordinator *c)
{
    atomic_store(&c->callbacks.quit, true);
    if (c->generator)
        generator_stop(c->generator);
    if (c->collector)
        collector_stop(c->collector);
    if (c->scheduler)
        scheduler_stop(c->scheduler);
    if (c->manager)
        manager_stop(c->manager);
}

void coordinator_destroy(struct coordinator *c)
{
    if (!c)
        return;
    pool_destroy(c->env.pool);
    generator_destroy(c->generator);
    collector_destroy(c->collector);
    c->env.state->ops->watch(c->env.state, NULL, NULL);
    scheduler_destroy(c->scheduler);
    manager_destroy(c->manager);
    admin_destroy(c->admin);
    nrpc_publisher_close(c->events);
    crash_stop(&c->crash);
    callbacks_fini(&c->callbacks);
    free(c);
}

struct callbacks *coordinator_callbacks(struct coordinator *c)
{
    return &c->callbacks;
}

uint64_t coordinator_finds(const struct coordinator *c)
{
    return atomic_load(&c->finds);
}

bool coordinator_step(struct coordinator *c, int64_t now_ms, int64_t *next_ms)
{
    const struct {
        int64_t (*step)(void *self, int64_t now_ms);
        void *role;
        struct loop *loop;
    } roles[ROLES] = {
        {manager_step, c->manager, manager_loop(c->manager)},
        {generator_step, c->generator, generator_loop(c->generator)},
        {scheduler_step, c->scheduler, scheduler_loop(c->scheduler)},
        {collector_step, c->collector, collector_loop(c->collector)},
    };
    bool did = false;
    *next_ms = CLOCK_NEVER;
    for (size_t i = 0; i < ROLES; i++) {
        bool woken = loop_was_woken(roles[i].loop);
        if (woken || now_ms >= c->due_ms[i]) {
            c->due_ms[i] = roles[i].step(roles[i].role, now_ms);
            did |= woken || c->due_ms[i] <= now_ms;
        }
        *next_ms = c->due_ms[i] < *next_ms ? c->due_ms[i] : *next_ms;
    }
    return pool_run_all(c->env.pool) > 0 || did;
}
