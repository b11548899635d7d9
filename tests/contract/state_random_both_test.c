// SPDX-License-Identifier: Apache-2.0
// state_random_both_test.c: one random sequence of operations on SQLite, one Redis and three: all answer the
// same. DTF_SEED chooses the sequence, DTF_OPERATIONS its length.
#include "base/mem.h"
#include "embedded/db.h"
#include "embedded/db_internal.h"
#include "servers/servers.h"
#include "state/state_redis.h"
#include "state_both.h"

#include <time.h>

enum { SHARDS = 3, OPERATIONS = 10000, LOOK_EVERY = 8 };

// ---- looking at everything

static void look_at_task(struct walk *w, struct store *s, size_t slot)
{
    struct state_progress p = progress_of(w, s, slot);
    const struct model_counters *n = &p.counters;
    both_say(s, "task %llu: %d", (unsigned long long)w->ids[slot], p.found);
    if (!p.found)
        return;
    both_say(s, " %s%s %s '%s' %llu = %llu %llu %llu %llu + %llu %llu (%llu %llu)%s until %lld '%s' %d %%\n",
             model_phase_name(p.phase), p.paused ? " paused" : "", model_outcome_name(p.outcome),
             p.message ? p.message : "", (unsigned long long)n->generated, (unsigned long long)n->succeeded,
             (unsigned long long)n->failed, (unsigned long long)n->timed_out,
             (unsigned long long)n->cancelled, (unsigned long long)n->running, (unsigned long long)n->queued,
             (unsigned long long)n->retried, (unsigned long long)n->redispatched,
             n->generation_done ? " done" : "", (long long)p.deadline_ms, p.type, p.progress_percent);
    uint64_t *nodes;
    size_t count;
    if (succeeds(s, s->ops->holders(s->s, w->ids[slot], &s->arena, &nodes, &count, &s->st)))
        both_say(s, " holders %zu", count);
}

static void look_at_views(struct walk *w, struct store *s)
{
    struct state_view *v;
    size_t count;
    if (!succeeds(s, s->ops->views(s->s, w->now_ms, 0, ALL, &s->arena, &v, &count, &s->st)))
        return;
    for (size_t i = 0; i < count; i++) // ids rising; of many retries not all need be counted
        both_say(s, "\nview %llu '%s' '%s' %u ready %d running %llu of %u", (unsigned long long)v[i].task,
                 v[i].group, v[i].type, v[i].priority, v[i].ready > 0, (unsigned long long)v[i].running,
                 v[i].max_running);
}

static void say_results(struct store *s, const struct state_result *r, size_t count)
{
    long start = begin_set(s);
    for (size_t i = 0; i < count; i++)
        say_result(s, &r[i]);
    sort_from(s, start);
}

static void look_at_results(struct walk *w, struct store *s, size_t slot)
{
    struct state_result *r;
    size_t count;
    bool end;
    if (succeeds(s, s->ops->results(s->s, w->ids[slot], 0, ALL, &s->arena, &r, &count, &end, &s->st))) {
        say_results(s, r, count);
        both_say(s, "end %d\n", end);
    }
    if (succeeds(s, s->ops->failures(s->s, w->ids[slot], 0, ALL, &s->arena, &r, &count, &s->st)))
        say_results(s, r, count);
}

static void look_at_nodes(struct store *s)
{
    struct state_node *n;
    size_t count;
    if (!succeeds(s, s->ops->nodes(s->s, &s->arena, &n, &count, &s->st)))
        return;
    long start = begin_set(s);
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < NODES; k++)
            if (s->nodes[k] == n[i].id)
                both_say(s, "node %zu '%s' '%s' %u %u until %lld running %llu settled %llu %u '%s' '%s'\n", k,
                         n[i].name, n[i].host, n[i].pid, n[i].slots, (long long)n[i].lease_until_ms,
                         (unsigned long long)n[i].running, (unsigned long long)n[i].settled, n[i].usable,
                         n[i].short_of, n[i].quarantine);
    sort_from(s, start);
    both_say(s, "%zu nodes\n", count);
}

static void look_at_all(struct walk *w, struct store *s, dice *d)
{
    (void)d;
    for (size_t i = 0; i < SLOTS; i++)
        if (w->ids[i]) {
            look_at_task(w, s, i);
            look_at_results(w, s, i);
        }
    look_at_views(w, s);
    look_at_nodes(s);
}

// ---- walking

