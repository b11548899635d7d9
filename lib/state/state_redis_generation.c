// SPDX-License-Identifier: Apache-2.0
// state_redis_generation.c: how subtasks get in: claims of generators and what they push, and what clients
// feed.
#include "state/state_redis_internal.h"

#include <stdlib.h>

static struct state_queue read_queue(struct rs_call *c, const redisReply *row, size_t i)
{
    return (struct state_queue){.subtasks = rs_u64_at(c, row, i, "queued"),
                                .bytes = rs_u64_at(c, row, i + 1, "bytes queued")};
}

static void read_claim(struct rs_call *c, const redisReply *row, struct state_claim *out)
{
    *out = (struct state_claim){.task = rs_u64_at(c, row, 0, "task"),
                                .fence = rs_u64_at(c, row, 1, "fence"),
                                .generated = rs_u64_at(c, row, 2, "made"),
                                .queue = read_queue(c, row, 3),
                                .deadline_ms = rs_time_at(c, row, 5, "deadline"),
                                .is_due = rs_small_at(c, row, 6, "due", 0, 1),
                                .param = rs_blob_at(c, row, 7, "param")};
    if (!rs_is_nil(rs_at(row, 8)))
        out->checkpoint = rs_blob_at(c, row, 8, "checkpoint");
}

// ---- claiming

enum { LOOK_MAX = 1000 }; // tasks of a shard of which one call compares the urgency with others'

struct turn {
    uint32_t priority, shard;
};

static int compare_turns(const void *a, const void *b)
{
    const struct turn *x = a, *y = b;
    return (x->priority < y->priority) - (x->priority > y->priority);
}

struct claiming {
    uint64_t owner;
    int64_t now_ms, until_ms;
    size_t max;
    struct state_claim *claims;
    size_t count, capacity;
    struct turn *turns;
    size_t turn_count, turn_capacity;
    size_t quotas[STATE_REDIS_SHARDS_MAX];
    bool has_unverified;
};

static int look(struct rs_shard *shard, struct claiming *k, struct nrpc_status *st)
{
    struct rs_call c;
    rs_begin(&c, shard, k->now_ms, NULL, st);
    rs_u64(&c, k->max < LOOK_MAX ? k->max : LOOK_MAX);
    if (rs_do(&c, SCRIPT_claimable))
        return rs_end(&c);
    const redisReply *rows = rs_array_at(&c, c.reply, RS_REPLY, "priorities");
    mem_grow(&k->turns, &k->turn_capacity, k->turn_count + rs_size(rows) + 1, sizeof *k->turns);
    for (size_t i = 0; i < rs_size(rows) && !c.code; i++)
        k->turns[k->turn_count++] = (struct turn){rs_u32_at(&c, rows, i, "priority"), shard->index};
    return rs_end(&c);
}

static int claim(struct rs_shard *shard, struct claiming *k, struct arena *a, struct nrpc_status *st)
{
    size_t max = k->quotas[shard->index];
    struct rs_call c;
    rs_begin(&c, shard, k->now_ms, a, st);
    rs_u64(&c, k->owner);
    rs_time(&c, k->until_ms);
    rs_u64(&c, max < INT32_MAX ? max : INT32_MAX);
    rs_do(&c, SCRIPT_claim);
    const redisReply *rows = rs_at(c.reply, RS_REPLY);
    mem_grow(&k->claims, &k->capacity, k->count + rs_size(rows) + 1, sizeof *k->claims);
    for (size_t i = 0; i < rs_size(rows); i++)
        read_claim(&c, rs_at(rows, i), &k->claims[k->count++]);
    return rs_end(&c);
}

// One that is not verified yet does not fail the others.
static void note(struct rs_round *round, struct claiming *k, int answer)
{
    k->has_unverified |= answer == NRPC_FAILED_PRECONDITION;
    rs_note(round, answer == NRPC_FAILED_PRECONDITION ? NRPC_OK : answer);
}

