// SPDX-License-Identifier: Apache-2.0
// state_sqlite_test.c: the state contract on a file and in memory, and what only the file can do: be locked,
// killed, full.
#include "embedded/db_internal.h"
#include "lease_one.h"
#include "state_contract_fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct place {
    char dir[64];
    struct db *db;
    bool in_memory;
};

// ---- the contract's hooks

static void make_dir(struct place *p)
{
    snprintf(p->dir, sizeof p->dir, "/tmp/state_test.XXXXXX");
    assert_non_null(mkdtemp(p->dir));
}

static void remove_dir(struct place *p)
{
    static const char *const names[] = {"dtf.db", "dtf.db-wal", "dtf.db-shm", "lock", "old.db"};
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", p->dir, names[i]);
        unlink(path);
    }
    rmdir(p->dir);
}

static struct state *open_place(struct place *p)
{
    struct nrpc_status st = {0};
    int code = db_open(p->in_memory ? NULL : p->dir, &p->db, &st);
    assert_string_equal(st.text, "");
    return code ? NULL : state_sqlite_open(p->db);
}

static struct state *open_fresh(void *user)
{
    struct place *p = user;
    if (!p->in_memory)
        make_dir(p);
    return open_place(p);
}

static struct state *reopen(void *user, struct state *s)
{
    struct place *p = user;
    s->ops->close(s);
    if (p->in_memory) // it lives as long as its connection
        return state_sqlite_open(p->db);
    db_close(p->db);
    return open_place(p);
}

static void discard(void *user, struct state *s)
{
    struct place *p = user;
    if (s)
        s->ops->close(s);
    db_close(p->db);
    if (!p->in_memory)
        remove_dir(p);
}

// ---- what only the file can do

static void test_second_process(void **state)
{
    (void)state;
    struct place p = {0};
    struct db *second;
    struct nrpc_status st;
    char expected[128];
    struct state *s = open_fresh(&p);
    assert_int_equal(db_open(p.dir, &second, &st), NRPC_FAILED_PRECONDITION);
    snprintf(expected, sizeof expected, "%s is in use by process %ld", p.dir, (long)getpid());
    assert_string_equal(st.text, expected);
    discard(&p, s);
}

static void test_newer_schema(void **state)
{
    (void)state;
    struct place p = {0};
    struct nrpc_status st;
    sqlite3 *handle;
    char path[128];
    struct state *s = open_fresh(&p);
    s->ops->close(s);
    db_close(p.db);
    snprintf(path, sizeof path, "%s/dtf.db", p.dir);
    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    assert_int_equal(
        sqlite3_exec(handle, "UPDATE schema_version SET version = 99 WHERE store = 'state'", 0, 0, 0), 0);
    sqlite3_close(handle);
    assert_int_equal(db_open(p.dir, &p.db, &st), NRPC_FAILED_PRECONDITION);
    assert_non_null(strstr(st.text, "newer version (state schema 99"));
    remove_dir(&p);
}

static void test_bad_places(void **state)
{
    (void)state;
    struct place p = {0};
    struct nrpc_status st;
    struct db *db;
    char path[128];
    assert_int_equal(db_open("/nowhere/at/all", &db, &st), NRPC_NOT_FOUND);
    make_dir(&p);
    snprintf(path, sizeof path, "%s/dtf.db", p.dir);
    FILE *file = fopen(path, "w");
    for (int i = 0; i < 1000; i++)
        fputs("this is no database. ", file);
    fclose(file);
    assert_int_equal(db_open(p.dir, &db, &st), NRPC_DATA_LOSS);
    assert_non_null(strstr(st.text, "not a database"));
    snprintf(path, sizeof path, "%s/lock", p.dir);
    assert_int_equal(db_open(path, &db, &st), NRPC_INVALID_ARGUMENT); // a file, no folder
    remove_dir(&p);
}

static void feed_sized(struct state *s, uint64_t from, size_t count, size_t bytes, int *code,
                       struct nrpc_status *st)
{
    static char data[5000];
    struct state_subtask batch[100];
    uint64_t fed;
    for (size_t i = 0; i < count; i++)
        batch[i] = (struct state_subtask){{data, bytes}, 1000};
    *code = s->ops->feed(s, 1, from, batch, count, false, &fed, st);
}

