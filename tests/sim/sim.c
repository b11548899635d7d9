// SPDX-License-Identifier: Apache-2.0
// sim.c: turns the crank: a step of whoever has something to do, until nobody has; then the clock moves.
#include "sim/sim.h"

#include "base/clock.h"
#include "base/loop.h"
#include "embedded/db.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static int64_t now_ms = 1000000;

int64_t sim_now_ms(void)
{
    return now_ms;
}

static void start_coordinator(struct sim *s)
{
    struct nrpc_status st;
    struct dtf_service_options o = {.node_lease_ms = SIM_LEASE_MS};
    s->server = nrpc_server_create(NULL);
    assert_int_equal(coordinator_create(DTF_ROLE_COORDINATOR, s->state, s->records, s->server, &o, 0,
                                        sim_now_ms, &s->coordinator, &st),
                     NRPC_OK);
    s->client = nrpc_channel_local(s->server);
}

static void start_node(struct sim *s, struct sim_node *n)
{
    struct executor_options o = {.slots = 2, .name = "node", .grace_ms = 1000, .now_ms = sim_now_ms};
    n->channel = nrpc_channel_local(s->server);
    n->executor = executor_create(n->channel, &o);
    n->due_ms = 0;
}

static void stop_node(struct sim_node *n)
{
    nrpc_channel_close(n->channel);
    executor_destroy(n->executor);
}

static void stop_coordinator(struct sim *s)
{
    assert_int_equal(sim_take_finds(s), 0);
    s->finds = 0;
    nrpc_channel_close(s->client);
    coordinator_stop(s->coordinator);
    nrpc_server_destroy(s->server);
    coordinator_destroy(s->coordinator);
}

uint64_t sim_take_finds(struct sim *s)
{
    uint64_t before = s->finds;
    s->finds = coordinator_finds(s->coordinator);
    return s->finds - before;
}

void sim_open(struct sim *s, size_t nodes)
{
    struct nrpc_status st;
    *s = (struct sim){.node_count = nodes};
    assert_int_equal(db_open(NULL, &s->db, &st), NRPC_OK);
    s->state = state_sqlite_open(s->db);
    s->records = records_sqlite_open(s->db);
    start_coordinator(s);
    for (size_t i = 0; i < nodes; i++)
        start_node(s, &s->nodes[i]);
    sim_settle(s);
}

void sim_close(struct sim *s)
{
    for (size_t i = 0; i < s->node_count; i++)
        stop_node(&s->nodes[i]);
    stop_coordinator(s);
    s->state->ops->close(s->state);
    s->records->ops->close(s->records);
    db_close(s->db);
}

// The nodes are restarted too: their channels lead into the server that died.
void sim_restart(struct sim *s)
{
    for (size_t i = 0; i < s->node_count; i++)
        stop_node(&s->nodes[i]);
    stop_coordinator(s);
    start_coordinator(s);
    for (size_t i = 0; i < s->node_count; i++)
        start_node(s, &s->nodes[i]);
}

static bool step_node(struct sim_node *n)
{
    if (n->frozen)
        return false;
    bool woken = loop_was_woken(executor_loop(n->executor)), did = woken;
    if (woken || now_ms >= n->due_ms)
        n->due_ms = executor_step(n->executor, now_ms);
    while (!n->lazy && executor_run_one(n->executor))
        did = true;
    return did;
}

// Returns when something is due next.
static int64_t settle(struct sim *s)
{
    int64_t next_ms;
    for (bool busy = true; busy;) {
        busy = coordinator_step(s->coordinator, now_ms, &next_ms);
        for (size_t i = 0; i < s->node_count; i++)
            busy |= step_node(&s->nodes[i]);
    }
    for (size_t i = 0; i < s->node_count; i++)
        if (!s->nodes[i].frozen && s->nodes[i].due_ms < next_ms)
            next_ms = s->nodes[i].due_ms;
    return next_ms;
}

void sim_settle(struct sim *s)
{
    settle(s);
}

void sim_advance(struct sim *s, int64_t ms)
{
    int64_t until_ms = now_ms + ms;
    for (int64_t next_ms = settle(s); next_ms < until_ms; next_ms = settle(s))
        now_ms = next_ms > now_ms ? next_ms : now_ms + 1;
    now_ms = until_ms;
    settle(s);
}

void sim_stand_still(int64_t ms)
{
    now_ms += ms;
}

// ---- calls: asynchronous underneath, since nobody else would turn the crank

struct answer {
    bool done;
    int code;
    uint64_t id;
    struct sim_view view;
};

static void created(void *user, const struct nrpc_status *st, const Dtf__V1__CreateResponse *r)
{
    struct answer *a = user;
    *a = (struct answer){.done = true, .code = st->code, .id = r ? r->task_id : 0};
}

static void got(void *user, const struct nrpc_status *st, const Dtf__V1__GetResponse *r)
{
    struct answer *a = user;
    *a = (struct answer){.done = true, .code = st->code};
    if (!r)
        return;
    const Dtf__V1__Counters *c = r->task->counters;
    a->view = (struct sim_view){.status = (int)r->task->status,
                                .generated = c->generated,
                                .succeeded = c->succeeded,
                                .failed = c->failed,
                                .timed_out = c->timed_out,
                                .cancelled = c->cancelled,
                                .retried = c->retried,
                                .redispatched = c->redispatched,
                                .running = c->running,
                                .queued = c->queued};
    strncpy(a->view.message, r->task->message, sizeof a->view.message - 1);
}

static int finish(struct sim *s, struct answer *a)
{
    sim_settle(s);
    assert_true(a->done);
    return a->code;
}

uint64_t sim_create(struct sim *s, const Dtf__V1__TaskParam *param)
{
    struct answer a = {0};
    Dtf__V1__CreateRequest q = DTF__V1__CREATE_REQUEST__INIT;
    q.param = (Dtf__V1__TaskParam *)param;
    dtf_v1_task_service_create_async(s->client, NULL, &q, created, &a);
    assert_int_equal(finish(s, &a), NRPC_OK);
    return a.id;
}

#define CONTROL(name, Type)                                                                                  \
    static void name##_done(void *user, const struct nrpc_status *st, const Dtf__V1__##Type##Response *r)    \
    {                                                                                                        \
        (void)r;                                                                                             \
        *(struct answer *)user = (struct answer){.done = true, .code = st->code};                            \
    }                                                                                                        \
    int sim_##name(struct sim *s, uint64_t task)                                                             \
    {                                                                                                        \
        struct answer a = {0};                                                                               \
        Dtf__V1__##Type##Request q;                                                                          \
        dtf__v1__##name##_request__init(&q);                                                                 \
        q.task_id = task;                                                                                    \
        dtf_v1_task_service_##name##_async(s->client, NULL, &q, name##_done, &a);                            \
        return finish(s, &a);                                                                                \
    }
CONTROL(pause, Pause)
CONTROL(resume, Resume)
CONTROL(cancel, Cancel)

struct sim_view sim_get(struct sim *s, uint64_t task)
{
    struct answer a = {0};
    Dtf__V1__GetRequest q = DTF__V1__GET_REQUEST__INIT;
    q.task_id = task;
    dtf_v1_task_service_get_async(s->client, NULL, &q, got, &a);
    assert_int_equal(finish(s, &a), NRPC_OK);
    return a.view;
}
