// SPDX-License-Identifier: Apache-2.0
// collect.c: adds a follow-up for each sub-directory, and the total up when there are no more.
//
// The process may be killed at any moment; then the callback comes again for the same result. So nothing is
// added up on the way: results go into the task's spool under their subtask's number, where the last one
// counts.
#include "base/log.h"
#include "base/mem.h"
#include "files/output.h"
#include "files/report.h"
#include "files/spool.h"
#include "treesize/treesize.h"

#include <inttypes.h>
#include <stdlib.h>

typedef Examples__Treesize__V1__Subtask Subtask;
typedef Examples__Treesize__V1__Result Result;

// ---- results

static int add_followup(struct dtf_followups *followups, const Subtask *s, ProtobufCBinaryData directory,
                        ProtobufCBinaryData after, struct nrpc_status *st)
{
    Subtask followup = *s;
    followup.directory = directory;
    followup.after = after;
    struct dtf_subtask_spec spec = {0};
    void *param = treesize_pack(&followup.base, &spec.param_bytes);
    spec.param = param;
    int code = dtf_followup_add(followups, &spec, st);
    free(param);
    return code;
}

static int add_followups(const Subtask *s, const Result *r, struct dtf_followups *followups,
                         struct nrpc_status *st)
{
    const ProtobufCBinaryData beginning = {0};
    int code = r->more_after.len ? add_followup(followups, s, s->directory, r->more_after, st) : NRPC_OK;
    for (size_t i = 0; !code && i < r->n_directories; i++) {
        ProtobufCBinaryData directory = treesize_join(s->directory, r->directories[i]);
        code = add_followup(followups, s, directory, beginning, st);
        free(directory.data);
    }
    return code;
}

static int take_success(const struct dtf_subtask *subtask, const Subtask *s, const char *spool,
                        const struct dtf_result *result, struct dtf_followups *followups,
                        struct nrpc_status *st)
{
    Result *r = examples__treesize__v1__result__unpack(NULL, result->body_bytes, result->body);
    if (!r)
        return status_set(st, NRPC_DATA_LOSS, "its result cannot be read");
    int code = add_followups(s, r, followups, st);
    if (!code)
        code = spool_append(spool, subtask->id, result->body, result->body_bytes, st);
    examples__treesize__v1__result__free_unpacked(r, NULL);
    return code;
}

// The record of a subtask that did not succeed: its directory, as a problem.
static int take_failure(const struct dtf_subtask *subtask, const Subtask *s, const char *spool,
                        const struct dtf_result *result, struct nrpc_status *st)
{
    Examples__Treesize__V1__Problem problem = EXAMPLES__TREESIZE__V1__PROBLEM__INIT, *problems = &problem;
    Result r = EXAMPLES__TREESIZE__V1__RESULT__INIT;
    problem.path = s->directory;
    problem.reason = (char *)report_failure(result);
    r.problems = &problems;
    r.n_problems = 1;
    size_t size;
    void *packed = treesize_pack(&r.base, &size);
    int code = spool_append(spool, subtask->id, packed, size, st);
    free(packed);
    return code;
}

static int take_result(const struct dtf_subtask *subtask, const struct dtf_result *result,
                       struct dtf_followups *followups, struct nrpc_status *st)
{
    Subtask *s = examples__treesize__v1__subtask__unpack(NULL, subtask->param_bytes, subtask->param);
    if (!s)
        return status_set(st, NRPC_DATA_LOSS, "its parameter cannot be read");
    char *spool = NULL;
    int code = output_take_path("spool", s->spool.data, s->spool.len, &spool, st);
    if (!code && result->kind == DTF_RESULT_SUCCESS)
        code = take_success(subtask, s, spool, result, followups, st);
    else if (!code)
        code = take_failure(subtask, s, spool, result, st);
    free(spool);
    examples__treesize__v1__subtask__free_unpacked(s, NULL);
    return code;
}

static void after_execution(void *user, const struct dtf_subtask *subtask, const struct dtf_result *result,
                            struct dtf_followups *followups, bool *finished)
{
    (void)user;
    struct nrpc_status st;
    if (take_result(subtask, result, followups, &st) == NRPC_OK)
        return;
    log_warn("treesize: task %" PRIu64 ", subtask %" PRIu64 ": %s", subtask->task_id, subtask->id, st.text);
    *finished = false; // once more
}

// ---- the end

struct link {
    uint64_t device, inode, bytes;
};

struct total {
    const char *root;
    uint64_t bytes;
    struct link *links;
    size_t link_count, link_capacity;
};

static void add_problem(struct report *report, const Examples__Treesize__V1__Problem *p)
{
    bool is_root = !p->path.len;
    report_problem(report, is_root ? "." : (const char *)p->path.data, is_root ? 1 : p->path.len, p->reason);
}

static int record(struct report *report, uint64_t subtask, const void *data, size_t size,
                  struct nrpc_status *st)
{
    struct total *t = report->user;
    Result *r = examples__treesize__v1__result__unpack(NULL, size, data);
    if (!r)
        return status_set(st, NRPC_DATA_LOSS, "the result of subtask %" PRIu64 " cannot be read", subtask);
    t->bytes += r->bytes;
    mem_grow(&t->links, &t->link_capacity, t->link_count + r->n_links, sizeof *t->links);
    for (size_t i = 0; i < r->n_links; i++)
        t->links[t->link_count++] =
            (struct link){r->links[i]->device, r->links[i]->inode, r->links[i]->bytes};
    for (size_t i = 0; i < r->n_problems; i++)
        add_problem(report, r->problems[i]);
    examples__treesize__v1__result__free_unpacked(r, NULL);
    return NRPC_OK;
}

static int compare_links(const void *pa, const void *pb)
{
    const struct link *a = pa, *b = pb;
    if (a->device != b->device)
        return a->device < b->device ? -1 : 1;
    return a->inode < b->inode ? -1 : a->inode > b->inode;
}

// What has several names counts once.
static void finish(struct report *report)
{
    struct total *t = report->user;
    if (t->link_count)
        qsort(t->links, t->link_count, sizeof *t->links, compare_links);
    for (size_t i = 0; i < t->link_count; i++)
        if (!i || compare_links(&t->links[i - 1], &t->links[i]))
            t->bytes += t->links[i].bytes;
    fprintf(report->f, "%" PRIu64 "\t%s\n", t->bytes, t->root);
}

static const struct report_format total_format = {
    .record = record,
    .finish = finish,
};

static int after_task_completed(void *user, const struct dtf_task *task,
                                const struct dtf_task_summary *summary, struct nrpc_status *st)
{
    (void)user;
    char *root = NULL, *path = NULL;
    Examples__Treesize__V1__Task *t = treesize_read_task(task, st);
    if (!t)
        return st->code;
    int code = output_take_path("root", t->root.data, t->root.len, &root, st);
    if (!code)
        code = output_take_path("report", t->report.data, t->report.len, &path, st);
    struct total total = {.root = root};
    if (!code)
        code = report_end_task(path, task, summary, &total_format, &total, st);
    free(total.links);
    free(root);
    free(path);
    examples__treesize__v1__task__free_unpacked(t, NULL);
    return code;
}

const struct dtf_collector_callback treesize_collector = {
    .after_execution = after_execution,
    .after_task_completed = after_task_completed,
};
