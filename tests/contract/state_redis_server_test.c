// SPDX-License-Identifier: Apache-2.0
// state_redis_server_test.c: what only a server can do: be wiped, restarted, full, paused, failed over,
// misconfigured; and what is left in it.
#include "base/clock.h"
#include "lease_one.h"
#include "servers/servers.h"
#include "state/state_redis.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { DEADLINE_MS = 20000 };

struct place {
    struct server *server;
    struct state *s;
    const struct state_ops *ops;
    struct arena a;
    struct nrpc_status st;
    int64_t now_ms;
    uint64_t node;
    _Atomic int resyncs, gone;
};

#define must(p, call) assert_string_equal((call) ? (p)->st.text : "", "")

static void count_resyncs(void *user, const struct state_hint *h)
{
    struct place *p = user;
    p->resyncs += h->kind == STATE_HINT_RESYNC;
}

static int open_url(struct place *p, const char *url)
{
    return state_redis_open(&(struct state_redis_options){.urls = &url, .url_count = 1}, &p->s, &p->st);
}

// As a manager does once it has compared the state with the records.
static int verify(struct place *p)
{
    bool verified;
    return p->ops->verify(p->s, p->ops->incarnation(p->s, &verified), NULL, 0, &p->st);
}

static void open_place(struct place *p, const struct server_redis_options *o)
{
    *p = (struct place){.server = server_redis(o), .now_ms = 1000000};
    arena_init(&p->a, 0);
    must(p, open_url(p, server_url(p->server)));
    p->ops = p->s->ops;
    must(p, verify(p));
    struct state_node node = {.name = "n", .host = "h", .types = "count", .lease_until_ms = CLOCK_NEVER};
    must(p, p->ops->node_add(p->s, &node, NULL, NULL, &p->node, &p->st));
}

static void close_place(struct place *p)
{
    p->ops->close(p->s);
    server_destroy(p->server);
    arena_fini(&p->a);
}

static void wait_until(bool (*reached)(void *), void *arg, const char *what)
{
    int64_t until_us = clock_mono_us() + DEADLINE_MS * 1000;
    while (!reached(arg)) {
        if (clock_mono_us() > until_us)
            fail_msg("after %d ms not yet: %s", DEADLINE_MS, what);
        usleep(5000);
    }
}

// ---- words

static void admit(struct place *p, uint64_t id, bool keep, bool fed)
{
    struct state_task t = {.id = id,
                           .type = "count",
                           .group = "g",
                           .deadline_ms = CLOCK_NEVER,
                           .policy.tolerated_failures = -1,
                           .keep_results = keep,
                           .fed = fed,
                           .param = {"p", 1}};
    must(p, p->ops->admit(p->s, &t, 1, &p->st));
}

static uint64_t claim(struct place *p, uint64_t *made)
{
    struct state_claim *c;
    size_t count;
    must(p, p->ops->claim(p->s, 7, p->now_ms, p->now_ms + 1000, 1, &p->a, &c, &count, &p->st));
    assert_int_equal(count, 1);
    *made = c->generated;
    return c->fence;
}

// Pushes `count` subtasks after `at` others, with a checkpoint that names their number.
static int push(struct place *p, uint64_t task, uint64_t fence, uint64_t at, size_t count, bool done)
{
    char checkpoint[32], param[1000] = "";
    struct state_subtask *subtasks = arena_calloc(&p->a, (count + 1) * sizeof *subtasks);
    for (size_t i = 0; i < count; i++)
        subtasks[i] = (struct state_subtask){{param, sizeof param}, 1000};
    int n = snprintf(checkpoint, sizeof checkpoint, "after %llu", (unsigned long long)(at + count));
    struct state_queue queue;
    return p->ops->push(p->s, task, fence, at, subtasks, count, (struct state_blob){checkpoint, (size_t)n},
                        done, -1, &queue, &p->st);
}

static size_t lease(struct place *p, uint64_t task, uint32_t count, struct state_work **works)
{
    size_t n;
    must(p, lease_one(p->s, p->node, 0, p->now_ms, &(struct state_pick){task, count}, 1, NULL, NULL, &p->a,
                      works, &n, &p->st));
    return n;
}

static int settle(struct place *p, const struct state_work *works, size_t count, enum model_kind kind,
                  size_t followups)
{
    struct state_subtask more[8] = {0};
    struct state_settle *entries = arena_calloc(&p->a, (count + 1) * sizeof *entries);
    enum state_verdict *verdicts = arena_calloc(&p->a, (count + 1) * sizeof *verdicts);
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct state_settle){.ref = {works[i].task, works[i].seq, works[i].attempt},
                                           .by.node = p->node,
                                           .kind = kind,
                                           .followups = more,
                                           .followup_count = followups};
    for (size_t i = 0; i < followups; i++)
        more[i] = (struct state_subtask){{"f", 1}, 1000};
    return p->ops->settle(p->s, p->now_ms, entries, count, verdicts, &p->st);
}

// The newest point of the only task that has one; found by made.
static bool point(struct place *p, struct state_point *out)
{
    struct state_point *points;
    size_t count;
    must(p, p->ops->points(p->s, 10, &p->a, &points, &count, &p->st));
    if (count)
        *out = points[0];
    return count == 1;
}

