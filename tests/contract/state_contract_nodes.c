// SPDX-License-Identifier: Apache-2.0
// state_contract_nodes.c: nodes that come, stay, vanish and say goodbye.
#include "state_contract_fixture.h"

static size_t node_list(struct fixture *f, struct state_node **nodes)
{
    size_t count;
    must(f, f->ops->nodes(f->s, &f->arena, nodes, &count, &f->st));
    return count;
}

static void test_node_add(void **state)
{
    struct fixture *f = *state;
    struct state_node *n;
    assert_int_equal(node_list(f, &n), 0);
    uint64_t a = node_make(f, f->now_ms + 10), b = node_make(f, f->now_ms + 20);
    assert_true(a && b && a != b);
    assert_int_equal(node_list(f, &n), 2);
    assert_true(n[0].id == a && n[0].pid == 77 && n[0].slots == 4 && n[0].lease_until_ms == f->now_ms + 10);
    assert_string_equal(n[0].name, "n");
    assert_string_equal(n[0].host, "h");
    assert_string_equal(n[0].types, "count\nsum");
    assert_true(n[0].running == 0 && n[0].settled == 0);
    must(f, f->ops->node_remove(f->s, (struct state_holder){b, 0}, &f->st));
    uint64_t c = node_make(f, 0);
    assert_true(c != a && c != b); // never used again
}

static void test_node_renew(void **state)
{
    struct fixture *f = *state;
    struct state_node *n;
    uint64_t *lost, a = node_make(f, f->now_ms + 10), b = node_make(f, f->now_ms + 500);
    size_t count;
    int64_t until_ms = f->now_ms + 100;
    struct state_renewal r[3] = {{a, until_ms, false}, {b + 9, until_ms, false}, {b, until_ms, false}};
    must(f, f->ops->node_renew(f->s, r, 3, &f->arena, &lost, &count, &f->st));
    assert_true(count == 1 && lost[0] == b + 9);
    node_list(f, &n);
    assert_true(n[0].lease_until_ms == f->now_ms + 100 && n[1].lease_until_ms == f->now_ms + 500);
    must(f, f->ops->node_grace(f->s, f->now_ms + 300, &f->st));
    node_list(f, &n);
    assert_true(n[0].lease_until_ms == f->now_ms + 300 && n[1].lease_until_ms == f->now_ms + 500);
    r[0].exactly = r[1].exactly = true;
    must(f, f->ops->node_renew(f->s, r, 3, &f->arena, &lost, &count, &f->st));
    assert_true(count == 1 && lost[0] == b + 9);
    node_list(f, &n);
    assert_true(n[0].lease_until_ms == f->now_ms + 100 && n[1].lease_until_ms == f->now_ms + 500);
}

// A node as node_note left it: "2 'short of' 'apart'".
static const char *noted(struct fixture *f, uint64_t node)
{
    static char text[600];
    struct state_node n;
    must(f, f->ops->node_get(f->s, holder(f, node), &f->arena, &n, &f->st));
    snprintf(text, sizeof text, "%u '%s' '%s'", n.usable, n.short_of, n.quarantine);
    return text;
}

static void test_node_note(void **state)
{
    struct fixture *f = *state;
    struct state_node *n;
    char sentence[STATE_NOTE_MAX + 1] = "";
    for (size_t i = 0; i + 2 <= STATE_NOTE_MAX; i += 2)
        strcpy(sentence + i, "ä");
    uint64_t a = node_make(f, CLOCK_NEVER), b = node_make(f, CLOCK_NEVER), c = node_make(f, CLOCK_NEVER);
    char *before = snapshot(f);
    assert_string_equal(noted(f, a), "4 '' ''");
    struct state_note notes[] = {
        {a, 2, "too many open files", ""}, {c + 7, 1, "x", "y"}, {b, 0, "no 'disk'\n", sentence}};
    must(f, f->ops->node_note(f->s, notes, 3, &f->st));
    assert_string_equal(noted(f, a), "2 'too many open files' ''");
    node_list(f, &n);
    assert_true(n[1].usable == 0 && n[2].usable == 4 && !*n[2].short_of && !*n[2].quarantine);
    assert_string_equal(n[1].short_of, "no 'disk'\n");
    assert_string_equal(n[1].quarantine, sentence);
    store_reopen(f); // it is as lasting as the node
    node_list(f, &n);
    assert_string_equal(n[1].quarantine, sentence);
    notes[0] = (struct state_note){a, 1, "", "it fails"}; // short of nothing: all are usable
    must(f, f->ops->node_note(f->s, notes, 1, &f->st));
    must(f, f->ops->node_note(f->s, NULL, 0, &f->st));
    node_list(f, &n);
    assert_true(n[0].usable == 4 && !*n[0].short_of);
    assert_string_equal(n[0].quarantine, "it fails");
    notes[0].quarantine = notes[2].short_of = notes[2].quarantine = "";
    must(f, f->ops->node_note(f->s, notes, 3, &f->st));
    assert_unchanged(f, before);
}

