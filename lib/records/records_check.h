// SPDX-License-Identifier: Apache-2.0
// records_check.h: what a record store takes: the limits of records.h, the same for every kind of store.
//
// All of them: NRPC_OK, or INVALID_ARGUMENT with a sentence that names the field.
#ifndef RECORDS_CHECK_H
#define RECORDS_CHECK_H

#include "records/records.h"

int records_check_new(const struct records_new_task *tasks, size_t count, struct nrpc_status *st);
int records_check_changes(const struct records_change *changes, size_t count, struct nrpc_status *st);
int records_check_failures(const struct records_failure *failures, size_t count, struct nrpc_status *st);
int records_check_group(const char *name, struct nrpc_status *st);
int records_check_ids(const char *name, uint64_t count, struct nrpc_status *st);
int records_check_message(const char *message, struct nrpc_status *st); // its length
int records_check_resumes(const struct records_resume *points, size_t count, struct nrpc_status *st);
int records_check_fed(uint64_t at, uint64_t count, struct records_blob packed, struct nrpc_status *st);
int records_check_imports(const struct records_import *tasks, size_t count, struct nrpc_status *st);

// A message as it is kept: itself, or, if it is not valid UTF-8, a repaired copy in the arena. NULL: NULL.
const char *records_message(const char *message, struct arena *a);

// Whether two tasks are one and the same, whatever became of them since they were created.
bool records_same_task(const struct records_task *a, const struct records_task *b);

#endif
