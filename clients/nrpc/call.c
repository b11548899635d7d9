// SPDX-License-Identifier: Apache-2.0
// call.c: the command `call`: any method, without generated code.
//
// A message type without fields keeps all that comes as unknown fields, and packs it again: so requests and
// responses pass through nrpc as they are, and are turned from and into JSON here.
#include "cli.h"

#include "answer.h"
#include "base/mem.h"
#include "documents.h"
#include "interrupt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct call {
    struct cli *cli;
    struct source source;
    char *name;                                  // "/package.Service/Method"
    const struct schema_message *input, *output; // for the one who writes, and the one who reads
    ProtobufCMessageDescriptor request, response;
    struct nrpc_method method;
    struct documents documents;
    struct nrpc_stream *stream;
    struct nrpc_status trouble; // of the writer
};

// ---- the method

static ProtobufCMessageDescriptor raw(const struct schema_message *type)
{
    return (ProtobufCMessageDescriptor){
        .magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
        .name = type->full_name,
        .sizeof_message = sizeof(ProtobufCMessage),
    };
}

// Finds the method and describes it to nrpc.
static int resolve(struct call *c, const char *method)
{
    struct nrpc_status st;
    const char *cut = strrchr(method, strchr(method, '/') ? '/' : '.');
    if (!cut || cut == method)
        return cli_fail(c->cli, "%s: give the method as package.Service/Method", method);
    size_t size = strlen(method) + 2;
    c->name = mem_alloc(size);
    snprintf(c->name, size, "/%.*s", (int)(cut - method), method);
    if (source_add(&c->source, c->name + 1, &st))
        return cli_rpc_fail(&st);
    const struct schema *schema = source_schema(&c->source);
    if (!schema_service(schema, c->name + 1))
        return cli_fail(c->cli, "there is no service %s", c->name + 1);
    snprintf(c->name, size, "/%.*s/%s", (int)(cut - method), method, cut + 1);
    const struct schema_method *m = schema_method(schema, c->name + 1);
    if (!m)
        return cli_fail(c->cli, "the service has no method %s", cut + 1);
    c->input = m->input;
    c->output = m->output;
    c->request = raw(m->input);
    c->response = raw(m->output);
    c->method = (struct nrpc_method){
        .name = c->name,
        .request = &c->request,
        .response = &c->response,
        .client_streams = m->client_streaming,
        .server_streams = m->server_streaming,
    };
    return CLI_OK;
}

static struct nrpc_call_options options_of(const struct call *c)
{
    struct nrpc_call_options o = cli_query(c->cli);
    o.timeout_ms = c->cli->deadline_ms;
    return o;
}

// ---- requests

// The next request, allocated; NULL: there is none any more.
static int next_request(struct call *c, ProtobufCMessage **message, struct nrpc_status *st)
{
    struct nrpc_json_options o = answer_json(c->cli);
    const char *text;
    size_t length, size;
    uint8_t *wire;
    *message = NULL;
    int code = documents_next(&c->documents, &text, &length, st);
    if (code || !length)
        return code;
    code = nrpc_json_to_wire(c->input, text, length, &o, &wire, &size, st);
    if (code == NRPC_NOT_FOUND && source_add_all(&c->source, NULL) == NRPC_OK) { // the type in an Any
        c->input = schema_message(source_schema(&c->source), c->input->full_name);
        code = nrpc_json_to_wire(c->input, text, length, &o, &wire, &size, st);
    }
    if (code)
        return code;
    *message = protobuf_c_message_unpack(&c->request, NULL, size, wire);
    free(wire);
    return *message ? NRPC_OK : status_set(st, NRPC_INTERNAL, "%s cannot be packed", c->request.name);
}

// The one request of a method that takes one.
static int only_request(struct call *c, ProtobufCMessage **message)
{
    struct nrpc_status st;
    ProtobufCMessage *more = NULL;
    int code = next_request(c, message, &st);
    if (!code && *message)
        code = next_request(c, &more, &st);
    if (!code && !*message)
        *message = protobuf_c_message_unpack(&c->request, NULL, 0, NULL);
    if (!code && !more)
        return CLI_OK;
    protobuf_c_message_free_unpacked(*message, NULL);
    protobuf_c_message_free_unpacked(more, NULL);
    *message = NULL;
    return code ? cli_fail(c->cli, "the request: %s", st.text)
                : cli_fail(c->cli, "%s takes one message, and --data has more", c->name);
}

// ---- unary calls

struct unary {
    pthread_mutex_t mu;
    pthread_cond_t changed;
    bool ended;
    struct nrpc_status st;
    ProtobufCMessage *response;
    struct nrpc_outcome outcome;
    struct nrpc_channel *channel;
    uint64_t id;
};

static void unary_done(void *user, const struct nrpc_status *st, const ProtobufCMessage *response)
{
    struct unary *u = user;
    ProtobufCMessage *copy = NULL;
    if (response) {
        size_t size = protobuf_c_message_get_packed_size(response);
        uint8_t *wire = mem_alloc(size);
        protobuf_c_message_pack(response, wire);
        copy = protobuf_c_message_unpack(response->descriptor, NULL, size, wire);
        free(wire);
    }
    pthread_mutex_lock(&u->mu);
    u->st = *st;
    u->response = copy;
    u->ended = true;
    pthread_cond_signal(&u->changed);
    pthread_mutex_unlock(&u->mu);
}

