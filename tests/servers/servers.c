// SPDX-License-Identifier: Apache-2.0
// servers.c: fork, exec, and asking a server until it answers. What differs between the servers is in struct
// server_kind.
#include "servers/servers.h"

#include "base/clock.h"
#include "base/mem.h"
#include "system/daemon.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { START_MS = 30000, ANSWER_MS = 1000, RETRY_MS = 5, PORT_FIRST = 10000, PORTS = 20000, STARTS_MAX = 5 };

struct server_kind {
    const char *name;
    bool (*install)(struct server *s); // makes the data folder's content; NULL: nothing is needed
    bool (*answers)(struct server *s); // it can be used
    const char *program;
    const char *argument; // before the path of the configuration; "": none
    const char *last;     // after it
};

struct server {
    const struct server_kind *kind;
    struct server *next;
    pid_t pid;
    uint16_t port;
    bool is_replica;
    char folder[200]; // configuration, log and socket
    char data[220];
    char config[220], log[220], socket[220];
    char user[40], password[80], database[80];
    char url[300];
    char lines[1000]; // of the configuration, without the port
};

static char root[128]; // the temporary folder
static pid_t owner;    // the test program; a child that it forked owns nothing
static struct server *servers;
static unsigned made;

// ---- asking

static int dial(uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
        return fd;
    close(fd);
    return -1;
}

// Reads what there is, once there is something.
static size_t read_some(int fd, char *out, size_t size, int timeout_ms)
{
    struct pollfd p = {fd, POLLIN, 0};
    ssize_t n = poll(&p, 1, timeout_ms) == 1 ? read(fd, out, size) : 0;
    return n > 0 ? (size_t)n : 0;
}

void server_ask(const struct server *s, const char *command, char *answer, size_t size)
{
    char text[600];
    size_t n = 0;
    int fd = dial(s->port);
    *answer = 0;
    if (fd < 0)
        return;
    if (*s->password) {
        int auth_size = snprintf(text, sizeof text, "AUTH %s\r\n", s->password);
        if (write(fd, text, (size_t)auth_size) != auth_size || !read_some(fd, text, sizeof text, ANSWER_MS))
            size = 1;
    }
    // The end of an answer is the server's goodbye.
    int text_size = snprintf(text, sizeof text, "%s\r\nQUIT\r\n", command);
    if (size > 1 && write(fd, text, (size_t)text_size) == text_size)
        for (size_t got; n < size - 1 && (got = read_some(fd, answer + n, size - 1 - n, ANSWER_MS));)
            n += got;
    answer[n] = 0;
    if (n >= 5 && !strcmp(answer + n - 5, "+OK\r\n"))
        answer[n - 5] = 0; // QUIT's
    close(fd);
}

static bool redis_answers(struct server *s)
{
    char text[8000];
    server_ask(s, "PING", text, sizeof text);
    if (strcmp(text, "+PONG\r\n") != 0 || !s->is_replica)
        return !strcmp(text, "+PONG\r\n");
    server_ask(s, "INFO replication", text, sizeof text);
    return strstr(text, "master_link_status:up") || strstr(text, "role:master"); // it may have been promoted
}

static bool sentinel_answers(struct server *s)
{
    char text[8000], command[120];
    snprintf(command, sizeof command, "SENTINEL REPLICAS %s", s->database);
    server_ask(s, command, text, sizeof text);
    return strstr(text, "master-link-status\r\n$2\r\nok");
}

// MariaDB speaks first: length, sequence number, and the version of its protocol or an error.
static bool mariadb_answers(struct server *s)
{
    char hello[5] = "";
    int fd = dial(s->port);
    size_t n = fd < 0 ? 0 : read_some(fd, hello, sizeof hello, ANSWER_MS);
    close(fd);
    return n == sizeof hello && hello[4] == 10;
}

// ---- processes

static void fail(const struct server *s, const char *what)
{
    char line[1000];
    fprintf(stderr, "%s: %s; its log:\n", s->kind->name, what);
    FILE *log = fopen(s->log, "re");
    while (log && fgets(line, sizeof line, log))
        fputs(line, stderr);
    if (log)
        fclose(log);
    exit(1);
}

// Between fork and exec: only what a signal handler may call.
static void become(char *const *argv, int log, pid_t parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    int null = open("/dev/null", O_RDONLY);
    dup2(null, 0);
    dup2(log, 1);
    dup2(log, 2);
    execvp(argv[0], argv);
    dprintf(2, "cannot run %s: errno %d\n", argv[0], errno);
    _exit(127);
}

