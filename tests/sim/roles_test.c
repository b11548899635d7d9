// SPDX-License-Identifier: Apache-2.0
// roles_test.c: all roles together in one thread under a fake clock: the life of tasks, and what happens when
// nodes and coordinators go away in the middle of it.
#include "sim/sim.h"

#include "base/log.h"
#include "dtf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// ---- the task type of this test: param "<count> <depth>"; each subtask of the tree has `count` children
// down to `depth`

enum { TASKS_MAX = 4096, SEQ_MAX = 5000 };

static struct { // what the plugin saw, by task
    uint16_t executed[SEQ_MAX + 1], collected[SEQ_MAX + 1];
    unsigned begun, ended, cancelled, completed;
} seen[64];
static unsigned declines; // before_dispatch says no so many times
static unsigned failures; // execute fails so many times
static unsigned dispatched;
static bool has_none_now; // the generators

struct gen {
    uint64_t task;
    unsigned made, total;
};

static int gen_begin(void *user, const struct dtf_task *task, const void *saved, size_t saved_bytes,
                     void **state, struct nrpc_status *st)
{
    (void)user;
    unsigned total = 0;
    if (task->param_bytes != sizeof total)
        return status_set(st, NRPC_INVALID_ARGUMENT, "no number");
    memcpy(&total, task->param, sizeof total);
    struct gen *g = calloc(1, sizeof *g);
    *g = (struct gen){task->id, 0, total};
    if (saved_bytes == sizeof g->made)
        memcpy(&g->made, saved, sizeof g->made);
    seen[task->id % 64].begun++;
    *state = g;
    return NRPC_OK;
}

static enum dtf_next gen_next(void *state, struct dtf_subtask_spec *out, struct nrpc_status *st)
{
    (void)st;
    struct gen *g = state;
    if (has_none_now)
        return DTF_NEXT_NONE_NOW;
    if (g->made == g->total)
        return DTF_NEXT_FINISHED;
    g->made++;
    *out = (struct dtf_subtask_spec){.param = &g->made, .param_bytes = sizeof g->made, .timeout_ms = 1000};
    return DTF_NEXT_SUBTASK;
}

static void gen_save(void *state, struct dtf_buffer *out)
{
    dtf_buffer_append(out, &((struct gen *)state)->made, sizeof(unsigned));
}

static void gen_cancel(void *state)
{
    seen[((struct gen *)state)->task % 64].cancelled++;
}

static void gen_end(void *state)
{
    seen[((struct gen *)state)->task % 64].ended++;
    free(state);
}

static int run(void *user, const struct dtf_subtask *s, struct dtf_execution *x, struct nrpc_status *st)
{
    (void)user;
    (void)x;
    if (s->id <= SEQ_MAX)
        seen[s->task_id % 64].executed[s->id]++;
    if (failures) {
        failures--;
        return status_set(st, NRPC_UNKNOWN, "failed on purpose");
    }
    return NRPC_OK;
}

// What happens to a task while before_dispatch thinks about its first subtask; once.
static void (*meanwhile)(uint64_t task);
static struct sim *meanwhile_in;

static bool may_go(void *user, const struct dtf_subtask *s)
{
    (void)user;
    void (*act)(uint64_t) = meanwhile;
    meanwhile = NULL;
    if (act)
        act(s->task_id);
    if (!declines)
        return true;
    declines--;
    return false;
}

static void went(void *user, const struct dtf_subtask *s)
{
    (void)user;
    (void)s;
    dispatched++;
}

static void collect(void *user, const struct dtf_subtask *s, const struct dtf_result *r,
                    struct dtf_followups *f, bool *finished)
{
    (void)user;
    (void)finished;
    if (s->id <= SEQ_MAX)
        seen[s->task_id % 64].collected[s->id]++;
    unsigned depth;
    memcpy(&depth, s->param, sizeof depth);
    if (r->kind != DTF_RESULT_SUCCESS || depth < 1000000)
        return;
    for (unsigned i = 0; depth > 1000000 && i < 3; i++) { // a tree: 1,000,003 has three levels below it
        unsigned child = depth - 1;
        assert_int_equal(dtf_followup_add(f, &(struct dtf_subtask_spec){&child, sizeof child, 1000}, NULL),
                         NRPC_OK);
    }
}

