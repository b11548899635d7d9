// SPDX-License-Identifier: Apache-2.0
// servers_mariadb.c: MariaDB servers, alone or as nodes of a Galera cluster.
#include "servers/servers_internal.h"

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GALERA "/usr/lib/galera/libgalera_smm.so"

enum { ANSWER_MS = 1000 };

// MariaDB speaks first: length, sequence number, and the version of its protocol or an error.
static bool mariadb_answers(struct server *s)
{
    char hello[5] = "";
    int fd = servers_dial(s->port);
    size_t n = fd < 0 ? 0 : servers_read_some(fd, hello, sizeof hello, ANSWER_MS);
    close(fd);
    return n == sizeof hello && hello[4] == 10;
}

static void write_init_file(const struct server *s, const char *path)
{
    FILE *f = fopen(path, "we");
    if (!f)
        servers_fail(s, "its init file cannot be written");
    fprintf(f,
            "CREATE DATABASE IF NOT EXISTS `%s`;\n"
            "CREATE USER IF NOT EXISTS '%s'@'127.0.0.1' IDENTIFIED BY '%s';\n"
            "GRANT ALL ON `%s`.* TO '%s'@'127.0.0.1';\n"
            "CREATE USER IF NOT EXISTS '%s'@'localhost' IDENTIFIED BY '%s';\n"
            "GRANT ALL ON `%s`.* TO '%s'@'localhost';\n",
            s->database, s->user, s->password, s->database, s->user, s->user, s->password, s->database,
            s->user);
    fclose(f);
}

static bool mariadb_install(struct server *s)
{
    char defaults[300];
    snprintf(defaults, sizeof defaults, "--defaults-file=%s", s->config);
    char *argv[] = {"mariadb-install-db", defaults, "--force", "--auth-root-authentication-method=normal",
                    "--skip-test-db",     NULL};
    return servers_wait_for(servers_run(s, argv)) == 0;
}

// A node says so when it has the cluster's data and follows it; it greets before.
static bool galera_answers(struct server *s)
{
    char line[1000];
    bool is_synced = false;
    if (!mariadb_answers(s))
        return false;
    FILE *log = fopen(s->log, "re");
    if (log && fseeko(log, s->log_bytes, SEEK_SET) == 0)
        while (!is_synced && fgets(line, sizeof line, log))
            is_synced = strstr(line, "WSREP: Server ") && strstr(line, " synced with group");
    if (log)
        fclose(log);
    return is_synced;
}

static const struct server_kind mariadb = {
    "mariadb", mariadb_install, mariadb_answers, "mariadbd", "--defaults-file=", NULL, "port="};
static const struct server_kind galera_first = {
    "galera", mariadb_install, galera_answers, "mariadbd", "--defaults-file=", NULL, "port="};
static const struct server_kind galera_joins = {"galera",           NULL, galera_answers, "mariadbd",
                                                "--defaults-file=", NULL, "port="};

static struct server *create(const struct server_kind *kind, const struct server_mariadb_options *o)
{
    static const struct server_mariadb_options none;
    struct server *s = servers_create(kind);
    o = o ? o : &none;
    snprintf(s->user, sizeof s->user, "%s", o->user ? o->user : "dtf");
    snprintf(s->password, sizeof s->password, "%s", o->password ? o->password : "secret");
    snprintf(s->database, sizeof s->database, "%s", o->database ? o->database : "dtf");
    servers_add_lines(s, "[mysqld]\ndatadir=%s\nsocket=%s\npid-file=%s/pid\n", s->data, s->socket, s->folder);
    servers_add_lines(s, "tmpdir=%s\n", s->folder); // it deletes what others have in theirs
    servers_add_lines(s, "bind-address=127.0.0.1\nskip-name-resolve\n");
    servers_add_lines(s, "innodb-buffer-pool-size=16M\ninnodb-log-file-size=8M\ninnodb-use-native-aio=0\n"
                         "performance-schema=OFF\ncharacter-set-server=utf8mb4\n");
    return s;
}

// The user and the database are made when it starts.
static void add_init_file(struct server *s)
{
    char init[240];
    snprintf(init, sizeof init, "%s/init.sql", s->folder);
    write_init_file(s, init);
    servers_add_lines(s, "init-file=%s\n", init);
}