static const struct {
    const char *name;
    both_operation *run;
} operations[] = {
#define OPERATION(name)                                                                                      \
    {                                                                                                        \
#name, both_##name                                                                                   \
    }
    OPERATION(admit),     OPERATION(admit),      OPERATION(pause),    OPERATION(stop),
    OPERATION(close),     OPERATION(remove),     OPERATION(take),     OPERATION(look_for),
    OPERATION(lead),      OPERATION(claim),      OPERATION(claim),    OPERATION(renew_claims),
    OPERATION(push),      OPERATION(push),       OPERATION(push),     OPERATION(feed),
    OPERATION(feed),      OPERATION(lease),      OPERATION(lease),    OPERATION(lease),
    OPERATION(lease),     OPERATION(settle),     OPERATION(settle),   OPERATION(settle),
    OPERATION(settle),    OPERATION(requeue),    OPERATION(peek),     OPERATION(sweep),
    OPERATION(read),      OPERATION(read),       OPERATION(node_add), OPERATION(node_renew),
    OPERATION(node_note), OPERATION(node_leave), OPERATION(time),     OPERATION(time),
};
enum { KINDS = sizeof operations / sizeof *operations };

// Shows the first lines that are not the same.
static void complain(const struct store *a, const struct store *b, long number, const char *name)
{
    size_t at = 0;
    while (a->text[at] == b->text[at])
        at++;
    while (at && a->text[at - 1] != '\n')
        at--;
    fail_msg("operation %ld, %s:\n---- %s answers\n%.500s\n---- %s answers\n%.500s\n", number, name, a->name,
             a->text + at, b->name, b->text + at);
}

// Does it to every store, the first one last, and compares what they answered.
static void do_to_all(struct walk *w, const char *name, long number, both_operation *run, dice d)
{
    for (int i = STORES - 1; i >= 0; i--) {
        struct store *s = &w->stores[i];
        dice own = d;
        s->out = open_memstream(&s->text, &s->size);
        run(w, s, &own);
        (void)fclose(s->out);
        arena_reset(&s->arena);
    }
    for (int i = 1; i < STORES; i++)
        if (strcmp(w->stores[0].text, w->stores[i].text) != 0)
            complain(&w->stores[0], &w->stores[i], number, name);
    for (int i = 0; i < STORES; i++)
        free(w->stores[i].text);
}

static void all_answer_the_same(void **state)
{
    struct walk *w = *state;
    const char *seed = getenv("DTF_SEED"), *length = getenv("DTF_OPERATIONS");
    dice d = seed ? strtoull(seed, NULL, 10) : (uint64_t)time(NULL) * 2654435761u | 1;
    long count = length ? atol(length) : OPERATIONS;
    print_message("           DTF_SEED=%llu\n", (unsigned long long)d);
    for (long i = 0; i < count; i++) {
        size_t kind = roll(&d, KINDS);
        do_to_all(w, operations[kind].name, i, operations[kind].run, d);
        if (i % LOOK_EVERY == 0)
            do_to_all(w, "looking", i, look_at_all, d);
    }
}

// ---- the stores

static struct db *db;
static struct server *servers[1 + SHARDS];

static struct state *open_redis(struct server *const *at, size_t count)
{
    const char *urls[SHARDS];
    struct nrpc_status st = {0};
    struct state *s = NULL;
    for (size_t i = 0; i < count; i++)
        urls[i] = server_url(at[i]);
    state_redis_open(&(struct state_redis_options){.urls = urls, .url_count = count}, &s, &st);
    assert_string_equal(st.text, "");
    bool verified;
    assert_int_equal(s->ops->verify(s, s->ops->incarnation(s, &verified), NULL, 0, &st), NRPC_OK);
    return s;
}

static void add_store(struct walk *w, size_t i, const char *name, struct state *s)
{
    w->stores[i] = (struct store){.name = name, .s = s, .ops = s->ops};
    arena_init(&w->stores[i].arena, 0);
}

static int setup(void **state)
{
    struct walk *w = mem_calloc(1, sizeof *w);
    struct nrpc_status st = {0};
    for (size_t i = 0; i < 1 + SHARDS; i++)
        servers[i] = server_redis(NULL);
    db_open(NULL, &db, &st);
    assert_string_equal(st.text, "");
    add_store(w, 0, "SQLite", state_sqlite_open(db));
    add_store(w, 1, "one Redis", open_redis(&servers[0], 1));
    char answer[64]; // the three keep to the form of programs from before
    server_ask(servers[0], "HSET dtf:{0}:meta format 3", answer, sizeof answer);
    add_store(w, 2, "three Redis", open_redis(&servers[1], SHARDS));
    w->now_ms = 1000000;
    w->next_id = 1;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct walk *w = *state;
    for (size_t i = 0; i < STORES; i++) {
        w->stores[i].ops->close(w->stores[i].s);
        arena_fini(&w->stores[i].arena);
    }
    db_close(db);
    for (size_t i = 0; i < 1 + SHARDS; i++)
        server_destroy(servers[i]);
    free(w);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(all_answer_the_same, setup, teardown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
