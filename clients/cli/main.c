// SPDX-License-Identifier: Apache-2.0
// main.c: the program `dtf`: its commands as one table, and the choice among them.
#include "cli.h"

#include "base/process.h"
#include "base/version.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int help_command(struct cli *cli, int argc, char **argv);

static const struct cli_command commands[] = {
    {"map", "[OPTION...] COMMAND [ARG...]", "Runs a command for every line of standard input, many at a time",
     map_help, map_command},
    {"submit", "[OPTION...] [--] [COMMAND [ARG...]]", "Creates a task and prints its id", submit_help,
     submit_command},
    {"status", "ID", "Shows a task", NULL, status_command},
    {"list", "[--status STATUS] [--limit N]", "Lists tasks, the newest first",
     "  --status STATUS         only running, paused, cancelled, completed, failed or timed_out ones\n"
     "  --limit N               at most N tasks (default 100)\n",
     list_command},
    {"wait", "ID [--timeout DURATION]", "Waits until a task has ended; succeeds only if it is completed",
     "  --timeout DURATION      give up after this time, such as 500ms, 30s, 5m, 2h or 1d\n", wait_command},
    {"pause", "ID...", "Stops handing out a task's subtasks; those that run finish", NULL, pause_command},
    {"resume", "ID...", "Goes on with paused tasks", NULL, resume_command},
    {"cancel", "ID... [--reason TEXT]", "Ends tasks early: drops what is queued, stops what runs",
     "  --reason TEXT           why; shown in the task's status\n", cancel_command},
    {"results", "ID [--failed] [--follow]", "Prints the kept results of a task, or its failures",
     results_help, results_command},
    {"nodes", "", "Lists the nodes that execute subtasks", NULL, nodes_command},
    {"group", "NAME QUOTA", "Sets the quota of a resource group",
     "A group's share of the slots is its quota divided by the quotas of all groups that have work.\n"
     "A group that was never set has 100; the quota is from 1 to 10000.\n",
     group_command},
    {"export", "[--unfinished]", "Prints the records of tasks, for another installation", export_help,
     export_command},
    {"import", "", "Records tasks that another installation has exported", import_help, import_command},
    {"help", "[COMMAND|exit-codes]", "Explains a command, or what an exit status means", NULL, help_command},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static const struct cli_command *find(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (!strcmp(commands[i].name, name))
            return &commands[i];
    return NULL;
}

static void print_overview(void)
{
    puts("usage: dtf [--server URL] [--output table|json|quiet] COMMAND ...\n\n"
         "Runs work on many cores and machines, as tasks made of subtasks.\n\nCommands:");
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  %-8s %s\n", commands[i].name, commands[i].summary);
    puts("\n\"dtf COMMAND --help\" explains a command.\n"
         "Exit status: 0 success, 1 failure, 2 wrong usage, 3 not reached (all: dtf help exit-codes).");
}

static int help_command(struct cli *cli, int argc, char **argv)
{
    if (!cli_operands(cli, argc, argv, 0, 1))
        return cli->exit_code;
    if (optind < argc && !strcmp(argv[optind], "exit-codes"))
        return cli_print_exit_codes(), CLI_OK;
    const struct cli_command *command = optind < argc ? find(argv[optind]) : NULL;
    if (optind < argc && !command)
        return cli_usage(cli, "there is no command %s", argv[optind]);
    if (command)
        cli_print_help(command);
    else
        print_overview();
    return CLI_OK;
}

static int choose(struct cli *cli, int argc, char **argv)
{
    static const struct option longs[] = {{"version", no_argument, NULL, 'V'}, CLI_COMMON_LONG};
    int option = cli_option(cli, argc, argv, "+:V" CLI_COMMON_SHORT, longs);
    if (option == CLI_OPTION_STOP)
        return cli->exit_code;
    if (option == 'V')
        return printf("dtf %s, commit %s; protocol of clients: %d\n", version_number, version_commit,
                      VERSION_CLIENT_PROTOCOL),
               CLI_OK;
    if (option == 'h')
        return print_overview(), CLI_OK;
    if (optind == argc)
        return cli_usage(cli, "no command given (see dtf --help)");
    cli->command = find(argv[optind]);
    if (!cli->command)
        return cli_usage(cli, "there is no command %s (see dtf --help)", argv[optind]);
    argc -= optind;
    argv += optind;
    optind = 0; // glibc: starts afresh
    return cli->command->run(cli, argc, argv);
}

int main(int argc, char **argv)
{
    process_open_standard();
    const char *server = getenv("DTF_SERVER");
    struct cli cli = {.server = server && *server ? server : NULL, .patience_ms = -1};
    int exit_code = choose(&cli, argc, argv);
    if ((fflush(stdout) || ferror(stdout)) && !exit_code) {
        cli_say("cannot write the output: %m");
        exit_code = CLI_FAILED;
    }
    return exit_code;
}