static void assert_point(const struct state_point *at, uint64_t made, uint64_t generated,
                         const char *checkpoint)
{
    assert_int_equal(at->made, made);
    assert_int_equal(at->counters.generated, generated);
    assert_int_equal(at->counters.succeeded + at->counters.failed + at->counters.cancelled, generated);
    assert_int_equal(at->checkpoint.bytes, strlen(checkpoint));
    assert_memory_equal(at->checkpoint.data, checkpoint, strlen(checkpoint));
}

// ---- points

static void test_points(void **state)
{
    (void)state;
    struct place p;
    struct state_work *first, *second, *third;
    struct state_point at = {0};
    uint64_t made;
    open_place(&p, NULL);
    assert_true(p.s->disposable);
    admit(&p, 1, false, false);
    uint64_t fence = claim(&p, &made);
    must(&p, push(&p, 1, fence, 0, 600, false));
    must(&p, push(&p, 1, fence, 600, 600, false));
    must(&p, push(&p, 1, fence, 1200, 10, false));
    assert_int_equal(lease(&p, 1, 600, &first), 600);
    assert_int_equal(lease(&p, 1, 600, &second), 600);
    assert_int_equal(lease(&p, 1, 600, &third), 10);
    must(&p, settle(&p, second, 600, MODEL_SUCCESS, 0)); // out of order: no point yet
    assert_false(point(&p, &at));
    must(&p, settle(&p, first, 599, MODEL_SUCCESS, 0));
    assert_false(point(&p, &at));
    must(&p, settle(&p, first + 599, 1, MODEL_FAILURE, 0));
    assert_true(point(&p, &at));
    assert_point(&at, 1200, 1200, "after 1200");
    assert_int_equal(at.counters.failed, 1);
    struct state_result *failures;
    size_t count;
    must(&p, p.ops->failures(p.s, 1, 0, 10, &p.a, &failures, &count, &p.st));
    assert_true(count == 1 && failures->segment <= at.segment);
    assert_int_equal(failures->param.bytes, 1000);
    must(&p, settle(&p, third, 10, MODEL_SUCCESS, 0)); // a newer one than what is confirmed now
    must(&p, p.ops->points_recorded(p.s, &at, 1, &p.st));
    assert_true(point(&p, &at));
    assert_point(&at, 1210, 1210, "after 1210");
    must(&p, p.ops->points_recorded(p.s, &at, 1, &p.st));
    assert_false(point(&p, &at));
    close_place(&p);
}

// Follow-ups belong to the segment of the subtask that asked for them; unread results hold a point back.
static void test_points_wait(void **state)
{
    (void)state;
    struct place p;
    struct state_work *w, *f;
    struct state_point at = {0};
    struct state_result *results;
    size_t count;
    bool end;
    uint64_t made;
    open_place(&p, NULL);
    admit(&p, 1, true, false);
    uint64_t fence = claim(&p, &made);
    must(&p, push(&p, 1, fence, 0, 600, false));
    must(&p, push(&p, 1, fence, 600, 5, false));
    assert_int_equal(lease(&p, 1, 605, &w), 605);
    must(&p, settle(&p, w, 599, MODEL_SUCCESS, 0));
    must(&p, settle(&p, w + 599, 1, MODEL_SUCCESS, 2));
    must(&p, p.ops->results(p.s, 1, 0, 1000, &p.a, &results, &count, &end, &p.st));
    assert_int_equal(count, 600);
    must(&p, p.ops->results(p.s, 1, results[599].position, 1000, &p.a, &results, &count, &end, &p.st));
    assert_false(point(&p, &at)); // the follow-ups
    assert_int_equal(lease(&p, 1, 10, &f), 2);
    must(&p, settle(&p, f, 2, MODEL_SUCCESS, 0));
    assert_false(point(&p, &at)); // their results
    must(&p, p.ops->results(p.s, 1, 600, 1000, &p.a, &results, &count, &end, &p.st));
    assert_int_equal(count, 2);
    must(&p, p.ops->results(p.s, 1, results[1].position, 1000, &p.a, &results, &count, &end, &p.st));
    assert_true(point(&p, &at));
    assert_point(&at, 600, 602, "after 600");
    close_place(&p);
}

// ---- a server that loses what it had

static bool was_resynced(void *arg)
{
    struct place *p = arg;
    return p->resyncs > 0;
}

