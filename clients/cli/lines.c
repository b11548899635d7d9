// SPDX-License-Identifier: Apache-2.0
// lines.c: items to lines and back, and the order in which they may come.
#include "lines.h"

#include "base/mem.h"
#include "dtf/v1/admin.nrpc.h"
#include "nrpc/json/json.h"

#include <stdlib.h>

// ---- the schema: what the generated code brings with it

enum { FILES_MAX = 16 };

struct files {
    ProtobufCBinaryData at[FILES_MAX];
    size_t count;
};

// A file that is imported more than once may come more than once.
static void add_file(struct files *files, const struct nrpc_file *f)
{
    if (files->count == FILES_MAX)
        abort();
    files->at[files->count++] = (ProtobufCBinaryData){f->descriptor_bytes, (uint8_t *)f->descriptor};
    for (size_t i = 0; f->imports && f->imports[i]; i++)
        add_file(files, f->imports[i]);
}

void lines_init(struct lines *l, FILE *in)
{
    struct files files = {.count = 0};
    struct nrpc_status st;
    *l = (struct lines){.in = in};
    add_file(&files, dtf_v1_admin_service.file);
    if (schema_create(files.at, files.count, &l->schema, &st))
        abort();
}

static void drop_item(struct lines *l)
{
    if (l->item)
        dtf__v1__archive_item__free_unpacked(l->item, NULL);
    l->item = NULL;
}

void lines_fini(struct lines *l)
{
    drop_item(l);
    free(l->text);
    schema_destroy(l->schema);
}

void lines_restart(struct lines *l)
{
    l->line = l->tasks = l->last_task = 0;
    l->has_begun = l->has_ended = false;
}

// ---- writing

int lines_print(struct lines *l, FILE *out, const Dtf__V1__ArchiveItem *item, struct nrpc_status *st)
{
    char *text;
    int code = nrpc_json_from_message(l->schema, &item->base, NULL, &text, st);
    if (code)
        return code;
    if (fputs(text, out) < 0 || putc('\n', out) < 0)
        code = status_set(st, NRPC_INTERNAL, "cannot write the output");
    free(text);
    return code;
}

// ---- reading

static int complain(const struct lines *l, const char *what, struct nrpc_status *st)
{
    return status_set(st, NRPC_INVALID_ARGUMENT, "line %llu: %s", (unsigned long long)l->line, what);
}

// The next line without its end; *size 0 and nothing read: the file is over.
static int read_line(struct lines *l, size_t *size, bool *is_over, struct nrpc_status *st)
{
    int c;
    *size = 0;
    *is_over = false;
    while ((c = getc_unlocked(l->in)) != EOF && c != '\n') {
        if (*size == LINES_BYTES_MAX)
            return complain(l, "is too long", st);
        mem_grow(&l->text, &l->capacity, *size + 1, 1);
        l->text[(*size)++] = (char)c;
    }
    *is_over = c == EOF && !*size;
    if (c == EOF && ferror(l->in))
        return status_set(st, NRPC_UNKNOWN, "the input cannot be read");
    if (c == EOF && *size)
        return complain(l, "is cut off", st);
    return NRPC_OK;
}

static int check_order(struct lines *l, const Dtf__V1__ArchiveItem *item, struct nrpc_status *st)
{
    bool is_header = item->item_case == DTF__V1__ARCHIVE_ITEM__ITEM_HEADER;
    if (l->has_ended)
        return complain(l, "comes after the end", st);
    if (is_header == l->has_begun)
        return complain(l, is_header ? "a second header" : "not the header of an archive", st);
    l->has_begun = true;
    switch (item->item_case) {
    case DTF__V1__ARCHIVE_ITEM__ITEM_HEADER:
        return item->header->format == LINES_FORMAT
                   ? NRPC_OK
                   : complain(l, "the format is none that this program knows", st);
    case DTF__V1__ARCHIVE_ITEM__ITEM_TASK:
        l->tasks++;
        l->last_task = item->task->id;
        return l->last_task ? NRPC_OK : complain(l, "a task without id", st);
    case DTF__V1__ARCHIVE_ITEM__ITEM_MORE:
        return l->last_task && item->more->task_id == l->last_task
                   ? NRPC_OK
                   : complain(l, "does not belong to the task before it", st);
    case DTF__V1__ARCHIVE_ITEM__ITEM_END:
        l->has_ended = true;
        return item->end->tasks == l->tasks ? NRPC_OK : complain(l, "tasks are missing before the end", st);
    case DTF__V1__ARCHIVE_ITEM__ITEM_GROUP:
        return NRPC_OK;
    default:
        return complain(l, "nothing that this program knows", st);
    }
}

static int parse(struct lines *l, size_t size, struct nrpc_status *st)
{
    struct nrpc_status why;
    ProtobufCMessage *message;
    if (nrpc_json_to_message(l->schema, &dtf__v1__archive_item__descriptor, l->text, size, NULL, &message,
                             &why))
        return complain(l, why.text, st);
    l->item = (Dtf__V1__ArchiveItem *)message;
    return check_order(l, l->item, st);
}

int lines_next(struct lines *l, Dtf__V1__ArchiveItem **item, struct nrpc_status *st)
{
    size_t size;
    bool is_over;
    drop_item(l);
    *item = NULL;
    l->line++;
    int code = read_line(l, &size, &is_over, st);
    if (code)
        return code;
    if (is_over)
        return l->has_ended ? NRPC_OK : complain(l, "the archive is cut off before its end", st);
    code = parse(l, size, st);
    *item = code ? NULL : l->item;
    return code;
}
