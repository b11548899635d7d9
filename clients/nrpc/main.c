// SPDX-License-Identifier: Apache-2.0
// main.c: the program `nrpc`: its commands and options as tables, and the choice among them.
#include "cli.h"

#include "base/process.h"
#include "interrupt.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const char call_help[] =
    "The types come from the server's reflection, or from --proto-set. METHOD is package.Service/Method.\n\n"
    "  -d, --data JSON         the request; @FILE: from a file; @-: from standard input, as it comes.\n"
    "                          A method that takes a stream gets one message for each JSON document\n"
    "  --emit-defaults         print fields that are not set as well\n"
    "  --compact               print each response on one line\n"
    "  -v, --verbose           print the response's headers and trailers to standard error\n";

static const struct cli_command commands[] = {
    {"list", "URL [SERVICE]", "Lists the services of a server, or the methods of a service", "p", NULL, 1, 2,
     list_command},
    {"describe", "URL [SYMBOL]", "Prints services, a method, a message or an enum as a .proto file has it",
     "p", NULL, 1, 2, describe_command},
    {"call", "URL METHOD [OPTION...]", "Calls a method and prints its responses as JSON", "pdecv", call_help,
     2, 2, call_command},
    {"health", "URL [SERVICE] [--watch]", "Prints whether a server, or a service of it, is serving", "w",
     "  --watch                 go on, and print every change\n\nSucceeds only if the (last) status is "
     "SERVING.\n",
     1, 2, health_command},
    {"stats", "URL", "Prints what a server has counted: calls, methods, connections", "", NULL, 1, 1,
     stats_command},
};
enum { COMMANDS = sizeof commands / sizeof *commands };

// Those in upper case but H have no short form.
static const char short_options[] = "+:hd:H:v";
static const struct option long_options[] = {
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {"data", required_argument, NULL, 'd'},
    {"header", required_argument, NULL, 'H'},
    {"deadline", required_argument, NULL, 'D'},
    {"token", required_argument, NULL, 'T'},
    {"token-file", required_argument, NULL, 'F'},
    {"ca", required_argument, NULL, 'A'},
    {"cert", required_argument, NULL, 'C'},
    {"key", required_argument, NULL, 'K'},
    {"server-name", required_argument, NULL, 'N'},
    {"proto-set", required_argument, NULL, 'p'},
    {"emit-defaults", no_argument, NULL, 'e'},
    {"compact", no_argument, NULL, 'c'},
    {"verbose", no_argument, NULL, 'v'},
    {"watch", no_argument, NULL, 'w'},
    {NULL, 0, NULL, 0},
};

static const struct cli_command *find(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (!strcmp(commands[i].name, name))
            return &commands[i];
    return NULL;
}

static void print_overview(void)
{
    puts("usage: nrpc COMMAND URL ...\n\nCalls nrpc servers and asks them what they offer.\n\nCommands:");
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  %-8s %s\n", commands[i].name, commands[i].summary);
    puts("\n\"nrpc COMMAND --help\" explains a command.\n"
         "Exit status: 0 success, 1 wrong usage or trouble on this side, 64 and the status code of an error\n"
         "that the call ended with (69: NOT_FOUND).");
}

static void print_help(const struct cli_command *c)
{
    printf("usage: nrpc %s %s\n\n%s.\n\n%s%s", c->name, c->synopsis, c->summary, c->help ? c->help : "",
           c->help ? "\n" : "");
    puts("URL is tcp://host:port, tls+tcp://host:port, ipc:///path or dns:///host:port.\n");
    if (strchr(c->takes, 'p'))
        puts("  --proto-set FILE        take the types from what protoc --include_imports\n"
             "                          --descriptor_set_out=FILE wrote, not from the server");
    puts("  -H, --header 'KEY: VALUE'  metadata to send; base64 if KEY ends in -bin; may be repeated\n"
         "  --deadline DURATION     give up after this time, such as 500ms or 2s\n"
         "  --token TOKEN           a bearer token; others see it in the list of processes:\n"
         "  --token-file FILE       the first line of a file is the token\n"
         "  --ca FILE               whom to trust, for tls+tcp\n"
         "  --cert FILE --key FILE  what to show for oneself\n"
         "  --server-name NAME      the name in the server's certificate, if it is not the host of the URL\n"
         "  -h, --help");
}

