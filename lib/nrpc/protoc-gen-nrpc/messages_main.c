// SPDX-License-Identifier: Apache-2.0
// messages_main.c: protoc-gen-c-messages, a protoc plugin: protobuf-c's generator with what it lacks.
//
// It changes the request, hands it to protoc-gen-c, which answers protoc, and adds to the answer:
// - No services: what protobuf-c generates for them is of no use to nrpc, and does not even compile when a
// method is
//   called like a C keyword (Register).
// - proto3 `optional`, which protobuf-c 1.4 refuses: `optional int32 x` becomes a oneof has_x with the one
// field x, the
//   same on the wire. In C: `if (m->has_x_case) use(m->x)`, and to set it m->x = 1 with
//   m->has_x_case = PKG__M__HAS_X_X.
// - (pb_c_file).no_generate counts for nothing: nrpc_generate() promises its files, and somebody may import
// this one.
#include "request.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

enum { PB_C_FILE = 1019 }; // the extension of FileOptions that holds protobuf-c's options

static int fail(const char *problem)
{
    fprintf(stderr, "protoc-gen-c-messages: %s\n", problem);
    return EXIT_FAILURE;
}

static void open_optionals(struct arena *a, message_proto *const *messages, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        message_proto *m = messages[i];
        for (size_t o = 0; o < m->n_oneof_decl; o++)
            m->oneof_decl[o]->name = arena_strdup(a, request_oneof_name(a, m, o));
        for (size_t f = 0; f < m->n_field; f++)
            m->field[f]->has_proto3_optional = m->field[f]->proto3_optional = false;
        open_optionals(a, m->nested_type, m->n_nested_type);
    }
}

// A later field wins: (pb_c_file).no_generate = false.
static void force_generation(struct arena *a, file_proto *file)
{
    static const uint8_t no_generate[] = {2, 1 << 3 | PROTOBUF_C_WIRE_TYPE_VARINT, false};
    if (!file->options)
        return;
    ProtobufCMessage *options = &file->options->base;
    size_t size = options->n_unknown_fields * sizeof *options->unknown_fields;
    ProtobufCMessageUnknownField *fields = arena_alloc(a, size + sizeof *fields);
    if (size)
        memcpy(fields, options->unknown_fields, size);
    fields[options->n_unknown_fields++] = (ProtobufCMessageUnknownField){
        .tag = PB_C_FILE,
        .wire_type = PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED,
        .len = sizeof no_generate,
        .data = arena_dup(a, no_generate, sizeof no_generate),
    };
    options->unknown_fields = fields;
}

// Messages that stand behind one another are one: this adds to protoc-gen-c's answer.
static int answer_more(struct arena *a)
{
    Google__Protobuf__Compiler__CodeGeneratorResponse more =
        GOOGLE__PROTOBUF__COMPILER__CODE_GENERATOR_RESPONSE__INIT;
    more.has_supported_features = true;
    more.supported_features =
        GOOGLE__PROTOBUF__COMPILER__CODE_GENERATOR_RESPONSE__FEATURE__FEATURE_PROTO3_OPTIONAL;
    size_t size = google__protobuf__compiler__code_generator_response__get_packed_size(&more);
    uint8_t *bytes = arena_alloc(a, size);
    google__protobuf__compiler__code_generator_response__pack(&more, bytes);
    return fwrite(bytes, 1, size, stdout) == size && fflush(stdout) == 0 ? EXIT_SUCCESS
                                                                         : fail("cannot write the response");
}

static int run(struct arena *a)
{
    const char *problem = NULL;
    const code_request *request = request_read(stdin, a, &problem);
    if (!request)
        return fail(problem);
    for (size_t i = 0; i < request->n_proto_file; i++) {
        file_proto *file = request->proto_file[i];
        file->n_service = 0;
        open_optionals(a, file->message_type, file->n_message_type);
        force_generation(a, file);
    }
    size_t size = google__protobuf__compiler__code_generator_request__get_packed_size(request);
    uint8_t *bytes = arena_alloc(a, size);
    google__protobuf__compiler__code_generator_request__pack(request, bytes);

    FILE *generator = popen("'" PROTOC_GEN_C "'", "w");
    if (!generator)
        return fail("cannot start " PROTOC_GEN_C);
    size_t written = fwrite(bytes, 1, size, generator);
    int status = pclose(generator);
    if (written != size || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return fail(PROTOC_GEN_C " failed");
    return answer_more(a);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN); // a generator that dies early shows in its exit status
    struct arena arena;
    arena_init(&arena, 0);
    int code = run(&arena);
    arena_fini(&arena);
    return code;
}
