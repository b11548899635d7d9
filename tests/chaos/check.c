// SPDX-License-Identifier: Apache-2.0
// check.c: what must hold of each task after a round, and of their history.
#include "chaos/check.h"

#include "base/clock.h"
#include "base/mem.h"
#include "chaos/runs.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// HELD_MAX: runs of subtasks that were settled long ago; a node that was stopped or cut off still has them,
// and does not know yet that they were given to another: as many as all nodes may hold.
enum { HELD_MAX = 500, TOLD_MS = 1000 };

void check_say(struct check *c, const char *format, ...)
{
    va_list args;
    size_t n = strlen(c->trouble);
    va_start(args, format);
    vsnprintf(c->trouble + n, sizeof c->trouble - n, format, args);
    va_end(args);
    n = strlen(c->trouble);
    if (n < sizeof c->trouble - 1)
        strcpy(c->trouble + n, "\n");
}

// ---- what a task of this shape comes to

struct expected {
    uint64_t generated, succeeded, failed, timed_out;
};

static bool is_every(uint64_t index, uint32_t every)
{
    return every && index % every == 0;
}

static bool hangs(const struct job *j, uint64_t index)
{
    return index <= ERRAND_FOLLOWUP && is_every(index, j->param.shape.hang_every);
}

static bool fails(const struct job *j, uint64_t index)
{
    return index <= ERRAND_FOLLOWUP && !hangs(j, index) && is_every(index, j->param.shape.fail_every);
}

// Its index, or that of the subtask that it follows.
static uint64_t origin(uint64_t index)
{
    return index > ERRAND_FOLLOWUP ? index - ERRAND_FOLLOWUP : index;
}

static bool is_expected(const struct job *j, uint64_t index)
{
    uint64_t i = origin(index);
    if (!i || i > j->param.count)
        return false;
    return i == index || (is_every(i, j->param.shape.followup_every) && !hangs(j, i) && !fails(j, i));
}

static struct expected expect(const struct job *j)
{
    struct expected e = {0};
    for (uint64_t i = 1; i <= j->param.count; i++) {
        e.generated += 1 + is_expected(j, i + ERRAND_FOLLOWUP);
        e.failed += fails(j, i);
        e.timed_out += hangs(j, i);
    }
    e.succeeded = e.generated - e.failed - e.timed_out;
    return e;
}

// ---- how it ended

static int outcome(const struct job *j)
{
    if (j->cancel_acknowledged)
        return DTF_TASK_CANCELLED;
    return j->kind->outcome ? j->kind->outcome : DTF_TASK_COMPLETED;
}

static void check_counts(struct check *c, const struct job *j, const struct dtf_task_info *t)
{
    struct expected e = expect(j);
    uint64_t settled = t->succeeded + t->failed + t->timed_out + t->cancelled;
    if (t->status != outcome(j))
        check_say(c, "\"%s\" is %s (%s), to be %s", j->kind->name, dtf_task_status_name(t->status),
                  t->message, dtf_task_status_name(outcome(j)));
    bool exact =
        t->status != DTF_TASK_COMPLETED || (t->generated == e.generated && t->succeeded == e.succeeded &&
                                            t->failed == e.failed && t->timed_out == e.timed_out);
    if (settled != t->generated || t->generated > e.generated || !exact)
        check_say(c,
                  "\"%s\": generated %llu = succeeded %llu + failed %llu + timed out %llu + cancelled %llu; "
                  "to be %llu = %llu + %llu + %llu + 0",
                  j->kind->name, (unsigned long long)t->generated, (unsigned long long)t->succeeded,
                  (unsigned long long)t->failed, (unsigned long long)t->timed_out,
                  (unsigned long long)t->cancelled, (unsigned long long)e.generated,
                  (unsigned long long)e.succeeded, (unsigned long long)e.failed,
                  (unsigned long long)e.timed_out);
}

// ---- the list of failures

struct failures {
    struct check *check;
    const struct job *job;
    uint8_t *seen; // by index
    uint64_t count;
};

static void take_failure(void *user, const struct dtf_task_result *r)
{
    struct failures *f = user;
    struct errand_subtask s = {0};
    if (r->param_bytes >= sizeof s)
        memcpy(&s, r->param, sizeof s);
    f->count++;
    if (!s.index || s.index > f->job->param.count || (!fails(f->job, s.index) && !hangs(f->job, s.index)))
        check_say(f->check, "\"%s\": listed as failed: subtask %llu of index %llu, %zu bytes, %s",
                  f->job->kind->name, (unsigned long long)r->subtask_id, (unsigned long long)s.index,
                  r->param_bytes, r->result.message);
    else if (f->seen[s.index]++)
        check_say(f->check, "\"%s\": the failure of %llu is listed twice", f->job->kind->name,
                  (unsigned long long)s.index);
}

