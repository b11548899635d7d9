// SPDX-License-Identifier: Apache-2.0
// outage_test.c: the MySQL record store when its server refuses, stops, hangs, or comes back: what a call
// answers, and that nothing that was acknowledged is lost.
#include "admin.h"
#include "contract/records_fixture.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct server *server;

static int set_up(void **state)
{
    admin_empty(server);
    *state = admin_open(server);
    return 0;
}

static int tear_down(void **state)
{
    struct records *r = *state;
    r->ops->close(r);
    return 0;
}

static struct nrpc_status st;

static int create_one(struct records *r, const char *key, uint64_t *id)
{
    struct records_new_task t = records_seed_task("x", key, 1);
    int code = r->ops->create(r, &t, 1, &st);
    if (!code && id)
        *id = t.id;
    return code;
}

static void must(int code)
{
    if (code)
        fail_msg("%s", st.text);
}

static void assert_says(const char *words)
{
    if (!strstr(st.text, words))
        fail_msg("\"%s\" does not say \"%s\"", st.text, words);
}

// ---- opening

static void assert_refused(const char *url, int code, const char *words)
{
    struct records *r = NULL;
    struct records_mysql_options o = {.url = url, .migrate = true};
    assert_int_equal(records_mysql_open(&o, &r, &st), code);
    assert_null(r);
    assert_says(words);
    if (strstr(st.text, "s3cret"))
        fail_msg("it shows the password: %s", st.text);
}

static void what_cannot_be_opened_says_why(void **state)
{
    (void)state;
    char url[100];
    static const struct {
        const char *format;
        int code;
        const char *words;
    } refused[] = {
        {"mysql://dtf:s3cret@127.0.0.1:%d/dtf", NRPC_FAILED_PRECONDITION, "the user or the password"},
        {"mysql://nobody:s3cret@127.0.0.1:%d/dtf", NRPC_FAILED_PRECONDITION, "the user or the password"},
        {"mysql://dtf:secret@127.0.0.1:%d/other", NRPC_FAILED_PRECONDITION, "none of this name"},
        {"mysql://root@/none?socket=/nowhere", NRPC_UNAVAILABLE, "cannot connect"},
        {"mysql://dtf:s3cret@127.0.0.1:1/dtf", NRPC_UNAVAILABLE, "cannot connect"},
        {"mysql://dtf:s3cret@no-such-host.invalid/dtf", NRPC_UNAVAILABLE, "database"},
        {"redis://127.0.0.1", NRPC_INVALID_ARGUMENT, "does not begin with mysql://"},
        {"mysql://127.0.0.1/dtf", NRPC_INVALID_ARGUMENT, "no user"},
        {"mysql://dtf:s3cret@127.0.0.1", NRPC_INVALID_ARGUMENT, "no database"},
        {"mysql://dtf:s3cret@127.0.0.1/", NRPC_INVALID_ARGUMENT, "no database"},
        {"mysql://dtf:s3cret@h:0/dtf", NRPC_INVALID_ARGUMENT, "port"},
        {"mysql://dtf:s3cret@h:65536/dtf", NRPC_INVALID_ARGUMENT, "port"},
        {"mysql://dtf:s3cret@h:-1/dtf", NRPC_INVALID_ARGUMENT, "port"},
        {"mysql://dtf:s3cret@:3306/dtf", NRPC_INVALID_ARGUMENT, "an empty host"},
        {"mysql://dtf:s3cret@[::1/dtf", NRPC_INVALID_ARGUMENT, "a broken IPv6 host"},
        {"mysql://dtf:%%zz@h/dtf", NRPC_INVALID_ARGUMENT, "a broken escape"},
        {"mysql://dtf@h/dtf?tls=required", NRPC_INVALID_ARGUMENT, "parameter"},
        {"mysql://dtf@h/dtf?socket=/x", NRPC_INVALID_ARGUMENT, "either"},
        {"mysql://dtf@h,i/dtf?socket=/x", NRPC_INVALID_ARGUMENT, "either"},
        {"mysql://dtf:s3cret@h,i,h:3306/dtf", NRPC_INVALID_ARGUMENT, "named twice"},
        {"mysql://dtf:s3cret@h,,i/dtf", NRPC_INVALID_ARGUMENT, "an empty host"},
        {"mysql://dtf:s3cret@a,b,c,d,e,f,g,h,i/dtf", NRPC_INVALID_ARGUMENT, "hosts"},
        {"mysql://dtf:s3cret@127.0.0.1:1,127.0.0.1:2/dtf", NRPC_UNAVAILABLE, "127.0.0.1:2 cannot be used"},
        {"mysql://dtf:s3cret@127.0.0.1:%d,localhost:%d/dtf", NRPC_FAILED_PRECONDITION, "the user or the"},
    };
    for (size_t i = 0; i < LENGTH(refused); i++) {
        snprintf(url, sizeof url, refused[i].format, server_port(server), server_port(server));
        assert_refused(url, refused[i].code, refused[i].words);
    }
    assert_refused(NULL, NRPC_INVALID_ARGUMENT, "mysql://");
}

