// SPDX-License-Identifier: Apache-2.0
// nng_server.c: echo on nng's own REP socket, with contexts. usage: bench_nng_server URL CONTEXTS; prints its
// url, ends with its standard input.
#include <nng/nng.h>
#include <nng/protocol/reqrep0/rep.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

struct worker {
    nng_ctx context;
    nng_aio *aio;
    bool sending;
};

static void step(void *arg)
{
    struct worker *w = arg;
    if (nng_aio_result(w->aio))
        return;
    w->sending = !w->sending;
    if (w->sending)
        nng_ctx_send(w->context, w->aio); // the very message that came
    else
        nng_ctx_recv(w->context, w->aio);
}

int main(int argc, char **argv)
{
    nng_socket s;
    nng_listener listener;
    nng_sockaddr sa;
    int count = argc > 2 ? atoi(argv[2]) : 1;
    static struct worker workers[1024];
    if (argc < 2 || count < 1 || count > 1024 || nng_rep0_open(&s) || nng_listen(s, argv[1], &listener, 0) ||
        nng_listener_get_addr(listener, NNG_OPT_LOCADDR, &sa))
        return 2;
    for (int i = 0; i < count; i++) {
        if (nng_ctx_open(&workers[i].context, s) || nng_aio_alloc(&workers[i].aio, step, &workers[i]))
            return 2;
        nng_ctx_recv(workers[i].context, workers[i].aio);
    }
    const unsigned char *port = (const unsigned char *)&sa.s_in.sa_port;
    printf("tcp://127.0.0.1:%d\n", port[0] << 8 | port[1]);
    fflush(stdout);
    while (getchar() != EOF)
        ;
    return 0;
}
