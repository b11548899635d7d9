// SPDX-License-Identifier: Apache-2.0
// sick_test.c: what the scheduler tells of nodes that are short of something or in quarantine: to the state,
// when it changes; to the log, once for many.
#include "sim/sim.h"

#include "base/log.h"
#include "dtf/v1/node.nrpc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { NODES = 6, SOON_MS = 1100 };

static struct sim sim;
static uint64_t ids[NODES];
static struct state_ops counting; // the store's, but for node_note
static const struct state_ops *real;
static size_t notes, told_of;
static char lines[4000]; // of the log, about nodes that are sick

static int count_notes(struct state *s, const struct state_note *n, size_t count, struct nrpc_status *st)
{
    notes++;
    told_of += count;
    return real->node_note(s, n, count, st);
}

static void take_line(enum log_level level, const char *line, void *user)
{
    (void)level;
    (void)user;
    size_t at = strlen(lines);
    if (strstr(line, "short of") || strstr(line, "quarantined"))
        snprintf(lines + at, sizeof lines - at, "%s\n", line);
}

static void registered(void *user, const struct nrpc_status *st, const Dtf__V1__RegisterResponse *r)
{
    assert_string_equal(st->code ? st->text : "", "");
    *(uint64_t *)user = r->node_id;
}

static void exchanged(void *user, const struct nrpc_status *st, const Dtf__V1__ExchangeResponse *r)
{
    (void)r;
    if (user)
        *(int *)user = st->code;
    else
        assert_string_equal(st->code ? st->text : "", "");
}

static void call(size_t i, const char *short_of, uint32_t usable, bool resync, int *code)
{
    Dtf__V1__ExchangeRequest q = DTF__V1__EXCHANGE_REQUEST__INIT;
    q.node_id = ids[i];
    q.session = 100 + i;
    q.short_of = (char *)short_of;
    q.usable = usable;
    q.resync = resync;
    dtf_v1_node_service_exchange_async(sim.client, NULL, &q, exchanged, code);
    sim_settle(&sim);
}

static int setup(void **state)
{
    (void)state;
    sim_open(&sim, 1);
    for (size_t i = 0; i < NODES; i++) {
        char name[20];
        snprintf(name, sizeof name, "n%zu", i);
        Dtf__V1__RegisterRequest q = DTF__V1__REGISTER_REQUEST__INIT;
        q.name = name;
        q.slots = 4;
        q.session = 100 + i;
        dtf_v1_node_service_register_async(sim.client, NULL, &q, registered, &ids[i]);
        sim_settle(&sim);
        assert_true(ids[i]);
    }
    real = sim.state->ops;
    counting = *real;
    counting.node_note = count_notes;
    sim.state->ops = &counting;
    notes = told_of = 0;
    *lines = 0;
    log_set_level(LOG_INFO);
    log_set_sink(take_line, NULL);
    sim_advance(&sim, SOON_MS);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    log_set_sink(NULL, NULL);
    log_set_level(LOG_WARN);
    sim.state->ops = real;
    sim_close(&sim);
    return 0;
}

// A node as the state has it: "2 'short of' 'quarantine'".
static const char *look(size_t i)
{
    static char text[600];
    struct arena a;
    struct state_node n;
    struct nrpc_status st;
    arena_init(&a, 0);
    assert_int_equal(real->node_get(sim.state, (struct state_holder){ids[i], 100 + i}, &a, &n, &st), NRPC_OK);
    snprintf(text, sizeof text, "%u '%s' '%s'", n.usable, n.short_of, n.quarantine);
    arena_fini(&a);
    return text;
}

