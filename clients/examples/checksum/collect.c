// SPDX-License-Identifier: Apache-2.0
// collect.c: puts each result into the task's spool, and makes the manifest of it at the end.
//
// The process may be killed at any moment; then the callback comes again for the same result: it goes under
// its subtask's number, where the last one counts.
#include "base/log.h"
#include "base/mem.h"
#include "checksum/checksum.h"
#include "checksum/manifest.h"
#include "files/output.h"
#include "files/spool.h"

#include <inttypes.h>
#include <stdlib.h>

// ---- results

// The record of a subtask that did not succeed: the same error for each of its files.
static int spool_failure(const char *spool, const struct dtf_subtask *subtask,
                         const Examples__Checksum__V1__Subtask *s, const struct dtf_result *result,
                         struct nrpc_status *st)
{
    Examples__Checksum__V1__Result r = EXAMPLES__CHECKSUM__V1__RESULT__INIT;
    Examples__Checksum__V1__File *files = mem_calloc(s->n_items, sizeof *files);
    r.files = mem_calloc(s->n_items, sizeof *r.files);
    r.n_files = s->n_items;
    for (size_t i = 0; i < s->n_items; i++) {
        r.files[i] = &files[i];
        examples__checksum__v1__file__init(&files[i]);
        files[i].path = s->items[i]->path;
        files[i].error = (char *)report_failure(result);
    }
    size_t size = examples__checksum__v1__result__get_packed_size(&r);
    uint8_t *packed = mem_alloc(size);
    examples__checksum__v1__result__pack(&r, packed);
    int code = spool_append(spool, subtask->id, packed, size, st);
    free(packed);
    free(r.files);
    free(files);
    return code;
}

static int spool_result(const struct dtf_subtask *subtask, const struct dtf_result *result,
                        struct nrpc_status *st)
{
    Examples__Checksum__V1__Subtask *s =
        examples__checksum__v1__subtask__unpack(NULL, subtask->param_bytes, subtask->param);
    if (!s)
        return status_set(st, NRPC_DATA_LOSS, "its parameter cannot be read");
    char *spool = NULL;
    int code = output_take_path("spool", s->spool.data, s->spool.len, &spool, st);
    if (!code && result->kind == DTF_RESULT_SUCCESS)
        code = spool_append(spool, subtask->id, result->body, result->body_bytes, st);
    else if (!code)
        code = spool_failure(spool, subtask, s, result, st);
    free(spool);
    examples__checksum__v1__subtask__free_unpacked(s, NULL);
    return code;
}

static void after_execution(void *user, const struct dtf_subtask *subtask, const struct dtf_result *result,
                            struct dtf_followups *followups, bool *finished)
{
    (void)user;
    (void)followups;
    struct nrpc_status st;
    if (spool_result(subtask, result, &st) == NRPC_OK)
        return;
    log_warn("checksum: task %" PRIu64 ", subtask %" PRIu64 ": %s", subtask->task_id, subtask->id, st.text);
    *finished = false; // once more, when there is room again
}

// ---- the end

static int after_task_completed(void *user, const struct dtf_task *task,
                                const struct dtf_task_summary *summary, struct nrpc_status *st)
{
    (void)user;
    char *manifest = NULL;
    Examples__Checksum__V1__Task *t = checksum_read_task(task, st);
    if (!t)
        return st->code;
    int code = output_take_path("manifest", t->manifest.data, t->manifest.len, &manifest, st);
    if (!code)
        code = report_end_task(manifest, task, summary, &manifest_format, NULL, st);
    free(manifest);
    examples__checksum__v1__task__free_unpacked(t, NULL);
    return code;
}

const struct dtf_collector_callback checksum_collector = {
    .after_execution = after_execution,
    .after_task_completed = after_task_completed,
};
