// SPDX-License-Identifier: Apache-2.0
// state_redis.c: opening and closing the Redis state store, and the frame around each of its calls.
#include "base/ids.h"
#include "base/log.h"
#include "state/state_redis_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct state_ops ops = {
    .close = rs_close,
    .watch = rs_watch,
    .sync = rs_sync,
    .check = rs_check,
    .lead = rs_lead,
    .incarnation = rs_incarnation,
    .verify = rs_verify,
    .marks = rs_marks,
    .identity = rs_identity,
    .bar = rs_bar,
    .begin_anew = rs_begin_anew,
    .rebase = rs_rebase,
    .admit = rs_admit,
    .pause = rs_pause,
    .stop = rs_stop,
    .overdue = rs_overdue,
    .in_phase = rs_in_phase,
    .take = rs_take,
    .hold = rs_hold,
    .close_task = rs_close_task,
    .blame = rs_blame,
    .remove = rs_remove,
    .progress = rs_progress,
    .expire_results = rs_expire_results,
    .points = rs_points,
    .points_recorded = rs_points_recorded,
    .claim = rs_claim,
    .renew_claims = rs_renew_claims,
    .release_claim = rs_release_claim,
    .push = rs_push,
    .feed = rs_feed,
    .feeder = rs_feeder,
    .feeders_overdue = rs_feeders_overdue,
    .views = rs_views,
    .lease = rs_lease,
    .requeue = rs_requeue,
    .extend = rs_extend,
    .sweep = rs_sweep,
    .holders = rs_holders,
    .peek = rs_peek,
    .settle = rs_settle_batch,
    .results = rs_results,
    .failures = rs_failures,
    .node_add = rs_node_add,
    .node_get = rs_node_get,
    .node_renew = rs_node_renew,
    .node_grace = rs_node_grace,
    .node_note = rs_node_note,
    .node_reconcile = rs_node_reconcile,
    .node_remove = rs_node_remove,
    .nodes = rs_nodes,
};

// ---- opening

// How many shards there are to be, in *out.
static int count_shards(const struct state_redis_options *o, size_t *out, struct nrpc_status *st)
{
    bool is_cluster = false;
    for (size_t i = 0; i < o->url_count; i++)
        is_cluster |= redis_place_names_cluster(o->urls[i]);
    if (o->url_count < 1 || o->url_count > STATE_REDIS_SHARDS_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "%zu Redis servers; there can be 1 to %d", o->url_count,
                          STATE_REDIS_SHARDS_MAX);
    if (is_cluster && o->url_count > 1)
        return status_set(st, NRPC_INVALID_ARGUMENT,
                          "a Redis Cluster is one url, with several hosts, and nothing beside it");
    if (o->shards && (o->shards < o->url_count || o->shards > STATE_REDIS_SHARDS_MAX))
        return status_set(st, NRPC_INVALID_ARGUMENT,
                          "%u shards; with %zu Redis servers there can be %zu to %d", o->shards, o->url_count,
                          o->url_count, STATE_REDIS_SHARDS_MAX);
    *out = o->shards ? o->shards : is_cluster ? STATE_REDIS_CLUSTER_SHARDS : o->url_count;
    return NRPC_OK;
}

static int open_shard(struct rs_store *store, unsigned i, const char *url, bool is_one_of_many,
                      struct nrpc_status *st)
{
    struct rs_shard *shard = &store->shards[i];
    *shard = (struct rs_shard){.store = store, .index = i, .wake = {-1, -1}};
    snprintf(shard->prefix, sizeof shard->prefix, "dtf:{%u}", i);
    pthread_mutex_init(&shard->why_lock, NULL);
    store->shard_count++;
    if (pipe2(shard->wake, O_CLOEXEC | O_NONBLOCK))
        return status_errno(st, errno, "pipe");
    return redis_link_create(url, is_one_of_many ? shard->prefix : NULL, rs_hello, shard, &shard->link, st);
}

