// SPDX-License-Identifier: Apache-2.0
// dtfd.c: the daemon: runs any set of roles until it is told to stop.
#include "service.h"

#include "base/log.h"

#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LISTEN_MAX = 16, PLUGINS_MAX = 64, EXIT_USAGE = 2 };

struct settings {
    unsigned roles;
    struct dtf_service_options options;
    const char *urls[LISTEN_MAX];
    const char *plugins[PLUGINS_MAX];
    size_t plugin_count;
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
    "  --data DIR         where state and records live (made if missing); needed by the coordinator\n"
    "  --memory           instead of --data: nothing survives the process\n"
    "  --listen URL       tcp://HOST:PORT or ipc:///PATH; may be repeated; default tcp://127.0.0.1:7700\n"
    "  --events URL       publish task events there\n"
    "  --join URL         executor: the coordinator to work for\n"
    "  --slots N          executor: subtasks run at once; default: the number of cores\n"
    "  --name NAME        executor: its name; default: the host's\n"
    "  --grace MS         how long running subtasks may finish at a stop; default 10000\n"
    "  --node-lease MS    a node not heard of for this long is lost; default 5000\n"
    "  --log LEVEL        debug, info, warn, error; default info\n"
    "  --help, --version\n";

enum option_id {
    ROLE = 1,
    PLUGIN,
    DATA,
    MEMORY,
    LISTEN,
    EVENTS,
    JOIN,
    SLOTS,
    NAME,
    GRACE,
    NODE_LEASE,
    LOG,
    HELP,
    VERSION
};

static const struct option long_options[] = {
    {"role", required_argument, NULL, ROLE},
    {"plugin", required_argument, NULL, PLUGIN},
    {"data", required_argument, NULL, DATA},
    {"memory", no_argument, NULL, MEMORY},
    {"listen", required_argument, NULL, LISTEN},
    {"events", required_argument, NULL, EVENTS},
    {"join", required_argument, NULL, JOIN},
    {"slots", required_argument, NULL, SLOTS},
    {"name", required_argument, NULL, NAME},
    {"grace", required_argument, NULL, GRACE},
    {"node-lease", required_argument, NULL, NODE_LEASE},
    {"log", required_argument, NULL, LOG},
    {"help", no_argument, NULL, HELP},
    {"version", no_argument, NULL, VERSION},
    {0},
};

static _Noreturn void usage(const char *problem)
{
    fprintf(stderr, "dtfd: %s (try dtfd --help)\n", problem);
    exit(EXIT_USAGE);
}

static long number(const char *option, const char *text, long min, long max)
{
    char *end, problem[200];
    long n = strtol(text, &end, 10);
    if (*text && !*end && n >= min && n <= max)
        return n;
    snprintf(problem, sizeof problem, "--%s: \"%.50s\" is no number from %ld to %ld", option, text, min, max);
    usage(problem);
}

static _Noreturn void print_and_exit(const char *text)
{
    fputs(text, stdout);
    exit(0);
}

static void take_option(struct settings *s, int id, bool *memory)
{
    struct dtf_service_options *o = &s->options;
    struct nrpc_status st;
    enum log_level level;
    switch ((enum option_id)id) {
    case ROLE:
        if (service_parse_roles(optarg, &s->roles, &st))
            usage(st.text);
        break;
    case PLUGIN:
        if (s->plugin_count == PLUGINS_MAX)
            usage("--plugin: given too often");
        s->plugins[s->plugin_count++] = optarg;
        break;
    case LISTEN:
        if (o->listen_count == LISTEN_MAX)
            usage("--listen: given too often");
        s->urls[o->listen_count++] = optarg;
        break;
    case LOG:
        if (log_level_parse(optarg, &level))
            usage("--log: there are debug, info, warn and error");
        log_set_level(level);
        break;
    case DATA:
        o->data_dir = optarg;
        break;
    case MEMORY:
        *memory = true;
        break;
    case EVENTS:
        o->event_url = optarg;
        break;
    case JOIN:
        o->join_url = optarg;
        break;
    case SLOTS:
        o->slots = (unsigned)number("slots", optarg, 1, 4096);
        break;
    case NAME:
        o->node_name = optarg;
        break;
    case GRACE:
        o->grace_ms = number("grace", optarg, 1, 86400000);
        break;
    case NODE_LEASE:
        o->node_lease_ms = number("node-lease", optarg, 500, 600000);
        break;
    case HELP:
        print_and_exit(help);
    case VERSION:
        print_and_exit("dtfd " DTF_VERSION "\n");
    }
}

static void read_options(struct settings *s, int argc, char **argv)
{
    bool memory = false;
    *s = (struct settings){.roles = DTF_ROLE_ALL};
    for (int id; (id = getopt_long(argc, argv, "", long_options, NULL)) != -1;) {
        if (id == '?')
            exit(EXIT_USAGE);
        take_option(s, id, &memory);
    }
    if (optind < argc)
        usage("only options are expected");
    if (s->roles & DTF_ROLE_COORDINATOR) {
        if (!s->options.data_dir && !memory)
            usage("--data DIR (or --memory) is needed: where state and records are to live");
        if (memory && s->options.data_dir)
            usage("--data and --memory exclude each other");
        if (!s->options.listen_count)
            s->urls[s->options.listen_count++] = "tcp://127.0.0.1:7700";
    }
    s->options.listen_urls = s->urls;
}

static sigset_t signals;

// First signal: stop in an orderly way; second: end the grace period; third: leave as after kill -9.
static void *wait_for_signals(void *service)
{
    for (int n = 0;; n++) {
        int signal_number, state;
        sigwait(&signals, &signal_number);
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state); // only the waiting may be cut short
        log_info("%s: stopping%s", strsignal(signal_number), n ? " at once" : "");
        if (n == 2)
            _exit(1);
        dtf_service_notify_stop(service);
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &state);
    }
    return NULL;
}

static void block_signals(void)
{
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int main(int argc, char **argv)
{
    struct settings s;
    struct nrpc_status st;
    struct dtf_service *service;
    log_set_level(LOG_INFO);
    read_options(&s, argc, argv);
    block_signals();
    for (size_t i = 0; i < s.plugin_count; i++)
        if (dtf_load_plugin(s.plugins[i], &st)) {
            fprintf(stderr, "dtfd: %s\n", st.text);
            return 1;
        }
    if (dtf_service_start(s.roles, &s.options, &service, &st)) {
        fprintf(stderr, "dtfd: %s\n", st.text);
        return 1;
    }
    for (size_t i = 0; dtf_service_url(service, i); i++)
        printf("listening on %s\n", dtf_service_url(service, i));
    printf("ready\n");
    fflush(stdout);
    pthread_t thread;
    if (pthread_create(&thread, NULL, wait_for_signals, service))
        return 1;
    service_wait(service);
    pthread_cancel(
        thread); // it must not touch the service any more; from here on a signal just ends the process
    pthread_join(thread, NULL);
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
    dtf_service_join(service);
    return 0;
}
