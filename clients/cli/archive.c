// SPDX-License-Identifier: Apache-2.0
// archive.c: the commands export and import.
//
// An import reads its input twice: nothing is sent before all of it was found to be in order.
#include "cli.h"

#include "clients/c/archive.h"
#include "json.h"
#include "lines.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

const char export_help[] =
    "  --unfinished            also tasks that have not ended: where they are imported "
    "they run, from their\n"
    "                          beginning; stop or cancel them here before that\n\n"
    "Prints the records of tasks, with their history and failures, as JSON lines for "
    "dtf import.\n";

const char import_help[] = "Reads what dtf export printed from standard input, checks all of it, and records "
                           "it. A task that is here\n"
                           "already is left as it is, so an import can be repeated. One whose id or "
                           "idempotency key another task has\n"
                           "is refused, named, and the exit status is 1.\n";

// ---- export

struct writer {
    struct lines lines;
    uint64_t tasks;
};

static int take(void *user, const Dtf__V1__ArchiveItem *item, struct nrpc_status *st)
{
    struct writer *w = user;
    w->tasks += item->item_case == DTF__V1__ARCHIVE_ITEM__ITEM_TASK;
    return lines_print(&w->lines, stdout, item, st);
}

static int run_export(struct cli *cli, bool unfinished)
{
    struct dtf_client *client;
    struct writer w = {.tasks = 0};
    struct nrpc_status st;
    int exit_code = cli_connect(cli, &client);
    if (exit_code)
        return exit_code;
    exit_code = cli_reach(client);
    lines_init(&w.lines, NULL);
    if (!exit_code && client_export(client, unfinished, take, &w, &st))
        exit_code = cli_fail(&st);
    else if (!exit_code && cli->output != CLI_QUIET)
        cli_say("%" PRIu64 " tasks exported", w.tasks);
    lines_fini(&w.lines);
    dtf_client_close(client);
    return exit_code;
}

int export_command(struct cli *cli, int argc, char **argv)
{
    static const struct option longs[] = {{"unfinished", no_argument, NULL, 'u'}, CLI_COMMON_LONG};
    bool unfinished = false;
    for (int option; (option = cli_option(cli, argc, argv, ":" CLI_COMMON_SHORT, longs)) != CLI_OPTION_END;) {
        if (option == CLI_OPTION_STOP)
            return cli->exit_code;
        unfinished = true;
    }
    if (optind < argc)
        return cli_usage(cli, "too many arguments, from \"%s\" on", argv[optind]);
    return run_export(cli, unfinished);
}

// ---- import

// The input as a file that can be read twice, at its beginning; NULL: it cannot be read.
static FILE *open_input(void)
{
    char piece[1 << 16];
    off_t at = ftello(stdin);
    if (at >= 0 && !fseeko(stdin, at, SEEK_SET))
        return stdin;
    FILE *copy = tmpfile();
    for (size_t n; copy && (n = fread(piece, 1, sizeof piece, stdin)) > 0;)
        if (fwrite(piece, 1, n, copy) != n) {
            fclose(copy);
            return NULL;
        }
    if (copy && (ferror(stdin) || fseeko(copy, 0, SEEK_SET))) {
        fclose(copy);
        return NULL;
    }
    return copy;
}

static int give(void *user, Dtf__V1__ArchiveItem **item, struct nrpc_status *st)
{
    return lines_next(user, item, st);
}

static int check_all(struct lines *l, struct nrpc_status *st)
{
    Dtf__V1__ArchiveItem *item;
    int code;
    while (!(code = lines_next(l, &item, st)) && item) {
    }
    lines_restart(l);
    return code;
}

static void print_counts(const struct cli *cli, const Dtf__V1__ImportResponse *r)
{
    struct json j;
    if (cli->output == CLI_JSON) {
        json_begin(&j, stdout);
        json_unsigned(&j, "imported", r->imported);
        json_unsigned(&j, "existed", r->existed);
        json_unsigned(&j, "refused", r->refused);
        json_end(&j);
    } else if (cli->output == CLI_TABLE) {
        printf("%" PRIu64 " tasks imported, %" PRIu64 " were here before, %" PRIu64 " refused\n", r->imported,
               r->existed, r->refused);
    }
}

static int report(const struct cli *cli, const Dtf__V1__ImportResponse *r)
{
    for (size_t i = 0; i < r->n_refusals; i++)
        cli_say("%s refused: %s", r->refusals[i]->what, r->refusals[i]->reason);
    if (r->refused > r->n_refusals)
        cli_say("and %" PRIu64 " more refused", r->refused - r->n_refusals);
    print_counts(cli, r);
    return r->refused ? CLI_FAILED : CLI_OK;
}

static int run_import(struct cli *cli, struct lines *l, off_t start)
{
    struct dtf_client *client;
    Dtf__V1__ImportResponse *response;
    struct nrpc_status st;
    if (check_all(l, &st))
        return cli_fail(&st);
    if (fseeko(l->in, start, SEEK_SET)) {
        cli_say("the input cannot be read again: %m");
        return CLI_FAILED;
    }
    int exit_code = cli_connect(cli, &client);
    if (exit_code)
        return exit_code;
    exit_code = cli_reach(client);
    if (!exit_code) {
        exit_code = client_import(client, give, l, &response, &st) ? cli_fail(&st) : report(cli, response);
        dtf__v1__import_response__free_unpacked(response, NULL);
    }
    dtf_client_close(client);
    return exit_code;
}

int import_command(struct cli *cli, int argc, char **argv)
{
    struct lines lines;
    if (!cli_operands(cli, argc, argv, 0, 0))
        return cli->exit_code;
    FILE *in = open_input();
    if (!in) {
        cli_say("the input cannot be read, or not be kept: %m");
        return CLI_FAILED;
    }
    lines_init(&lines, in);
    int exit_code = run_import(cli, &lines, ftello(in));
    lines_fini(&lines);
    if (in != stdin)
        fclose(in);
    return exit_code;
}
