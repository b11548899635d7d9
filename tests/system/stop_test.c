// SPDX-License-Identifier: Apache-2.0
// stop_test.c: dtfd is told to end while strangers are in the middle of their greeting and calls are parked:
// it ends well, soon, and its parked calls are answered. Under a sanitizer, it has nothing to report.
#include "base/clock.h"
#include "dtf/v1/task_service.nrpc.h"
#include "system/daemon.h"
#include "system/raw_peer.h"

#include <glob.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

enum { ROUNDS = 6, STRANGERS = 6, EXIT_MS = 8000 };

static const uint8_t hello[8] = {0, 'S', 'P', 0, 0, 0x30, 0, 0};

struct stranger {
    char url[200];
    int begun, pause_ms; // bytes of its greeting that it says first, and when the rest follows
    _Atomic bool connected;
    pthread_t thread;
};

static void *be_strange(void *arg)
{
    struct stranger *s = arg;
    int fd = raw_connect(s->url);
    (void)raw_write(fd, hello, (size_t)s->begun);
    s->connected = true;
    poll(NULL, 0, s->pause_ms);
    (void)raw_write(fd, hello + s->begun, sizeof hello - (size_t)s->begun);
    uint8_t out[RAW_MAX];
    (void)raw_receive(fd, out, 50);
    raw_hang_up(fd, false);
    return NULL;
}

static void start_daemon(struct daemon *d, const char *folder)
{
    const char *args[] = {"--role", "coordinator", "--data", folder, "--listen", "tcp://127.0.0.1:0",
                          "--log",  "error",       NULL};
    assert_true(daemon_start(d, "dtfd", args));
}

static void stop_daemon(struct daemon *d)
{
    int64_t begun_ms = clock_now_ms();
    assert_int_equal(kill(d->pid, SIGTERM), 0);
    int status = daemon_wait(d);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_in_range(clock_now_ms() - begun_ms, 0, EXIT_MS);
}

// A sanitizer of dtfd writes what it finds into files of this name: dtfd may have ended well before it was
// heard.
static void report_to(const char *path)
{
    static const char *const variables[] = {"ASAN_OPTIONS", "TSAN_OPTIONS"};
    for (size_t i = 0; i < 2; i++) {
        char value[800];
        const char *old = getenv(variables[i]);
        snprintf(value, sizeof value, "%s%slog_path=%s", old ? old : "", old ? ":" : "", path);
        assert_int_equal(setenv(variables[i], value, 1), 0);
    }
}

static void check_reports(const char *path)
{
    char pattern[300];
    glob_t found;
    snprintf(pattern, sizeof pattern, "%s.*", path);
    int rv = glob(pattern, 0, NULL, &found);
    if (rv == 0)
        print_message("%s\n", found.gl_pathv[0]);
    assert_int_equal(rv, GLOB_NOMATCH);
}

static void test_stops_beside_greetings(void **state)
{
    (void)state;
    char folder[200], report[250];
    daemon_folder(folder, sizeof folder);
    snprintf(report, sizeof report, "%s/report", folder);
    report_to(report);
    for (int round = 0; round < ROUNDS; round++) {
        struct daemon d;
        static struct stranger strangers[STRANGERS];
        start_daemon(&d, folder);
        for (int i = 0; i < STRANGERS; i++) {
            struct stranger *s = &strangers[i];
            *s = (struct stranger){.begun = i % 2 * 3, .pause_ms = (round * STRANGERS + i) * 7 % 31};
            strcpy(s->url, d.url);
            pthread_create(&s->thread, NULL, be_strange, s);
        }
        for (int i = 0; i < STRANGERS; i++)
            while (!strangers[i].connected)
                poll(NULL, 0, 1);
        stop_daemon(&d);
        for (int i = 0; i < STRANGERS; i++)
            pthread_join(strangers[i].thread, NULL);
    }
    check_reports(report);
    daemon_remove(folder);
}

struct answer {
    struct nrpc_status st;
    _Atomic bool came;
};

static void done(void *user, const struct nrpc_status *st, const Dtf__V1__EventsResponse *r)
{
    struct answer *a = user;
    (void)r;
    a->st = *st;
    a->came = true;
}

// A call that waits for events is answered by the role that has parked it, not cut off: its client hears so
// before the connection goes.
static void test_answers_what_is_parked(void **state)
{
    (void)state;
    char folder[200];
    struct daemon d;
    struct nrpc_status st;
    struct nrpc_channel *ch;
    struct nrpc_channel_stats s;
    struct answer a = {.came = false};
    daemon_folder(folder, sizeof folder);
    start_daemon(&d, folder);
    const struct nrpc_channel_options o = {.retry.max_attempts = 1};
    assert_int_equal(nrpc_channel_open(d.url, &o, &ch, &st), NRPC_OK);
    Dtf__V1__EventsRequest q = DTF__V1__EVENTS_REQUEST__INIT;
    q.wait_ms = 60000;
    dtf_v1_task_service_events_async(ch, NULL, &q, done, &a);
    do
        nrpc_channel_stats(ch, &s);
    while (!s.outstanding && !a.came);
    poll(NULL, 0, 200);
    stop_daemon(&d);
    for (int64_t until_ms = clock_now_ms() + 5000; !a.came && clock_now_ms() < until_ms;)
        poll(NULL, 0, 1);
    assert_true(a.came);
    assert_int_equal(a.st.code, NRPC_UNAVAILABLE);
    assert_string_equal(a.st.text, "the manager is stopping");
    nrpc_channel_close(ch);
    daemon_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stops_beside_greetings),
        cmocka_unit_test(test_answers_what_is_parked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
