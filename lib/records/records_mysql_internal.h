// SPDX-License-Identifier: Apache-2.0
// records_mysql_internal.h: what the files of the MySQL record store share.
//
// Locks are taken in this order: tbl_counter's row of tasks, its guards (mycall_guard), rows of tbl_task with
// rising ids, rows of the other tables, tbl_counter's row of events. What still meets (gaps, indexes) is run
// again by mycall.
#ifndef RECORDS_MYSQL_INTERNAL_H
#define RECORDS_MYSQL_INTERNAL_H

#include "records/mycall.h"
#include "records/records_check.h"

#define TASK_COUNTER "tbl_task"
#define EVENT_COUNTER "tbl_task_event"

// mymigrate.c: NRPC_OK if the database at this host has this program's schema, or was brought to it.
int mymigrate(const struct myurl *url, size_t host, const struct mylimits *limits, bool may_change,
              struct nrpc_status *st);

// records_mysql_tasks.c
int records_mysql_create(struct records *r, struct records_new_task *tasks, size_t count,
                         struct nrpc_status *st);
int records_mysql_change(struct records *r, struct records_change *changes, size_t count,
                         struct nrpc_status *st);
int records_mysql_get(struct records *r, uint64_t id, struct arena *a, struct records_task *out,
                      struct nrpc_status *st);
int records_mysql_briefs(struct records *r, const uint64_t *ids, size_t count, struct records_brief *out,
                         struct nrpc_status *st);
int records_mysql_list(struct records *r, enum model_status status, uint64_t before_id, size_t max,
                       struct arena *a, struct records_task **out, size_t *count, struct nrpc_status *st);
int records_mysql_unfinished(struct records *r, uint64_t after, size_t max, struct arena *a,
                             struct records_task **out, size_t *count, struct nrpc_status *st);
// The task into the call's arena; false: there is none.
bool records_mysql_read_one(struct mycall *c, uint64_t id, struct records_task *out);

// records_mysql.c
extern const struct mybatch records_mysql_events; // rows: sequence, task, status, message, time
#define EVENT_ROW "($u, $u, $i, $m, $i)"
extern const struct mybatch records_mysql_failures;
void records_mysql_add_failure(struct mycall *c, uint64_t task, const struct records_failure *f);
// Sorts ids and drops what is there twice; the number that is left.
size_t records_mysql_sort_ids(uint64_t *ids, size_t count);

// records_mysql_resume.c
int records_mysql_drop_failures(struct records *r, uint64_t task, struct nrpc_status *st);
int records_mysql_ask_stop(struct records *r, uint64_t task, const char *message, int64_t now_ms,
                           struct nrpc_status *st);
int records_mysql_save_resumes(struct records *r, const struct records_resume *points, size_t count,
                               struct nrpc_status *st);
int records_mysql_resumes(struct records *r, const uint64_t *tasks, size_t count, struct arena *a,
                          struct records_resume *out, struct nrpc_status *st);
int records_mysql_put_fed(struct records *r, uint64_t task, uint64_t at, uint64_t count, bool finish,
                          struct records_blob packed, struct nrpc_status *st);
int records_mysql_fed(struct records *r, uint64_t task, uint64_t after_at, size_t max, struct arena *a,
                      struct records_fed **out, size_t *count, struct nrpc_status *st);

// records_mysql_import.c
int records_mysql_import(struct records *r, struct records_import *tasks, size_t count,
                         struct nrpc_status *st);

#endif
