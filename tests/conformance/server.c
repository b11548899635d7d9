// SPDX-License-Identifier: Apache-2.0
// server.c: the conformance suite's server in C; README.md says what it does.
#include "conformance.nrpc.h"

#include "nrpc/auth/auth.h"
#include "nrpc/interceptors/guard.h"

#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BODY_MAX = 1 << 20, KEYS_MAX = 256, DRAIN_MS = 10000 };

static uint8_t zeros[BODY_MAX];
static _Atomic int64_t cancelled;

// ---- what every method does

static void echo_metadata(struct nrpc_call *call)
{
    size_t count;
    const struct nrpc_metadata *m = nrpc_call_all_metadata(call, &count);
    for (size_t i = 0; i < count; i++) {
        if (!strcmp(m[i].key, "x-test-echo-initial"))
            (void)nrpc_call_add_header(call, &m[i], NULL);
        if (!strcmp(m[i].key, "x-test-echo-trailing-bin"))
            (void)nrpc_call_add_trailer(call, &m[i], NULL);
    }
}

static void reply_status(struct nrpc_call *call, const Nrpc__Testing__EchoStatus *wanted)
{
    struct nrpc_status st;
    Google__Protobuf__Empty empty = GOOGLE__PROTOBUF__EMPTY__INIT;
    Nrpc__Testing__Payload payload = NRPC__TESTING__PAYLOAD__INIT;
    payload.body = (ProtobufCBinaryData){6, (uint8_t *)"detail"};
    const ProtobufCMessage *details[] = {&empty.base, &payload.base};
    status_set(&st, wanted->code, "%s", wanted->message);
    if (wanted->with_details)
        nrpc_reply_details(call, &st, details, 2);
    else
        nrpc_reply_status(call, &st);
}

static bool is_size(int32_t size)
{
    return size >= 0 && size <= BODY_MAX;
}

// ---- unary

static void on_empty(struct nrpc_call *call, const Google__Protobuf__Empty *q, void *user)
{
    (void)user;
    echo_metadata(call);
    nrpc_testing_test_service_empty_call_reply(call, q);
}

static void answer_simple(struct nrpc_call *call, const Nrpc__Testing__SimpleRequest *q)
{
    Nrpc__Testing__SimpleResponse r = NRPC__TESTING__SIMPLE_RESPONSE__INIT;
    Nrpc__Testing__Payload payload = NRPC__TESTING__PAYLOAD__INIT;
    int64_t remaining_ms = nrpc_call_remaining_ms(call);
    const char *traceparent = nrpc_call_metadata(call, "traceparent");
    echo_metadata(call);
    if (q->response_status && q->response_status->code) {
        reply_status(call, q->response_status);
        return;
    }
    if (!is_size(q->response_size)) {
        nrpc_reply_error(call, NRPC_INVALID_ARGUMENT, "response_size %d", q->response_size);
        return;
    }
    payload.body = (ProtobufCBinaryData){(size_t)q->response_size, zeros};
    r.payload = &payload;
    r.remaining_ms = remaining_ms == INT64_MAX ? -1 : remaining_ms;
    r.traceparent = (char *)(traceparent ? traceparent : "");
    nrpc_reply(call, &r.base);
}

static void on_unary(struct nrpc_call *call, const Nrpc__Testing__SimpleRequest *q, void *user)
{
    (void)user;
    answer_simple(call, q);
}

// How often a key was seen before.
static int32_t count_key(const char *key)
{
    static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
    static struct {
        char *key;
        int32_t count;
    } keys[KEYS_MAX];
    int32_t before = INT32_MAX;
    pthread_mutex_lock(&mu);
    for (size_t i = 0; i < KEYS_MAX; i++) {
        if (keys[i].key && strcmp(keys[i].key, key))
            continue;
        if (!keys[i].key)
            keys[i].key = strdup(key);
        before = keys[i].count++;
        break;
    }
    pthread_mutex_unlock(&mu);
    return before;
}

static void on_idempotent(struct nrpc_call *call, const Nrpc__Testing__SimpleRequest *q, void *user)
{
    (void)user;
    if (count_key(q->key) < q->fail_first)
        nrpc_reply_error(call, NRPC_UNAVAILABLE, "as asked");
    else
        answer_simple(call, q);
}

// ---- streams

static int send_all(struct nrpc_call *call, const Nrpc__Testing__StreamingOutputCallRequest *q)
{
    int code = NRPC_OK;
    for (size_t i = 0; i < q->n_response_parameters && code == NRPC_OK; i++) {
        const Nrpc__Testing__ResponseParameters *p = q->response_parameters[i];
        Nrpc__Testing__StreamingOutputCallResponse r = NRPC__TESTING__STREAMING_OUTPUT_CALL_RESPONSE__INIT;
        Nrpc__Testing__Payload payload = NRPC__TESTING__PAYLOAD__INIT;
        if (!is_size(p->size))
            return NRPC_INVALID_ARGUMENT;
        if (p->interval_us > 0)
            usleep((useconds_t)p->interval_us);
        payload.body = (ProtobufCBinaryData){(size_t)p->size, zeros};
        r.payload = &payload;
        code = nrpc_call_send(call, &r.base);
    }
    return code;
}

static void finish(struct nrpc_call *call, int code)
{
    if (code == NRPC_CANCELLED || code == NRPC_DEADLINE_EXCEEDED)
        cancelled++;
    if (code)
        nrpc_reply_error(call, code, "the call ended with %s", nrpc_code_name(code));
    else
        nrpc_finish(call);
}

static void on_output(struct nrpc_call *call, const Nrpc__Testing__StreamingOutputCallRequest *q, void *user)
{
    (void)user;
    echo_metadata(call);
    if (q->response_status && q->response_status->code)
        reply_status(call, q->response_status);
    else
        finish(call, send_all(call, q));
}

