// SPDX-License-Identifier: Apache-2.0
// emit.c: the templates of the generated header and source. plan.h says what the variables are.
#include "emit.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

// ---------------------------------------------------------------- functions of a method

static const char method_rule[] = "\n"
                                  "// $Service$.$Method$\n";
static const char method_gap[] = "//\n";

static const char blocking_declaration[] =
    "int $service$_$handler$(struct nrpc_channel *channel, const struct nrpc_call_options *options, "
    "const $Request$ *request, $Response$ **response, struct nrpc_status *st);\n";
static const char blocking_stub[] =
    "\n"
    "int $service$_$handler$(struct nrpc_channel *channel, const struct nrpc_call_options *options, "
    "const $Request$ *request, $Response$ **response, struct nrpc_status *st)\n"
    "{\n"
    "    ProtobufCMessage *message = NULL;\n"
    "    int code = nrpc_call_unary(channel, &$service$_methods[$INDEX$], options, "
    "(const ProtobufCMessage *)request, response ? &message : NULL, st);\n"
    "    if (response)\n"
    "        *response = ($Response$ *)message;\n"
    "    return code;\n"
    "}\n";

static const char async_declaration[] =
    "\n"
    "typedef void (*$service$_$method$_done)(void *user, const struct nrpc_status *st, "
    "const $Response$ *response);\n"
    "void $service$_$method$_async(struct nrpc_channel *channel, const struct nrpc_call_options *options, "
    "const $Request$ *request, $service$_$method$_done done, void *user);\n";
// The typed done is called from a function that has exactly nrpc_done_fn's type.
static const char async_stub[] =
    "\n"
    "static void finish_$service$_$method$(void (*done)(void), void *user, const struct nrpc_status *st, "
    "const ProtobufCMessage *response)\n"
    "{\n"
    "    (($service$_$method$_done)done)(user, st, (const $Response$ *)response);\n"
    "}\n"
    "\n"
    "void $service$_$method$_async(struct nrpc_channel *channel, const struct nrpc_call_options *options, "
    "const $Request$ *request, $service$_$method$_done done, void *user)\n"
    "{\n"
    "    nrpc_call_async_typed(channel, &$service$_methods[$INDEX$], options, (const ProtobufCMessage "
    "*)request, "
    "finish_$service$_$method$, (void (*)(void))done, user);\n"
    "}\n";

static const char download_declaration[] =
    "int $service$_$handler$(struct nrpc_channel *channel, const struct nrpc_call_options *options, "
    "const $Request$ *request, struct nrpc_stream **out, struct nrpc_status *st);\n";
static const char download_stub[] =
    "\n"
    "int $service$_$handler$(struct nrpc_channel *channel, const struct nrpc_call_options *options, "
    "const $Request$ *request, struct nrpc_stream **out, struct nrpc_status *st)\n"
    "{\n"
    "    return nrpc_stream_open(channel, &$service$_methods[$INDEX$], options, "
    "(const ProtobufCMessage *)request, out, st);\n"
    "}\n";

static const char upload_declaration[] =
    "int $service$_$handler$(struct nrpc_channel *channel, const struct nrpc_call_options *options, "
    "struct nrpc_stream **out, struct nrpc_status *st);\n"
    "int $service$_$method$_write(struct nrpc_stream *stream, const $Request$ *message);\n";
static const char upload_stub[] =
    "\n"
    "int $service$_$handler$(struct nrpc_channel *channel, const struct nrpc_call_options *options, "
    "struct nrpc_stream **out, struct nrpc_status *st)\n"
    "{\n"
    "    return nrpc_stream_open(channel, &$service$_methods[$INDEX$], options, NULL, out, st);\n"
    "}\n"
    "\n"
    "int $service$_$method$_write(struct nrpc_stream *stream, const $Request$ *message)\n"
    "{\n"
    "    return nrpc_stream_write(stream, (const ProtobufCMessage *)message);\n"
    "}\n";

static const char read_declaration[] =
    "int $service$_$method$_read(struct nrpc_stream *stream, const $Response$ **message, "
    "struct nrpc_status *st);\n";
static const char read_stub[] =
    "\n"
    "int $service$_$method$_read(struct nrpc_stream *stream, const $Response$ **message, "
    "struct nrpc_status *st)\n"
    "{\n"
    "    const ProtobufCMessage *out = NULL;\n"
    "    int code = nrpc_stream_read(stream, &out, st);\n"
    "    *message = (const $Response$ *)out;\n"
    "    return code;\n"
    "}\n";

static const char receive_declaration[] =
    "\n"
    "int $service$_$method$_receive(struct nrpc_call *call, const $Request$ **message);\n";
