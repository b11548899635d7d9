// SPDX-License-Identifier: Apache-2.0
// features_hostile_test.c: whatever arrives at the listening socket, the daemon goes on serving, and does not
// grow.
//
// HOSTILE_SEED sets the seed (it is printed).
#include "system/cluster.h"
#include "system/random_message.h"
#include "system/raw_peer.h"

#include "dtf/v1/admin.nrpc.h"
#include "dtf/v1/node.nrpc.h"
#include "dtf/v1/task_service.nrpc.h"
#include "nrpc/frame.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
enum { GROWTH_MAX_KIB = 1 << 20 }; // freed memory is held back for a while
#else
enum { GROWTH_MAX_KIB = 64 << 10 };
#endif

static struct cluster c;
static long rss_before_kib;

static void check_serves(void)
{
    uint64_t task = cluster_create_gate(&c, "gate", &(struct gate_param){.count = 5}, NULL);
    assert_int_equal(cluster_wait(&c, task).succeeded, 5);
    assert_in_range(process_rss_kib(c.coordinator.pid), 1, rss_before_kib + GROWTH_MAX_KIB);
}

static int setup(void **state)
{
    (void)state;
    const char *text = getenv("HOSTILE_SEED");
    unsigned seed = text ? (unsigned)atoi(text) : (unsigned)(cluster_now_ms() % 1000000);
    print_message("seed %u\n", seed);
    srandom(seed);
    cluster_start(&c);
    cluster_start_node(&c, 0, "2", "1000");
    rss_before_kib = process_rss_kib(c.coordinator.pid);
    check_serves();
    rss_before_kib = process_rss_kib(c.coordinator.pid);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    print_message("memory: %ld KiB before, %ld KiB after\n", rss_before_kib,
                  process_rss_kib(c.coordinator.pid));
    cluster_stop(&c);
    return 0;
}

static int open_peer(bool shake)
{
    int fd = raw_connect(c.listen);
    assert_true(fd >= 0);
    if (shake)
        assert_true(raw_handshake(fd));
    return fd;
}

static size_t fill_random(uint8_t *out, size_t max)
{
    size_t size = (size_t)random() % max;
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)random();
    return size;
}

// ---- below the frames

static void test_garbage(void **state)
{
    (void)state;
    uint8_t bytes[4000];
    for (int i = 0; i < 200; i++) {
        int fd = open_peer(i % 2);
        raw_write(fd, bytes, fill_random(bytes, sizeof bytes));
        raw_hang_up(fd, i % 3 == 0);
    }
    check_serves();
}

static void test_truncated(void **state)
{
    (void)state;
    uint8_t bytes[4000];
    for (int i = 0; i < 100; i++) {
        int fd = open_peer(true);
        size_t size = fill_random(bytes, sizeof bytes);
        raw_message(fd, size + 1 + (uint64_t)random() % 100000, bytes, size);
        raw_hang_up(fd, i % 2);
    }
    check_serves();
}

static void test_oversized(void **state)
{
    (void)state;
    static const uint64_t lengths[] = {5 << 20,    1ull << 31, 1ull << 32, 1ull << 40, 1ull << 63,
                                       UINT64_MAX, 0,          1,          3};
    int fds[sizeof lengths / sizeof *lengths * 8];
    for (size_t i = 0; i < sizeof fds / sizeof *fds;
         i++) { // all at once: a length alone must not cost memory
        fds[i] = open_peer(true);
        raw_message(fds[i], lengths[i % (sizeof lengths / sizeof *lengths)], "abc", 3);
    }
    check_serves();
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        raw_hang_up(fds[i], false);
}

// ---- frames

// Sends these bytes as a message's body and expects an answer with this status.
static void expect_answer(const uint8_t *body, size_t size, uint32_t status)
{
    static uint8_t message[RAW_MAX], answer[RAW_MAX];
    struct frame f;
    struct nrpc_status st;
    int fd = open_peer(true);
    memcpy(message, "\x80\0\0\1", 4);
    memcpy(message + 4, body, size);
    assert_true(raw_message(fd, size + 4, message, size + 4));
    int n = raw_receive(fd, answer, 10000);
    assert_true(n > 0);
    assert_int_equal(frame_parse(answer, (size_t)n, &f, &st), NRPC_OK);
    assert_int_equal(f.kind, FRAME_RESPONSE);
    assert_int_equal(f.status, status);
    raw_hang_up(fd, false);
}

