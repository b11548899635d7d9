// SPDX-License-Identifier: Apache-2.0
// records_sqlite_test.c: the record store on SQLite keeps the contract, in a file and in memory.
#include "embedded/db.h"
#include "records_contract.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct db *db;
static char folder[64];

static struct records *open_folder(const char *data_dir)
{
    struct nrpc_status st = {0};
    if (db_open(data_dir, &db, &st))
        fail_msg("%s", st.text);
    return records_sqlite_open(db);
}

static struct records *create_in_file(void)
{
    strcpy(folder, "/tmp/records_sqlite_test.XXXXXX");
    assert_non_null(mkdtemp(folder));
    return open_folder(folder);
}

static struct records *create_in_memory(void)
{
    folder[0] = 0;
    return open_folder(NULL);
}

static void close_all(struct records *records)
{
    records->ops->close(records);
    db_close(db);
}

// What is in memory does not outlive its connection: there, only the store is opened again.
static struct records *reopen(struct records *records)
{
    if (*folder) {
        close_all(records);
        return open_folder(folder);
    }
    records->ops->close(records);
    return records_sqlite_open(db);
}

static void destroy(struct records *records)
{
    static const char *const names[] = {"dtf.db", "dtf.db-wal", "dtf.db-shm", "lock"};
    close_all(records);
    for (size_t i = 0; *folder && i < sizeof names / sizeof *names; i++) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    if (*folder)
        assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    static const struct records_contract contracts[] = {
        {"records in an SQLite file", create_in_file, reopen, destroy},
        {"records in SQLite's memory", create_in_memory, reopen, destroy},
    };
    int failed = 0;
    for (size_t i = 0; i < sizeof contracts / sizeof *contracts; i++)
        failed |= records_contract_run(&contracts[i]);
    return failed;
}