static int completed(void *user, const struct dtf_task *task, const struct dtf_task_summary *summary,
                     struct nrpc_status *st)
{
    (void)user;
    (void)summary;
    (void)st;
    seen[task->id % 64].completed++;
    return NRPC_OK;
}

static const struct dtf_generator generator = {
    .begin = gen_begin, .next = gen_next, .save_status = gen_save, .cancel = gen_cancel, .end = gen_end};
static const struct dtf_executor executor = {.execute = run};
static const struct dtf_scheduler_callback scheduler = {.before_dispatch = may_go, .after_dispatch = went};
static const struct dtf_collector_callback collector = {.after_execution = collect,
                                                        .after_task_completed = completed};
static const struct dtf_task_type plain = {.name = "plain", .generator = &generator, .executor = &executor};
static const struct dtf_task_type watched = {.name = "watched",
                                             .conf = {.iteration = DTF_ITERATION_COLLECTOR},
                                             .generator = &generator,
                                             .executor = &executor,
                                             .scheduler = &scheduler,
                                             .collector = &collector};

// ---- helpers

static int setup(void **state)
{
    static struct sim sim;
    memset(seen, 0, sizeof seen);
    declines = failures = dispatched = 0;
    has_none_now = false;
    sim_open(&sim, 2);
    *state = &sim;
    return 0;
}

static int teardown(void **state)
{
    sim_close(*state);
    return 0;
}

static uint64_t create(struct sim *s, const char *type, unsigned count, void (*with)(Dtf__V1__TaskParam *p))
{
    Dtf__V1__TaskParam p = DTF__V1__TASK_PARAM__INIT;
    p.type = (char *)type;
    p.type_param.data = (uint8_t *)&count;
    p.type_param.len = sizeof count;
    if (with)
        with(&p);
    return sim_create(s, &p);
}

static void stop_meanwhile(uint64_t task)
{
    struct state *state = meanwhile_in->state;
    assert_int_equal(state->ops->stop(state, task, MODEL_OUTCOME_CANCELLED, "meanwhile", NULL), NRPC_OK);
}

static void pause_meanwhile(uint64_t task)
{
    struct state *state = meanwhile_in->state;
    assert_int_equal(state->ops->pause(state, task, true, NULL), NRPC_OK);
}

static unsigned executed(uint64_t task)
{
    unsigned n = 0;
    for (size_t i = 0; i <= SEQ_MAX; i++)
        n += seen[task % 64].executed[i];
    return n;
}

static void freeze(struct sim *s, bool frozen)
{
    for (size_t i = 0; i < s->node_count; i++)
        s->nodes[i].frozen = frozen;
}

static void assert_completed(struct sim *s, uint64_t task, uint64_t count)
{
    struct sim_view v = sim_get(s, task);
    if (v.status != DTF_TASK_COMPLETED)
        print_error("task %lu is %s: %lu of %lu succeeded, %lu running, %lu queued\n", (unsigned long)task,
                    dtf_task_status_name(v.status), (unsigned long)v.succeeded, (unsigned long)v.generated,
                    (unsigned long)v.running, (unsigned long)v.queued);
    assert_int_equal(v.status, DTF_TASK_COMPLETED);
    assert_int_equal(v.generated, count);
    assert_int_equal(v.succeeded, count);
    assert_int_equal(v.failed + v.timed_out + v.cancelled + v.running + v.queued, 0);
}

// ---- tests

