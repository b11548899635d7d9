// SPDX-License-Identifier: Apache-2.0
// state_contract_fixture.c: the state contract's words.
#include "state_contract_fixture.h"
#include "lease_one.h"

const struct state_contract *fixture_contract;

// ---- text

static const char *text(struct fixture *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
static const char *text(struct fixture *f, const char *format, ...)
{
    char line[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    return arena_strdup(&f->arena, line);
}

static void add_number(char *line, size_t size, const char *name, uint64_t value)
{
    size_t n = strlen(line);
    if (value)
        snprintf(line + n, size - n, " %s=%llu", name, (unsigned long long)value);
}

static void add_text(char *line, size_t size, const char *word)
{
    size_t n = strlen(line);
    snprintf(line + n, size - n, " %s", word);
}

// ---- the watcher

static void watch(void *user, const struct state_hint *h)
{
    static const char *const names[] = {
        [STATE_HINT_VIEW] = "view",       [STATE_HINT_GENERATE] = "generate",
        [STATE_HINT_STOP] = "stop",       [STATE_HINT_CLOSING] = "closing",
        [STATE_HINT_CLOSED] = "closed",   [STATE_HINT_RESULTS] = "results",
        [STATE_HINT_SETTLED] = "settled", [STATE_HINT_GONE] = "gone",
    };
    struct fixture *f = user;
    char word[128], padded[sizeof f->told + 2], search[130];
    if (h->kind == STATE_HINT_RESYNC) // may come at any time, from a thread of the store's
        return;
    int n = snprintf(word, sizeof word, "%s:%llu", names[h->kind], (unsigned long long)h->task);
    if (h->kind == STATE_HINT_SETTLED)
        snprintf(word + n, sizeof word - (size_t)n, "(%llu,%lldus)", (unsigned long long)h->count,
                 (long long)h->run_us);
    snprintf(padded, sizeof padded, "%s ", f->told);
    snprintf(search, sizeof search, " %s ", word);
    if (!strstr(padded, search)) // a hint may be repeated
        add_text(f->told, sizeof f->told, word);
}

static int compare_words(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

const char *told(struct fixture *f)
{
    char *words[256], sorted[sizeof f->told] = "";
    size_t count = 0;
    for (char *w = strtok(f->told, " "); w && count < 256; w = strtok(NULL, " "))
        words[count++] = w;
    if (count)
        qsort(words, count, sizeof *words, compare_words);
    for (size_t i = 0; i < count; i++)
        add_text(sorted, sizeof sorted, words[i]);
    f->told[0] = 0;
    return arena_strdup(&f->arena, count ? sorted + 1 : "");
}

// ---- setting up

int fixture_setup(void **state)
{
    struct fixture *f = mem_calloc(1, sizeof *f);
    f->contract = fixture_contract;
    f->s = f->contract->open_fresh(f->contract->user);
    assert_non_null(f->s);
    f->ops = f->s->ops;
    f->ops->watch(f->s, watch, f);
    f->now_ms = 1000000;
    arena_init(&f->arena, 0);
    *state = f;
    return 0;
}

int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    f->contract->discard(f->contract->user, f->s);
    arena_fini(&f->arena);
    free(f);
    return 0;
}

void store_reopen(struct fixture *f)
{
    f->s = f->contract->reopen(f->contract->user, f->s);
    assert_non_null(f->s);
    f->ops = f->s->ops;
}

struct state_task task_sample(uint64_t id)
{
    return (struct state_task){
        .id = id,
        .type = "count",
        .group = "blue",
        .priority = 7,
        .deadline_ms = CLOCK_NEVER,
        .policy = {.max_retries = 1, .retry_backoff_ms = 100, .tolerated_failures = -1},
        .param = {"param", 5}};
}

void admit_task(struct fixture *f, const struct state_task *task)
{
    must(f, f->ops->admit(f->s, task, 1, &f->st));
}

void admit(struct fixture *f, uint64_t id)
{
    struct state_task task = task_sample(id);
    admit_task(f, &task);
}

static uint64_t register_node(struct fixture *f, int64_t until_ms, struct state_holding *holding)
{
    struct state_node node = {.session = 7000 + ++f->sessions,
                              .name = "n",
                              .host = "h",
                              .types = "count\nsum",
                              .pid = 77,
                              .slots = 4,
                              .lease_until_ms = until_ms};
    uint64_t id = 0;
    must(f, f->ops->node_add(f->s, &node, holding, &f->arena, &id, &f->st));
    assert_true(id < sizeof f->session_of / sizeof *f->session_of);
    f->session_of[id] = node.session;
    return id;
}

uint64_t node_make(struct fixture *f, int64_t until_ms)
{
    return register_node(f, until_ms, NULL);
}

struct state_holder holder(struct fixture *f, uint64_t node)
{
    return (struct state_holder){node, f->session_of[node]};
}

uint64_t node_again(struct fixture *f, uint64_t node, int64_t until_ms, struct state_holding *holding)
{
    holding->former = holder(f, node);
    return register_node(f, until_ms, holding);
}

// ---- looking

static bool view_of(struct fixture *f, uint64_t task, struct state_view *out)
{
    struct state_view *views;
    size_t count;
    must(f, f->ops->views(f->s, f->now_ms, task - 1, 1, &f->arena, &views, &count, &f->st));
    if (!count || views->task != task)
        return false;
    *out = *views;
    return true;
}

static void add_view(struct fixture *f, char *line, size_t size, uint64_t task)
{
    struct state_view view;
    if (!view_of(f, task, &view))
        return;
    add_number(line, size, "ready", view.ready);
    if (view.next_retry_ms != CLOCK_NEVER)
        add_number(line, size, "next", (uint64_t)(view.next_retry_ms - f->now_ms));
}

const char *look(struct fixture *f, uint64_t task)
{
    struct state_progress p;
    must(f, f->ops->progress(f->s, &task, 1, &f->arena, &p, &f->st));
    assert_true(p.task == task);
    if (!p.found)
        return "none";
    const struct model_counters *n = &p.counters;
    assert_true(n->generated ==
                n->succeeded + n->failed + n->timed_out + n->cancelled + n->running + n->queued);
    char line[1000];
    snprintf(line, sizeof line, "%s", model_phase_name(p.phase));
    if (p.paused)
        add_text(line, sizeof line, "paused");
    if (p.outcome)
        add_text(line, sizeof line, model_outcome_name(p.outcome));
    if (p.message)
        add_text(line, sizeof line, text(f, "'%s'", p.message));
    add_number(line, sizeof line, "gen", n->generated);
    add_number(line, sizeof line, "ok", n->succeeded);
    add_number(line, sizeof line, "failed", n->failed);
    add_number(line, sizeof line, "timed_out", n->timed_out);
    add_number(line, sizeof line, "cancelled", n->cancelled);
    add_number(line, sizeof line, "retried", n->retried);
    add_number(line, sizeof line, "redispatched", n->redispatched);
    add_number(line, sizeof line, "run", n->running);
    add_number(line, sizeof line, "queued", n->queued);
    if (n->generation_done)
        add_text(line, sizeof line, "done");
    add_view(f, line, sizeof line, task);
    return arena_strdup(&f->arena, line);
}

static void print_results(struct fixture *f, FILE *out, uint64_t task, bool failures)
{
    struct state_result *r;
    size_t count = 0;
    bool end = false;
    if (failures)
        must(f, f->ops->failures(f->s, task, 0, 1000000, &f->arena, &r, &count, &f->st));
    else if (f->ops->results(f->s, task, 0, 1000000, &f->arena, &r, &count, &end, &f->st))
        assert_int_equal(f->st.code, NRPC_NOT_FOUND);
    for (size_t i = 0; i < count; i++)
        fprintf(out, "  %s %llu: seq %llu attempt %u kind %d code %d '%s' body '%.*s' param '%.*s' %lldus\n",
                failures ? "failure" : "result", (unsigned long long)r[i].position,
                (unsigned long long)r[i].seq, r[i].attempt, (int)r[i].kind, r[i].code,
                r[i].message ? r[i].message : "", (int)r[i].body.bytes,
                r[i].body.data ? (const char *)r[i].body.data : "", (int)r[i].param.bytes,
                r[i].param.data ? (const char *)r[i].param.data : "", (long long)r[i].run_us);
    if (!failures && count)
        fprintf(out, "  end %d\n", end);
}

static void print_task(struct fixture *f, FILE *out, uint64_t task)
{
    const char *line = look(f, task);
    struct state_view v = {0};
    if (strcmp(line, "none")) {
        view_of(f, task, &v);
        fprintf(out, "task %llu: %s version %llu %s/%s priority %u of %u", (unsigned long long)task, line,
                (unsigned long long)v.version, v.group ? v.group : "", v.type ? v.type : "", v.priority,
                v.max_running);
        uint64_t *nodes;
        size_t count;
        must(f, f->ops->holders(f->s, task, &f->arena, &nodes, &count, &f->st));
        for (size_t i = 0; i < count; i++)
            fprintf(out, " @%llu", (unsigned long long)nodes[i]);
        fprintf(out, "\n");
    }
    print_results(f, out, task, false);
    print_results(f, out, task, true);
}

static void print_nodes(struct fixture *f, FILE *out)
{
    struct state_node *n;
    size_t count;
    must(f, f->ops->nodes(f->s, &f->arena, &n, &count, &f->st));
    for (size_t i = 0; i < count; i++)
        fprintf(out, "node %llu: %s %s %s %u %u until %lld running %llu settled %llu %u '%s' '%s'\n",
                (unsigned long long)n[i].id, n[i].name, n[i].host, n[i].types, n[i].pid, n[i].slots,
                (long long)n[i].lease_until_ms, (unsigned long long)n[i].running,
                (unsigned long long)n[i].settled, n[i].usable, n[i].short_of, n[i].quarantine);
}

char *snapshot_except(struct fixture *f, uint64_t task)
{
    char *buffer;
    size_t size;
    FILE *out = open_memstream(&buffer, &size);
    for (uint64_t id = 1; id <= TASKS_SEEN; id++)
        if (id != task)
            print_task(f, out, id);
    if (!task)
        print_nodes(f, out);
    fclose(out);
    char *copy = arena_strdup(&f->arena, buffer);
    free(buffer);
    return copy;
}

char *snapshot(struct fixture *f)
{
    return snapshot_except(f, 0);
}

// ---- generation

uint64_t claim(struct fixture *f, uint64_t task)
{
    struct state_claim *claims;
    size_t count;
    must(f, f->ops->claim(f->s, 50, f->now_ms, f->now_ms + 10000, 100, &f->arena, &claims, &count, &f->st));
    uint64_t fence = 0;
    for (size_t i = 0; i < count; i++)
        if (claims[i].task == task)
            fence = claims[i].fence;
        else
            must(f, f->ops->release_claim(f->s, claims[i].task, claims[i].fence, 0, &f->st));
    assert_true(fence != 0);
    return fence;
}

struct state_subtask *subtasks(struct fixture *f, uint64_t first, size_t count)
{
    struct state_subtask *s = arena_alloc(&f->arena, (count + 1) * sizeof *s);
    for (size_t i = 0; i < count; i++) {
        const char *param = text(f, "p%llu", (unsigned long long)(first + i));
        s[i] = (struct state_subtask){{param, strlen(param)}, (uint32_t)(1000 + first + i)};
    }
    return s;
}

static uint64_t generated(struct fixture *f, uint64_t task)
{
    struct state_progress p;
    must(f, f->ops->progress(f->s, &task, 1, &f->arena, &p, &f->st));
    return p.counters.generated;
}

int push_raw(struct fixture *f, uint64_t task, uint64_t fence, size_t count, bool done)
{
    struct state_queue queue;
    const struct state_subtask *s = subtasks(f, generated(f, task) + 1, count);
    int code = f->ops->push(f->s, task, fence, f->made[task], s, count, (struct state_blob){0}, done, -1,
                            &queue, &f->st);
    f->made[task] += code ? 0 : count;
    return code;
}

void push(struct fixture *f, uint64_t task, size_t count, bool done)
{
    uint64_t fence = claim(f, task);
    must(f, push_raw(f, task, fence, count, done));
    must(f, f->ops->release_claim(f->s, task, fence, 0, &f->st));
}

int feed(struct fixture *f, uint64_t task, uint64_t at, size_t count, bool finish, uint64_t *fed)
{
    return f->ops->feed(f->s, task, at, subtasks(f, at + 1, count), count, finish, fed, &f->st);
}

// ---- dispatch and settling

struct works lease(struct fixture *f, uint64_t node, uint64_t task, uint32_t count)
{
    struct works w;
    struct state_pick pick = {task, count};
    must(f, lease_one(f->s, node, 0, f->now_ms, &pick, 1, NULL, NULL, &f->arena, &w.at, &w.count, &f->st));
    return w;
}

struct state_ref ref_of(const struct state_work *w)
{
    return (struct state_ref){w->task, w->seq, w->attempt};
}

enum state_verdict settle_entry(struct fixture *f, struct state_settle entry)
{
    enum state_verdict verdict;
    must(f, f->ops->settle(f->s, f->now_ms, &entry, 1, &verdict, &f->st));
    return verdict;
}

enum state_verdict settle(struct fixture *f, const struct state_work *w, enum model_kind kind)
{
    return settle_entry(f, (struct state_settle){.ref = ref_of(w),
                                                 .kind = kind,
                                                 .code = kind == MODEL_SUCCESS ? 0 : 3,
                                                 .message = kind == MODEL_SUCCESS ? "" : "bad",
                                                 .body = {"body", 4},
                                                 .run_us = 10});
}

void settle_all(struct fixture *f, struct works w, enum model_kind kind)
{
    for (size_t i = 0; i < w.count; i++)
        settle(f, &w.at[i], kind);
}

struct swept sweep(struct fixture *f)
{
    struct swept w;
    must(f, f->ops->sweep(f->s, f->now_ms, &f->arena, &w.lost, &w.count, &w.next_ms, &f->st));
    return w;
}