static void test_only_what_changes(void **state)
{
    (void)state;
    call(1, "", 0, false, NULL);
    assert_int_equal(notes, 0);
    call(1, "no files", 3, false, NULL);
    assert_string_equal(look(1), "3 'no files' ''");
    for (int i = 0; i < 50; i++)
        call(1, "no files", 3, false, NULL);
    sim_advance(&sim, SOON_MS);
    call(1, "no files", 3, false, NULL);
    assert_true(notes == 1 && told_of == 1);
    for (uint32_t i = 0; i < 50; i++) // in a second once
        call(1, "no files", i % 3, false, NULL);
    sim_advance(&sim, SOON_MS);
    call(1, "no files", 1, false, NULL);
    assert_string_equal(look(1), "1 'no files' ''");
    assert_true(notes <= 3);
    char line[100];
    snprintf(line, sizeof line, "1 node is short of something: %llu (n1): it uses 3 of 4 slots: no files\n",
             (unsigned long long)ids[1]);
    assert_string_equal(lines, line); // once
    *lines = 0;
    sim_advance(&sim, SOON_MS);
    call(1, "", 0, false, NULL);
    assert_string_equal(look(1), "4 '' ''");
    snprintf(line, sizeof line, "1 node is short of nothing any more: %llu (n1)\n",
             (unsigned long long)ids[1]);
    assert_string_equal(lines, line);
}

static void test_many_at_the_same_time(void **state)
{
    (void)state;
    call(0, "", 0, false, NULL);
    call(0, "no disk", 0, false, NULL); // this one immediately
    *lines = 0;
    for (size_t i = 1; i < NODES; i++)
        call(i, "no disk", 0, false, NULL);
    sim_advance(&sim, SOON_MS);
    assert_true(notes == 2 && told_of == NODES);
    assert_non_null(strstr(lines, "5 nodes are short of something: "));
    assert_non_null(strstr(lines, "(n1): it uses 0 of 4 slots: no disk; "));
    assert_non_null(strstr(lines, "; ...\n"));
    assert_null(strchr(strchr(lines, '\n') + 1, '\n')); // in one line
}

// What a node says is made to be told, and of its size.
static void test_odd_sentences(void **state)
{
    (void)state;
    char text[1000], cut[300];
    memset(text, 'x', sizeof text);
    text[999] = 0;
    call(2, text, 900, false, NULL);
    snprintf(cut, sizeof cut, "4 '%.250s' ''", text);
    assert_string_equal(look(2), cut);
    sim_advance(&sim, SOON_MS);
    memcpy(text + 249, "\xc3\xa4", 2); // cut within a character
    call(2, text, 1, false, NULL);
    snprintf(cut, sizeof cut, "1 '%.249s?' ''", text);
    assert_string_equal(look(2), cut);
}

// A coordinator hears of a node that others have told of: it goes by that; its quarantine it takes over.
static void test_from_another_coordinator(void **state)
{
    (void)state;
    struct nrpc_status st;
    int code;
    struct state_note said[] = {{ids[0], 2, "no files", ""}, {ids[1], 0, "", "it fails"}};
    sim_restart(&sim);
    assert_int_equal(real->node_note(sim.state, said, 2, &st), NRPC_OK);
    call(2, "", 0, false, &code);
    call(3, "", 0, false, &code);
    call(0, "no files", 2, false, &code);
    call(1, "", 0, false, &code);
    assert_int_equal(code, NRPC_ABORTED); // it is to say what it has
    call(1, "", 0, true, NULL);
    sim_advance(&sim, SOON_MS);
    assert_int_equal(notes, 0);
    assert_string_equal(lines, "");
    call(0, "", 0, true, NULL);
    assert_string_equal(look(0), "4 '' ''");
    assert_string_equal(look(1), "4 '' 'it fails'");
    assert_non_null(strstr(lines, "1 node is short of nothing any more: "));
}

// It was elsewhere: what was told there is not what is known here.
static void test_back_from_another_coordinator(void **state)
{
    (void)state;
    struct nrpc_status st;
    uint64_t *lost;
    size_t count;
    call(3, "", 0, false, NULL);
    struct state_renewal longer = {ids[3], sim_now_ms() + 100 * SIM_LEASE_MS, false};
    struct state_note said = {ids[3], 2, "no files", ""};
    assert_int_equal(real->node_renew(sim.state, &longer, 1, NULL, &lost, &count, &st), NRPC_OK);
    assert_int_equal(real->node_note(sim.state, &said, 1, &st), NRPC_OK);
    sim_advance(&sim, 2 * SIM_LEASE_MS);
    assert_string_equal(look(3), "2 'no files' ''");
    call(3, "", 0, false, NULL);
    assert_string_equal(look(3), "4 '' ''");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_only_what_changes),
        TEST(test_many_at_the_same_time),
        TEST(test_odd_sentences),
        TEST(test_from_another_coordinator),
        TEST(test_back_from_another_coordinator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
