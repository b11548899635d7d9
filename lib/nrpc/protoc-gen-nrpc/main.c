// SPDX-License-Identifier: Apache-2.0
// main.c: protoc-gen-nrpc, a protoc plugin: CodeGeneratorRequest on stdin, CodeGeneratorResponse on stdout.
//
// For each foo.proto it writes foo.nrpc.h and foo.nrpc.c, on top of protobuf-c's foo.pb-c.h and of
// nrpc/nrpc.h. What is wrong with a .proto file goes back to protoc in the response; what is wrong with the
// request itself goes to stderr, with exit code 1.
#include "emit.h"
#include "plan.h"
#include "request.h"
#include "text.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

typedef Google__Protobuf__Compiler__CodeGeneratorResponse code_response;
typedef Google__Protobuf__Compiler__CodeGeneratorResponse__File code_file;

static void add_file(struct arena *a, code_response *response, char *name, char *content)
{
    code_file *file = arena_alloc(a, sizeof *file);
    google__protobuf__compiler__code_generator_response__file__init(file);
    file->name = name;
    file->content = content;
    response->file[response->n_file++] = file;
}

static void add_outputs(struct arena *a, code_response *response, const struct plan_file *file)
{
    struct text header = {.arena = a}, source = {.arena = a};
    emit_header(&header, file);
    emit_source(&source, file);
    add_file(a, response, text_format(a, "%s.nrpc.h", file->stem), header.at);
    add_file(a, response, text_format(a, "%s.nrpc.c", file->stem), source.at);
}

static const struct plan *make_plan(struct arena *a, const code_request *request, const char **error)
{
    if (request->parameter && request->parameter[0]) {
        *error = text_format(a, "unknown parameter \"%s\": protoc-gen-nrpc takes none", request->parameter);
        return NULL;
    }
    return plan_create(a, request, error);
}

static void answer(struct arena *a, const code_request *request, code_response *response)
{
    google__protobuf__compiler__code_generator_response__init(response);
    response->has_supported_features = true;
    response->supported_features =
        GOOGLE__PROTOBUF__COMPILER__CODE_GENERATOR_RESPONSE__FEATURE__FEATURE_PROTO3_OPTIONAL;
    const char *error = NULL;
    const struct plan *plan = make_plan(a, request, &error);
    if (!plan) {
        response->error = text_format(a, "%s", error);
        return;
    }
    response->file = arena_alloc(a, 2 * plan->file_count * sizeof *response->file);
    for (size_t i = 0; i < plan->file_count; i++)
        add_outputs(a, response, &plan->files[i]);
}

static bool write_response(struct arena *a, const code_response *response, FILE *out)
{
    size_t size = google__protobuf__compiler__code_generator_response__get_packed_size(response);
    uint8_t *bytes = arena_alloc(a, size);
    google__protobuf__compiler__code_generator_response__pack(response, bytes);
    return fwrite(bytes, 1, size, out) == size && fflush(out) == 0;
}

static int run(struct arena *a, FILE *in, FILE *out)
{
    const char *problem = NULL;
    const code_request *request = request_read(in, a, &problem);
    if (!request) {
        fprintf(stderr, "protoc-gen-nrpc: %s\n", problem);
        return EXIT_FAILURE;
    }
    code_response response;
    answer(a, request, &response);
    if (!write_response(a, &response, out)) {
        fprintf(stderr, "protoc-gen-nrpc: cannot write the response: %s\n", strerror(errno));
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

int main(void)
{
    struct arena arena;
    arena_init(&arena, 0);
    int code = run(&arena, stdin, stdout);
    arena_fini(&arena);
    return code;
}