static void check_failures(struct check *c, struct dtf_client *client, const struct job *j,
                           const struct dtf_task_info *t)
{
    struct failures f = {c, j, mem_calloc(j->param.count + 1, 1), 0};
    uint64_t cursor = 0;
    struct nrpc_status st = {0};
    for (bool end = false; !end;)
        if (dtf_task_results(client, j->task, &cursor, 0, true, take_failure, &f, &end, &st)) {
            check_say(c, "\"%s\": failures: %s", j->kind->name, st.text);
            break;
        }
    if (f.count != t->failed + t->timed_out)
        check_say(c, "\"%s\": %llu failures are listed, %llu were counted", j->kind->name,
                  (unsigned long long)f.count, (unsigned long long)(t->failed + t->timed_out));
    free(f.seen);
}

// ---- what ran

// In a round that loses no state each dispatch is counted. In others, runs since the point that was recorded
// are repeated: those that had begun by then, of what is beyond that point; the new count knows nothing of
// them. All that is at or before the point is settled and never runs again.
static void check_repeats(struct check *c, const struct job *j, const struct dtf_task_info *t,
                          const struct errand_run *runs, size_t count)
{
    uint64_t bound = t->generated + t->retried + t->redispatched;
    bool loses = false;
    for (size_t k = 0; k < c->faults->count; k++) {
        const struct fault *f = &c->faults->list[k];
        uint64_t made = 0, late = 0;
        if (!fault_loses_state(f))
            continue;
        loses = true;
        for (size_t i = 0; i < c->before[k].count; i++)
            if (c->before[k].points[i].task == j->task)
                made = c->before[k].points[i].made;
        for (size_t i = 0; i < count; i++)
            late += runs[i].start_us > f->healed_us && origin(runs[i].index) <= made;
        if (late > HELD_MAX)
            check_say(c, "\"%s\": %llu runs of what was recorded as settled (up to %llu) before fault %zu",
                      j->kind->name, (unsigned long long)late, (unsigned long long)made, k + 1);
    }
    if (!loses && count > bound)
        check_say(c, "\"%s\": %zu runs of %llu subtasks; %llu were retried, %llu redispatched", j->kind->name,
                  count, (unsigned long long)t->generated, (unsigned long long)t->retried,
                  (unsigned long long)t->redispatched);
}

static int64_t last_healed_us(const struct check *c)
{
    int64_t us = c->healed_us;
    for (size_t i = 0; i < c->faults->count; i++)
        us = c->faults->list[i].healed_us > us ? c->faults->list[i].healed_us : us;
    return us;
}

// After the cancel was acknowledged nothing begins: a moment later, or once everybody can be told.
static void check_cancelled(struct check *c, const struct job *j, const struct errand_run *runs, size_t count)
{
    int64_t told_us = last_healed_us(c) > j->cancelled_us ? last_healed_us(c) : j->cancelled_us;
    size_t late = 0, mixed_up = 0;
    for (size_t i = 0; i < count; i++) {
        late += j->cancel_acknowledged && runs[i].start_us > told_us + TOLD_MS * 1000ll;
        mixed_up += runs[i].code == ERRAND_WRONG;
    }
    if (late)
        check_say(c, "\"%s\": %zu subtasks began after the cancel", j->kind->name, late);
    if (mixed_up)
        check_say(c, "\"%s\": %zu times one subtask's was taken for another's", j->kind->name, mixed_up);
}

// Results that wait to be read are in Redis alone: those of a task that has ended are not made again, and its
// reader is told so. What had not ended when Redis lost them, or when it went back, is run again.
static bool had_ended(const struct check *c, const struct dtf_task_info *t)
{
    bool ended = false;
    for (size_t i = 0; i < c->faults->count; i++) {
        const struct fault *f = &c->faults->list[i];
        int64_t lost_us = fault_brings_back(f) ? f->healed_us : f->begun_us;
        int64_t lost_ms = clock_now_ms() - (clock_mono_us() - lost_us) / 1000;
        ended = ended || (fault_loses_state(f) && t->finished_ms <= lost_ms);
    }
    return ended;
}

static void check_seen(struct check *c, const struct job *j, const struct dtf_task_info *t, bool loses)
{
    uint64_t missing = 0, repeated = 0;
    for (uint64_t i = 1; j->seen && i <= j->param.count; i++) {
        missing += !j->seen[i];
        repeated += j->seen[i] > 1;
    }
    bool may_miss = j->results_lost && had_ended(c, t);
    if (((missing || j->results_lost) && !may_miss) || (repeated && !loses))
        check_say(c, "\"%s\": %llu results were never read, %llu more than once", j->kind->name,
                  (unsigned long long)missing, (unsigned long long)repeated);
}

