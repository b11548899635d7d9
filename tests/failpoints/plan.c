// SPDX-License-Identifier: Apache-2.0
// plan.c: what never happens, and what needs something special to happen; two tables.
#include "failpoints/plan.h"

#include "chaos/work.h"
#include "operation_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LATER_CALL = 4 };
_Static_assert((int)OPERATIONS <= (int)PLAN_OPERATIONS_MAX, "there is room for all");

// An operation that a kind of installation never calls, and why. It fails the test if it is called.
static const struct {
    const char *operation;
    bool embedded, cluster;
    const char *reason;
} exempt[] = {
    {"state.points", .embedded = true, .reason = "a state that loses nothing makes no points"},
    {"state.points_recorded", .embedded = true, .reason = "likewise"},
    {"records.save_resumes", .embedded = true, .reason = "likewise"},
    {"records.resumes", .embedded = true, .reason = "likewise"},
    {"state.verify", .embedded = true, .reason = "it is never older than the records: one file"},
    {"records.briefs", .embedded = true, .reason = "likewise"},
    {"state.marks", .embedded = true, .reason = "likewise"},
    {"records.put_fed", .embedded = true, .reason = "what is fed is in the state for good"},
    {"records.fed", .embedded = true, .reason = "likewise"},
    {"records.ask_stop", .embedded = true, .reason = "`stop` is for good"},
    {"records.drop_failures", .embedded = true,
     .reason = "a task is not admitted again but from its beginning"},
    {"records.clock", .embedded = true, .reason = "one clock for all"},
    {"records.installation", .embedded = true, .reason = "one file cannot be mistaken for another's"},
    {"records.next_ids", .embedded = true, .reason = "the state numbers nodes itself"},
    {"state.identity", .embedded = true, .reason = "one file is the records and the state"},
    {"state.bar", .embedded = true, .reason = "likewise"},
    {"state.begin_anew", .embedded = true, .reason = "likewise"},
    {"records.tenure", .embedded = true, .reason = "likewise"},
};

// Each node has more results of it to hand in, again and again, while the first is under review.
static const struct job_kind reviewed_slowly = {.name = "reviewed slowly",
                                                .type = "errand_more",
                                                .least = 40,
                                                .most = 40,
                                                .shape = {.run_us = 2000, .review_ms = 8000}};
// Longer than nobody leads after the end of a leader: who leads records points, and repairs.
static const struct job_kind generated_long = {.name = "generated for long",
                                               .type = "errand",
                                               .least = 60,
                                               .most = 60,
                                               .shape = {.run_us = 2000},
                                               .last_ms = 5500};
static const struct job_kind fed_slowly = {.name = "fed slowly",
                                           .type = "errand",
                                           .least = 200,
                                           .most = 200,
                                           .shape = {.run_us = 500},
                                           .fed = true,
                                           .act = job_feed,
                                           .act_ms = 4500};
static const struct job_kind crashing = {
    .name = "crashing", .type = "errand_crashing", .least = 1, .most = 1, .outcome = DTF_TASK_FAILED};

const struct special plan_specials[SPECIALS] = {
    {"state.extend", .job = &reviewed_slowly},
    {"state.blame", .job = &crashing, .crashes = true},
    {"records.import", .moves_records = true},
    {"state.points_recorded", .job = &generated_long, .cluster_only = true},
    {"records.save_resumes", .job = &generated_long, .cluster_only = true},
    {"records.drop_failures", .died_before = "state.admit", .cluster_only = true},
    {"records.resumes", .died_before = "state.admit", .cluster_only = true},
    {"records.fed", .died_after = "state.feed", .job = &fed_slowly, .cluster_only = true},
    {"records.next_ids", .empties_redis = true, .cluster_only = true},
    {"state.begin_anew", .empties_redis = true, .cluster_only = true},
    {"records.briefs", .restarts_redis = true, .cluster_only = true},
    {"state.verify", .restarts_redis = true, .cluster_only = true},
};

int plan_operation(const char *name)
{
    for (int i = 0; i < OPERATIONS; i++)
        if (!strcmp(operation_names[i], name))
            return i;
    fprintf(stderr, "there is no operation %s\n", name);
    exit(1);
}

const char *plan_name(int operation)
{
    return operation < 0 ? "nothing" : operation_names[operation];
}

static int special_of(int operation)
{
    for (int i = 0; i < SPECIALS; i++)
        if (!strcmp(plan_specials[i].operation, operation_names[operation]))
            return i;
    return -1;
}

static bool is_exempt(int operation, bool cluster)
{
    for (size_t i = 0; i < sizeof exempt / sizeof *exempt; i++)
        if (!strcmp(exempt[i].operation, operation_names[operation]))
            return cluster ? exempt[i].cluster : exempt[i].embedded;
    return false;
}

void plan_counting(struct plan *p, bool cluster)
{
    for (int i = -2; i < SPECIALS; i++)
        if (i < 0 || cluster || !plan_specials[i].cluster_only)
            p->runs[p->count++] = (struct plan_run){.operation = -1, .special = i < 0 ? -1 : i};
}

void plan_count(struct plan *p, const struct plan_run *run, const uint32_t *calls)
{
    for (int i = 0; i < OPERATIONS; i++) {
        uint32_t known = p->calls[i];
        if (calls[i] && run->special == special_of(i) && (!known || calls[i] < known))
            p->calls[i] = calls[i];
    }
}

static void add(struct plan *p, int operation, bool is_after, uint32_t call)
{
    if (p->count < RUNS_MAX)
        p->runs[p->count++] = (struct plan_run){operation, is_after, call, special_of(operation)};
}

static void add_calls(struct plan *p, int operation, bool is_after, uint32_t later, bool all)
{
    bool is_late = (p->seed + (unsigned)operation + is_after) % 2;
    for (uint32_t call = 1; all && call <= later; call++)
        add(p, operation, is_after, call);
    if (!all)
        add(p, operation, is_after, is_late ? later : 1);
}

unsigned plan_dying(struct plan *p, bool cluster, bool all)
{
    unsigned wrong = 0;
    p->count = 0;
    for (int i = 0; i < OPERATIONS; i++) {
        uint32_t calls = p->calls[i], later = calls < LATER_CALL ? calls : LATER_CALL;
        if (!calls == !is_exempt(i, cluster)) {
            printf("%s: %s\n", operation_names[i],
                   calls ? "was called, though it is exempt" : "was never called");
            wrong++;
        }
        for (int is_after = 0; calls && is_after < 2; is_after++)
            add_calls(p, i, is_after, later, all);
    }
    return wrong;
}