static void test_note_goes_with_its_number(void **state)
{
    struct fixture *f = *state;
    struct state_holding h = {0};
    uint64_t a = node_make(f, CLOCK_NEVER);
    must(f, f->ops->node_note(f->s, &(struct state_note){a, 2, "x", "y"}, 1, &f->st));
    assert_string_equal(noted(f, node_again(f, a, CLOCK_NEVER, &h)), "4 '' ''");
}

static void test_sweep_lost_node(void **state)
{
    struct fixture *f = *state;
    uint64_t a = node_make(f, f->now_ms + 10), b = node_make(f, f->now_ms + 1000);
    admit(f, 1);
    admit(f, 2);
    push(f, 1, 100, true);
    push(f, 2, 3, true);
    struct works w = lease(f, a, 1, 40);
    lease(f, b, 1, 10);
    lease(f, b, 2, 1);
    char *before = snapshot(f);
    struct swept s = sweep(f);
    assert_int_equal(s.count, 0);
    assert_true(s.next_ms > f->now_ms && s.next_ms <= f->now_ms + 10);
    assert_unchanged(f, before);
    f->now_ms += 10;
    char *others = snapshot_except(f, 1);
    told(f);
    s = sweep(f);
    assert_true(s.count == 1 && s.lost[0] == a);
    assert_told(f, "view:1");
    assert_look(f, 1, "draining gen=100 redispatched=40 run=10 queued=90 done ready=90");
    assert_string_equal(snapshot_except(f, 1), others);
    assert_int_equal(settle(f, &w.at[0], MODEL_SUCCESS), STATE_STALE);
    struct works again = lease(f, b, 1, 40);
    for (size_t i = 0; i < 40; i++)
        assert_int_equal(again.at[i].attempt, 2);
    s = sweep(f);
    assert_true(s.count == 0 && s.next_ms > f->now_ms);
}

static void test_sweep_losses_up(void **state)
{
    struct fixture *f = *state;
    struct state_task task = task_sample(1);
    task.keep_results = true;
    admit_task(f, &task);
    push(f, 1, 1, true);
    for (int i = 0; i <= STATE_LOSSES_MAX; i++) {
        uint64_t node = node_make(f, f->now_ms + 10);
        assert_int_equal(lease(f, node, 1, 1).count, 1);
        f->now_ms += 10;
        assert_int_equal(sweep(f).count, 1);
    }
    assert_look(f, 1, "closed completed gen=1 failed=1 redispatched=5 done");
    assert_non_null(strstr(snapshot(f), "failure 1: seq 1 attempt 6 kind 5"));
    assert_non_null(strstr(snapshot(f), "result 1: seq 1 attempt 6 kind 5"));
    assert_true(sweep(f).next_ms == CLOCK_NEVER);
}

static void test_sweep_overdue_subtask(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, CLOCK_NEVER);
    admit(f, 1);
    push(f, 1, 2, true); // timeouts of 1001 and 1002 ms
    struct works w = lease(f, node, 1, 2);
    struct swept s = sweep(f);
    int64_t due_ms = f->now_ms + 31001;
    assert_true(s.next_ms > f->now_ms && s.next_ms <= due_ms);
    f->now_ms = due_ms - 1;
    s = sweep(f);
    assert_look(f, 1, "draining gen=2 run=2 done");
    assert_true(s.next_ms == due_ms);
    f->now_ms = due_ms;
    s = sweep(f);
    assert_int_equal(s.count, 0);
    assert_look(f, 1, "draining gen=2 retried=1 run=1 queued=1 done next=100");
    assert_true(s.next_ms == due_ms + 1);
    assert_int_equal(settle(f, &w.at[0], MODEL_SUCCESS), STATE_STALE);
    assert_int_equal(settle(f, &w.at[1], MODEL_SUCCESS), STATE_SETTLED);
    f->now_ms += 100;
    assert_int_equal(lease(f, node, 1, 2).count, 1);
    f->now_ms += 40000;
    sweep(f);
    assert_look(f, 1, "closed completed gen=2 ok=1 timed_out=1 retried=1 done");
}

