// SPDX-License-Identifier: Apache-2.0
// client.c: the conformance suite's client in C; README.md says what each case does.
#include "conformance.nrpc.h"

#include "nrpc/interceptors/bearer.h"

#include <getopt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BODY_MAX = 1 << 20, TIMEOUT_MS = 20000, FAILED = 1, NOT_SUPPORTED = 77 };

static struct nrpc_channel *channel;
static uint8_t zeros[BODY_MAX];
static const struct nrpc_call_options patient = {.timeout_ms = TIMEOUT_MS, .wait_for_ready = true};

static _Noreturn void fail(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    puts("");
    exit(FAILED);
}

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            fail("line %d: not so: %s", __LINE__, #condition);                                               \
    } while (0)

static void expect(int code, int wanted, const struct nrpc_status *st)
{
    if (code != wanted)
        fail("%s instead of %s: %s", nrpc_code_name(code), nrpc_code_name(wanted), st->text);
}

// ---- what the cases are made of

static Google__Protobuf__Empty empty = GOOGLE__PROTOBUF__EMPTY__INIT;

static Nrpc__Testing__SimpleResponse *unary(const struct nrpc_call_options *o, int32_t size,
                                            int32_t response_size)
{
    struct nrpc_status st;
    Nrpc__Testing__SimpleRequest q = NRPC__TESTING__SIMPLE_REQUEST__INIT;
    Nrpc__Testing__Payload payload = NRPC__TESTING__PAYLOAD__INIT;
    Nrpc__Testing__SimpleResponse *r;
    payload.body = (ProtobufCBinaryData){(size_t)size, zeros};
    q.payload = &payload;
    q.response_size = response_size;
    expect(nrpc_testing_test_service_unary_call(channel, o, &q, &r, &st), NRPC_OK, &st);
    CHECK(r->payload && r->payload->body.len == (size_t)response_size);
    return r;
}

static void free_simple(Nrpc__Testing__SimpleResponse *r)
{
    nrpc__testing__simple_response__free_unpacked(r, NULL);
}

static struct nrpc_stream *open_duplex(const struct nrpc_call_options *o)
{
    struct nrpc_status st;
    struct nrpc_stream *s;
    expect(nrpc_testing_test_service_full_duplex_call(channel, o, &s, &st), NRPC_OK, &st);
    return s;
}

// Asks for one message of response_size; the request carries size bytes.
static void ask(struct nrpc_stream *s, int32_t response_size, int32_t size)
{
    Nrpc__Testing__ResponseParameters p = NRPC__TESTING__RESPONSE_PARAMETERS__INIT, *list[] = {&p};
    Nrpc__Testing__StreamingOutputCallRequest q = NRPC__TESTING__STREAMING_OUTPUT_CALL_REQUEST__INIT;
    Nrpc__Testing__Payload payload = NRPC__TESTING__PAYLOAD__INIT;
    p.size = response_size;
    q.n_response_parameters = 1;
    q.response_parameters = list;
    payload.body = (ProtobufCBinaryData){(size_t)size, zeros};
    q.payload = &payload;
    CHECK(nrpc_testing_test_service_full_duplex_call_write(s, &q) == NRPC_OK);
}

static void hear(struct nrpc_stream *s, int32_t size)
{
    struct nrpc_status st;
    const Nrpc__Testing__StreamingOutputCallResponse *r;
    expect(nrpc_testing_test_service_full_duplex_call_read(s, &r, &st), NRPC_OK, &st);
    CHECK(r && r->payload && r->payload->body.len == (size_t)size);
}

// The stream ends so, with no further message.
static void hear_end(struct nrpc_stream *s, int code, struct nrpc_status *st)
{
    const ProtobufCMessage *message;
    expect(nrpc_stream_read(s, &message, st), code, st);
    CHECK(!message);
}

static int64_t seen_cancelled(void)
{
    struct nrpc_status st;
    Nrpc__Testing__SeenResponse *r;
    expect(nrpc_testing_test_service_seen(channel, &patient, &empty, &r, &st), NRPC_OK, &st);
    int64_t n = r->cancelled;
    nrpc__testing__seen_response__free_unpacked(r, NULL);
    return n;
}

static void wait_for_cancelled(int64_t before)
{
    for (int i = 0; i < 500 && seen_cancelled() == before; i++)
        usleep(10000);
    CHECK(seen_cancelled() > before);
}

// ---- unary cases

