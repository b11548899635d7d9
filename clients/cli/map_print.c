// SPDX-License-Identifier: Apache-2.0
// map_print.c: the output of the command map.
#include "map_print.h"

#include "base/mem.h"
#include "json.h"
#include "text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { ITEM_SHOWN = 200, REASON_SHOWN = 200 }; // bytes in the list of failures

void map_print_init(struct map_print *p, const struct cli *cli, struct map_window *w,
                    struct progress *progress, bool keep_order)
{
    *p = (struct map_print){
        .cli = cli,
        .window = w,
        .progress = progress,
        .keep_order = keep_order,
        .shares_terminal = isatty(STDOUT_FILENO),
    };
}

void map_print_fini(struct map_print *p)
{
    struct map_item *item, *next;
    HASH_ITER(hh, p->waiting, item, next)
    {
        HASH_DEL(p->waiting, item);
        map_window_release(p->window, item);
    }
    for (size_t i = 0; i < MAP_FAILURES_SHOWN; i++)
        free(p->failures[i]);
}

// ---- one item

static void print_json(const struct map_item *item)
{
    const Dtf__V1__CommandOutput *output = item->outcome.output;
    struct json j;
    json_begin(&j, stdout);
    json_unsigned(&j, "number", item->id);
    json_bytes(&j, "item", item->text, item->bytes);
    json_bool(&j, "ok", !item->failure);
    json_text(&j, "result", outcome_kind_name(item->kind));
    json_number(&j, "code", item->code);
    json_text(&j, "error", item->failure);
    json_number(&j, "run_us", item->run_us);
    json_bytes(&j, "stdout", output ? output->out.data : NULL, output ? output->out.len : 0);
    json_bytes(&j, "stderr", output ? output->err.data : NULL, output ? output->err.len : 0);
    if (item->note)
        json_text(&j, "note", item->note);
    json_end(&j);
}

static void print_output(struct map_print *p, const Dtf__V1__CommandOutput *output)
{
    if (output->err.len || (output->out.len && p->shares_terminal))
        progress_hide(p->progress);
    if (output->out.len)
        fwrite(output->out.data, 1, output->out.len, stdout);
    if (output->err.len) {
        fflush(stdout); // if both go to one place, in this order
        fwrite(output->err.data, 1, output->err.len, stderr);
    }
}

static void print_note(struct map_print *p, const struct map_item *item)
{
    char quoted[ITEM_SHOWN + 100] = "";
    FILE *f = fmemopen(quoted, sizeof quoted, "w");
    if (f) {
        text_quote(f, item->text, item->bytes, ITEM_SHOWN);
        fclose(f);
    }
    progress_hide(p->progress);
    cli_say("%s: %s", quoted, item->note);
}

static void remember_failure(struct map_print *p, const struct map_item *item)
{
    if (p->failed < MAP_FAILURES_SHOWN) {
        size_t size;
        FILE *f = open_memstream(&p->failures[p->failed], &size);
        text_quote(f, item->text, item->bytes, ITEM_SHOWN);
        fputs(" (", f);
        text_print(f, item->failure, strnlen(item->failure, REASON_SHOWN));
        fputc(')', f);
        fclose(f);
    }
    p->failed++;
}

static void print_item(struct map_print *p, struct map_item *item)
{
    if (item->failure && item->kind != DTF_RESULT_CANCELLED)
        remember_failure(p, item);
    if (p->cli->output == CLI_JSON) {
        if (p->shares_terminal)
            progress_hide(p->progress);
        print_json(item);
    } else if (item->outcome.output) {
        print_output(p, item->outcome.output);
    }
    if (item->note && p->cli->output == CLI_TABLE)
        print_note(p, item);
    map_window_release(p->window, item);
}

// ---- the order

static void print_those_whose_turn_it_is(struct map_print *p)
{
    for (;;) {
        uint64_t next = p->printed + 1;
        struct map_item *item;
        HASH_FIND(hh, p->waiting, &next, sizeof next, item);
        if (!item)
            return;
        HASH_DEL(p->waiting, item);
        p->printed = next;
        print_item(p, item);
    }
}

static int compare_ids(const struct map_item *a, const struct map_item *b)
{
    return a->id < b->id ? -1 : a->id > b->id;
}

void map_print_rest(struct map_print *p)
{
    struct map_item *item, *next;
    HASH_SORT(p->waiting, compare_ids);
    HASH_ITER(hh, p->waiting, item, next)
    {
        HASH_DEL(p->waiting, item);
        print_item(p, item);
    }
    map_print_flush(p);
}

static void wait_for_turn(struct map_print *p, struct map_item *item)
{
    const Dtf__V1__CommandOutput *output = item->outcome.output;
    if (output)
        map_window_hold(p->window, item, output->out.len + output->err.len);
    HASH_ADD(hh, p->waiting, id, sizeof item->id, item);
}

void map_print_result(void *user, const struct dtf_task_result *t)
{
    struct map_print *p = user;
    struct map_item *item = map_window_take(p->window, t->subtask_id);
    if (!item)
        return; // it was printed before
    char reason[300];
    outcome_read(&item->outcome, t, true);
    item->kind = t->result.kind;
    item->code = t->result.code;
    item->run_us = t->result.run_us;
    item->failure = mem_strdup(outcome_failure(&item->outcome, &t->result, reason, sizeof reason));
    if (!item->failure && t->result.message && *t->result.message)
        item->note = mem_strdup(t->result.message);
    if (item->kind == DTF_RESULT_CANCELLED)
        p->cancelled++;
    else
        p->done++;
    if (!p->keep_order) {
        print_item(p, item);
        return;
    }
    wait_for_turn(p, item);
    print_those_whose_turn_it_is(p);
}

void map_print_flush(struct map_print *p)
{
    if ((fflush(stdout) || ferror(stdout)) && !p->write_error)
        p->write_error = errno ? errno : EIO;
}

void map_print_failures(const struct map_print *p)
{
    if (!p->failed)
        return;
    cli_say("%" PRIu64 " of %" PRIu64 " items failed:", p->failed, p->done);
    for (size_t i = 0; i < p->failed && i < MAP_FAILURES_SHOWN; i++)
        fprintf(stderr, "  %s\n", p->failures[i]);
    if (p->failed > MAP_FAILURES_SHOWN)
        fprintf(stderr, "  … and %" PRIu64 " more\n", p->failed - MAP_FAILURES_SHOWN);
}
