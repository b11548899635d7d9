// SPDX-License-Identifier: Apache-2.0
// generate.c: gives one subtask, the root directory. All others follow from results (collect.c).
#include "base/mem.h"
#include "files/output.h"
#include "files/report.h"
#include "files/spool.h"
#include "treesize/treesize.h"

#include <stdlib.h>
#include <string.h>

struct generation {
    void *root_subtask;
    size_t size;
    bool is_given;
};

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)text};
}

static int make_subtask(struct generation *g, const Examples__Treesize__V1__Task *t,
                        const struct dtf_task *task, struct nrpc_status *st)
{
    char *root = NULL, *report = NULL, *spool = NULL;
    Examples__Treesize__V1__Subtask s = EXAMPLES__TREESIZE__V1__SUBTASK__INIT;
    int code = output_take_path("root", t->root.data, t->root.len, &root, st);
    if (!code)
        code = output_take_path("report", t->report.data, t->report.len, &report, st);
    if (!code) {
        spool = report_spool_name(report, task);
        code = spool_create(spool, st); // so that a wrong path is noticed now
    }
    if (!code) {
        s.root = t->root;
        s.spool = bytes_of(spool);
        s.measure = t->measure;
        g->root_subtask = treesize_pack(&s.base, &g->size);
    }
    free(root);
    free(report);
    free(spool);
    return code;
}

static int begin(void *user, const struct dtf_task *task, const void *saved, size_t saved_bytes, void **state,
                 struct nrpc_status *st)
{
    (void)user;
    Examples__Treesize__V1__Task *t = treesize_read_task(task, st);
    if (!t)
        return st->code;
    struct generation *g = mem_calloc(1, sizeof *g);
    g->is_given = saved && saved_bytes;
    int code = make_subtask(g, t, task, st);
    if (code)
        free(g);
    else
        *state = g;
    examples__treesize__v1__task__free_unpacked(t, NULL);
    return code;
}

static enum dtf_next next(void *state, struct dtf_subtask_spec *out, struct nrpc_status *st)
{
    (void)st;
    struct generation *g = state;
    if (g->is_given)
        return DTF_NEXT_FINISHED;
    g->is_given = true;
    *out = (struct dtf_subtask_spec){.param = g->root_subtask, .param_bytes = g->size};
    return DTF_NEXT_LAST;
}

static void save_status(void *state, struct dtf_buffer *out)
{
    const struct generation *g = state;
    if (g->is_given)
        dtf_buffer_append(out, "given", 5);
}

static void end(void *state)
{
    struct generation *g = state;
    free(g->root_subtask);
    free(g);
}

const struct dtf_generator treesize_generator = {
    .begin = begin,
    .next = next,
    .save_status = save_status,
    .end = end,
};