static void test_wiped(void **state)
{
    (void)state;
    struct place p;
    struct state_point at = {0};
    struct state_work *w;
    struct state_result *results;
    uint64_t made;
    size_t count;
    bool end;
    char answer[64];
    open_place(&p, NULL);
    p.ops->watch(p.s, count_resyncs, &p);
    wait_until(was_resynced, &p, "the first look");
    admit(&p, 1, true, false);
    uint64_t fence = claim(&p, &made);
    must(&p, push(&p, 1, fence, 0, 600, false));
    lease(&p, 1, 600, &w);
    must(&p, settle(&p, w, 600, MODEL_SUCCESS, 0));
    must(&p, p.ops->results(p.s, 1, 600, 10, &p.a, &results, &count, &end, &p.st));
    assert_true(point(&p, &at));
    p.resyncs = 0;
    server_ask(p.server, "FLUSHALL", answer, sizeof answer);
    wait_until(was_resynced, &p, "the wipe was noticed");
    p.ops->watch(p.s, NULL, NULL);
    must(&p, verify(&p));
    assert_int_equal(push(&p, 1, fence, 600, 1, false), NRPC_NOT_FOUND);
    struct state_task again = {.id = 1,
                               .type = "count",
                               .group = "g",
                               .deadline_ms = CLOCK_NEVER,
                               .keep_results = true,
                               .counters = at.counters,
                               .checkpoint = at.checkpoint,
                               .made = at.made,
                               .again = true};
    must(&p, p.ops->admit(p.s, &again, 1, &p.st));
    assert_int_equal(push(&p, 1, fence, 600, 1, false), NRPC_ABORTED); // nobody owns it
    uint64_t newer = claim(&p, &made);
    assert_true(newer > fence && made == 600);
    assert_int_equal(push(&p, 1, fence, 600, 1, false), NRPC_ABORTED);
    must(&p, push(&p, 1, newer, 600, 3, true));
    struct state_node node = {.name = "n", .host = "h", .types = "count", .lease_until_ms = CLOCK_NEVER};
    must(&p, p.ops->node_add(p.s, &node, NULL, NULL, &p.node, &p.st));
    assert_int_equal(lease(&p, 1, 10, &w), 3);
    assert_int_equal(w->seq, 601);
    must(&p, settle(&p, w, 3, MODEL_SUCCESS, 0));
    // Who had read up to 600 before gets what is new, whatever the positions were.
    must(&p, p.ops->results(p.s, 1, 600, 10, &p.a, &results, &count, &end, &p.st));
    assert_int_equal(count, 3);
    must(&p, p.ops->results(p.s, 1, results[2].position, 10, &p.a, &results, &count, &end, &p.st));
    assert_int_equal(count, 0);
    close_place(&p);
}

// ---- a server that goes back in time

static bool has_lease(struct place *p, struct state_holder by, struct state_ref ref)
{
    struct state_peek peek;
    must(p, p->ops->peek(p->s, &ref, &by, 1, &p->a, &peek, &p->st));
    return peek.current;
}

// Of what was not given for want of verifying, all is ready as before.
static int try_lease(struct place *p, uint64_t task, struct state_work **works, size_t *count)
{
    uint32_t left = 0;
    int code = lease_one(p->s, p->node, 0, p->now_ms, &(struct state_pick){task, 9}, 1, NULL, &left, &p->a,
                         works, count, &p->st);
    assert_true(code != NRPC_FAILED_PRECONDITION || left == 9);
    return code;
}

// What was leased after the moment to which it goes back comes again, under the same numbers: the node that
// has it is recognised as another, and must say what it has.
static void test_older(void **state)
{
    (void)state;
    struct place p;
    struct state_work *first, *second, *w;
    struct state_claim *claims;
    struct state_node found,
        node = {.session = 70, .name = "n", .host = "h", .types = "count", .lease_until_ms = CLOCK_NEVER};
    uint64_t made, id;
    size_t count;
    bool verified;
    open_place(&p, &(struct server_redis_options){.aof = true});
    must(&p, p.ops->node_add(p.s, &node, NULL, &p.a, &p.node, &p.st));
    struct state_holder old = {p.node, 70};
    admit(&p, 1, false, false);
    must(&p, push(&p, 1, claim(&p, &made), 0, 3, false));
    assert_int_equal(lease(&p, 1, 1, &first), 1);
    assert_int_equal(lease(&p, 1, 1, &second), 1);
    uint64_t before = p.ops->incarnation(p.s, &verified);
    assert_true(verified);
    server_save(p.server);
    must(&p, settle(&p, first, 1, MODEL_SUCCESS, 2));
    assert_int_equal(lease(&p, 1, 9, &w), 3); // 3, and the follow-ups 4 and 5
    assert_true(w[2].seq == 5 && w[2].attempt == 1);
    server_kill(p.server);
    server_go_back(p.server);
    server_start(p.server);

    assert_int_equal(p.ops->node_get(p.s, old, &p.a, &found, &p.st), NRPC_UNAVAILABLE); // the old connection
    assert_int_equal(p.ops->node_get(p.s, old, &p.a, &found, &p.st), NRPC_NOT_FOUND);
    uint64_t after = p.ops->incarnation(p.s, &verified);
    assert_true(after != before && !verified);
    assert_int_equal(try_lease(&p, 1, &w, &count), NRPC_NOT_FOUND);
    assert_int_equal(p.ops->claim(p.s, 7, p.now_ms + 2000, p.now_ms + 3000, 1, &p.a, &claims, &count, &p.st),
                     NRPC_FAILED_PRECONDITION);

    // It has 2@1, which the state knows, and of what came later 3@1 and 5@1, which it does not.
    struct state_ref refs[] = {{1, 2, 1}, {1, 3, 1}, {1, 5, 1}};
    struct state_holding h = {.refs = refs, .count = 3, .former = old};
    node.session = 71;
    must(&p, p.ops->node_add(p.s, &node, &h, &p.a, &id, &p.st));
    assert_true(id > p.node && h.kept[0] && !h.kept[1] && !h.kept[2]);
    p.node = id;
    struct state_holder now = {id, 71};
    assert_int_equal(try_lease(&p, 1, &w, &count), NRPC_FAILED_PRECONDITION);
    must(&p, p.ops->verify(p.s, before, NULL, 0, &p.st)); // that was before it began anew
    assert_int_equal(try_lease(&p, 1, &w, &count), NRPC_FAILED_PRECONDITION);
    must(&p, p.ops->verify(p.s, after, (uint64_t[]){1}, 1, &p.st)); // but for task 1
    assert_int_equal(try_lease(&p, 1, &w, &count), NRPC_FAILED_PRECONDITION);
    must(&p, p.ops->verify(p.s, after, NULL, 0, &p.st));
    must(&p, try_lease(&p, 1, &w, &count));
    assert_int_equal(count, 2);
    assert_true(w[0].seq == 1 && w[0].attempt == 2 && w[1].seq == 3 && w[1].attempt == 1);
    assert_true(has_lease(&p, now, refs[0]) && has_lease(&p, now, refs[1]));
    assert_false(has_lease(&p, old, refs[1])); // what it brings of the other 3@1
    must(&p, settle(&p, second, 1, MODEL_SUCCESS, 0));
    must(&p, settle(&p, w, 2, MODEL_SUCCESS, 0));
    close_place(&p);
}

