// SPDX-License-Identifier: Apache-2.0
// state_redis_damage_test.c: keys of a task or a node that are not as the scripts write them: every field,
// deleted, set to a text, set to a huge number; whole keys that are gone, or of another type. Every call goes
// on, other tasks end as they should, and the damaged one ends exactly or is taken out, to be admitted again.
#include "base/clock.h"
#include "lease_one.h"
#include "servers/servers.h"
#include "state/state_redis.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum {
    MADE_FIRST = 100,
    MADE = 140,
    LEASED = 40,
    LARGE = 5000,     // every fourth is: a value of its own
    LATER_MS = 60000, // every lease of a subtask is over
    ROUNDS = 30,
    DEADLINE_MS = 20000,
};

struct place {
    struct state *s;
    const struct state_ops *ops;
    struct arena a;
    struct nrpc_status st;
    int64_t now_ms;
    struct state_holder node;
    struct state_ref old[LEASED]; // of the task that is damaged, leased before that was
    uint64_t damaged;             // the task that the store told of last
};

static struct server *server;
static _Atomic uint64_t told; // STATE_HINT_DAMAGED

#define must(p, call) assert_string_equal((call) ? (p)->st.text : "", "")

// A call about one task: it works, or the task is not there.
static bool may(struct place *p, int code)
{
    if (code && code != NRPC_NOT_FOUND)
        fail_msg("%d %s", code, p->st.text);
    return code == NRPC_OK;
}

static void hear(void *user, const struct state_hint *h)
{
    (void)user;
    if (h->kind == STATE_HINT_DAMAGED)
        atomic_store(&told, h->task);
}

// ---- words

static void ask(const char *command)
{
    char answer[1000];
    server_ask(server, command, answer, sizeof answer);
    if (*answer == '-' || !*answer)
        fail_msg("%s: %s", command, answer);
}

static void register_node(struct place *p)
{
    struct state_node node = {.name = "n",
                              .host = "h",
                              .types = "count",
                              .session = ++p->node.session,
                              .pid = 1,
                              .slots = 2,
                              .lease_until_ms = p->now_ms + 2 * LATER_MS};
    struct state_holding none = {.former = {p->node.node, p->node.session - 1}};
    must(p, p->ops->node_add(p->s, &node, &none, &p->a, &p->node.node, &p->st));
}

static void admit(struct place *p, uint64_t id)
{
    struct state_task t = {.id = id,
                           .type = "count",
                           .group = "g",
                           .born_ms = 5,
                           .deadline_ms = CLOCK_NEVER,
                           .policy = {.max_retries = 1, .tolerated_failures = -1},
                           .keep_results = true,
                           .again = true,
                           .param = {"some parameter", 14}};
    must(p, p->ops->admit(p->s, &t, 1, &p->st));
}

// Whoever can be generated gets what is missing of its subtasks.
static void generate(struct place *p, size_t until, bool done)
{
    struct state_claim *claims;
    size_t count;
    must(p, p->ops->claim(p->s, 7, p->now_ms, p->now_ms + 1000, 100, &p->a, &claims, &count, &p->st));
    for (size_t i = 0; i < count; i++) {
        static const char large[LARGE];
        static struct state_subtask subtasks[MADE];
        for (size_t k = 0; k < MADE; k++)
            subtasks[k] = (struct state_subtask){{large, k % 4 ? 3 : LARGE}, 1000};
        struct state_queue queue;
        uint64_t made = claims[i].generated;
        assert_memory_equal(claims[i].param.data, "some parameter", 14);
        int code = p->ops->push(p->s, claims[i].task, claims[i].fence, made, subtasks + made, until - made,
                                (struct state_blob){"checkpoint", 10}, done, -1, &queue, &p->st);
        if (may(p, code) && !done)
            must(p, p->ops->release_claim(p->s, claims[i].task, claims[i].fence, 0, &p->st));
    }
}