static void test_life(void **state)
{
    struct sim *s = *state;
    uint64_t a = create(s, "plain", 4000, NULL), b = create(s, "watched", 100, NULL),
             none = create(s, "plain", 0, NULL);
    sim_advance(s, 1000);
    assert_completed(s, a, 4000);
    assert_completed(s, b, 100);
    assert_completed(s, none, 0);
    for (unsigned i = 1; i <= 4000; i++)
        assert_int_equal(seen[a].executed[i], 1);
    for (unsigned i = 1; i <= 100; i++)
        assert_int_equal(seen[b].collected[i], 1);
    assert_int_equal(dispatched, 100);
    assert_int_equal(seen[b].completed, 1);
    assert_int_equal(seen[a].begun, 1);
    assert_int_equal(seen[a].ended, 1);
    assert_int_equal(seen[a].cancelled, 0);
}

static void test_followups(void **state)
{
    struct sim *s = *state;
    Dtf__V1__TaskParam p = DTF__V1__TASK_PARAM__INIT;
    unsigned root = 1000003;
    p.type = "watched";
    p.fed = true;
    uint64_t task = sim_create(s, &p);
    uint64_t fed;
    struct nrpc_status st;
    assert_int_equal(s->state->ops->feed(s->state, task, 0,
                                         &(struct state_subtask){{&root, sizeof root}, 1000}, 1, true, &fed,
                                         &st),
                     NRPC_OK);
    sim_advance(s, 1000);
    assert_completed(s, task, 1 + 3 + 9 + 27);
    assert_int_equal(seen[task].completed, 1);
}

static void fed_done(void *user, const struct nrpc_status *st, const Dtf__V1__FeedResponse *r)
{
    (void)r;
    *(int *)user = st->code;
}

static int feed_last(struct sim *s, uint64_t task, uint64_t at, unsigned depth)
{
    Dtf__V1__SubtaskSpec spec = DTF__V1__SUBTASK_SPEC__INIT, *specs[] = {&spec};
    Dtf__V1__FeedRequest q = DTF__V1__FEED_REQUEST__INIT;
    int code = -1;
    spec.param.data = (uint8_t *)&depth;
    spec.param.len = sizeof depth;
    q.task_id = task;
    q.at = at;
    q.subtasks = specs;
    q.n_subtasks = 1;
    q.finish = true;
    dtf_v1_task_service_feed_async(s->client, NULL, &q, fed_done, &code);
    sim_settle(s);
    return code;
}

// Whoever did not hear the answer to the last feed asks again, when the task may have ended.
static void test_fed_again(void **state)
{
    struct sim *s = *state;
    Dtf__V1__TaskParam p = DTF__V1__TASK_PARAM__INIT;
    p.type = "plain";
    p.fed = true;
    uint64_t task = sim_create(s, &p), cancelled = sim_create(s, &p);
    assert_int_equal(feed_last(s, task, 0, 1), NRPC_OK);
    assert_int_equal(feed_last(s, task, 0, 1), NRPC_OK);
    assert_int_equal(sim_cancel(s, cancelled), NRPC_OK);
    sim_advance(s, 1000);
    assert_completed(s, task, 1);
    assert_int_equal(feed_last(s, task, 0, 1), NRPC_OK);
    assert_int_equal(feed_last(s, task, 1, 1), NRPC_NOT_FOUND);
    assert_int_equal(feed_last(s, cancelled, 0, 1), NRPC_NOT_FOUND);
    assert_completed(s, task, 1);
}

static void test_lost_node(void **state)
{
    struct sim *s = *state;
    s->nodes[0].lazy = s->nodes[1].lazy = true; // they take work and sit on it
    uint64_t task = create(s, "plain", 4, NULL);
    assert_int_equal(sim_get(s, task).running, 4);
    s->nodes[0].frozen = true;
    s->nodes[1].lazy = false;
    sim_advance(s, SIM_LEASE_MS / 2);
    assert_int_equal(sim_get(s, task).succeeded, 2);
    sim_advance(s, SIM_LEASE_MS * 2);
    assert_completed(s, task, 4);
    assert_int_equal(sim_get(s, task).redispatched, 2);
    s->nodes[0].frozen = s->nodes[0].lazy = false; // it comes back, runs what it had, and is not listened to
    sim_advance(s, SIM_LEASE_MS * 2);
    assert_completed(s, task, 4);
    uint64_t more = create(s, "plain", 100, NULL);
    sim_advance(s, SIM_LEASE_MS);
    assert_completed(s, more, 100);
}

