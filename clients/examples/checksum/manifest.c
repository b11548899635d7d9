// SPDX-License-Identifier: Apache-2.0
// manifest.c: one line a file, as coreutils' sha256sum prints it.
#include "checksum/manifest.h"

#include "checksum/checksum.h"
#include "files/output.h"

#include <inttypes.h>

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

static int record(struct report *report, uint64_t subtask, const void *data, size_t size,
                  struct nrpc_status *st)
{
    Examples__Checksum__V1__Result *r = examples__checksum__v1__result__unpack(NULL, size, data);
    if (!r)
        return status_set(st, NRPC_DATA_LOSS, "the result of subtask %" PRIu64 " cannot be read", subtask);
    for (size_t i = 0; i < r->n_files; i++) {
        const Examples__Checksum__V1__File *file = r->files[i];
        if (file->digest.len == CHECKSUM_DIGEST_BYTES && file->path.len)
            print_line(report->f, file);
        else
            report_problem(report, file->path.data, file->path.len, file->error);
    }
    examples__checksum__v1__result__free_unpacked(r, NULL);
    return NRPC_OK;
}

const struct report_format manifest_format = {
    .record = record,
};