// The callback at the end of a task returns at least once.
static void check_completed(struct check *c, const struct job *j, size_t completed)
{
    if (!completed && !strcmp(j->kind->type, "errand_closing"))
        check_say(c, "\"%s\": its after_task_completed has never returned", j->kind->name);
}

static void check_runs(struct check *c, const struct job *j, const struct dtf_task_info *t,
                       const struct runs *all)
{
    size_t count, unexpected = 0, misnumbered = 0;
    uint64_t missing = 0;
    const struct errand_run *runs = runs_of(all, j->task, &count);
    size_t subtasks = count;
    while (subtasks && runs[subtasks - 1].index == ERRAND_COMPLETED)
        subtasks--;
    check_completed(c, j, count - subtasks);
    count = subtasks;
    uint8_t *ran = mem_calloc(2 * (j->param.count + 1), 1);
    for (size_t i = 0; i < count; i++) {
        const struct errand_run *r = &runs[i];
        if (!is_expected(j, r->index)) {
            unexpected++;
            continue;
        }
        ran[2 * origin(r->index) + (r->index > ERRAND_FOLLOWUP)] = 1;
        misnumbered += !j->param.shape.followup_every && r->seq != r->index;
    }
    // One that hangs is counted when its time is up, and writes down later that it ran.
    for (uint64_t i = 1; i <= j->param.count && t->status == DTF_TASK_COMPLETED; i++)
        missing += (!ran[2 * i] && !hangs(j, i)) || (!ran[2 * i + 1] && is_expected(j, i + ERRAND_FOLLOWUP));
    if (unexpected || misnumbered || missing)
        check_say(c, "\"%s\": %llu subtasks never ran, %zu runs were of none, %zu under a wrong number",
                  j->kind->name, (unsigned long long)missing, unexpected, misnumbered);
    check_repeats(c, j, t, runs, count);
    check_cancelled(c, j, runs, count);
    c->runs += count;
    c->subtasks += t->generated - t->cancelled;
    free(ran);
}

// ---- a job

static void check_job(struct check *c, struct dtf_client *client, struct job *j, const struct runs *runs)
{
    struct dtf_task_info t;
    struct nrpc_status st;
    bool loses = c->may_repeat_results;
    for (size_t i = 0; i < c->faults->count; i++)
        loses = loses || fault_loses_state(&c->faults->list[i]);
    if (*j->trouble)
        check_say(c, "\"%s\": %s", j->kind->name, j->trouble);
    if (!j->task)
        return;
    if (dtf_task_status(client, j->task, &t, &st)) {
        check_say(c, "\"%s\": %s", j->kind->name, st.text);
        return;
    }
    if (t.status < DTF_TASK_CANCELLED) {
        check_say(c, "\"%s\" (task %llu) is still %s: %llu generated%s, %llu running, %llu queued",
                  j->kind->name, (unsigned long long)j->task, dtf_task_status_name(t.status),
                  (unsigned long long)t.generated, t.generation_done ? "" : " so far",
                  (unsigned long long)t.running, (unsigned long long)t.queued);
        return;
    }
    check_counts(c, j, &t);
    check_failures(c, client, j, &t);
    check_runs(c, j, &t, runs);
    check_seen(c, j, &t, loses);
}

void check_jobs(struct check *c, struct dtf_client *client, const char *runs_folder)
{
    struct runs runs;
    runs_read(&runs, runs_folder);
    for (size_t i = 0; i < c->work->count; i++)
        check_job(c, client, &c->work->jobs[i], &runs);
    runs_fini(&runs);
}

// ---- history

static bool may_follow(int before, int after)
{
    if (!before || before >= DTF_TASK_CANCELLED)
        return !before && after == DTF_TASK_RUNNING;
    return after != before && after >= DTF_TASK_RUNNING;
}

void check_event(struct check *c, struct check_history *h, uint64_t sequence, uint64_t task, int status)
{
    const struct work *w = c->work;
    size_t i = 0;
    if (sequence != h->sequence + 1)
        check_say(c, "event %llu comes after %llu", (unsigned long long)sequence,
                  (unsigned long long)h->sequence);
    h->sequence = sequence;
    while (i < w->count && w->jobs[i].task != task)
        i++;
    if (!may_follow(h->status[i], status))
        check_say(c, "task %llu (\"%s\") became %s after %s", (unsigned long long)task,
                  i < w->count ? w->jobs[i].kind->name : "?", dtf_task_status_name(status),
                  dtf_task_status_name(h->status[i]));
    h->status[i] = status;
}

void check_last_events(struct check *c, const struct check_history *h)
{
    for (size_t i = 0; i < c->work->count; i++)
        if (h->status[i] < DTF_TASK_CANCELLED)
            check_say(c, "the last event of \"%s\" is %s", c->work->jobs[i].kind->name,
                      dtf_task_status_name(h->status[i]));
}
