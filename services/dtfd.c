// SPDX-License-Identifier: Apache-2.0
// dtfd.c: the daemon: runs any set of roles until it is told to stop.
#include "service.h"
#include "versions.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/process.h"

#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    LIST_MAX = 64,
    JOIN_BYTES_MAX = 4096,
    START_TIMEOUT_MS = 30000,
    START_RETRY_MS = 500,
    STOP_S = 10, // beyond the grace period
    EXIT_USAGE = 2,
};

struct list {
    const char *items[LIST_MAX];
    size_t count;
};

struct settings {
    unsigned roles;
    struct list plugins, listen, join, redis;
    const char *data, *mysql, *events, *name;
    long slots, grace_ms, node_lease_ms, start_timeout_ms, redis_shards;
    bool memory, migrate, no_quarantine;
    char join_urls[JOIN_BYTES_MAX];
    struct dtf_service_options options; // made of the above
    struct dtf_service *service;        // once it has started
};

static const char help[] =
    "usage: dtfd [OPTION]...\n"
    "Runs roles of the distributed task framework until SIGTERM or SIGINT. The first signal lets running "
    "subtasks\n"
    "finish or hands them back; the second ends the grace period.\n\n"
    "  --role LIST        manager, generator, scheduler, collector, executor, coordinator (all but the "
    "executor),\n"
    "                     all (the default); separated by commas\n"
    "  --plugin FILE.so   load task types; may be repeated\n"
    "  --listen URL       tcp://HOST:PORT or ipc:///PATH; may be repeated; default tcp://127.0.0.1:7700\n"
    "  --events URL       publish task events there\n"
    "  --node-lease MS    a node not heard of for this long is lost; default 5000\n"
    "  --no-quarantine    a node that fails what others do well gets its share of the work all the same\n"
    "  --log LEVEL        debug, info, warn, error; default info\n"
    "  --help, --version\n\n"
    "Where state and records live, one of three; needed by all roles but the executor:\n"
    "  --data DIR         in a folder (made if missing), for one process\n"
    "  --memory           nowhere: nothing survives the process\n"
    "  --redis URL        in servers that any number of processes share: the state in Redis; repeated: in "
    "several,\n"
    "                     in the same order everywhere; redis+cluster://HOST[:PORT],...: a Redis Cluster\n"
    "  --redis-shards N   parts of the state, decided at the first start; default: one a server, 16 in a "
    "cluster\n"
    "  --mysql URL        and the records in MySQL or MariaDB: mysql://USER:PASSWORD@HOST[:PORT]/DATABASE;\n"
    "                     HOST,HOST,...: nodes of a Galera cluster, or a primary and its replicas\n"
    "                     (without --redis: the environment's DTF_REDIS_URL, several separated by spaces; "
    "without\n"
    "                     --mysql: DTF_MYSQL_URL; passwords do not show in the list of processes there)\n"
    "  --start-timeout MS how long to wait for Redis and MySQL at the start; default 30000\n"
    "  --migrate          bring MySQL's tables up to date and exit; also done at every start\n\n"
    "Of the executor:\n"
    "  --join URL         the coordinator to work for; repeated, or several separated by commas: the node "
    "goes on\n"
    "                     with another when one fails\n"
    "  --slots N          subtasks run at once; default: the number of cores\n"
    "  --name NAME        its name; default: the host's\n"
    "  --grace MS         how long running subtasks may finish at a stop; default 10000\n";

static _Noreturn void usage(const char *problem)
{
    fprintf(stderr, "dtfd: %s (try dtfd --help)\n", problem);
    exit(EXIT_USAGE);
}

// ---- options

static void take_role(struct settings *s, const char *text)
{
    struct nrpc_status st;
    if (service_parse_roles(text, &s->roles, &st))
        usage(st.text);
}

static void take_log(struct settings *s, const char *text)
{
    enum log_level level;
    (void)s;
    if (log_level_parse(text, &level))
        usage("--log: there are debug, info, warn and error");
    log_set_level(level);
}

static void take_help(struct settings *s, const char *text)
{
    (void)s;
    (void)text;
    fputs(help, stdout);
    exit(0);
}

static void take_version(struct settings *s, const char *text)
{
    (void)s;
    (void)text;
    versions_print();
    exit(0);
}

enum kind { TEXT, LIST, NUMBER, FLAG, CALL, CALL_WITHOUT };