static int count_ids(void *user, uint64_t count, uint64_t *first, struct nrpc_status *st)
{
    (void)st;
    uint64_t *next = user;
    *first = *next;
    *next += count;
    return NRPC_OK;
}

// Numbers of nodes come from the records: when those go back, the state knows what it gave.
static void test_numbers_again(void **state)
{
    (void)state;
    struct place p;
    uint64_t next = 1, id = 0;
    const char *urls[2];
    struct server *second = server_redis(NULL);
    struct state_node node = {.name = "n", .host = "h", .types = "count", .lease_until_ms = CLOCK_NEVER};
    open_place(&p, NULL);
    p.ops->close(p.s);
    urls[0] = server_url(second);
    urls[1] = server_url(p.server);
    char answer[64];
    server_ask(p.server, "FLUSHALL", answer, sizeof answer);
    struct state_redis_options o = {.urls = urls, .url_count = 2, .next_ids = count_ids, .user = &next};
    must(&p, state_redis_open(&o, &p.s, &p.st));
    for (uint64_t i = 1; i <= 5; i++) {
        must(&p, p.ops->node_add(p.s, &node, NULL, &p.a, &id, &p.st));
        assert_true(id == i);
    }
    uint64_t reserved = next - 1; // one call was enough for these, and more
    assert_true(reserved >= 100);
    next = 2;
    must(&p, p.ops->node_add(p.s, &node, NULL, &p.a, &id, &p.st));
    assert_true(id == 6 && next == 2);
    server_ask(second, "FLUSHALL", answer, sizeof answer); // one shard forgets, the other knows
    next = 1;
    must(&p, p.ops->node_add(p.s, &node, NULL, &p.a, &id, &p.st));
    assert_true(id == 7 && next == reserved + 1);
    struct model_marks marks = {.task = 12, .event = 9};
    must(&p, p.ops->marks(p.s, &marks, &p.st));
    assert_true(marks.task == 12 && marks.event == 9 && marks.node == reserved);
    marks = (struct model_marks){.task = 3};
    must(&p, p.ops->marks(p.s, &marks, &p.st));
    assert_true(marks.task == 12 && marks.event == 9 && marks.node == reserved);
    server_destroy(second);
    close_place(&p);
}

static void test_stranger(void **state)
{
    (void)state;
    struct place p;
    struct state *s;
    open_place(&p, NULL);
    const char *url = server_url(p.server);
    struct state_redis_options mine = {.urls = &url, .url_count = 1, .installation = 5}, theirs = mine;
    theirs.installation = 6;
    must(&p, state_redis_open(&mine, &s, &p.st));
    s->ops->close(s);
    assert_int_equal(state_redis_open(&theirs, &s, &p.st), NRPC_FAILED_PRECONDITION);
    assert_non_null(
        strstr(p.st.text, "holds the state of installation 5, the records are of installation 6"));
    assert_null(s);
    must(&p, state_redis_open(&mine, &s, &p.st));
    s->ops->close(s);
    close_place(&p);
}

static bool is_refused(void *arg)
{
    struct place *p = arg;
    return p->ops->check(p->s, &p->st) == NRPC_FAILED_PRECONDITION;
}

static bool is_accepted(void *arg)
{
    return !is_refused(arg);
}

// A setting that would lose state is noticed while it runs, and when another server is made the master.
// ---- what is spread over very many tiles

static unsigned long scripts_run(struct place *p)
{
    char answer[4096];
    server_ask(p->server, "INFO commandstats", answer, sizeof answer);
    const char *at = strstr(answer, "cmdstat_evalsha:calls=");
    return at ? strtoul(at + strlen("cmdstat_evalsha:calls="), NULL, 10) : 0;
}

