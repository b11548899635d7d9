// SPDX-License-Identifier: Apache-2.0
// places_test.c: more tasks than one process may generate: whoever has nothing to do gives its place up, to
// those of high priority first; and goes on when there is something.
#include "sim/sim.h"

#include "dtf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PLACES = 1000, MORE = 1200, SUBTASKS = 3 }; // PLACES: services/generator/generator.c

static bool has_some; // otherwise the generators have none now

struct maker {
    unsigned made, total;
};

static int maker_begin(void *user, const struct dtf_task *task, const void *saved, size_t saved_bytes,
                       void **state, struct nrpc_status *st)
{
    (void)user;
    (void)st;
    struct maker *m = calloc(1, sizeof *m);
    memcpy(&m->total, task->param, sizeof m->total);
    if (saved_bytes == sizeof m->made)
        memcpy(&m->made, saved, sizeof m->made);
    *state = m;
    return NRPC_OK;
}

static enum dtf_next maker_next(void *state, struct dtf_subtask_spec *out, struct nrpc_status *st)
{
    (void)st;
    struct maker *m = state;
    if (m->made == m->total)
        return DTF_NEXT_FINISHED;
    if (m->total == SUBTASKS && !has_some)
        return DTF_NEXT_NONE_NOW;
    m->made++;
    *out = (struct dtf_subtask_spec){.param = &m->made, .param_bytes = sizeof m->made, .timeout_ms = 1000};
    return DTF_NEXT_SUBTASK;
}

static void maker_save(void *state, struct dtf_buffer *out)
{
    dtf_buffer_append(out, &((struct maker *)state)->made, sizeof(unsigned));
}

static int run(void *user, const struct dtf_subtask *s, struct dtf_execution *x, struct nrpc_status *st)
{
    (void)user;
    (void)s;
    (void)x;
    (void)st;
    return NRPC_OK;
}

static const struct dtf_generator maker = {
    .begin = maker_begin, .next = maker_next, .save_status = maker_save, .end = free};
static const struct dtf_executor executor = {.execute = run};
static const struct dtf_task_type type = {.name = "places", .generator = &maker, .executor = &executor};

static uint64_t create(struct sim *s, unsigned subtasks, uint32_t priority)
{
    Dtf__V1__TaskParam p = DTF__V1__TASK_PARAM__INIT;
    p.type = "places";
    p.type_param.data = (uint8_t *)&subtasks;
    p.type_param.len = sizeof subtasks;
    p.priority = priority;
    return sim_create(s, &p);
}

static int setup(void **state)
{
    static struct sim sim;
    has_some = false;
    sim_open(&sim, 2);
    *state = &sim;
    return 0;
}

static int teardown(void **state)
{
    sim_close(*state);
    return 0;
}

static void assert_completed(struct sim *s, uint64_t first, unsigned tasks, unsigned subtasks)
{
    for (uint64_t id = first; id < first + tasks; id++) {
        struct sim_view v = sim_get(s, id);
        assert_int_equal(v.status, DTF_TASK_COMPLETED);
        assert_int_equal(v.succeeded, subtasks);
        assert_int_equal(v.generated, subtasks);
    }
}

static uint64_t create_many(struct sim *s, unsigned subtasks)
{
    uint64_t first = create(s, subtasks, DTF_PRIORITY_LOW);
    for (unsigned i = 1; i < MORE; i++)
        create(s, subtasks, DTF_PRIORITY_LOW);
    sim_advance(s, 3000);
    return first;
}

// They have none now, all of them; another one is generated all the same, and so are they when they have
// some.
static void test_idle_generators(void **state)
{
    struct sim *s = *state;
    uint64_t first = create_many(s, SUBTASKS);
    uint64_t other = create(s, 5, DTF_PRIORITY_HIGH);
    sim_advance(s, 1000);
    assert_completed(s, other, 1, 5);
    other = create(s, 7, DTF_PRIORITY_LOW);
    sim_advance(s, 1000);
    assert_completed(s, other, 1, 7);
    has_some = true;
    sim_advance(s, 60000);
    assert_completed(s, first, MORE, SUBTASKS);
}

static void test_paused_tasks(void **state)
{
    struct sim *s = *state;
    uint64_t first = create_many(s, SUBTASKS);
    for (uint64_t id = first; id < first + MORE; id++)
        assert_int_equal(sim_pause(s, id), NRPC_OK);
    uint64_t other = create(s, 5, DTF_PRIORITY_LOW);
    sim_advance(s, 1000);
    assert_completed(s, other, 1, 5);
    has_some = true;
    sim_advance(s, 60000);
    assert_int_equal(sim_get(s, first).generated, 0);
    for (uint64_t id = first; id < first + MORE; id++)
        assert_int_equal(sim_resume(s, id), NRPC_OK);
    sim_advance(s, 60000);
    assert_completed(s, first, MORE, SUBTASKS);
}

// Queues that are full: nothing runs, since the nodes stand still.
static void test_full_queues(void **state)
{
    struct sim *s = *state;
    enum { FULL = PLACES / 50, EACH = 25000 };
    for (size_t i = 0; i < s->node_count; i++)
        s->nodes[i].frozen = true;
    uint64_t first = create(s, EACH, DTF_PRIORITY_LOW);
    for (unsigned i = 1; i < FULL; i++)
        create(s, EACH, DTF_PRIORITY_LOW);
    sim_advance(s, 3000);
    uint64_t many = create_many(s, SUBTASKS);
    for (size_t i = 0; i < s->node_count; i++)
        s->nodes[i].frozen = false;
    sim_advance(s, 60000);
    assert_completed(s, first, FULL, EACH);
    has_some = true;
    sim_advance(s, 60000);
    assert_completed(s, many, MORE, SUBTASKS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_idle_generators, setup, teardown),
        cmocka_unit_test_setup_teardown(test_paused_tasks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_full_queues, setup, teardown),
    };
    struct nrpc_status st;
    if (dtf_register_task_type(&type, &st))
        return 1;
    return cmocka_run_group_tests_name("places", tests, NULL, NULL);
}