static size_t make_frame(uint32_t version, uint32_t kind, const char *method, bool payload, uint8_t *out)
{
    struct frame f = {.version = version, .kind = kind};
    f.method = (struct wire_bytes){(const uint8_t *)method, strlen(method)};
    frame_write(&f, payload, 0, out);
    return frame_size(&f, payload, 0);
}

static void test_frames(void **state)
{
    (void)state;
    static const char *const health = "/dtf.v1.AdminService/Health";
    static const struct {
        uint32_t version, kind;
        const char *method;
        bool payload;
        uint32_t status;
    } rows[] = {
        {1, FRAME_REQUEST, "/dtf.v1.AdminService/Health", true, NRPC_OK},
        {0, FRAME_REQUEST, "/dtf.v1.AdminService/Health", true, NRPC_UNIMPLEMENTED},
        {2, FRAME_REQUEST, "/dtf.v1.AdminService/Health", true, NRPC_UNIMPLEMENTED},
        {UINT32_MAX, FRAME_REQUEST, "/dtf.v1.AdminService/Health", true, NRPC_UNIMPLEMENTED},
        {1, FRAME_REQUEST, "/dtf.v1.AdminService/Nothing", true, NRPC_UNIMPLEMENTED},
        {1, FRAME_REQUEST, "", true, NRPC_UNIMPLEMENTED},
    };
    uint8_t body[1000];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_answer(body, make_frame(rows[i].version, rows[i].kind, rows[i].method, rows[i].payload, body),
                      rows[i].status);
    size_t size = make_frame(1, FRAME_REQUEST, health, true, body);
    expect_answer(body, size - 3, NRPC_INVALID_ARGUMENT); // cut
    check_serves();
}

// Good frames with bytes changed, added, taken away.
static void test_mutated_frames(void **state)
{
    (void)state;
    uint8_t body[1000];
    int fd = open_peer(true);
    for (int i = 0; i < 3000; i++) {
        uint32_t kind = (uint32_t)random() % 9;
        memcpy(body, "\x80\0\0\1", 4);
        size_t size = 4 + make_frame(1, kind, "/dtf.v1.AdminService/Roles", random() % 4, body + 4);
        for (long k = random() % 4; k > 0; k--)
            body[4 + (size_t)random() % (size - 4)] = (uint8_t)random();
        size -= (size_t)(random() % 3 ? 0 : random() % (long)(size - 4));
        if (!raw_message(fd, size, body, size)) {
            raw_hang_up(fd, false);
            fd = open_peer(true);
        }
        static uint8_t answer[RAW_MAX];
        while (raw_receive(fd, answer, 0) >= 0)
            ;
    }
    raw_hang_up(fd, false);
    check_serves();
}

// ---- requests

static const char *const texts[] = {"", "gate", "vetted_gate", "none", "default", "a\nb", "\xff\xfe", NULL};

// A node that takes part in the disorder; its work comes back when it leaves.
static uint64_t register_node(struct nrpc_channel *ch)
{
    Dtf__V1__RegisterRequest r = DTF__V1__REGISTER_REQUEST__INIT;
    Dtf__V1__RegisterResponse *response;
    char *types[] = {"gate"};
    struct nrpc_status st;
    r.name = "hostile";
    r.slots = 1;
    r.types = types;
    r.n_types = 1;
    assert_int_equal(dtf_v1_node_service_register_(ch, NULL, &r, &response, &st), NRPC_OK);
    uint64_t id = response->node_id;
    dtf__v1__register_response__free_unpacked(response, NULL);
    return id;
}

static void send_random(int fd, const struct nrpc_method *m, const struct random_words *w, uint32_t id,
                        uint32_t ack)
{
    static uint8_t payload[RAW_MAX / 2];
    size_t size =
        random() % 4 ? random_message(m->request, w, payload, sizeof payload) : fill_random(payload, 300);
    for (long k = random() % 8 ? 0 : random() % 5; k > 0 && size; k--)
        payload[(size_t)random() % size] = (uint8_t)random();
    if (!raw_request(fd, id, ack, m->name, payload, size))
        fail_msg("%s: the connection was closed", m->name);
}

