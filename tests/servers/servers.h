// SPDX-License-Identifier: Apache-2.0
// servers.h: private Redis and MariaDB servers for tests: each a process with a folder of its own, on a free
// port of 127.0.0.1, ready when the call that starts it returns. What a server printed is shown when it does
// not get ready.
//
// Everything lies in one temporary folder per test program, which goes when the program exits, with the
// servers that still run. Servers die with the thread that started them, whatever ends it: start them from
// the main thread. Only one thread may use this interface at a time. The programs come from the packages
// redis-server and mariadb-server, for Galera also galera-4 and rsync.
#ifndef TESTS_SERVERS_H
#define TESTS_SERVERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct server;

struct server_redis_options {
    bool aof;              // appendonly yes, appendfsync everysec; false: nothing outlives the process
    const char *password;  // NULL: none
    const char *maxmemory; // e.g. "20mb"; NULL: no limit
    const char *config;    // more lines of redis.conf, the last without its end; NULL: none
    const struct server *replica_of; // a Redis; NULL: it is a master
    unsigned disk_mib;               // its data lie on a disk of this size; 0: where there is room
};

struct server_mariadb_options {
    const char *user, *password, *database; // NULL: "dtf", "secret" and "dtf"; made anew after every wipe
    const char *config;                     // more lines of my.cnf, [mysqld]; NULL: none
    unsigned disk_mib;                      // as of a Redis; at least 200
};

struct server_sentinel_options {
    const struct server *master; // a Redis that has a replica
    const char *name;            // the master's name; NULL: "dtf"
    int down_after_ms;           // 0: 500
};

// Make a server and start it. NULL options: the defaults. A server that does not get ready ends the test
// program.
struct server *server_redis(const struct server_redis_options *o);
struct server *server_mariadb(const struct server_mariadb_options *o);
struct server *server_sentinel(const struct server_sentinel_options *o); // ready: it knows the replica
// The nodes of a MariaDB Galera cluster, each with the data of the first; `dtf`, `secret`, `dtf`. A node that
// was killed comes back by server_start while another one runs, after a wipe as well; the cluster as a whole
// does not.
enum { SERVER_GALERA_MAX = 5 };
bool server_galera_is_there(void); // false, and a line that says so: a package is missing
void server_galera(struct server **nodes, size_t count);
// A Redis Cluster: the masters first, then one replica of each, or none. All of it is known to all when this
// returns.
enum { SERVER_CLUSTER_MAX = 12, SERVER_CLUSTER_ID = 41 };
void server_cluster(struct server **servers, size_t masters, size_t replicas, bool aof); // replicas: 0 or 1
struct server *server_cluster_add(const struct server *of);            // a master without slots
void server_cluster_wait(struct server *const *servers, size_t count); // until all know all
// redis-cli --cluster, with these words (NULL at the end); a failure ends the test program.
void server_cluster_tool(const struct server *s, const char *const *words);
const char *server_cluster_at(const struct server *s, char out[32]); // host:port
void server_cluster_id(const struct server *s, char out[SERVER_CLUSTER_ID]);
void server_destroy(struct server *s); // kills it if it runs, removes its folder; NULL is fine

void server_start(struct server *s); // after an end: again, with the same data, on the same port
void server_kill(struct server *s);  // SIGKILL, and waits for its end
void server_terminate(
    struct server *s); // SIGTERM, and waits for its end: Redis with AOF and MariaDB write everything
void server_wipe(struct server *s); // while it does not run: removes its data
// Keeps a copy of a running server's data as it is at this moment (the process is stopped meanwhile), in
// place of an earlier copy; and puts that copy in the place of the data, while the server does not run: as
// after a power failure, with an old dump, or with a replica that lagged.
void server_save(struct server *s);
void server_go_back(struct server *s);
// Small disks are in memory and in a mount namespace of this process, and go with it. To be asked before any
// server is started; false, and a line that says so: this process may not mount.
bool server_disks_are_there(void);
void server_fill_disk(struct server *s); // until there is no room for a byte
void server_free_disk(struct server *s); // takes that out again
void server_pause(struct server *s);     // SIGSTOP: it accepts connections and answers nothing
void server_resume(struct server *s);    // SIGCONT

// redis://[:password@]127.0.0.1:port or mysql://user:password@127.0.0.1:port/database.
const char *server_url(const struct server *s);
const char *server_socket(const struct server *s); // path of its unix socket; a Sentinel has none
uint16_t server_port(const struct server *s);
pid_t server_pid(const struct server *s); // 0: not running

// Asks a Redis or a Sentinel a command of one line ("INFO memory", "CONFIG SET maxmemory 1") and gives the
// answer as it is on the wire ("+OK\r\n"), cut to `size`. The text stays empty if there was no answer within
// a second.
void server_ask(const struct server *s, const char *command, char *answer, size_t size);

#endif
