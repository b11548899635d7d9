// SPDX-License-Identifier: Apache-2.0
// nrpc_server.c: the echo service on nrpc. usage: bench_nrpc_server URL [inline|pooled]; prints its url and
// that of its pub socket; publishes an event for each "p" in its standard input, and ends with that.
#include "bench_echo.nrpc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_call(struct nrpc_call *call, const Bench__Blob *q, void *user)
{
    (void)user;
    bench_echo_call_reply(call, q);
}

struct many {
    uint64_t left;
    Bench__Blob blob;
};

// Sends as much as there is room for; runs again when there is more.
static void send_many(void *user, struct nrpc_call *call)
{
    struct many *m = user;
    int code = NRPC_OK;
    while (m->left && (code = bench_echo_many_send(call, &m->blob)) == NRPC_OK)
        m->left--;
    if (code == NRPC_WOULD_BLOCK)
        return;
    if (code)
        nrpc_reply_error(call, code, "nobody wants more");
    else
        nrpc_finish(call);
}

static void on_many(struct nrpc_call *call, const Bench__ManyRequest *q, void *user)
{
    (void)user;
    struct many *m = nrpc_call_alloc(call, sizeof *m + q->bytes);
    if (!m) {
        nrpc_reply_error(call, NRPC_RESOURCE_EXHAUSTED, "messages of %u bytes", q->bytes);
        return;
    }
    *m = (struct many){q->count, BENCH__BLOB__INIT};
    m->blob.data = (ProtobufCBinaryData){q->bytes, (uint8_t *)(m + 1)};
    memset(m + 1, 'm', q->bytes);
    nrpc_call_on_ready(call, send_many, m);
}

static const struct bench_echo_handlers handlers = {.call = on_call, .many = on_many};

int main(int argc, char **argv)
{
    struct nrpc_status st;
    struct nrpc_publisher *publisher;

    struct nrpc_server *server = nrpc_server_create(NULL);
    enum nrpc_dispatch dispatch = argc > 2 && !strcmp(argv[2], "pooled") ? NRPC_POOLED : NRPC_INLINE;
    if (argc < 2 || bench_echo_register(server, dispatch, &handlers, NULL, &st) ||
        nrpc_server_listen(server, argv[1], &st) ||
        nrpc_publisher_open("tcp://127.0.0.1:0", &publisher, &st)) {
        fprintf(stderr, "bench_nrpc_server: %s\n", argc < 2 ? "URL [inline|pooled]" : st.text);
        return 2;
    }
    printf("%s\n%s\n", nrpc_server_url(server, 0), nrpc_publisher_url(publisher));
    fflush(stdout);
    Bench__Blob event = BENCH__BLOB__INIT;
    uint64_t sequence = 0;
    for (int c; (c = getchar()) != EOF;)
        if (c == 'p')
            (void)nrpc_publish(publisher, "news", ++sequence, &event.base, NULL);
    nrpc_publisher_close(publisher);
    nrpc_server_destroy(server);
    return 0;
}