static void one_round(struct nrpc_channel *ch, const struct nrpc_service *const *services, size_t count)
{
    static uint8_t answer[RAW_MAX];
    uint64_t ids[12] = {register_node(ch)};
    size_t got = 0;
    uint32_t id = 0;
    for (size_t i = 1; i < 12; i++)
        ids[i] = i;
    struct random_words words = {texts, ids, 12};
    int fd = open_peer(true);
    for (size_t s = 0; s < count; s++)
        for (size_t m = 0; m < services[s]->method_count; m++)
            for (int i = 0; i < 20; i++) {
                send_random(fd, &services[s]->methods[m], &words, ++id, (uint32_t)got);
                while (raw_receive(fd, answer, 0) >= 0)
                    got++;
            }
    while (raw_ack(fd, (uint32_t)got) && raw_receive(fd, answer, 700) >= 0) // some wait until their deadline
        got++;
    assert_true(got > 100);
    raw_hang_up(fd, false);
    Dtf__V1__LeaveRequest leave = DTF__V1__LEAVE_REQUEST__INIT;
    leave.node_id = ids[0];
    assert_int_equal(dtf_v1_node_service_leave(ch, NULL, &leave, NULL, NULL), NRPC_OK);
}

static void test_random_requests(void **state)
{
    (void)state;
    const struct nrpc_service *const services[] = {&dtf_v1_task_service, &dtf_v1_node_service,
                                                   &dtf_v1_admin_service};
    struct nrpc_channel *ch;
    struct nrpc_status st;
    assert_int_equal(nrpc_channel_open(c.listen, NULL, &ch, &st), NRPC_OK);
    for (int round = 0; round < 8; round++) {
        one_round(ch, services, 3);
        check_serves();
    }
    nrpc_channel_close(ch);
}

// ---- connections that come and go

enum { CALLS = 1000, CALL_PAUSE_US = 4000 };

static _Atomic bool hanging_up;

static void *hang_up_all_the_time(void *user)
{
    long *count = user;
    for (int i = 0; atomic_load(&hanging_up); i++) {
        int fd = raw_connect(c.listen);
        if (i % 4 == 1 && fd >= 0)
            raw_write(fd, "\0SP", 3);
        if (i % 4 == 2 && fd >= 0)
            raw_handshake(fd);
        if (fd >= 0)
            raw_hang_up(fd, i % 4 == 3);
        *count += fd >= 0;
        usleep(10000); // a hundred times a second
    }
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

// The 99th percentile of calls over a connection that is there already, in microseconds.
static int64_t measure_p99(uint64_t task)
{
    static int64_t took_us[CALLS];
    struct timespec a, b;
    for (int i = 0; i < CALLS; i++) {
        clock_gettime(CLOCK_MONOTONIC, &a);
        (void)cluster_status(&c, task);
        clock_gettime(CLOCK_MONOTONIC, &b);
        took_us[i] = (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000;
        usleep(CALL_PAUSE_US); // the load is to last
    }
    qsort(took_us, CALLS, sizeof *took_us, by_size);
    return took_us[CALLS * 99 / 100];
}

static void test_hang_ups(void **state)
{
    (void)state;
    pthread_t thread;
    long count = 0;
    struct dtf_client *newcomer;
    struct dtf_task_info info;
    struct nrpc_status st;
    uint64_t task = cluster_create_gate(&c, "gate", &(struct gate_param){.count = 1}, NULL);
    cluster_wait(&c, task);
    int64_t quiet_us = measure_p99(task);
    atomic_store(&hanging_up, true);
    assert_int_equal(pthread_create(&thread, NULL, hang_up_all_the_time, &count), 0);
    int64_t loud_us = measure_p99(task);
    atomic_store(&hanging_up, false);
    pthread_join(thread, NULL);
    print_message("99 %% of calls within %lld us; while %ld connections came and went: %lld us\n",
                  (long long)quiet_us, count, (long long)loud_us);
    assert_true(count > 100);
    assert_true(loud_us < 10 * quiet_us + 50000);
    assert_int_equal(dtf_client_open(c.listen, &newcomer, &st), NRPC_OK); // and whoever is new gets in
    WAIT_FOR(dtf_task_status(newcomer, task, &info, &st) == NRPC_OK, 15000);
    dtf_client_close(newcomer);
    check_serves();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_garbage),        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_oversized),      cmocka_unit_test(test_frames),
        cmocka_unit_test(test_mutated_frames), cmocka_unit_test(test_random_requests),
        cmocka_unit_test(test_hang_ups),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
