// SPDX-License-Identifier: Apache-2.0
// schema_collect.c: gives every message, enum and service of all files its place and its full name.
#include "nrpc/json/schema_build.h"

#include <stdio.h>
#include <string.h>

struct counts {
    size_t messages, enums, services;
};

static void count_messages(message_proto *const *messages, size_t count, struct counts *c)
{
    c->messages += count;
    for (size_t i = 0; i < count; i++) {
        c->enums += messages[i]->n_enum_type;
        count_messages(messages[i]->nested_type, messages[i]->n_nested_type, c);
    }
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

// Letters, digits and underscores, not beginning with a digit. NULL is none.
static bool is_identifier(const char *name)
{
    if (!name || !is_letter(*name))
        return false;
    for (; *name; name++)
        if (!is_letter(*name) && (*name < '0' || *name > '9'))
            return false;
    return true;
}

static bool is_package(const char *package)
{
    char part[SCHEMA_NAME_MAX + 1];
    if (!*package)
        return true;
    for (;;) {
        size_t length = strcspn(package, ".");
        if (length >= sizeof part)
            return false;
        memcpy(part, package, length);
        part[length] = 0;
        if (!is_identifier(part))
            return false;
        if (!package[length])
            return true;
        package += length + 1;
    }
}

// "scope.name" in the arena; NULL, with the status set, when that is no name.
static const char *join(struct schema_build *b, const struct schema_file *file, const char *scope,
                        const char *name, struct nrpc_status *st)
{
    if (!is_identifier(name)) {
        status_set(st, NRPC_INVALID_ARGUMENT, "%.80s: something in \"%.80s\" has no proper name", file->name,
                   scope);
        return NULL;
    }
    size_t size = strlen(scope) + 1 + strlen(name) + 1;
    char *full_name = size <= SCHEMA_NAME_MAX + 1 ? arena_alloc(&b->read, size) : NULL;
    if (full_name)
        snprintf(full_name, size, "%s%s%s", scope, *scope ? "." : "", name);
    else
        status_set(st, NRPC_RESOURCE_EXHAUSTED, "%.80s: too many or too long names", file->name);
    return full_name;
}

static bool collect_enums(struct schema_build *b, const struct schema_file *file, const char *scope,
                          enum_proto *const *enums, size_t count, struct nrpc_status *st)
{
    for (size_t i = 0; i < count; i++) {
        struct schema_enum *e = &b->all.enums[b->all.enum_count++];
        *e = (struct schema_enum){.file = file, .proto = enums[i]};
        e->full_name = join(b, file, scope, enums[i]->name, st);
        if (!e->full_name)
            return false;
        names_add(&b->enums, e->full_name, e);
    }
    return true;
}

static bool collect_messages(struct schema_build *b, const struct schema_file *file, const char *scope,
                             message_proto *const *messages, size_t count, struct nrpc_status *st)
{
    for (size_t i = 0; i < count; i++) {
        const message_proto *proto = messages[i];
        struct schema_message *m = &b->all.messages[b->all.message_count++];
        *m = (struct schema_message){.schema = &b->all, .file = file, .proto = proto};
        m->full_name = join(b, file, scope, proto->name, st);
        if (!m->full_name)
            return false;
        names_add(&b->messages, m->full_name, m);
        if (!collect_enums(b, file, m->full_name, proto->enum_type, proto->n_enum_type, st) ||
            !collect_messages(b, file, m->full_name, proto->nested_type, proto->n_nested_type, st))
            return false;
    }
    return true;
}

static bool collect_services(struct schema_build *b, const struct schema_file *file, struct nrpc_status *st)
{
    for (size_t i = 0; i < file->proto->n_service; i++) {
        const service_proto *proto = file->proto->service[i];
        struct schema_service *s = &b->all.services[b->all.service_count++];
        *s = (struct schema_service){.file = file, .method_count = proto->n_method};
        s->full_name = join(b, file, file->package, proto->name, st);
        if (!s->full_name)
            return false;
        names_add(&b->services, s->full_name, s);
        s->methods = arena_calloc(&b->made, proto->n_method * sizeof *s->methods);
        for (size_t k = 0; k < proto->n_method; k++) {
            s->methods[k].name = proto->method[k]->name;
            if (!join(b, file, s->full_name, proto->method[k]->name, st))
                return false;
        }
    }
    return true;
}

static bool collect_file(struct schema_build *b, const struct schema_file *file, struct nrpc_status *st)
{
    const file_proto *proto = file->proto;
    if (!is_package(file->package)) {
        status_set(st, NRPC_INVALID_ARGUMENT, "%.80s: \"%.80s\" is no name of a package", file->name,
                   file->package);
        return false;
    }
    return collect_enums(b, file, file->package, proto->enum_type, proto->n_enum_type, st) &&
           collect_messages(b, file, file->package, proto->message_type, proto->n_message_type, st) &&
           collect_services(b, file, st);
}

int schema_collect(struct schema_build *b, struct nrpc_status *st)
{
    struct counts c = {0};
    struct nrpc_status why;
    for (size_t i = 0; i < b->all.file_count; i++) {
        const file_proto *proto = b->all.files[i].proto;
        c.enums += proto->n_enum_type;
        c.services += proto->n_service;
        count_messages(proto->message_type, proto->n_message_type, &c);
    }
    b->all.messages = arena_alloc(&b->made, c.messages * sizeof *b->all.messages);
    b->all.enums = arena_alloc(&b->made, c.enums * sizeof *b->all.enums);
    b->all.services = arena_alloc(&b->made, c.services * sizeof *b->all.services);
    struct schema_names *tables[] = {&b->messages, &b->enums, &b->services};
    names_init(&b->made, tables[0], c.messages);
    names_init(&b->made, tables[1], c.enums);
    names_init(&b->made, tables[2], c.services);
    for (size_t i = 0; i < b->all.file_count; i++)
        if (!collect_file(b, &b->all.files[i], &why))
            return status_set(st, why.code, "%s", why.text);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        const char *twice = names_sort(tables[i]);
        if (twice)
            return status_set(st, NRPC_INVALID_ARGUMENT, "%.200s is defined twice", twice);
    }
    return NRPC_OK;
}