// However many refs a call has, a script has few; and all of them are dealt with, each once.
static void test_many_tiles(void **state)
{
    enum { TILES = 150, TILE = 32, SCRIPTS = 3 + 1 }; // the first time the server does not know the script
    (void)state;
    struct place p;
    struct state_work *w;
    struct state_ref refs[TILES];
    struct state_holder by[TILES];
    struct state_peek peeks[TILES];
    struct state_progress progress;
    enum state_verdict verdicts[TILES];
    struct state_settle entries[TILES];
    uint64_t made, task = 1;
    open_place(&p, NULL);
    admit(&p, 1, false, false);
    uint64_t fence = claim(&p, &made);
    for (uint64_t at = 0; at < TILES * TILE; at += 600)
        must(&p, push(&p, 1, fence, at, 600, false));
    for (size_t got = 0; got < TILES * TILE; got += lease(&p, 1, 1600, &w))
        ;
    for (size_t i = 0; i < TILES; i++) {
        refs[i] = (struct state_ref){1, 7 + i * TILE, 1};
        by[i] = (struct state_holder){.node = p.node};
        entries[i] = (struct state_settle){
            .ref = {1, 9 + (TILES - 1 - i) * TILE, 1}, .by = by[i], .kind = MODEL_SUCCESS};
    }
    unsigned long before = scripts_run(&p);
    must(&p, p.ops->extend(p.s, refs, TILES, &by[0], p.now_ms + 100000, &p.st));
    must(&p, p.ops->peek(p.s, refs, by, TILES, &p.a, peeks, &p.st));
    for (size_t i = 0; i < TILES; i++)
        assert_true(peeks[i].current);
    must(&p, p.ops->requeue(p.s, refs, TILES, &by[0], STATE_RETURNED, 0, &p.st));
    must(&p, p.ops->settle(p.s, p.now_ms, entries, TILES, verdicts, &p.st));
    assert_int_equal(scripts_run(&p) - before, 4 * SCRIPTS);
    for (size_t i = 0; i < TILES; i++)
        assert_int_equal(verdicts[i], STATE_SETTLED);
    must(&p, p.ops->progress(p.s, &task, 1, &p.a, &progress, &p.st));
    assert_int_equal(progress.counters.succeeded, TILES);
    assert_int_equal(progress.counters.redispatched, TILES);
    assert_int_equal(progress.counters.running, TILES * TILE - 2 * TILES);
    must(&p, p.ops->peek(p.s, refs, by, TILES, &p.a, peeks, &p.st));
    for (size_t i = 0; i < TILES; i++)
        assert_false(peeks[i].current);
    close_place(&p);
}

// What others have run meanwhile is compared first; and while they have it nothing is used.
static void test_barred(void **state)
{
    (void)state;
    struct place p;
    struct state_work *w;
    uint64_t made;
    const char *where;
    open_place(&p, NULL);
    admit(&p, 1, false, false);
    must(&p, push(&p, 1, claim(&p, &made), 0, 10, true));
    assert_int_equal(lease(&p, 1, 3, &w), 3);
    p.ops->watch(p.s, count_resyncs, &p);
    wait_until(was_resynced, &p, "the first look");
    uint64_t was = p.ops->identity(p.s, &where);
    assert_true(was > 0);
    assert_string_equal(where, server_url(p.server));
    for (int i = 0; i < 2; i++) {
        p.ops->bar(p.s, "others have it");
        p.resyncs = 0;
        assert_int_equal(p.ops->check(p.s, &p.st), NRPC_UNAVAILABLE);
        assert_string_equal(p.st.text, "others have it");
        assert_int_equal(settle(&p, w, 1, MODEL_SUCCESS, 0), NRPC_UNAVAILABLE);
    }
    assert_true(p.ops->identity(p.s, &where) == was);
    must(&p, p.ops->begin_anew(p.s, &p.st)); // before anybody may use it
    assert_true(p.ops->identity(p.s, &where) > was);
    assert_int_equal(p.ops->check(p.s, &p.st), NRPC_UNAVAILABLE);
    p.ops->bar(p.s, NULL);
    assert_true(p.resyncs > 0);
    must(&p, p.ops->check(p.s, &p.st));
    p.ops->watch(p.s, NULL, NULL);
    bool verified;
    p.ops->incarnation(p.s, &verified);
    assert_false(verified);
    struct state_claim *claims;
    size_t count;
    assert_int_equal(p.ops->claim(p.s, 1, 1, 100, 10, &p.a, &claims, &count, &p.st),
                     NRPC_FAILED_PRECONDITION);
    must(&p, verify(&p));
    close_place(&p);
}

static void count_gone(void *user, const struct state_hint *h)
{
    struct place *p = user;
    p->gone += h->kind == STATE_HINT_GONE;
}

static bool was_told(void *arg)
{
    struct place *p = arg;
    return p->gone > 0;
}

static void come_and_go(struct place *p, uint64_t id)
{
    admit(p, id, false, false);
    must(p, p->ops->stop(p->s, id, MODEL_OUTCOME_CANCELLED, "", &p->st));
    must(p, p->ops->remove(p->s, &id, 1, 0, &p->st));
}

static void look_again(uint64_t times)
{
    (void)poll(NULL, 0, 10);
    assert_true(times < DEADLINE_MS / 10);
}

