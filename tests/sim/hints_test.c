// SPDX-License-Identifier: Apache-2.0
// hints_test.c: no role's periodic look is what makes progress; and where one is, because a hint was lost, it
// is counted. (sim_close checks for every test of the simulation that nothing was counted.)
#include "sim/sim.h"

#include "base/log.h"
#include "dtf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

// ---- a type whose subtasks have large parameters

struct bulk {
    uint32_t count, bytes;
};

struct gen {
    struct bulk bulk;
    uint32_t made;
    char *bytes;
};

static int gen_begin(void *user, const struct dtf_task *task, const void *saved, size_t saved_bytes,
                     void **state, struct nrpc_status *st)
{
    (void)user;
    (void)st;
    struct gen *g = calloc(1, sizeof *g);
    memcpy(&g->bulk, task->param, sizeof g->bulk);
    if (saved_bytes == sizeof g->made)
        memcpy(&g->made, saved, sizeof g->made);
    g->bytes = calloc(1, g->bulk.bytes);
    *state = g;
    return NRPC_OK;
}

static enum dtf_next gen_next(void *state, struct dtf_subtask_spec *out, struct nrpc_status *st)
{
    (void)st;
    struct gen *g = state;
    if (g->made == g->bulk.count)
        return DTF_NEXT_FINISHED;
    g->made++;
    *out = (struct dtf_subtask_spec){.param = g->bytes, .param_bytes = g->bulk.bytes, .timeout_ms = 1000};
    return DTF_NEXT_SUBTASK;
}

static void gen_save(void *state, struct dtf_buffer *out)
{
    dtf_buffer_append(out, &((struct gen *)state)->made, sizeof(uint32_t));
}

static void gen_end(void *state)
{
    free(((struct gen *)state)->bytes);
    free(state);
}

static int run(void *user, const struct dtf_subtask *s, struct dtf_execution *x, struct nrpc_status *st)
{
    (void)user;
    (void)s;
    (void)x;
    (void)st;
    return NRPC_OK;
}

static bool may_go(void *user, const struct dtf_subtask *s)
{
    (void)user;
    (void)s;
    return true;
}

static const struct dtf_generator generator = {
    .begin = gen_begin, .next = gen_next, .save_status = gen_save, .end = gen_end};
static const struct dtf_executor executor = {.execute = run};
static const struct dtf_scheduler_callback scheduler = {.before_dispatch = may_go};
static const struct dtf_task_type bulky = {.name = "bulky", .generator = &generator, .executor = &executor};
static const struct dtf_task_type vetted = {
    .name = "vetted", .generator = &generator, .executor = &executor, .scheduler = &scheduler};

// ---- helpers

static struct sim sim;