// The servers are in /usr/sbin, where not everyone's PATH leads.
static pid_t run(const struct server *s, char *const *argv)
{
    static char path[4096];
    if (!*path) {
        snprintf(path, sizeof path, "%s:/usr/sbin:/usr/local/sbin",
                 getenv("PATH") ? getenv("PATH") : "/usr/bin:/bin");
        setenv("PATH", path, 1);
    }
    int log = open(s->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        become(argv, log, parent);
    close(log);
    return pid;
}

static int wait_for(pid_t pid)
{
    int status = -1;
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

static bool has_ended(struct server *s)
{
    if (s->pid && waitpid(s->pid, NULL, WNOHANG) == s->pid)
        s->pid = 0;
    return !s->pid;
}

static void end(struct server *s, int signal_number)
{
    if (!s->pid)
        return;
    kill(s->pid, signal_number);
    kill(s->pid, SIGCONT); // a stopped one would not see it
    (void)wait_for(s->pid);
    s->pid = 0;
}

// Below the ports that the system gives to connections, so that nobody takes it while the server is down.
static uint16_t free_port(void)
{
    static unsigned seed;
    if (!seed)
        seed = (unsigned)getpid() ^ (unsigned)clock_mono_us();
    for (;;) {
        struct sockaddr_in a = {.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)(PORT_FIRST + rand_r(&seed) % PORTS))};
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool is_free = bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
        close(fd);
        if (is_free)
            return ntohs(a.sin_port);
    }
}

// Redis and Sentinel write their configuration anew when a failover changes it, so it is written only once.
static void write_config(struct server *s)
{
    FILE *f = fopen(s->config, "we");
    if (!f || fprintf(f, "%s%s%u\n", s->lines, s->kind->install ? "port=" : "port ", s->port) < 0 ||
        fclose(f))
        fail(s, "its configuration cannot be written");
}

static bool start_once(struct server *s)
{
    char *argv[] = {(char *)s->kind->program, NULL, NULL, NULL};
    char config[300];
    snprintf(config, sizeof config, "%s%s", s->kind->argument, s->config);
    argv[1] = config;
    argv[2] = (char *)s->kind->last;
    if (mkdir(s->data, 0700) == 0 && s->kind->install && !s->kind->install(s))
        fail(s, "its data cannot be made");
    s->pid = run(s, argv);
    int64_t until_ms = clock_now_ms() + START_MS;
    while (s->pid > 0 && clock_now_ms() < until_ms && !has_ended(s)) {
        if (s->kind->answers(s))
            return !has_ended(s);
        (void)poll(NULL, 0, RETRY_MS);
    }
    end(s, SIGKILL);
    return false;
}

void server_start(struct server *s)
{
    if (!s->pid && !start_once(s))
        fail(s, "it did not get ready");
}

void server_kill(struct server *s)
{
    end(s, SIGKILL);
}

void server_terminate(struct server *s)
{
    end(s, SIGTERM);
}

void server_pause(struct server *s)
{
    int status;
    if (s->pid && kill(s->pid, SIGSTOP) == 0)
        (void)waitpid(s->pid, &status, WUNTRACED);
}

void server_resume(struct server *s)
{
    if (s->pid)
        kill(s->pid, SIGCONT);
}

void server_wipe(struct server *s)
{
    if (!s->pid)
        daemon_remove(s->data);
}

static void copy_folder(const char *from, const char *to)
{
    daemon_remove(to);
    pid_t pid = fork();
    if (pid == 0) {
        execlp("cp", "cp", "-a", "--sparse=always", from, to, (char *)NULL);
        _exit(127);
    }
    if (wait_for(pid) != 0) {
        fprintf(stderr, "cannot copy %s to %s\n", from, to);
        exit(1);
    }
}

static void saved_path(const struct server *s, char *out, size_t size)
{
    snprintf(out, size, "%s/saved", s->folder);
}

void server_save(struct server *s)
{
    char saved[240];
    saved_path(s, saved, sizeof saved);
    server_resume(s); // server_pause waits until it stops
    server_pause(s);
    if (access(s->data, F_OK) == 0)
        copy_folder(s->data, saved);
    server_resume(s);
}

void server_go_back(struct server *s)
{
    char saved[240];
    saved_path(s, saved, sizeof saved);
    if (!s->pid && access(saved, F_OK) == 0)
        copy_folder(saved, s->data);
}

// ---- making

static void end_all(void)
{
    if (getpid() != owner)
        return;
    while (servers)
        server_destroy(servers);
    daemon_remove(root);
}

static struct server *create(const struct server_kind *kind)
{
    struct server *s = mem_calloc(1, sizeof *s);
    if (!owner) {
        owner = getpid();
        daemon_folder(root, sizeof root);
        atexit(end_all);
    }
    s->kind = kind;
    snprintf(s->folder, sizeof s->folder, "%s/%s-%u", root, kind->name, ++made);
    snprintf(s->data, sizeof s->data, "%s/data", s->folder);
    snprintf(s->config, sizeof s->config, "%s/config", s->folder);
    snprintf(s->log, sizeof s->log, "%s/log", s->folder);
    snprintf(s->socket, sizeof s->socket, "%s/socket", s->folder);
    s->next = servers;
    servers = s;
    if (mkdir(s->folder, 0700))
        fail(s, "its folder cannot be made");
    return s;
}

__attribute__((format(printf, 2, 3))) static void add_lines(struct server *s, const char *format, ...)
{
    va_list args;
    size_t n = strlen(s->lines);
    va_start(args, format);
    int added = vsnprintf(s->lines + n, sizeof s->lines - n, format, args);
    va_end(args);
    if (added < 0 || (size_t)added >= sizeof s->lines - n)
        fail(s, "its configuration is too long");
}

