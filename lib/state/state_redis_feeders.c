// SPDX-License-Identifier: Apache-2.0
// state_redis_feeders.c: the leases of those who feed tasks.
#include "state/state_redis_internal.h"

#include <stdlib.h>
#include <string.h>

int rs_feeder(struct state *s, uint64_t task, int64_t lease_ms, int64_t heard_ms, struct nrpc_status *st)
{
    struct rs_call c;
    rs_begin(&c, rs_shard_of((struct rs_store *)s, task), RS_SEEN, NULL, st);
    rs_u64(&c, task);
    rs_time(&c, lease_ms);
    rs_time(&c, heard_ms);
    return rs_finish(&c, SCRIPT_feeder);
}

int rs_feeders_overdue(struct state *s, int64_t now_ms, size_t max, struct arena *a,
                       struct state_feeder **out, size_t *count, struct nrpc_status *st)
{
    struct rs_round round = rs_round(s, st);
    struct state_feeder *all = NULL;
    size_t n = 0, capacity = 0;
    for (size_t i = 0; i < round.store->shard_count; i++)
        if (rs_is_down(&round.store->shards[i])) // its feeders cannot be heard of
            return rs_fail_down(&round.store->shards[i], st);
    for (struct rs_shard *shard; n < max && (shard = rs_next(&round));) {
        struct rs_call c;
        rs_begin(&c, shard, RS_SEEN, NULL, st);
        rs_time(&c, now_ms);
        rs_u64(&c, max - n < INT32_MAX ? max - n : INT32_MAX);
        rs_do(&c, SCRIPT_feeders_overdue);
        const redisReply *rows = rs_array_at(&c, c.reply, RS_REPLY, "feeders");
        mem_grow(&all, &capacity, n + rs_size(rows) / 2 + 1, sizeof *all);
        for (size_t k = 0; k + 1 < rs_size(rows) && !c.code; k += 2)
            all[n++] =
                (struct state_feeder){rs_u64_at(&c, rows, k, "task"), rs_time_at(&c, rows, k + 1, "lease")};
        rs_note(&round, rs_end(&c));
    }
    if (n)
        qsort(all, n, sizeof *all, rs_compare_ids);
    *count = n;
    *out = arena_dup(a, all, n * sizeof *all);
    free(all);
    return rs_round_end(&round);
}