// A generator that has nothing to do for long keeps what it has claimed.
static void test_claim_is_kept(void **state)
{
    struct sim *s = *state;
    has_none_now = true;
    uint64_t task = create(s, "plain", 10, NULL);
    sim_advance(s, 20000);
    assert_int_equal(sim_get(s, task).generated, 0);
    has_none_now = false;
    sim_advance(s, 2000);
    assert_completed(s, task, 10);
    assert_int_equal(seen[task].begun, 1);
}

// Who makes more than there is room for waits until there is.
static void test_full_queue(void **state)
{
    struct sim *s = *state;
    enum { COUNT = STATE_QUEUE_HIGH + 5000, BATCH = 2000 }; // BATCH: more than one push has
    freeze(s, true);
    uint64_t task = create(s, "plain", COUNT, NULL);
    sim_advance(s, 2000);
    assert_in_range(sim_get(s, task).generated, STATE_QUEUE_HIGH, STATE_QUEUE_HIGH + BATCH);
    freeze(s, false);
    sim_advance(s, 2 * SIM_LEASE_MS);
    assert_completed(s, task, COUNT);
}

// Nobody could renew the leases of nodes while nobody ran.
static void test_stood_still(void **state)
{
    struct sim *s = *state;
    s->nodes[0].lazy = s->nodes[1].lazy = true;
    uint64_t task = create(s, "plain", 4, NULL);
    assert_int_equal(sim_get(s, task).running, 4);
    for (int i = 0; i < 4; i++) { // at other moments between two calls of the nodes
        sim_advance(s, 1100 + 150 * i);
        sim_stand_still(SIM_LEASE_MS + 100);
    }
    s->nodes[0].lazy = s->nodes[1].lazy = false;
    sim_advance(s, 1000);
    assert_completed(s, task, 4);
    assert_int_equal(sim_get(s, task).redispatched, 0);
}

static void test_decline(void **state)
{
    struct sim *s = *state;
    declines = 25;
    uint64_t task = create(s, "watched", 10, NULL);
    assert_int_equal(sim_get(s, task).status, DTF_TASK_RUNNING);
    assert_int_equal(dispatched, 0);
    sim_advance(s, 1000);
    assert_completed(s, task, 10);
    assert_int_equal(declines, 0);
    assert_int_equal(dispatched, 10);
    assert_int_equal(sim_get(s, task).redispatched, 0);
}

static void test_pause(void **state)
{
    struct sim *s = *state;
    freeze(s, true);
    uint64_t task = create(s, "plain", 1000, NULL);
    assert_int_equal(sim_pause(s, task), NRPC_OK);
    assert_int_equal(sim_pause(s, task), NRPC_OK); // again: harmless
    freeze(s, false);
    sim_advance(s, 60000);
    struct sim_view v = sim_get(s, task);
    assert_int_equal(v.status, DTF_TASK_PAUSED);
    assert_true(v.succeeded <= 4); // what the nodes had been given before
    assert_int_equal(v.running, 0);
    assert_int_equal(sim_resume(s, task), NRPC_OK);
    sim_advance(s, 1000);
    assert_completed(s, task, 1000);
    assert_int_equal(sim_pause(s, task), NRPC_FAILED_PRECONDITION);
    assert_int_equal(sim_pause(s, 999), NRPC_NOT_FOUND);
}

static void test_cancel(void **state)
{
    struct sim *s = *state;
    s->nodes[0].lazy = s->nodes[1].lazy = true;
    uint64_t task = create(s, "watched", 5000, NULL);
    assert_int_equal(sim_cancel(s, task), NRPC_OK);
    sim_advance(s, 100);
    struct sim_view v = sim_get(s, task);
    assert_int_equal(v.status, DTF_TASK_CANCELLED);
    assert_int_equal(v.cancelled, v.generated);
    assert_int_equal(v.running + v.queued, 0);
    assert_int_equal(seen[task].completed, 1);
    assert_int_equal(seen[task].ended, seen[task].begun);
    assert_int_equal(sim_cancel(s, task), NRPC_OK);
    assert_int_equal(sim_resume(s, task), NRPC_FAILED_PRECONDITION);
}

