// SPDX-License-Identifier: Apache-2.0
// db.c: the connection to the embedded SQLite file: opening it, its lock file, transactions, statements,
// errors.
//
// One connection, one mutex, held from db_begin to db_commit or db_rollback. `synchronous` is changed between
// transactions, only when the next one needs another value than the last.
#include "embedded/db_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { ROOM_MIN = 1 << 20 }; // bytes on the disk below which it counts as full

enum db_own_sql { SQL_BEGIN_READ, SQL_BEGIN_WRITE, SQL_COMMIT, SQL_ROLLBACK, SQL_TRY, SQL_COUNT };

static const char *const own_sql[SQL_COUNT] = {
    [SQL_BEGIN_READ] = "BEGIN",
    [SQL_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [SQL_COMMIT] = "COMMIT",
    [SQL_ROLLBACK] = "ROLLBACK",
    // what is written again as it was is not written
    [SQL_TRY] = "REPLACE INTO schema_version VALUES('written to try', abs(random() % 1000000000))",
};

// A checkpoint every 16 MiB of log: queued subtasks mostly come and go between two of them and never reach
// the file itself. The sqlite3 shell may read or back up the file while we run; while it writes, we wait.
static const char *const settings = "PRAGMA busy_timeout = 5000;"
                                    "PRAGMA journal_mode = WAL;"
                                    "PRAGMA synchronous = NORMAL;"
                                    "PRAGMA cache_size = -16384;"
                                    "PRAGMA wal_autocheckpoint = 4096;"
                                    "PRAGMA journal_size_limit = 67108864;"
                                    "PRAGMA mmap_size = 0;"
                                    "PRAGMA temp_store = MEMORY;"
                                    "CREATE TABLE IF NOT EXISTS schema_version("
                                    "  store TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID";

static const struct {
    int sqlite_code; // primary
    int code;
    const char *sentence;
    bool lasts; // it is likely to fail again: the store does not serve
} errors[] = {
    {SQLITE_FULL, NRPC_UNAVAILABLE, "the disk is full", true},
    {SQLITE_NOMEM, NRPC_RESOURCE_EXHAUSTED, "out of memory", false},
    {SQLITE_TOOBIG, NRPC_RESOURCE_EXHAUSTED, "a value is too large for the file", false},
    {SQLITE_IOERR, NRPC_UNAVAILABLE, "the file cannot be read or written", true},
    {SQLITE_BUSY, NRPC_UNAVAILABLE, "another process is using the file", false},
    {SQLITE_LOCKED, NRPC_UNAVAILABLE, "another process is using the file", false},
    {SQLITE_READONLY, NRPC_PERMISSION_DENIED, "the file is read-only", true},
    {SQLITE_PERM, NRPC_PERMISSION_DENIED, "the file may not be opened", true},
    {SQLITE_CANTOPEN, NRPC_UNAVAILABLE, "the file cannot be opened", true},
    {SQLITE_CORRUPT, NRPC_DATA_LOSS, "the file is damaged", true},
    {SQLITE_NOTADB, NRPC_DATA_LOSS, "the file is not a database", true},
};

struct db {
    pthread_mutex_t lock;
    sqlite3 *handle;
    struct db_statements own;
    int lock_fd; // -1: in memory
    char *path;  // NULL: in memory
    dev_t dev;   // of the file
    ino_t ino;
    bool full_sync;
    sqlite3_int64 changes; // rows, at the beginning of this transaction
    int failed; // SQLite's code of the last failure that is the disk's or the file's fault; 0: a commit
                // succeeded since
};

// ---- errors

int db_error(struct db *db, const char *doing, struct nrpc_status *st)
{
    int code = db->handle ? sqlite3_errcode(db->handle) : SQLITE_NOMEM;
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++)
        if (errors[i].sqlite_code == (code & 0xff)) {
            if (errors[i].lasts && db->failed != SQLITE_CORRUPT)
                db->failed = code & 0xff;
            int os = db->handle ? sqlite3_system_errno(db->handle) : 0;
            if (os && (code == SQLITE_IOERR || code == SQLITE_CANTOPEN)) // of others it may be an old one
                return status_set(st, errors[i].code, "%s: %s (%s)", doing, errors[i].sentence, strerror(os));
            return status_set(st, errors[i].code, "%s: %s", doing, errors[i].sentence);
        }
    return status_set(st, NRPC_INTERNAL, "%s: %s", doing, sqlite3_errstr(code));
}

// ---- statements