static void feed_some(struct state *s, uint64_t from, size_t count, int *code, struct nrpc_status *st)
{
    feed_sized(s, from, count, 1000, code, st);
}

static uint64_t count_generated(struct state *s)
{
    struct arena a;
    struct state_progress p;
    struct nrpc_status st;
    uint64_t id = 1;
    arena_init(&a, 0);
    assert_int_equal(s->ops->progress(s, &id, 1, &a, &p, &st), NRPC_OK);
    arena_fini(&a);
    return p.found ? p.counters.generated : 0;
}

static void admit_fed(struct state *s)
{
    struct nrpc_status st;
    struct state_task task = task_sample(1);
    task.fed = true;
    assert_int_equal(s->ops->admit(s, &task, 1, &st), NRPC_OK);
}

// Tells the parent through the pipe how much was acknowledged, until it is killed.
static void feed_until_killed(struct place *p, int acknowledged)
{
    struct nrpc_status st;
    struct state *s = open_place(p);
    admit_fed(s);
    for (uint64_t fed = 0;; fed += 100) {
        int code;
        if (fed >= STATE_QUEUE_HIGH)
            pause();
        feed_some(s, fed, 100, &code, &st);
        uint64_t told = fed + 100;
        if (code || write(acknowledged, &told, sizeof told) != sizeof told)
            _exit(1);
    }
}

static void test_killed(void **state)
{
    (void)state;
    struct place p = {0};
    int fds[2];
    uint64_t told = 0, next;
    make_dir(&p);
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    if (!child)
        feed_until_killed(&p, fds[1]);
    close(fds[1]);
    while (told < 5000 && read(fds[0], &next, sizeof next) == sizeof next)
        told = next;
    kill(child, SIGKILL);
    while (read(fds[0], &next, sizeof next) == sizeof next)
        told = next;
    waitpid(child, NULL, 0);
    close(fds[0]);
    assert_true(told >= 5000);
    struct state *s = open_place(&p);
    uint64_t generated = count_generated(s);
    assert_true(generated == told ||
                generated == told + 100); // killed between the commit and the word about it
    discard(&p, s);
}

// Writes fail beyond a file size: the call that meets it changes nothing, and later ones work again.
static void test_full(void **state)
{
    (void)state;
    struct place p = {0};
    struct nrpc_status st;
    struct rlimit was, low = {1 << 20, RLIM_INFINITY};
    struct state *s = open_fresh(&p);
    int code = 0;
    uint64_t fed = 0;
    admit_fed(s);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &was);
    low.rlim_max = was.rlim_max;
    setrlimit(RLIMIT_FSIZE, &low);
    while (!code && fed < STATE_QUEUE_HIGH) {
        feed_some(s, fed, 100, &code, &st);
        fed += code ? 0 : 100;
    }
    setrlimit(RLIMIT_FSIZE, &was);
    signal(SIGXFSZ, SIG_DFL);
    assert_true(code == NRPC_UNAVAILABLE || code == NRPC_RESOURCE_EXHAUSTED);
    assert_non_null(strstr(st.text, "the file cannot be read or written"));
    assert_true(count_generated(s) == fed);
    feed_some(s, fed, 100, &code, &st);
    assert_int_equal(code, NRPC_OK);
    assert_true(count_generated(s) == fed + 100);
    s->ops->close(s);
    db_close(p.db);
    s = open_place(&p);
    assert_true(count_generated(s) == fed + 100);
    discard(&p, s);
}

static int count_rows(const struct place *p, const char *table)
{
    char path[128], sql[64];
    sqlite3 *handle;
    sqlite3_stmt *stmt;
    snprintf(path, sizeof path, "%s/dtf.db", p->dir);
    snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", table);
    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(handle, sql, -1, &stmt, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(stmt), SQLITE_ROW); // also while the store has the file open
    int rows = sqlite3_column_int(stmt, 0);
    sqlite3_finalize(stmt);
    sqlite3_close(handle);
    return rows;
}