static void cancel_unary(void *user)
{
    struct unary *u = user;
    nrpc_channel_cancel(u->channel, u->id);
}

static int run_unary(struct call *c, const ProtobufCMessage *request)
{
    struct unary u = {.channel = c->cli->channel};
    struct nrpc_call_options o = options_of(c);
    o.outcome = &u.outcome;
    o.id = &u.id;
    pthread_mutex_init(&u.mu, NULL);
    pthread_cond_init(&u.changed, NULL);
    nrpc_call_async(c->cli->channel, &c->method, &o, request, unary_done, &u);
    interrupt_set(cancel_unary, &u);
    pthread_mutex_lock(&u.mu);
    while (!u.ended)
        pthread_cond_wait(&u.changed, &u.mu);
    pthread_mutex_unlock(&u.mu);
    interrupt_clear();
    answer_print_metadata(c->cli, "header", u.outcome.headers, u.outcome.header_count);
    int exit_code = u.response ? answer_print(&c->source, &c->output, u.response) : CLI_OK;
    answer_print_metadata(c->cli, "trailer", u.outcome.trailers, u.outcome.trailer_count);
    if (!exit_code)
        exit_code = answer_print_end(&c->source, &u.st, u.outcome.details, u.outcome.details_bytes);
    protobuf_c_message_free_unpacked(u.response, NULL);
    nrpc_outcome_fini(&u.outcome);
    pthread_cond_destroy(&u.changed);
    pthread_mutex_destroy(&u.mu);
    return exit_code;
}

// ---- streams

static void cancel_stream(void *stream)
{
    nrpc_stream_cancel(stream);
}

// A thread: sends the requests as they come.
static void *write_requests(void *user)
{
    struct call *c = user;
    ProtobufCMessage *message;
    int code;
    while (!(code = next_request(c, &message, &c->trouble)) && message) {
        code = nrpc_stream_write(c->stream, message);
        protobuf_c_message_free_unpacked(message, NULL);
        if (code)
            return NULL; // the call has ended, and the reader hears how
    }
    c->trouble.code = code;
    if (code)
        nrpc_stream_cancel(c->stream);
    else
        nrpc_stream_close_send(c->stream);
    return NULL;
}

// Prints what comes; *st: how the call ended. Returns an exit code of this side's trouble.
static int read_responses(struct call *c, struct nrpc_status *st)
{
    const ProtobufCMessage *message;
    const struct nrpc_outcome *o;
    int exit_code = CLI_OK;
    bool is_first = true;
    do {
        nrpc_stream_read(c->stream, &message, st);
        o = nrpc_stream_outcome(c->stream);
        if (is_first)
            answer_print_metadata(c->cli, "header", o->headers, o->header_count);
        is_first = false;
        if (message && !exit_code && (exit_code = answer_print(&c->source, &c->output, message)))
            nrpc_stream_cancel(c->stream);
    } while (message);
    answer_print_metadata(c->cli, "trailer", o->trailers, o->trailer_count);
    return exit_code;
}

static int run_stream(struct call *c, const ProtobufCMessage *request)
{
    struct nrpc_call_options o = options_of(c);
    struct nrpc_status st;
    pthread_t writer;
    if (nrpc_stream_open(c->cli->channel, &c->method, &o, request, &c->stream, &st))
        return cli_rpc_fail(&st);
    interrupt_set(cancel_stream, c->stream);
    if (!request && pthread_create(&writer, NULL, write_requests, c)) {
        interrupt_clear();
        nrpc_stream_close(c->stream);
        return cli_fail(c->cli, "there is no thread for the requests");
    }
    int exit_code = read_responses(c, &st);
    if (!request) {
        documents_stop(&c->documents);
        pthread_join(writer, NULL);
    }
    interrupt_clear();
    const struct nrpc_outcome *end = nrpc_stream_outcome(c->stream);
    if (!exit_code && c->trouble.code)
        exit_code = cli_fail(c->cli, "the request: %s", c->trouble.text);
    else if (!exit_code)
        exit_code = answer_print_end(&c->source, &st, end->details, end->details_bytes);
    nrpc_stream_close(c->stream);
    return exit_code;
}

// ---- the command

static int run(struct call *c)
{
    ProtobufCMessage *request = NULL;
    int exit_code = c->method.client_streams ? CLI_OK : only_request(c, &request);
    if (!exit_code)
        exit_code = c->method.client_streams || c->method.server_streams ? run_stream(c, request)
                                                                         : run_unary(c, request);
    protobuf_c_message_free_unpacked(request, NULL);
    return exit_code;
}

int call_command(struct cli *cli)
{
    struct call c = {.cli = cli};
    struct nrpc_status st;
    int exit_code = source_open(&c.source, cli);
    if (!exit_code)
        exit_code = resolve(&c, cli->operands[0]);
    if (!exit_code) {
        exit_code = documents_open(&c.documents, cli->data ? cli->data : "", &st)
                        ? cli_fail(cli, "--data: %s", st.text)
                        : run(&c);
        documents_close(&c.documents);
    }
    source_close(&c.source);
    free(c.name);
    return exit_code;
}
