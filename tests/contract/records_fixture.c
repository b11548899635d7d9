// SPDX-License-Identifier: Apache-2.0
// records_fixture.c: the seed of the record stores' contract, and a whole store as text, a line a fact.
#include "records_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct nrpc_status records_status;
const struct records_contract *records_fixture_contract;

int records_set_up(void **state)
{
    struct records_fixture *f = mem_calloc(1, sizeof *f);
    f->r = records_fixture_contract->create();
    arena_init(&f->arena, 0);
    *state = f;
    return 0;
}

int records_set_up_seeded(void **state)
{
    records_set_up(state);
    records_seed(*state);
    return 0;
}

int records_tear_down(void **state)
{
    struct records_fixture *f = *state;
    records_fixture_contract->destroy(f->r);
    arena_fini(&f->arena);
    free(f->before);
    free(f);
    return 0;
}

// ---- the whole store as text

static void dump_blob(FILE *f, const char *what, struct records_blob b)
{
    fprintf(f, "%s %s%zu", what, b.data ? "" : "none ", b.bytes);
    for (size_t i = 0; b.data && i < b.bytes && i < 8; i++)
        fprintf(f, " %02x", ((const unsigned char *)b.data)[i]);
    fputc('\n', f);
}

static void dump_task(struct records_fixture *f, FILE *out, uint64_t id)
{
    struct records_task t;
    OK(f->r->ops->get(f->r, id, &f->arena, &t, &records_status));
    char who[32];
    snprintf(who, sizeof who, "task %d", (int)t.id);
    fprintf(out, "%s status %s\n", who, model_status_name(t.status));
    fprintf(out, "%s name '%s' description '%s' type '%s'\n", who, t.name, t.description, t.type);
    fprintf(out, "%s creator '%s' %llu\n", who, t.creator, (unsigned long long)t.creator_uid);
    fprintf(out, "%s group '%s' priority %u\n", who, t.group, t.priority);
    if (t.idempotency_key)
        fprintf(out, "%s key %s\n", who, t.idempotency_key);
    if (t.stop_asked)
        fprintf(out, "%s stop asked: %s\n", who, t.stop_message ? t.stop_message : "none");
    fprintf(out, "%s message %s\n", who, t.message ? t.message : "none");
    fprintf(out, "%s created %d deadline %d\n", who, (int)t.created_ms, (int)t.deadline_ms);
    fprintf(out, "%s finished %d\n", who, (int)t.finished_ms);
    const struct model_counters *n = &t.counters;
    fprintf(out, "%s counters %d %d %d %d %d / %d %d / %d %d / %d\n", who, (int)n->generated,
            (int)n->succeeded, (int)n->failed, (int)n->timed_out, (int)n->cancelled, (int)n->retried,
            (int)n->redispatched, (int)n->running, (int)n->queued, n->generation_done);
    fprintf(out, "%s ", who);
    dump_blob(out, "param", t.param);
}

static void dump_failures(struct records_fixture *f, FILE *out, uint64_t task)
{
    struct records_failure *failures;
    size_t count;
    OK(f->r->ops->failures(f->r, task, 0, SIZE_MAX, &f->arena, &failures, &count, &records_status));
    for (size_t i = 0; i < count; i++) {
        const struct records_failure *e = &failures[i];
        fprintf(out, "failure %d.%d attempt %u kind %d code %d message %s run %d ", (int)e->task, (int)e->seq,
                e->attempt, e->kind, e->code, e->message ? e->message : "none", (int)e->run_us);
        dump_blob(out, "body", e->body);
        fprintf(out, "failure %d.%d ", (int)e->task, (int)e->seq);
        dump_blob(out, "param", e->param);
    }
}

static void dump_history(struct records_fixture *f, FILE *out)
{
    struct records_event *events;
    size_t count;
    uint64_t first_kept;
    OK(f->r->ops->events(f->r, 0, 0, SIZE_MAX, &f->arena, &events, &count, &first_kept, &records_status));
    fprintf(out, "history from %d\n", (int)first_kept);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "event %d task %d %s at %d message %s\n", (int)events[i].sequence, (int)events[i].task,
                model_status_name(events[i].status), (int)events[i].time_ms,
                events[i].message ? events[i].message : "none");
}

