// SPDX-License-Identifier: Apache-2.0
// state_sqlite_results.c: kept results and listed failures, and how long they stay.
#include "state/state_sqlite_internal.h"

#include <string.h>

static void result_row(struct sq_call *c, sqlite3_stmt *stmt, struct state_result *out)
{
    *out = (struct state_result){.position = db_u64(stmt, 0),
                                 .seq = db_u64(stmt, 1),
                                 .attempt = (uint32_t)db_u64(stmt, 2),
                                 .kind = (enum model_kind)db_i64(stmt, 3),
                                 .code = (int32_t)db_i64(stmt, 4),
                                 .message = sq_out_text(c, (const char *)sqlite3_column_text(stmt, 5)),
                                 .run_us = db_i64(stmt, 7)};
    sq_out_blob(c, stmt, 6, &out->body);
    sq_out_blob(c, stmt, 8, &out->param);
}

// true: these are all.
static bool read_rows(struct sq_call *c, enum sq_sql sql, uint64_t task, uint64_t after, size_t max,
                      struct state_result **out, size_t *count)
{
    struct state_result *rows = NULL;
    size_t capacity = 0, n = 0, bytes = 0;
    sqlite3_stmt *stmt =
        sq_bind(c, (int)sql, "uui", task, model_after(after), (int64_t)(max < INT32_MAX ? max : INT32_MAX));
    while (bytes < STATE_BATCH_BYTES && sq_step(c, stmt)) {
        mem_grow(&rows, &capacity, n + 1, sizeof *rows);
        result_row(c, stmt, &rows[n]);
        bytes += rows[n].body.bytes + rows[n].param.bytes + (rows[n].message ? strlen(rows[n].message) : 0);
        n++;
    }
    db_done(stmt);
    *count = n;
    *out = sq_out(c, n, sizeof **out);
    if (*out && n)
        memcpy(*out, rows, n * sizeof **out);
    free(rows);
    return n < max && bytes < STATE_BATCH_BYTES;
}

uint64_t sq_results_next(const struct sq_call *c, struct sq_task *t)
{
    uint64_t anew = (uint64_t)c->store->opened_ms * 1000;
    if (t->born_ms && t->born_ms < c->store->opened_ms && t->results < anew) {
        t->results_read += anew - t->results;
        t->results = anew;
    }
    return ++t->results;
}

static void forget_read(struct sq_call *c, struct sq_task *t, uint64_t after)
{
    if (!after || t->results_read == t->results)
        return;
    sq_run(c, sq_bind(c, SQL_RESULT_FORGET, "uu", t->id, model_after(after)));
    uint64_t forgotten = c->code ? 0 : (uint64_t)db_changes(c->store->sql.db);
    t->results_read += forgotten;
    t->changed |= forgotten > 0;
}

// A task that was removed, and whether the caller, who has had all up to `after`, is to be told the rest.
// When that was read to its end, the place is kept until the second expire_results from then, with `until`
// below 0: whoever has had all may ask again, as the answer that said so may be lost; nobody else learns of
// an end.
static bool is_gone(struct sq_call *c, uint64_t task, uint64_t after)
{
    sqlite3_stmt *stmt = sq_bind(c, SQL_GONE_GET, "u", task);
    bool found = sq_step(c, stmt) && (db_i64(stmt, 0) >= 0 || after >= db_u64(stmt, 1));
    db_done(stmt);
    return found;
}

int sq_results(struct state *s, uint64_t task, uint64_t after, size_t max, struct arena *a,
               struct state_result **out, size_t *count, bool *end, struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_RELAXED, a, st);
    if (code)
        return code;
    struct sq_task *t = sq_task_find(&c, task);
    bool gone = !t && is_gone(&c, task, after);
    if (!t && !gone)
        sq_fail(&c, NRPC_NOT_FOUND, "no results of task %llu are kept", (unsigned long long)task);
    if (t)
        forget_read(&c, t, after);
    if (gone)
        sq_run(&c, sq_bind(&c, SQL_RESULT_FORGET, "uu", task, after));
    bool all = read_rows(&c, SQL_RESULT_READ, task, after, max, out, count);
    *end = gone && all;
    if (gone && !*count && max)
        sq_run(&c, sq_bind(&c, SQL_GONE_READ_OUT, "u", task));
    return sq_end(&c);
}

int sq_failures(struct state *s, uint64_t task, uint64_t after, size_t max, struct arena *a,
                struct state_result **out, size_t *count, struct nrpc_status *st)
{
    struct sq_call c;
    int code = sq_begin(&c, s, DB_READ, a, st);
    if (code)
        return code;
    (void)read_rows(&c, SQL_FAILURE_READ, task, after, max, out, count);
    return sq_end(&c);
}

void sq_results_drop(struct sq_call *c, uint64_t task)
{
    sq_run(c, sq_bind(c, SQL_GONE_DELETE, "u", task));
    if (!c->code && db_changes(c->store->sql.db))
        sq_run(c, sq_bind(c, SQL_RESULT_FORGET, "uu", task, (uint64_t)INT64_MAX));
}

int sq_expire_results(struct state *s, int64_t now_ms, struct nrpc_status *st)
{
    struct sq_call c;
    struct sq_list list = {0};
    int code = sq_begin(&c, s, DB_RELAXED, NULL, st);
    if (code)
        return code;
    sq_list_read(&c, &list, sq_bind(&c, SQL_GONE_DUE, "i", now_ms));
    for (size_t i = 0; i < list.count; i++)
        sq_results_drop(&c, list.ids[i]);
    sq_run(&c, sq_bind(&c, SQL_GONE_AGE, ""));
    sq_list_free(&list);
    return sq_end(&c);
}
