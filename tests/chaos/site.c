// SPDX-License-Identifier: Apache-2.0
// site.c: starting it all, and the addresses of everything.
#include "chaos/site.h"

#include "base/clock.h"
#include "base/ids.h"
#include "base/mem.h"
#include "chaos/errand.h"
#include "chaos/look.h"
#include "system/daemon.h"

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ENVIRONMENT_MAX = 8, PORT_FIRST = 10000, PORTS = 20000 };

// Below the ports that the system gives to connections: it is taken again after every restart.
static uint16_t free_port(void)
{
    for (;;) {
        struct sockaddr_in a = {.sin_family = AF_INET};
        a.sin_port = htons((uint16_t)(PORT_FIRST + ids_random() % PORTS));
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        bool is_free = bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
        close(fd);
        if (is_free)
            return ntohs(a.sin_port);
    }
}

// ---- processes

struct command {
    const char *argv[PROGRAM_ARGUMENTS];
    char texts[PROGRAM_ARGUMENTS][280];
    const char *environment[ENVIRONMENT_MAX];
    char environment_text[800];
    int count, texts_count;
};

static void add(struct command *c, const char *name, const char *value)
{
    c->argv[c->count++] = name;
    c->argv[c->count++] = value;
}

__attribute__((format(printf, 3, 4))) static void add_text(struct command *c, const char *name,
                                                           const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = c->texts[c->texts_count++];
    vsnprintf(text, sizeof *c->texts, format, args);
    va_end(args);
    add(c, name, text);
}

static void split_environment(struct command *c, const char *text)
{
    int n = 0;
    snprintf(c->environment_text, sizeof c->environment_text, "%s", text);
    char *rest = c->environment_text;
    for (char *entry; n < ENVIRONMENT_MAX - 1 && (entry = strsep(&rest, " "));)
        c->environment[n++] = entry;
}

// With DTF_OTHER_BIN, every second process is another build's, which is there; with DTF_FIRST_BIN, all
// others.
static void add_program(struct command *c, unsigned i)
{
    const char *other = getenv(i % 2 ? "DTF_OTHER_BIN" : "DTF_FIRST_BIN");
    char plugin[280];
    if (other)
        snprintf(c->texts[c->texts_count], sizeof *c->texts, "%.200s/dtfd", other);
    else
        daemon_path(c->texts[c->texts_count], sizeof *c->texts, "dtfd");
    daemon_path(plugin, sizeof plugin, "errand.so"); // this test's own
    c->argv[c->count++] = c->texts[c->texts_count++];
    add_text(c, "--plugin", "%s", plugin);
    add(c, "--log", "info");
}

void site_start_coordinator(struct site *s, unsigned i)
{
    struct command c = {0};
    add_program(&c, i);
    add(&c, "--role", "coordinator");
    add(&c, "--node-lease", "1000");
    add_text(&c, "--listen", "tcp://127.0.0.1:%u", s->ports[i]);
    for (unsigned k = 0; k < s->options.shards; k++)
        add_text(&c, "--redis", "redis://127.0.0.1:%u", link_port(s->to_redis[i][k]));
    add_text(&c, "--mysql", "mysql://dtf:secret@127.0.0.1:%u/dtf", link_port(s->to_mysql[i]));
    if (s->options.environment_coordinators & 1u << i)
        split_environment(&c, s->options.environment);
    program_start(&s->coordinators[i], c.argv, c.environment);
}

void site_start_node(struct site *s, unsigned i)
{
    struct command c = {0};
    add_program(&c, i);
    add(&c, "--role", "executor");
    add(&c, "--slots", "4");
    add_text(&c, "--name", "node%u", i);
    for (unsigned k = 0; k < s->options.coordinators; k++)
        add_text(&c, "--join", "tcp://127.0.0.1:%u", link_port(s->to_coordinator[i][k]));
    if (s->options.environment_nodes & 1u << i)
        split_environment(&c, s->options.environment);
    program_start(&s->nodes[i], c.argv, c.environment);
}

// ---- all of it

static void make_links(struct site *s)
{
    for (unsigned i = 0; i < s->options.coordinators; i++) {
        s->ports[i] = free_port();
        s->to_mysql[i] = link_start(server_port(s->mariadb));
        s->from_clients[i] = link_start(s->ports[i]);
        for (unsigned k = 0; k < s->options.shards; k++)
            s->to_redis[i][k] = link_start(server_port(s->redis[k]));
        for (unsigned k = 0; k < s->options.nodes; k++)
            s->to_coordinator[k][i] = link_start(s->ports[i]);
    }
}

void site_url(const struct site *s, unsigned coordinator, bool through_link, char *out, size_t size)
{
    snprintf(out, size, "tcp://127.0.0.1:%u",
             (unsigned)(through_link ? link_port(s->from_clients[coordinator]) : s->ports[coordinator]));
}

bool site_is_ready(const struct site *s)
{
    bool ready = true;
    for (unsigned i = 0; i < s->options.coordinators; i++)
        ready = ready && program_said(&s->coordinators[i], "ready\n");
    for (unsigned i = 0; i < s->options.nodes; i++)
        ready = ready && program_said(&s->nodes[i], "ready\n");
    return ready;
}