static void dump_groups(struct records_fixture *f, FILE *out)
{
    struct records_group *groups;
    size_t count;
    OK(f->r->ops->groups(f->r, &f->arena, &groups, &count, &records_status));
    for (size_t i = 0; i < count; i++)
        fprintf(out, "group '%s' quota %u\n", groups[i].name, groups[i].quota);
}

char *records_dump(struct records_fixture *f)
{
    char *text;
    size_t size, count;
    FILE *out = open_memstream(&text, &size);
    struct records_task *tasks;
    OK(f->r->ops->list(f->r, 0, 0, SIZE_MAX, &f->arena, &tasks, &count, &records_status));
    for (size_t i = count; i-- > 0;) {
        dump_task(f, out, tasks[i].id);
        dump_failures(f, out, tasks[i].id);
    }
    dump_history(f, out);
    dump_groups(f, out);
    fclose(out);
    arena_reset(&f->arena);
    return text;
}

static bool has_line(const char *text, const char *line, size_t length)
{
    for (; *text; text += strcspn(text, "\n") + 1)
        if (strcspn(text, "\n") == length && !memcmp(text, line, length))
            return true;
    return false;
}

static void print_missing(FILE *out, char sign, const char *from, const char *in)
{
    for (const char *line = from; *line; line += strcspn(line, "\n") + 1) {
        size_t length = strcspn(line, "\n");
        if (!has_line(in, line, length))
            fprintf(out, "%c%.*s\n", sign, (int)length, line);
    }
}

void records_assert_change(struct records_fixture *f, const char *expected)
{
    char *after = records_dump(f), *difference;
    size_t size;
    FILE *out = open_memstream(&difference, &size);
    print_missing(out, '-', f->before, after);
    print_missing(out, '+', after, f->before);
    fclose(out);
    free(f->before);
    f->before = after;
    assert_string_equal(difference, expected);
    free(difference);
}

// ---- the seed: a task in every status, history, failures, groups

static const struct model_counters some_counters = {10, 6, 2, 1, 1, 4, 3, 0, 0, true};

struct records_new_task records_seed_task(const char *name, const char *key, int64_t now_ms)
{
    return (struct records_new_task){
        .name = name,
        .description = "what it is",
        .type = "checksum",
        .creator = "ada",
        .group = "batch",
        .creator_uid = 1000,
        .priority = 6000,
        .idempotency_key = key,
        .created_ms = now_ms,
        .deadline_ms = now_ms + 5000,
        .param = {"\1\2\0\3", 4},
    };
}

void records_seed_change(struct records_fixture *f, uint64_t task, enum model_event event, int64_t now_ms,
                         const char *message)
{
    struct records_change c = {.task = task, .event = event, .now_ms = now_ms, .message = message};
    if (event >= MODEL_FINISH_COMPLETED)
        c.counters = &some_counters;
    OK(f->r->ops->change(f->r, &c, 1, &records_status));
    assert_int_equal(c.code, NRPC_OK);
}

void records_seed(struct records_fixture *f)
{
    struct records_new_task tasks[] = {
        records_seed_task("one", "key-1", 100), records_seed_task("two", NULL, 200),
        records_seed_task("three", "", 300),    records_seed_task("four", NULL, 400),
        records_seed_task("five", NULL, 500),   records_seed_task("six", "key-6", 600),
    };
    OK(f->r->ops->create(f->r, tasks, LENGTH(tasks), &records_status));
    struct records_failure failures[] = {
        {3, 9, 2, MODEL_FAILURE, 17, "no such file", {"out", 3}, {"\0\xff", 2}, 1234},
        {4, 1, 1, MODEL_LOST, 0, NULL, {NULL, 0}, {"", 0}, 0},
    };
    OK(f->r->ops->put_failures(f->r, failures, LENGTH(failures), false, &records_status));
    records_seed_change(f, 2, MODEL_PAUSE, 1000, "lunch");
    records_seed_change(f, 3, MODEL_FINISH_COMPLETED, 1100, NULL);
    records_seed_change(f, 4, MODEL_FINISH_FAILED, 1200, "too many failures");
    records_seed_change(f, 5, MODEL_FINISH_CANCELLED, 1300, "by ada");
    records_seed_change(f, 6, MODEL_FINISH_TIMED_OUT, 1400, NULL);
    OK(f->r->ops->set_group(f->r, "default", 100, &records_status));
    OK(f->r->ops->set_group(f->r, "batch", 50, &records_status));
    free(f->before);
    f->before = records_dump(f);
}
