// SPDX-License-Identifier: Apache-2.0
// health.c: the command `health`.
#include "cli.h"

#include "interrupt.h"
#include "nrpc/v1/health.nrpc.h"

#include <stdio.h>

typedef Nrpc__V1__HealthCheckResponse health_response;

// Prints a status; CLI_OK only if it is SERVING.
static int print_status(const health_response *r)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(
        &nrpc__v1__health_check_response__serving_status__descriptor, (int)r->status);
    puts(value ? value->name : "UNKNOWN");
    fflush(stdout);
    return r->status == NRPC__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING ? CLI_OK : CLI_FAILED;
}

static int check(struct cli *cli, const Nrpc__V1__HealthCheckRequest *q)
{
    struct nrpc_call_options o = cli_query(cli);
    health_response *r;
    struct nrpc_status st;
    if (nrpc_v1_health_check(cli->channel, &o, q, &r, &st))
        return cli_rpc_fail(&st);
    int exit_code = print_status(r);
    protobuf_c_message_free_unpacked(&r->base, NULL);
    return exit_code;
}

static void cancel(void *stream)
{
    nrpc_stream_cancel(stream);
}

static int watch(struct cli *cli, const Nrpc__V1__HealthCheckRequest *q)
{
    struct nrpc_call_options o = cli_query(cli);
    struct nrpc_stream *stream;
    struct nrpc_status st;
    const health_response *r;
    int exit_code = CLI_FAILED;
    o.timeout_ms = cli->deadline_ms;
    if (nrpc_v1_health_watch(cli->channel, &o, q, &stream, &st))
        return cli_rpc_fail(&st);
    interrupt_set(cancel, stream);
    while (nrpc_v1_health_watch_read(stream, &r, &st) == NRPC_OK && r)
        exit_code = print_status(r);
    interrupt_clear();
    nrpc_stream_close(stream);
    return st.code ? cli_rpc_fail(&st) : exit_code;
}

int health_command(struct cli *cli)
{
    Nrpc__V1__HealthCheckRequest q = NRPC__V1__HEALTH_CHECK_REQUEST__INIT;
    if (cli->operand_count)
        q.service = cli->operands[0];
    return cli->watch ? watch(cli, &q) : check(cli, &q);
}