// ---- options

static int set_option(struct cli *cli, int letter, const char *name)
{
    struct {
        int letter;
        const char **text;
        bool *flag;
    } plain[] = {
        {'d', &cli->data, NULL},
        {'T', &cli->token, NULL},
        {'F', &cli->token_file, NULL},
        {'A', &cli->tls.ca_file, NULL},
        {'C', &cli->tls.certificate_file, NULL},
        {'K', &cli->tls.key_file, NULL},
        {'N', &cli->tls.server_name, NULL},
        {'p', &cli->proto_set, NULL},
        {'e', NULL, &cli->emit_defaults},
        {'c', NULL, &cli->compact},
        {'v', NULL, &cli->verbose},
        {'w', NULL, &cli->watch},
    };
    if (strchr("pdecvw", letter) && !strchr(cli->command->takes, letter))
        return cli_fail(cli, "it takes no %s (see --help)", name);
    if (letter == 'H')
        return cli_add_header(cli, optarg);
    if (letter == 'D')
        return cli_set_deadline(cli, optarg);
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (plain[i].letter != letter)
            continue;
        if (plain[i].text)
            *plain[i].text = optarg;
        else
            *plain[i].flag = true;
    }
    return CLI_OK;
}

enum { STOP = -1 }; // parsed, and there is nothing more to do

// Takes options and operands in any order. CLI_OK, or CLI_FAILED, or STOP.
static int parse(struct cli *cli, int argc, char **argv)
{
    const char *shorts = short_options + 1; // without "+": operands may stand in between
    opterr = 0;
    optind = 0; // glibc: starts afresh
    for (int letter; (letter = getopt_long(argc, argv, shorts, long_options, NULL)) != -1;) {
        const char *name = argv[optind - 1];
        if (letter == 'h')
            return print_help(cli->command), STOP;
        if (letter == ':')
            return cli_fail(cli, "%s needs a value", name);
        if (letter == '?' || letter == 'V')
            return cli_fail(cli, "unknown option %s (see --help)", name);
        int exit_code = set_option(cli, letter, name);
        if (exit_code)
            return exit_code;
    }
    int n = argc - optind;
    if (n < cli->command->operands_min || n > cli->command->operands_max)
        return cli_fail(cli, "usage: nrpc %s %s", cli->command->name, cli->command->synopsis);
    if (cli->token && cli->token_file)
        return cli_fail(cli, "--token and --token-file are given both");
    cli->url = argv[optind];
    cli->operands = argv + optind + 1;
    cli->operand_count = n - 1;
    return CLI_OK;
}

static int run(struct cli *cli, int argc, char **argv)
{
    opterr = 0;
    int letter = getopt_long(argc, argv, short_options, long_options, NULL);
    if (letter == 'V')
        return puts("nrpc " NRPC_CLI_VERSION), CLI_OK;
    if (letter == 'h')
        return print_overview(), CLI_OK;
    if (letter != -1)
        return cli_fail(cli, "%s comes before the command (see nrpc --help)", argv[optind - 1]);
    if (optind == argc)
        return cli_fail(cli, "no command given (see nrpc --help)");
    if (!strcmp(argv[optind], "help"))
        return print_overview(), CLI_OK;
    cli->command = find(argv[optind]);
    if (!cli->command)
        return cli_fail(cli, "there is no command %s (see nrpc --help)", argv[optind]);
    int exit_code = parse(cli, argc - optind, argv + optind);
    if (exit_code)
        return exit_code == STOP ? CLI_OK : exit_code;
    exit_code = cli_connect(cli);
    return exit_code ? exit_code : cli->command->run(cli);
}

int main(int argc, char **argv)
{
    process_open_standard();
    struct cli cli = {0};
    arena_init(&cli.memory, 0);
    interrupt_init(); // before there are other threads
    int exit_code = run(&cli, argc, argv);
    cli_close(&cli);
    if ((fflush(stdout) || ferror(stdout)) && !exit_code)
        exit_code = cli_fail(&cli, "cannot write the output: %m");
    return exit_code;
}
