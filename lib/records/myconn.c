// SPDX-License-Identifier: Apache-2.0
// myconn.c: one connection to a MySQL database, and what its errors mean.
#include "records/myconn.h"

#include "base/mem.h"

#include <errmsg.h>
#include <mysqld_error.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

// Known to one of MySQL and MariaDB only.
enum { MARIADB_CONNECTION_KILLED = 1927, MYSQL_IDLE_TIMEOUT = 4031 };

static const struct {
    unsigned number;
    int code;
    enum myfate fate;
    const char *sentence;
} errors[] = {
    {CR_CONNECTION_ERROR, NRPC_UNAVAILABLE, MYFATE_LOST, "cannot connect to the database"},
    {CR_CONN_HOST_ERROR, NRPC_UNAVAILABLE, MYFATE_LOST, "cannot connect to the database"},
    {CR_UNKNOWN_HOST, NRPC_UNAVAILABLE, MYFATE_LOST, "the database's host is not known"},
    {CR_SERVER_GONE_ERROR, NRPC_UNAVAILABLE, MYFATE_LOST, "the connection to the database was lost"},
    {CR_SERVER_LOST, NRPC_UNAVAILABLE, MYFATE_LOST, "the connection to the database was lost"},
    {CR_SERVER_LOST_EXTENDED, NRPC_UNAVAILABLE, MYFATE_LOST, "the connection to the database was lost"},
    {MARIADB_CONNECTION_KILLED, NRPC_UNAVAILABLE, MYFATE_LOST, "the connection to the database was ended"},
    {MYSQL_IDLE_TIMEOUT, NRPC_UNAVAILABLE, MYFATE_LOST, "the connection to the database was ended"},
    {ER_SERVER_SHUTDOWN, NRPC_UNAVAILABLE, MYFATE_LOST, "the database is shutting down"},
    {ER_CON_COUNT_ERROR, NRPC_UNAVAILABLE, MYFATE_LOST, "the database has too many connections"},
    {ER_TOO_MANY_USER_CONNECTIONS, NRPC_UNAVAILABLE, MYFATE_LOST,
     "the database has too many connections of this user"},
    {ER_USER_LIMIT_REACHED, NRPC_UNAVAILABLE, MYFATE_FAILED, "the database's limit for this user is reached"},
    {ER_HOST_IS_BLOCKED, NRPC_UNAVAILABLE, MYFATE_LOST, "the database has blocked this host"},
    {ER_QUERY_INTERRUPTED, NRPC_UNAVAILABLE, MYFATE_FAILED, "the database interrupted the statement"},
    {ER_OPTION_PREVENTS_STATEMENT, NRPC_UNAVAILABLE, MYFATE_REFUSED, "the database is read-only"},
    {ER_READ_ONLY_MODE, NRPC_UNAVAILABLE, MYFATE_REFUSED, "the database is read-only"},
    // Of Galera. A node that falls out of its cluster while it commits does not know what becomes of that.
    {ER_UNKNOWN_COM_ERROR, NRPC_UNAVAILABLE, MYFATE_LOST, "the node of the database's cluster is not ready"},
    {ER_ERROR_DURING_COMMIT, NRPC_UNAVAILABLE, MYFATE_LOST, "the database could not commit"},
    {ER_LOCK_DEADLOCK, NRPC_UNAVAILABLE, MYFATE_AGAIN, "the database is too busy (deadlocks)"},
    {ER_LOCK_WAIT_TIMEOUT, NRPC_UNAVAILABLE, MYFATE_AGAIN, "the database is too busy (locks)"},
    {ER_CHECKREAD, NRPC_UNAVAILABLE, MYFATE_AGAIN, "the database is too busy (changed rows)"},
    {ER_DUP_ENTRY, NRPC_ABORTED, MYFATE_AGAIN, "another process has just recorded the same"},
    {ER_DISK_FULL, NRPC_UNAVAILABLE, MYFATE_FAILED, "the database's disk is full"},
    {ER_RECORD_FILE_FULL, NRPC_UNAVAILABLE, MYFATE_FAILED, "the database's disk is full"},
    {ER_OUTOFMEMORY, NRPC_RESOURCE_EXHAUSTED, MYFATE_FAILED, "the database is out of memory"},
    {ER_OUT_OF_RESOURCES, NRPC_RESOURCE_EXHAUSTED, MYFATE_FAILED, "the database is out of memory"},
    {CR_OUT_OF_MEMORY, NRPC_RESOURCE_EXHAUSTED, MYFATE_LOST, "out of memory"},
    {ER_NET_PACKET_TOO_LARGE, NRPC_RESOURCE_EXHAUSTED, MYFATE_LOST,
     "a statement is larger than the database's max_allowed_packet"},
    {CR_NET_PACKET_TOO_LARGE, NRPC_RESOURCE_EXHAUSTED, MYFATE_LOST,
     "a row is larger than the client library takes"},
    {ER_ACCESS_DENIED_ERROR, NRPC_FAILED_PRECONDITION, MYFATE_LOST,
     "the database refuses the user or the password"},
    {ER_HOST_NOT_PRIVILEGED, NRPC_FAILED_PRECONDITION, MYFATE_LOST, "the database refuses this host"},
    {ER_DBACCESS_DENIED_ERROR, NRPC_FAILED_PRECONDITION, MYFATE_FAILED,
     "the user may not use this database, or there is none of this name"},
    {ER_TABLEACCESS_DENIED_ERROR, NRPC_FAILED_PRECONDITION, MYFATE_FAILED,
     "the database does not let the user do this"},
    {ER_BAD_DB_ERROR, NRPC_FAILED_PRECONDITION, MYFATE_FAILED, "the database server has no such database"},
    {ER_NO_SUCH_TABLE, NRPC_FAILED_PRECONDITION, MYFATE_FAILED, "the database has lost a table"},
    {ER_CRASHED_ON_USAGE, NRPC_DATA_LOSS, MYFATE_FAILED, "a table of the database is damaged"},
    {ER_NOT_KEYFILE, NRPC_DATA_LOSS, MYFATE_FAILED, "a table of the database is damaged"},
};