// The port was free a moment ago: another test program may have been faster.
static void start_first(struct server *s)
{
    for (int i = 0; i < STARTS_MAX; i++) {
        s->port = free_port();
        write_config(s);
        if (start_once(s))
            return;
    }
    fail(s, "it did not get ready");
}

void server_destroy(struct server *s)
{
    if (!s)
        return;
    end(s, SIGKILL);
    for (struct server **p = &servers; *p; p = &(*p)->next)
        if (*p == s) {
            *p = s->next;
            break;
        }
    daemon_remove(s->folder);
    free(s);
}

struct server *server_redis(const struct server_redis_options *o)
{
    static const struct server_kind redis = {"redis", NULL, redis_answers, "redis-server", "", NULL};
    static const struct server_redis_options none;
    struct server *s = create(&redis);
    o = o ? o : &none;
    snprintf(s->password, sizeof s->password, "%s", o->password ? o->password : "");
    add_lines(s, "bind 127.0.0.1\ndir %s\nunixsocket %s\nsave \"\"\nrepl-diskless-sync-delay 0\n", s->data,
              s->socket);
    add_lines(s, "appendonly %s\nappendfsync everysec\n", o->aof ? "yes" : "no");
    if (o->password)
        add_lines(s, "requirepass %s\nmasterauth %s\n", o->password, o->password);
    if (o->maxmemory)
        add_lines(s, "maxmemory %s\n", o->maxmemory);
    if (o->replica_of)
        add_lines(s, "replicaof 127.0.0.1 %u\n", o->replica_of->port);
    s->is_replica = o->replica_of;
    add_lines(s, "%s\n", o->config ? o->config : "");
    start_first(s);
    snprintf(s->url, sizeof s->url, "redis://%s%s%s127.0.0.1:%u", *s->password ? ":" : "", s->password,
             *s->password ? "@" : "", s->port);
    return s;
}

struct server *server_sentinel(const struct server_sentinel_options *o)
{
    static const struct server_kind sentinel = {"sentinel",     NULL, sentinel_answers,
                                                "redis-server", "",   "--sentinel"};
    struct server *s = create(&sentinel);
    const char *name = o->name ? o->name : "dtf";
    snprintf(s->database, sizeof s->database, "%s", name);
    add_lines(s, "bind 127.0.0.1\ndir %s\nsentinel monitor %s 127.0.0.1 %u 1\n", s->data, name,
              o->master->port);
    add_lines(s, "sentinel down-after-milliseconds %s %d\nsentinel failover-timeout %s 2000\n", name,
              o->down_after_ms ? o->down_after_ms : 500, name);
    if (*o->master->password)
        add_lines(s, "sentinel auth-pass %s %s\n", name, o->master->password);
    start_first(s);
    snprintf(s->url, sizeof s->url, "redis://127.0.0.1:%u", s->port);
    return s;
}

// ---- MariaDB

static void write_init_file(const struct server *s, const char *path)
{
    FILE *f = fopen(path, "we");
    if (!f)
        fail(s, "its init file cannot be written");
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
    return wait_for(run(s, argv)) == 0;
}

struct server *server_mariadb(const struct server_mariadb_options *o)
{
    static const struct server_kind mariadb = {"mariadb",  mariadb_install,    mariadb_answers,
                                               "mariadbd", "--defaults-file=", NULL};
    static const struct server_mariadb_options none;
    struct server *s = create(&mariadb);
    struct passwd *me = getpwuid(geteuid());
    char init[240];
    o = o ? o : &none;
    snprintf(s->user, sizeof s->user, "%s", o->user ? o->user : "dtf");
    snprintf(s->password, sizeof s->password, "%s", o->password ? o->password : "secret");
    snprintf(s->database, sizeof s->database, "%s", o->database ? o->database : "dtf");
    snprintf(init, sizeof init, "%s/init.sql", s->folder);
    write_init_file(s, init);
    add_lines(s, "[mysqld]\ndatadir=%s\nsocket=%s\npid-file=%s/pid\n", s->data, s->socket, s->folder);
    add_lines(s, "tmpdir=%s\n", s->folder); // it deletes what others have in theirs
    add_lines(s, "init-file=%s\nbind-address=127.0.0.1\nskip-name-resolve\nuser=%s\n", init,
              me ? me->pw_name : "mysql");
    add_lines(s, "innodb-buffer-pool-size=16M\ninnodb-log-file-size=8M\ninnodb-flush-log-at-trx-commit=1\n"
                 "innodb-use-native-aio=0\nperformance-schema=OFF\ncharacter-set-server=utf8mb4\n");
    add_lines(s, "%s\n", o->config ? o->config : "");
    start_first(s);
    snprintf(s->url, sizeof s->url, "mysql://%s:%s@127.0.0.1:%u/%s", s->user, s->password, s->port,
             s->database);
    return s;
}

// ---- reading

const char *server_url(const struct server *s)
{
    return s->url;
}

const char *server_socket(const struct server *s)
{
    return s->socket;
}

uint16_t server_port(const struct server *s)
{
    return s->port;
}

pid_t server_pid(const struct server *s)
{
    return s->pid;
}
