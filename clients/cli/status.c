// SPDX-License-Identifier: Apache-2.0
// status.c: the commands status, list and wait.
#include "cli.h"

#include "base/clock.h"
#include "base/mem.h"
#include "duration.h"
#include "json.h"
#include "status.h"
#include "table.h"
#include "text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LIST_DEFAULT = 100, LIST_MAX = 100000 };

// ---- one task

// What was cancelled was not done.
static uint64_t done(const struct dtf_task_info *t)
{
    return t->succeeded + t->failed + t->timed_out;
}

// How long it has taken, or takes so far.
static void elapsed(char out[DURATION_TEXT], const struct dtf_task_info *t)
{
    int64_t until_ms = t->finished_ms ? t->finished_ms : clock_now_ms();
    duration_format(out, until_ms - t->created_ms);
}

static void print_json(const struct dtf_task_info *t)
{
    struct json j;
    json_begin(&j, stdout);
    json_unsigned(&j, "id", t->id);
    json_text(&j, "name", t->name);
    json_text(&j, "type", t->type);
    json_text(&j, "status", dtf_task_status_name(t->status));
    json_text(&j, "message", t->message);
    json_text(&j, "group", t->resource_group);
    json_unsigned(&j, "priority", t->priority);
    json_number(&j, "progress_percent", t->progress_percent);
    json_unsigned(&j, "generated", t->generated);
    json_bool(&j, "generation_done", t->generation_done);
    json_bool(&j, "state_unknown", t->state_unknown);
    json_unsigned(&j, "succeeded", t->succeeded);
    json_unsigned(&j, "failed", t->failed);
    json_unsigned(&j, "timed_out", t->timed_out);
    json_unsigned(&j, "cancelled", t->cancelled);
    json_unsigned(&j, "running", t->running);
    json_unsigned(&j, "queued", t->queued);
    json_unsigned(&j, "retried", t->retried);
    json_unsigned(&j, "redispatched", t->redispatched);
    json_number(&j, "created_ms", t->created_ms);
    json_number(&j, "finished_ms", t->finished_ms);
    json_end(&j);
}

static void print_text_line(const char *name, const char *text)
{
    printf("%-10s ", name);
    text_print(stdout, text, strlen(text));
    putchar('\n');
}

static void print_counts(const struct dtf_task_info *t)
{
    const struct {
        const char *name;
        uint64_t n;
    } counts[] = {
        {"succeeded", t->succeeded}, {"failed", t->failed},
        {"timed out", t->timed_out}, {"cancelled", t->cancelled},
        {"running", t->running},     {"queued", t->queued},
        {"retries", t->retried},     {"redispatches", t->redispatched},
    };
    printf("%-10s %" PRIu64 "%s", "subtasks", t->generated, t->generation_done ? "" : " so far");
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (counts[i].n)
            printf(", %" PRIu64 " %s", counts[i].n, counts[i].name);
    putchar('\n');
}

static void print_details(const struct dtf_task_info *t)
{
    char created[DURATION_TEXT], finished[DURATION_TEXT], time[DURATION_TEXT];
    time_format(created, t->created_ms);
    time_format(finished, t->finished_ms);
    elapsed(time, t);
    printf("%-10s %" PRIu64 "\n", "task", t->id);
    print_text_line("name", t->name);
    print_text_line("type", t->type);
    print_text_line("status", dtf_task_status_name(t->status));
    if (*t->message)
        print_text_line("message", t->message);
    print_text_line("group", t->resource_group);
    printf("%-10s %u\n", "priority", t->priority);
    if (t->progress_percent >= 0)
        printf("%-10s %d %%\n", "progress", t->progress_percent);
    if (t->state_unknown)
        print_text_line("subtasks", "unknown");
    else
        print_counts(t);
    print_text_line("created", created);
    if (t->finished_ms)
        print_text_line("finished", finished);
    print_text_line("time", time);
}

void status_print(const struct cli *cli, const struct dtf_task_info *t)
{
    switch (cli->output) {
    case CLI_JSON:
        print_json(t);
        break;
    case CLI_QUIET:
        puts(dtf_task_status_name(t->status));
        break;
    case CLI_TABLE:
        print_details(t);
        break;
    }
}

int status_command(struct cli *cli, int argc, char **argv)
{
    struct dtf_client *client;
    uint64_t id;
    if (!cli_operands(cli, argc, argv, 1, 1) || !cli_task_id(cli, argv[optind], &id))
        return cli->exit_code;
    int exit_code = cli_connect(cli, &client);
    if (exit_code)
        return exit_code;
    struct dtf_task_info info;
    struct nrpc_status st;
    if (dtf_task_status(client, id, &info, &st))
        exit_code = cli_fail(&st);
    else
        status_print(cli, &info);
    dtf_client_close(client);
    return exit_code;
}

// ---- wait

int status_wait(const struct cli *cli, struct dtf_client *client, uint64_t id, int64_t timeout_ms)
{
    struct dtf_task_info info = {0};
    struct nrpc_status st;
    int code = dtf_task_wait(client, id, timeout_ms, &info, &st);
    if (code == NRPC_DEADLINE_EXCEEDED && info.id) // the server has answered
        return cli_say("%s", st.text), CLI_NOT_YET;
    if (code)
        return cli_fail(&st);
    if (cli->output != CLI_QUIET)
        status_print(cli, &info);
    if (info.status == DTF_TASK_COMPLETED)
        return CLI_OK;
    cli_say("task %" PRIu64 " ended as %s%s%s", id, dtf_task_status_name(info.status),
            *info.message ? ": " : "", info.message);
    return CLI_FAILED;
}

