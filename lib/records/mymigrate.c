// SPDX-License-Identifier: Apache-2.0
// mymigrate.c: the schema of a MySQL record store: which one a database has, and bringing it to ours.
//
// A lock of the server lets one process at a time migrate; the others wait and find it done. MySQL commits
// DDL by itself, so a process may leave a migration half done: the next one runs it again as a whole, and
// passes over the statements that find their work done.
#include "records/records_mysql_internal.h"
#include "records/records_schema.h"

#include "base/clock.h"

#include <mysqld_error.h>
#include <string.h>

enum { MIGRATION_S = 3600 }; // rebuilding a large table takes its time

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

static int run_statements(struct myconn *c, const char *sql, struct nrpc_status *st)
{
    enum myfate fate;
    int code = NRPC_OK;
    while (*sql && !code) {
        size_t bytes = strcspn(sql, ";");
        code = myconn_run(c, sql, bytes, &fate, st);
        if (code && is_done_already(mysql_errno(c->mysql)))
            code = status_ok(st);
        sql += bytes;
        sql += *sql == ';';
    }
    return code;
}

static int apply(struct myconn *c, uint64_t version, struct nrpc_status *st)
{
    enum myfate fate;
    int code = run_statements(c, records_schema_mysql[version], st);
    c->sql.bytes = 0;
    sqltext_add(&c->sql, "INSERT IGNORE INTO tbl_schema VALUES($u, $t, $i)", version + 1,
                records_schema_names[version], clock_now_ms());
    return code ? code : myconn_run(c, c->sql.text, c->sql.bytes, &fate, st);
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
    uint64_t version;
    enum myfate fate;
    int code = myconn_run(c, schema, strlen(schema), &fate, st);
    if (!code)
        code = read_version(c, &version, st);
    if (!code && version > RECORDS_SCHEMA_VERSION)
        return refuse_newer(version, database, st);
    for (; !code && version < RECORDS_SCHEMA_VERSION; version++)
        code = apply(c, version, st);
    return code;
}

static int migrate_locked(const struct myurl *url, const struct mylimits *limits, struct nrpc_status *st)
{
    struct myconn c = {0};
    const struct mylimits patient = {limits->connect_s, MIGRATION_S};
    uint64_t has_lock = 0;
    int code = myconn_open(&c, url, &patient, st);
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

int mymigrate(const struct myurl *url, const struct mylimits *limits, bool may_change, struct nrpc_status *st)
{
    struct myconn c = {0};
    uint64_t version = 0;
    int code = myconn_open(&c, url, limits, st);
    if (!code)
        code = read_version(&c, &version, st);
    myconn_fini(&c);
    if (code || version == RECORDS_SCHEMA_VERSION)
        return code;
    if (version > RECORDS_SCHEMA_VERSION)
        return refuse_newer(version, url->database, st);
    if (may_change)
        return migrate_locked(url, limits, st);
    return status_set(st, NRPC_FAILED_PRECONDITION,
                      "the database %s has schema %llu, this program needs %d; run dtfd --migrate",
                      url->database, (unsigned long long)version, RECORDS_SCHEMA_VERSION);
}