static const char receive_skeleton[] =
    "\n"
    "int $service$_$method$_receive(struct nrpc_call *call, const $Request$ **message)\n"
    "{\n"
    "    const ProtobufCMessage *out = NULL;\n"
    "    int code = nrpc_call_receive(call, &out);\n"
    "    *message = (const $Request$ *)out;\n"
    "    return code;\n"
    "}\n";

static const char send_declaration[] =
    "\n"
    "int $service$_$method$_send(struct nrpc_call *call, const $Response$ *message);\n";
static const char send_skeleton[] =
    "\n"
    "int $service$_$method$_send(struct nrpc_call *call, const $Response$ *message)\n"
    "{\n"
    "    return nrpc_call_send(call, (const ProtobufCMessage *)message);\n"
    "}\n";

static const char reply_declaration[] =
    "\n"
    "void $service$_$method$_reply(struct nrpc_call *call, const $Response$ *response);\n";
static const char reply_skeleton[] =
    "\n"
    "void $service$_$method$_reply(struct nrpc_call *call, const $Response$ *response)\n"
    "{\n"
    "    nrpc_reply(call, (const ProtobufCMessage *)response);\n"
    "}\n";

// The client's first, then the server's. Which kinds of methods have them.
static const struct function {
    unsigned kinds;
    const char *declaration, *definition;
} functions[] = {
    {PLAN_UNARY, blocking_declaration, blocking_stub},
    {PLAN_UNARY, async_declaration, async_stub},
    {PLAN_SERVER_STREAM, download_declaration, download_stub},
    {PLAN_CLIENT_STREAMS, upload_declaration, upload_stub},
    {PLAN_STREAM, read_declaration, read_stub},
    {PLAN_CLIENT_STREAMS, receive_declaration, receive_skeleton},
    {PLAN_SERVER_STREAMS, send_declaration, send_skeleton},
    {PLAN_UNARY | PLAN_CLIENT_STREAM, reply_declaration, reply_skeleton},
};

static void emit_method_declarations(struct text *out, const struct plan_method *m)
{
    text_expand(out, m->vars, method_rule);
    if (m->comment)
        text_expand(out, m->vars, method_gap);
    text_comment(out, "", m->comment);
    for (size_t i = 0; i < COUNT(functions); i++)
        if (functions[i].kinds & m->kind)
            text_expand(out, m->vars, functions[i].declaration);
}

static void emit_method_definitions(struct text *out, const struct plan_method *m)
{
    for (size_t i = 0; i < COUNT(functions); i++)
        if (functions[i].kinds & m->kind)
            text_expand(out, m->vars, functions[i].definition);
}

// ---------------------------------------------------------------- header

static const char header_begin[] = "// Generated by protoc-gen-nrpc from $proto$. Do not edit.\n"
                                   "#ifndef $guard$\n"
                                   "#define $guard$\n"
                                   "\n"
                                   "#include \"$stem$.pb-c.h\"\n"
                                   "\n"
                                   "#include \"nrpc/nrpc.h\"\n"
                                   "\n"
                                   "#ifdef __cplusplus\n"
                                   "extern \"C\" {\n"
                                   "#endif\n"
                                   "\n"
                                   "extern const struct nrpc_file $file$;\n";

static const char header_end[] = "\n"
                                 "#ifdef __cplusplus\n"
                                 "}\n"
                                 "#endif\n"
                                 "\n"
                                 "#endif\n";

static const char service_rule[] =
    "\n"
    "// ---------------------------------------------------------------- $Service$\n"
    "\n";

static const char service_declaration[] = "extern const struct nrpc_service $variable$;\n";

static const char index_begin[] = "\n"
                                  "// Indexes of $variable$.methods.\n"
                                  "enum $service$_method {\n";
static const char index_entry[] = "    $INDEX$,\n";
static const char index_end[] = "};\n";

static const char handlers_begin[] =
    "\n"
    "// What a server does for each method. A handler answers its call exactly once, at once or later: with "
    "the\n"
    "// method's _reply or, if the server streams, nrpc_finish; or with nrpc_reply_error or "
    "nrpc_reply_status. All\n"
    "// must be set.\n"
    "struct $service$_handlers {\n";
static const char handlers_entry[] =
    "    void (*$handler$)(struct nrpc_call *call, const $Request$ *request, void *user);\n";
static const char handlers_stream_entry[] = "    void (*$handler$)(struct nrpc_call *call, void *user);\n";
static const char handlers_none[] = "    int unused; // the service has no methods\n";
static const char handlers_end[] = "};\n";