enum { ERRORS = sizeof errors / sizeof *errors };

static size_t find_error(unsigned number)
{
    size_t i = 0;
    while (i < ERRORS && errors[i].number != number)
        i++;
    return i;
}

const char *myconn_means(unsigned number)
{
    size_t i = find_error(number);
    return i < ERRORS ? errors[i].sentence : "the database answers with an error";
}

int myconn_error(MYSQL *mysql, enum myfate *fate, struct nrpc_status *st)
{
    static const char doing[] = "the record store failed";
    unsigned number = mysql_errno(mysql);
    size_t i = find_error(number);
    if (i < ERRORS) {
        *fate = errors[i].fate;
        return status_set(st, errors[i].code, "%s: %s (%u: %s)", doing, errors[i].sentence, number,
                          mysql_error(mysql));
    }
    // What the client library itself complains of leaves the connection in no known state.
    bool is_of_client = (number >= CR_MIN_ERROR && number <= CR_MAX_ERROR) || number >= 5000;
    *fate = is_of_client ? MYFATE_LOST : MYFATE_FAILED;
    return status_set(st, NRPC_INTERNAL, "%s (%u: %s)", doing, number, mysql_error(mysql));
}

// ---- the client library, once a process and once a thread

static pthread_once_t library_once = PTHREAD_ONCE_INIT;
static pthread_key_t thread_key;

static void thread_ends(void *unused)
{
    (void)unused;
    mysql_thread_end();
}

static void library_begins(void)
{
    mysql_library_init(0, NULL, NULL);
    pthread_key_create(&thread_key, thread_ends);
}

static void thread_begins(void)
{
    static const char begun;
    pthread_once(&library_once, library_begins);
    if (pthread_getspecific(thread_key))
        return;
    mysql_thread_init();
    pthread_setspecific(thread_key, &begun);
}

// ---- opening