static size_t lease(struct place *p, uint64_t task, uint32_t count, struct state_work **works)
{
    size_t n = 0;
    struct state_pick pick = {task, count};
    for (int tries = 0; tries < 2; tries++) {
        if (may(p, lease_one(p->s, p->node.node, 10 * MADE, p->now_ms, &pick, 1, NULL, NULL, &p->a, works, &n,
                             &p->st)))
            return n;
        register_node(p); // it was the node that is damaged
    }
    fail_msg("%s", p->st.text);
    return n;
}

static void settle(struct place *p, const struct state_ref *refs, size_t count, enum model_kind kind,
                   enum state_verdict *verdicts)
{
    struct state_settle *entries = arena_calloc(&p->a, (count + 1) * sizeof *entries);
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct state_settle){.ref = refs[i], .by = p->node, .kind = kind};
    must(p, p->ops->settle(p->s, p->now_ms, entries, count, verdicts, &p->st));
}

static void run(struct place *p, uint64_t task, uint32_t count, enum model_kind kind)
{
    struct state_work *works;
    enum state_verdict verdicts[MADE];
    size_t n = lease(p, task, count, &works);
    struct state_ref refs[MADE];
    for (size_t i = 0; i < n; i++)
        refs[i] = (struct state_ref){works[i].task, works[i].seq, works[i].attempt};
    settle(p, refs, n, kind, verdicts);
}

static struct state_progress progress(struct place *p, uint64_t task)
{
    struct state_progress out;
    must(p, p->ops->progress(p->s, &task, 1, &p->a, &out, &p->st));
    return out;
}

static void read_results(struct place *p, uint64_t task)
{
    struct state_result *results;
    size_t count;
    bool end;
    if (may(p, p->ops->results(p->s, task, 0, MADE, &p->a, &results, &count, &end, &p->st)) && count)
        may(p, p->ops->results(p->s, task, results[count - 1].position, MADE, &p->a, &results, &count, &end,
                               &p->st));
    may(p, p->ops->failures(p->s, task, 0, MADE, &p->a, &results, &count, &p->st));
}

// What the roles do without being asked for a task.
static void look_around(struct place *p)
{
    struct state_view *views;
    struct state_point *points;
    struct state_node *nodes;
    uint64_t *ids;
    size_t count;
    int64_t next_ms;
    must(p, p->ops->views(p->s, p->now_ms, 0, 1000, &p->a, &views, &count, &p->st));
    must(p, p->ops->sweep(p->s, p->now_ms, &p->a, &ids, &count, &next_ms, &p->st));
    must(p, p->ops->overdue(p->s, p->now_ms, 1000, &p->a, &ids, &count, &next_ms, &p->st));
    must(p, p->ops->points(p->s, 1000, &p->a, &points, &count, &p->st));
    must(p, p->ops->points_recorded(p->s, points, count, &p->st));
    must(p, p->ops->nodes(p->s, &p->a, &nodes, &count, &p->st));
    for (int phase = MODEL_GENERATING; phase <= MODEL_CLOSED; phase++)
        must(p, p->ops->in_phase(p->s, (enum model_phase)phase, 0, 1000, &p->a, &ids, &count, &p->st));
    must(p, p->ops->take(p->s, MODEL_CLOSED, p->now_ms, p->now_ms, 1000, &p->a, &ids, &count, &p->st));
    must(p, p->ops->renew_claims(p->s, 7, ids, count, p->now_ms, &p->st));
}

static bool has_ended(struct place *p, uint64_t task)
{
    struct state_progress now = progress(p, task);
    return !now.found || now.phase == MODEL_CLOSED;
}

