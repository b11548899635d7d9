// SPDX-License-Identifier: Apache-2.0
// nng_client.c: calls an echo on nng's own REQ socket, with contexts. usage: bench_nng_client URL SERVER_PID
// sync|async COUNT BYTES OUTSTANDING; prints a line as measure.h says.
#include "measure.h"

#include <nng/nng.h>
#include <nng/protocol/reqrep0/req.h>
#include <pthread.h>
#include <stdatomic.h>

static struct {
    nng_socket socket;
    size_t bytes;
    long count;
    double *latencies;
    _Atomic long started, ended;
    pthread_mutex_t mu;
    pthread_cond_t all_ended;
} b = {.mu = PTHREAD_MUTEX_INITIALIZER, .all_ended = PTHREAD_COND_INITIALIZER};

static void check(int rv, const char *what)
{
    if (!rv)
        return;
    fprintf(stderr, "bench_nng_client: %s: %s\n", what, nng_strerror(rv));
    exit(2);
}

static nng_msg *request(void)
{
    nng_msg *msg;
    check(nng_msg_alloc(&msg, b.bytes), "message");
    memset(nng_msg_body(msg), 'e', b.bytes);
    return msg;
}

static void take(nng_msg *msg)
{
    check(nng_msg_len(msg) != b.bytes, "a wrong answer");
    nng_msg_free(msg);
}

static void run_sync(long count, double *latencies)
{
    for (long i = 0; i < count; i++) {
        double begun_s = measure_now_s();
        nng_msg *msg = request();
        check(nng_sendmsg(b.socket, msg, 0), "send");
        check(nng_recvmsg(b.socket, &msg, 0), "receive");
        take(msg);
        if (latencies)
            latencies[i] = measure_now_s() - begun_s;
    }
}

struct lane {
    nng_ctx context;
    nng_aio *aio;
    int receiving;
    double begun_s;
};

static void start(struct lane *l)
{
    l->begun_s = measure_now_s();
    l->receiving = 0;
    nng_aio_set_msg(l->aio, request());
    nng_ctx_send(l->context, l->aio);
}

static void step(void *arg)
{
    struct lane *l = arg;
    check(nng_aio_result(l->aio), "call");
    if (!l->receiving) {
        l->receiving = 1;
        nng_ctx_recv(l->context, l->aio);
        return;
    }
    take(nng_aio_get_msg(l->aio));
    long i = atomic_fetch_add(&b.ended, 1);
    b.latencies[i] = measure_now_s() - l->begun_s;
    if (atomic_fetch_add(&b.started, 1) < b.count) {
        start(l);
    } else if (i + 1 == b.count) {
        pthread_mutex_lock(&b.mu);
        pthread_cond_signal(&b.all_ended);
        pthread_mutex_unlock(&b.mu);
    }
}

static void run_async(int outstanding)
{
    struct lane *lanes = calloc((size_t)outstanding, sizeof *lanes);
    atomic_store(&b.started, outstanding);
    for (int i = 0; i < outstanding; i++) {
        check(nng_ctx_open(&lanes[i].context, b.socket), "context");
        check(nng_aio_alloc(&lanes[i].aio, step, &lanes[i]), "aio");
    }
    for (int i = 0; i < outstanding; i++)
        start(&lanes[i]);
    pthread_mutex_lock(&b.mu);
    while (atomic_load(&b.ended) < b.count)
        pthread_cond_wait(&b.all_ended, &b.mu);
    pthread_mutex_unlock(&b.mu);
}

int main(int argc, char **argv)
{
    if (argc != 7)
        return 2;
    int pid = atoi(argv[2]);
    b.count = atol(argv[4]);
    b.bytes = (size_t)atol(argv[5]);
    b.latencies = calloc((size_t)b.count, sizeof *b.latencies);
    check(nng_req0_open(&b.socket), "socket");
    check(nng_dial(b.socket, argv[1], NULL, 0), "dial");
    run_sync(200, NULL); // warms up
    double cpu_s = measure_own_cpu_s() + measure_cpu_s(pid), begun_s = measure_now_s();
    if (!strcmp(argv[3], "sync"))
        run_sync(b.count, b.latencies);
    else
        run_async(atoi(argv[6]));
    double seconds = measure_now_s() - begun_s;
    measure_print(b.count, seconds, measure_own_cpu_s() + measure_cpu_s(pid) - cpu_s, b.latencies);
    _exit(0);
}
