// SPDX-License-Identifier: Apache-2.0
// round.c: the tasks of a run, and what happens while they are under way.
#include "failpoints/round.h"

#include "base/clock.h"
#include "chaos/check.h"
#include "chaos/work.h"
#include "dtf.h"
#include "dtf/v1/task_service.nrpc.h"
#include "failpoints/visits.h"
#include "operation_names.h"
#include "system/daemon.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum {
    LOOK_MS = 5,
    NODE_STOPS_MS = 150,
    NODE_GOES_ON_MS = NODE_STOPS_MS + 2 * PLACE_LEASE_MS,
    REDIS_RESTARTS_MS = 200,
    OVERTIME_MS = 4000, // for what happens by time, when the tasks have ended
    EMPTY_MS = 20000,
    TASKS_MAX = 40,
    EVENTS_PAGE = 1000,
};

static const struct job_kind kinds[] = {
    {.name = "generated", // as long as its claim must be renewed
     .type = "errand",
     .least = 60,
     .most = 60,
     .shape = {.run_us = 2000},
     .last_ms = 1600},
    {.name = "fed",
     .type = "errand",
     .least = 210,
     .most = 210,
     .shape = {.run_us = 500},
     .fed = true,
     .act = job_feed},
    {.name = "with follow-ups",
     .type = "errand_more",
     .least = 40,
     .most = 40,
     .shape = {.run_us = 1000, .followup_every = 3, .fail_every = 10, .flaky_every = 7},
     .max_retries = 1,
     .tolerated = -1},
    {.name = "with failures",
     .type = "errand",
     .least = 40,
     .most = 40,
     .shape = {.run_us = 1000, .fail_every = 11, .hang_every = 19, .flaky_every = 7},
     .max_retries = 2,
     .tolerated = 20},
    {.name = "over its budget",
     .type = "errand",
     .least = 30,
     .most = 30,
     .shape = {.run_us = 1000, .fail_every = 5},
     .tolerated = 2,
     .outcome = DTF_TASK_FAILED},
    {.name = "with results",
     .type = "errand",
     .least = 40,
     .most = 40,
     .shape = {.run_us = 2000},
     .keep_results = true,
     .act = job_read_results},
    {.name = "cancelled",
     .type = "errand",
     .least = 2000,
     .most = 2000,
     .shape = {.run_us = 20000},
     .max_running = 2,
     .act = job_cancel,
     .act_ms = 300,
     .last_ms = 60000}, // it is cancelled while it is generated
    {.name = "paused",
     .type = "errand",
     .least = 60,
     .most = 60,
     .shape = {.run_us = 4000},
     .max_running = 3,
     .act = job_pause_and_resume,
     .act_ms = 100},
    {.name = "closing",
     .type = "errand_closing",
     .least = 20,
     .most = 20,
     .shape = {.run_us = 1000, .decline_every = 2},
     .max_running = 2},
    {.name = "closing slowly",
     .type = "errand_closing",
     .least = 4,
     .most = 4,
     .shape = {.run_us = 1000, .close_ms = 1300}},
    {.name = "created twice", .type = "errand_plain", .least = 20, .most = 20, .act = job_create_twice},
    {.name = "too slow",
     .type = "errand",
     .least = 5000,
     .most = 5000,
     .shape = {.run_us = 20000},
     .max_running = 1,
     .timeout_ms = 900,
     .outcome = DTF_TASK_TIMED_OUT},
    {.name = "lost with a node", .type = "errand", .least = 14, .most = 14, .shape = {.run_us = 200000}},
};
enum { KINDS = sizeof kinds / sizeof *kinds };
_Static_assert((int)KINDS < (int)JOBS_MAX, "there is room for a special one");

struct round {
    struct rounds *all;
    const struct plan_run *run;
    const struct special *special; // NULL: none
    struct job_kind kinds[KINDS + 1];
    struct work work;
    struct visits visits;
    struct check check;
    struct faults none;
    int64_t start_us, ready_us, ended_us; // ready_us: the first time that a coordinator was; 0: not yet
    bool is_prepared, is_hit, has_stopped_node, has_resumed_node, has_restarted_redis, has_moved_records;
    uint32_t calls[OPERATIONS]; // of a process, the most
};

// ---- the coordinator's lives

static void note_calls(struct round *r)
{
    const struct failpoint *p = r->all->place.point;
    for (int i = 0; i < OPERATIONS; i++)
        r->calls[i] = p->calls[i] > r->calls[i] ? p->calls[i] : r->calls[i];
}

static void start_for_the_point(struct round *r)
{
    r->is_prepared = true;
    place_start(&r->all->place, r->run->operation, r->run->is_after, r->run->call);
}

static void start_first(struct round *r)
{
    const struct special *s = r->special;
    const char *before = s && s->died_before ? s->died_before : s ? s->died_after : NULL;
    if (before)
        place_start(&r->all->place, plan_operation(before), !s->died_before, 1);
    else
        start_for_the_point(r);
}