static void start(struct server *s)
{
    servers_start_first(s);
    snprintf(s->url, sizeof s->url, "mysql://%s:%s@127.0.0.1:%u/%s", s->user, s->password, s->port,
             s->database);
}

struct server *server_mariadb(const struct server_mariadb_options *o)
{
    struct passwd *me = getpwuid(geteuid());
    struct server *s = create(&mariadb, o);
    servers_add_lines(s, "user=%s\ninnodb-flush-log-at-trx-commit=1\n", me ? me->pw_name : "mysql");
    s->disk_mib = o ? o->disk_mib : 0;
    add_init_file(s);
    servers_add_lines(s, "%s\n", o && o->config ? o->config : "");
    start(s);
    return s;
}

// ---- Galera

bool server_galera_is_there(void)
{
    static const char *const needed[] = {GALERA, "/usr/bin/rsync", "/usr/bin/wsrep_sst_rsync"};
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++)
        if (access(needed[i], R_OK)) {
            printf("skipped: there is no %s (packages galera-4, rsync, mariadb-server)\n", needed[i]);
            return false;
        }
    if (geteuid() == 0 && !getpwnam("mysql")) {
        printf("skipped: there is no user mysql, and as root no data goes from node to node\n");
        return false;
    }
    return true;
}

// What sends a node's data to another one, rsync, gives up root's rights when it receives.
static void become_mysql(struct server *s)
{
    struct passwd *mysql = geteuid() == 0 ? getpwnam("mysql") : NULL;
    if (!mysql)
        return;
    s->uid = mysql->pw_uid;
    s->gid = mysql->pw_gid;
    if (chmod(servers_root, 0711) || chown(s->folder, s->uid, s->gid))
        servers_fail(s, "its folder cannot be given away");
}

// A dead node is put out of the cluster after a second, not five: all commits wait for that. A node's log is
// on the disk when the machine is well: that is enough when only processes are killed.
// The last one gives its data to those that join, if it is there: the others have their clients.
static void add_node_lines(struct server *s, const char *cluster, const uint16_t ports[3], uint16_t last)
{
    servers_add_lines(s,
                      "binlog_format=ROW\ninnodb_autoinc_lock_mode=2\ninnodb-flush-log-at-trx-commit=2\n"
                      "wsrep_on=ON\nwsrep_provider=" GALERA "\nwsrep_cluster_name=dtf\n"
                      "wsrep_cluster_address=gcomm://%s\nwsrep_sst_method=rsync\nwsrep_node_name=node%u\n"
                      "wsrep_node_address=127.0.0.1:%u\nwsrep_sst_receive_address=127.0.0.1:%u\n"
                      "wsrep_sst_donor=node%u,\n",
                      cluster, ports[0], ports[0], ports[2], last);
    servers_add_lines(
        s,
        "wsrep_provider_options=\"gmcast.listen_addr=tcp://127.0.0.1:%u;"
        "ist.recv_addr=127.0.0.1:%u;gcache.size=16M;evs.suspect_timeout=PT1S;"
        "evs.inactive_timeout=PT2S;evs.inactive_check_period=PT0.1S;"
        "evs.keepalive_period=PT0.2S;evs.join_retrans_period=PT0.2S;evs.install_timeout=PT2S\"\n",
        ports[0], ports[1]);
}

void server_galera(struct server **nodes, size_t count)
{
    uint16_t ports[SERVER_GALERA_MAX][3];
    char cluster[SERVER_GALERA_MAX * 24] = "";
    for (size_t i = 0; i < count; i++) {
        for (size_t k = 0; k < 3; k++)
            ports[i][k] = servers_free_port();
        size_t n = strlen(cluster);
        snprintf(cluster + n, sizeof cluster - n, "%s127.0.0.1:%u", n ? "," : "", ports[i][0]);
    }
    for (size_t i = 0; i < count; i++) {
        struct server *s = create(i ? &galera_joins : &galera_first, NULL);
        become_mysql(s);
        add_node_lines(s, cluster, ports[i], ports[count - 1][0]);
        if (i == 0) {
            add_init_file(s); // the others get it with the data
            s->first = "--wsrep-new-cluster";
        }
        start(s);
        nodes[i] = s;
    }
}
