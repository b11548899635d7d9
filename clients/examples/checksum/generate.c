// SPDX-License-Identifier: Apache-2.0
// generate.c: splits a tree into subtasks of a few files each. The checkpoint is the path of the last file
// given.
#include "base/mem.h"
#include "checksum/checksum.h"
#include "checksum/walk.h"
#include "files/output.h"
#include "files/report.h"
#include "files/spool.h"

#include <stdlib.h>
#include <string.h>

enum {
    FILES_DEFAULT = 16,
    BYTES_DEFAULT = 64 << 20,
    PATHS_BYTES = 96 << 10, // a subtask with this many bytes of paths gets no further file
    OWN_FILES = 3,
};

struct generation {
    char *root, *manifest, *errors, *spool;
    const char *own[OWN_FILES]; // those three files' paths as the walk sees them, if they are in the tree
    struct walk *walk;
    size_t files_max;
    uint64_t bytes_max;
    Examples__Checksum__V1__Item *items, **pointers; // of the subtask being made
    uint8_t *packed;
    size_t packed_capacity;
};

// ---- begin, end

static void end(void *state)
{
    struct generation *g = state;
    walk_close(g->walk);
    free(g->root);
    free(g->manifest);
    free(g->errors);
    free(g->spool);
    free(g->items);
    free(g->pointers);
    free(g->packed);
    free(g);
}

static bool is_own(void *user, const char *path)
{
    const struct generation *g = user;
    for (size_t i = 0; i < OWN_FILES; i++)
        if (g->own[i] && !strcmp(path, g->own[i]))
            return true;
    return false;
}

// A manifest inside the tree is not to list itself.
static void find_own(struct generation *g)
{
    size_t n = strlen(g->root);
    while (n && g->root[n - 1] == '/')
        n--;
    if (strncmp(g->manifest, g->root, n) || g->manifest[n] != '/')
        return;
    while (g->manifest[n] == '/')
        n++;
    g->own[0] = g->manifest + n;
    g->own[1] = g->errors + n;
    g->own[2] = g->spool + n;
}

static int take_paths(struct generation *g, const Examples__Checksum__V1__Task *t,
                      const struct dtf_task *task, struct nrpc_status *st)
{
    if (output_take_path("root", t->root.data, t->root.len, &g->root, st) ||
        output_take_path("manifest", t->manifest.data, t->manifest.len, &g->manifest, st))
        return st->code;
    g->errors = report_errors_name(g->manifest);
    g->spool = report_spool_name(g->manifest, task);
    find_own(g);
    return spool_create(g->spool, st); // so that a wrong path is noticed now
}

static void take_sizes(struct generation *g, const Examples__Checksum__V1__Task *t)
{
    g->files_max = t->files_per_subtask ? t->files_per_subtask : FILES_DEFAULT;
    g->bytes_max = t->bytes_per_subtask ? t->bytes_per_subtask : BYTES_DEFAULT;
    g->items = mem_calloc(g->files_max, sizeof *g->items);
    g->pointers = mem_calloc(g->files_max, sizeof *g->pointers);
    for (size_t i = 0; i < g->files_max; i++)
        g->pointers[i] = &g->items[i];
}

static int start(struct generation *g, const Examples__Checksum__V1__Task *t, const struct dtf_task *task,
                 const char *after, struct nrpc_status *st)
{
    if (take_paths(g, t, task, st) || walk_open(g->root, after, t->one_file_system, &g->walk, st))
        return st->code;
    walk_skip(g->walk, is_own, g);
    take_sizes(g, t);
    return NRPC_OK;
}

static int begin(void *user, const struct dtf_task *task, const void *saved, size_t saved_bytes, void **state,
                 struct nrpc_status *st)
{
    (void)user;
    Examples__Checksum__V1__Task *t = checksum_read_task(task, st);
    if (!t)
        return st->code;
    char *after = mem_calloc(saved_bytes + 1, 1);
    if (saved)
        memcpy(after, saved, saved_bytes);
    struct generation *g = mem_calloc(1, sizeof *g);
    int code = start(g, t, task, after, st);
    if (code)
        end(g);
    else
        *state = g;
    free(after);
    examples__checksum__v1__task__free_unpacked(t, NULL);
    return code;
}

// ---- next

static ProtobufCBinaryData bytes_of(const char *text)
{
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)text};
}

static void pack(struct generation *g, size_t count, struct dtf_subtask_spec *out)
{
    Examples__Checksum__V1__Subtask s = EXAMPLES__CHECKSUM__V1__SUBTASK__INIT;
    s.root = bytes_of(g->root);
    s.spool = bytes_of(g->spool);
    s.n_items = count;
    s.items = g->pointers;
    size_t size = examples__checksum__v1__subtask__get_packed_size(&s);
    mem_grow(&g->packed, &g->packed_capacity, size, 1);
    examples__checksum__v1__subtask__pack(&s, g->packed);
    *out = (struct dtf_subtask_spec){.param = g->packed, .param_bytes = size};
}

static void fill_item(Examples__Checksum__V1__Item *item, const struct walk_item *found)
{
    examples__checksum__v1__item__init(item);
    item->path.len = strlen(found->path);
    item->path.data = mem_dup(found->path, item->path.len);
    item->problem = mem_strdup(found->problem ? found->problem : "");
}

static enum dtf_next next(void *state, struct dtf_subtask_spec *out, struct nrpc_status *st)
{
    (void)st;
    struct generation *g = state;
    struct walk_item found;
    size_t count = 0, path_bytes = 0;
    uint64_t bytes = 0;
    while (count < g->files_max && bytes < g->bytes_max && path_bytes < PATHS_BYTES &&
           walk_next(g->walk, &found)) {
        fill_item(&g->items[count++], &found);
        bytes += found.size;
        path_bytes += strlen(found.path);
    }
    if (!count)
        return DTF_NEXT_FINISHED;
    pack(g, count, out);
    for (size_t i = 0; i < count; i++) {
        free(g->items[i].path.data);
        free(g->items[i].problem);
    }
    return DTF_NEXT_SUBTASK;
}

static void save_status(void *state, struct dtf_buffer *out)
{
    const struct generation *g = state;
    const char *position = walk_position(g->walk);
    dtf_buffer_append(out, position, strlen(position));
}

static int query_progress(void *state)
{
    const struct generation *g = state;
    return walk_percent(g->walk);
}

const struct dtf_generator checksum_generator = {
    .begin = begin,
    .next = next,
    .save_status = save_status,
    .query_progress = query_progress,
    .end = end,
};
