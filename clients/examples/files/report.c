// SPDX-License-Identifier: Apache-2.0
// report.c: two outputs, one spool.
#include "files/report.h"

#include "base/mem.h"
#include "files/output.h"
#include "files/spool.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { CREATED_SLACK_MS = 1000 }; // file systems keep time in coarser steps

struct writing {
    struct report report;
    struct output result, errors;
    const struct report_format *format;
};

char *report_spool_name(const char *path, const struct dtf_task *task)
{
    return output_name(path, task, "spool");
}

char *report_errors_name(const char *path)
{
    char *name = mem_alloc(strlen(path) + sizeof ".errors");
    strcpy(stpcpy(name, path), ".errors");
    return name;
}

void report_problem(struct report *r, const void *name, size_t size, const char *reason)
{
    r->error_count++;
    output_print_name(r->errors, name, size);
    fprintf(r->errors, ": %s\n", reason);
}

const char *report_failure(const struct dtf_result *r)
{
    if (r->message && *r->message)
        return r->message;
    switch (r->kind) {
    case DTF_RESULT_TIMEOUT:
        return "timed out";
    case DTF_RESULT_CANCELLED:
        return "cancelled";
    case DTF_RESULT_LOST:
        return "lost with its node, too often";
    default:
        return "failed";
    }
}

// ---- writing

static int open_both(struct writing *w, const char *path, const struct dtf_task *task, struct nrpc_status *st)
{
    char *errors = report_errors_name(path);
    int code = output_open(&w->errors, errors, task, st);
    free(errors);
    if (!code && (code = output_open(&w->result, path, task, st)))
        output_abort(&w->errors);
    w->report.f = w->result.f;
    w->report.errors = w->errors.f;
    return code;
}

static int take_record(void *user, uint64_t id, const void *data, size_t size, struct nrpc_status *st)
{
    struct writing *w = user;
    return w->format->record(&w->report, id, data, size, st);
}

// Every subtask that succeeded has left a record; one whose node was lost too often may not have.
static int check_count(struct report *r, const struct dtf_task_summary *s, uint64_t count,
                       struct nrpc_status *st)
{
    uint64_t missing = s->generated - count;
    if (missing > s->generated - s->succeeded)
        return status_set(st, NRPC_DATA_LOSS, "%" PRIu64 " results are missing in the spool", missing);
    if (missing) {
        r->error_count++;
        fprintf(r->errors, "%" PRIu64 " subtasks ended without a result\n", missing);
    }
    return NRPC_OK;
}

static int fill(struct writing *w, const char *spool, const struct dtf_task_summary *summary,
                struct nrpc_status *st)
{
    uint64_t count;
    int code = spool_read(spool, summary->generated, take_record, w, &count, st);
    if (!code)
        code = check_count(&w->report, summary, count, st);
    if (!code && w->format->finish)
        w->format->finish(&w->report);
    return code;
}

// The list of errors first: who sees the result sees what belongs to it.
static int commit(struct writing *w, struct nrpc_status *st)
{
    int code = NRPC_OK;
    if (w->report.error_count) {
        code = output_commit(&w->errors, st);
    } else {
        unlink(w->errors.path);
        output_abort(&w->errors);
    }
    if (!code)
        return output_commit(&w->result, st);
    output_abort(&w->result);
    return code;
}

static int write_files(struct writing *w, const char *path, const char *spool, const struct dtf_task *task,
                       const struct dtf_task_summary *summary, struct nrpc_status *st)
{
    int code = open_both(w, path, task, st);
    if (code)
        return code;
    code = fill(w, spool, summary, st);
    if (!code)
        return commit(w, st);
    output_abort(&w->errors);
    output_abort(&w->result);
    return code;
}

// ---- the end of a task

static bool was_written_since(const char *path, const struct dtf_task *task)
{
    struct stat s;
    if (stat(path, &s))
        return false;
    int64_t written_ms = (int64_t)s.st_mtim.tv_sec * 1000 + s.st_mtim.tv_nsec / 1000000;
    return written_ms + CREATED_SLACK_MS >= task->created_ms;
}

int report_end_task(const char *path, const struct dtf_task *task, const struct dtf_task_summary *summary,
                    const struct report_format *format, void *user, struct nrpc_status *st)
{
    int code = NRPC_OK;
    char *spool = report_spool_name(path, task);
    struct writing w = {.report.user = user, .format = format};
    if (!strcmp(summary->outcome, "completed"))
        code = write_files(&w, path, spool, task, summary, st);
    if ((code == NRPC_NOT_FOUND || code == NRPC_DATA_LOSS) && was_written_since(path, task))
        code = status_ok(st); // all was done already, before a process or what it had noted was lost
    if (!code)
        spool_remove(spool);
    free(spool);
    return code;
}