#define AT(field) .at = offsetof(struct settings, field)
static const struct row {
    const char *name;
    enum kind kind;
    size_t at;     // in struct settings: const char *, struct list, long, or bool
    long min, max; // of a number
    void (*call)(struct settings *s, const char *text);
} rows[] = {
    {"role", CALL, .call = take_role},
    {"plugin", LIST, AT(plugins)},
    {"data", TEXT, AT(data)},
    {"memory", FLAG, AT(memory)},
    {"redis", LIST, AT(redis)},
    {"redis-shards", NUMBER, AT(redis_shards), 1, 64},
    {"mysql", TEXT, AT(mysql)},
    {"migrate", FLAG, AT(migrate)},
    {"start-timeout", NUMBER, AT(start_timeout_ms), 0, 86400000},
    {"listen", LIST, AT(listen)},
    {"events", TEXT, AT(events)},
    {"join", LIST, AT(join)},
    {"slots", NUMBER, AT(slots), 1, DTF_SLOTS_MAX},
    {"name", TEXT, AT(name)},
    {"grace", NUMBER, AT(grace_ms), 1, 86400000},
    {"node-lease", NUMBER, AT(node_lease_ms), DTF_NODE_LEASE_MIN_MS, DTF_NODE_LEASE_MAX_MS},
    {"no-quarantine", FLAG, AT(no_quarantine)},
    {"log", CALL, .call = take_log},
    {"help", CALL_WITHOUT, .call = take_help},
    {"version", CALL_WITHOUT, .call = take_version},
};
enum { ROWS = sizeof rows / sizeof *rows };

static void add(struct list *l, const char *option, const char *text)
{
    char problem[200];
    if (l->count < LIST_MAX) {
        l->items[l->count++] = text;
        return;
    }
    snprintf(problem, sizeof problem, "--%s: given too often", option);
    usage(problem);
}

static long number(const struct row *r, const char *text)
{
    char *end, problem[200];
    long n = strtol(text, &end, 10);
    if (*text && !*end && n >= r->min && n <= r->max)
        return n;
    snprintf(problem, sizeof problem, "--%s: \"%.50s\" is no number from %ld to %ld", r->name, text, r->min,
             r->max);
    usage(problem);
}

static void take_option(struct settings *s, const struct row *r, const char *text)
{
    void *at = (char *)s + r->at;
    switch (r->kind) {
    case TEXT:
        *(const char **)at = text;
        break;
    case LIST:
        add(at, r->name, text);
        break;
    case NUMBER:
        *(long *)at = number(r, text);
        break;
    case FLAG:
        *(bool *)at = true;
        break;
    case CALL:
    case CALL_WITHOUT:
        r->call(s, text);
    }
}

// The urls of servers that no option gave.
static void read_environment(struct settings *s)
{
    const char *mysql = getenv("DTF_MYSQL_URL"), *redis = getenv("DTF_REDIS_URL");
    if (s->data || s->memory)
        return;
    s->mysql = s->mysql ? s->mysql : mysql && *mysql ? mysql : NULL;
    if (s->redis.count)
        return;
    static char *urls; // what the list points to
    char *rest = urls = mem_strdup(redis);
    for (char *url; (url = strsep(&rest, " "));)
        if (*url)
            add(&s->redis, "redis", url);
}

static void check_stores(const struct settings *s)
{
    bool cluster = s->mysql || s->redis.count;
    if ((s->data != NULL) + s->memory + cluster > 1)
        usage("--data, --memory, and --redis with --mysql exclude each other");
    if (s->migrate ? !s->mysql : cluster && !(s->mysql && s->redis.count))
        usage(s->migrate ? "--migrate: --mysql URL is needed" : "--redis and --mysql are needed both");
    if (!s->migrate && s->roles & DTF_ROLE_COORDINATOR && !s->data && !s->memory && !cluster)
        usage("--data DIR (or --memory, or --redis and --mysql) is needed: where state and records are to "
              "live");
}

static void join_urls(struct settings *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->join.count && n < sizeof s->join_urls; i++)
        n += (size_t)snprintf(s->join_urls + n, sizeof s->join_urls - n, "%s%s", i ? "," : "",
                              s->join.items[i]);
    if (n >= sizeof s->join_urls)
        usage("--join: the urls are too long");
}