int wait_command(struct cli *cli, int argc, char **argv)
{
    static const struct option longs[] = {{"timeout", required_argument, NULL, 't'}, CLI_COMMON_LONG};
    int64_t timeout_ms = -1;
    for (int option; (option = cli_option(cli, argc, argv, ":" CLI_COMMON_SHORT, longs)) != CLI_OPTION_END;)
        if (option == CLI_OPTION_STOP || !cli_duration(cli, "--timeout", optarg, INT64_MAX / 4, &timeout_ms))
            return cli->exit_code;
    struct dtf_client *client;
    uint64_t id;
    if (argc - optind != 1)
        return cli_usage(cli, "give the id of one task");
    if (!cli_task_id(cli, argv[optind], &id))
        return cli->exit_code;
    int exit_code = cli_connect(cli, &client);
    if (exit_code)
        return exit_code;
    exit_code = status_wait(cli, client, id, timeout_ms);
    dtf_client_close(client);
    return exit_code;
}

// ---- list

static void add_row(struct table *table, const struct dtf_task_info *t)
{
    char created[DURATION_TEXT], time[DURATION_TEXT];
    time_format(created, t->created_ms);
    elapsed(time, t);
    table_cell(table, "%" PRIu64, t->id);
    table_cell(table, "%s", t->name);
    table_cell(table, "%s", t->type);
    table_cell(table, "%s", dtf_task_status_name(t->status));
    if (t->state_unknown) {
        table_cell(table, "?");
        table_cell(table, "?");
    } else {
        table_cell(table, "%" PRIu64 "/%" PRIu64 "%s", done(t), t->generated, t->generation_done ? "" : "+");
        table_cell(table, "%" PRIu64, t->failed + t->timed_out);
    }
    table_cell(table, "%s", t->resource_group);
    table_cell(table, "%s", created);
    table_cell(table, "%s", time);
}

// What the list does not say, and why, each reason once.
static void say_unknown(const struct dtf_task_info *tasks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t first = 0, same = 0;
        if (!tasks[i].state_unknown)
            continue;
        while (!tasks[first].state_unknown || strcmp(tasks[first].message, tasks[i].message) != 0)
            first++;
        if (first < i)
            continue;
        for (size_t k = i; k < count; k++)
            same += tasks[k].state_unknown && !strcmp(tasks[k].message, tasks[i].message);
        cli_say("the state of %zu tasks is unknown: %s", same, tasks[i].message);
    }
}

static void print_list(const struct cli *cli, const struct dtf_task_info *tasks, size_t count)
{
    struct table table;
    table_init(&table, ">ID NAME TYPE STATUS >DONE >FAILED GROUP CREATED >TIME");
    for (size_t i = 0; i < count; i++)
        if (cli->output == CLI_JSON)
            print_json(&tasks[i]);
        else if (cli->output == CLI_QUIET)
            printf("%" PRIu64 "\n", tasks[i].id);
        else
            add_row(&table, &tasks[i]);
    if (cli->output == CLI_TABLE)
        table_print(&table, stdout);
    table_fini(&table);
    say_unknown(tasks, count);
}

static bool parse_status(struct cli *cli, const char *text, int *out)
{
    for (*out = DTF_TASK_RUNNING; *out <= DTF_TASK_TIMED_OUT; ++*out)
        if (!strcmp(text, dtf_task_status_name(*out)))
            return true;
    cli->exit_code = cli_usage(cli, "--status %s: there is no such status (see --help)", text);
    return false;
}

static bool list_options(struct cli *cli, int argc, char **argv, int *status, uint64_t *limit)
{
    static const struct option longs[] = {
        {"status", required_argument, NULL, 's'}, {"limit", required_argument, NULL, 'l'}, CLI_COMMON_LONG};
    for (int option; (option = cli_option(cli, argc, argv, ":" CLI_COMMON_SHORT, longs)) != CLI_OPTION_END;) {
        if (option == CLI_OPTION_STOP)
            return false;
        if (option == 's' ? !parse_status(cli, optarg, status)
                          : !cli_number(cli, "--limit", optarg, 1, LIST_MAX, limit))
            return false;
    }
    if (optind == argc)
        return true;
    cli->exit_code = cli_usage(cli, "takes no arguments, but got \"%s\"", argv[optind]);
    return false;
}

int list_command(struct cli *cli, int argc, char **argv)
{
    int status = 0;
    uint64_t limit = LIST_DEFAULT;
    struct dtf_client *client;
    struct nrpc_status st;
    if (!list_options(cli, argc, argv, &status, &limit))
        return cli->exit_code;
    int exit_code = cli_connect(cli, &client);
    if (exit_code)
        return exit_code;
    size_t count = limit;
    struct dtf_task_info *tasks = mem_calloc(count, sizeof *tasks);
    if (dtf_task_list(client, status, 0, tasks, &count, &st))
        exit_code = cli_fail(&st);
    else
        print_list(cli, tasks, count);
    free(tasks);
    dtf_client_close(client);
    return exit_code;
}