static void a_socket_and_escapes_do_as_well(void **state)
{
    (void)state;
    char url[300];
    struct records *r;
    snprintf(url, sizeof url, "mysql://d%%74f:s%%65cret@/%%64tf?socket=%s", server_socket(server));
    must(records_mysql_open(&(struct records_mysql_options){.url = url}, &r, &st));
    must(create_one(r, NULL, NULL));
    r->ops->close(r);
}

// ---- the server ends and comes back

static void a_server_that_was_killed_comes_back(void **state)
{
    struct records *r = *state;
    uint64_t before = 0, after = 0;
    must(create_one(r, NULL, &before));
    server_kill(server);
    assert_int_equal(create_one(r, NULL, NULL), NRPC_UNAVAILABLE);
    assert_int_equal(r->ops->check(r, &st), NRPC_UNAVAILABLE);
    assert_says("connect");
    server_start(server);
    must(r->ops->check(r, &st));
    must(create_one(r, NULL, &after));
    assert_int_equal(after, before + 1);
}

static void idle_connections_that_were_lost_are_not_noticed(void **state)
{
    struct records *r = *state;
    struct arena a;
    struct records_task t;
    uint64_t id = 0;
    must(create_one(r, NULL, &id));
    server_terminate(server);
    server_start(server);
    arena_init(&a, 0);
    must(r->ops->get(r, id, &a, &t, &st)); // its first statement finds the connection lost
    arena_fini(&a);
    server_kill(server);
    server_start(server);
    must(create_one(r, NULL, NULL));
}

enum { THREADS = 4, TASKS_MAX = 4000 };

static struct {
    struct records *r;
    atomic_bool over;
    atomic_int acknowledged;
} storm;

struct caller {
    pthread_t thread;
    int number;
    uint64_t ids[TASKS_MAX];
    int count;
    char problem[300];
};

// Creates tasks with keys, again and again until each is acknowledged.
static void *create_stubbornly(void *arg)
{
    struct caller *c = arg;
    while (!atomic_load(&storm.over) && c->count < TASKS_MAX && !*c->problem) {
        struct nrpc_status own;
        char key[32];
        snprintf(key, sizeof key, "%d-%d", c->number, c->count);
        struct records_new_task t = records_seed_task("x", key, 1);
        int code = storm.r->ops->create(storm.r, &t, 1, &own);
        if (!code) {
            c->ids[c->count++] = t.id;
            atomic_fetch_add(&storm.acknowledged, 1);
        } else if (code != NRPC_UNAVAILABLE) {
            snprintf(c->problem, sizeof c->problem, "%d: %s", code, own.text);
        } else {
            nanosleep(&(struct timespec){0, 5000000}, NULL); // as a caller would back off
        }
    }
    return NULL;
}

static void wait_for_acknowledged(int n)
{
    time_t until = time(NULL) + 60;
    while (atomic_load(&storm.acknowledged) < n && time(NULL) < until)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    assert_true(atomic_load(&storm.acknowledged) >= n);
}

