// SPDX-License-Identifier: Apache-2.0
// types.c: a sorted table of a request's messages.
#include "types.h"
#include "names.h"
#include "options.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

enum { HEIGHT_UNKNOWN = 0, HEIGHT_IN_WORK = -1 };

static size_t count_messages(message_proto *const *messages, size_t count)
{
    size_t all = count;
    for (size_t i = 0; i < count; i++)
        all += count_messages(messages[i]->nested_type, messages[i]->n_nested_type);
    return all;
}

static void add_messages(struct arena *a, struct types *types, message_proto *const *messages, size_t count,
                         const char *prefix, const char *c_prefix)
{
    for (size_t i = 0; i < count; i++) {
        const message_proto *m = messages[i];
        const char *name = text_format(a, "%s.%s", prefix, m->name);
        const char *c_name = *c_prefix ? text_format(a, "%s.%s", c_prefix, m->name) : m->name;
        types->at[types->count++] = (struct type){
            .name = name,
            .c_name = c_name,
            .type = names_pbc_type(a, c_name),
            .descriptor = text_format(a, "%s__descriptor", names_pbc_lower(a, c_name)),
            .message = m,
        };
        add_messages(a, types, m->nested_type, m->n_nested_type, name, c_name);
    }
}

static int by_name(const void *a, const void *b)
{
    const struct type *left = a, *right = b;
    return strcmp(left->name, right->name);
}

const char *types_c_name(struct arena *a, const file_proto *file, const char *name)
{
    const char *package = options_c_package(a, file);
    if (!package)
        package = file->package;
    if (!package || !*package)
        return name;
    return *name ? text_format(a, "%s.%s", package, name) : package;
}

const struct types *types_create(struct arena *a, const code_request *request)
{
    struct types *types = arena_calloc(a, sizeof *types);
    size_t count = 0;
    for (size_t i = 0; i < request->n_proto_file; i++)
        count += count_messages(request->proto_file[i]->message_type, request->proto_file[i]->n_message_type);
    types->at = arena_alloc(a, count * sizeof *types->at);
    for (size_t i = 0; i < request->n_proto_file; i++) {
        const file_proto *file = request->proto_file[i];
        const char *package = file->package ? file->package : "";
        add_messages(a, types, file->message_type, file->n_message_type,
                     *package ? text_format(a, ".%s", package) : "", types_c_name(a, file, ""));
    }
    if (types->count)
        qsort(types->at, types->count, sizeof *types->at, by_name);
    return types;
}

struct type *types_find(const struct types *types, const char *name)
{
    const struct type key = {.name = name};
    return types->count ? bsearch(&key, types->at, types->count, sizeof key, by_name) : NULL;
}

static const char *measure(struct arena *a, const struct types *types, struct type *type, int level)
{
    if (type->height == HEIGHT_IN_WORK)
        return text_format(a, "%s contains itself", type->name + 1);
    if (level > TYPES_HEIGHT_MAX)
        return text_format(a, "it nests more than %d messages", TYPES_HEIGHT_MAX);
    if (type->height != HEIGHT_UNKNOWN)
        return level + type->height - 1 > TYPES_HEIGHT_MAX
                   ? text_format(a, "it nests more than %d messages", TYPES_HEIGHT_MAX)
                   : NULL;
    type->height = HEIGHT_IN_WORK;
    int height = 1;
    const char *problem = NULL;
    for (size_t i = 0; i < type->message->n_field && !problem; i++) {
        const field_proto *field = type->message->field[i];
        struct type *inner = field->type_name ? types_find(types, field->type_name) : NULL;
        if (!inner) // a scalar or an enum
            continue;
        problem = measure(a, types, inner, level + 1);
        height = inner->height >= height ? inner->height + 1 : height;
    }
    type->height = problem ? HEIGHT_UNKNOWN : height;
    return problem;
}

const char *types_measure(struct arena *a, const struct types *types, struct type *type)
{
    return measure(a, types, type, 1);
}