static void read_options(struct settings *s, int argc, char **argv)
{
    struct option options[ROWS + 1] = {0};
    *s = (struct settings){.roles = DTF_ROLE_ALL, .start_timeout_ms = START_TIMEOUT_MS};
    for (int i = 0; i < ROWS; i++) {
        bool alone = rows[i].kind == FLAG || rows[i].kind == CALL_WITHOUT;
        options[i] = (struct option){rows[i].name, alone ? no_argument : required_argument, NULL, i + 1};
    }
    for (int id; (id = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (id == '?')
            exit(EXIT_USAGE);
        take_option(s, &rows[id - 1], optarg);
    }
    if (optind < argc)
        usage("only options are expected");
    if (s->migrate || s->roles & DTF_ROLE_COORDINATOR)
        read_environment(s);
    check_stores(s);
    join_urls(s);
    if (s->roles & DTF_ROLE_COORDINATOR && !s->listen.count)
        add(&s->listen, "listen", "tcp://127.0.0.1:7700");
    s->options = (struct dtf_service_options){
        .data_dir = s->data,
        .redis_urls = s->redis.items,
        .redis_url_count = s->redis.count,
        .redis_shards = (unsigned)s->redis_shards,
        .mysql_url = s->mysql,
        .listen_urls = s->listen.items,
        .listen_count = s->listen.count,
        .join_url = s->join.count ? s->join_urls : NULL,
        .slots = (unsigned)s->slots,
        .node_name = s->name,
        .grace_ms = s->grace_ms,
        .node_lease_ms = s->node_lease_ms,
        .event_url = s->events,
        .no_quarantine = s->no_quarantine,
    };
}

// ---- signals

static sigset_t signals;

// The stop takes too long: a callback does not return, and cannot be made to.
static _Noreturn void leave_without(struct dtf_service *service)
{
    char what[200] = "a subtask";
    service_waits_for(service, what, sizeof what);
    log_error("leaving as after a kill: %s", what);
    _exit(1);
}

// First signal: stop in an orderly way; second: end the grace period; third: leave as after kill -9.
static void *wait_for_signals(void *arg)
{
    struct settings *s = arg;
    for (int n = 0;;) {
        int signal_number;
        sigwait(&signals, &signal_number);
        if (signal_number == SIGRTMIN) // of ours: the service is going
            return NULL;
        if (signal_number == SIGHUP) { // of a terminal that is gone; or to read again what may have changed
            log_info("hangup: going on; what can change while it runs is read without being asked");
            continue;
        }
        if (signal_number == SIGTSTP) {
            dtf_service_suspend();
            continue;
        }
        if (signal_number == SIGALRM)
            leave_without(s->service);
        log_info("%s: stopping%s", strsignal(signal_number), n ? " at once" : "");
        if (n == 2)
            _exit(1);
        if (n++ == 0)
            alarm((unsigned)((s->grace_ms ? s->grace_ms : SERVICE_GRACE_MS) / 1000) + STOP_S);
        dtf_service_notify_stop(s->service);
    }
}

// When only the end of what runs is waited for.
static void leave(int signal_number)
{
    static const char text[] = "dtfd: a subtask has not ended: leaving as after a kill\n";
    (void)signal_number;
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    _exit(1);
}

static void block_signals(void)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGALRM, SIGTSTP};
    process_block_signals(numbers, sizeof numbers / sizeof *numbers, &signals);
    sigset_t own;
    sigemptyset(&own);
    sigaddset(&own, SIGRTMIN);
    sigaddset(&signals, SIGRTMIN);
    pthread_sigmask(SIG_BLOCK, &own, NULL);
    signal(SIGPIPE, SIG_IGN);
}

// ---- start

static int start(struct settings *s, struct nrpc_status *st)
{
    return dtf_service_start(s->roles, &s->options, &s->service, st);
}

static int migrate(struct settings *s, struct nrpc_status *st)
{
    return service_migrate(s->mysql, st);
}

// Tries until it is done, or cannot be, or time is up; while the servers of the stores are not there. A
// signal ends the process: nothing runs yet.
static void keep_trying(struct settings *s, int (*attempt)(struct settings *s, struct nrpc_status *st))
{
    const struct timespec pause = {0, START_RETRY_MS * 1000000};
    struct nrpc_status st;
    char said[sizeof st.text] = "";
    int64_t until_ms = clock_now_ms() + s->start_timeout_ms;
    for (int code; (code = attempt(s, &st));) {
        if (code != NRPC_UNAVAILABLE || !s->mysql || clock_now_ms() >= until_ms) {
            fprintf(stderr, "dtfd: %s\n", st.text);
            exit(1);
        }
        if (strcmp(said, st.text) != 0)
            log_warn("cannot start yet, will try again: %s", st.text);
        snprintf(said, sizeof said, "%s", st.text);
        int got = sigtimedwait(&signals, NULL, &pause);
        if (got == SIGTSTP)
            raise(SIGSTOP);
        else if (got > 0 && got != SIGHUP)
            exit(0);
    }
}

static void wait_until_stopped(struct settings *s)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, wait_for_signals, s))
        abort();
    service_wait(s->service);
    // It must not touch the service any more; from here on a signal just ends the process. No pthread_cancel:
    // that loads a library, for which a short process has no descriptor.
    pthread_kill(thread, SIGRTMIN);
    pthread_join(thread, NULL);
    signal(SIGALRM, leave);
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
    dtf_service_join(s->service);
}

int main(int argc, char **argv)
{
    struct settings s;
    struct nrpc_status st;
    process_open_standard();
    log_set_level(LOG_INFO);
    read_options(&s, argc, argv);
    if (!(s.roles & DTF_ROLE_EXECUTOR)) {
        process_raise_files();
        process_prefer_batches();
    }
    block_signals();
    for (size_t i = 0; i < s.plugins.count; i++)
        if (dtf_load_plugin(s.plugins.items[i], &st)) {
            fprintf(stderr, "dtfd: %s\n", st.text);
            return 1;
        }
    keep_trying(&s, s.migrate ? migrate : start);
    if (s.migrate) {
        printf("the database is up to date\n");
        return 0;
    }
    for (size_t i = 0; dtf_service_url(s.service, i); i++)
        printf("listening on %s\n", dtf_service_url(s.service, i));
    printf("ready\n");
    fflush(stdout);
    wait_until_stopped(&s);
    return 0;
}