int state_redis_open(const struct state_redis_options *o, struct state **out, struct nrpc_status *st)
{
    struct nrpc_status own = {0};
    st = st ? st : &own;
    *out = NULL;
    size_t shards = 0;
    if (count_shards(o, &shards, st))
        return st->code;
    struct rs_store *store = mem_calloc(1, sizeof *store);
    store->state = (struct state){.ops = &ops, .disposable = true};
    store->next_ids = o->next_ids;
    store->user = o->user;
    store->installation = o->installation;
    store->server_count = o->url_count;
    pthread_mutex_init(&store->bar_lock, NULL);
    store->shards = mem_calloc(shards, sizeof *store->shards);
    snprintf(store->sender, sizeof store->sender, "%" PRIu64 "/%" PRIu64, store->installation, ids_random());
    int code = NRPC_OK;
    for (unsigned i = 0; code == NRPC_OK && i < shards; i++) {
        const char *url = o->urls[i % o->url_count];
        code = open_shard(store, i, url, redis_place_names_cluster(url) || shards > o->url_count, st);
    }
    code = code ? code : rs_check(&store->state, st);
    for (size_t i = 0; code == NRPC_OK && i < store->shard_count; i++) {
        rs_look_at_settings(&store->shards[i]);
        code = rs_check_settings(&store->shards[i], st);
    }
    code = code ? code : rs_tick(&store->shards[0], st); // before anything happens by a wrong clock
    if (code)
        rs_close(&store->state);
    else
        *out = &store->state;
    return code;
}

void rs_close(struct state *s)
{
    struct rs_store *store = (struct rs_store *)s;
    if (!store)
        return;
    rs_watch(s, NULL, NULL);
    for (size_t i = 0; i < store->shard_count; i++) {
        redis_link_destroy(store->shards[i].link);
        pthread_mutex_destroy(&store->shards[i].why_lock);
        close(store->shards[i].wake[0]);
        close(store->shards[i].wake[1]);
    }
    pthread_mutex_destroy(&store->bar_lock);
    free(store->shards);
    free(store);
}

bool rs_is_cluster(const struct rs_shard *shard)
{
    return redis_place_is_cluster(redis_link_place(shard->link));
}

// ---- the frame of a call

static int64_t see_time(struct rs_store *store, int64_t now_ms)
{
    int64_t old = atomic_load(&store->now_ms);
    if (now_ms == RS_SEEN)
        return old;
    while (now_ms > old && !atomic_compare_exchange_weak(&store->now_ms, &old, now_ms))
        ;
    return now_ms;
}

void rs_begin(struct rs_call *c, struct rs_shard *shard, int64_t now_ms, struct arena *out,
              struct nrpc_status *st)
{
    *c = (struct rs_call){.shard = shard, .st = st};
    arena_init(&c->scratch, 0);
    c->out = out ? out : &c->scratch;
    c->count = REDIS_SCRIPT_ARGS;
    rs_u64(c, rs_is_cluster(shard) ? 2 : 1);
    rs_text(c, shard->prefix);
    if (rs_is_cluster(shard))
        rs_text(c, shard->prefix);
    rs_text(c, shard->store->sender);
    rs_time(c, see_time(shard->store, now_ms));
}

void rs_bytes(struct rs_call *c, const void *data, size_t bytes)
{
    mem_grow(&c->args, &c->capacity, c->count + 1, sizeof *c->args);
    mem_grow(&c->lengths, &c->length_capacity, c->count + 1, sizeof *c->lengths);
    c->args[c->count] = bytes ? data : "";
    c->lengths[c->count++] = bytes;
}

void *rs_scratch(struct rs_call *c, size_t bytes)
{
    return arena_alloc(&c->scratch, bytes ? bytes : 1);
}

void rs_u64(struct rs_call *c, uint64_t value)
{
    char *text = rs_scratch(c, 24);
    rs_bytes(c, text, (size_t)snprintf(text, 24, "%" PRIu64, value));
}

void rs_i64(struct rs_call *c, int64_t value)
{
    char *text = rs_scratch(c, 24);
    rs_bytes(c, text, (size_t)snprintf(text, 24, "%" PRId64, value));
}

void rs_time(struct rs_call *c, int64_t ms)
{
    rs_i64(c, ms < STATE_REDIS_NEVER ? ms : STATE_REDIS_NEVER);
}

void rs_text(struct rs_call *c, const char *text)
{
    rs_bytes(c, text, text ? strlen(text) : 0);
}

void rs_optional(struct rs_call *c, const void *data, size_t bytes)
{
    rs_u64(c, data != NULL);
    rs_bytes(c, data, bytes);
}

