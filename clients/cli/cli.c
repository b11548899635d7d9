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

enum { PATIENCE_MAX_S = 30 * 86400 };

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

bool cli_is_not_reached(int code)
{
    return code == NRPC_UNAVAILABLE || code == NRPC_DEADLINE_EXCEEDED;
}

int cli_fail(const struct nrpc_status *st)
{
    const char *text = *st->text ? st->text : nrpc_code_name(st->code);
    if (cli_is_not_reached(st->code))
        return cli_say("could not be reached, or cannot now: %s", text), CLI_NOT_REACHED;
    return cli_say("%s", text), CLI_FAILED;
}

static const struct {
    const char *code, *meaning;
} exit_codes[] = {
    {"0", "done; of a command that waits: the task is completed, or all items succeeded"},
    {"1", "failed: a task or an item did, or what was asked for was refused"},
    {"2", "wrong usage: nothing was asked for"},
    {"3",
     "no coordinator could be reached for the time of --patience, or none can do it now, as its stores are "
     "away: what was asked for may or may not have been done, and nothing is known to have failed"},
    {"4", "wait: the time of --timeout has passed, and the task has not ended"},
    {"128+N", "ended by signal N: 130 interrupted (Ctrl-C), 143 terminated"},
};

void cli_print_exit_codes(void)
{
    for (size_t i = 0; i < sizeof exit_codes / sizeof *exit_codes; i++)
        printf("  %-6s %s\n", exit_codes[i].code, exit_codes[i].meaning);
}

void cli_print_help(const struct cli_command *command)
{
    printf("usage: dtf %s%s%s\n\n%s.\n", command->name, *command->synopsis ? " " : "", command->synopsis,
           command->summary);
    if (command->help)
        printf("\n%s", command->help);
    puts(
        "\nOptions of all commands:\n"
        "  --server URL[,URL]...   the coordinator, as tcp://host:port, or several (or set DTF_SERVER)\n"
        "  --output table|json|quiet  json: an object a line; quiet: only what a script needs\n"
        "  -q, --quiet             the same as --output quiet\n"
        "  --patience DURATION     how long to go on trying while no coordinator can be reached, or none can "
        "do it\n"
        "                          as its stores are away, such as 500ms, 30s, 5m or 0 (default 60s)\n"
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

// A number alone is seconds.
static bool parse_patience(const char *text, int64_t *ms)
{
    uint64_t seconds;
    if (!number_parse(text, PATIENCE_MAX_S, &seconds))
        return duration_parse(text, ms) && *ms <= PATIENCE_MAX_S * INT64_C(1000);
    *ms = (int64_t)seconds * 1000;
    return true;
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
        case 'P':
            if (!parse_patience(optarg, &cli->patience_ms))
                return stop(cli,
                            cli_usage(cli, "--patience %s: give a duration such as 30s or 5m, or 0", optarg));
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

static void tell_wait(void *user, const struct nrpc_status *st)
{
    const struct cli *cli = user;
    char text[DURATION_TEXT];
    duration_format(text, cli->patience_ms < 0 ? CLI_PATIENCE_MS : cli->patience_ms);
    cli_say("trying for %s (--patience): %s", text, st->text);
}

int cli_connect(struct cli *cli, struct dtf_client **client)
{
    struct nrpc_status st;
    if (!cli->server)
        return cli_usage(cli, "no server given: use --server URL or set DTF_SERVER");
    if (dtf_client_open(cli->server, client, &st))
        return cli_fail(&st);
    int64_t patience_ms = cli->patience_ms < 0 ? CLI_PATIENCE_MS : cli->patience_ms;
    dtf_client_set_patience(*client, patience_ms, cli->output == CLI_QUIET ? NULL : tell_wait, cli);
    return CLI_OK;
}

int cli_reach(struct dtf_client *client)
{
    struct dtf_task_info info;
    struct nrpc_status st;
    size_t count = 1;
    return dtf_task_list(client, 0, 0, &info, &count, &st) ? cli_fail(&st) : CLI_OK;
}

const char *cli_creator(void)
{
    static char name[DTF_NAME_MAX + 1];
    const struct passwd *user = getpwuid(getuid());
    text_clean(name, sizeof name, user ? user->pw_name : "");
    return name;
}
