// SPDX-License-Identifier: Apache-2.0
// stats.c: the command `stats`.
#include "cli.h"

#include "cli/duration.h"
#include "cli/table.h"
#include "nrpc/v1/channelz.nrpc.h"

#include <inttypes.h>
#include <stdio.h>

// ---- the server

static int print_server(struct cli *cli)
{
    Nrpc__V1__ServerStatsRequest q = NRPC__V1__SERVER_STATS_REQUEST__INIT;
    Nrpc__V1__ServerStatsResponse *r;
    struct nrpc_call_options o = cli_query(cli);
    struct nrpc_status st;
    if (nrpc_v1_channelz_get_server(cli->channel, &o, &q, &r, &st))
        return cli_rpc_fail(&st);
    printf("calls        %" PRIu64 " started, %" PRIu64 " answered, %" PRIu64
           " refused, %u unanswered, %u queued\n",
           r->started, r->answered, r->refused, r->unanswered, r->queued);
    printf("connections  %u now, %" PRIu64 " since the start\n", r->connections, r->connected);
    printf("trouble      %" PRIu64 " bad frames, %" PRIu64 " restarts of listeners\n", r->bad_frames,
           r->listener_restarts);
    protobuf_c_message_free_unpacked(&r->base, NULL);
    return CLI_OK;
}

// ---- methods

// The bound below which so many of a thousand calls stayed: "< 1.02 ms"; "-" without calls.
static void print_quantile(struct table *t, const Nrpc__V1__MethodStatsResponse *r,
                           const Nrpc__V1__MethodStats *m, uint64_t permille)
{
    uint64_t all = 0, below = 0;
    for (size_t i = 0; i < m->n_latency; i++)
        all += m->latency[i];
    if (!all) {
        table_cell(t, "-");
        return;
    }
    for (size_t i = 0; i < m->n_latency && i < r->n_latency_bounds_us; i++) {
        below += m->latency[i];
        if (below * 1000 >= all * permille) {
            table_cell(t, "< %.3f ms", (double)r->latency_bounds_us[i] / 1000);
            return;
        }
    }
    table_cell(t, "longer");
}

static int print_methods(struct cli *cli)
{
    Nrpc__V1__MethodStatsRequest q = NRPC__V1__METHOD_STATS_REQUEST__INIT;
    Nrpc__V1__MethodStatsResponse *r;
    struct nrpc_call_options o = cli_query(cli);
    struct nrpc_status st;
    struct table t;
    if (nrpc_v1_channelz_list_methods(cli->channel, &o, &q, &r, &st))
        return cli_rpc_fail(&st);
    table_init(&t, "METHOD >STARTED >OK >FAILED >RUNNING >P50 >P99");
    for (size_t i = 0; i < r->n_methods; i++) {
        const Nrpc__V1__MethodStats *m = r->methods[i];
        uint64_t failed = 0;
        for (size_t j = 0; j < m->n_failed; j++)
            failed += m->failed[j]->count;
        table_cell(&t, "%s", m->name + (*m->name == '/'));
        table_cell(&t, "%" PRIu64, m->started);
        table_cell(&t, "%" PRIu64, m->ok);
        table_cell(&t, "%" PRIu64, failed);
        table_cell(&t, "%u", m->running);
        print_quantile(&t, r, m, 500);
        print_quantile(&t, r, m, 990);
    }
    putchar('\n');
    table_print(&t, stdout);
    table_fini(&t);
    protobuf_c_message_free_unpacked(&r->base, NULL);
    return CLI_OK;
}

// ---- connections

static void add_connection(struct table *t, const Nrpc__V1__ConnectionStats *c)
{
    char age[DURATION_TEXT], silent[DURATION_TEXT];
    duration_format(age, c->age_ms);
    duration_format(silent, c->silent_ms);
    table_cell(t, "%u", c->connection);
    table_cell(t, "%s", c->peer);
    table_cell(t, "%s", age);
    table_cell(t, "%s", silent);
    table_cell(t, "%" PRIu64, c->frames_received);
    table_cell(t, "%" PRIu64, c->frames_sent);
    table_cell(t, "%u", c->running);
}

// The first page alone: a server may have very many.
static int print_connections(struct cli *cli)
{
    Nrpc__V1__ConnectionStatsRequest q = NRPC__V1__CONNECTION_STATS_REQUEST__INIT;
    Nrpc__V1__ConnectionStatsResponse *r;
    struct nrpc_call_options o = cli_query(cli);
    struct nrpc_status st;
    struct table t;
    if (nrpc_v1_channelz_list_connections(cli->channel, &o, &q, &r, &st))
        return cli_rpc_fail(&st);
    table_init(&t, ">CONNECTION PEER >AGE >SILENT >RECEIVED >SENT >RUNNING");
    for (size_t i = 0; i < r->n_connections; i++)
        add_connection(&t, r->connections[i]);
    putchar('\n');
    table_print(&t, stdout);
    if (r->more)
        puts("and more");
    table_fini(&t);
    protobuf_c_message_free_unpacked(&r->base, NULL);
    return CLI_OK;
}

int stats_command(struct cli *cli)
{
    int exit_code = print_server(cli);
    if (!exit_code)
        exit_code = print_methods(cli);
    return exit_code ? exit_code : print_connections(cli);
}