static bool share_timeout(const struct state_subtask *subtasks, size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (subtasks[i].timeout_ms != subtasks[0].timeout_ms)
            return false;
    return subtasks[0].timeout_ms > 0;
}

// As tile.lua's batch_read takes it apart. All numbers in packed arrays are little-endian, as this machine's
// are.
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "packed arguments are written as they are in memory");

void rs_batch(struct rs_call *c, const struct state_subtask *subtasks, size_t count)
{
    rs_u64(c, count);
    if (!count)
        return;
    size_t total = 0, longest = 0;
    for (size_t i = 0; i < count; i++) {
        total += subtasks[i].param.bytes;
        longest = subtasks[i].param.bytes > longest ? subtasks[i].param.bytes : longest;
    }
    uint32_t *timeouts = rs_scratch(c, count * 4), *lengths = rs_scratch(c, count * 4);
    uint32_t *sums = rs_scratch(c, (count + 1) * 4), sum = 0;
    char *bytes = rs_scratch(c, total);
    for (size_t i = 0; i < count; i++) {
        timeouts[i] = subtasks[i].timeout_ms;
        lengths[i] = (uint32_t)subtasks[i].param.bytes;
        sums[i] = sum;
        if (lengths[i])
            memcpy(bytes + sum, subtasks[i].param.data, lengths[i]);
        sum += lengths[i];
    }
    sums[count] = sum;
    bool shared = share_timeout(subtasks, count);
    rs_u64(c, shared ? subtasks[0].timeout_ms : 0);
    rs_bytes(c, timeouts, shared ? 0 : count * 4);
    rs_bytes(c, lengths, count * 4);
    rs_bytes(c, sums, (count + 1) * 4);
    rs_bytes(c, bytes, total);
    rs_u64(c, longest);
}

size_t rs_put_tasks(struct rs_call *c, const uint64_t *tasks, size_t count)
{
    struct rs_store *store = c->shard->store;
    size_t n = 0, at = c->count;
    rs_u64(c, count);
    for (size_t i = 0; i < count; i++)
        if (rs_shard_of(store, tasks[i]) == c->shard) {
            rs_u64(c, tasks[i]);
            n++;
        }
    char *text = rs_scratch(c, 24);
    c->lengths[at] = (size_t)snprintf(text, 24, "%zu", n);
    c->args[at] = text;
    return n;
}

static int do_some(struct rs_shard *shard, enum redis_script_id script, const uint64_t *first, int64_t ms,
                   const uint64_t *tasks, size_t count, struct nrpc_status *st)
{
    struct rs_call c;
    rs_begin(&c, shard, RS_SEEN, NULL, st);
    if (first)
        rs_u64(&c, *first);
    rs_time(&c, ms);
    return rs_put_tasks(&c, tasks, count) ? rs_finish(&c, script) : rs_end(&c);
}

int rs_do_tasks(struct state *s, enum redis_script_id script, const uint64_t *first, int64_t ms,
                const uint64_t *tasks, size_t count, struct nrpc_status *st)
{
    struct rs_round round = rs_round(s, st);
    for (struct rs_shard *shard; (shard = rs_next(&round));) {
        int code = NRPC_OK;
        for (size_t at = 0; at < count && code == NRPC_OK; at += RS_TASKS_MAX)
            code = do_some(shard, script, first, ms, tasks + at,
                           count - at < RS_TASKS_MAX ? count - at : RS_TASKS_MAX, st);
        rs_note(&round, code);
    }
    return rs_round_end(&round);
}

// ---- all servers

struct rs_round rs_round(struct state *s, struct nrpc_status *st)
{
    return (struct rs_round){.store = (struct rs_store *)s, .st = st};
}

struct rs_shard *rs_next(struct rs_round *r)
{
    bool over = r->code && r->code != NRPC_UNAVAILABLE;
    while (!over && r->next < r->store->shard_count) {
        struct rs_shard *shard = &r->store->shards[r->next++];
        if (rs_is_down(shard))
            continue;
        r->asked++;
        return shard;
    }
    return NULL;
}

void rs_note(struct rs_round *r, int code)
{
    r->answered += !code;
    r->code = code ? code : r->code;
}

