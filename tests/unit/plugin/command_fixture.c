// SPDX-License-Identifier: Apache-2.0
// command_fixture.c: packs a command, runs it, unpacks its output.
#include "command_fixture.h"

#include "plugin/command.h"

#include <stdlib.h>
#include <string.h>

static int run(struct dtf_execution *x, const void *param, size_t size, struct nrpc_status *st)
{
    struct dtf_subtask s = {1, 1, 1, "command", 60000, param, size};
    *st = (struct nrpc_status){0};
    return command_type.executor->execute(NULL, &s, x, st);
}

static size_t fill_texts(const char *const *texts, ProtobufCBinaryData *out)
{
    size_t n = 0;
    for (; texts && texts[n]; n++)
        out[n] = (ProtobufCBinaryData){strlen(texts[n]), (uint8_t *)texts[n]};
    return n;
}

static uint8_t *pack(const struct command_spec *c, size_t *size)
{
    Dtf__V1__Command m = DTF__V1__COMMAND__INIT;
    ProtobufCBinaryData argv[64], env[64];
    m.argv = argv;
    m.n_argv = fill_texts(c->argv, argv);
    m.env = env;
    m.n_env = fill_texts(c->env, env);
    m.shell = c->shell;
    if (c->directory)
        m.directory = (ProtobufCBinaryData){strlen(c->directory), (uint8_t *)c->directory};
    m.input = (ProtobufCBinaryData){c->input_size, (uint8_t *)c->input};
    m.max_output_bytes = c->max_output;
    *size = dtf__v1__command__get_packed_size(&m);
    uint8_t *packed = mem_alloc(*size);
    dtf__v1__command__pack(&m, packed);
    return packed;
}

int command_execute_bytes(const void *param, size_t size, struct outcome *out)
{
    struct dtf_execution x;
    execution_init(&x);
    int code = run(&x, param, size, &out->st);
    out->code = x.code;
    if (x.body_size)
        out->output = dtf__v1__command_output__unpack(NULL, x.body_size, x.body);
    else if (code == NRPC_OK) // an empty message: no output
        out->output = dtf__v1__command_output__unpack(NULL, 0, NULL);
    execution_fini(&x);
    return code;
}

int command_execute_message(const Dtf__V1__Command *m, struct outcome *out)
{
    size_t size = dtf__v1__command__get_packed_size(m);
    uint8_t *packed = mem_alloc(size);
    dtf__v1__command__pack(m, packed);
    int code = command_execute_bytes(packed, size, out);
    free(packed);
    return code;
}

int command_execute(const struct command_spec *c, struct outcome *out)
{
    size_t size;
    uint8_t *packed = pack(c, &size);
    int code = command_execute_bytes(packed, size, out);
    free(packed);
    return code;
}

int command_execute_in(struct dtf_execution *x, const struct command_spec *c, struct nrpc_status *st)
{
    size_t size;
    uint8_t *packed = pack(c, &size);
    int code = run(x, packed, size, st);
    free(packed);
    return code;
}

void outcome_fini(struct outcome *o)
{
    if (o->output)
        dtf__v1__command_output__free_unpacked(o->output, NULL);
    *o = (struct outcome){0};
}
