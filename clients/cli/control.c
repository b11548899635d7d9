// SPDX-License-Identifier: Apache-2.0
// control.c: the commands pause, resume and cancel.
#include "cli.h"

#include <stdbool.h>

typedef int (*steer_fn)(struct dtf_client *client, uint64_t id, const char *reason, struct nrpc_status *st);

// Steers every task that is named; one that fails does not keep the others from it.
static int steer_all(struct cli *cli, int count, char **ids, steer_fn steer, const char *reason)
{
    struct dtf_client *client;
    uint64_t id;
    if (!count)
        return cli_usage(cli, "no task given");
    for (int i = 0; i < count; i++)
        if (!cli_task_id(cli, ids[i], &id))
            return cli->exit_code;
    int exit_code = cli_connect(cli, &client);
    if (exit_code)
        return exit_code;
    for (int i = 0; i < count; i++) {
        struct nrpc_status st;
        if (cli_task_id(cli, ids[i], &id) && steer(client, id, reason, &st))
            exit_code = cli_fail(&st);
    }
    dtf_client_close(client);
    return exit_code;
}

static int pause_one(struct dtf_client *client, uint64_t id, const char *reason, struct nrpc_status *st)
{
    (void)reason;
    return dtf_task_pause(client, id, st);
}

static int resume_one(struct dtf_client *client, uint64_t id, const char *reason, struct nrpc_status *st)
{
    (void)reason;
    return dtf_task_resume(client, id, st);
}

int pause_command(struct cli *cli, int argc, char **argv)
{
    if (!cli_operands(cli, argc, argv, 1, argc))
        return cli->exit_code;
    return steer_all(cli, argc - optind, argv + optind, pause_one, NULL);
}

int resume_command(struct cli *cli, int argc, char **argv)
{
    if (!cli_operands(cli, argc, argv, 1, argc))
        return cli->exit_code;
    return steer_all(cli, argc - optind, argv + optind, resume_one, NULL);
}

int cancel_command(struct cli *cli, int argc, char **argv)
{
    static const struct option longs[] = {{"reason", required_argument, NULL, 'r'}, CLI_COMMON_LONG};
    const char *reason = "";
    for (int option; (option = cli_option(cli, argc, argv, ":" CLI_COMMON_SHORT, longs)) != CLI_OPTION_END;) {
        if (option == CLI_OPTION_STOP)
            return cli->exit_code;
        reason = optarg;
    }
    return steer_all(cli, argc - optind, argv + optind, dtf_task_cancel, reason);
}
