// SPDX-License-Identifier: Apache-2.0
// visits.c: the questions, one table.
#include "failpoints/visits.h"

#include "base/clock.h"
#include "base/ids.h"
#include "dtf.h"
#include "dtf/v1/node.nrpc.h"
#include "dtf/v1/task_service.nrpc.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

enum { TIMES = 4, PAUSE_MS = 200, AGAIN_MS = 20, CALL_MS = 3000, NODES = 16, TASKS = 20, STRANGER = 1 << 30 };

struct visitor {
    struct dtf_client *client;
    struct nrpc_channel *channel;
    uint64_t node, session; // of the node that it plays; node 0: it is not registered
};

static const struct nrpc_call_options soon = {.timeout_ms = CALL_MS};

static int set_group(struct visitor *v, struct nrpc_status *st)
{
    return dtf_group_set(v->client, "visitors", 7, st);
}

static int list_nodes(struct visitor *v, struct nrpc_status *st)
{
    struct dtf_node_info nodes[NODES];
    size_t count = NODES;
    return dtf_nodes(v->client, nodes, &count, st);
}

static int list_tasks(struct visitor *v, struct nrpc_status *st)
{
    static struct dtf_task_info tasks[TASKS];
    size_t count = TASKS;
    return dtf_task_list(v->client, 0, 0, tasks, &count, st);
}

static int read_events(struct visitor *v, struct nrpc_status *st)
{
    Dtf__V1__EventsRequest q = DTF__V1__EVENTS_REQUEST__INIT;
    return dtf_v1_task_service_events(v->channel, &soon, &q, NULL, st);
}

static void ignore(void *user, const struct dtf_task_result *r)
{
    (void)user;
    (void)r;
}

// Of a task that has failed; there will be one.
static int read_failures(struct visitor *v, struct nrpc_status *st)
{
    struct dtf_task_info task;
    size_t count = 1;
    uint64_t cursor = 0;
    bool end;
    int code = dtf_task_list(v->client, DTF_TASK_FAILED, 0, &task, &count, st);
    if (code || !count)
        return code ? code : status_set(st, NRPC_UNAVAILABLE, "no task has failed");
    return dtf_task_results(v->client, task.id, &cursor, 0, true, ignore, NULL, &end, st);
}

static int come(struct visitor *v, struct nrpc_status *st)
{
    Dtf__V1__RegisterRequest q = DTF__V1__REGISTER_REQUEST__INIT;
    Dtf__V1__RegisterResponse *response = NULL;
    q.name = "visitor";
    q.slots = 1;
    q.session = v->session = v->session ? v->session : ids_random();
    int code = dtf_v1_node_service_register_(v->channel, &soon, &q, &response, st);
    v->node = response ? response->node_id : v->node;
    dtf__v1__register_response__free_unpacked(response, NULL);
    return code;
}

// Says that it has nothing, as after a lost answer.
static int exchange(struct visitor *v, struct nrpc_status *st)
{
    Dtf__V1__ExchangeRequest q = DTF__V1__EXCHANGE_REQUEST__INIT;
    q.node_id = v->node;
    q.session = v->session;
    q.resync = true;
    return dtf_v1_node_service_exchange(v->channel, &soon, &q, NULL, st);
}

static int leave(struct visitor *v, struct nrpc_status *st)
{
    Dtf__V1__LeaveRequest q = DTF__V1__LEAVE_REQUEST__INIT;
    q.node_id = v->node;
    q.session = v->session;
    int code = dtf_v1_node_service_leave(v->channel, &soon, &q, NULL, st);
    v->node = v->session = code == NRPC_UNAVAILABLE ? v->session : 0;
    return code;
}

static int come_unknown(struct visitor *v, struct nrpc_status *st)
{
    struct visitor stranger = {.channel = v->channel, .node = STRANGER, .session = 1};
    return exchange(&stranger, st);
}

static int (*const visits[])(struct visitor *v, struct nrpc_status *st) = {
    set_group, list_nodes, list_tasks, read_events, read_failures, come, exchange, come_unknown, leave};

// Any answer will do: a node's number may be void by now.
static bool was_answered(const struct nrpc_status *st)
{
    return st->code != NRPC_UNAVAILABLE && st->code != NRPC_DEADLINE_EXCEEDED;
}

static void visit(struct visits *all, struct visitor *v, size_t which)
{
    struct nrpc_status st = {0};
    while (visits[which](v, &st) && !was_answered(&st)) {
        if (clock_mono_us() > all->until_us) {
            snprintf(all->trouble, sizeof all->trouble, "visit %zu: %.200s", which, st.text);
            return;
        }
        (void)poll(NULL, 0, AGAIN_MS);
    }
}

static void *run(void *arg)
{
    struct visits *all = arg;
    struct visitor v = {0};
    struct nrpc_status st;
    if (dtf_client_open(all->url, &v.client, &st) || nrpc_channel_open(all->url, NULL, &v.channel, &st))
        abort();
    for (int i = 0; i < TIMES; i++) {
        for (size_t k = 0; k < sizeof visits / sizeof *visits; k++)
            visit(all, &v, k);
        (void)poll(NULL, 0, PAUSE_MS);
    }
    nrpc_channel_close(v.channel);
    dtf_client_close(v.client);
    atomic_store(&all->is_done, true);
    return NULL;
}

void visits_start(struct visits *v, const char *url, int64_t patience_ms)
{
    *v = (struct visits){.url = url, .until_us = clock_mono_us() + patience_ms * 1000};
    if (pthread_create(&v->thread, NULL, run, v))
        abort();
}

void visits_join(struct visits *v)
{
    pthread_join(v->thread, NULL);
}