static int setup(void **state)
{
    (void)state;
    sim_open(&sim, 2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sim_close(&sim);
    return 0;
}

static uint64_t create(const char *type, uint32_t count, uint32_t bytes)
{
    struct bulk bulk = {count, bytes};
    Dtf__V1__TaskParam p = DTF__V1__TASK_PARAM__INIT;
    p.type = (char *)type;
    p.type_param.data = (uint8_t *)&bulk;
    p.type_param.len = sizeof bulk;
    return sim_create(&sim, &p);
}

// All that is created runs without time passing, but for the moment that vetting again may take.
static void check_promptly(const char *type, unsigned tasks, uint32_t count, uint32_t bytes)
{
    uint64_t ids[16];
    sim.nodes[0].frozen = sim.nodes[1].frozen = true;
    sim_advance(&sim, 1000); // any call that waits is over
    for (unsigned i = 0; i < tasks; i++)
        ids[i] = create(type, count, bytes);
    sim.nodes[0].frozen = sim.nodes[1].frozen = false;
    sim_advance(&sim, 200);
    for (unsigned i = 0; i < tasks; i++) {
        struct sim_view v = sim_get(&sim, ids[i]);
        assert_int_equal(v.succeeded, count);
        assert_int_equal(v.status, DTF_TASK_COMPLETED);
    }
}

// What one lease has no room for is ready all the same.
static void test_large_params(void **state)
{
    (void)state;
    check_promptly("bulky", 4, 40, 250000);
}

static void test_many_middling_params(void **state)
{
    (void)state;
    check_promptly("bulky", 8, 400, 20000);
}

static void test_large_params_vetted(void **state)
{
    (void)state;
    check_promptly("vetted", 4, 40, 250000);
}

// ---- hints that get lost

static state_watch_fn deliver;
static enum state_hint_kind lost_kind;
static unsigned lost;
static struct state_hint kept;
static char kept_group[64], kept_type[64];

static void lose(void *user, const struct state_hint *h)
{
    if (h->kind != lost_kind) {
        deliver(user, h);
        return;
    }
    lost++;
    kept = *h;
    if (h->kind == STATE_HINT_VIEW) {
        strncpy(kept_group, h->view.group, sizeof kept_group - 1);
        strncpy(kept_type, h->view.type, sizeof kept_type - 1);
        kept.view.group = kept_group;
        kept.view.type = kept_type;
    }
}

static void lose_hints(enum state_hint_kind kind)
{
    deliver = sim.state->watch;
    lost_kind = kind;
    lost = 0;
    sim.state->watch = lose;
}

// A task to whose progress a hint belongs that was lost: a look finds it, later, and it is counted.
static void check_lost(enum state_hint_kind kind)
{
    lose_hints(kind);
    uint64_t task = create("bulky", 10, 100);
    sim_settle(&sim);
    assert_true(lost > 0);
    assert_int_not_equal(sim_get(&sim, task).status, DTF_TASK_COMPLETED);
    sim.state->watch = deliver;
    sim_advance(&sim, 12000);
    assert_int_equal(sim_get(&sim, task).status, DTF_TASK_COMPLETED);
    assert_true(sim_take_finds(&sim) > 0);
}

static void test_lost_view(void **state)
{
    (void)state;
    check_lost(STATE_HINT_VIEW);
}

static void test_lost_generate(void **state)
{
    (void)state;
    check_lost(STATE_HINT_GENERATE);
}

static void test_lost_closed(void **state)
{
    (void)state;
    check_lost(STATE_HINT_CLOSED);
}

// A hint that comes a moment after the look has found what it tells is no find.
static void test_late_hint(void **state)
{
    (void)state;
    lose_hints(STATE_HINT_VIEW);
    sim.nodes[0].frozen = sim.nodes[1].frozen = true;
    uint64_t task = create("bulky", 10, 100);
    sim_settle(&sim);
    assert_true(lost > 0);
    sim.state->watch = deliver;
    for (int i = 0; i < 60; i++) { // until a look has found it
        sim_advance(&sim, 100);
        deliver(sim.state->watch_user, &kept);
    }
    sim.nodes[0].frozen = sim.nodes[1].frozen = false;
    sim_advance(&sim, 12000);
    assert_int_equal(sim_get(&sim, task).status, DTF_TASK_COMPLETED);
    assert_int_equal(sim_take_finds(&sim), 0);
}

// After an outage, looking is what ends it.
static void test_outage(void **state)
{
    (void)state;
    lose_hints(STATE_HINT_VIEW);
    uint64_t task = create("bulky", 10, 100);
    sim_settle(&sim);
    sim.state->watch = deliver;
    deliver(sim.state->watch_user, &(struct state_hint){.kind = STATE_HINT_RESYNC});
    sim_advance(&sim, 12000);
    assert_int_equal(sim_get(&sim, task).status, DTF_TASK_COMPLETED);
    assert_int_equal(sim_take_finds(&sim), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(large_params),  TEST(many_middling_params), TEST(large_params_vetted), TEST(lost_view),
        TEST(lost_generate), TEST(lost_closed),          TEST(late_hint),           TEST(outage),
    };
    log_set_level(getenv("SIM_LOG") ? LOG_DEBUG : LOG_ERROR);
    if (dtf_register_task_type(&bulky, NULL) || dtf_register_task_type(&vetted, NULL))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
