// SPDX-License-Identifier: Apache-2.0
// cli.c: options, messages and the connection, for all commands.
#include "cli.h"

#include "duration.h"
#include "text.h"

#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

// ---- messages

static void say(const char *prefix, const char *format, va_list args)
{
    char text[2048];
    vsnprintf(text, sizeof text, format, args);
    fputs("dtf: ", stderr);
    text_print(stderr, prefix, strlen(prefix));
    text_print(stderr, text, strlen(text));
    fputc('\n', stderr);
}

void cli_say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say("", format, args);
    va_end(args);
}

int cli_usage(struct cli *cli, const char *format, ...)
{
    char prefix[64] = "";
    if (cli->command)
        snprintf(prefix, sizeof prefix, "%s: ", cli->command->name);
    va_list args;
    va_start(args, format);
    say(prefix, format, args);
    va_end(args);
    return CLI_USAGE;
}

int cli_fail(const struct nrpc_status *st)
{
    cli_say("%s", *st->text ? st->text : nrpc_code_name(st->code));
    return CLI_FAILED;
}

void cli_print_help(const struct cli_command *command)
{
    printf("usage: dtf %s%s%s\n\n%s.\n", command->name, *command->synopsis ? " " : "", command->synopsis,
           command->summary);
    if (command->help)
        printf("\n%s", command->help);
    puts("\nOptions of all commands:\n"
         "  --server URL[,URL]...   the coordinator, as tcp://host:port, or several (or set DTF_SERVER)\n"
         "  --output table|json|quiet  json: an object a line; quiet: only what a script needs\n"
         "  -q, --quiet             the same as --output quiet\n"
         "  -h, --help");
}

// ---- options

static int stop(struct cli *cli, int exit_code)
{
    cli->exit_code = exit_code;
    return CLI_OPTION_STOP;
}

static bool parse_output(const char *text, enum cli_output *out)
{
    static const char *const names[] = {[CLI_TABLE] = "table", [CLI_JSON] = "json", [CLI_QUIET] = "quiet"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(text, names[i])) {
            *out = (enum cli_output)i;
            return true;
        }
    return false;
}

// getopt_long leaves optopt 0 for a long option that it does not know, and tells the letter of a short one.
static int unknown_option(struct cli *cli, char **argv)
{
    const char *last = argv[optind - 1];
    if (!optopt || (!strncmp(last, "--", 2) && strchr(last, '=')))
        return stop(cli, cli_usage(cli, "unknown option %s (see --help)", last));
    return stop(cli, cli_usage(cli, "unknown option -%c (see --help)", optopt));
}

int cli_option(struct cli *cli, int argc, char **argv, const char *shorts, const struct option *longs)
{
    opterr = 0;
    for (;;) {
        int option = getopt_long(argc, argv, shorts, longs, NULL);
        switch (option) {
        case '?':
            return unknown_option(cli, argv);
        case ':':
            return stop(cli, cli_usage(cli, "%s needs a value", argv[optind - 1]));
        case 'h':
            if (!cli->command)
                return 'h';
            cli_print_help(cli->command);
            return stop(cli, CLI_OK);
        case 'q':
            cli->output = CLI_QUIET;
            break;
        case 'S':
            cli->server = *optarg ? optarg : NULL;
            break;
        case 'O':
            if (!parse_output(optarg, &cli->output))
                return stop(cli, cli_usage(cli, "--output %s: must be table, json or quiet", optarg));
            break;
        default:
            return option;
        }
    }
}

bool cli_duration(struct cli *cli, const char *option, const char *text, int64_t max_ms, int64_t *ms)
{
    char most[DURATION_TEXT];
    duration_format(most, max_ms);
    if (!duration_parse(text, ms))
        cli->exit_code =
            cli_usage(cli, "%s %s: give a number with ms, s, m, h or d, such as 30s", option, text);
    else if (*ms <= 0 || *ms > max_ms)
        cli->exit_code = cli_usage(cli, "%s %s: must be above 0 and at most %s", option, text, most);
    else
        return true;
    return false;
}

bool cli_number(struct cli *cli, const char *option, const char *text, uint64_t min, uint64_t max,
                uint64_t *out)
{
    if (number_parse(text, max, out) && *out >= min)
        return true;
    cli->exit_code = cli_usage(cli, "%s %s: must be a number from %llu to %llu", option, text,
                               (unsigned long long)min, (unsigned long long)max);
    return false;
}

bool cli_operands(struct cli *cli, int argc, char **argv, int min, int max)
{
    static const struct option longs[] = {CLI_COMMON_LONG};
    if (cli_option(cli, argc, argv, ":" CLI_COMMON_SHORT, longs) == CLI_OPTION_STOP)
        return false;
    int count = argc - optind;
    if (count < min || count > max) {
        cli->exit_code = count < min
                             ? cli_usage(cli, "too few arguments; usage: dtf %s %s", cli->command->name,
                                         cli->command->synopsis)
                             : cli_usage(cli, "too many arguments, from \"%s\" on", argv[optind + max]);
        return false;
    }
    return true;
}

bool cli_task_id(struct cli *cli, const char *text, uint64_t *id)
{
    if (number_parse(text, INT64_MAX, id) && *id)
        return true;
    cli->exit_code = cli_usage(cli, "%s: not the id of a task", text);
    return false;
}

// ---- the rest

int cli_connect(struct cli *cli, struct dtf_client **client)
{
    struct nrpc_status st;
    if (!cli->server)
        return cli_usage(cli, "no server given: use --server URL or set DTF_SERVER");
    return dtf_client_open(cli->server, client, &st) ? cli_fail(&st) : CLI_OK;
}

const char *cli_creator(void)
{
    static char name[DTF_NAME_MAX + 1];
    const struct passwd *user = getpwuid(getuid());
    text_clean(name, sizeof name, user ? user->pw_name : "");
    return name;
}