// Until it has ended, or is not there.
static void drive(struct place *p, uint64_t task)
{
    uint64_t *lost;
    size_t lost_count;
    for (int i = 0; !has_ended(p, task); i++) {
        if (i == ROUNDS)
            fail_msg("task %llu does not end", (unsigned long long)task);
        p->now_ms += LATER_MS;
        const struct state_renewal renewal = {p->node.node, p->now_ms + 2 * LATER_MS, false};
        (void)p->ops->node_renew(p->s, &renewal, 1, &p->a, &lost, &lost_count, &p->st);
        look_around(p);
        generate(p, MADE, true);
        run(p, task, MADE, MODEL_SUCCESS);
        read_results(p, task);
    }
}

static void assert_all(struct place *p, uint64_t task)
{
    struct state_progress now = progress(p, task);
    assert_true(now.found && now.outcome == MODEL_OUTCOME_COMPLETED);
    assert_int_equal(now.counters.succeeded + now.counters.failed + now.counters.timed_out, MADE);
    must(p, p->ops->remove(p->s, &task, 1, 0, &p->st));
}

// ---- damages

static const char *const fields[] = {"type",  "group", "param",     "fixed",    "moving", "born",
                                     "owner", "sum",   "param_sum", "attempts", "queue"};
enum { OTHERS = 5 }; // from this one on the task may do without, or be claimed by another
static const char *const node_fields[] = {"name",  "host",    "types",   "pid",
                                          "slots", "running", "settled", "session"};
static const char *const ways[] = {"HDEL %s %s", "HSET %s %s text", "HSET %s %s 99999999999999999999"};

static void open_place(struct place *p)
{
    const char *url = server_url(server);
    bool verified;
    *p = (struct place){.now_ms = 1000000};
    arena_init(&p->a, 0);
    must(p, state_redis_open(&(struct state_redis_options){.urls = &url, .url_count = 1}, &p->s, &p->st));
    p->ops = p->s->ops;
    p->ops->watch(p->s, hear, NULL);
    ask("HSET dtf:{0}:meta format 3");
    must(p, p->ops->verify(p->s, p->ops->incarnation(p->s, &verified), NULL, 0, &p->st));
    register_node(p);
}

static void close_place(struct place *p)
{
    p->ops->close(p->s);
    arena_fini(&p->a);
}

// A task in the middle of its life: some of it settled, leased, waiting, fresh, and to be made.
static void begin(struct place *p, uint64_t task)
{
    struct state_work *works;
    admit(p, task);
    generate(p, MADE_FIRST, false);
    run(p, task, 5, MODEL_SUCCESS);
    run(p, task, 3, MODEL_FAILURE);
    assert_int_equal(lease(p, task, LEASED, &works), LEASED);
    for (size_t i = 0; i < LEASED; i++)
        p->old[i] = (struct state_ref){works[i].task, works[i].seq, works[i].attempt};
}

static void wait_told(uint64_t task)
{
    int64_t until_us = clock_mono_us() + DEADLINE_MS * 1000;
    while (atomic_load(&told) != task) {
        if (clock_mono_us() > until_us)
            fail_msg("nobody was told of the damage of task %llu", (unsigned long long)task);
        usleep(1000);
    }
}

// It was taken out: it is told, and can be admitted again; what was leased before is nobody's.
static void check_anew(struct place *p, uint64_t task, const char *command)
{
    enum state_verdict verdicts[LEASED];
    struct state_work *works;
    struct state_progress now = progress(p, task);
    if (now.damages != 1 || strncmp(now.message, "dtf:{0}:", 8) != 0)
        fail_msg("%s: %u damages: %s", command, now.damages, now.message);
    print_message("%s: %s\n", command, now.message);
    wait_told(task);
    admit(p, task);
    generate(p, MADE_FIRST, false);
    size_t n = lease(p, task, 50, &works);
    assert_int_equal(n, 50);
    for (size_t i = 0; i < n; i++)
        assert_true(works[i].attempt > 100000);
    settle(p, p->old, LEASED, MODEL_SUCCESS, verdicts);
    for (size_t i = 0; i < LEASED; i++)
        assert_int_equal(verdicts[i], STATE_STALE);
    must(p, p->ops->node_reconcile(p->s, p->node, &(struct state_holding){0}, &p->a, &p->st));
    drive(p, task);
    assert_all(p, task);
}

