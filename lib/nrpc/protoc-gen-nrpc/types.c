// SPDX-License-Identifier: Apache-2.0
// types.c: finds the file that defines a message, then mangles the message's name as protobuf-c does.
#include "types.h"
#include "names.h"
#include "text.h"

#include <c_options.pb-c.h>
#include <stdbool.h>
#include <string.h>

enum { PB_C_FILE = 1019 }; // the extension of FileOptions that holds protobuf-c's options

// What follows "prefix." in name; name itself for an empty prefix; NULL if name does not begin so.
static const char *after(const char *name, const char *prefix)
{
    if (!name || !prefix || !*prefix)
        return name;
    size_t length = strlen(prefix);
    return strncmp(name, prefix, length) == 0 && name[length] == '.' ? name + length + 1 : NULL;
}

static bool has_message(message_proto *const *messages, size_t count, const char *path)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(path, messages[i]->name) == 0)
            return true;
        const char *rest = after(path, messages[i]->name);
        if (rest && has_message(messages[i]->nested_type, messages[i]->n_nested_type, rest))
            return true;
    }
    return false;
}

// An unknown field's bytes still begin with their length; what follows it is the packed message.
static const char *unpack_c_package(struct arena *a, const ProtobufCMessageUnknownField *field)
{
    size_t prefix = 0;
    while (prefix < field->len && field->data[prefix++] & 0x80)
        ;
    const Nrpc__Codegen__CFileOptions *options =
        nrpc__codegen__cfile_options__unpack(&a->allocator, field->len - prefix, field->data + prefix);
    return options ? options->c_package : NULL;
}

// NULL when the file sets none. An empty one counts: it removes the package.
static const char *find_c_package(struct arena *a, const file_proto *file)
{
    const char *found = NULL;
    for (size_t i = 0; file->options && i < file->options->base.n_unknown_fields; i++) {
        const ProtobufCMessageUnknownField *field = &file->options->base.unknown_fields[i];
        if (field->tag == PB_C_FILE && field->wire_type == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
            found = unpack_c_package(a, field);
    }
    return found;
}

// The name with the package that protobuf-c sees.
static const char *find_c_name(struct arena *a, const code_request *request, const char *name)
{
    for (size_t i = 0; i < request->n_proto_file; i++) {
        const file_proto *file = request->proto_file[i];
        const char *path = after(name, file->package);
        if (!path || !has_message(file->message_type, file->n_message_type, path))
            continue;
        const char *package = find_c_package(a, file);
        return package ? text_format(a, "%s.%s", package, path) : name;
    }
    return name;
}

struct type_names types_find(struct arena *a, const code_request *request, const char *name)
{
    const char *c_name = find_c_name(a, request, name + 1);
    return (struct type_names){
        .type = names_pbc_type(a, c_name),
        .descriptor = text_format(a, "%s__descriptor", names_pbc_lower(a, c_name)),
    };
}
