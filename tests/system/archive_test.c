// SPDX-License-Identifier: Apache-2.0
// archive_test.c: dtf export and dtf import: records go from a folder to a cluster and back, and nothing of
// them is another; what is damaged is refused whole; a task that had not ended runs where it was imported.
#include "servers/servers.h"
#include "system/cluster.h"
#include "system/ledger.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

enum { FAILURES = 120, PAUSES = 30, OUTPUT_BYTES = 20000, LEDGER_COUNT = 20 };

static char folder[240], ledger[4300];
static struct nrpc_status st;

// ---- installations

struct place {
    struct daemon daemon;
    struct dtf_client *client;
};

enum { PLACES = 2 };
static struct place origin, places[PLACES]; // origin: for all tests

static void open_place(struct place *p, const char *const *args)
{
    assert_true(daemon_start(&p->daemon, "dtfd", args));
    assert_int_equal(dtf_client_open(p->daemon.url, &p->client, &st), NRPC_OK);
}

static void open_folder(struct place *p, const char *name)
{
    char data[300];
    snprintf(data, sizeof data, "%s/%s", folder, name);
    const char *args[] = {"--data",  data,    "--listen", "tcp://127.0.0.1:0",
                          "--log",   "error", "--plugin", ledger,
                          "--slots", "2",     NULL};
    open_place(p, args);
}

static void open_cluster(struct place *p)
{
    struct server *redis = server_redis(NULL), *mariadb = server_mariadb(NULL);
    const char *args[] = {"--redis",  server_url(redis),
                          "--mysql",  server_url(mariadb),
                          "--listen", "tcp://127.0.0.1:0",
                          "--log",    "error",
                          "--plugin", ledger,
                          NULL};
    open_place(p, args);
}

static void close_place(struct place *p)
{
    dtf_client_close(p->client);
    if (p->daemon.pid)
        daemon_kill(&p->daemon, SIGKILL);
    *p = (struct place){0};
}

static int close_places(void **state)
{
    (void)state;
    for (size_t i = 0; i < PLACES; i++)
        close_place(&places[i]);
    return 0;
}

// ---- the command

// Runs dtf; its exit status, and what it printed to standard error and, unless arguments redirect it, output.
static int dtf(const struct place *p, const char *arguments, char *text, size_t size)
{
    char command[2000], path[4300];
    daemon_path(path, sizeof path, "dtf");
    snprintf(command, sizeof command, "exec 2>&1; cd %s && %.1000s --server %s %s", folder, path,
             p->daemon.url, arguments);
    FILE *f = popen(command, "re"); // NOLINT(bugprone-command-processor,cert-env33-c): of our own making
    assert_non_null(f);
    text[fread(text, 1, size - 1, f)] = 0;
    int status = pclose(f);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void succeeds(const struct place *p, const char *arguments, const char *expected)
{
    char text[4000];
    int status = dtf(p, arguments, text, sizeof text);
    if (status || !strstr(text, expected))
        fail_msg("dtf %s: %d \"%s\"", arguments, status, text);
}

static void fails(const struct place *p, const char *arguments, const char *expected)
{
    char text[4000];
    int status = dtf(p, arguments, text, sizeof text);
    if (status != 1 || !strstr(text, expected))
        fail_msg("dtf %s: %d \"%s\"", arguments, status, text);
}

static size_t read_file(const char *name, char **text)
{
    char path[300];
    size_t size = 0;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "re"), *memory = open_memstream(text, &size);
    assert_non_null(f);
    for (int c; (c = getc(f)) != EOF;)
        putc(c, memory);
    fclose(f);
    fclose(memory);
    return size;
}

static void write_file(const char *name, const char *text, size_t size)
{
    char path[300];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "we");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, size, f), size);
    fclose(f);
}

static void assert_same(const char *a, const char *b)
{
    char *text_a, *text_b;
    size_t size_a = read_file(a, &text_a), size_b = read_file(b, &text_b);
    assert_int_equal(size_a, size_b);
    assert_memory_equal(text_a, text_b, size_a);
    free(text_a);
    free(text_b);
}

// ---- tasks

static uint64_t create(const struct place *p, const struct dtf_task_param *param)
{
    uint64_t id;
    assert_int_equal(dtf_task_create(p->client, param, &id, &st), NRPC_OK);
    return id;
}