static int reconcile(struct fixture *f, struct state_holder who, const struct state_ref *refs, size_t count,
                     struct state_holding *h)
{
    *h = (struct state_holding){.refs = refs, .count = count};
    return f->ops->node_reconcile(f->s, who, h, &f->arena, &f->st);
}

static void test_reconcile(void **state)
{
    struct fixture *f = *state;
    struct state_holding h;
    uint64_t a = node_make(f, CLOCK_NEVER), b = node_make(f, CLOCK_NEVER);
    admit(f, 1);
    admit(f, 2);
    push(f, 1, 60, true);
    push(f, 2, 4, true);
    struct works w = lease(f, a, 1, 35);
    lease(f, a, 2, 1);
    lease(f, b, 1, 5);
    char *before = snapshot(f);
    assert_code(f, NRPC_NOT_FOUND, reconcile(f, (struct state_holder){b + 7, 0}, NULL, 0, &h));
    assert_unchanged(f, before);
    struct state_ref held[] = {ref_of(&w.at[34]), {2, 1, 1}, {1, 2, 9}, ref_of(&w.at[0]), {5, 5, 5}};
    told(f);
    must(f, reconcile(f, (struct state_holder){a, 0}, held, 5, &h));
    assert_true(h.kept[0] && h.kept[1] && !h.kept[2] && h.kept[3] && !h.kept[4] && !h.stop_count);
    assert_told(f, "view:1");
    assert_look(f, 1, "draining gen=60 redispatched=33 run=7 queued=53 done ready=53");
    assert_look(f, 2, "draining gen=4 run=1 queued=3 done ready=3");
    assert_int_equal(settle(f, &w.at[1], MODEL_SUCCESS), STATE_STALE);
    assert_int_equal(settle(f, &w.at[0], MODEL_SUCCESS), STATE_SETTLED);
    must(f, reconcile(f, (struct state_holder){a, 0}, NULL, 0, &h));
    assert_look(f, 1, "draining gen=60 ok=1 redispatched=34 run=5 queued=54 done ready=54");
    assert_look(f, 2, "draining gen=4 redispatched=1 queued=4 done ready=4");
    struct state_node *n;
    assert_int_equal(node_list(f, &n), 2);
    assert_true(n[0].running == 0 && n[0].settled == 1 && n[1].running == 5);
}

static void test_session(void **state)
{
    struct fixture *f = *state;
    struct state_node found;
    uint64_t a = node_make(f, CLOCK_NEVER), id;
    struct state_holder right = holder(f, a), wrong = {a, right.session + 1}, unknown = {a, 0};
    must(f, f->ops->node_get(f->s, right, &f->arena, &found, &f->st));
    assert_true(found.id == a && found.session == right.session && found.slots == 4);
    assert_string_equal(found.types, "count\nsum");
    must(f, f->ops->node_get(f->s, unknown, &f->arena, &found, &f->st));
    assert_code(f, NRPC_NOT_FOUND, f->ops->node_get(f->s, wrong, &f->arena, &found, &f->st));
    struct state_node again = found; // the answer was lost, the call is repeated
    again.slots = 9;
    must(f, f->ops->node_add(f->s, &again, NULL, &f->arena, &id, &f->st));
    assert_true(id == a);

    admit(f, 1);
    push(f, 1, 6, true);
    struct works w = lease(f, a, 1, 6);
    char *before = snapshot(f);
    struct state_ref refs[2] = {ref_of(&w.at[0]), ref_of(&w.at[1])};
    struct state_holding h;
    assert_code(f, NRPC_NOT_FOUND, reconcile(f, wrong, refs, 2, &h));
    assert_code(f, NRPC_NOT_FOUND, f->ops->node_remove(f->s, wrong, &f->st));
    must(f, f->ops->requeue(f->s, refs, 2, &wrong, STATE_RETURNED, 0, &f->st));
    assert_int_equal(
        settle_entry(f, (struct state_settle){.ref = refs[0], .by = wrong, .kind = MODEL_SUCCESS}),
        STATE_STALE);
    struct state_peek peeks[2];
    must(f, f->ops->peek(f->s, refs, (struct state_holder[]){wrong, right}, 2, &f->arena, peeks, &f->st));
    assert_true(!peeks[0].current && peeks[1].current);
    assert_unchanged(f, before);
    must(f, f->ops->requeue(f->s, refs, 1, &right, STATE_RETURNED, 0, &f->st));
    assert_int_equal(
        settle_entry(f, (struct state_settle){.ref = refs[1], .by = right, .kind = MODEL_SUCCESS}),
        STATE_SETTLED);
    assert_look(f, 1, "draining gen=6 ok=1 redispatched=1 run=4 queued=1 done ready=1");
}