void db_statements_init(struct db_statements *s, struct db *db, const char *const *sql, size_t count)
{
    *s = (struct db_statements){db, sql, count, mem_calloc(count, sizeof *s->prepared)};
}

void db_statements_fini(struct db_statements *s)
{
    if (!s->prepared)
        return;
    for (size_t i = 0; i < s->count; i++)
        sqlite3_finalize(s->prepared[i]);
    free(s->prepared);
    s->prepared = NULL;
}

static sqlite3_stmt *prepare(struct db_statements *s, int index)
{
    sqlite3_stmt **stmt = &s->prepared[index];
    int code = sqlite3_prepare_v3(s->db->handle, s->sql[index], -1, SQLITE_PREPARE_PERSISTENT, stmt, NULL);
    if (code == SQLITE_ERROR) { // our own text is wrong: a broken invariant
        fprintf(stderr, "%s: %s\n", s->sql[index], sqlite3_errmsg(s->db->handle));
        abort();
    }
    return *stmt; // NULL: sqlite3_step on it fails, and the connection still knows why
}

static void bind_all(sqlite3_stmt *stmt, const char *format, va_list args)
{
    for (int i = 1; *format; format++, i++) {
        const void *data;
        switch (*format) {
        case 'i':
            sqlite3_bind_int64(stmt, i, va_arg(args, int64_t));
            break;
        case 'u':
            sqlite3_bind_int64(stmt, i, (int64_t)va_arg(args, uint64_t));
            break;
        case 't':
            sqlite3_bind_text(stmt, i, va_arg(args, const char *), -1, SQLITE_STATIC);
            break;
        case 'b':
            data = va_arg(args, const void *);
            sqlite3_bind_blob64(stmt, i, data, va_arg(args, size_t), SQLITE_STATIC);
            break;
        default:
            abort();
        }
    }
}

sqlite3_stmt *db_bind(struct db_statements *s, int index, const char *format, ...)
{
    sqlite3_stmt *stmt = s->prepared[index] ? s->prepared[index] : prepare(s, index);
    if (!stmt)
        return NULL;
    sqlite3_reset(stmt);
    va_list args;
    va_start(args, format);
    bind_all(stmt, format, args);
    va_end(args);
    return stmt;
}

int db_step(sqlite3_stmt *stmt)
{
    if (!stmt)
        return -1;
    int code = sqlite3_step(stmt);
    if (code == SQLITE_ROW)
        return 1;
    sqlite3_reset(stmt);
    return code == SQLITE_DONE ? 0 : -1;
}

int db_run(sqlite3_stmt *stmt)
{
    int more;
    do
        more = db_step(stmt);
    while (more > 0);
    return more;
}

void db_done(sqlite3_stmt *stmt)
{
    sqlite3_reset(stmt);
}

int64_t db_changes(struct db *db)
{
    return sqlite3_changes64(db->handle);
}

const char *db_text(sqlite3_stmt *stmt, int column, struct arena *a)
{
    const unsigned char *text = sqlite3_column_text(stmt, column);
    return text ? arena_dup(a, text, (size_t)sqlite3_column_bytes(stmt, column) + 1) : NULL;
}

const void *db_blob(sqlite3_stmt *stmt, int column, struct arena *a, size_t *bytes)
{
    *bytes = 0;
    if (sqlite3_column_type(stmt, column) == SQLITE_NULL)
        return NULL;
    const void *data = sqlite3_column_blob(stmt, column);
    *bytes = (size_t)sqlite3_column_bytes(stmt, column);
    return arena_dup(a, data, *bytes);
}

// ---- transactions

static int set_sync(struct db *db, bool full)
{
    if (full == db->full_sync)
        return 0;
    if (sqlite3_exec(db->handle, full ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL", NULL,
                     NULL, NULL))
        return -1;
    db->full_sync = full;
    return 0;
}

// What is written to a file that was deleted is on no disk when the process ends.
static int check_place(const struct db *db, struct nrpc_status *st)
{
    struct stat now;
    if (!db->path || (stat(db->path, &now) == 0 && now.st_dev == db->dev && now.st_ino == db->ino))
        return NRPC_OK;
    return status_set(st, NRPC_UNAVAILABLE,
                      "%s was deleted, moved or replaced while it was in use: restart the daemon", db->path);
}

