// SPDX-License-Identifier: Apache-2.0
// state_sqlite_feeders.c: the leases of those who feed tasks.
#include "state/state_sqlite_internal.h"

#include <string.h>

int sq_feeder(struct state *s, uint64_t task, int64_t lease_ms, int64_t heard_ms, struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_RELAXED, NULL, st);
    if (code)
        return code;
    const struct sq_task *t = sq_task_need(&c, task);
    if (t && lease_ms)
        sq_run(&c, sq_bind(&c, SQL_FEEDER_INSERT, "uii", task, lease_ms, heard_ms));
    else if (t)
        sq_run(&c, sq_bind(&c, SQL_FEEDER_RENEW, "ui", task, heard_ms));
    return sq_end(&c);
}

int sq_feeders_overdue(struct state *s, int64_t now_ms, size_t max, struct arena *a,
                       struct state_feeder **out, size_t *count, struct nrpc_status *st)
{
    struct sq_call c;
    struct state_feeder *all = NULL;
    size_t n = 0, capacity = 0;
    int code = sq_begin(&c, s, DB_READ, a, st);
    if (code)
        return code;
    sqlite3_stmt *stmt =
        sq_bind(&c, SQL_FEEDER_OVERDUE, "ii", now_ms, (int64_t)(max < INT32_MAX ? max : INT32_MAX));
    while (sq_step(&c, stmt)) {
        mem_grow(&all, &capacity, n + 1, sizeof *all);
        all[n++] = (struct state_feeder){db_u64(stmt, 0), db_i64(stmt, 1)};
    }
    db_done(stmt);
    *count = n;
    *out = sq_out(&c, n, sizeof **out);
    if (*out && n)
        memcpy(*out, all, n * sizeof *all);
    free(all);
    return sq_end(&c);
}
