// SPDX-License-Identifier: Apache-2.0
// plan.c: settles the C names of all services and methods, and refuses what cannot be generated.
#include "plan.h"
#include "names.h"
#include "types.h"

#include <stdbool.h>
#include <string.h>

enum { PATH_SERVICE = 6, PATH_METHOD = 2 }; // field numbers, as SourceCodeInfo's paths have them

// Every C name outside the struct and enum tags that a service or a method brings along. A new one in
// emit.c's templates belongs in here.
static const char *const service_names[] = {"$variable$", "$service$_methods", "$service$_register"};
static const char *const method_names[] = {
    "$INDEX$",
    "$service$_$handler$",
    "$service$_$method$_async",
    "$service$_$method$_done",
    "$service$_$method$_reply",
    "invoke_$service$_$method$",
    "is_handled_$service$_$method$",
    "finish_$service$_$method$",
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const char *find_comment(const file_proto *file, const int32_t *path, size_t path_length)
{
    const Google__Protobuf__SourceCodeInfo *info = file->source_code_info;
    for (size_t i = 0; info && i < info->n_location; i++) {
        const Google__Protobuf__SourceCodeInfo__Location *l = info->location[i];
        if (l->n_path == path_length && memcmp(l->path, path, path_length * sizeof *path) == 0)
            return l->leading_comments;
    }
    return NULL;
}

static const char *escape_if(struct arena *a, bool must, const char *name)
{
    return must ? text_format(a, "%s_", name) : name;
}

// A service without a package may be called like a parameter of ours, which then would shadow it.
static bool is_parameter(const char *name)
{
    static const char *const parameters[] = {
        "call",    "channel", "closure",  "code",   "dispatch", "done",  "handlers", "message",
        "options", "request", "response", "server", "st",       "table", "user",
    };
    for (size_t i = 0; i < COUNT(parameters); i++)
        if (strcmp(parameters[i], name) == 0)
            return true;
    return false;
}

static struct plan_method plan_method(struct arena *a, const code_request *request,
                                      const struct plan_file *file, const struct plan_service *service,
                                      const method_proto *proto)
{
    const struct text_var *of_service = service->vars; // in the order that plan_service gives them
    const char *method = names_snake(a, proto->name);
    struct type_names in = types_find(a, request, proto->input_type);
    struct type_names out = types_find(a, request, proto->output_type);
    const struct text_var vars[] = {
        of_service[0],
        of_service[1],
        of_service[2],
        {"proto", file->proto},
        {"Method", proto->name},
        {"method", method},
        {"handler", escape_if(a, names_is_reserved(method), method)},
        {"INDEX", names_upper(a, text_format(a, "%s_%s", of_service[1].value, method))},
        {"Request", in.type},
        {"request", in.descriptor},
        {"Response", out.type},
        {"response", out.descriptor},
        {NULL, NULL},
    };
    return (struct plan_method){
        .vars = arena_dup(a, vars, sizeof vars),
        .full_name = text_format(a, "%s.%s", service->full_name, proto->name),
    };
}

static struct plan_service plan_service(struct arena *a, const code_request *request,
                                        const struct plan_file *file, const file_proto *proto, size_t index)
{
    const service_proto *service = proto->service[index];
    bool is_packaged = proto->package && proto->package[0];
    const char *full_name =
        is_packaged ? text_format(a, "%s.%s", proto->package, service->name) : service->name;
    const char *prefix = names_snake(a, full_name);
    const struct text_var vars[] = {
        {"Service", full_name},
        {"service", prefix},
        {"variable", escape_if(a, names_is_reserved(prefix) || is_parameter(prefix), prefix)},
        {"proto", file->proto},
        {NULL, NULL},
    };
    struct plan_service out = {
        .vars = arena_dup(a, vars, sizeof vars),
        .full_name = full_name,
        .comment = find_comment(proto, (int32_t[]){PATH_SERVICE, (int32_t)index}, 2),
        .methods = arena_alloc(a, service->n_method * sizeof *out.methods),
        .method_count = service->n_method,
    };
    for (size_t i = 0; i < service->n_method; i++) {
        out.methods[i] = plan_method(a, request, file, &out, service->method[i]);
        const int32_t path[] = {PATH_SERVICE, (int32_t)index, PATH_METHOD, (int32_t)i};
        out.methods[i].comment = find_comment(proto, path, COUNT(path));
    }
    return out;
}

static struct plan_file plan_file(struct arena *a, const code_request *request, const file_proto *proto)
{
    const char *stem = names_pbc_stem(a, proto->name);
    const struct text_var vars[] = {
        {"proto", proto->name},
        {"stem", stem},
        {"guard", names_guard(a, stem)},
        {NULL, NULL},
    };
    struct plan_file out = {
        .vars = arena_dup(a, vars, sizeof vars),
        .proto = proto->name,
        .stem = stem,
        .services = arena_alloc(a, proto->n_service * sizeof *out.services),
        .service_count = proto->n_service,
    };
    for (size_t i = 0; i < proto->n_service; i++)
        out.services[i] = plan_service(a, request, &out, proto, i);
    return out;
}

static const char *refuse_streams(struct arena *a, const file_proto *file, const struct plan_file *planned)
{
    for (size_t i = 0; i < file->n_service; i++)
        for (size_t k = 0; k < file->service[i]->n_method; k++) {
            const method_proto *m = file->service[i]->method[k];
            if (m->client_streaming || m->server_streaming)
                return text_format(a, "%s: %s: streaming methods are not supported yet", file->name,
                                   planned->services[i].methods[k].full_name);
        }
    return NULL;
}

// ---------------------------------------------------------------- clashes

struct used_name {
    const char *c_name, *owner;
};

struct used_names {
    struct arena *arena;
    struct used_name *names;
    size_t count;
};

// Takes the names for an owner; an error when another has one of them.
static const char *use_names(struct used_names *used, const char *const *patterns, size_t count,
                             const struct text_var *vars, const char *proto, const char *owner)
{
    for (size_t i = 0; i < count; i++) {
        struct text name = {.arena = used->arena};
        text_expand(&name, vars, patterns[i]);
        for (size_t k = 0; k < used->count; k++)
            if (strcmp(used->names[k].c_name, name.at) == 0)
                return text_format(used->arena, "%s: %s: its C name %s is also that of %s", proto, owner,
                                   name.at, used->names[k].owner);
        used->names[used->count++] = (struct used_name){name.at, owner};
    }
    return NULL;
}

static size_t count_names(const struct plan *plan)
{
    size_t count = 0;
    for (size_t f = 0; f < plan->file_count; f++)
        for (size_t s = 0; s < plan->files[f].service_count; s++)
            count += COUNT(service_names) + plan->files[f].services[s].method_count * COUNT(method_names);
    return count;
}

static const char *refuse_clashes(struct used_names *used, const struct plan_file *file)
{
    const char *error = NULL;
    for (size_t s = 0; s < file->service_count && !error; s++) {
        const struct plan_service *service = &file->services[s];
        error = use_names(used, service_names, COUNT(service_names), service->vars, file->proto,
                          service->full_name);
        for (size_t m = 0; m < service->method_count && !error; m++) {
            const struct plan_method *method = &service->methods[m];
            error = use_names(used, method_names, COUNT(method_names), method->vars, file->proto,
                              method->full_name);
        }
    }
    return error;
}

const struct plan *plan_create(struct arena *a, const code_request *request, const char **error)
{
    struct plan *plan = arena_calloc(a, sizeof *plan);
    plan->files = arena_alloc(a, request->n_file_to_generate * sizeof *plan->files);
    for (size_t i = 0; i < request->n_file_to_generate; i++) {
        const file_proto *proto = request_file(request, request->file_to_generate[i]);
        plan->files[i] = plan_file(a, request, proto);
        if ((*error = refuse_streams(a, proto, &plan->files[i])))
            return NULL;
    }
    plan->file_count = request->n_file_to_generate;

    struct used_names used = {.arena = a};
    used.names = arena_alloc(a, count_names(plan) * sizeof *used.names);
    for (size_t i = 0; i < plan->file_count; i++)
        if ((*error = refuse_clashes(&used, &plan->files[i])))
            return NULL;
    return plan;
}