static void with_timeout(Dtf__V1__TaskParam *p)
{
    p->timeout_ms = 10000;
}

static void test_task_timeout(void **state)
{
    struct sim *s = *state;
    freeze(s, true);
    uint64_t task = create(s, "plain", 10, with_timeout);
    sim_advance(s, 9999);
    assert_int_equal(sim_get(s, task).status, DTF_TASK_RUNNING);
    sim_advance(s, 2 * SIM_LEASE_MS);
    struct sim_view v = sim_get(s, task);
    assert_int_equal(v.status, DTF_TASK_TIMED_OUT);
    assert_int_equal(v.succeeded, 0);
}

static void test_subtask_timeout(void **state)
{
    struct sim *s = *state;
    s->nodes[0].lazy = s->nodes[1].lazy =
        true; // in touch, but never done: the backstop beyond the subtask's second
    uint64_t task = create(s, "plain", 1, NULL);
    sim_advance(s, 30000);
    assert_int_equal(sim_get(s, task).status, DTF_TASK_RUNNING);
    sim_advance(s, 10000);
    struct sim_view v = sim_get(s, task);
    assert_int_equal(v.status, DTF_TASK_FAILED);
    assert_int_equal(v.timed_out, 1);
}

static void with_retries(Dtf__V1__TaskParam *p)
{
    p->max_retries = 3;
    p->retry_backoff_ms = 1000;
}

static void test_retries(void **state)
{
    struct sim *s = *state;
    failures = 3;
    uint64_t task = create(s, "plain", 1, with_retries);
    sim_advance(s, 900);
    assert_int_equal(sim_get(s, task).retried, 1);
    sim_advance(s, 200);
    assert_int_equal(seen[task].executed[1], 2);
    sim_advance(s, 1900 + 4000);
    assert_completed(s, task, 1);
    assert_int_equal(seen[task].executed[1], 4);
    failures = 4;
    uint64_t fails = create(s, "plain", 1, with_retries);
    sim_advance(s, 60000);
    struct sim_view v = sim_get(s, fails);
    assert_int_equal(v.status, DTF_TASK_FAILED);
    assert_int_equal(v.failed, 1);
    assert_string_equal(v.message, "1 subtasks failed, 0 tolerated");
}

static void test_bad_generator(void **state)
{
    struct sim *s = *state;
    Dtf__V1__TaskParam p = DTF__V1__TASK_PARAM__INIT;
    p.type = "plain";
    uint64_t task = sim_create(s, &p);
    struct sim_view v = sim_get(s, task);
    assert_int_equal(v.status, DTF_TASK_FAILED);
    assert_string_equal(v.message, "no number");
}

static void test_many_tasks(void **state)
{
    struct sim *s = *state;
    enum { TASKS = 1000 };
    uint64_t first = 0;
    for (int i = 0; i < TASKS; i++) {
        uint64_t id = create(s, "plain", 1, NULL);
        first = first ? first : id;
    }
    sim_advance(s, 1000);
    for (uint64_t id = first; id < first + TASKS; id++)
        assert_completed(s, id, 1);
}