int db_begin(struct db *db, enum db_mode mode, struct nrpc_status *st)
{
    if (mode == DB_DURABLE && check_place(db, st))
        return st->code;
    pthread_mutex_lock(&db->lock);
    db->changes = sqlite3_total_changes64(db->handle);
    bool failed = mode != DB_READ && set_sync(db, mode == DB_DURABLE) != 0;
    if (!failed && !db_run(db_bind(&db->own, mode == DB_READ ? SQL_BEGIN_READ : SQL_BEGIN_WRITE, "")))
        return NRPC_OK;
    int code = db_error(db, "cannot start a transaction", st);
    pthread_mutex_unlock(&db->lock);
    return code;
}

static void roll_back(struct db *db)
{
    if (!sqlite3_get_autocommit(db->handle)) // some errors have rolled it back already
        db_run(db_bind(&db->own, SQL_ROLLBACK, ""));
}

int db_commit(struct db *db, struct nrpc_status *st)
{
    int code = NRPC_OK;
    if (db_run(db_bind(&db->own, SQL_COMMIT, ""))) {
        code = db_error(db, "cannot commit", st);
        roll_back(db);
    } else if (db->failed != SQLITE_CORRUPT && sqlite3_total_changes64(db->handle) != db->changes) {
        db->failed = 0;
    }
    pthread_mutex_unlock(&db->lock);
    return code;
}

void db_rollback(struct db *db)
{
    roll_back(db);
    pthread_mutex_unlock(&db->lock);
}

// The log is all that a commit writes, and a checkpoint waits for the disk in any case.
int db_sync(struct db *db, struct nrpc_status *st)
{
    sqlite3_file *log = NULL;
    if (!db->path)
        return NRPC_OK;
    if (check_place(db, st))
        return st->code;
    pthread_mutex_lock(&db->lock);
    int failed = sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
    if (!failed && log && log->pMethods)
        failed = log->pMethods->xSync(log, SQLITE_SYNC_NORMAL);
    if (failed)
        db->failed = SQLITE_IOERR;
    pthread_mutex_unlock(&db->lock);
    return failed ? status_set(st, NRPC_UNAVAILABLE, "%s: what was written does not reach the disk", db->path)
                  : NRPC_OK;
}

static int check_disk(const struct db *db, struct nrpc_status *st)
{
    struct statvfs disk;
    if (!db->path || statvfs(db->path, &disk))
        return NRPC_OK;
    uint64_t room = (uint64_t)disk.f_frsize * (geteuid() ? disk.f_bavail : disk.f_bfree);
    if (disk.f_flag & ST_RDONLY)
        return status_set(st, NRPC_PERMISSION_DENIED, "%s: the disk is read-only", db->path);
    if (room < ROOM_MIN)
        return status_set(st, NRPC_RESOURCE_EXHAUSTED, "%s: the disk is full", db->path);
    return NRPC_OK;
}

// After a failure a write tells whether it is over; but what is damaged stays so.
static int try_again(struct db *db, struct nrpc_status *st)
{
    int code = db_begin(db, DB_DURABLE, st);
    if (code)
        return code;
    if (db->failed == SQLITE_CORRUPT || db->failed == SQLITE_NOTADB) {
        code = status_set(st, NRPC_DATA_LOSS, "%s: the file is damaged", db->path ? db->path : "in memory");
        db_rollback(db);
        return code;
    }
    if (db_run(db_bind(&db->own, SQL_TRY, "")) == 0)
        return db_commit(db, st);
    code = db_error(db, "cannot write", st);
    db_rollback(db);
    return code;
}

int db_check(struct db *db, struct nrpc_status *st)
{
    if (check_place(db, st) || check_disk(db, st))
        return st->code;
    pthread_mutex_lock(&db->lock);
    bool failed = db->failed;
    pthread_mutex_unlock(&db->lock);
    return failed ? try_again(db, st) : NRPC_OK;
}

// ---- migrations

static int read_version(struct db *db, const char *store, uint64_t *version)
{
    sqlite3_stmt *stmt = NULL;
    if (sqlite3_prepare_v2(db->handle, "SELECT version FROM schema_version WHERE store = ?", -1, &stmt, NULL))
        return -1;
    sqlite3_bind_text(stmt, 1, store, -1, SQLITE_STATIC);
    int code = sqlite3_step(stmt);
    *version = code == SQLITE_ROW ? db_u64(stmt, 0) : 0;
    sqlite3_finalize(stmt);
    return code == SQLITE_ROW || code == SQLITE_DONE ? 0 : -1;
}

