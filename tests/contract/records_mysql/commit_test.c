// SPDX-License-Identifier: Apache-2.0
// commit_test.c: the MySQL record store when the answer to a commit is lost: the transaction is done, and
// nobody has said so. A proxy between store and server lets one commit through and cuts its answer off.
#include "admin.h"
#include "contract/records_fixture.h"

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct server *server;
static int listener;
static uint16_t proxy_port;
static atomic_bool cuts_next; // the answer to the next commit
static atomic_int cuts;

// ---- the proxy

static int connect_to_server(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(server_port(server)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return connect(fd, (struct sockaddr *)&to, sizeof to) ? -1 : fd;
}

// Carries what has come one way. False: the connection is over.
static bool carry(int from, int to, bool *saw_commit)
{
    static _Thread_local char data[1 << 16];
    ssize_t n = read(from, data, sizeof data);
    if (n <= 0)
        return false;
    *saw_commit = n >= 6 && !memcmp(data + n - 6, "COMMIT", 6);
    return send(to, data, (size_t)n, MSG_NOSIGNAL) == n;
}

static void *carry_both(void *arg)
{
    int client = (int)(intptr_t)arg, upstream = connect_to_server();
    struct pollfd fds[] = {{client, POLLIN, 0}, {upstream, POLLIN, 0}};
    bool goes_on = upstream >= 0, is_cut = false, saw = false;
    while (goes_on && poll(fds, 2, -1) > 0) {
        if (fds[1].revents && is_cut)
            break; // the commit was answered, so it is done; the answer goes no further
        if (fds[1].revents)
            goes_on = carry(upstream, client, &saw);
        if (goes_on && fds[0].revents) {
            goes_on = carry(client, upstream, &saw);
            is_cut = saw && atomic_exchange(&cuts_next, false);
            atomic_fetch_add(&cuts, is_cut);
        }
    }
    close(client);
    close(upstream);
    return NULL;
}

static void *accept_all(void *unused)
{
    (void)unused;
    for (int client; (client = accept(listener, NULL, NULL)) >= 0;) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, carry_both, (void *)(intptr_t)client))
            close(client);
        else
            pthread_detach(thread);
    }
    return NULL;
}

static void start_proxy(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    pthread_t thread;
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&at, sizeof at) || listen(listener, 20) ||
        getsockname(listener, (struct sockaddr *)&at, &size) ||
        pthread_create(&thread, NULL, accept_all, NULL)) {
        perror("the proxy does not start");
        exit(1);
    }
    pthread_detach(thread);
    proxy_port = ntohs(at.sin_port);
}

// ---- tests

static struct nrpc_status st;

static int set_up(void **state)
{
    char url[100];
    struct records *r = NULL;
    admin_empty(server);
    snprintf(url, sizeof url, "mysql://dtf:secret@127.0.0.1:%d/dtf", proxy_port);
    if (records_mysql_open(&(struct records_mysql_options){.url = url, .migrate = true}, &r, &st))
        fail_msg("%s", st.text);
    *state = r;
    atomic_store(&cuts, 0);
    atomic_store(&cuts_next, true);
    return 0;
}

static int tear_down(void **state)
{
    struct records *r = *state;
    r->ops->close(r);
    assert_int_equal(atomic_load(&cuts), 1);
    return 0;
}

static void a_create_with_a_key_is_still_new(void **state)
{
    struct records *r = *state;
    struct records_new_task t[] = {records_seed_task("a", "a", 1), records_seed_task("b", "b", 1),
                                   records_seed_task("c", "a", 1)};
    assert_int_equal(r->ops->create(r, t, LENGTH(t), &st), NRPC_OK);
    assert_false(t[0].existed || t[1].existed);
    assert_true(t[2].existed);
    assert_int_equal(t[0].id, 1);
    assert_int_equal(t[1].id, 2);
    assert_int_equal(t[2].id, 1);
    assert_int_equal(t[0].sequence, 1);
    assert_int_equal(t[1].sequence, 2);
    assert_int_equal(admin_number(server, "SELECT COUNT(*) FROM dtf.tbl_task_event"), 2);
}

static void a_create_without_a_key_is_not_repeated(void **state)
{
    struct records *r = *state;
    struct records_new_task t[] = {records_seed_task("a", "a", 1), records_seed_task("b", NULL, 1)};
    assert_int_equal(r->ops->create(r, t, LENGTH(t), &st), NRPC_UNAVAILABLE);
    assert_non_null(strstr(st.text, "it may be done"));
    assert_int_equal(admin_number(server, "SELECT COUNT(*) FROM dtf.tbl_task"), 2);
}

static void a_change_is_done_once(void **state)
{
    struct records *r = *state;
    struct records_new_task t = records_seed_task("a", "a", 1);
    atomic_store(&cuts_next, false);
    assert_int_equal(r->ops->create(r, &t, 1, &st), NRPC_OK);
    atomic_store(&cuts_next, true);
    struct records_change c = {.task = t.id, .event = MODEL_FINISH_COMPLETED, .now_ms = 2};
    assert_int_equal(r->ops->change(r, &c, 1, &st), NRPC_OK);
    assert_int_equal(c.status, MODEL_COMPLETED);
    assert_int_equal(admin_number(server, "SELECT COUNT(*) FROM dtf.tbl_task_event"), 2);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(a_create_with_a_key_is_still_new),
        TEST(a_create_without_a_key_is_not_repeated),
        TEST(a_change_is_done_once),
    };
    server = server_mariadb(NULL);
    start_proxy();
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    close(listener);
    server_destroy(server);
    return result;
}