// Random events; in the end everything must have come to its end, counted exactly once.
static void soak(struct sim *s, unsigned seed)
{
    enum { TASKS = 12, EVENTS = 150 };
    uint64_t ids[TASKS];
    unsigned counts[TASKS];
    bool was_cancelled[TASKS] = {false};
    size_t tasks = 0;
    srandom(seed);
    for (int e = 0; e < EVENTS; e++) {
        long what = random() % 10, which = tasks ? random() % (long)tasks : 0;
        struct sim_node *n = &s->nodes[random() % (long)s->node_count];
        if (what <= 1 && tasks < TASKS) {
            counts[tasks] = (unsigned)(random() % 300);
            ids[tasks] = create(s, random() % 2 ? "plain" : "watched", counts[tasks], NULL);
            tasks++;
        } else if (what == 2) {
            n->frozen = !n->frozen;
        } else if (what == 3) {
            n->lazy = !n->lazy;
        } else if (what == 4 && tasks) {
            (void)sim_pause(s, ids[which]);
        } else if (what == 5 && tasks) {
            (void)sim_resume(s, ids[which]);
        } else if (what == 6 && tasks && random() % 4 == 0) {
            was_cancelled[which] |= sim_cancel(s, ids[which]) == NRPC_OK;
        } else if (what == 7 && random() % 4 == 0) {
            sim_restart(s);
        } else {
            declines += (unsigned)(random() % 3);
            sim_advance(s, random() % (2 * SIM_LEASE_MS));
        }
    }
    freeze(s, false);
    for (size_t i = 0; i < s->node_count; i++)
        s->nodes[i].lazy = false;
    for (size_t i = 0; i < tasks; i++)
        (void)sim_resume(s, ids[i]);
    sim_advance(s, 600000);
    for (size_t i = 0; i < tasks; i++) {
        struct sim_view v = sim_get(s, ids[i]);
        if (v.status == DTF_TASK_COMPLETED)
            assert_completed(s, ids[i], counts[i]);
        else if (v.status == DTF_TASK_FAILED) // lazy nodes run into the backstop's timeout
            assert_true(v.timed_out > 0);
        else if (v.status != DTF_TASK_CANCELLED || !was_cancelled[i])
            fail_msg("task %zu is %s: %lu of %lu succeeded, %lu running, %lu queued", i,
                     dtf_task_status_name(v.status), (unsigned long)v.succeeded, (unsigned long)v.generated,
                     (unsigned long)v.running, (unsigned long)v.queued);
        else
            assert_true(was_cancelled[i] && v.status == DTF_TASK_CANCELLED);
        assert_int_equal(v.generated, v.succeeded + v.failed + v.timed_out + v.cancelled);
        assert_int_equal(seen[ids[i] % 64].begun, seen[ids[i] % 64].ended);
    }
}

static void test_soak(void **state)
{
    const char *given = getenv("SIM_SEED");
    unsigned first = given ? (unsigned)atoi(given) : 1, rounds = given ? 1 : 60;
    for (unsigned seed = first; seed < first + rounds; seed++) {
        print_message("seed %u\n", seed);
        soak(*state, seed);
        teardown(state);
        setup(state);
    }
}

// What was vetted begins only if its task is still to run.
static void test_cancelled_while_vetted(void **state)
{
    struct sim *s = *state;
    meanwhile_in = s;
    meanwhile = stop_meanwhile;
    uint64_t task = create(s, "watched", 20, NULL);
    sim_advance(s, 1000);
    assert_int_equal(sim_get(s, task).status, DTF_TASK_CANCELLED);
    assert_int_equal(executed(task), 0);
}

static void test_paused_while_vetted(void **state)
{
    struct sim *s = *state;
    meanwhile_in = s;
    meanwhile = pause_meanwhile;
    uint64_t task = create(s, "watched", 20, NULL);
    sim_advance(s, 3000);
    assert_int_equal(executed(task), 0);
    assert_int_equal(sim_get(s, task).running, 0);
    assert_int_equal(s->state->ops->pause(s->state, task, false, NULL), NRPC_OK);
    sim_advance(s, 1000);
    assert_completed(s, task, 20);
    assert_int_equal(executed(task), 20);
}

static int met_by_status(struct sim *s, uint64_t task)
{
    (void)sim_get(s, task);
    return NRPC_OK;
}