static void set_options(MYSQL *mysql, unsigned port, const struct mylimits *limits)
{
    const unsigned protocol = port ? MYSQL_PROTOCOL_TCP : MYSQL_PROTOCOL_SOCKET, no = 0;
    mysql_options(mysql, MYSQL_OPT_CONNECT_TIMEOUT, &limits->connect_s);
    mysql_options(mysql, MYSQL_OPT_READ_TIMEOUT, &limits->io_s);
    mysql_options(mysql, MYSQL_OPT_WRITE_TIMEOUT, &limits->io_s);
    mysql_options(mysql, MYSQL_OPT_PROTOCOL, &protocol);
    mysql_options(mysql, MYSQL_OPT_LOCAL_INFILE, &no); // a server could ask for any file of ours
    mysql_options(mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
}

// MySQL does not have the variable, MariaDB has it in every server.
static int find_galera(struct myconn *c, struct nrpc_status *st)
{
    static const char ask[] = "SHOW GLOBAL VARIABLES WHERE Variable_name = 'wsrep_on' AND Value = 'ON'";
    static const char causal[] = "SET SESSION wsrep_sync_wait = 1";
    enum myfate fate;
    int code = myconn_run(c, ask, strlen(ask), &fate, st);
    if (code)
        return code;
    MYSQL_RES *result = mysql_store_result(c->mysql);
    if (!result)
        return myconn_error(c->mysql, &fate, st);
    c->is_galera = mysql_num_rows(result) > 0;
    mysql_free_result(result);
    return c->is_galera ? myconn_run(c, causal, strlen(causal), &fate, st) : NRPC_OK;
}

static int set_session(struct myconn *c, struct nrpc_status *st)
{
    static const char *const settings[] = {
        "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', SESSION autocommit = 1, "
        "SESSION innodb_lock_wait_timeout = 3",
        "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
    };
    enum myfate fate;
    int code = NRPC_OK;
    for (size_t i = 0; i < sizeof settings / sizeof *settings && !code; i++)
        code = myconn_run(c, settings[i], strlen(settings[i]), &fate, st);
    uint64_t packet = 0;
    if (!code)
        code = find_galera(c, st);
    if (!code)
        code = myconn_number(c, "SELECT @@max_allowed_packet", 0, &packet, st);
    c->packet_max = packet;
    return code;
}

int myconn_open_plain(struct myconn *c, const struct myurl *url, size_t host, const struct mylimits *limits,
                      struct nrpc_status *st)
{
    enum myfate fate;
    unsigned port = url->hosts[host].port;
    thread_begins();
    c->mysql = mysql_init(NULL);
    if (!c->mysql)
        mem_exhausted(sizeof *c->mysql);
    set_options(c->mysql, port, limits);
    c->packet_max = 0; // it is not known yet
    if (mysql_real_connect(c->mysql, port ? url->hosts[host].name : NULL, url->user, url->password,
                           url->database, port, url->socket, CLIENT_MULTI_STATEMENTS))
        return NRPC_OK;
    int code = myconn_error(c->mysql, &fate, st);
    c->error = mysql_errno(c->mysql);
    myconn_close(c);
    return code;
}

int myconn_open(struct myconn *c, const struct myurl *url, size_t host, const struct mylimits *limits,
                struct nrpc_status *st)
{
    int code = myconn_open_plain(c, url, host, limits, st);
    if (code)
        return code;
    code = set_session(c, st);
    if (code)
        myconn_close(c);
    return code;
}

void myconn_close(struct myconn *c)
{
    if (c->mysql)
        mysql_close(c->mysql);
    c->mysql = NULL;
}

void myconn_fini(struct myconn *c)
{
    thread_begins();
    myconn_close(c);
    sqltext_fini(&c->sql);
}

// ---- statements

int myconn_run(struct myconn *c, const char *sql, size_t bytes, enum myfate *fate, struct nrpc_status *st)
{
    thread_begins();
    if (c->packet_max && bytes >= c->packet_max) { // the server would hang up
        *fate = MYFATE_FAILED;
        return status_set(st, NRPC_RESOURCE_EXHAUSTED,
                          "the database's max_allowed_packet, %zu bytes, is too small for this",
                          c->packet_max);
    }
    return mysql_real_query(c->mysql, sql, bytes) ? myconn_error(c->mysql, fate, st) : NRPC_OK;
}

int myconn_number(struct myconn *c, const char *sql, uint64_t none, uint64_t *out, struct nrpc_status *st)
{
    enum myfate fate;
    int code = myconn_run(c, sql, strlen(sql), &fate, st);
    if (code)
        return code;
    MYSQL_RES *result = mysql_store_result(c->mysql);
    if (!result)
        return myconn_error(c->mysql, &fate, st);
    MYSQL_ROW row = mysql_fetch_row(result);
    *out = row && row[0] ? strtoull(row[0], NULL, 10) : none;
    mysql_free_result(result);
    return NRPC_OK;
}