static uint64_t next_task;

// true: the task was taken out.
static bool damage(struct place *p, const char *format, ...)
{
    char command[500];
    uint64_t well = ++next_task, hurt = ++next_task;
    arena_reset(&p->a);
    begin(p, well);
    begin(p, hurt);
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    ask(command);
    enum state_verdict verdicts[LEASED];
    settle(p, p->old, LEASED, MODEL_SUCCESS, verdicts);
    may(p, p->ops->pause(p->s, hurt, false, &p->st));
    drive(p, well);
    assert_all(p, well);
    drive(p, hurt);
    bool out = !progress(p, hurt).found;
    if (out)
        check_anew(p, hurt, command);
    else
        assert_all(p, hurt);
    return out;
}

#define HURT (next_task + 2)

// ---- tests

static void test_fields(void **state)
{
    (void)state;
    struct place p;
    open_place(&p);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
            char key[60];
            snprintf(key, sizeof key, "dtf:{0}:t:%llu", (unsigned long long)HURT);
            bool out = damage(&p, ways[way], key, fields[i]);
            assert_true(out || i >= OTHERS);
        }
    close_place(&p);
}

// Each number of "fixed" and "moving" as another.
static void test_numbers(void **state)
{
    (void)state;
    static const char *const values[] = {"nil", "-7", "9007199254740991", "1e300", "nan"};
    enum { VALUES = sizeof values / sizeof *values };
    static const struct {
        const char *name;
        int count;
    } rows[] = {{"fixed", 9}, {"moving", 26}};
    struct place p;
    size_t out = 0, all = 0;
    open_place(&p);
    for (size_t row = 0; row < sizeof rows / sizeof *rows; row++) {
        all += (size_t)rows[row].count;
        for (int i = 0; i < rows[row].count * VALUES; i++)
            out += damage(
                &p,
                "EVAL \"local n = 0; local row = redis.call('HGET', KEYS[1], ARGV[1]); redis.call('HSET', "
                "KEYS[1], ARGV[1], (string.gsub(row, '%%S+', function() n = n + 1; return n == "
                "tonumber(ARGV[2]) and ARGV[3] or nil end)))\" 1 dtf:{0}:t:%llu %s %d %s",
                (unsigned long long)HURT, rows[row].name, i / VALUES + 1, values[i % VALUES]);
    }
    assert_true(out > all * 4); // not all of what changes tells by itself
    close_place(&p);
}

// The first and the last tile (leased, fresh), what is to be executed of it, large and small, segments and
// checkpoints.
static void test_hashes(void **state)
{
    (void)state;
    static const struct {
        const char *kind, *names; // in order: the first and the last of those that look so
    } hashes[] = {{"s", "."}, {"p", "^%d+$"}, {"p", ":"}, {"g", "."}, {"c", "."}};
    struct place p;
    open_place(&p);
    for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++)
        for (int last = 0; last < 2; last++)
            for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
                const char *kind = hashes[i].kind;
                char call[100];
                snprintf(call, sizeof call, "'%s', KEYS[1], f%s", way ? "HSET" : "HDEL",
                         way == 0   ? ""
                         : way == 1 ? ", 'text'"
                                    : ", '99999999999999999999'");
                bool out = damage(
                    &p,
                    "EVAL \"local all = {} for _, f in ipairs(redis.call('HKEYS', KEYS[1])) do if "
                    "string.find(f, '%s') then all[#all + 1] = f end end table.sort(all); local f = all[%s]; "
                    "redis.call(%s)\" 1 dtf:{0}:%s:%llu",
                    hashes[i].names, last ? "#all" : "1", call, kind, (unsigned long long)HURT);
                assert_true(out || *kind == 'c' || *kind == 'p'); // it may have been settled
                assert_true(out || *kind != 'p' || !last);
            }
    close_place(&p);
}

