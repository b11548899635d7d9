// SPDX-License-Identifier: Apache-2.0
// state_redis_params_test.c: large parameters in Redis: values of their own, which go when they are settled;
// and what programs from before these have left, or change beside.
#include "base/clock.h"
#include "lease_one.h"
#include "servers/servers.h"
#include "state/state_redis.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { LARGE = 5000, LARGEST = 256 << 10, COUNT = 40, TILES = 2, DEADLINE_MS = 20000 };

struct place {
    struct server *server;
    struct state *s;
    const struct state_ops *ops;
    struct arena a;
    struct nrpc_status st;
    int64_t now_ms;
    uint64_t node, fence, made;
    struct state_work *works;
    size_t count;
};

#define must(p, call) assert_string_equal((call) ? (p)->st.text : "", "")

// ---- words

static long number(struct place *p, const char *command)
{
    char answer[200];
    server_ask(p->server, command, answer, sizeof answer);
    if (*answer == '$') // a text: its length, then itself
        return strtol(strchr(answer, '\n') + 1, NULL, 10);
    if (*answer != ':')
        fail_msg("%s: %s", command, answer);
    return strtol(answer + 1, NULL, 10);
}

static int open_store(struct place *p)
{
    const char *url = server_url(p->server);
    return state_redis_open(&(struct state_redis_options){.urls = &url, .url_count = 1}, &p->s, &p->st);
}

// Opened, and compared with the records.
static void open_well(struct place *p)
{
    bool verified;
    struct state_node node = {.name = "n", .host = "h", .types = "count", .lease_until_ms = CLOCK_NEVER};
    must(p, open_store(p));
    p->ops = p->s->ops;
    must(p, p->ops->verify(p->s, p->ops->incarnation(p->s, &verified), NULL, 0, &p->st));
    must(p, p->ops->node_add(p->s, &node, NULL, NULL, &p->node, &p->st));
}

static int setup(void **state)
{
    struct place *p = mem_calloc(1, sizeof *p);
    *p = (struct place){.server = server_redis(NULL), .now_ms = 1000000};
    arena_init(&p->a, 0);
    open_well(p);
    struct state_task t = {.id = 1,
                           .type = "count",
                           .group = "g",
                           .deadline_ms = CLOCK_NEVER,
                           .policy = {.max_retries = 0, .tolerated_failures = -1}};
    must(p, p->ops->admit(p->s, &t, 1, &p->st));
    number(p, "HSET dtf:{0}:meta format 3");
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    p->ops->close(p->s);
    server_destroy(p->server);
    arena_fini(&p->a);
    free(p);
    return 0;
}

// Whether the task may be claimed now.
static bool claim(struct place *p)
{
    struct state_claim *c;
    size_t count;
    must(p, p->ops->claim(p->s, 7, p->now_ms, p->now_ms + 1000, 1, &p->a, &c, &count, &p->st));
    if (count)
        p->fence = c->fence;
    return count > 0;
}

static size_t size_of(uint64_t seq, size_t large)
{
    return seq % 2 ? large : 3;
}

// Every second one is large.
static struct state_queue push(struct place *p, size_t count, size_t large)
{
    struct state_queue queue;
    struct state_subtask *s = arena_calloc(&p->a, count * sizeof *s);
    for (size_t i = 0; i < count; i++) {
        uint64_t seq = p->made + i + 1;
        char *data = arena_alloc(&p->a, large);
        memset(data, 'a' + (int)(seq % 26), large);
        s[i] = (struct state_subtask){{data, size_of(seq, large)}, 1000};
    }
    must(p, p->ops->push(p->s, 1, p->fence, p->made, s, count, (struct state_blob){0}, false, -1, &queue,
                         &p->st));
    p->made += count;
    return queue;
}

static void release(struct place *p)
{
    must(p, p->ops->release_claim(p->s, 1, p->fence, 0, &p->st));
}

static void lease(struct place *p, uint32_t count)
{
    struct state_pick pick = {1, count};
    must(p,
         lease_one(p->s, p->node, 0, p->now_ms, &pick, 1, NULL, NULL, &p->a, &p->works, &p->count, &p->st));
    for (size_t i = 0; i < p->count; i++) {
        const struct state_blob *param = &p->works[i].param;
        size_t large = param->bytes > LARGE ? LARGEST : LARGE;
        assert_int_equal(param->bytes, size_of(p->works[i].seq, large));
        for (size_t k = 0; k < param->bytes; k++)
            assert_true(((const char *)param->data)[k] == 'a' + (int)(p->works[i].seq % 26));
    }
}

static void settle(struct place *p, enum model_kind kind)
{
    struct state_settle *entries = arena_calloc(&p->a, (p->count + 1) * sizeof *entries);
    enum state_verdict *verdicts = arena_calloc(&p->a, (p->count + 1) * sizeof *verdicts);
    for (size_t i = 0; i < p->count; i++)
        entries[i] = (struct state_settle){
            .ref = {1, p->works[i].seq, p->works[i].attempt}, .by.node = p->node, .kind = kind};
    must(p, p->ops->settle(p->s, p->now_ms, entries, p->count, verdicts, &p->st));
    for (size_t i = 0; i < p->count; i++)
        assert_int_equal(verdicts[i], STATE_SETTLED);
}

static void run(struct place *p, uint32_t count, enum model_kind kind)
{
    lease(p, count);
    assert_int_equal(p->count, count);
    settle(p, kind);
}

// ---- tests