// Another takes the place of one that died.
static void replace(struct round *r)
{
    struct place *p = &r->all->place;
    bool was_hit = atomic_load(&p->point->is_hit);
    if (!was_hit && !(r->special && r->special->crashes))
        check_say(&r->check, "the coordinator ended by itself");
    note_calls(r);
    if (!r->is_prepared || (!was_hit && !r->is_hit)) {
        start_for_the_point(r);
        return;
    }
    r->is_hit |= was_hit;
    place_start(p, -1, false, 0);
}

static void look_after_coordinator(struct round *r)
{
    if (place_has_died(&r->all->place)) {
        replace(r);
        r->check.healed_us = 0;
    } else if (!r->check.healed_us && place_is_ready(&r->all->place)) {
        r->check.healed_us = clock_mono_us();
        r->ready_us = r->ready_us ? r->ready_us : r->check.healed_us;
    }
}

// ---- what else happens

static void run_dtf(struct round *r, const char *arguments)
{
    char command[2048], dtf[400];
    daemon_path(dtf, sizeof dtf, "dtf");
    snprintf(command, sizeof command, "exec 2>>%s/dtf.log; exec %s --server %s --patience 0 %s",
             r->all->place.folder, dtf, r->all->place.url, arguments);
    // Of our own making; that it fails when the coordinator dies is part of the test.
    (void)!system(command); // NOLINT(cert-env33-c)
}

static void move_records(struct round *r)
{
    char arguments[400];
    snprintf(arguments, sizeof arguments, "export >%s/records", r->all->place.folder);
    run_dtf(r, arguments);
    snprintf(arguments, sizeof arguments, "import <%s/records", r->all->place.folder);
    run_dtf(r, arguments);
}

static bool some_have_ended(const struct round *r)
{
    bool some = false;
    for (size_t i = 0; i < r->work.count; i++)
        some = some || atomic_load(&r->work.jobs[i].is_done);
    return some;
}

// After the work could begin.
static bool is_due(const struct round *r, bool *done, int64_t ms)
{
    if (*done || !r->ready_us || clock_mono_us() < r->ready_us + ms * 1000)
        return false;
    return *done = true;
}

static void do_what_is_due(struct round *r)
{
    struct place *p = &r->all->place;
    if (is_due(r, &r->has_stopped_node, NODE_STOPS_MS))
        program_signal(&p->nodes[1], SIGSTOP);
    if (is_due(r, &r->has_resumed_node, NODE_GOES_ON_MS))
        program_signal(&p->nodes[1], SIGCONT);
    if (r->special && r->special->restarts_redis && is_due(r, &r->has_restarted_redis, REDIS_RESTARTS_MS)) {
        server_kill(p->redis);
        server_start(p->redis);
    }
    if (r->special && r->special->moves_records && some_have_ended(r) && is_due(r, &r->has_moved_records, 0))
        move_records(r);
}

// ---- from the beginning to the end

static void start_work(struct round *r)
{
    struct rounds *all = r->all;
    size_t count = KINDS;
    memcpy(r->kinds, kinds, sizeof kinds);
    if (r->special && r->special->job)
        r->kinds[count++] = *r->special->job;
    unsigned seed = all->seed * 1000 + all->done++;
    srandom(seed);
    work_start(&r->work, &(struct work_plan){r->kinds, count, all->place.url, seed, PLACE_PATIENCE_MS});
    visits_start(&r->visits, all->place.url, PLACE_PATIENCE_MS);
}

static bool is_over(const struct round *r)
{
    return work_is_done(&r->work) && atomic_load(&r->visits.is_done) && r->has_resumed_node;
}

static void pass(struct round *r)
{
    look_after_coordinator(r);
    do_what_is_due(r);
    (void)poll(NULL, 0, LOOK_MS);
}

static void do_work(struct round *r)
{
    if (r->special && r->special->empties_redis) {
        server_kill(r->all->place.redis);
        server_wipe(r->all->place.redis);
        server_start(r->all->place.redis);
    }
    r->start_us = clock_mono_us();
    start_first(r);
    start_work(r);
    while (!is_over(r))
        pass(r);
    work_join(&r->work);
    visits_join(&r->visits);
    int64_t until_us = clock_mono_us() + OVERTIME_MS * 1000ll;
    while (!r->is_hit && clock_mono_us() < until_us)
        pass(r);
    if (*r->visits.trouble)
        check_say(&r->check, "%s", r->visits.trouble);
}

// The end of a coordinator is a place to die at, too.
static void end_coordinator(struct round *r)
{
    bool in_order = place_end(&r->all->place);
    note_calls(r);
    if (!in_order && !atomic_load(&r->all->place.point->is_hit))
        check_say(&r->check, "the coordinator does not end when it is told to");
    r->is_hit |= atomic_load(&r->all->place.point->is_hit);
}

// ---- afterwards

static void check_tasks(struct round *r, struct dtf_client *client)
{
    static struct dtf_task_info tasks[TASKS_MAX];
    size_t count = TASKS_MAX, created = 0;
    struct nrpc_status st;
    if (dtf_task_list(client, 0, 0, tasks, &count, &st))
        check_say(&r->check, "list: %s", st.text);
    while (created < count && tasks[created].id > r->all->last_task)
        created++;
    if (created != r->work.count)
        check_say(&r->check, "%zu tasks were created, %zu are recorded", r->work.count, created);
    r->all->last_task = count ? tasks[0].id : 0;
}