static void empty_unary(void)
{
    struct nrpc_status st;
    Google__Protobuf__Empty *r;
    expect(nrpc_testing_test_service_empty_call(channel, &patient, &empty, &r, &st), NRPC_OK, &st);
    google__protobuf__empty__free_unpacked(r, NULL);
}

static void large_unary(void)
{
    free_simple(unary(&patient, 271828, 314159));
}

static void deadline_propagates(void)
{
    Nrpc__Testing__SimpleResponse *r = unary(&(struct nrpc_call_options){.timeout_ms = 10000}, 1, 1);
    CHECK(r->remaining_ms >= 1 && r->remaining_ms <= 10000);
    free_simple(r);
    r = unary(NULL, 1, 1);
    CHECK(r->remaining_ms == -1);
    free_simple(r);
}

static void traceparent(void)
{
    static const char sent[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const struct nrpc_metadata m = {.key = "traceparent", .value = sent};
    struct nrpc_call_options o = {.timeout_ms = TIMEOUT_MS, .metadata = &m, .metadata_count = 1};
    Nrpc__Testing__SimpleResponse *r = unary(&o, 1, 1);
    CHECK(!strcmp(r->traceparent, sent));
    free_simple(r);
}

static int fail_unary(Nrpc__Testing__EchoStatus *wanted, struct nrpc_outcome *outcome, struct nrpc_status *st)
{
    struct nrpc_call_options o = {.timeout_ms = TIMEOUT_MS, .outcome = outcome};
    Nrpc__Testing__SimpleRequest q = NRPC__TESTING__SIMPLE_REQUEST__INIT;
    q.response_status = wanted;
    return nrpc_testing_test_service_unary_call(channel, &o, &q, NULL, st);
}

static void expect_status(int code, const char *text)
{
    struct nrpc_status st;
    Nrpc__Testing__EchoStatus wanted = NRPC__TESTING__ECHO_STATUS__INIT;
    wanted.code = code;
    wanted.message = (char *)text;
    expect(fail_unary(&wanted, NULL, &st), code, &st);
    CHECK(!strcmp(st.text, text));
}

static void status_code_and_message(void)
{
    static char text[] = "test status message";
    struct nrpc_status st;
    expect_status(NRPC_UNKNOWN, text);
    struct nrpc_stream *s = open_duplex(&patient);
    Nrpc__Testing__StreamingOutputCallRequest q = NRPC__TESTING__STREAMING_OUTPUT_CALL_REQUEST__INIT;
    Nrpc__Testing__EchoStatus wanted = NRPC__TESTING__ECHO_STATUS__INIT;
    wanted.code = NRPC_UNKNOWN;
    wanted.message = text;
    q.response_status = &wanted;
    CHECK(nrpc_testing_test_service_full_duplex_call_write(s, &q) == NRPC_OK);
    nrpc_stream_close_send(s);
    hear_end(s, NRPC_UNKNOWN, &st);
    CHECK(!strcmp(st.text, text));
    nrpc_stream_close(s);
}

static void special_status_message(void)
{
    expect_status(NRPC_UNKNOWN,
                  "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n");
}

static void status_details(void)
{
    struct nrpc_status st;
    struct nrpc_outcome outcome;
    Nrpc__Testing__EchoStatus wanted = NRPC__TESTING__ECHO_STATUS__INIT;
    wanted.code = NRPC_FAILED_PRECONDITION;
    wanted.message = (char *)"not yet";
    wanted.with_details = true;
    expect(fail_unary(&wanted, &outcome, &st), NRPC_FAILED_PRECONDITION, &st);
    CHECK(!strcmp(st.text, "not yet"));
    Nrpc__Testing__Payload *p =
        (Nrpc__Testing__Payload *)nrpc_detail(&outcome, &nrpc__testing__payload__descriptor, NULL);
    CHECK(p && p->body.len == 6 && !memcmp(p->body.data, "detail", 6));
    nrpc__testing__payload__free_unpacked(p, NULL);
    CHECK(!nrpc_detail(&outcome, &nrpc__testing__simple_request__descriptor, NULL));
    nrpc_outcome_fini(&outcome);
}

static void unimplemented_method(void)
{
    struct nrpc_status st;
    expect(nrpc_testing_test_service_unimplemented_call(channel, &patient, &empty, NULL, &st),
           NRPC_UNIMPLEMENTED, &st);
}

static void unimplemented_service(void)
{
    struct nrpc_status st;
    expect(nrpc_testing_unimplemented_service_unimplemented_call(channel, &patient, &empty, NULL, &st),
           NRPC_UNIMPLEMENTED, &st);
}

static void retry_idempotent(void)
{
    char key[40];
    struct nrpc_status st;
    struct nrpc_outcome outcome;
    struct nrpc_call_options o = {.timeout_ms = TIMEOUT_MS, .outcome = &outcome};
    Nrpc__Testing__SimpleRequest q = NRPC__TESTING__SIMPLE_REQUEST__INIT;
    Nrpc__Testing__EchoStatus wanted = NRPC__TESTING__ECHO_STATUS__INIT;
    snprintf(key, sizeof key, "c-%d", (int)getpid());
    q.key = key;
    q.fail_first = 2;
    expect(nrpc_testing_test_service_idempotent_call(channel, &o, &q, NULL, &st), NRPC_OK, &st);
    CHECK(outcome.attempts == 3);
    nrpc_outcome_fini(&outcome);
    wanted.code = NRPC_UNAVAILABLE;
    wanted.message = (char *)"x";
    expect(fail_unary(&wanted, &outcome, &st), NRPC_UNAVAILABLE, &st);
    CHECK(outcome.attempts == 1);
    nrpc_outcome_fini(&outcome);
}

static void custom_metadata(void)
{
    static const char initial[] = "test_initial_metadata_value";
    const struct nrpc_metadata m[] = {
        {.key = "x-test-echo-initial", .value = initial},
        {.key = "x-test-echo-trailing-bin", .value = "\xab\xab\xab", .value_bytes = 3},
    };
    struct nrpc_status st;
    struct nrpc_outcome outcome;
    struct nrpc_call_options o = {
        .timeout_ms = TIMEOUT_MS, .metadata = m, .metadata_count = 2, .outcome = &outcome};
    free_simple(unary(&o, 10, 20));
    struct nrpc_stream *s = open_duplex(&o);
    ask(s, 10, 10);
    nrpc_stream_close_send(s);
    hear(s, 10);
    hear_end(s, NRPC_OK, &st);
    const struct nrpc_outcome *outcomes[] = {&outcome, nrpc_stream_outcome(s)};
    for (int i = 0; i < 2; i++) {
        const struct nrpc_outcome *c = outcomes[i];
        const char *header = nrpc_metadata_find(c->headers, c->header_count, m[0].key);
        const char *trailer = nrpc_metadata_find(c->trailers, c->trailer_count, m[1].key);
        CHECK(header && !strcmp(header, initial));
        CHECK(trailer && !memcmp(trailer, m[1].value, 4));
    }
    nrpc_stream_close(s);
    nrpc_outcome_fini(&outcome);
}

// ---- streaming cases

static const int32_t response_sizes[] = {31415, 9, 2653, 58979}, request_sizes[] = {27182, 8, 1828, 45904};

static void client_streaming(void)
{
    struct nrpc_status st;
    struct nrpc_stream *s;
    const Nrpc__Testing__StreamingInputCallResponse *r;
    expect(nrpc_testing_test_service_streaming_input_call(channel, &patient, &s, &st), NRPC_OK, &st);
    for (int i = 0; i < 4; i++) {
        Nrpc__Testing__StreamingInputCallRequest q = NRPC__TESTING__STREAMING_INPUT_CALL_REQUEST__INIT;
        Nrpc__Testing__Payload payload = NRPC__TESTING__PAYLOAD__INIT;
        payload.body = (ProtobufCBinaryData){(size_t)request_sizes[i], zeros};
        q.payload = &payload;
        CHECK(nrpc_testing_test_service_streaming_input_call_write(s, &q) == NRPC_OK);
    }
    nrpc_stream_close_send(s);
    expect(nrpc_testing_test_service_streaming_input_call_read(s, &r, &st), NRPC_OK, &st);
    CHECK(r && r->aggregated_payload_size == 74922);
    hear_end(s, NRPC_OK, &st);
    nrpc_stream_close(s);
}

static struct nrpc_stream *open_output(const int32_t *sizes, size_t count)
{
    enum { COUNT_MAX = 10000 };
    static Nrpc__Testing__ResponseParameters parameters[COUNT_MAX], *list[COUNT_MAX];
    struct nrpc_status st;
    struct nrpc_stream *s;
    Nrpc__Testing__StreamingOutputCallRequest q = NRPC__TESTING__STREAMING_OUTPUT_CALL_REQUEST__INIT;
    for (size_t i = 0; i < count; i++) {
        nrpc__testing__response_parameters__init(&parameters[i]);
        parameters[i].size = sizes ? sizes[i] : 100;
        list[i] = &parameters[i];
    }
    q.n_response_parameters = count;
    q.response_parameters = list;
    expect(nrpc_testing_test_service_streaming_output_call(channel, &patient, &q, &s, &st), NRPC_OK, &st);
    return s;
}

static void server_streaming(void)
{
    struct nrpc_status st;
    struct nrpc_stream *s = open_output(response_sizes, 4);
    for (int i = 0; i < 4; i++)
        hear(s, response_sizes[i]);
    hear_end(s, NRPC_OK, &st);
    nrpc_stream_close(s);
}

static void server_streaming_many(void)
{
    struct nrpc_status st;
    struct nrpc_stream *s = open_output(NULL, 10000);
    for (int i = 0; i < 10000; i++) {
        if (i < 20)
            usleep(10000);
        hear(s, 100);
    }
    hear_end(s, NRPC_OK, &st);
    nrpc_stream_close(s);
}

static void ping_pong(void)
{
    struct nrpc_status st;
    struct nrpc_stream *s = open_duplex(&patient);
    for (int i = 0; i < 4; i++) {
        ask(s, response_sizes[i], request_sizes[i]);
        hear(s, response_sizes[i]);
    }
    nrpc_stream_close_send(s);
    hear_end(s, NRPC_OK, &st);
    nrpc_stream_close(s);
}

static void half_duplex(void)
{
    struct nrpc_status st;
    struct nrpc_stream *s;
    expect(nrpc_testing_test_service_half_duplex_call(channel, &patient, &s, &st), NRPC_OK, &st);
    for (int i = 0; i < 4; i++)
        ask(s, response_sizes[i], request_sizes[i]);
    nrpc_stream_close_send(s);
    for (int i = 0; i < 4; i++)
        hear(s, response_sizes[i]);
    hear_end(s, NRPC_OK, &st);
    nrpc_stream_close(s);
}

static void empty_stream(void)
{
    struct nrpc_status st;
    struct nrpc_stream *s = open_duplex(&patient);
    nrpc_stream_close_send(s);
    hear_end(s, NRPC_OK, &st);
    nrpc_stream_close(s);
}

// ---- cancellation and deadlines

static void cancel_after_begin(void)
{
    struct nrpc_status st;
    struct nrpc_stream *s;
    expect(nrpc_testing_test_service_streaming_input_call(channel, &patient, &s, &st), NRPC_OK, &st);
    nrpc_stream_cancel(s);
    hear_end(s, NRPC_CANCELLED, &st);
    nrpc_stream_close(s);
}

static void cancel_after_first_response(void)
{
    struct nrpc_status st;
    int64_t before = seen_cancelled();
    struct nrpc_stream *s = open_duplex(&patient);
    ask(s, 31415, 27182);
    hear(s, 31415);
    nrpc_stream_cancel(s);
    hear_end(s, NRPC_CANCELLED, &st);
    nrpc_stream_close(s);
    wait_for_cancelled(before);
}

static void hung(void *user, const struct nrpc_status *st, const Google__Protobuf__Empty *r)
{
    (void)r;
    __atomic_store_n((int *)user, st->code, __ATOMIC_RELEASE);
}

static void cancel_reaches_server(void)
{
    int code = -1;
    uint64_t id;
    int64_t before = seen_cancelled();
    struct nrpc_call_options o = {.timeout_ms = TIMEOUT_MS, .id = &id};
    nrpc_testing_test_service_hang_async(channel, &o, &empty, hung, &code);
    seen_cancelled(); // the server has the other call by now
    nrpc_channel_cancel(channel, id);
    for (int i = 0; i < 500 && __atomic_load_n(&code, __ATOMIC_ACQUIRE) < 0; i++)
        usleep(10000);
    CHECK(code == NRPC_CANCELLED);
    wait_for_cancelled(before);
}

static void timeout_on_sleeping_server(void)
{
    struct nrpc_status st;
    const struct nrpc_call_options hasty = {.timeout_ms = 50, .wait_for_ready = true};
    int64_t before = seen_cancelled();
    struct nrpc_stream *s = open_duplex(&hasty);
    hear_end(s, NRPC_DEADLINE_EXCEEDED, &st);
    nrpc_stream_close(s);
    expect(nrpc_testing_test_service_hang(channel, &hasty, &empty, NULL, &st), NRPC_DEADLINE_EXCEEDED, &st);
    wait_for_cancelled(before);
}

// ---- tokens, connections

static void unauthenticated(void)
{
    struct nrpc_status st;
    expect(nrpc_testing_test_service_empty_call(channel, &patient, &empty, NULL, &st), NRPC_UNAUTHENTICATED,
           &st);
}

static void say_running(void)
{
    puts("running");
    fflush(stdout);
    CHECK(getchar() != EOF);
}

static void reconnect(void)
{
    struct nrpc_status st;
    struct nrpc_stream *s = open_duplex(&patient);
    ask(s, 1, 1);
    hear(s, 1);
    say_running();
    hear_end(s, NRPC_UNAVAILABLE, &st);
    nrpc_stream_close(s);
    empty_unary();
}

static void drain(void)
{
    struct nrpc_status st;
    struct nrpc_stream *s = open_duplex(&patient);
    ask(s, 1, 1);
    hear(s, 1);
    say_running(); // from here on the server drains
    int code = NRPC_OK;
    for (int i = 0; i < 500 && code == NRPC_OK; i++)
        code = nrpc_testing_test_service_empty_call(channel, &(struct nrpc_call_options){.timeout_ms = 100},
                                                    &empty, NULL, &st);
    CHECK(code == NRPC_UNAVAILABLE || code == NRPC_DEADLINE_EXCEEDED);
    ask(s, 5, 5); // the old call goes on
    hear(s, 5);
    nrpc_stream_close_send(s);
    hear_end(s, NRPC_OK, &st);
    nrpc_stream_close(s);
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"empty_unary", empty_unary},
    {"large_unary", large_unary},
    {"client_streaming", client_streaming},
    {"server_streaming", server_streaming},
    {"server_streaming_many", server_streaming_many},
    {"ping_pong", ping_pong},
    {"half_duplex", half_duplex},
    {"empty_stream", empty_stream},
    {"cancel_after_begin", cancel_after_begin},
    {"cancel_after_first_response", cancel_after_first_response},
    {"cancel_reaches_server", cancel_reaches_server},
    {"timeout_on_sleeping_server", timeout_on_sleeping_server},
    {"deadline_propagates", deadline_propagates},
    {"custom_metadata", custom_metadata},
    {"status_code_and_message", status_code_and_message},
    {"special_status_message", special_status_message},
    {"status_details", status_details},
    {"unimplemented_method", unimplemented_method},
    {"unimplemented_service", unimplemented_service},
    {"retry_idempotent", retry_idempotent},
    {"traceparent", traceparent},
    {"wrong_token", unauthenticated},
    {"no_token", unauthenticated},
    {"reconnect", reconnect},
    {"drain", drain},
};

