// SPDX-License-Identifier: Apache-2.0
// plan.c: settles the C names of all services and methods, and refuses what cannot be generated.
#include "plan.h"
#include "names.h"
#include "options.h"
#include "place.h"
#include "symbols.h"
#include "types.h"

#include <stdlib.h>
#include <string.h>

// Every C name outside the struct and enum tags that a service or a method brings along. A new one in
// emit.c's templates belongs in here.
static const char *const service_names[] = {"$variable$", "$service$_methods", "$service$_register"};
static const struct method_name {
    unsigned kinds;
    const char *pattern;
} method_names[] = {
    {PLAN_UNARY | PLAN_STREAM, "$INDEX$"},
    {PLAN_UNARY | PLAN_STREAM, "$service$_$handler$"},
    {PLAN_UNARY | PLAN_STREAM, "invoke_$service$_$method$"},
    {PLAN_UNARY | PLAN_STREAM, "is_handled_$service$_$method$"},
    {PLAN_UNARY | PLAN_STREAM, "roles_$service$_$method$"},
    {PLAN_UNARY, "$service$_$method$_async"},
    {PLAN_UNARY, "$service$_$method$_done"},
    {PLAN_UNARY, "finish_$service$_$method$"},
    {PLAN_CLIENT_STREAMS, "$service$_$method$_write"},
    {PLAN_STREAM, "$service$_$method$_read"},
    {PLAN_CLIENT_STREAMS, "$service$_$method$_receive"},
    {PLAN_SERVER_STREAMS, "$service$_$method$_send"},
    {PLAN_UNARY | PLAN_CLIENT_STREAM, "$service$_$method$_reply"},
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const char *escape_if(struct arena *a, bool must, const char *name)
{
    return must ? text_format(a, "%s_", name) : name;
}

// A service without a package may be called like a parameter or a variable of ours.
static bool is_ours(const char *name)
{
    static const char *const words[] = {
        "call",         "channel",  "closure", "code",    "dispatch", "done",    "file_descriptor",
        "file_imports", "handlers", "message", "options", "out",      "request", "response",
        "server",       "st",       "stream",  "table",   "user",
    };
    for (size_t i = 0; i < COUNT(words); i++)
        if (strcmp(words[i], name) == 0)
            return true;
    return false;
}

static enum plan_kind find_kind(const method_proto *method)
{
    static const enum plan_kind kinds[2][2] = {{PLAN_UNARY, PLAN_SERVER_STREAM},
                                               {PLAN_CLIENT_STREAM, PLAN_BIDI}};
    return kinds[method->client_streaming != 0][method->server_streaming != 0];
}

static struct plan_method plan_method(struct arena *a, const struct types *types,
                                      const struct plan_service *service, const service_proto *of,
                                      size_t index)
{
    const method_proto *proto = of->method[index];
    const struct text_var *of_service = service->vars; // in the order that plan_service gives them
    const char *method = names_snake(a, proto->name);
    const struct type *in = types_find(types, proto->input_type);
    const struct type *out = types_find(types, proto->output_type);
    const struct text_var vars[] = {
        of_service[0],
        of_service[1],
        of_service[2],
        of_service[3],
        {"Method", proto->name},
        {"method", method},
        {"handler", escape_if(a, names_is_reserved(method), method)},
        {"INDEX", names_upper(a, text_format(a, "%s_%s", of_service[1].value, method))},
        {"Request", in->type},
        {"request", in->descriptor},
        {"Response", out->type},
        {"response", out->descriptor},
        {NULL, NULL},
    };
    return (struct plan_method){
        .vars = arena_dup(a, vars, sizeof vars),
        .full_name = text_format(a, "%s.%s", service->full_name, proto->name),
        .kind = find_kind(proto),
        .is_idempotent = options_is_idempotent(proto),
        .roles = options_roles(a, of, proto),
    };
}

static struct plan_service plan_service(struct arena *a, const struct types *types, const file_proto *proto,
                                        struct place place, size_t index, const char *file)
{
    const service_proto *service = proto->service[index];
    bool is_packaged = proto->package && proto->package[0];
    const char *full_name =
        is_packaged ? text_format(a, "%s.%s", proto->package, service->name) : service->name;
    const char *prefix = names_snake(a, full_name);
    const struct text_var vars[] = {
        {"Service", full_name},
        {"service", prefix},
        {"variable", escape_if(a, names_is_reserved(prefix) || is_ours(prefix), prefix)},
        {"file", file},
        {"count", text_format(a, "%zu", service->n_method)},
        {NULL, NULL},
    };
    struct plan_service out = {
        .vars = arena_dup(a, vars, sizeof vars),
        .full_name = full_name,
        .comment = place_comment(place),
        .methods = arena_alloc(a, service->n_method * sizeof *out.methods),
        .method_count = service->n_method,
    };
    for (size_t i = 0; i < service->n_method; i++) {
        out.methods[i] = plan_method(a, types, &out, service, i);
        out.methods[i].comment = place_comment(place_in(a, place, PLACE_SERVICE_METHOD, i));
    }
    return out;
}

static int by_stem(const void *a, const void *b)
{
    const struct plan_import *left = a, *right = b;
    return strcmp(left->stem, right->stem);
}

static void plan_imports(struct arena *a, struct plan_file *out, const file_proto *proto)
{
    out->imports = arena_alloc(a, proto->n_dependency * sizeof *out->imports);
    out->import_count = proto->n_dependency;
    for (size_t i = 0; i < proto->n_dependency; i++) {
        const char *stem = names_pbc_stem(a, proto->dependency[i]);
        out->imports[i] = (struct plan_import){stem, text_format(a, "nrpc_file_%s", names_of_file(a, stem))};
    }
    if (out->import_count)
        qsort(out->imports, out->import_count, sizeof *out->imports, by_stem);
}

static void plan_descriptor(struct arena *a, struct plan_file *out, const file_proto *proto)
{
    file_proto bare = *proto;
    bare.source_code_info = NULL;
    out->descriptor_bytes = google__protobuf__file_descriptor_proto__get_packed_size(&bare);
    uint8_t *bytes = arena_alloc(a, out->descriptor_bytes);
    google__protobuf__file_descriptor_proto__pack(&bare, bytes);
    out->descriptor = bytes;
}

static struct plan_file plan_file(struct arena *a, const struct types *types, const file_proto *proto)
{
    const char *stem = names_pbc_stem(a, proto->name), *part = names_of_file(a, stem);
    const struct text_var vars[] = {
        {"proto", proto->name},
        {"stem", stem},
        {"guard", text_format(a, "NRPC_%s_INCLUDED", part)},
        {"file", text_format(a, "nrpc_file_%s", part)},
        {NULL, NULL},
    };
    struct plan_file out = {
        .vars = arena_dup(a, vars, sizeof vars),
        .proto = proto->name,
        .stem = stem,
        .services = arena_alloc(a, proto->n_service * sizeof *out.services),
        .service_count = proto->n_service,
    };
    plan_imports(a, &out, proto);
    plan_descriptor(a, &out, proto);
    struct place place = {.file = proto};
    for (size_t i = 0; i < proto->n_service; i++)
        out.services[i] =
            plan_service(a, types, proto, place_in(a, place, PLACE_FILE_SERVICE, i), i, vars[3].value);
    return out;
}

// ---------------------------------------------------------------- refusals

// A method that is about to be refused, or not.
struct judged {
    struct arena *arena;
    const struct types *types;
    const method_proto *proto;
    const struct plan_method *method;
    struct place place;
};

// A role stands in C, in logs and in tokens.
static const char *refuse_roles(const struct judged *j)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:/@+";
    enum { ROLE_LENGTH_MAX = 100 };
    for (const char *const *role = j->method->roles; *role; role++) {
        size_t length = strlen(*role);
        if (length == 0 || length > ROLE_LENGTH_MAX || strspn(*role, allowed) != length)
            return place_error(j->arena, j->place,
                               "%s: a role is 1 to %d of letters, digits and _-.:/@+, and not \"%s\"",
                               j->method->full_name, (int)ROLE_LENGTH_MAX, *role);
    }
    return NULL;
}