static struct dtf_task_info wait_for(const struct place *p, uint64_t task)
{
    struct dtf_task_info info;
    assert_int_equal(dtf_task_wait(p->client, task, PATIENCE_MS, &info, &st), NRPC_OK);
    return info;
}

// Texts of `size` bytes: characters of four bytes, then of one.
static const char *long_text(char *out, size_t size)
{
    *out = 0;
    for (size_t n = 0; n + 4 <= size; n += 4)
        strcpy(out + n, "\xf0\x9f\xa6\x8a");
    while (strlen(out) < size)
        strcat(out, "'");
    return out;
}

static void create_maximal(const struct place *p)
{
    char name[101], text[256];
    void *param = calloc(1, DTF_TYPE_PARAM_MAX);
    struct dtf_task_param t = {.name = long_text(name, 100),
                               .creator = name,
                               .resource_group = name,
                               .idempotency_key = name,
                               .description = long_text(text, 255),
                               .creator_uid = UINT64_MAX,
                               .priority = 9000,
                               .type = "command",
                               .type_param = param,
                               .type_param_bytes = DTF_TYPE_PARAM_MAX,
                               .fed = true};
    uint64_t id = create(p, &t);
    for (int i = 0; i < PAUSES; i++) {
        assert_int_equal(dtf_task_pause(p->client, id, &st), NRPC_OK);
        assert_int_equal(dtf_task_resume(p->client, id, &st), NRPC_OK);
    }
    assert_int_equal(dtf_task_cancel(p->client, id, text, &st), NRPC_OK);
    assert_int_equal(wait_for(p, id).status, DTF_TASK_CANCELLED);
    assert_int_equal(dtf_group_set(p->client, name, 10000, &st), NRPC_OK);
    free(param);
}

static void create_empty(const struct place *p)
{
    uint64_t id = create(p, &(struct dtf_task_param){.type = "command", .fed = true});
    assert_int_equal(dtf_task_feed(p->client, id, 0, NULL, 0, true, &st), NRPC_OK);
    assert_int_equal(wait_for(p, id).status, DTF_TASK_COMPLETED);
}

// More failures than fit into one item.
static void create_failures(const struct place *p)
{
    struct dtf_task_param t = {.type = "command", .name = "failures", .fed = true, .tolerated_failures = -1};
    uint64_t id = create(p, &t);
    // A packed dtf.v1.Command: argv sh, -c, the script.
    char script[120], param[200];
    int length = snprintf(script, sizeof script, "head -c %d /dev/zero; echo \xf0\x9f\x98\x80 >&2; exit 3",
                          OUTPUT_BYTES);
    int size = snprintf(param, sizeof param, "\n\x02sh\n\x02-c\n%c%s", (char)length, script);
    struct dtf_subtask_spec specs[FAILURES];
    for (int i = 0; i < FAILURES; i++)
        specs[i] = (struct dtf_subtask_spec){param, (size_t)size, 0};
    assert_int_equal(dtf_task_feed(p->client, id, 0, specs, FAILURES, true, &st), NRPC_OK);
    assert_int_equal(wait_for(p, id).failed, FAILURES);
}

static uint64_t create_ledger(const struct place *p)
{
    struct ledger_param param = {.count = LEDGER_COUNT, .run_us = 100000};
    struct dtf_task_param t = {
        .type = "ledger", .type_param = &param, .type_param_bytes = sizeof param, .keep_results = true};
    uint64_t id = create(p, &t);
    assert_int_equal(dtf_task_pause(p->client, id, &st), NRPC_OK);
    return id;
}

// ---- tests

static uint64_t unfinished; // in the origin, besides three that have ended