static void settle_some(struct state *s, uint64_t node, enum model_kind kind, size_t count)
{
    struct nrpc_status st;
    struct arena a;
    struct state_pick pick = {1, (uint32_t)count};
    struct state_work *works;
    struct state_settle entries[50] = {0};
    enum state_verdict verdicts[50];
    arena_init(&a, 0);
    assert_int_equal(lease_one(s, node, 0, 1000, &pick, 1, NULL, NULL, &a, &works, &count, &st), NRPC_OK);
    for (size_t i = 0; i < count; i++)
        entries[i] = (struct state_settle){.ref = {1, works[i].seq, works[i].attempt}, .kind = kind};
    assert_int_equal(s->ops->settle(s, 1000, entries, count, verdicts, &st), NRPC_OK);
    arena_fini(&a);
}

// A task leaves no row behind.
static void test_nothing_stays(void **state)
{
    (void)state;
    static const char *const early[] = {"tile", "params", "checkpoint"};
    static const char *const late[] = {"task", "task_param", "result", "failure", "gone"};
    struct place p = {0};
    struct nrpc_status st;
    struct state *s = open_fresh(&p);
    struct state_node about = {.name = "n", .lease_until_ms = CLOCK_NEVER};
    uint64_t node, id = 1;
    int code;
    assert_int_equal(s->ops->node_add(s, &about, NULL, NULL, &node, &st), NRPC_OK);
    admit_fed(s);
    feed_some(s, 0, 100, &code, &st);
    feed_some(s, 100, 100, &code, &st);
    settle_some(s, node, MODEL_SUCCESS, 50);
    assert_int_equal(count_rows(&p, "tile"), 1); // a tile goes with its last subtask
    settle_some(s, node, MODEL_FAILURE, 50);
    settle_some(s, node, MODEL_CANCELLED_RESULT, 50);
    assert_int_equal(s->ops->stop(s, 1, MODEL_OUTCOME_CANCELLED, "", &st), NRPC_OK);
    for (size_t i = 0; i < sizeof early / sizeof *early; i++)
        assert_int_equal(count_rows(&p, early[i]), 0);
    assert_int_equal(s->ops->remove(s, &id, 1, 2000, &st), NRPC_OK);
    for (size_t i = 0; i < sizeof late / sizeof *late; i++)
        assert_int_equal(count_rows(&p, late[i]), 0);
    discard(&p, s);
}

static void copy_db(const struct place *p, const char *from, const char *to)
{
    char command[300];
    snprintf(command, sizeof command, "cp %s/%s %s/%s", p->dir, from, p->dir, to);
    assert_int_equal(system(command), 0);
}

// Settles `count` of the task; by a node of its own, since nodes register again when a store is opened.
static void settle_by_new_node(struct state *s, size_t count)
{
    struct nrpc_status st;
    struct state_node about = {.name = "n", .lease_until_ms = CLOCK_NEVER};
    uint64_t node;
    assert_int_equal(s->ops->node_add(s, &about, NULL, NULL, &node, &st), NRPC_OK);
    settle_some(s, node, MODEL_SUCCESS, count);
}

static size_t read_results(struct state *s, uint64_t *after)
{
    struct nrpc_status st;
    struct arena a;
    struct state_result *results;
    size_t count;
    bool end;
    arena_init(&a, 0);
    assert_int_equal(s->ops->results(s, 1, *after, 100, &a, &results, &count, &end, &st), NRPC_OK);
    *after = count ? results[count - 1].position : *after;
    arena_fini(&a);
    return count;
}

