// SPDX-License-Identifier: Apache-2.0
// nodes.c: the commands nodes and group.
#include "cli.h"

#include "base/mem.h"
#include "duration.h"
#include "json.h"
#include "table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum { NODES_FIRST = 256, QUOTA_MAX = 10000 };

static void print_json(const struct dtf_node_info *n)
{
    struct json j;
    json_begin(&j, stdout);
    json_unsigned(&j, "id", n->id);
    json_text(&j, "name", n->name);
    json_text(&j, "host", n->host);
    json_unsigned(&j, "pid", n->pid);
    json_unsigned(&j, "slots", n->slots);
    json_unsigned(&j, "running", n->running);
    json_unsigned(&j, "settled", n->settled);
    json_number(&j, "seen_ms_ago", n->seen_ms_ago);
    json_unsigned(&j, "usable", n->usable);
    json_text(&j, "short_of", n->short_of);
    json_text(&j, "quarantine", n->quarantine);
    json_end(&j);
}

static bool has_note(const struct dtf_node_info *n)
{
    return *n->short_of || *n->quarantine;
}

static void add_note(struct table *table, const struct dtf_node_info *n)
{
    bool is_short = *n->short_of, is_apart = *n->quarantine;
    table_cell(table, "%s%s%s%s%s", is_apart ? "quarantined: " : "", n->quarantine,
               is_apart && is_short ? "; " : "", is_short ? "short: " : "", n->short_of);
}

// with_note: there is a column for it.
static void add_row(struct table *table, const struct dtf_node_info *n, bool with_note)
{
    char seen[DURATION_TEXT];
    duration_format(seen, n->seen_ms_ago);
    table_cell(table, "%" PRIu64, n->id);
    table_cell(table, "%s", n->name);
    table_cell(table, "%s", n->host);
    table_cell(table, "%u", n->pid);
    if (n->usable < n->slots)
        table_cell(table, "%u/%u", n->usable, n->slots);
    else
        table_cell(table, "%u", n->slots);
    table_cell(table, "%" PRIu64, n->running);
    table_cell(table, "%" PRIu64, n->settled);
    table_cell(table, "%s ago", seen);
    if (with_note)
        add_note(table, n);
}

static void print_nodes(const struct cli *cli, const struct dtf_node_info *nodes, size_t count)
{
    struct table table;
    bool with_note = false;
    for (size_t i = 0; i < count; i++)
        with_note |= has_note(&nodes[i]);
    table_init(&table, with_note ? ">ID NAME HOST >PID >SLOTS >RUNNING >SETTLED >SEEN NOTE"
                                 : ">ID NAME HOST >PID >SLOTS >RUNNING >SETTLED >SEEN");
    for (size_t i = 0; i < count; i++)
        if (cli->output == CLI_JSON)
            print_json(&nodes[i]);
        else if (cli->output == CLI_QUIET)
            printf("%" PRIu64 "\n", nodes[i].id);
        else
            add_row(&table, &nodes[i], with_note);
    if (cli->output == CLI_TABLE)
        table_print(&table, stdout);
    table_fini(&table);
}

// All nodes, however many: asks again with more room while the answer fills it. Free *out.
static int read_nodes(struct dtf_client *client, struct dtf_node_info **out, size_t *count,
                      struct nrpc_status *st)
{
    for (size_t capacity = NODES_FIRST;; capacity *= 4) {
        *count = capacity;
        *out = mem_calloc(capacity, sizeof **out);
        int code = dtf_nodes(client, *out, count, st);
        if (code || *count < capacity)
            return code;
        free(*out);
    }
}

int nodes_command(struct cli *cli, int argc, char **argv)
{
    struct dtf_client *client;
    struct nrpc_status st;
    if (!cli_operands(cli, argc, argv, 0, 0))
        return cli->exit_code;
    int exit_code = cli_connect(cli, &client);
    if (exit_code)
        return exit_code;
    struct dtf_node_info *nodes;
    size_t count;
    if (read_nodes(client, &nodes, &count, &st))
        exit_code = cli_fail(&st);
    else
        print_nodes(cli, nodes, count);
    free(nodes);
    dtf_client_close(client);
    return exit_code;
}

int group_command(struct cli *cli, int argc, char **argv)
{
    uint64_t quota;
    struct dtf_client *client;
    struct nrpc_status st;
    if (!cli_operands(cli, argc, argv, 2, 2) ||
        !cli_number(cli, "the quota", argv[optind + 1], 1, QUOTA_MAX, &quota))
        return cli->exit_code;
    int exit_code = cli_connect(cli, &client);
    if (exit_code)
        return exit_code;
    if (dtf_group_set(client, argv[optind], (uint32_t)quota, &st))
        exit_code = cli_fail(&st);
    dtf_client_close(client);
    return exit_code;
}