static void all_survives_the_way_there_and_back(void **state)
{
    (void)state;
    struct place *cluster = &places[0], *back = &places[1];
    open_cluster(cluster);
    open_folder(back, "back");
    succeeds(&origin, "export >1.jsonl", "3 tasks exported");
    succeeds(cluster, "import <1.jsonl", "3 tasks imported, 0 were here before, 0 refused");
    succeeds(cluster, "export >2.jsonl", "3 tasks exported");
    assert_same("1.jsonl", "2.jsonl");
    succeeds(back, "import <2.jsonl", "3 tasks imported, 0 were here before, 0 refused");
    succeeds(back, "export >3.jsonl", "");
    assert_same("1.jsonl", "3.jsonl");
    succeeds(back, "import <1.jsonl", "0 tasks imported, 3 were here before, 0 refused");
    succeeds(cluster, "import -q <1.jsonl", "");
    succeeds(cluster, "export -q >4.jsonl", "");
    assert_same("1.jsonl", "4.jsonl");
    // Ids given from now on are above those that were imported.
    assert_true(create(cluster, &(struct dtf_task_param){.type = "command", .fed = true}) > 3);
}

static void what_is_huge_comes_in_pieces(void **state)
{
    (void)state;
    char *text;
    size_t pieces = 0;
    succeeds(&origin, "export >1.jsonl", "");
    read_file("1.jsonl", &text);
    for (char *at = text; (at = strstr(at, "{\"more\":")); at++)
        pieces++;
    assert_true(pieces >= 2);
    free(text);
}

static void an_unfinished_task_goes_on_elsewhere(void **state)
{
    (void)state;
    struct place *other = &places[0];
    open_folder(other, "other");
    succeeds(&origin, "export --unfinished | tee 5.jsonl >6.jsonl", "4 tasks exported");
    succeeds(other, "import --output json <5.jsonl", "{\"imported\":4,\"existed\":0,\"refused\":0}");
    assert_int_equal(dtf_task_resume(other->client, unfinished, &st), NRPC_OK);
    struct dtf_task_info info = wait_for(other, unfinished);
    assert_int_equal(info.status, DTF_TASK_COMPLETED);
    assert_int_equal(info.succeeded, LEDGER_COUNT + LEDGER_COUNT / 10);
    succeeds(other, "import <5.jsonl",
             "0 tasks imported, 4 were here before, 0 refused"); // it has ended now
}

static void what_is_damaged_is_refused_whole(void **state)
{
    (void)state;
    struct place *other = &places[0];
    char *text;
    open_folder(other, "damaged");
    succeeds(other, "export >empty.jsonl", "0 tasks exported");
    succeeds(&origin, "export >1.jsonl", "");
    size_t size = read_file("1.jsonl", &text);
    write_file("cut.jsonl", text, size - 20);
    fails(other, "import <cut.jsonl", "is cut off");
    char *line = strstr(text, "\"status\":\"TASK_CANCELLED\"");
    assert_non_null(line);
    line[10] = '?';
    write_file("bad.jsonl", text, size);
    fails(other, "import <bad.jsonl", "dtf: line ");
    fails(other, "import </dev/null", "dtf: line 1: ");
    fails(other, "import </bin/sh", "dtf: line 1: ");
    succeeds(other, "export >still_empty.jsonl", "");
    assert_same("empty.jsonl", "still_empty.jsonl");
    free(text);
}

static void a_task_in_the_place_of_another_is_refused(void **state)
{
    (void)state;
    struct place *other = &places[0];
    open_folder(other, "taken");
    (void)create(other, &(struct dtf_task_param){.type = "command", .fed = true, .name = "mine"}); // 1
    succeeds(&origin, "export >1.jsonl", "");
    fails(other, "import <1.jsonl", "dtf: task 1 refused: another task has its id");
    fails(other, "import <1.jsonl", "0 tasks imported, 2 were here before, 1 refused");
}

