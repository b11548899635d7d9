// SPDX-License-Identifier: Apache-2.0
// server.c: a server to try the command line client on. Prints its url, runs until the end of its input.
//
// usage: nrpc_cli_server [--bare] [--tokens FILE] [--cert FILE --key FILE] [--ca FILE]; --bare: without
// reflection, health and channelz.
#include "tool/v1/secret.nrpc.h"
#include "tool/v1/tool.nrpc.h"

#include "nrpc/interceptors/guard.h"
#include "nrpc/services/channelz.h"
#include "nrpc/services/health.h"
#include "nrpc/services/reflection.h"

#include <getopt.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct nrpc_health *health;
static _Atomic int64_t cancelled;

// ---- unary

static void on_echo(struct nrpc_call *call, const Tool__V1__Item *q, void *user)
{
    (void)user;
    size_t count;
    const struct nrpc_metadata *m = nrpc_call_all_metadata(call, &count);
    for (size_t i = 0; i < count; i++) {
        if (!strcmp(m[i].key, "x-header"))
            (void)nrpc_call_add_header(call, &m[i], NULL);
        if (!strcmp(m[i].key, "x-trailer-bin"))
            (void)nrpc_call_add_trailer(call, &m[i], NULL);
    }
    tool_v1_tool_echo_reply(call, q);
}

static void fail_as_asked(struct nrpc_call *call, const Tool__V1__FailRequest *q)
{
    struct nrpc_status st;
    Tool__V1__Item item = TOOL__V1__ITEM__INIT;
    Google__Protobuf__Timestamp when = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    Google__Protobuf__Empty empty = GOOGLE__PROTOBUF__EMPTY__INIT;
    Tool__V1__Secret secret = TOOL__V1__SECRET__INIT;
    const ProtobufCMessage *details[] = {&item.base, &when.base, &empty.base, &secret.base};
    item.name = (char *)"detail";
    secret.text = (char *)"hush";
    status_set(&st, q->code, "%s", q->text);
    if (q->with_details)
        nrpc_reply_details(call, &st, details, 4);
    else
        nrpc_reply_status(call, &st);
}

static void on_fail(struct nrpc_call *call, const Tool__V1__FailRequest *q, void *user)
{
    (void)user;
    fail_as_asked(call, q);
}

static void given_up(void *user, struct nrpc_call *call)
{
    (void)user;
    if (!nrpc_call_is_cancelled(call))
        return;
    cancelled++;
    nrpc_reply_error(call, NRPC_CANCELLED, "the caller gave up");
}

static void on_hang(struct nrpc_call *call, const Tool__V1__Item *q, void *user)
{
    (void)q;
    (void)user;
    nrpc_call_on_ready(call, given_up, NULL);
}

static void on_hang_streaming(struct nrpc_call *call, const Tool__V1__Item *q, void *user)
{
    (void)user;
    (void)tool_v1_tool_hang_streaming_send(call, q);
    nrpc_call_on_ready(call, given_up, NULL);
}

static void on_cancelled(struct nrpc_call *call, const Google__Protobuf__Empty *q, void *user)
{
    (void)q;
    (void)user;
    Tool__V1__Item r = TOOL__V1__ITEM__INIT;
    r.size = cancelled;
    tool_v1_tool_cancelled_reply(call, &r);
}

static void on_set_health(struct nrpc_call *call, const Tool__V1__Item *q, void *user)
{
    (void)user;
    Google__Protobuf__Empty r = GOOGLE__PROTOBUF__EMPTY__INIT;
    nrpc_health_set(health, q->name, (enum nrpc_health_status)q->size);
    tool_v1_tool_set_health_reply(call, &r);
}

// ---- streams

static void end(struct nrpc_call *call, int code)
{
    if (code)
        nrpc_reply_error(call, code, "the call ended with %s", nrpc_code_name(code));
    else
        nrpc_finish(call);
}