// An old copy is put in the place of a store that went on: what is settled then has other positions than what
// was read before, so that who goes on reading misses nothing.
static void test_older_copy(void **state)
{
    (void)state;
    struct place p = {0};
    struct nrpc_status st;
    struct state *s = open_fresh(&p);
    struct state_task t = {.id = 1,
                           .type = "t",
                           .group = "g",
                           .deadline_ms = CLOCK_NEVER,
                           .born_ms = 1,
                           .keep_results = true,
                           .fed = true};
    uint64_t after = 0;
    int code;
    assert_int_equal(s->ops->admit(s, &t, 1, &st), NRPC_OK);
    feed_some(s, 0, 100, &code, &st);
    settle_by_new_node(s, 10);
    assert_int_equal(read_results(s, &after), 10);
    s->ops->close(s);
    db_close(p.db);
    copy_db(&p, "dtf.db", "old.db");
    s = open_place(&p);
    settle_by_new_node(s, 20);
    assert_int_equal(read_results(s, &after), 20);
    s->ops->close(s);
    db_close(p.db);
    copy_db(&p, "old.db", "dtf.db");
    s = open_place(&p);
    settle_by_new_node(s, 15);
    assert_int_equal(read_results(s, &after), 15);
    assert_int_equal(read_results(s, &after), 0);
    s = reopen(&p, s);
    settle_by_new_node(s, 5);
    assert_int_equal(read_results(s, &after), 5);
    assert_int_equal(count_rows(&p, "result"), 5);
    assert_int_equal(read_results(s, &after), 0);
    assert_int_equal(count_rows(&p, "result"), 0);
    discard(&p, s);
}

static void run_sql(const struct place *p, const char *sql)
{
    char path[128];
    sqlite3 *handle;
    snprintf(path, sizeof path, "%s/dtf.db", p->dir);
    assert_int_equal(sqlite3_open(path, &handle), SQLITE_OK);
    assert_int_equal(sqlite3_exec(handle, sql, 0, 0, 0), SQLITE_OK);
    sqlite3_close(handle);
}

// A file from before queues were counted in bytes: what waits is counted once. Of the row that is partly
// dispatched (subtasks 33 to 45, of 5,000 bytes) all counts, until nothing waits.
static void test_bytes_of_before(void **state)
{
    (void)state;
    struct place p = {0};
    struct nrpc_status st;
    struct state *s = open_fresh(&p);
    int code;
    admit_fed(s);
    for (uint64_t fed = 0; fed < 300; fed += 100)
        feed_sized(s, fed, 100, 5000, &code, &st);
    settle_by_new_node(s, 40);
    assert_int_equal(count_rows(&p, "task WHERE queued_bytes = 1300000"), 1);
    s->ops->close(s);
    db_close(p.db);
    run_sql(&p, "ALTER TABLE task DROP COLUMN queued_bytes; ALTER TABLE gone DROP COLUMN last;"
                "ALTER TABLE node DROP COLUMN usable; ALTER TABLE node DROP COLUMN short_of;"
                "ALTER TABLE node DROP COLUMN quarantine;"
                "UPDATE schema_version SET version = version - 3 WHERE store = 'state'");
    s = open_place(&p);
    assert_int_equal(count_rows(&p, "task WHERE queued_bytes = 1340000"), 1);
    for (int i = 0; i < 6; i++)
        settle_by_new_node(s, 40);
    assert_int_equal(count_rows(&p, "task WHERE queued_bytes = 140000"), 1);
    settle_by_new_node(s, 20);
    assert_int_equal(count_rows(&p, "task WHERE queued_bytes = 0"), 1);
    feed_sized(s, 300, 100, 5000, &code, &st);
    assert_int_equal(count_rows(&p, "task WHERE queued_bytes = 500000"), 1);
    discard(&p, s);
}

int main(void)
{
    const struct CMUnitTest file_tests[] = {
        cmocka_unit_test(test_second_process), cmocka_unit_test(test_newer_schema),
        cmocka_unit_test(test_bad_places),     cmocka_unit_test(test_killed),
        cmocka_unit_test(test_full),           cmocka_unit_test(test_nothing_stays),
        cmocka_unit_test(test_older_copy),     cmocka_unit_test(test_bytes_of_before),
    };
    struct place file = {0}, memory = {.in_memory = true};
    struct state_contract on_file = {"sqlite", &file, open_fresh, reopen, discard};
    struct state_contract in_memory = {"sqlite in memory", &memory, open_fresh, reopen, discard};
    int failed = cmocka_run_group_tests(file_tests, NULL, NULL);
    failed += state_contract_run(&on_file);
    failed += state_contract_run(&in_memory);
    return failed;
}
