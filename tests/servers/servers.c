// SPDX-License-Identifier: Apache-2.0
// servers.c: fork, exec, and asking a server until it answers; Redis. What differs between the servers is in
// struct server_kind.
#include "servers/servers_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "system/daemon.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
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

char servers_root[128];
static pid_t owner; // the test program; a child that it forked owns nothing
static struct server *servers;
static unsigned made;

// ---- asking

int servers_dial(uint16_t port)
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
size_t servers_read_some(int fd, char *out, size_t size, int timeout_ms)
{
    struct pollfd p = {fd, POLLIN, 0};
    ssize_t n = poll(&p, 1, timeout_ms) == 1 ? read(fd, out, size) : 0;
    return n > 0 ? (size_t)n : 0;
}

void server_ask(const struct server *s, const char *command, char *answer, size_t size)
{
    char text[900];
    size_t n = 0;
    int fd = servers_dial(s->port);
    *answer = 0;
    if (fd < 0)
        return;
    if (*s->password) {
        int auth_size = snprintf(text, sizeof text, "AUTH %s\r\n", s->password);
        if (write(fd, text, (size_t)auth_size) != auth_size ||
            !servers_read_some(fd, text, sizeof text, ANSWER_MS))
            size = 1;
    }
    // The end of an answer is the server's goodbye.
    int text_size = snprintf(text, sizeof text, "%s\r\nQUIT\r\n", command);
    if (size > 1 && write(fd, text, (size_t)text_size) == text_size)
        for (size_t got; n < size - 1 && (got = servers_read_some(fd, answer + n, size - 1 - n, ANSWER_MS));)
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

// ---- processes

_Noreturn void servers_fail(const struct server *s, const char *what)
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
static void become(const struct server *s, char *const *argv, int log, pid_t parent)
{
    if (s->uid && (setgroups(0, NULL) || setgid(s->gid) || setuid(s->uid)))
        _exit(1);
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
pid_t servers_run(const struct server *s, char *const *argv)
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
        become(s, argv, log, parent);
    close(log);
    return pid;
}

int servers_wait_for(pid_t pid)
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
    (void)servers_wait_for(s->pid);
    s->pid = 0;
}

// Below the ports that the system gives to connections, so that nobody takes it while the server is down.
uint16_t servers_free_port(void)
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
    if (!f || fprintf(f, "%s%s%u\n", s->lines, s->kind->port, s->port) < 0 || fclose(f))
        servers_fail(s, "its configuration cannot be written");
}

static bool start_once(struct server *s)
{
    char *argv[] = {(char *)s->kind->program, NULL, NULL, NULL};
    char config[300];
    snprintf(config, sizeof config, "%s%s", s->kind->argument, s->config);
    argv[1] = config;
    argv[2] = (char *)(s->first ? s->first : s->kind->last);
    bool is_new = mkdir(s->data, 0700) == 0;
    if (is_new)
        servers_mount(s);
    if (is_new && s->uid && chown(s->data, s->uid, s->gid))
        servers_fail(s, "its data folder cannot be given away");
    if (is_new && s->kind->install && !s->kind->install(s))
        servers_fail(s, "its data cannot be made");
    struct stat log;
    s->log_bytes = stat(s->log, &log) == 0 ? log.st_size : 0;
    s->pid = servers_run(s, argv);
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
        servers_fail(s, "it did not get ready");
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
    if (s->pid)
        return;
    servers_unmount(s);
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
    if (servers_wait_for(pid) != 0) {
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
    daemon_remove(servers_root);
}

struct server *servers_create(const struct server_kind *kind)
{
    struct server *s = mem_calloc(1, sizeof *s);
    if (!owner) {
        owner = getpid();
        daemon_folder(servers_root, sizeof servers_root);
        atexit(end_all);
    }
    s->kind = kind;
    snprintf(s->folder, sizeof s->folder, "%s/%s-%u", servers_root, kind->name, ++made);
    snprintf(s->data, sizeof s->data, "%s/data", s->folder);
    snprintf(s->config, sizeof s->config, "%s/config", s->folder);
    snprintf(s->log, sizeof s->log, "%s/log", s->folder);
    snprintf(s->socket, sizeof s->socket, "%s/socket", s->folder);
    s->next = servers;
    servers = s;
    if (mkdir(s->folder, 0700))
        servers_fail(s, "its folder cannot be made");
    return s;
}

void servers_add_lines(struct server *s, const char *format, ...)
{
    va_list args;
    size_t n = strlen(s->lines);
    va_start(args, format);
    int added = vsnprintf(s->lines + n, sizeof s->lines - n, format, args);
    va_end(args);
    if (added < 0 || (size_t)added >= sizeof s->lines - n)
        servers_fail(s, "its configuration is too long");
}

// The port was free a moment ago: another test program may have been faster.
void servers_start_first(struct server *s)
{
    for (int i = 0; i < STARTS_MAX; i++) {
        s->port = servers_free_port();
        write_config(s);
        if (start_once(s)) {
            s->first = NULL;
            return;
        }
    }
    servers_fail(s, "it did not get ready");
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
    servers_unmount(s);
    daemon_remove(s->folder);
    free(s);
}

struct server *server_redis(const struct server_redis_options *o)
{
    static const struct server_kind redis = {"redis", NULL, redis_answers, "redis-server", "", NULL, "port "};
    static const struct server_redis_options none;
    struct server *s = servers_create(&redis);
    o = o ? o : &none;
    snprintf(s->password, sizeof s->password, "%s", o->password ? o->password : "");
    servers_add_lines(s, "bind 127.0.0.1\ndir %s\nunixsocket %s\nsave \"\"\nrepl-diskless-sync-delay 0\n",
                      s->data, s->socket);
    servers_add_lines(s, "appendonly %s\nappendfsync everysec\n", o->aof ? "yes" : "no");
    if (o->password)
        servers_add_lines(s, "requirepass %s\nmasterauth %s\n", o->password, o->password);
    if (o->maxmemory)
        servers_add_lines(s, "maxmemory %s\n", o->maxmemory);
    if (o->replica_of)
        servers_add_lines(s, "replicaof 127.0.0.1 %u\n", o->replica_of->port);
    s->is_replica = o->replica_of;
    s->disk_mib = o->disk_mib;
    servers_add_lines(s, "%s\n", o->config ? o->config : "");
    servers_start_first(s);
    snprintf(s->url, sizeof s->url, "redis://%s%s%s127.0.0.1:%u", *s->password ? ":" : "", s->password,
             *s->password ? "@" : "", s->port);
    return s;
}

struct server *server_sentinel(const struct server_sentinel_options *o)
{
    static const struct server_kind sentinel = {"sentinel", NULL,         sentinel_answers, "redis-server",
                                                "",         "--sentinel", "port "};
    struct server *s = servers_create(&sentinel);
    const char *name = o->name ? o->name : "dtf";
    snprintf(s->database, sizeof s->database, "%s", name);
    servers_add_lines(s, "bind 127.0.0.1\ndir %s\nsentinel monitor %s 127.0.0.1 %u 1\n", s->data, name,
                      o->master->port);
    servers_add_lines(s, "sentinel down-after-milliseconds %s %d\nsentinel failover-timeout %s 2000\n", name,
                      o->down_after_ms ? o->down_after_ms : 500, name);
    if (*o->master->password)
        servers_add_lines(s, "sentinel auth-pass %s %s\n", name, o->master->password);
    servers_start_first(s);
    snprintf(s->url, sizeof s->url, "redis://127.0.0.1:%u", s->port);
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