static int migrate_step(struct db *db, const struct db_migrations *m, uint64_t version)
{
    char *mark =
        sqlite3_mprintf("REPLACE INTO schema_version VALUES(%Q, %llu); COMMIT", m->store, version + 1);
    int failed = sqlite3_exec(db->handle, "BEGIN IMMEDIATE", NULL, NULL, NULL) ||
                 sqlite3_exec(db->handle, m->sql[version], NULL, NULL, NULL) ||
                 sqlite3_exec(db->handle, mark, NULL, NULL, NULL);
    sqlite3_free(mark);
    return failed ? -1 : 0;
}

static int migrate(struct db *db, const struct db_migrations *m, struct nrpc_status *st)
{
    uint64_t version;
    if (read_version(db, m->store, &version))
        return db_error(db, "cannot read the schema version", st);
    if (version > m->count)
        return status_set(st, NRPC_FAILED_PRECONDITION,
                          "the data was written by a newer version (%s schema %llu, this program knows %zu)",
                          m->store, (unsigned long long)version, m->count);
    for (; version < m->count; version++)
        if (migrate_step(db, m, version))
            return db_error(db, "cannot bring the data to the present version", st);
    return NRPC_OK;
}

// ---- opening

static int open_handle(struct db *db, const char *path, struct nrpc_status *st)
{
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path, &db->handle, flags, NULL))
        return db_error(db, path, st);
    sqlite3_extended_result_codes(db->handle, 0);
    if (sqlite3_exec(db->handle, settings, NULL, NULL, NULL))
        return db_error(db, path, st);
    db_statements_init(&db->own, db, own_sql, SQL_COUNT);
    int code = migrate(db, &state_migrations, st);
    return code ? code : migrate(db, &records_migrations, st);
}

static int refuse_second(const char *data_dir, int fd, struct nrpc_status *st)
{
    char pid[24] = "";
    ssize_t n = pread(fd, pid, sizeof pid - 1, 0);
    pid[n > 0 ? n : 0] = 0;
    long number = strtol(pid, NULL, 10);
    if (number <= 0)
        return status_set(st, NRPC_FAILED_PRECONDITION, "%s is in use by another process", data_dir);
    return status_set(st, NRPC_FAILED_PRECONDITION, "%s is in use by process %ld", data_dir, number);
}

static int take_lock(struct db *db, const char *data_dir, struct nrpc_status *st)
{
    char path[4096];
    if (snprintf(path, sizeof path, "%s/lock", data_dir) >= (int)sizeof path)
        return status_set(st, NRPC_INVALID_ARGUMENT, "the data folder's name is too long");
    db->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (db->lock_fd < 0 && errno == ELOOP)
        return status_set(st, NRPC_FAILED_PRECONDITION,
                          "%s is a symbolic link: it is to be a file of its own", path);
    if (db->lock_fd < 0)
        return status_errno(st, errno, path);
    if (flock(db->lock_fd, LOCK_EX | LOCK_NB))
        return errno == EWOULDBLOCK ? refuse_second(data_dir, db->lock_fd, st)
                                    : status_errno(st, errno, path);
    char pid[24];
    int n = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(db->lock_fd, 0) || pwrite(db->lock_fd, pid, (size_t)n, 0) != n)
        return status_errno(st, errno, path);
    return NRPC_OK;
}

static int open_file(struct db *db, const char *data_dir, struct nrpc_status *st)
{
    if (mkdir(data_dir, 0700) && errno != EEXIST)
        return status_errno(st, errno, data_dir);
    int code = take_lock(db, data_dir, st);
    if (code)
        return code;
    char path[4096];
    snprintf(path, sizeof path, "%s/dtf.db", data_dir);
    struct stat s;
    code = open_handle(db, path, st);
    if (code)
        return code;
    if (stat(path, &s))
        return status_errno(st, errno, path);
    db->dev = s.st_dev;
    db->ino = s.st_ino;
    db->path = mem_strdup(path);
    return NRPC_OK;
}

int db_open(const char *data_dir, struct db **out, struct nrpc_status *st)
{
    struct db *db = mem_calloc(1, sizeof *db);
    db->lock_fd = -1;
    pthread_mutex_init(&db->lock, NULL);
    int code = data_dir ? open_file(db, data_dir, st) : open_handle(db, ":memory:", st);
    if (code) {
        db_close(db);
        return code;
    }
    *out = db;
    return NRPC_OK;
}

void db_close(struct db *db)
{
    if (!db)
        return;
    db_statements_fini(&db->own);
    sqlite3_close_v2(db->handle);
    if (db->lock_fd >= 0)
        close(db->lock_fd);
    pthread_mutex_destroy(&db->lock);
    free(db->path);
    free(db);
}
