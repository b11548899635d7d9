// SPDX-License-Identifier: Apache-2.0
// manifest.c: one line a file, as coreutils' sha256sum prints it.
#include "checksum/manifest.h"

#include "base/mem.h"
#include "checksum/checksum.h"
#include "files/output.h"
#include "files/spool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct manifest {
    struct output lines, errors;
    uint64_t error_count;
};

static void print_digest(FILE *f, const uint8_t *digest)
{
    for (size_t i = 0; i < CHECKSUM_DIGEST_BYTES; i++)
        fprintf(f, "%02x", digest[i]);
}

static void print_line(FILE *f, const Examples__Checksum__V1__File *file)
{
    const ProtobufCBinaryData *path = &file->path;
    if (output_must_escape(path->data, path->len))
        putc('\\', f);
    print_digest(f, file->digest.data);
    fputs("  ", f);
    if (path->len == 1 && *path->data == '-') // alone it would mean standard input
        fputs("./", f);
    output_print_name(f, path->data, path->len);
    putc('\n', f);
}

static void print_error(struct manifest *m, const Examples__Checksum__V1__File *file)
{
    m->error_count++;
    output_print_name(m->errors.f, file->path.data, file->path.len);
    fprintf(m->errors.f, ": %s\n", file->error);
}

static int add_record(void *user, uint64_t id, const void *data, size_t size, struct nrpc_status *st)
{
    struct manifest *m = user;
    Examples__Checksum__V1__Result *r = examples__checksum__v1__result__unpack(NULL, size, data);
    if (!r)
        return status_set(st, NRPC_DATA_LOSS, "the result of subtask %" PRIu64 " cannot be read", id);
    for (size_t i = 0; i < r->n_files; i++)
        if (r->files[i]->digest.len == CHECKSUM_DIGEST_BYTES && r->files[i]->path.len)
            print_line(m->lines.f, r->files[i]);
        else
            print_error(m, r->files[i]);
    examples__checksum__v1__result__free_unpacked(r, NULL);
    return NRPC_OK;
}

// Every subtask that succeeded has left a record; one whose node was lost too often may not have.
static int check_count(struct manifest *m, const struct dtf_task_summary *s, uint64_t count, struct nrpc_status *st)
{
    uint64_t missing = s->generated - count;
    if (missing > s->generated - s->succeeded)
        return status_set(st, NRPC_DATA_LOSS, "%" PRIu64 " results are missing in the spool", missing);
    if (missing) {
        m->error_count++;
        fprintf(m->errors.f, "%" PRIu64 " subtasks ended without a result: their files are not listed\n", missing);
    }
    return NRPC_OK;
}

static int fill(struct manifest *m, const char *spool, const struct dtf_task_summary *summary, struct nrpc_status *st)
{
    uint64_t count;
    int code = spool_read(spool, summary->generated, add_record, m, &count, st);
    return code ? code : check_count(m, summary, count, st);
}

// The list of errors first: who sees the manifest sees what belongs to it.
static int commit(struct manifest *m, struct nrpc_status *st)
{
    if (m->error_count) {
        if (output_commit(&m->errors, st)) {
            output_abort(&m->lines);
            return st->code;
        }
    } else {
        unlink(m->errors.path);
        output_abort(&m->errors);
    }
    return output_commit(&m->lines, st);
}

static int open_both(struct manifest *m, const char *path, const struct dtf_task *task, struct nrpc_status *st)
{
    char *errors = mem_alloc(strlen(path) + sizeof CHECKSUM_ERRORS);
    strcpy(stpcpy(errors, path), CHECKSUM_ERRORS);
    int code = output_open(&m->errors, errors, task, st);
    free(errors);
    if (!code && (code = output_open(&m->lines, path, task, st)))
        output_abort(&m->errors);
    return code;
}

int manifest_write(const char *path, const char *spool, const struct dtf_task *task,
                   const struct dtf_task_summary *summary, struct nrpc_status *st)
{
    struct manifest m = {0};
    int code = open_both(&m, path, task, st);
    if (code)
        return code;
    code = fill(&m, spool, summary, st);
    if (!code)
        return commit(&m, st);
    output_abort(&m.errors);
    output_abort(&m.lines);
    return code;
}
