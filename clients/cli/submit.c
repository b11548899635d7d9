// SPDX-License-Identifier: Apache-2.0
// submit.c: the command submit: creates one task, of any type, or of one command.
#include "cli.h"

#include "base/mem.h"
#include "duration.h"
#include "json.h"
#include "status.h"
#include "template.h"
#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char submit_help[] =
    "With a COMMAND the task runs it once, on any node; \"dtf results ID\" prints what it wrote.\n\n"
    "  --type TYPE             the task type (instead of a COMMAND)\n"
    "  --param STRING|@FILE    what the task type is to work on\n"
    "  --name NAME             shown in lists\n"
    "  --group GROUP           the resource group whose quota it uses\n"
    "  --priority low|medium|high|NUMBER  up to 9000\n"
    "  --timeout DURATION      of the task, such as 500ms, 30s, 5m, 2h or 1d\n"
    "  --retries N             of a subtask that failed\n"
    "  --tolerate N|all        subtasks that may fail before the task does (default 0)\n"
    "  --key KEY               submitting again with the same key gives the first task\n"
    "  --wait                  wait until it has ended; succeed only if it is completed\n";

struct submit {
    struct dtf_task_param param;
    const char *param_text; // of --param
    bool wait;
    struct arena arena;
};

enum { TYPE = 256, PARAM, NAME, GROUP, PRIORITY, TIMEOUT, RETRIES, TOLERATE, KEY, WAIT };

static const struct option longs[] = {
    {"type", required_argument, NULL, TYPE},
    {"param", required_argument, NULL, PARAM},
    {"name", required_argument, NULL, NAME},
    {"group", required_argument, NULL, GROUP},
    {"priority", required_argument, NULL, PRIORITY},
    {"timeout", required_argument, NULL, TIMEOUT},
    {"retries", required_argument, NULL, RETRIES},
    {"tolerate", required_argument, NULL, TOLERATE},
    {"key", required_argument, NULL, KEY},
    {"wait", no_argument, NULL, WAIT},
    CLI_COMMON_LONG,
};

static bool parse_priority(struct cli *cli, const char *text, uint32_t *out)
{
    static const struct {
        const char *name;
        uint32_t priority;
    } names[] = {{"low", DTF_PRIORITY_LOW}, {"medium", DTF_PRIORITY_MEDIUM}, {"high", DTF_PRIORITY_HIGH}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(text, names[i].name)) {
            *out = names[i].priority;
            return true;
        }
    uint64_t n;
    if (number_parse(text, DTF_PRIORITY_HIGH, &n) && n) {
        *out = (uint32_t)n;
        return true;
    }
    cli->exit_code = cli_usage(cli, "--priority %s: must be low, medium, high or a number up to %d", text,
                               DTF_PRIORITY_HIGH);
    return false;
}

static bool parse_retries(struct cli *cli, const char *text, uint32_t *out)
{
    uint64_t n;
    if (!cli_number(cli, "--retries", text, 0, DTF_RETRIES_MAX, &n))
        return false;
    *out = (uint32_t)n;
    return true;
}

static bool parse_tolerate(struct cli *cli, const char *text, int64_t *out)
{
    uint64_t n = UINT64_MAX; // all: -1
    if (strcmp(text, "all") && !cli_number(cli, "--tolerate", text, 0, INT64_MAX, &n))
        return false;
    *out = (int64_t)n;
    return true;
}

static bool take_option(struct cli *cli, struct submit *s, int option)
{
    struct dtf_task_param *p = &s->param;
    switch (option) {
    case TYPE:
        p->type = optarg;
        return true;
    case PARAM:
        s->param_text = optarg;
        return true;
    case NAME:
        p->name = optarg;
        return true;
    case GROUP:
        p->resource_group = optarg;
        return true;
    case KEY:
        p->idempotency_key = optarg;
        return true;
    case WAIT:
        return s->wait = true;
    case PRIORITY:
        return parse_priority(cli, optarg, &p->priority);
    case TIMEOUT:
        return cli_duration(cli, "--timeout", optarg, DTF_TASK_TIMEOUT_MAX_MS, &p->timeout_ms);
    case RETRIES:
        return parse_retries(cli, optarg, &p->max_retries);
    case TOLERATE:
        return parse_tolerate(cli, optarg, &p->tolerated_failures);
    }
    return false; // CLI_OPTION_STOP
}

