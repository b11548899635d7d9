// SPDX-License-Identifier: Apache-2.0
// failpoint.c: counts the calls of the stores and dies at the chosen one, as by kill -9.
#include "failpoints/failpoint.h"

#include "base/log.h"
#include "embedded/db.h"
#include "records/records_mysql.h"
#include "state/state_redis.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static struct failpoint *point; // NULL until a store is open

// An operation that several threads are in is counted where it begins: the call that ends is the last of
// these that began no later, near enough.
void failpoint_reach(int operation, bool is_after)
{
    uint32_t call =
        is_after ? atomic_load(&point->calls[operation]) : atomic_fetch_add(&point->calls[operation], 1) + 1;
    if (operation != point->operation || is_after != point->is_after || call < point->call)
        return;
    atomic_store(&point->is_hit, true);
    (void)kill(getpid(), SIGKILL);
    (void)pause();
}

static struct failpoint *map(void)
{
    const char *path = getenv(FAILPOINT_FILE);
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    struct failpoint *p =
        fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *p, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        (void)close(fd);
    if (p != MAP_FAILED)
        return p;
    log_error("%s names no file to share", FAILPOINT_FILE);
    exit(1);
}

// ---- the linker's doing: the calls of these come here

struct state *__real_state_sqlite_open(struct db *db);
struct state *__wrap_state_sqlite_open(struct db *db);
struct records *__real_records_sqlite_open(struct db *db);
struct records *__wrap_records_sqlite_open(struct db *db);
int __real_state_redis_open(const struct state_redis_options *o, struct state **out, struct nrpc_status *st);
int __wrap_state_redis_open(const struct state_redis_options *o, struct state **out, struct nrpc_status *st);
int __real_records_mysql_open(const struct records_mysql_options *o, struct records **out,
                              struct nrpc_status *st);
int __wrap_records_mysql_open(const struct records_mysql_options *o, struct records **out,
                              struct nrpc_status *st);

static void wrap_state(struct state *s)
{
    point = point ? point : map();
    failpoint_wrap_state(s);
}

static void wrap_records(struct records *r)
{
    point = point ? point : map();
    failpoint_wrap_records(r);
}

struct state *__wrap_state_sqlite_open(struct db *db)
{
    struct state *s = __real_state_sqlite_open(db);
    wrap_state(s);
    return s;
}

struct records *__wrap_records_sqlite_open(struct db *db)
{
    struct records *r = __real_records_sqlite_open(db);
    wrap_records(r);
    return r;
}

int __wrap_state_redis_open(const struct state_redis_options *o, struct state **out, struct nrpc_status *st)
{
    int code = __real_state_redis_open(o, out, st);
    if (code == NRPC_OK)
        wrap_state(*out);
    return code;
}

int __wrap_records_mysql_open(const struct records_mysql_options *o, struct records **out,
                              struct nrpc_status *st)
{
    int code = __real_records_mysql_open(o, out, st);
    if (code == NRPC_OK)
        wrap_records(*out);
    return code;
}