static bool wait_until_ready(const struct site *s)
{
    int64_t until_us = clock_mono_us() + SITE_START_MS * 1000ll;
    while (clock_mono_us() < until_us && !site_is_ready(s))
        (void)poll(NULL, 0, 5);
    return site_is_ready(s);
}

// Servers have our environment.
static void start_redis(struct site *s)
{
    struct command c = {0};
    char name[40];
    if (s->options.environment_redis)
        split_environment(&c, s->options.environment);
    for (int i = 0; c.environment[i]; i++) {
        const char *value = strchr(c.environment[i], '=') + 1;
        snprintf(name, sizeof name, "%.*s", (int)(value - 1 - c.environment[i]), c.environment[i]);
        setenv(name, value, 1);
    }
    for (unsigned i = 0; i < s->options.shards; i++)
        s->redis[i] =
            server_redis(&(struct server_redis_options){.aof = true, .disk_mib = s->options.redis_disk_mib});
    for (int i = 0; c.environment[i]; i++) {
        snprintf(name, sizeof name, "%.*s", (int)strcspn(c.environment[i], "="), c.environment[i]);
        unsetenv(name);
    }
}

bool site_clock(time_t **ahead_s, char *environment, size_t size)
{
    static char path[100];
    char library[300];
    snprintf(path, sizeof path, "/tmp/dtf-clock-XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0 || ftruncate(fd, sizeof **ahead_s))
        return false;
    *ahead_s = mmap(NULL, sizeof **ahead_s, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    daemon_path(library, sizeof library, "skew.so");
    snprintf(environment, size, "LD_PRELOAD=%s CLOCK_SKEW=%s", library, path);
    return *ahead_s != MAP_FAILED;
}

bool site_start(struct site *s, const struct site_options *o, struct server *mariadb)
{
    *s = (struct site){.options = *o, .mariadb = mariadb};
    daemon_folder(s->folder, sizeof s->folder);
    snprintf(s->runs, sizeof s->runs, "%s/runs", s->folder);
    if (mkdir(s->runs, 0700) || setenv(ERRAND_RUNS, s->runs, 1) || !look_empty_database(mariadb))
        return false;
    start_redis(s);
    make_links(s);
    for (unsigned i = 0; i < o->coordinators; i++) {
        char url[60];
        snprintf(s->coordinators[i].log, sizeof s->coordinators[i].log, "%s/coordinator%u.log", s->folder, i);
        site_url(s, i, true, url, sizeof url);
        strcat(strcat(s->client_urls, i ? "," : ""), url);
        site_start_coordinator(s, i);
    }
    for (unsigned i = 0; i < o->nodes; i++) {
        snprintf(s->nodes[i].log, sizeof s->nodes[i].log, "%s/node%u.log", s->folder, i);
        site_start_node(s, i);
    }
    return wait_until_ready(s);
}

void site_stop(struct site *s, bool keep_folder)
{
    for (unsigned i = 0; i < SITE_NODES; i++)
        (void)program_end(&s->nodes[i], SIGKILL);
    for (unsigned i = 0; i < SITE_COORDINATORS; i++)
        (void)program_end(&s->coordinators[i], SIGKILL);
    for (unsigned i = 0; i < SITE_COORDINATORS; i++) {
        link_stop(s->to_mysql[i]);
        link_stop(s->from_clients[i]);
        for (unsigned k = 0; k < SITE_SHARDS; k++)
            link_stop(s->to_redis[i][k]);
        for (unsigned k = 0; k < SITE_NODES; k++)
            link_stop(s->to_coordinator[k][i]);
    }
    for (unsigned i = 0; i < SITE_SHARDS; i++)
        server_destroy(s->redis[i]);
    if (!keep_folder)
        daemon_remove(s->folder);
}

// ---- what is left in Redis

static const char leftovers[] =
    "EVAL \"local o = {} for _, k in ipairs(redis.call('KEYS', '*')) do "
    "local n = string.match(k, '^dtf:{%d+}:(.*)$') or k "
    "if string.match(n, '^[tpswcgfrh]:%d') or string.match(n, '^phase:') or string.match(n, '^taken:') "
    "or string.find(' claims deadlines points due ', ' ' .. n .. ' ', 1, true) "
    "or (n == 'gone' and redis.call('ZCOUNT', k, 0, '+inf') > 0) "
    "or (n == 'gone_read' and redis.call('HLEN', k) > redis.call('ZCARD', string.sub(k, 1, -6))) "
    "or redis.call('PTTL', k) ~= -1 then o[#o + 1] = n end end return table.concat(o, ' ')\" 0";
_Static_assert(sizeof leftovers < 800, "server_ask takes one line");

// A bulk string: $<length>\r\n<text>\r\n.
void site_leftovers(const struct server *redis, char *out, size_t size)
{
    char answer[8000];
    *out = 0;
    server_ask(redis, leftovers, answer, sizeof answer);
    char *text = strstr(answer, "\r\n");
    if (*answer != '$' || !text) {
        snprintf(out, size, "no answer: %.60s", answer);
        return;
    }
    text[strcspn(text + 2, "\r") + 2] = 0;
    snprintf(out, size, "%s", text + 2);
}
