// SPDX-License-Identifier: Apache-2.0
// quarantine.c: tells lib/sched/suspect what nodes are given and bring, and gives nodes no more than that
// says. Results come by here with the calls that brought them, when they are settled.
#include "scheduler_internal.h"

#include "base/clock.h"

#include <stdio.h>

static bool is_later(const struct exchange *x, uint64_t task)
{
    for (size_t i = 0; i < x->later_count; i++)
        if (x->later[i] == task)
            return true;
    return false;
}

struct ends {
    uint32_t succeeded, failed;
};

static void count_results(struct suspect *s, const struct node *n, const Dtf__V1__TaskResults *t,
                          struct ends *all, int64_t now_ms)
{
    uint32_t succeeded = 0, failed = 0;
    for (size_t i = 0; i < t->n_results; i++) {
        Dtf__V1__ResultKind kind = t->results[i]->kind;
        succeeded += kind == DTF__V1__RESULT_KIND__RESULT_SUCCESS;
        failed +=
            kind == DTF__V1__RESULT_KIND__RESULT_FAILURE || kind == DTF__V1__RESULT_KIND__RESULT_TIMEOUT;
    }
    suspect_results(s, n->id, t->task_id, (uint32_t)t->n_results, succeeded, failed, now_ms);
    all->succeeded += succeeded;
    all->failed += failed;
}

void quarantine_heard(struct scheduler *s, struct node *n, const struct exchange *x, int64_t now_ms)
{
    const Dtf__V1__ExchangeRequest *r = x->request;
    struct ends ends = {0};
    if (!s->suspect)
        return;
    for (size_t i = 0; i < r->n_results; i++)
        if (r->results[i]->n_results && !is_later(x, r->results[i]->task_id)) // else it brings them again
            count_results(s->suspect, n, r->results[i], &ends, now_ms);
    if (ends.succeeded || ends.failed)
        n->fails = ends.failed > ends.succeeded;
    for (size_t i = 0; i < r->n_returned; i++)
        suspect_returned(s->suspect, n->id, r->returned[i]->task_id, 1, now_ms);
    bool is_idle = r->wait_ms > (uint64_t)scheduler_poll_ms(s); // so long waits only who holds nothing
    if (is_idle || (r->resync && !r->n_holding))
        suspect_idle(s->suspect, n->id, now_ms);
}

void quarantine_gave(struct scheduler *s, struct node *n, const struct state_work *work, size_t count)
{
    if (!s->suspect || !count)
        return;
    int64_t now_ms = s->env->now_ms();
    for (size_t i = 0, len; i < count; i += len) {
        for (len = 1; i + len < count && work[i + len].task == work[i].task; len++)
            ;
        suspect_gave(s->suspect, n->id, work[i].task, (uint32_t)len, now_ms);
    }
    if (n->most != NODE_ANY)
        node_set_most(&s->nodes, n, 0);
}

void quarantine_returned(struct scheduler *s, uint64_t node, uint64_t task, size_t count)
{
    if (s->suspect && count)
        suspect_returned(s->suspect, node, task, (uint32_t)count, s->env->now_ms());
}

static void set_apart(struct scheduler *s, struct node *n, const struct suspect_news *news)
{
    char why[STATE_NOTE_MAX + 1];
    n->note.is_watched = news->grade == SUSPECT_WATCHING;
    n->note.said_apart = false;
    snprintf(why, sizeof why, "failed %llu of %llu where others failed %llu of %llu%s",
             (unsigned long long)news->own.failed, (unsigned long long)news->own.of,
             (unsigned long long)news->others.failed, (unsigned long long)news->others.of,
             n->note.is_watched ? " so far, at least until more of these have ended" : "");
    sick_set_apart(s, n, why);
}

static void take_news(struct scheduler *s, const struct suspect_news *news)
{
    struct node *n = node_table_find(&s->nodes, news->node);
    if (!n)
        return;
    if (news->grade == SUSPECT_WELL)
        node_set_most(&s->nodes, n, NODE_ANY);
    else if (news->may_probe)
        node_set_most(&s->nodes, n, 1);
    else if (n->most == NODE_ANY)
        node_set_most(&s->nodes, n, 0);
    bool is_new = !n->note.quarantine || n->note.is_watched != (news->grade == SUSPECT_WATCHING);
    if (news->grade != SUSPECT_WELL && is_new)
        set_apart(s, n, news);
    else if (news->grade == SUSPECT_WELL && n->note.quarantine)
        sick_set_apart(s, n, NULL);
}

int64_t quarantine_tick(struct scheduler *s, int64_t now_ms)
{
    struct suspect_news news;
    int64_t next_ms = CLOCK_NEVER;
    while (s->suspect && suspect_news(s->suspect, HASH_COUNT(s->nodes.all), now_ms, &news, &next_ms))
        take_news(s, &news);
    return next_ms;
}