static const char *refuse_nesting(const struct judged *j, const char *what, const char *type)
{
    const char *problem = types_measure(j->arena, j->types, types_find(j->types, type));
    if (!problem)
        return NULL;
    return place_error(j->arena, j->place, "%s: its %s %s cannot be sent: %s", j->method->full_name, what,
                       type + 1, problem);
}

static const char *refuse_method(const struct judged *j)
{
    const char *error = refuse_roles(j);
    if (!error)
        error = refuse_nesting(j, "request", j->proto->input_type);
    return error ? error : refuse_nesting(j, "response", j->proto->output_type);
}

// protoc sends none of these.
static const char *refuse_unknown_types(struct arena *a, const struct types *types, const file_proto *file)
{
    for (size_t s = 0; s < file->n_service; s++)
        for (size_t m = 0; m < file->service[s]->n_method; m++) {
            const method_proto *method = file->service[s]->method[m];
            if (!types_find(types, method->input_type) || !types_find(types, method->output_type))
                return text_format(a, "%s: %s: its types are not in the request", file->name, method->name);
        }
    return NULL;
}

static const char *refuse_methods(struct arena *a, const struct types *types, const file_proto *proto,
                                  const struct plan_file *file)
{
    const char *error = NULL;
    struct place place = {.file = proto};
    for (size_t s = 0; s < file->service_count; s++)
        for (size_t m = 0; m < file->services[s].method_count && !error; m++)
            error = refuse_method(&(struct judged){
                .arena = a,
                .types = types,
                .proto = proto->service[s]->method[m],
                .method = &file->services[s].methods[m],
                .place = place_in(a, place_in(a, place, PLACE_FILE_SERVICE, s), PLACE_SERVICE_METHOD, m),
            });
    return error;
}

