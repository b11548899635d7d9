// SPDX-License-Identifier: Apache-2.0
// mymigrate.c: the schema of a MySQL record store: which one a database has, and bringing it to ours.
//
// A lock of the server lets one process at a time migrate; the others wait and find it done. MySQL commits
// DDL by itself, so a process may leave a migration half done: the next one runs it again as a whole, and
// passes over the statements that find their work done.
//
// In a Galera cluster such a lock is the node's own, and two nodes must not migrate side by side: the cluster
// runs one statement after the other on all nodes, but one that waits for its turn may have locked the table
// (CREATE VIEW has), and then both wait for ever, and the cluster with them. There the row 0 of tbl_schema
// says who migrates, and until when. Its owner takes it again before every statement, so it needs no longer
// than it takes to begin one: while that runs nobody else can write the row.
#include "records/records_mysql_internal.h"
#include "records/records_schema.h"

#include "base/clock.h"
#include "base/ids.h"

#include <mysqld_error.h>
#include <poll.h>
#include <string.h>

enum {
    MIGRATION_S = 3600, // rebuilding a large table takes its time
    LOCK_MS = 60000,    // waited for it
    LEASE_MS = 10000,   // of the row
    LOOK_MS = 100,
    AGAIN_MAX = 20,
};

static const char take_lock[] = "SELECT GET_LOCK(CONCAT('dtf.schema.', MD5(DATABASE())), 60)";

static int read_version(struct myconn *c, uint64_t *version, struct nrpc_status *st)
{
    int code = myconn_number(c, "SELECT MAX(number) FROM tbl_schema", 0, version, st);
    if (code && c->mysql && mysql_errno(c->mysql) == ER_NO_SUCH_TABLE) {
        *version = 0;
        return status_ok(st);
    }
    return code;
}

static bool is_done_already(unsigned error)
{
    static const unsigned errors[] = {ER_TABLE_EXISTS_ERROR, ER_DUP_FIELDNAME, ER_DUP_KEYNAME,
                                      ER_CANT_DROP_FIELD_OR_KEY};
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i] == error)
            return true;
    return false;
}

// A statement that met another one is run again: nodes of a Galera cluster run one migration together.
static int run_statement(struct myconn *c, const char *sql, size_t bytes, struct nrpc_status *st)
{
    enum myfate fate = MYFATE_AGAIN;
    int code = NRPC_UNAVAILABLE;
    for (int run = 0; run < AGAIN_MAX && code && fate == MYFATE_AGAIN; run++)
        code = myconn_run(c, sql, bytes, &fate, st);
    return code;
}

// ---- the row

struct lease {
    struct myconn *c;
    uint64_t owner; // 0: not in a cluster
};

// Takes it, or takes it again; *has is false if it is another process'.
static int take_row(const struct lease *l, bool *has, struct nrpc_status *st)
{
    struct sqltext *sql = &l->c->sql;
    *has = true;
    if (!l->owner)
        return NRPC_OK;
    sql->bytes = 0;
    sqltext_add(sql,
                "UPDATE tbl_schema SET applied_time = "
                "GREATEST(applied_time + 1, CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) + $u), name = '$u' "
                "WHERE number = 0 AND (name = '$u' OR applied_time < UNIX_TIMESTAMP(NOW(3)) * 1000)",
                (uint64_t)LEASE_MS, l->owner, l->owner);
    int code = run_statement(l->c, sql->text, sql->bytes, st);
    *has = !code && mysql_affected_rows(l->c->mysql) > 0;
    return code;
}

static int refuse_second(struct nrpc_status *st)
{
    return status_set(st, NRPC_UNAVAILABLE, "another process migrates the database");
}

static void leave_row(const struct lease *l)
{
    struct sqltext *sql = &l->c->sql;
    if (!l->owner || !l->c->mysql)
        return;
    sql->bytes = 0;
    sqltext_add(sql, "UPDATE tbl_schema SET applied_time = 0 WHERE number = 0 AND name = '$u'", l->owner);
    run_statement(l->c, sql->text, sql->bytes, NULL);
}