// What no export prints, as a stranger would send it.
static void a_record_that_cannot_be_is_refused(void **state)
{
    (void)state;
    struct place *other = &places[0];
    static const struct {
        const char *task, *sentence;
    } bad[] = {
        {"\"id\":\"9\",\"status\":\"TASK_RUNNING\",\"type\":\"ledger\",\"param\":\"////\"", "param: "},
        {"\"id\":\"9\",\"status\":\"TASK_RUNNING\",\"type\":\"ledger\"", "param: "},
        {"\"id\":\"9\",\"status\":\"TASK_RUNNING\"", "type: "},
        {"\"id\":\"9\",\"status\":\"TASK_RUNNING\",\"finishedMs\":\"5\"", "finished_ms: "},
        {"\"id\":\"9\",\"status\":\"TASK_COMPLETED\"", "finished_ms: "},
        {"\"id\":\"9\"", "status: "},
        {"\"id\":\"4503599627370497\",\"status\":\"TASK_FAILED\",\"finishedMs\":\"5\"", "id: "},
        {"\"id\":\"9007199254740993\",\"status\":\"TASK_FAILED\",\"finishedMs\":\"5\"", "id: "},
        {"\"id\":\"9\",\"status\":\"TASK_FAILED\",\"finishedMs\":\"5\",\"deadlineMs\":\"9007199254740992\"",
         "deadline_ms: "},
        {"\"id\":\"9\",\"status\":\"TASK_FAILED\",\"finishedMs\":\"5\",\"createdMs\":\"-1\"", "created_ms: "},
        {"\"id\":\"9\",\"status\":\"TASK_FAILED\",\"finishedMs\":\"5\",\"counters\":{\"failed\":"
         "\"9007199254740992\"}",
         "failed: "},
        {"\"id\":\"9\",\"status\":\"TASK_RUNNING\",\"type\":\"ledger\",\"param\":\"OgZsZWRnZXJY6Qc=\"",
         "max_retries: "}, // 1001 of them
        {"\"id\":\"9223372036854775808\",\"status\":\"TASK_FAILED\",\"finishedMs\":\"5\"", "id: "},
        {"\"id\":\"9\",\"status\":\"TASK_FAILED\",\"finishedMs\":\"5\",\"failures\":[{}]", "failures[0]"},
        {"\"id\":\"9\",\"status\":\"TASK_FAILED\",\"finishedMs\":\"5\",\"events\":[{}]", "events[0]"},
    };
    open_folder(other, "strange");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[500];
        int size = snprintf(text, sizeof text,
                            "{\"header\":{\"format\":1}}\n"
                            "{\"group\":{\"name\":\"g\",\"quota\":1}}\n"
                            "{\"task\":{%s}}\n{\"end\":{\"tasks\":\"1\"}}\n",
                            bad[i].task);
        write_file("strange.jsonl", text, (size_t)size);
        fails(other, "import <strange.jsonl", bad[i].sentence);
    }
}

// The largest id that can be imported; what is made after it has a larger one, and runs.
static void the_largest_id(void **state)
{
    (void)state;
    struct place *other = &places[0];
    static const char text[] =
        "{\"header\":{\"format\":1}}\n"
        "{\"task\":{\"id\":\"4503599627370496\",\"status\":\"TASK_FAILED\",\"finishedMs\":\"5\"}}\n"
        "{\"end\":{\"tasks\":\"1\"}}\n";
    open_cluster(other);
    write_file("largest.jsonl", text, sizeof text - 1);
    succeeds(other, "import <largest.jsonl", "1 tasks imported, 0 were here before, 0 refused");
    uint64_t task = create_ledger(other);
    assert_true(task == (UINT64_C(1) << 52) + 1);
    assert_int_equal(dtf_task_resume(other->client, task, &st), NRPC_OK);
    struct dtf_task_info info;
    WAIT_FOR(dtf_task_status(other->client, task, &info, &st) == NRPC_OK && info.status == DTF_TASK_COMPLETED,
             PATIENCE_MS);
    assert_int_equal(info.succeeded, LEDGER_COUNT + LEDGER_COUNT / 10);
}

static int setup(void **state)
{
    (void)state;
    daemon_folder(folder, sizeof folder);
    daemon_path(ledger, sizeof ledger, "ledger.so");
    open_folder(&origin, "origin");
    create_maximal(&origin);
    create_empty(&origin);
    create_failures(&origin);
    unfinished = create_ledger(&origin);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    close_place(&origin);
    daemon_remove(folder);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(all_survives_the_way_there_and_back, close_places),
        cmocka_unit_test_teardown(what_is_huge_comes_in_pieces, close_places),
        cmocka_unit_test_teardown(an_unfinished_task_goes_on_elsewhere, close_places),
        cmocka_unit_test_teardown(what_is_damaged_is_refused_whole, close_places),
        cmocka_unit_test_teardown(a_task_in_the_place_of_another_is_refused, close_places),
        cmocka_unit_test_teardown(a_record_that_cannot_be_is_refused, close_places),
        cmocka_unit_test_teardown(the_largest_id, close_places),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