static void test_keys(void **state)
{
    (void)state;
    static const char kinds[] = "tspgcwrf";
    struct place p;
    open_place(&p);
    for (size_t i = 0; kinds[i]; i++) {
        bool out = damage(&p, "DEL dtf:{0}:%c:%llu", kinds[i], (unsigned long long)HURT);
        assert_true(out || kinds[i] == 'f' || kinds[i] == 'c');
        assert_true(damage(&p, "SET dtf:{0}:%c:%llu text", kinds[i], (unsigned long long)HURT));
    }
    assert_true(damage(&p, "LSET dtf:{0}:r:%llu 0 text", (unsigned long long)HURT));
    assert_true(damage(&p, "RPUSH dtf:{0}:f:%llu text", (unsigned long long)HURT));
    close_place(&p);
}

// Indexes that name what is not there, and sets that are none.
static void test_indexes(void **state)
{
    (void)state;
    struct place p;
    open_place(&p);
    static const char *const commands[] = {
        "ZADD dtf:{0}:phase:1 77777 77777",
        "ZADD dtf:{0}:phase:3 77777 77777",
        "ZADD dtf:{0}:claims 0 77777",
        "ZADD dtf:{0}:deadlines 0 77777",
        "ZADD dtf:{0}:deadlines inf 77777",
        "ZADD dtf:{0}:points 1 77777",
        "ZADD dtf:{0}:taken:5 0 77777",
        "ZADD dtf:{0}:due 0 77777:1",
        "ZADD dtf:{0}:due 0 text",
        "HSET dtf:{0}:meta last_task text",
        "HSET dtf:{0}:meta last_task 9007199254740991",
        "HSET dtf:{0}:meta last_node 4294967295",
        "HSET dtf:{0}:meta last_task 1e300",
        "HSET dtf:{0}:leads sweep text",
        "HSET dtf:{0}:meta last_node text",
    };
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        assert_false(damage(&p, "%s", commands[i]));
        look_around(&p);
    }
    assert_false(damage(&p, "SADD dtf:{0}:h:%llu text 77777:3", (unsigned long long)p.node.node));
    assert_false(
        damage(&p, "EVAL \"redis.call('DEL', KEYS[1]) redis.call('SET', KEYS[1], 'text')\" 1 dtf:{0}:h:%llu",
               (unsigned long long)p.node.node));
    close_place(&p);
}

static void test_nodes(void **state)
{
    (void)state;
    struct place p;
    open_place(&p);
    for (size_t i = 0; i < sizeof node_fields / sizeof *node_fields; i++)
        for (size_t way = 0; way < sizeof ways / sizeof *ways; way++) {
            char key[60];
            struct state_node found;
            uint64_t before = p.node.node;
            snprintf(key, sizeof key, "dtf:{0}:n:%llu", (unsigned long long)before);
            assert_false(damage(&p, ways[way], key, node_fields[i])); // no task's
            // A text may be any; of a number that is counted up a missing one is made anew.
            bool may_stay = (way > 0 && i < 3) || (way == 0 && !strcmp(node_fields[i], "settled"));
            assert_true(may_stay || p.node.node != before);
            must(&p, p.ops->node_get(p.s, p.node, &p.a, &found, &p.st));
            assert_int_equal(found.running, 0);
        }
    assert_false(
        damage(&p, "EVAL \"redis.call('DEL', KEYS[1]) redis.call('SET', KEYS[1], 'text')\" 1 dtf:{0}:n:%llu",
               (unsigned long long)p.node.node));
    close_place(&p);
}

static int setup(void **state)
{
    (void)state;
    server = server_redis(NULL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    server_destroy(server);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields), cmocka_unit_test(test_numbers), cmocka_unit_test(test_hashes),
        cmocka_unit_test(test_keys),   cmocka_unit_test(test_indexes), cmocka_unit_test(test_nodes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