static const char register_declaration[] =
    "\n"
    "// Adds the service to a server; see nrpc_server_add. handlers and user must outlive the server.\n"
    "int $service$_register(struct nrpc_server *server, enum nrpc_dispatch dispatch, "
    "const struct $service$_handlers *handlers, void *user, struct nrpc_status *st);\n";

static void emit_handlers(struct text *out, const struct plan_service *s)
{
    text_expand(out, s->vars, handlers_begin);
    for (size_t i = 0; i < s->method_count; i++) {
        const struct plan_method *m = &s->methods[i];
        text_comment(out, "    ", m->comment);
        text_expand(out, m->vars, m->kind & PLAN_CLIENT_STREAMS ? handlers_stream_entry : handlers_entry);
    }
    if (s->method_count == 0)
        text_expand(out, s->vars, handlers_none);
    text_expand(out, s->vars, handlers_end);
}

static void emit_index(struct text *out, const struct plan_service *s)
{
    if (s->method_count == 0)
        return;
    text_expand(out, s->vars, index_begin);
    for (size_t i = 0; i < s->method_count; i++)
        text_expand(out, s->methods[i].vars, index_entry);
    text_expand(out, s->vars, index_end);
}

static void emit_service_declarations(struct text *out, const struct plan_service *s)
{
    text_expand(out, s->vars, service_rule);
    text_comment(out, "", s->comment);
    text_expand(out, s->vars, service_declaration);
    emit_index(out, s);
    emit_handlers(out, s);
    text_expand(out, s->vars, register_declaration);
    for (size_t i = 0; i < s->method_count; i++)
        emit_method_declarations(out, &s->methods[i]);
}

void emit_header(struct text *out, const struct plan_file *file)
{
    text_expand(out, file->vars, header_begin);
    for (size_t i = 0; i < file->service_count; i++)
        emit_service_declarations(out, &file->services[i]);
    text_expand(out, file->vars, header_end);
}

// ---------------------------------------------------------------- source: data

static const char source_begin[] = "// Generated by protoc-gen-nrpc from $proto$. Do not edit.\n"
                                   "#include \"$stem$.nrpc.h\"\n";
static const char source_gap[] = "\n";

static const char data_begin[] = "\n"
                                 "// clang-format off\n"
                                 "// $proto$ as a google.protobuf.FileDescriptorProto\n"
                                 "static const unsigned char file_descriptor[] = {";
static const char imports_begin[] = "\n};\n"
                                    "static const struct nrpc_file *const file_imports[] = {\n";
static const char imports_end[] = "    NULL,\n"
                                  "};\n";
static const char roles_begin[] = "static const char *const roles_$service$_$method$[] = {\n";
static const char roles_end[] = "    NULL,\n"
                                "};\n";
static const char data_end[] = "// clang-format on\n"
                               "\n"
                               "const struct nrpc_file $file$ = {\n"
                               "    .name = \"$proto$\",\n"
                               "    .descriptor = file_descriptor,\n"
                               "    .descriptor_bytes = sizeof file_descriptor,\n"
                               "    .imports = file_imports,\n"
                               "};\n";

static void emit_bytes(struct text *out, const uint8_t *bytes, size_t count)
{
    enum { PER_LINE = 17 };
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        text_add(out, i % PER_LINE == 0 ? "\n    0x" : " 0x");
        const char rest[] = {digits[bytes[i] >> 4], digits[bytes[i] & 0xf], ','};
        text_append(out, rest, sizeof rest);
    }
}

static void emit_roles(struct text *out, const struct plan_method *m)
{
    if (!m->roles[0])
        return;
    text_expand(out, m->vars, roles_begin);
    for (const char *const *role = m->roles; *role; role++)
        text_add(out, text_format(out->arena, "    \"%s\",\n", *role));
    text_expand(out, m->vars, roles_end);
}

static void emit_data(struct text *out, const struct plan_file *file)
{
    text_expand(out, file->vars, data_begin);
    emit_bytes(out, file->descriptor, file->descriptor_bytes);
    text_expand(out, file->vars, imports_begin);
    for (size_t i = 0; i < file->import_count; i++)
        text_add(out, text_format(out->arena, "    &%s,\n", file->imports[i].file));
    text_expand(out, file->vars, imports_end);
    for (size_t s = 0; s < file->service_count; s++)
        for (size_t m = 0; m < file->services[s].method_count; m++)
            emit_roles(out, &file->services[s].methods[m]);
    text_expand(out, file->vars, data_end);
}

// ---------------------------------------------------------------- source: services

static const char method_skeleton[] =
    "static void invoke_$service$_$method$(const void *handlers, struct nrpc_call *call, "
    "const ProtobufCMessage *request, void *user)\n"
    "{\n"
    "    const struct $service$_handlers *table = handlers;\n";