static size_t read_events(struct round *r, struct nrpc_channel *channel, struct check_history *h)
{
    Dtf__V1__EventsRequest q = DTF__V1__EVENTS_REQUEST__INIT;
    Dtf__V1__EventsResponse *response = NULL;
    struct nrpc_status st;
    q.after = h->sequence;
    q.limit = EVENTS_PAGE;
    if (dtf_v1_task_service_events(channel, NULL, &q, &response, &st)) {
        check_say(&r->check, "events: %s", st.text);
        return 0;
    }
    size_t count = response->n_events;
    for (size_t i = 0; i < count; i++)
        check_event(&r->check, h, response->events[i]->sequence, response->events[i]->task_id,
                    (int)response->events[i]->status);
    dtf__v1__events_response__free_unpacked(response, NULL);
    return count;
}

static void check_events(struct round *r)
{
    struct check_history h = {.sequence = r->all->last_event};
    struct nrpc_channel *channel;
    struct nrpc_status st;
    if (nrpc_channel_open(r->all->place.url, NULL, &channel, &st)) {
        check_say(&r->check, "%s: %s", r->all->place.url, st.text);
        return;
    }
    while (read_events(r, channel, &h))
        continue;
    check_last_events(&r->check, &h);
    r->all->last_event = h.sequence;
    nrpc_channel_close(channel);
}

// The end of a task is recorded first, then the state forgets it.
static void check_leftovers(struct round *r)
{
    char left[2000];
    int64_t until_us = clock_mono_us() + EMPTY_MS * 1000ll;
    for (;;) {
        place_leftovers(&r->all->place, left, sizeof left);
        if (!*left || clock_mono_us() > until_us)
            break;
        (void)poll(NULL, 0, LOOK_MS);
    }
    if (*left)
        check_say(&r->check, "left in the state: %.500s", left);
}

static void wait_until_ready(struct round *r)
{
    int64_t until_us = clock_mono_us() + PLACE_PATIENCE_MS * 1000ll;
    while (!r->check.healed_us && clock_mono_us() < until_us)
        pass(r);
    if (!r->check.healed_us)
        check_say(&r->check, "the coordinator does not get ready");
}

static void check_all_ended(struct round *r)
{
    struct dtf_client *client;
    struct nrpc_status st;
    if (r->run->operation < 0 || !r->is_hit) {
        end_coordinator(r);
        r->check.healed_us = 0;
        place_start(&r->all->place, -1, false, 0);
    }
    wait_until_ready(r);
    if (dtf_client_open(r->all->place.url, &client, &st)) {
        check_say(&r->check, "%s: %s", r->all->place.url, st.text);
        return;
    }
    check_jobs(&r->check, client, r->all->place.runs);
    check_tasks(r, client);
    check_events(r);
    check_leftovers(r);
    dtf_client_close(client);
    end_coordinator(r);
}

static void tell(const struct round *r)
{
    const struct plan_run *run = r->run;
    bool is_bad = *r->check.trouble;
    printf("%s %s, call %u: %s, %.1f s (\"%s\" was last)%s%s\n", run->is_after ? "after" : "before",
           plan_name(run->operation), run->call, is_bad ? "BAD" : "all is well",
           (double)(r->ended_us - r->start_us) / 1000000, work_last_to_end(&r->work),
           is_bad ? "; the logs are in " : "", is_bad ? r->all->place.folder : "");
    fputs(r->check.trouble, stdout);
    (void)fflush(stdout);
}

// *fewer: the point was not reached, and is to be looked for at this call, before it; 0: it was.
static bool run_once(struct rounds *all, const struct plan_run *run, struct plan *plan, uint32_t *fewer)
{
    static struct round r;
    r = (struct round){
        .all = all, .run = run, .special = run->special < 0 ? NULL : &plan_specials[run->special]};
    r.check = (struct check){.work = &r.work, .faults = &r.none};
    r.check.may_repeat_results = r.special && r.special->restarts_redis;
    *fewer = 0;
    do_work(&r);
    r.ended_us = clock_mono_us();
    check_all_ended(&r);
    if (run->operation < 0)
        plan_count(plan, run, r.calls);
    else if (!r.is_hit && run->call > 1)
        *fewer = r.calls[run->operation] < run->call ? r.calls[run->operation] : run->call - 1;
    else if (!r.is_hit)
        check_say(&r.check, "it was not reached");
    tell(&r);
    work_fini(&r.work);
    return !*r.check.trouble;
}

// How often an operation is called is not the same in each run.
bool round_run(struct rounds *all, const struct plan_run *run, struct plan *plan)
{
    struct plan_run now = *run;
    uint32_t fewer;
    bool is_well = run_once(all, &now, plan, &fewer);
    while (is_well && fewer) {
        printf("%s was called %u times only: again\n", plan_name(run->operation), fewer);
        now.call = fewer;
        is_well = run_once(all, &now, plan, &fewer);
    }
    return is_well;
}