static int run_case(const char *name)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!strcmp(cases[i].name, name)) {
            cases[i].run();
            return 0;
        }
    return NOT_SUPPORTED;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"url", required_argument, NULL, 'u'},
        {"case", required_argument, NULL, 'c'},
        {"ca", required_argument, NULL, 'a'},
        {"cert", required_argument, NULL, 'e'},
        {"key", required_argument, NULL, 'k'},
        {"token", required_argument, NULL, 't'},
        {NULL, 0, NULL, 0},
    };
    const char *url = NULL, *name = NULL;
    struct nrpc_tls_options tls = {0};
    struct nrpc_bearer *bearer = nrpc_bearer_create(NULL);
    struct nrpc_client_interceptor interceptor = nrpc_bearer_interceptor(bearer);
    struct nrpc_channel_options o = {.tls = &tls, .interceptors = &interceptor, .interceptor_count = 1};
    struct nrpc_status st;
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == 'u')
            url = optarg;
        else if (c == 'c')
            name = optarg;
        else if (c == 'a')
            tls.ca_file = optarg;
        else if (c == 'e')
            tls.certificate_file = optarg;
        else if (c == 'k')
            tls.key_file = optarg;
        else if (c == 't')
            nrpc_bearer_set(bearer, optarg);
        else
            return 2;
    }
    if (!url || !name)
        fail("usage: --url URL --case NAME");
    if (nrpc_channel_open(url, &o, &channel, &st))
        fail("%s", st.text);
    int result = run_case(name);
    nrpc_channel_close(channel);
    nrpc_bearer_destroy(bearer);
    return result;
}