// How many of the most urgent tasks are each shard's.
static void share(struct rs_round *round, struct claiming *k)
{
    for (struct rs_shard *shard; (shard = rs_next(round));)
        note(round, k, look(shard, k, round->st));
    round->next = 0;
    if (k->turn_count)
        qsort(k->turns, k->turn_count, sizeof *k->turns, compare_turns);
    for (size_t i = 0; i < k->turn_count && i < k->max; i++)
        k->quotas[k->turns[i].shard]++;
    free(k->turns);
}

int rs_claim(struct state *s, uint64_t owner, int64_t now_ms, int64_t until_ms, size_t max, struct arena *a,
             struct state_claim **out, size_t *count, struct nrpc_status *st)
{
    struct rs_round round = rs_round(s, st);
    struct claiming k = {.owner = owner, .now_ms = now_ms, .until_ms = until_ms, .max = max};
    if (round.store->shard_count == 1) // which gives its most urgent first by itself
        k.quotas[0] = max;
    else
        share(&round, &k);
    for (struct rs_shard *shard; (shard = rs_next(&round));)
        if (k.quotas[shard->index])
            note(&round, &k, claim(shard, &k, a, st));
    int code = rs_round_any(&round);
    *count = code ? 0 : k.count;
    *out = code ? NULL : arena_dup(a, k.claims, k.count * sizeof *k.claims);
    free(k.claims);
    return code ? code : k.has_unverified ? NRPC_FAILED_PRECONDITION : NRPC_OK;
}

int rs_renew_claims(struct state *s, uint64_t owner, const uint64_t *tasks, size_t count, int64_t until_ms,
                    struct nrpc_status *st)
{
    return rs_do_tasks(s, SCRIPT_renew_claims, &owner, until_ms, tasks, count, st);
}

int rs_release_claim(struct state *s, uint64_t task, uint64_t fence, int64_t not_before_ms,
                     struct nrpc_status *st)
{
    struct rs_call c;
    rs_begin(&c, rs_shard_of((struct rs_store *)s, task), RS_SEEN, NULL, st);
    rs_u64(&c, task);
    rs_u64(&c, fence);
    rs_time(&c, not_before_ms);
    return rs_finish(&c, SCRIPT_release_claim);
}

int rs_push(struct state *s, uint64_t task, uint64_t fence, uint64_t at, const struct state_subtask *subtasks,
            size_t count, struct state_blob checkpoint, bool done, int progress_percent,
            struct state_queue *queue, struct nrpc_status *st)
{
    struct rs_call c;
    rs_begin(&c, rs_shard_of((struct rs_store *)s, task), RS_SEEN, NULL, st);
    rs_u64(&c, task);
    rs_u64(&c, fence);
    rs_u64(&c, at);
    rs_u64(&c, done);
    rs_i64(&c, progress_percent < 0 ? -1 : progress_percent > 100 ? 100 : progress_percent);
    rs_optional(&c, checkpoint.data, checkpoint.bytes);
    rs_batch(&c, subtasks, count);
    if (rs_do(&c, SCRIPT_push) == NRPC_OK)
        *queue = read_queue(&c, c.reply, RS_REPLY);
    return rs_end(&c);
}

int rs_feed(struct state *s, uint64_t task, uint64_t at, const struct state_subtask *subtasks, size_t count,
            bool finish, uint64_t *fed, struct nrpc_status *st)
{
    struct rs_call c;
    rs_begin(&c, rs_shard_of((struct rs_store *)s, task), RS_SEEN, NULL, st);
    rs_u64(&c, task);
    rs_u64(&c, at);
    rs_u64(&c, finish);
    rs_batch(&c, subtasks, count);
    if (rs_do(&c, SCRIPT_feed) == NRPC_OK)
        *fed = rs_u64_at(&c, c.reply, RS_REPLY, "fed");
    return rs_end(&c);
}
