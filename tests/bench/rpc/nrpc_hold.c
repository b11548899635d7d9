// SPDX-License-Identifier: Apache-2.0
// nrpc_hold.c: many clients of one server that are mostly idle.
//
// usage: bench_nrpc_hold beat URL SERVER_PID CLIENTS SECONDS PERIOD: opens channels; each makes a call of 64
// bytes every PERIOD seconds, for SECONDS.
//        bench_nrpc_hold hear PUB_URL SERVER_PID CLIENTS: opens subscribers, writes "publish" to its standard
//        output and
// waits until all have the event.
// Both print lines of "name value".
#include "bench_echo.nrpc.h"
#include "measure.h"

#include <poll.h>
#include <stdatomic.h>

enum { HEARTBEAT_BYTES = 64, WAIT_S = 120 };

static _Atomic long answered, failed, heard;
static _Atomic int64_t slowest_us;
static double event_sent_s;

static void die(const char *what)
{
    fprintf(stderr, "bench_nrpc_hold: %s\n", what);
    exit(2);
}

static void print(const char *name, double value)
{
    printf("%s %.3f\n", name, value);
    fflush(stdout);
}

static long resident_kib(int pid)
{
    char path[64], line[200];
    long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "VmRSS: %ld", &kib) == 1)
            break;
    if (f)
        fclose(f);
    return kib;
}

static void done(void *user, const struct nrpc_status *st, const Bench__Blob *r)
{
    const double *begun_s = user;
    (void)r;
    int64_t us = (int64_t)((measure_now_s() - *begun_s) * 1e6), most = atomic_load(&slowest_us);
    while (us > most && !atomic_compare_exchange_weak(&slowest_us, &most, us))
        ;
    if (st->code)
        failed++;
    answered++;
}

static void on_event(void *user, const struct nrpc_event *e)
{
    (void)user;
    (void)e;
    heard++;
}

static void wait_until_all(_Atomic long *counter, long wanted)
{
    double until_s = measure_now_s() + WAIT_S;
    while (atomic_load(counter) < wanted && measure_now_s() < until_s)
        poll(NULL, 0, 1);
}

static long connected(struct nrpc_channel **channels, long count)
{
    long n = 0;
    for (long i = 0; i < count; i++)
        n += nrpc_channel_is_connected(channels[i]);
    return n;
}

static void open_channels(const char *url, struct nrpc_channel **channels, long count, int pid)
{
    struct nrpc_status st;
    long before_kib = resident_kib(pid);
    double begun_s = measure_now_s();
    for (long i = 0; i < count; i++)
        if (nrpc_channel_open(url, NULL, &channels[i], &st))
            die(st.text);
    while (connected(channels, count) < count && measure_now_s() - begun_s < WAIT_S)
        poll(NULL, 0, 20);
    print("connected", (double)connected(channels, count));
    print("connect_seconds", measure_now_s() - begun_s);
    print("server_kib_per_connection", (double)(resident_kib(pid) - before_kib) / (double)count);
}

static void beat(struct nrpc_channel **channels, long count, double seconds, double period, int pid)
{
    static uint8_t bytes[HEARTBEAT_BYTES];
    double *begun_s = calloc((size_t)count, sizeof *begun_s), start_s = measure_now_s(),
           cpu_s = measure_cpu_s(pid);
    Bench__Blob q = BENCH__BLOB__INIT;
    q.data = (ProtobufCBinaryData){HEARTBEAT_BYTES, bytes};
    long sent = 0;
    while (measure_now_s() - start_s < seconds) {
        long due = (long)((measure_now_s() - start_s) * (double)count / period);
        for (; sent < due; sent++) {
            begun_s[sent % count] = measure_now_s();
            bench_echo_call_async(channels[sent % count], NULL, &q, done, &begun_s[sent % count]);
        }
        poll(NULL, 0, 5);
    }
    wait_until_all(&answered, sent);
    double elapsed_s = measure_now_s() - start_s;
    print("heartbeats", (double)atomic_load(&answered));
    print("failed", (double)(atomic_load(&failed) + sent - atomic_load(&answered)));
    print("slowest_ms", (double)atomic_load(&slowest_us) / 1000);
    print("server_percent_of_a_core", 100 * (measure_cpu_s(pid) - cpu_s) / elapsed_s);
    free(begun_s);
}

static void broadcast(const char *url, struct nrpc_subscriber **subscribers, long count)
{
    static const char *const topics[] = {"news"};
    struct nrpc_status st;
    for (long i = 0; i < count; i++)
        if (nrpc_subscriber_open(url, topics, 1, on_event, NULL, &subscribers[i], &st))
            die(st.text);
    for (long last = -1; last != atomic_load(&heard) || last < count;) { // until all have one
        last = atomic_load(&heard);
        if (last >= count)
            break;
        atomic_store(&heard, 0);
        puts("publish");
        fflush(stdout);
        poll(NULL, 0, 2000);
    }
    atomic_store(&heard, 0);
    event_sent_s = measure_now_s();
    puts("publish");
    fflush(stdout);
    wait_until_all(&heard, count);
    print("broadcast_heard", (double)atomic_load(&heard));
    print("broadcast_seconds", measure_now_s() - event_sent_s);
}

int main(int argc, char **argv)
{
    if (argc < 5)
        die("usage: beat URL SERVER_PID CLIENTS SECONDS PERIOD, or hear PUB_URL SERVER_PID CLIENTS");
    int pid = atoi(argv[3]);
    long count = atol(argv[4]);
    void **clients = calloc((size_t)count, sizeof *clients);
    if (!strcmp(argv[1], "hear")) {
        broadcast(argv[2], (struct nrpc_subscriber **)clients, count);
    } else if (argc == 7) {
        open_channels(argv[2], (struct nrpc_channel **)clients, count, pid);
        beat((struct nrpc_channel **)clients, count, atof(argv[5]), atof(argv[6]), pid);
    }
    _exit(0); // closing ten thousand politely would take longer than the measurement
}