// ---- what the task is to work on

static int read_file(const char *path, struct submit *s)
{
    FILE *f = fopen(path, "rb");
    if (!f) {
        cli_say("--param @%s: %m", path);
        return CLI_FAILED;
    }
    char *data = arena_alloc(&s->arena, DTF_TYPE_PARAM_MAX + 1);
    s->param.type_param_bytes = fread(data, 1, DTF_TYPE_PARAM_MAX + 1, f);
    s->param.type_param = data;
    bool failed = ferror(f);
    fclose(f);
    if (failed || s->param.type_param_bytes > DTF_TYPE_PARAM_MAX) {
        cli_say(failed ? "--param @%s: cannot be read" : "--param @%s: more than 1 MiB", path);
        return CLI_FAILED;
    }
    return CLI_OK;
}

static int take_param(struct submit *s)
{
    if (s->param_text && *s->param_text == '@')
        return read_file(s->param_text + 1, s);
    s->param.type_param = s->param_text;
    s->param.type_param_bytes = s->param_text ? strlen(s->param_text) : 0;
    return CLI_OK;
}

static int take_command(struct submit *s, int count, char **args)
{
    struct template t;
    struct nrpc_status st;
    struct dtf_task_param *p = &s->param;
    template_init(&t, (size_t)count, args);
    t.max_output_bytes = DTF_COMMAND_OUTPUT_MAX;
    t.timeout_ms = p->timeout_ms && p->timeout_ms < DTF_SUBTASK_TIMEOUT_MAX_MS ? (uint32_t)p->timeout_ms
                                                                               : DTF_SUBTASK_TIMEOUT_MAX_MS;
    p->type = "command";
    p->keep_results = true;
    if (!p->name) {
        char *name = arena_alloc(&s->arena, DTF_NAME_MAX + 1);
        text_clean(name, DTF_NAME_MAX + 1, args[0]);
        p->name = name;
    }
    if (template_pack(&t, NULL, 0, &s->arena, &p->type_param, &p->type_param_bytes, &st))
        return cli_fail(&st);
    return CLI_OK;
}

static int take_work(struct cli *cli, struct submit *s, int argc, char **argv)
{
    bool has_command = optind < argc;
    if (has_command && (s->param.type || s->param_text))
        return cli_usage(cli, "give either a COMMAND, or --type and --param");
    if (!has_command && !s->param.type)
        return cli_usage(cli, "give a COMMAND or --type");
    return has_command ? take_command(s, argc - optind, argv + optind) : take_param(s);
}

// ---- the command

static void print_id(const struct cli *cli, uint64_t id)
{
    struct json j;
    if (cli->output != CLI_JSON) {
        printf("%" PRIu64 "\n", id);
    } else {
        json_begin(&j, stdout);
        json_unsigned(&j, "id", id);
        json_end(&j);
    }
    fflush(stdout);
}

static int create(struct cli *cli, const struct submit *s)
{
    struct dtf_client *client;
    struct nrpc_status st;
    uint64_t id;
    int exit_code = cli_connect(cli, &client);
    if (exit_code)
        return exit_code;
    if (dtf_task_create(client, &s->param, &id, &st)) {
        exit_code = cli_fail(&st);
    } else {
        print_id(cli, id);
        if (s->wait)
            exit_code = status_wait(cli, client, id, -1);
    }
    dtf_client_close(client);
    return exit_code;
}

int submit_command(struct cli *cli, int argc, char **argv)
{
    struct submit s = {.param = {.creator = cli_creator(), .creator_uid = getuid()}};
    for (int option; (option = cli_option(cli, argc, argv, "+:" CLI_COMMON_SHORT, longs)) != CLI_OPTION_END;)
        if (!take_option(cli, &s, option))
            return cli->exit_code;
    arena_init(&s.arena, 0);
    int exit_code = take_work(cli, &s, argc, argv);
    if (!exit_code)
        exit_code = create(cli, &s);
    arena_fini(&s.arena);
    return exit_code;
}