// proto2's groups are not in protobuf-c.
static const char *refuse_fields(struct arena *a, message_proto *const *messages, size_t count,
                                 struct place outer, int32_t number)
{
    const char *error = NULL;
    for (size_t i = 0; i < count && !error; i++) {
        const message_proto *m = messages[i];
        struct place place = place_in(a, outer, number, i);
        for (size_t f = 0; f < m->n_field && !error; f++)
            if (m->field[f]->type == GOOGLE__PROTOBUF__FIELD_DESCRIPTOR_PROTO__TYPE__TYPE_GROUP)
                error = place_error(a, place_in(a, place, PLACE_MESSAGE_FIELD, f),
                                    "%s.%s: protobuf-c has no groups", m->name, m->field[f]->name);
        if (!error)
            error = refuse_fields(a, m->nested_type, m->n_nested_type, place, PLACE_MESSAGE_NESTED);
    }
    return error;
}

// Names of files stand between quotes in C.
static const char *refuse_file_name(struct arena *a, const file_proto *file)
{
    for (const char *c = file->name; *c; c++)
        if ((unsigned char)*c < ' ' || strchr("\"\\", *c))
            return text_format(a, "%s: a file's name must not have quotes, backslashes or control characters",
                               file->name);
    return NULL;
}

static void add_names(struct symbols *symbols, const file_proto *proto, const struct plan_file *file)
{
    struct arena *a = symbols->arena;
    struct place place = {.file = proto};
    for (size_t s = 0; s < file->service_count; s++) {
        const struct plan_service *service = &file->services[s];
        struct place service_place = place_in(a, place, PLACE_FILE_SERVICE, s);
        for (size_t i = 0; i < COUNT(service_names); i++)
            symbols_add(symbols, text_replace(a, service->vars, service_names[i]), service->full_name,
                        service_place);
        for (size_t m = 0; m < service->method_count; m++)
            for (size_t i = 0; i < COUNT(method_names); i++)
                if (method_names[i].kinds & service->methods[m].kind)
                    symbols_add(symbols, text_replace(a, service->methods[m].vars, method_names[i].pattern),
                                service->methods[m].full_name,
                                place_in(a, service_place, PLACE_SERVICE_METHOD, m));
    }
}

static const char *refuse_clashes(struct arena *a, const code_request *request, const struct plan *plan)
{
    struct symbols symbols;
    symbols_init(&symbols, a);
    for (size_t i = 0; i < request->n_proto_file; i++)
        symbols_add_messages(&symbols, request->proto_file[i]);
    for (size_t i = 0; i < plan->file_count; i++) {
        const file_proto *proto = request_file(request, request->file_to_generate[i]);
        symbols_add(&symbols, text_replace(a, plan->files[i].vars, "$file$"), proto->name,
                    (struct place){.file = proto});
        add_names(&symbols, proto, &plan->files[i]);
    }
    const char *error = symbols_refuse(&symbols);
    symbols_fini(&symbols);
    return error;
}

const struct plan *plan_create(struct arena *a, const code_request *request, const char **error)
{
    const struct types *types = types_create(a, request);
    struct plan *plan = arena_calloc(a, sizeof *plan);
    plan->files = arena_alloc(a, request->n_file_to_generate * sizeof *plan->files);
    *error = NULL;
    for (size_t i = 0; i < request->n_file_to_generate && !*error; i++) {
        const file_proto *proto = request_file(request, request->file_to_generate[i]);
        if ((*error = refuse_file_name(a, proto)) || (*error = refuse_unknown_types(a, types, proto)) ||
            (*error = refuse_fields(a, proto->message_type, proto->n_message_type,
                                    (struct place){.file = proto}, PLACE_FILE_MESSAGE)))
            break;
        plan->files[plan->file_count++] = plan_file(a, types, proto);
        *error = refuse_methods(a, types, proto, &plan->files[i]);
    }
    if (!*error)
        *error = refuse_clashes(a, request, plan);
    return *error ? NULL : plan;
}