int rs_round_any(const struct rs_round *r)
{
    return r->answered && r->code == NRPC_UNAVAILABLE ? NRPC_OK : rs_round_end(r);
}

int rs_round_end(const struct rs_round *r)
{
    if (!r->asked && !r->code && r->next)
        return rs_fail_down(r->store->shards, r->st);
    return r->code;
}

bool rs_is_down(const struct rs_shard *shard)
{
    return atomic_load(&shard->down) || atomic_load(&shard->store->is_barred);
}

// false: there is nothing to read.
static bool copy_why(pthread_mutex_t *lock, const char *why, char *out, size_t size)
{
    pthread_mutex_lock(lock);
    snprintf(out, size, "%s", why);
    pthread_mutex_unlock(lock);
    return *out;
}

int rs_fail_down(struct rs_shard *shard, struct nrpc_status *st)
{
    struct rs_store *store = shard->store;
    char why[sizeof shard->why];
    if (copy_why(&store->bar_lock, store->bar, why, sizeof why) ||
        copy_why(&shard->why_lock, shard->why, why, sizeof why))
        return status_set(st, NRPC_UNAVAILABLE, "%s", why);
    return status_set(st, NRPC_UNAVAILABLE, "Redis at %s: does not answer", redis_link_name(shard->link));
}

int rs_do(struct rs_call *c, enum redis_script_id script)
{
    c->script = redis_scripts[script].name;
    bool asks_anyhow = script == SCRIPT_tick || script == SCRIPT_begin_anew;
    if (rs_is_down(c->shard) && !asks_anyhow)
        return c->code = rs_fail_down(c->shard, c->st);
    c->code = redis_link_script(c->shard->link, &redis_scripts[script], c->count, c->args, c->lengths,
                                &c->reply, c->st);
    if (c->code == NRPC_UNAVAILABLE && !asks_anyhow)
        rs_doubt(c->shard);
    if (c->code)
        return c->code;
    uint32_t code = rs_u32_at(c, c->reply, 0, "code");
    if (c->code == NRPC_OK && code)
        c->code = status_set(c->st, (int)code, "%s", rs_at(c->reply, 1)->str);
    return c->code;
}

int rs_end(struct rs_call *c)
{
    const redisReply *hints = rs_at(c->reply, 1);
    if (!c->code && hints->len)
        rs_tell(c->shard->store, hints->str, hints->len);
    if (c->reply)
        freeReplyObject(c->reply);
    arena_fini(&c->scratch);
    free(c->args);
    free(c->lengths);
    return c->code;
}

int rs_finish(struct rs_call *c, enum redis_script_id script)
{
    rs_do(c, script);
    return rs_end(c);
}

struct rs_shard *rs_shard_of(const struct rs_store *store, uint64_t task)
{
    return &store->shards[task % store->shard_count];
}

int rs_sync(struct state *s, struct nrpc_status *st)
{
    (void)s, (void)st;
    return NRPC_OK;
}

int rs_check(struct state *s, struct nrpc_status *st)
{
    const struct rs_store *store = (const struct rs_store *)s;
    int code = NRPC_OK;
    for (size_t i = 0; code == NRPC_OK && i < store->shard_count; i++) {
        struct rs_call c;
        rs_begin(&c, &store->shards[i], RS_SEEN, NULL, st);
        code = rs_finish(&c, SCRIPT_check);
        code = code ? code : rs_check_settings(&store->shards[i], st);
    }
    return code;
}

int rs_lead(struct state *s, const char *duty, uint64_t owner, int64_t now_ms, int64_t until_ms, bool *leads,
            struct nrpc_status *st)
{
    // The first that is up decides. While servers come and go two may lead, which is harmless.
    struct rs_round r = rs_round(s, st);
    struct rs_shard *shard = rs_next(&r);
    struct rs_call c;
    *leads = false;
    if (!shard)
        return rs_round_end(&r);
    rs_begin(&c, shard, now_ms, NULL, st);
    rs_text(&c, duty);
    rs_u64(&c, owner);
    rs_time(&c, until_ms);
    *leads = !rs_do(&c, SCRIPT_lead) && rs_u64_at(&c, c.reply, RS_REPLY, "verdict") == 1;
    return rs_end(&c);
}