static void nothing_acknowledged_is_lost(void **state)
{
    static struct caller callers[THREADS];
    storm.r = *state;
    for (int i = 0; i < THREADS; i++) {
        callers[i].number = i;
        assert_int_equal(pthread_create(&callers[i].thread, NULL, create_stubbornly, &callers[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        wait_for_acknowledged(atomic_load(&storm.acknowledged) + 50);
        server_kill(server);
        server_start(server);
    }
    wait_for_acknowledged(atomic_load(&storm.acknowledged) + 50);
    atomic_store(&storm.over, true);
    int total = 0;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_string_equal(callers[i].problem, "");
        total += callers[i].count;
    }
    for (int i = 0; i < THREADS; i++)
        for (int k = 0; k < callers[i].count; k++) {
            char sql[150];
            snprintf(sql, sizeof sql, "SELECT id FROM dtf.tbl_task WHERE idempotency_key = '%d-%d'", i, k);
            if (k % 10 == 0) // each asks over a connection of its own
                assert_int_equal(admin_number(server, sql), callers[i].ids[k]);
        }
    int there = (int)admin_number(server, "SELECT COUNT(*) FROM dtf.tbl_task");
    assert_int_equal(there, total); // and nothing was recorded twice
    assert_int_equal(admin_number(server, "SELECT MAX(id) FROM dtf.tbl_task"), total);
    assert_int_equal(admin_number(server, "SELECT MAX(sequence) FROM dtf.tbl_task_event"), total);
}

// ---- the server refuses or hangs

static void a_read_only_server_is_unavailable(void **state)
{
    struct records *r = *state;
    struct arena a;
    struct records_task t;
    uint64_t id = 0;
    must(create_one(r, NULL, &id));
    admin_run(server, "SET GLOBAL read_only = 1");
    assert_int_equal(create_one(r, NULL, NULL), NRPC_UNAVAILABLE);
    assert_says("read-only");
    assert_int_equal(r->ops->check(r, &st), NRPC_UNAVAILABLE);
    arena_init(&a, 0);
    must(r->ops->get(r, id, &a, &t, &st));
    arena_fini(&a);
    admin_run(server, "SET GLOBAL read_only = 0");
    must(create_one(r, NULL, NULL));
}

static void too_many_connections_pass(void **state)
{
    struct records *r = *state;
    MYSQL *taken[20];
    size_t n = 0;
    struct records *other = NULL;
    struct records_mysql_options o = {.url = server_url(server)};
    must(create_one(r, NULL, NULL)); // it has a connection now
    admin_run(server, "SET GLOBAL max_connections = 10");
    for (; n < LENGTH(taken); n++) {
        taken[n] = mysql_init(NULL);
        if (!mysql_real_connect(taken[n], "127.0.0.1", "dtf", "secret", "dtf", server_port(server), NULL, 0))
            break;
    }
    assert_int_equal(records_mysql_open(&o, &other, &st), NRPC_UNAVAILABLE);
    assert_says("too many connections");
    must(create_one(r, NULL, NULL));
    for (size_t i = 0; i <= n; i++)
        mysql_close(taken[i]);
    admin_run(server, "SET GLOBAL max_connections = 151");
    must(records_mysql_open(&o, &other, &st));
    other->ops->close(other);
}

static void a_server_that_hangs_is_given_up(void **state)
{
    (void)state;
    struct records *r;
    must(records_mysql_open(
        &(struct records_mysql_options){
            .url = server_url(server), .connect_ms = 1000, .io_ms = 1000, .wait_ms = 100, .connections = 1},
        &r, &st));
    server_pause(server);
    assert_int_equal(create_one(r, NULL, NULL), NRPC_UNAVAILABLE);
    server_resume(server);
    must(create_one(r, NULL, NULL));
    r->ops->close(r);
}

static void *check_once(void *arg)
{
    struct nrpc_status own;
    struct records *r = arg;
    while (r->ops->check(r, &own) && strstr(own.text, "in use")) // until the connection was its own
        ;
    return NULL;
}

static void a_full_pool_says_so(void **state)
{
    (void)state;
    struct records *r;
    pthread_t thread;
    must(records_mysql_open(
        &(struct records_mysql_options){.url = server_url(server), .wait_ms = 50, .connections = 1}, &r,
        &st));
    must(r->ops->check(r, &st));
    MYSQL *root = admin_connect(server);
    assert_int_equal(mysql_query(root, "LOCK TABLES dtf.tbl_counter WRITE"), 0);
    assert_int_equal(pthread_create(&thread, NULL, check_once, r), 0);
    time_t until = time(NULL) + 30;
    int code = NRPC_OK;
    struct arena a;
    struct records_group *groups;
    size_t count;
    arena_init(&a, 0);
    while (!code && time(NULL) < until) // until the other one holds the connection
        code = r->ops->groups(r, &a, &groups, &count, &st);
    arena_fini(&a);
    assert_int_equal(code, NRPC_UNAVAILABLE);
    assert_says("in use");
    mysql_close(root);
    pthread_join(thread, NULL);
    must(r->ops->check(r, &st));
    r->ops->close(r);
}

static void a_small_packet_is_a_clear_refusal(void **state)
{
    (void)state;
    struct records *r;
    admin_run(server, "SET GLOBAL max_allowed_packet = 65536");
    must(records_mysql_open(&(struct records_mysql_options){.url = server_url(server)}, &r, &st));
    char *data = mem_calloc(1, 100000);
    struct records_new_task t = records_seed_task("large", NULL, 1);
    t.param = (struct records_blob){data, 100000};
    assert_int_equal(r->ops->create(r, &t, 1, &st), NRPC_RESOURCE_EXHAUSTED);
    assert_says("max_allowed_packet");
    struct records_new_task many[100];
    for (size_t i = 0; i < LENGTH(many); i++) {
        many[i] = records_seed_task("many", NULL, 1);
        many[i].param = (struct records_blob){data, 10000};
    }
    must(r->ops->create(r, many, LENGTH(many), &st)); // in several statements
    free(data);
    r->ops->close(r);
    admin_run(server, "SET GLOBAL max_allowed_packet = 16777216");
}

static void a_killed_connection_is_made_again(void **state)
{
    struct records *r = *state;
    must(create_one(r, NULL, NULL));
    MYSQL *root = admin_connect(server);
    assert_int_equal(mysql_query(root, "KILL USER dtf"), 0);
    mysql_close(root);
    must(create_one(r, NULL, NULL));
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        TEST(what_cannot_be_opened_says_why),
        TEST(a_socket_and_escapes_do_as_well),
        TEST(a_server_that_was_killed_comes_back),
        TEST(idle_connections_that_were_lost_are_not_noticed),
        TEST(nothing_acknowledged_is_lost),
        TEST(a_read_only_server_is_unavailable),
        TEST(too_many_connections_pass),
        TEST(a_server_that_hangs_is_given_up),
        TEST(a_full_pool_says_so),
        TEST(a_small_packet_is_a_clear_refusal),
        TEST(a_killed_connection_is_made_again),
    };
    server = server_mariadb(NULL);
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    server_destroy(server);
    return result;
}