static void test_node_again(void **state)
{
    struct fixture *f = *state;
    struct state_node found;
    admit(f, 1);
    admit(f, 2);
    push(f, 1, 70, true);
    push(f, 2, 3, true);
    uint64_t a = node_make(f, CLOCK_NEVER), other = node_make(f, CLOCK_NEVER);
    struct works w = lease(f, a, 1, 40), second = lease(f, a, 2, 2), others = lease(f, other, 1, 1);
    must(f, f->ops->stop(f->s, 2, MODEL_OUTCOME_CANCELLED, "no", &f->st));
    struct state_ref refs[] = {ref_of(&w.at[31]), ref_of(&w.at[32]),     ref_of(&second.at[0]),
                               {1, 2, 9},         ref_of(&others.at[0]), {1, 60, 1}};
    struct state_holder former = holder(f, a);
    struct state_holding h = {.refs = refs, .count = 6};
    uint64_t b = node_again(f, a, CLOCK_NEVER, &h);
    assert_true(b > other);
    assert_true(h.kept[0] && h.kept[1] && h.kept[2] && !h.kept[3] && !h.kept[4] && !h.kept[5]);
    assert_true(h.stop_count == 1 && h.stops[0] == 2); // whoever runs something of it is told
    assert_code(f, NRPC_NOT_FOUND, f->ops->node_get(f->s, former, &f->arena, &found, &f->st));
    assert_look(f, 1, "draining gen=70 redispatched=38 run=3 queued=67 done ready=67");
    assert_int_equal(
        settle_entry(f, (struct state_settle){.ref = refs[0], .by = former, .kind = MODEL_SUCCESS}),
        STATE_STALE);
    assert_int_equal(
        settle_entry(f, (struct state_settle){.ref = refs[0], .by = holder(f, b), .kind = MODEL_SUCCESS}),
        STATE_SETTLED);
    struct state_node *n;
    assert_int_equal(node_list(f, &n), 2);
    assert_true(n[0].running == 1 && n[1].running == 2 && n[1].settled == 1);
    struct state_holding stolen = {.refs = &refs[1], .count = 1, .former = {b, former.session}};
    struct state_node thief = {
        .session = 1, .name = "t", .host = "h", .types = "count", .slots = 1, .lease_until_ms = CLOCK_NEVER};
    uint64_t id;
    must(f, f->ops->node_add(f->s, &thief, &stolen, &f->arena, &id, &f->st)); // b, but not its session
    assert_true(!stolen.kept[0]);
    must(f, f->ops->node_get(f->s, holder(f, b), &f->arena, &found, &f->st));
}

static void test_node_remove(void **state)
{
    struct fixture *f = *state;
    struct state_node *n;
    uint64_t a = node_make(f, CLOCK_NEVER), b = node_make(f, CLOCK_NEVER);
    admit(f, 1);
    push(f, 1, 10, true);
    lease(f, a, 1, 4);
    lease(f, b, 1, 1);
    char *before = snapshot(f);
    assert_code(f, NRPC_NOT_FOUND, f->ops->node_remove(f->s, (struct state_holder){b + 1, 0}, &f->st));
    assert_unchanged(f, before);
    must(f, f->ops->node_remove(f->s, (struct state_holder){a, 0}, &f->st));
    assert_look(f, 1, "draining gen=10 redispatched=4 run=1 queued=9 done ready=9");
    assert_int_equal(node_list(f, &n), 1);
    assert_true(n[0].id == b && n[0].running == 1);
    assert_code(f, NRPC_NOT_FOUND, f->ops->node_remove(f->s, (struct state_holder){a, 0}, &f->st));
    assert_int_equal(lease(f, b, 1, 20).count, 9);
}

