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

int rs_claim(struct state *s, uint64_t owner, int64_t now_ms, int64_t until_ms, size_t max, struct arena *a,
             struct state_claim **out, size_t *count, struct nrpc_status *st)
{
    struct rs_round round = rs_round(s, st);
    struct state_claim *claims = NULL;
    size_t capacity = 0, unverified = 0;
    *count = 0;
    for (struct rs_shard *shard; (*count < max) && (shard = rs_next(&round));) {
        struct rs_call c;
        rs_begin(&c, shard, now_ms, a, st);
        rs_u64(&c, owner);
        rs_time(&c, until_ms);
        rs_u64(&c, max - *count < INT32_MAX ? max - *count : INT32_MAX);
        rs_do(&c, SCRIPT_claim);
        const redisReply *rows = rs_at(c.reply, RS_REPLY);
        mem_grow(&claims, &capacity, *count + rs_size(rows) + 1, sizeof *claims);
        for (size_t k = 0; k < rs_size(rows); k++)
            read_claim(&c, rs_at(rows, k), &claims[(*count)++]);
        int answer = rs_end(&c);
        unverified += answer == NRPC_FAILED_PRECONDITION;
        rs_note(&round, answer == NRPC_FAILED_PRECONDITION ? NRPC_OK : answer);
    }
    int code = rs_round_any(&round);
    *count = code ? 0 : *count;
    *out = code ? NULL : arena_dup(a, claims, *count * sizeof *claims);
    if (code == NRPC_OK && unverified)
        code = NRPC_FAILED_PRECONDITION;
    free(claims);
    return code;
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