static void on_count(struct nrpc_call *call, const Tool__V1__Item *q, void *user)
{
    (void)user;
    Tool__V1__Item r = TOOL__V1__ITEM__INIT;
    int code = NRPC_OK;
    for (r.size = 1; r.size <= q->size && !code; r.size++)
        code = tool_v1_tool_count_send(call, &r);
    end(call, code);
}

static void on_fail_later(struct nrpc_call *call, const Tool__V1__FailRequest *q, void *user)
{
    (void)user;
    Tool__V1__Item r = TOOL__V1__ITEM__INIT;
    for (int i = 0; i < q->after; i++)
        (void)tool_v1_tool_fail_later_send(call, &r);
    fail_as_asked(call, q);
}

static void on_sum(struct nrpc_call *call, void *user)
{
    (void)user;
    const Tool__V1__Item *q;
    Tool__V1__Item r = TOOL__V1__ITEM__INIT;
    int code;
    while ((code = tool_v1_tool_sum_receive(call, &q)) == NRPC_OK && q)
        r.size += q->size;
    if (code)
        nrpc_reply_error(call, code, "the call ended with %s", nrpc_code_name(code));
    else
        tool_v1_tool_sum_reply(call, &r);
}

static void on_chat(struct nrpc_call *call, void *user)
{
    (void)user;
    const Tool__V1__Item *q;
    int code;
    while ((code = tool_v1_tool_chat_receive(call, &q)) == NRPC_OK && q)
        if ((code = tool_v1_tool_chat_send(call, q)))
            break;
    if (code == NRPC_CANCELLED)
        cancelled++;
    end(call, code);
}

static const struct tool_v1_tool_handlers handlers = {
    .echo = on_echo,
    .fail = on_fail,
    .count = on_count,
    .fail_later = on_fail_later,
    .sum = on_sum,
    .chat = on_chat,
    .hang = on_hang,
    .hang_streaming = on_hang_streaming,
    .cancelled = on_cancelled,
    .set_health = on_set_health,
};

// ---- the program

static int add_services(struct nrpc_server *server, bool is_bare, struct nrpc_status *st)
{
    int code = tool_v1_tool_register(server, NRPC_POOLED, &handlers, NULL, st);
    if (code || is_bare)
        return code;
    code = nrpc_health_add(health, server, st);
    if (!code)
        code = nrpc_channelz_add(server, st);
    return code ? code : nrpc_reflection_add(server, st);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"bare", no_argument, NULL, 'b'},       {"tokens", required_argument, NULL, 't'},
        {"cert", required_argument, NULL, 'c'}, {"key", required_argument, NULL, 'k'},
        {"ca", required_argument, NULL, 'a'},   {NULL, 0, NULL, 0},
    };
    bool is_bare = false;
    struct nrpc_tls_options tls = {0};
    struct nrpc_auth_options auth = {0};
    struct nrpc_guard *guard = NULL;
    struct nrpc_status st;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == 'b')
            is_bare = true;
        else if (o == 't')
            auth.tokens_path = optarg;
        else if (o == 'c')
            tls.certificate_file = optarg;
        else if (o == 'k')
            tls.key_file = optarg;
        else if (o == 'a')
            tls.ca_file = optarg;
        else
            return 2;
    }
    struct nrpc_server *server = nrpc_server_create(&(struct nrpc_server_options){.workers = 8, .tls = &tls});
    const char *url = tls.key_file ? "tls+tcp://127.0.0.1:0" : "tcp://127.0.0.1:0";
    health = nrpc_health_create();
    int code = auth.tokens_path ? nrpc_guard_create(&auth, &guard, &st) : NRPC_OK;
    if (guard)
        nrpc_guard_protect(guard, server);
    if (code || add_services(server, is_bare, &st) || nrpc_server_listen(server, url, &st)) {
        fprintf(stderr, "%s\n", st.text);
        return 2;
    }
    puts(nrpc_server_url(server, 0));
    fflush(stdout);
    while (getchar() != EOF)
        ;
    nrpc_health_shutdown(health);
    nrpc_server_drain(server, 10000);
    nrpc_server_destroy(server);
    nrpc_guard_destroy(guard);
    nrpc_health_destroy(health);
    return 0;
}
