// SPDX-License-Identifier: Apache-2.0
// results.c: the command results: prints the kept results of a task, or its failed subtasks.
#include "cli.h"

#include "dtf/v1/command.pb-c.h"
#include "duration.h"
#include "json.h"
#include "outcome.h"
#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define TEXT(number) #number
#define TEXT_OF(number) TEXT(number)
#define KEPT TEXT_OF(DTF_COMMAND_OUTPUT_MAX)

const char results_help[] =
    "Reading results frees them: they can be read once, and unread ones stay an hour after the task's end; "
    "it is "
    "an error\n"
    "when they are gone. Failures stay.\n"
    "Of a command's output the first " KEPT " bytes are kept; exits with 1 if one wrote more.\n"
    "For tasks of commands the output is shown as text; --output quiet prints just what they wrote.\n\n"
    "  --failed                the subtasks that failed for good, with what they worked on\n"
    "  --follow                go on until the task has ended and all was read\n";

enum { PREVIEW_BYTES = 60, FOLLOW_MS = 30000 };

struct reader {
    const struct cli *cli;
    bool is_command, failed, follow;
    size_t count; // results given by one call
    size_t cut;   // whose output is not whole
    bool printed_heading;
};

// ---- one result, three ways

static void print_json(const struct reader *r, const struct dtf_task_result *t, const struct outcome *o)
{
    struct json j;
    json_begin(&j, stdout);
    json_unsigned(&j, "subtask_id", t->subtask_id);
    json_unsigned(&j, "attempt", t->attempt);
    json_text(&j, "result", outcome_kind_name(t->result.kind));
    json_number(&j, "code", t->result.code);
    json_text(&j, "message", t->result.message);
    json_number(&j, "run_us", t->result.run_us);
    if (o->output) {
        json_bytes(&j, "stdout", o->output->out.data, o->output->out.len);
        json_bytes(&j, "stderr", o->output->err.data, o->output->err.len);
        json_bool(&j, "cut", o->output->out_cut || o->output->err_cut);
    } else {
        json_base64(&j, "body_base64", t->result.body, t->result.body_bytes);
    }
    if (r->failed && o->command) {
        json_array_begin(&j, "command");
        for (size_t i = 0; i < o->command->n_argv; i++)
            json_array_item(&j, o->command->argv[i].data, o->command->argv[i].len);
        json_array_end(&j);
    } else if (r->failed) {
        json_base64(&j, "param_base64", t->param, t->param_bytes);
    }
    json_end(&j);
}

static void print_raw(const struct dtf_task_result *t, const struct outcome *o)
{
    if (!o->output) {
        fwrite(t->result.body, 1, t->result.body_bytes, stdout);
        return;
    }
    fwrite(o->output->out.data, 1, o->output->out.len, stdout);
    fflush(stdout);
    fwrite(o->output->err.data, 1, o->output->err.len, stderr);
}

static void print_command(const Dtf__V1__Command *command)
{
    for (size_t i = 0; i < command->n_argv; i++) {
        putchar(' ');
        text_quote(stdout, (const char *)command->argv[i].data, command->argv[i].len, PREVIEW_BYTES);
    }
}

static void print_preview(const struct dtf_task_result *t, const struct outcome *o)
{
    const void *data = o->output ? o->output->out.data : t->result.body;
    size_t bytes = o->output ? o->output->out.len : t->result.body_bytes;
    bool has_message = t->result.message && *t->result.message;
    if (bytes && (!has_message || t->result.kind == DTF_RESULT_SUCCESS)) {
        putchar(' ');
        text_quote(stdout, data, bytes, PREVIEW_BYTES);
    }
    if (has_message) {
        putchar(' ');
        text_print(stdout, t->result.message, strlen(t->result.message));
    }
}

static void print_row(struct reader *r, const struct dtf_task_result *t, const struct outcome *o)
{
    char time[DURATION_TEXT];
    duration_format(time, t->result.run_us / 1000);
    if (!r->printed_heading)
        printf("%8s %7s %-9s %5s %10s  %s\n", "SUBTASK", "ATTEMPT", "RESULT", "CODE", "TIME",
               r->failed ? "ERROR, COMMAND" : "OUTPUT");
    r->printed_heading = true;
    printf("%8" PRIu64 " %7u %-9s %5d %10s ", t->subtask_id, t->attempt, outcome_kind_name(t->result.kind),
           t->result.code, time);
    print_preview(t, o);
    if (r->failed && o->command) {
        putchar(':');
        print_command(o->command);
    }
    putchar('\n');
}

static void print_result(void *user, const struct dtf_task_result *t)
{
    struct reader *r = user;
    struct outcome o;
    r->count++;
    outcome_read(&o, t, r->is_command);
    r->cut += outcome_is_cut(&o);
    switch (r->cli->output) {
    case CLI_JSON:
        print_json(r, t, &o);
        break;
    case CLI_QUIET:
        print_raw(t, &o);
        break;
    case CLI_TABLE:
        print_row(r, t, &o);
        break;
    }
    outcome_free(&o);
}

// ---- the command

static int read_all(struct dtf_client *client, uint64_t id, struct reader *r)
{
    struct dtf_task_info info;
    struct nrpc_status st;
    if (dtf_task_status(client, id, &info, &st))
        return cli_fail(&st);
    r->is_command = !strcmp(info.type, "command");
    uint64_t cursor = 0;
    // What was printed last is freed by asking for what follows.
    for (bool end = false, over = false; !over;) {
        bool were_all = end;
        r->count = 0;
        if (dtf_task_results(client, id, &cursor, r->follow ? FOLLOW_MS : 0, r->failed, print_result, r, &end,
                             &st) &&
            !were_all) // they are freed, and only the answer that says so may have been lost
            return cli_fail(&st);
        fflush(stdout);
        over = !r->count && (were_all || end || !r->follow);
        if (ferror(stdout))
            return CLI_FAILED; // main says why
    }
    if (!r->cut)
        return CLI_OK;
    cli_say("the output of %zu subtask%s was too much: the rest is lost", r->cut, r->cut == 1 ? "" : "s");
    return CLI_FAILED;
}

int results_command(struct cli *cli, int argc, char **argv)
{
    static const struct option longs[] = {
        {"failed", no_argument, NULL, 'F'}, {"follow", no_argument, NULL, 'f'}, CLI_COMMON_LONG};
    struct reader r = {.cli = cli};
    for (int option; (option = cli_option(cli, argc, argv, ":" CLI_COMMON_SHORT, longs)) != CLI_OPTION_END;) {
        if (option == CLI_OPTION_STOP)
            return cli->exit_code;
        r.failed |= option == 'F';
        r.follow |= option == 'f';
    }
    uint64_t id;
    struct dtf_client *client;
    if (argc - optind != 1)
        return cli_usage(cli, "give the id of one task");
    if (!cli_task_id(cli, argv[optind], &id))
        return cli->exit_code;
    int exit_code = cli_connect(cli, &client);
    if (exit_code)
        return exit_code;
    exit_code = read_all(client, id, &r);
    dtf_client_close(client);
    return exit_code;
}