// Channels are the server's: another database may be another installation's, with the same numbers.
static void test_two_databases(void **state)
{
    (void)state;
    struct place p, theirs, ours, third;
    char url[100];
    open_place(&p, NULL);
    p.ops->close(p.s);
    const char *first = server_url(p.server), *second = url;
    snprintf(url, sizeof url, "%s/3", first);
    char answer[64];
    server_ask(p.server, "FLUSHALL", answer, sizeof answer);
    struct state_redis_options own = {.urls = &first, .url_count = 1, .installation = 5}, other = own;
    other.urls = &second;
    other.installation = 6;
    ours = theirs = third = p;
    ours.gone = theirs.gone = 0;
    must(&p, state_redis_open(&own, &p.s, &p.st));
    must(&ours, state_redis_open(&own, &ours.s, &ours.st));
    must(&theirs, state_redis_open(&other, &theirs.s, &theirs.st));
    ours.ops->watch(ours.s, count_gone, &ours);
    theirs.ops->watch(theirs.s, count_gone, &theirs);
    must(&third, state_redis_open(&other, &third.s, &third.st));
    must(&p, verify(&p));
    must(&third, verify(&third));
    unsigned told = 0;
    for (uint64_t id = 1; !was_told(&ours); id++, look_again(id)) // it may not listen yet
        come_and_go(&p, id);
    for (uint64_t id = 1; !was_told(&theirs); id++, look_again(id), told++)
        come_and_go(&third, id); // the channel is one: what the others said has come before this
    assert_in_range(theirs.gone, 1, told);
    third.ops->close(third.s);
    ours.ops->watch(ours.s, NULL, NULL);
    theirs.ops->watch(theirs.s, NULL, NULL);
    ours.ops->close(ours.s);
    theirs.ops->close(theirs.s);
    close_place(&p);
}

static void test_settings(void **state)
{
    (void)state;
    struct place p;
    char answer[64];
    open_place(&p, &(struct server_redis_options){.aof = true});
    p.ops->watch(p.s, count_resyncs, &p);
    assert_true(is_accepted(&p));
    server_ask(p.server, "CONFIG SET maxmemory-policy volatile-ttl", answer, sizeof answer);
    wait_until(is_refused, &p, "the policy was noticed");
    assert_non_null(strstr(p.st.text, "maxmemory-policy"));
    server_ask(p.server, "CONFIG SET maxmemory-policy noeviction", answer, sizeof answer);
    wait_until(is_accepted, &p, "the policy is as it was");
    close_place(&p);
}

// It starts again from its AOF: everything is there, but positions that were read may have been forgotten;
// also if the task ends and is removed before anybody reads again.
static void check_restarted(bool ends)
{
    struct place p;
    struct state_work *w;
    struct state_result *results;
    struct state_progress progress;
    uint64_t made, one = 1;
    size_t count;
    bool end;
    open_place(&p, &(struct server_redis_options){.aof = true});
    admit(&p, 1, true, false);
    uint64_t fence = claim(&p, &made);
    must(&p, push(&p, 1, fence, 0, 10, true));
    lease(&p, 1, 10, &w);
    must(&p, settle(&p, w, 4, MODEL_SUCCESS, 0));
    server_terminate(p.server);
    assert_int_equal(settle(&p, w + 4, 1, MODEL_SUCCESS, 0), NRPC_UNAVAILABLE);
    assert_non_null(strstr(p.st.text, "Redis at redis://127.0.0.1"));
    server_start(p.server);
    must(&p, settle(&p, w + 4, 6, MODEL_SUCCESS, 0));
    must(&p, p.ops->progress(p.s, &one, 1, &p.a, &progress, &p.st));
    assert_int_equal(progress.counters.succeeded, 10);
    if (ends)
        must(&p, p.ops->remove(p.s, &one, 1, p.now_ms + 100000, &p.st));
    must(&p, p.ops->results(p.s, 1, 7, 20, &p.a, &results, &count, &end, &p.st)); // it knew of 7: 3 were lost
    assert_int_equal(count, 10);
    assert_int_equal(end, ends);
    must(&p, p.ops->results(p.s, 1, results[4].position, 20, &p.a, &results, &count, &end, &p.st));
    assert_int_equal(count, 5);
    must(&p, p.ops->results(p.s, 1, results[4].position, 20, &p.a, &results, &count, &end, &p.st));
    assert_int_equal(count, 0);
    assert_int_equal(end, ends);
    close_place(&p);
}

static void test_restarted(void **state)
{
    (void)state;
    check_restarted(false);
}

static void test_restarted_and_ended(void **state)
{
    (void)state;
    check_restarted(true);
}

static void test_scripts_forgotten(void **state)
{
    (void)state;
    struct place p;
    char answer[64];
    open_place(&p, NULL);
    server_ask(p.server, "SCRIPT FLUSH", answer, sizeof answer);
    admit(&p, 1, false, false);
    must(&p, p.ops->check(p.s, &p.st));
    close_place(&p);
}

// ---- a server that cannot

static void test_full(void **state)
{
    (void)state;
    struct place p;
    struct state_work *w;
    uint64_t made = 0;
    open_place(&p, &(struct server_redis_options){.maxmemory = "12mb"});
    admit(&p, 1, false, false);
    uint64_t fence = claim(&p, &made);
    int code = NRPC_OK;
    while (code == NRPC_OK && made < 20000) {
        code = push(&p, 1, fence, made, 500, false);
        made += code ? 0 : 500;
        arena_reset(&p.a);
    }
    assert_int_equal(code, NRPC_UNAVAILABLE);
    assert_non_null(strstr(p.st.text, "OOM"));
    // What is there can be settled all the same: leases free nothing, so a little room is made first.
    char answer[64];
    server_ask(p.server, "CONFIG SET maxmemory 13mb", answer, sizeof answer);
    size_t n = lease(&p, 1, 2000, &w);
    assert_true(n > 0);
    server_ask(p.server, "CONFIG SET maxmemory 8mb", answer, sizeof answer);
    assert_int_equal(p.ops->check(p.s, &p.st), NRPC_UNAVAILABLE);
    must(&p, settle(&p, w, n, MODEL_SUCCESS, 0));
    must(&p, p.ops->stop(p.s, 1, MODEL_OUTCOME_CANCELLED, "full", &p.st));
    must(&p, p.ops->remove(p.s, (uint64_t[]){1}, 1, 0, &p.st));
    server_ask(p.server, "CONFIG SET maxmemory 12mb", answer, sizeof answer);
    must(&p, p.ops->check(p.s, &p.st));
    close_place(&p);
}