static void on_input(struct nrpc_call *call, void *user)
{
    (void)user;
    const Nrpc__Testing__StreamingInputCallRequest *q;
    Nrpc__Testing__StreamingInputCallResponse r = NRPC__TESTING__STREAMING_INPUT_CALL_RESPONSE__INIT;
    int code;
    echo_metadata(call);
    while ((code = nrpc_testing_test_service_streaming_input_call_receive(call, &q)) == NRPC_OK && q)
        r.aggregated_payload_size += q->payload ? (int32_t)q->payload->body.len : 0;
    if (code)
        finish(call, code);
    else
        nrpc_testing_test_service_streaming_input_call_reply(call, &r);
}

static void on_full_duplex(struct nrpc_call *call, void *user)
{
    (void)user;
    const Nrpc__Testing__StreamingOutputCallRequest *q;
    int code;
    echo_metadata(call);
    while ((code = nrpc_testing_test_service_full_duplex_call_receive(call, &q)) == NRPC_OK && q) {
        if (q->response_status && q->response_status->code) {
            reply_status(call, q->response_status);
            return;
        }
        if ((code = send_all(call, q)))
            break;
    }
    finish(call, code);
}

// Keeps the sizes asked for until the client has said everything.
static void on_half_duplex(struct nrpc_call *call, void *user)
{
    (void)user;
    enum { SIZES_MAX = 1000 };
    const Nrpc__Testing__StreamingOutputCallRequest *q;
    int32_t sizes[SIZES_MAX];
    size_t count = 0;
    int code;
    while ((code = nrpc_testing_test_service_half_duplex_call_receive(call, &q)) == NRPC_OK && q)
        for (size_t i = 0; i < q->n_response_parameters && count < SIZES_MAX; i++)
            sizes[count++] = q->response_parameters[i]->size;
    for (size_t i = 0; i < count && code == NRPC_OK; i++) {
        Nrpc__Testing__ResponseParameters p = NRPC__TESTING__RESPONSE_PARAMETERS__INIT, *list[] = {&p};
        Nrpc__Testing__StreamingOutputCallRequest one = NRPC__TESTING__STREAMING_OUTPUT_CALL_REQUEST__INIT;
        p.size = sizes[i];
        one.n_response_parameters = 1;
        one.response_parameters = list;
        code = send_all(call, &one);
    }
    finish(call, code);
}

// ---- the rest

static void hang_changed(void *user, struct nrpc_call *call)
{
    (void)user;
    if (!nrpc_call_is_cancelled(call))
        return;
    cancelled++;
    nrpc_reply_error(call, NRPC_CANCELLED, "the caller gave up");
}

static void on_hang(struct nrpc_call *call, const Google__Protobuf__Empty *q, void *user)
{
    (void)q;
    (void)user;
    nrpc_call_on_ready(call, hang_changed, NULL);
}

static void on_seen(struct nrpc_call *call, const Google__Protobuf__Empty *q, void *user)
{
    (void)q;
    (void)user;
    Nrpc__Testing__SeenResponse r = NRPC__TESTING__SEEN_RESPONSE__INIT;
    r.cancelled = cancelled;
    nrpc_testing_test_service_seen_reply(call, &r);
}

static void on_unimplemented(struct nrpc_call *call, const Google__Protobuf__Empty *q, void *user)
{
    (void)q;
    (void)user;
    nrpc_reply_error(call, NRPC_UNIMPLEMENTED, "%s is not implemented", nrpc_call_method_name(call));
}

static const struct nrpc_testing_test_service_handlers handlers = {
    .empty_call = on_empty,
    .unary_call = on_unary,
    .idempotent_call = on_idempotent,
    .streaming_output_call = on_output,
    .streaming_input_call = on_input,
    .full_duplex_call = on_full_duplex,
    .half_duplex_call = on_half_duplex,
    .hang = on_hang,
    .seen = on_seen,
    .unimplemented_call = on_unimplemented,
};

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"listen", required_argument, NULL, 'l'}, {"cert", required_argument, NULL, 'c'},
        {"key", required_argument, NULL, 'k'},    {"ca", required_argument, NULL, 'a'},
        {"tokens", required_argument, NULL, 't'}, {NULL, 0, NULL, 0},
    };
    const char *url = NULL, *tokens = NULL;
    struct nrpc_tls_options tls = {0};
    struct nrpc_server_options so = {.workers = 64, .tls = &tls};
    struct nrpc_status st;
    struct nrpc_guard *guard = NULL;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (o == 'l')
            url = optarg;
        else if (o == 'c')
            tls.certificate_file = optarg;
        else if (o == 'k')
            tls.key_file = optarg;
        else if (o == 'a')
            tls.ca_file = optarg;
        else if (o == 't')
            tokens = optarg;
        else
            return 2;
    }
    struct nrpc_server *server = nrpc_server_create(&so);
    struct nrpc_auth_options auth = {.tokens_path = tokens};
    if (!url || (tokens && nrpc_guard_create(&auth, &guard, &st)) ||
        nrpc_testing_test_service_register(server, NRPC_POOLED, &handlers, NULL, &st)) {
        fprintf(stderr, "%s\n", url ? st.text : "--listen URL is missing");
        return 2;
    }
    if (guard)
        nrpc_guard_protect(guard, server);
    if (nrpc_server_listen(server, url, &st)) {
        fprintf(stderr, "%s\n", st.text);
        return 2;
    }
    puts(nrpc_server_url(server, 0));
    fflush(stdout);
    while (getchar() != EOF)
        ;
    nrpc_server_drain(server, DRAIN_MS);
    nrpc_server_destroy(server);
    nrpc_guard_destroy(guard);
    return 0;
}