static const char method_invoke[] = "    table->$handler$(call, (const $Request$ *)request, user);\n";
static const char method_invoke_stream[] = "    (void)request;\n"
                                           "    table->$handler$(call, user);\n";
static const char method_is_handled[] = "}\n"
                                        "\n"
                                        "static bool is_handled_$service$_$method$(const void *handlers)\n"
                                        "{\n"
                                        "    const struct $service$_handlers *table = handlers;\n"
                                        "    return table->$handler$ != NULL;\n"
                                        "}\n"
                                        "\n";

static const char methods_begin[] = "static const struct nrpc_method $service$_methods[] = {\n";
static const char methods_entry[] = "    [$INDEX$] =\n"
                                    "        {\n"
                                    "            .name = \"/$Service$/$Method$\",\n"
                                    "            .request = &$request$,\n"
                                    "            .response = &$response$,\n"
                                    "            .invoke = invoke_$service$_$method$,\n"
                                    "            .is_handled = is_handled_$service$_$method$,\n";
static const char methods_client_streams[] = "            .client_streams = true,\n";
static const char methods_server_streams[] = "            .server_streams = true,\n";
static const char methods_idempotent[] = "            .idempotent = true,\n";
static const char methods_roles[] = "            .roles = roles_$service$_$method$,\n";
static const char methods_entry_end[] = "        },\n";
static const char methods_end[] = "};\n"
                                  "\n";

static const char service_definition[] = "const struct nrpc_service $variable$ = {\n"
                                         "    .name = \"$Service$\",\n"
                                         "    .methods = $service$_methods,\n"
                                         "    .method_count = $count$,\n"
                                         "    .file = &$file$,\n"
                                         "};\n";
static const char service_definition_empty[] =
    "const struct nrpc_service $variable$ = {.name = \"$Service$\", .file = &$file$};\n";

static const char register_definition[] =
    "\n"
    "int $service$_register(struct nrpc_server *server, enum nrpc_dispatch dispatch, "
    "const struct $service$_handlers *handlers, void *user, struct nrpc_status *st)\n"
    "{\n"
    "    return nrpc_server_add(server, &$variable$, dispatch, handlers, user, st);\n"
    "}\n";

static void emit_skeleton(struct text *out, const struct plan_method *m)
{
    text_expand(out, m->vars, method_skeleton);
    text_expand(out, m->vars, m->kind & PLAN_CLIENT_STREAMS ? method_invoke_stream : method_invoke);
    text_expand(out, m->vars, method_is_handled);
}

static void emit_method_entry(struct text *out, const struct plan_method *m)
{
    const struct {
        bool is_set;
        const char *line;
    } more[] = {
        {m->kind & PLAN_CLIENT_STREAMS, methods_client_streams},
        {m->kind & PLAN_SERVER_STREAMS, methods_server_streams},
        {m->is_idempotent, methods_idempotent},
        {m->roles[0], methods_roles},
    };
    text_expand(out, m->vars, methods_entry);
    for (size_t i = 0; i < COUNT(more); i++)
        if (more[i].is_set)
            text_expand(out, m->vars, more[i].line);
    text_expand(out, m->vars, methods_entry_end);
}

static void emit_service_description(struct text *out, const struct plan_service *s)
{
    if (s->method_count == 0) {
        text_expand(out, s->vars, service_definition_empty);
        return;
    }
    for (size_t i = 0; i < s->method_count; i++)
        emit_skeleton(out, &s->methods[i]);
    text_expand(out, s->vars, methods_begin);
    for (size_t i = 0; i < s->method_count; i++)
        emit_method_entry(out, &s->methods[i]);
    text_expand(out, s->vars, methods_end);
    text_expand(out, s->vars, service_definition);
}

static void emit_service_definitions(struct text *out, const struct plan_service *s)
{
    text_expand(out, s->vars, service_rule);
    emit_service_description(out, s);
    text_expand(out, s->vars, register_definition);
    for (size_t i = 0; i < s->method_count; i++)
        emit_method_definitions(out, &s->methods[i]);
}

void emit_source(struct text *out, const struct plan_file *file)
{
    text_expand(out, file->vars, source_begin);
    if (file->import_count > 0)
        text_add(out, source_gap);
    for (size_t i = 0; i < file->import_count; i++)
        text_add(out, text_format(out->arena, "#include \"%s.nrpc.h\"\n", file->imports[i].stem));
    emit_data(out, file);
    for (size_t i = 0; i < file->service_count; i++)
        emit_service_definitions(out, &file->services[i]);
}