static void test_paused(void **state)
{
    (void)state;
    struct place p;
    open_place(&p, NULL);
    server_pause(p.server);
    assert_int_equal(p.ops->check(p.s, &p.st), NRPC_UNAVAILABLE);
    assert_non_null(strstr(p.st.text, "no answer within 2000 ms"));
    server_resume(p.server);
    must(&p, p.ops->check(p.s, &p.st));
    close_place(&p);
}

static void test_read_only(void **state)
{
    (void)state;
    struct place p;
    char answer[64], command[64];
    open_place(&p, NULL);
    struct server *other = server_redis(NULL);
    snprintf(command, sizeof command, "REPLICAOF 127.0.0.1 %u", server_port(other));
    server_ask(p.server, command, answer, sizeof answer);
    assert_int_equal(p.ops->check(p.s, &p.st), NRPC_UNAVAILABLE);
    server_ask(p.server, "REPLICAOF NO ONE", answer, sizeof answer);
    must(&p, p.ops->check(p.s, &p.st));
    server_destroy(other);
    close_place(&p);
}

static void test_refused(void **state)
{
    (void)state;
    struct place p = {0};
    struct server *evicts =
        server_redis(&(struct server_redis_options){.config = "maxmemory-policy allkeys-lru"});
    assert_int_equal(open_url(&p, server_url(evicts)), NRPC_FAILED_PRECONDITION);
    assert_non_null(strstr(p.st.text, "maxmemory-policy: it would throw parts of tasks away"));
    server_destroy(evicts);
    struct server *one = server_redis(NULL), *two = server_redis(NULL);
    const char *urls[] = {server_url(one), server_url(two)}, *swapped[] = {server_url(two), server_url(one)};
    must(&p, state_redis_open(&(struct state_redis_options){.urls = urls, .url_count = 2}, &p.s, &p.st));
    p.s->ops->close(p.s);
    int code = state_redis_open(&(struct state_redis_options){.urls = swapped, .url_count = 2}, &p.s, &p.st);
    assert_int_equal(code, NRPC_FAILED_PRECONDITION);
    assert_non_null(strstr(p.st.text, "this Redis holds shard 1/2, and is named as shard 0/2"));
    server_destroy(one);
    server_destroy(two);
    static const struct {
        const char *url, *says;
    } bad[] = {
        {"http://x", "there are redis://"},
        {"redis://", "no host"},
        {"redis://a,b", "several hosts are for redis+sentinel://"},
        {"redis://a:0", "a port that is no number from 1 to 65535"},
        {"redis://a/x", "is no number of a Redis database"},
        {"redis+sentinel://a", "no name of the master"},
        {"redis", "no scheme"},
        {"redis://%zz@a", "a broken escape"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(open_url(&p, bad[i].url), NRPC_INVALID_ARGUMENT);
        if (!strstr(p.st.text, bad[i].says))
            fail_msg("%s: %s", bad[i].url, p.st.text);
    }
    assert_int_equal(open_url(&p, "redis://127.0.0.1:1"), NRPC_UNAVAILABLE);
}

// ---- ways in

static void test_password_socket_database(void **state)
{
    (void)state;
    struct place p = {0};
    char url[300], answer[1000];
    struct server *s = server_redis(&(struct server_redis_options){.password = "p@ss/w?rd"});
    snprintf(url, sizeof url, "redis://127.0.0.1:%u", server_port(s));
    assert_int_equal(open_url(&p, url), NRPC_UNAVAILABLE);
    assert_non_null(strstr(p.st.text, "NOAUTH"));
    snprintf(url, sizeof url, "redis://:p%%40ss%%2fw%%3frd@127.0.0.1:%u/3", server_port(s));
    must(&p, open_url(&p, url));
    p.s->ops->close(p.s);
    snprintf(url, sizeof url, "redis+unix://:p%%40ss%%2fw%%3frd@%s?db=5", server_socket(s));
    must(&p, open_url(&p, url));
    p.s->ops->close(p.s);
    server_ask(s, "INFO keyspace", answer, sizeof answer);
    assert_non_null(strstr(answer, "db3:"));
    assert_non_null(strstr(answer, "db5:"));
    assert_null(strstr(answer, "db0:"));
    server_destroy(s);
}

static bool answers(void *arg)
{
    struct place *p = arg;
    return p->ops->check(p->s, &p->st) == NRPC_OK;
}

static void test_sentinel(void **state)
{
    (void)state;
    struct place p = {.now_ms = 1000000};
    char url[100];
    struct state_progress progress;
    uint64_t one = 1;
    arena_init(&p.a, 0);
    struct server *master = server_redis(NULL);
    struct server *replica = server_redis(&(struct server_redis_options){.replica_of = master});
    struct server *sentinel = server_sentinel(&(struct server_sentinel_options){.master = master});
    snprintf(url, sizeof url, "redis+sentinel://127.0.0.1:%u/dtf", server_port(sentinel));
    must(&p, open_url(&p, url));
    p.ops = p.s->ops;
    admit(&p, 1, false, false);
    server_kill(master);
    assert_int_equal(p.ops->check(p.s, &p.st), NRPC_UNAVAILABLE);
    wait_until(answers, &p, "the replica took over");
    must(&p, p.ops->progress(p.s, &one, 1, &p.a, &progress, &p.st));
    assert_true(progress.found);
    p.ops->close(p.s);
    server_destroy(sentinel);
    server_destroy(replica);
    server_destroy(master);
    arena_fini(&p.a);
}

// ---- what is left

static void assert_keys(struct place *p, const char *expected)
{
    char answer[4096];
    server_ask(p->server,
               "EVAL \"local k = redis.call('KEYS', '*') table.sort(k) return table.concat(k, ' ')\" 0",
               answer, sizeof answer);
    char *text = strstr(answer, "\r\n");
    assert_non_null(text);
    text[2 + strcspn(text + 2, "\r")] = 0;
    assert_string_equal(text + 2, expected);
}

static void test_nothing_left(void **state)
{
    (void)state;
    struct place p;
    struct state_work *w;
    uint64_t made;
    char answer[64];
    open_place(&p, NULL);
    for (uint64_t id = 1; id <= 3;
         id++) { // completed, stopped with everything in every state, failed and kept
        admit(&p, id, id == 3, false);
        uint64_t fence = claim(&p, &made);
        must(&p, push(&p, id, fence, 0, 100, id != 2));
        size_t n = lease(&p, id, id == 2 ? 50 : 100, &w);
        must(&p, settle(&p, w, id == 2 ? 20 : n, id == 3 ? MODEL_FAILURE : MODEL_SUCCESS, 0));
        if (id == 2) {
            must(&p, p.ops->requeue(p.s, &(struct state_ref){2, w[20].seq, 1}, 1, NULL, STATE_RETURNED,
                                    p.now_ms, &p.st));
            must(&p, p.ops->stop(p.s, 2, MODEL_OUTCOME_CANCELLED, NULL, &p.st));
            must(&p, settle(&p, w + 21, 29, MODEL_CANCELLED_RESULT, 0));
        }
    }
    server_ask(
        p.server,
        "EVAL \"for _, k in ipairs(redis.call('KEYS', '*')) do if redis.call('TTL', k) ~= -1 then return k "
        "end end return 'none'\" 0",
        answer, sizeof answer);
    assert_non_null(strstr(answer, "none")); // expires
    must(&p, p.ops->remove(p.s, (uint64_t[]){1, 2, 3}, 3, p.now_ms + 1000, &p.st));
    assert_keys(&p, "dtf:shard dtf:{0}:gone dtf:{0}:gone_read dtf:{0}:meta dtf:{0}:n:1 "
                    "dtf:{0}:nodes dtf:{0}:r:3");
    must(&p, p.ops->expire_results(p.s, p.now_ms + 2000, &p.st));
    must(&p, p.ops->node_remove(p.s, (struct state_holder){.node = p.node}, &p.st));
    assert_keys(&p, "dtf:shard dtf:{0}:meta");
    close_place(&p);
}

// A view tells of no more retries than stand in so many tiles, however many wait.
static void test_ready_bounded(void **state)
{
    (void)state;
    enum { TILE = 32, TILES = 40, READY_TILES = STATE_READY_TILES };
    struct place p;
    struct state_work *w;
    struct state_view *views;
    uint64_t made;
    size_t count;
    open_place(&p, NULL);
    struct state_task t = {.id = 1,
                           .type = "count",
                           .group = "g",
                           .deadline_ms = CLOCK_NEVER,
                           .policy = {1, 10, -1},
                           .param = {"p", 1}};
    must(&p, p.ops->admit(p.s, &t, 1, &p.st));
    must(&p, push(&p, 1, claim(&p, &made), 0, TILES * TILE, true));
    assert_int_equal(lease(&p, 1, TILES * TILE, &w), TILES * TILE);
    for (size_t i = 0; i < TILES; i++)
        must(&p, settle(&p, w + i * TILE, 1, MODEL_FAILURE, 0));
    p.now_ms += 10;
    must(&p, p.ops->views(p.s, p.now_ms, 0, 9, &p.a, &views, &count, &p.st));
    assert_int_equal(count, 1);
    assert_int_equal(views->ready, READY_TILES);
    assert_int_equal(lease(&p, 1, TILES, &w), TILES);
    close_place(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_points),
        cmocka_unit_test(test_points_wait),
        cmocka_unit_test(test_wiped),
        cmocka_unit_test(test_restarted),
        cmocka_unit_test(test_restarted_and_ended),
        cmocka_unit_test(test_older),
        cmocka_unit_test(test_numbers_again),
        cmocka_unit_test(test_stranger),
        cmocka_unit_test(test_many_tiles),
        cmocka_unit_test(test_barred),
        cmocka_unit_test(test_two_databases),
        cmocka_unit_test(test_settings),
        cmocka_unit_test(test_scripts_forgotten),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_paused),
        cmocka_unit_test(test_read_only),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_password_socket_database),
        cmocka_unit_test(test_sentinel),
        cmocka_unit_test(test_nothing_left),
        cmocka_unit_test(test_ready_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