static void test_values_go(void **state)
{
    struct place *p = *state;
    assert_true(claim(p));
    push(p, COUNT, LARGE);
    assert_int_equal(number(p, "HLEN dtf:{0}:p:1"), TILES + COUNT / 2);
    assert_true(number(p, "HSTRLEN dtf:{0}:p:1 0") < 32 * 14); // what one that is leased must read
    run(p, 10, MODEL_SUCCESS);
    assert_int_equal(number(p, "HLEN dtf:{0}:p:1"), TILES + (COUNT - 10) / 2);
    lease(p, 4);
    assert_int_equal(number(p, "HLEN dtf:{0}:p:1"), TILES + (COUNT - 10) / 2);
    settle(p, MODEL_FAILURE);
    assert_int_equal(number(p, "HLEN dtf:{0}:p:1"), TILES + (COUNT - 14) / 2);
    run(p, COUNT - 14, MODEL_SUCCESS);
    assert_int_equal(number(p, "EXISTS dtf:{0}:p:1"), 0);
    push(p, COUNT, LARGE);
    lease(p, 1);
    must(p, p->ops->stop(p->s, 1, MODEL_OUTCOME_CANCELLED, "", &p->st));
    settle(p, MODEL_SUCCESS);
    assert_int_equal(number(p, "EXISTS dtf:{0}:p:1"), 0);
}

static void hear(void *user, const struct state_hint *h)
{
    (void)user;
    (void)h;
}

static void wait_alone(struct place *p, bool alone)
{
    int64_t until_us = clock_mono_us() + DEADLINE_MS * 1000;
    while ((number(p, "HEXISTS dtf:{0}:meta alone") == 1) != alone) {
        if (clock_mono_us() > until_us)
            fail_msg("after %d ms it is not seen who listens", DEADLINE_MS);
        usleep(5000);
    }
}

// A program from before, as far as it can be seen: it hears the hints.
static int listen_as_before(struct place *p)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    static const char word[] = "SUBSCRIBE dtf:{0}:hints\r\n";
    char answer[200];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    to.sin_port = htons((uint16_t)strtoul(strrchr(server_url(p->server), ':') + 1, NULL, 10));
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    assert_true(write(fd, word, sizeof word - 1) == sizeof word - 1 && read(fd, answer, sizeof answer) > 0);
    return fd;
}

// As if nobody but programs that know the format had been there for long.
static void age(struct place *p)
{
    wait_alone(p, true);
    number(
        p,
        "EVAL \"return redis.call('HSET', KEYS[1], 'alone', redis.call('HGET', KEYS[1], 'epoch') .. ' 1')\" "
        "1 dtf:{0}:meta");
}

// While a program from before is there, and for a while after, large parameters stay as it knows them. What
// lies there is read as it is.
static void test_form_of_before(void **state)
{
    struct place *p = *state;
    number(p, "HSET dtf:{0}:meta format 2");
    assert_true(claim(p));
    push(p, 4, LARGE); // nobody listens
    p->ops->watch(p->s, hear, NULL);
    wait_alone(p, true);
    push(p, 2, LARGE); // not long enough
    age(p);
    int fd = listen_as_before(p);
    push(p, 2, LARGE); // seen at once
    wait_alone(p, false);
    close(fd);
    wait_alone(p, true);
    push(p, 2, LARGE); // its time begins anew
    assert_int_equal(number(p, "HLEN dtf:{0}:p:1"), 1);
    assert_int_equal(number(p, "HGET dtf:{0}:meta format"), 2);
    number(p, "HDEL dtf:{0}:t:1 queue");
    age(p);
    struct state_queue queue = push(p, 20, LARGE);
    assert_true(queue.subtasks == 30 && queue.bytes == 10 * LARGE); // what is known of it
    assert_int_equal(number(p, "HLEN dtf:{0}:p:1"), 1 + 10);
    assert_int_equal(number(p, "HGET dtf:{0}:meta format"), STATE_REDIS_FORMAT);
    run(p, 12, MODEL_FAILURE);
    run(p, 18, MODEL_SUCCESS);
    assert_int_equal(number(p, "EXISTS dtf:{0}:p:1"), 0);
    queue = push(p, 2, LARGE);
    assert_true(queue.subtasks == 2 && queue.bytes == LARGE); // exact from when it was empty
}

// A program from before leases all of a queue that was full of bytes, and leaves their number as it was: that
// does not hold up the generation.
static void test_older_program_beside(void **state)
{
    struct place *p = *state;
    struct state_queue queue;
    assert_true(claim(p));
    do
        queue = push(p, 4, LARGEST);
    while (!state_queue_is_full(queue));
    release(p);
    assert_false(claim(p));
    number(p, "EVAL \"return redis.call('HSET', 'was', 'queue', redis.call('HGET', KEYS[1], 'queue'))\" 1 "
              "dtf:{0}:t:1");
    for (lease(p, 100); p->count; lease(p, 100))
        settle(p, MODEL_SUCCESS);
    assert_true(claim(p));
    push(p, 2, LARGE);
    release(p);
    number(p, "EVAL \"return redis.call('HSET', KEYS[1], 'queue', redis.call('HGET', 'was', 'queue'))\" 1 "
              "dtf:{0}:t:1");
    number(p, "ZREM dtf:{0}:claims 1");
    assert_false(claim(p));
    run(p, 1, MODEL_SUCCESS);
    assert_true(claim(p));
    assert_int_equal(push(p, 1, LARGE).bytes, LARGE);
}

static void test_newer_format(void **state)
{
    struct place *p = *state;
    struct state *was = p->s;
    number(p, "HSET dtf:{0}:meta format 4");
    assert_int_equal(open_store(p), NRPC_FAILED_PRECONDITION);
    assert_non_null(strstr(p->st.text, "the data in this Redis has format 4, this program knows format 3"));
    p->s = was;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_values_go),
        TEST(test_form_of_before),
        TEST(test_older_program_beside),
        TEST(test_newer_format),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