// Recorded, and nobody came to admit it: who meets it does, and does not wait for the next walk through all.
static void test_met(void **state)
{
    struct sim *s = *state;
    int (*const meet[])(struct sim * s, uint64_t task) = {met_by_status, sim_pause, sim_cancel};
    for (size_t i = 0; i < sizeof meet / sizeof *meet; i++) {
        unsigned count = 20;
        uint8_t packed[64];
        Dtf__V1__TaskParam p = DTF__V1__TASK_PARAM__INIT;
        p.type = "plain";
        p.resource_group = "default";
        p.type_param.data = (uint8_t *)&count;
        p.type_param.len = sizeof count;
        struct records_new_task t = {.type = "plain",
                                     .group = "default",
                                     .created_ms = sim_now_ms(),
                                     .deadline_ms = sim_now_ms() + 1000000,
                                     .param = {packed, dtf__v1__task_param__pack(&p, packed)}};
        struct nrpc_status st;
        struct state_progress progress;
        struct arena a;
        arena_init(&a, 0);
        assert_int_equal(s->records->ops->create(s->records, &t, 1, &st), NRPC_OK);
        sim_advance(s, 100);
        assert_int_equal(s->state->ops->progress(s->state, &t.id, 1, &a, &progress, &st), NRPC_OK);
        assert_false(progress.found);
        assert_int_equal(meet[i](s, t.id), NRPC_OK);
        sim_advance(s, 1000);
        if (meet[i] == sim_pause) {
            assert_int_equal(executed(t.id), 0);
            assert_int_equal(sim_resume(s, t.id), NRPC_OK);
            sim_advance(s, 1000);
        }
        if (meet[i] == sim_cancel)
            assert_int_equal(sim_get(s, t.id).status, DTF_TASK_CANCELLED);
        else
            assert_completed(s, t.id, count);
        arena_fini(&a);
    }
}

// A record whose parameters cannot be read is its own task's trouble only: that fails, and says why.
static void test_unreadable_record(void **state)
{
    struct sim *s = *state;
    unsigned count = 20;
    uint8_t packed[64];
    Dtf__V1__TaskParam p = DTF__V1__TASK_PARAM__INIT;
    p.type = "plain";
    p.resource_group = "default";
    p.type_param.data = (uint8_t *)&count;
    p.type_param.len = sizeof count;
    size_t bytes = dtf__v1__task_param__pack(&p, packed);
    struct records_new_task tasks[3] = {0};
    for (size_t i = 0; i < 3; i++)
        tasks[i] = (struct records_new_task){
            .name = "",
            .description = "",
            .type = "plain",
            .creator = "",
            .group = "default",
            .created_ms = sim_now_ms(),
            .deadline_ms = sim_now_ms() + 1000000,
            .param = {i == 1 ? (const void *)"\xff\xff" : packed, i == 1 ? 2 : bytes}};
    struct nrpc_status st;
    assert_int_equal(s->records->ops->create(s->records, tasks, 3, &st), NRPC_OK);
    sim_restart(s);
    sim_advance(s, 5000);
    assert_completed(s, tasks[0].id, count);
    assert_completed(s, tasks[2].id, count);
    assert_int_equal(sim_get(s, tasks[1].id).status, DTF_TASK_FAILED);
    assert_non_null(strstr(sim_get(s, tasks[1].id).message, "its stored parameters cannot be read"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_life, setup, teardown),
        cmocka_unit_test_setup_teardown(test_followups, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fed_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lost_node, setup, teardown),
        cmocka_unit_test_setup_teardown(test_claim_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_stood_still, setup, teardown),
        cmocka_unit_test_setup_teardown(test_decline, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pause, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel, setup, teardown),
        cmocka_unit_test_setup_teardown(test_task_timeout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_subtask_timeout, setup, teardown),
        cmocka_unit_test_setup_teardown(test_retries, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_generator, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_tasks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancelled_while_vetted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_paused_while_vetted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_met, setup, teardown),
        cmocka_unit_test_setup_teardown(test_unreadable_record, setup, teardown),
        cmocka_unit_test_setup_teardown(test_soak, setup, teardown),
    };
    log_set_level(getenv("SIM_LOG") ? LOG_DEBUG : LOG_ERROR);
    if (dtf_register_task_type(&plain, NULL) || dtf_register_task_type(&watched, NULL))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