static int wait_for_row(const struct lease *l, struct nrpc_status *st)
{
    static const char make[] = "INSERT IGNORE INTO tbl_schema VALUES(0, '', 0)";
    int64_t until_ms = clock_now_ms() + LOCK_MS;
    bool has = false;
    int code = l->owner ? run_statement(l->c, make, strlen(make), st) : NRPC_OK;
    while (!code && !(code = take_row(l, &has, st)) && !has && clock_now_ms() < until_ms)
        (void)poll(NULL, 0, LOOK_MS);
    return code || has ? code : refuse_second(st);
}

// ---- the migrations

static int run_statements(const struct lease *l, const char *sql, struct nrpc_status *st)
{
    struct myconn *c = l->c;
    int code = NRPC_OK;
    while (*sql && !code) {
        size_t bytes = strcspn(sql, ";");
        bool has;
        code = take_row(l, &has, st);
        if (!code)
            code = has ? run_statement(c, sql, bytes, st) : refuse_second(st);
        if (code && c->mysql && is_done_already(mysql_errno(c->mysql)))
            code = status_ok(st);
        sql += bytes;
        sql += *sql == ';';
    }
    return code;
}

static int apply(const struct lease *l, uint64_t version, struct nrpc_status *st)
{
    struct myconn *c = l->c;
    int code = run_statements(l, records_schema_mysql[version], st);
    c->sql.bytes = 0;
    sqltext_add(&c->sql, "INSERT IGNORE INTO tbl_schema VALUES($u, $t, $i)", version + 1,
                records_schema_names[version], clock_now_ms());
    return code ? code : run_statement(c, c->sql.text, c->sql.bytes, st);
}

static int refuse_newer(uint64_t version, const char *database, struct nrpc_status *st)
{
    return status_set(
        st, NRPC_FAILED_PRECONDITION,
        "schema %llu of the database %s is newer than schema %d, which this program knows; use a "
        "newer dtfd",
        (unsigned long long)version, database, RECORDS_SCHEMA_VERSION);
}

// With the lock.
static int migrate(struct myconn *c, const char *database, struct nrpc_status *st)
{
    static const char schema[] =
        "CREATE TABLE IF NOT EXISTS tbl_schema("
        "  number INT UNSIGNED NOT NULL PRIMARY KEY, name VARCHAR(100) NOT NULL,"
        "  applied_time BIGINT NOT NULL) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4";
    const struct lease lease = {c, c->is_galera ? ids_random() | 1 : 0};
    uint64_t version = 0;
    int code = run_statement(c, schema, strlen(schema), st);
    if (!code)
        code = wait_for_row(&lease, st);
    if (!code)
        code = read_version(c, &version, st);
    if (!code && version > RECORDS_SCHEMA_VERSION)
        code = refuse_newer(version, database, st);
    for (; !code && version < RECORDS_SCHEMA_VERSION; version++)
        code = apply(&lease, version, st);
    leave_row(&lease);
    return code;
}

static int migrate_locked(const struct myurl *url, size_t host, const struct mylimits *limits,
                          struct nrpc_status *st)
{
    struct myconn c = {0};
    const struct mylimits patient = {limits->connect_s, MIGRATION_S};
    uint64_t has_lock = 0;
    int code = myconn_open(&c, url, host, &patient, st);
    if (!code)
        code = myconn_number(&c, take_lock, 0, &has_lock, st);
    if (!code && !has_lock)
        code = status_set(st, NRPC_UNAVAILABLE,
                          "another process has been migrating the database %s for a minute", url->database);
    if (!code)
        code = migrate(&c, url->database, st);
    myconn_fini(&c); // frees the lock
    return code;
}

int mymigrate(const struct myurl *url, size_t host, const struct mylimits *limits, bool may_change,
              struct nrpc_status *st)
{
    struct myconn c = {0};
    uint64_t version = 0;
    int code = myconn_open(&c, url, host, limits, st);
    if (!code)
        code = read_version(&c, &version, st);
    myconn_fini(&c);
    if (code || version == RECORDS_SCHEMA_VERSION)
        return code;
    if (version > RECORDS_SCHEMA_VERSION)
        return refuse_newer(version, url->database, st);
    if (may_change)
        return migrate_locked(url, host, limits, st);
    return status_set(st, NRPC_FAILED_PRECONDITION,
                      "the database %s has schema %llu, this program needs %d; run dtfd --migrate",
                      url->database, (unsigned long long)version, RECORDS_SCHEMA_VERSION);
}