// The clock jumps, in whatever direction: nothing ends by it, and nothing waits for a time that is far off.
static void rebased_by(struct fixture *f, int64_t jump_ms)
{
    struct state_claim *claims;
    uint64_t *ids;
    size_t count;
    struct state_task task = task_sample(1);
    task.closing_callback = true;
    admit_task(f, &task);
    admit(f, 2);
    admit(f, 3);
    task.id = 4;
    admit_task(f, &task);
    push(f, 4, 0, true); // closing
    uint64_t node = node_make(f, f->now_ms + 1000);
    push(f, 1, 40, true);
    push(f, 2, 2, true);
    struct works w = lease(f, node, 1, 35), retried = lease(f, node, 2, 2);
    settle(f, &retried.at[0], MODEL_FAILURE); // waits for 100 ms
    must(f, f->ops->claim(f->s, 50, f->now_ms, f->now_ms + 1000, 9, &f->arena, &claims, &count, &f->st));
    assert_true(count == 1 && claims->task == 3);
    must(f,
         f->ops->take(f->s, MODEL_CLOSING, f->now_ms, f->now_ms + 1000, 9, &f->arena, &ids, &count, &f->st));
    assert_true(count == 1 && ids[0] == 4);

    f->now_ms += jump_ms;
    must(f, f->ops->rebase(f->s, f->now_ms, f->now_ms + 5000, &f->st));
    f->now_ms += 3000;
    assert_int_equal(sweep(f).count, 0);
    assert_look(f, 1, "draining gen=40 run=35 queued=5 done ready=5");
    must(f, f->ops->take(f->s, MODEL_CLOSING, f->now_ms, f->now_ms + 10, 9, &f->arena, &ids, &count, &f->st));
    assert_int_equal(count, 0); // it is still somebody's
    must(f, f->ops->claim(f->s, 51, f->now_ms, f->now_ms + 10, 9, &f->arena, &claims, &count, &f->st));
    assert_int_equal(count, 0);
    assert_int_equal(lease(f, node, 2, 9).count, 1); // the retry
    assert_int_equal(settle(f, &w.at[0], MODEL_SUCCESS), STATE_SETTLED);

    f->now_ms += 2000; // by the new time all have run out
    must(f, f->ops->take(f->s, MODEL_CLOSING, f->now_ms, f->now_ms + 10, 9, &f->arena, &ids, &count, &f->st));
    assert_int_equal(count, 1);
    must(f, f->ops->claim(f->s, 51, f->now_ms, f->now_ms + 10, 9, &f->arena, &claims, &count, &f->st));
    assert_int_equal(count, 1);
    assert_int_equal(sweep(f).count, 1);
    assert_look(f, 1, "draining gen=40 ok=1 redispatched=34 queued=39 done ready=39");
}

static void test_rebase_forward(void **state)
{
    rebased_by(*state, INT64_C(40) * 86400000);
}

static void test_rebase_back(void **state)
{
    struct fixture *f = *state;
    f->now_ms += INT64_C(50) * 86400000;
    rebased_by(f, INT64_C(-40) * 86400000);
}

static void test_rebase_a_little(void **state)
{
    struct fixture *f = *state;
    f->now_ms += 3600000;
    rebased_by(f, -300000);
}

// Perhaps there was none: nodes keep the time that they have, which is long for one that has nothing to do.
static void test_rebase_without_a_jump(void **state)
{
    struct fixture *f = *state;
    uint64_t node = node_make(f, f->now_ms + 35000);
    admit(f, 1);
    push(f, 1, 2, true);
    assert_int_equal(lease(f, node, 1, 1).count, 1);
    must(f, f->ops->rebase(f->s, f->now_ms, 0, &f->st));
    f->now_ms += 30000;
    assert_int_equal(sweep(f).count, 0);
    f->now_ms += 6000;
    assert_int_equal(sweep(f).count, 1);
}

const struct CMUnitTest state_node_tests[] = {
    TEST(test_node_add),
    TEST(test_node_renew),
    TEST(test_sweep_lost_node),
    TEST(test_sweep_losses_up),
    TEST(test_node_remove),
    TEST(test_sweep_overdue_subtask),
    TEST(test_reconcile),
    TEST(test_session),
    TEST(test_node_again),
    TEST(test_rebase_forward),
    TEST(test_rebase_back),
    TEST(test_rebase_a_little),
    TEST(test_rebase_without_a_jump),
    TEST(test_node_note),
    TEST(test_note_goes_with_its_number),
};
const size_t state_node_count = sizeof state_node_tests / sizeof *state_node_tests;
