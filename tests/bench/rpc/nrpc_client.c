// SPDX-License-Identifier: Apache-2.0
// nrpc_client.c: calls the echo service on nrpc. usage: bench_nrpc_client URL SERVER_PID sync|async|stream
// COUNT BYTES OUTSTANDING; prints a line as measure.h says.
#include "bench_echo.nrpc.h"
#include "measure.h"

#include <pthread.h>
#include <stdatomic.h>

static struct {
    struct nrpc_channel *channel;
    Bench__Blob request;
    long count;
    double *latencies;
    _Atomic long started, ended;
    pthread_mutex_t mu;
    pthread_cond_t all_ended;
} b = {.request = BENCH__BLOB__INIT, .mu = PTHREAD_MUTEX_INITIALIZER, .all_ended = PTHREAD_COND_INITIALIZER};

static void die(const char *what)
{
    fprintf(stderr, "bench_nrpc_client: %s\n", what);
    exit(2);
}

static void one(void)
{
    struct nrpc_status st;
    Bench__Blob *r;
    if (bench_echo_call(b.channel, NULL, &b.request, &r, &st))
        die(st.text);
    if (r->data.len != b.request.data.len)
        die("a wrong answer");
    bench__blob__free_unpacked(r, NULL);
}

static void run_sync(void)
{
    for (long i = 0; i < b.count; i++) {
        double begun_s = measure_now_s();
        one();
        b.latencies[i] = measure_now_s() - begun_s;
    }
}

struct lane { // calls one after the other
    double begun_s;
};

static void start(struct lane *lane);

static void done(void *user, const struct nrpc_status *st, const Bench__Blob *r)
{
    struct lane *lane = user;
    if (st->code)
        die(st->text);
    if (r->data.len != b.request.data.len)
        die("a wrong answer");
    long i = atomic_fetch_add(&b.ended, 1);
    b.latencies[i] = measure_now_s() - lane->begun_s;
    if (atomic_fetch_add(&b.started, 1) < b.count) {
        start(lane);
    } else if (i + 1 == b.count) {
        pthread_mutex_lock(&b.mu);
        pthread_cond_signal(&b.all_ended);
        pthread_mutex_unlock(&b.mu);
    }
}

static void start(struct lane *lane)
{
    lane->begun_s = measure_now_s();
    bench_echo_call_async(b.channel, NULL, &b.request, done, lane);
}

static void run_async(int outstanding)
{
    struct lane *lanes = calloc((size_t)outstanding, sizeof *lanes);
    atomic_store(&b.started, outstanding);
    for (int i = 0; i < outstanding; i++)
        start(&lanes[i]);
    pthread_mutex_lock(&b.mu);
    while (atomic_load(&b.ended) < b.count)
        pthread_cond_wait(&b.all_ended, &b.mu);
    pthread_mutex_unlock(&b.mu);
    free(lanes);
}

static void run_stream(unsigned bytes)
{
    struct nrpc_status st;
    struct nrpc_stream *stream;
    const Bench__Blob *blob;
    Bench__ManyRequest q = BENCH__MANY_REQUEST__INIT;
    q.count = (uint64_t)b.count;
    q.bytes = bytes;
    long got = 0;
    if (bench_echo_many(b.channel, NULL, &q, &stream, &st))
        die(st.text);
    while (bench_echo_many_read(stream, &blob, &st) == NRPC_OK && blob)
        got += blob->data.len == bytes;
    if (st.code || got != b.count)
        die(st.code ? st.text : "messages are missing");
    nrpc_stream_close(stream);
}

int main(int argc, char **argv)
{
    struct nrpc_status st;
    if (argc != 7)
        die("URL SERVER_PID sync|async|stream COUNT BYTES OUTSTANDING");
    int pid = atoi(argv[2]);
    const char *mode = argv[3];
    b.count = atol(argv[4]);
    b.request.data.len = (size_t)atol(argv[5]);
    b.request.data.data = calloc(1, b.request.data.len + 1);
    b.latencies = calloc((size_t)b.count, sizeof *b.latencies);
    if (nrpc_channel_open(argv[1], NULL, &b.channel, &st))
        die(st.text);
    for (int i = 0; i < 200; i++) // warms up
        one();
    double cpu_s = measure_own_cpu_s() + measure_cpu_s(pid), begun_s = measure_now_s();
    if (!strcmp(mode, "sync"))
        run_sync();
    else if (!strcmp(mode, "async"))
        run_async(atoi(argv[6]));
    else
        run_stream((unsigned)b.request.data.len);
    double seconds = measure_now_s() - begun_s;
    cpu_s = measure_own_cpu_s() + measure_cpu_s(pid) - cpu_s;
    measure_print(b.count, seconds, cpu_s, strcmp(mode, "stream") ? b.latencies : NULL);
    nrpc_channel_close(b.channel);
    free(b.request.data.data);
    free(b.latencies);
    return 0;
}
