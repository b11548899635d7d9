// SPDX-License-Identifier: Apache-2.0
// map.c: the command map: runs a command for every item of standard input, here or on a cluster.
//
// Three threads: one reads items and hands them in (map_feed.h), one waits for signals, and the main thread
// reads results and prints them. All of it is one task, so whatever stops it (a signal, an output that cannot
// be written) cancels the task, and the main thread goes on until the task's results have ended.
#include "cli.h"

#include "base/clock.h"
#include "base/process.h"
#include "map_feed.h"
#include "map_lease.h"
#include "map_print.h"
#include "progress.h"
#include "text.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char map_help[] =
    "Each item takes the place of {} in the COMMAND's arguments, or is added as the last one. The command's "
    "output is\n"
    "printed whole when it has ended. Empty lines are no items. Fails if a command failed; lists the items "
    "then.\n"
    "Without a server everything runs in this process.\n\n"
    "  -0                      items end with a zero byte, not with a line end\n"
    "  -k, --keep-order        print in the order of the items\n"
    "  -j, --jobs SLOTS        commands at a time (default: the number of cores; with a server: no limit)\n"
    "  --retries N             run a failed command again, up to N times\n"
    "  --timeout DURATION      stop a command after this time, such as 500ms, 30s, 5m, 2h or 1d (default "
    "1d)\n"
    "  --detach                with a server: the task goes on without this program. Otherwise it is "
    "cancelled "
    "when\n"
    "                          this has not been heard of for 30 s, since it was killed, stopped (Ctrl-Z) or "
    "cut off\n\n"
    "What a command leaves running when it ends has a second to finish, and is killed then.\n";

enum {
    WAIT_MS = 30000, // for results, when there is no progress to show
    SIGNAL_AGAIN_US = 300000,
    CANCEL_AGAIN_MS = 300, // before the next try to cancel
};

struct map {
    struct cli *cli;
    // Options.
    char separator;
    bool keep_order, detach;
    uint64_t slots, retries;
    int64_t timeout_ms;
    struct template template;

    struct dtf_service *service; // NULL: there is a server
    struct dtf_client *client;
    uint64_t task;
    struct map_window window;
    struct map_feed feed;
    struct map_print print;
    struct progress progress;
    pthread_t signal_thread;
    _Atomic int signal; // the one that came
    _Atomic bool is_over;
    int failed; // the exit code: the results could not be read to their end; a message was given
};

// ---- options

static bool take_option(struct map *m, int option)
{
    switch (option) {
    case '0':
        m->separator = 0;
        return true;
    case 'k':
        return m->keep_order = true;
    case 'd':
        return m->detach = true;
    case 'j':
        return cli_number(m->cli, "-j", optarg, 1, DTF_SLOTS_MAX, &m->slots);
    case 'r':
        return cli_number(m->cli, "--retries", optarg, 0, DTF_RETRIES_MAX, &m->retries);
    case 't':
        return cli_duration(m->cli, "--timeout", optarg, DTF_SUBTASK_TIMEOUT_MAX_MS, &m->timeout_ms);
    }
    return false; // CLI_OPTION_STOP
}

static bool take_options(struct map *m, int argc, char **argv)
{
    static const struct option longs[] = {{"null", no_argument, NULL, '0'},
                                          {"keep-order", no_argument, NULL, 'k'},
                                          {"jobs", required_argument, NULL, 'j'},
                                          {"retries", required_argument, NULL, 'r'},
                                          {"timeout", required_argument, NULL, 't'},
                                          {"detach", no_argument, NULL, 'd'},
                                          CLI_COMMON_LONG};
    for (int option;
         (option = cli_option(m->cli, argc, argv, "+:0kj:" CLI_COMMON_SHORT, longs)) != CLI_OPTION_END;)
        if (!take_option(m, option))
            return false;
    if (optind == argc) {
        m->cli->exit_code =
            cli_usage(m->cli, "no command given; usage: dtf map %s", m->cli->command->synopsis);
        return false;
    }
    template_init(&m->template, (size_t)(argc - optind), argv + optind);
    m->template.max_output_bytes = DTF_COMMAND_OUTPUT_MAX;
    return true;
}

// ---- signals

// Those that end a map, and the one that ends the thread. Blocked everywhere, so that only the thread gets
// them.
static void block_signals(sigset_t *set)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGTSTP, SIGUSR1};
    signal(SIGUSR1, SIG_DFL);
    process_block_signals(numbers, sizeof numbers / sizeof *numbers, set);
    signal(SIGPIPE, SIG_IGN); // an output that cannot be written is an error like others
}

// Another signal than the first, while the server is away; 0: none for a while.
static int wait_for_another(const sigset_t *set, int64_t first_us)
{
    const struct timespec pause = {0, CANCEL_AGAIN_MS * 1000000};
    int number = sigtimedwait(set, NULL, &pause);
    bool ends = number > 0 && number != SIGUSR1 && number != SIGTSTP;
    return ends && clock_mono_us() - first_us > SIGNAL_AGAIN_US ? number : 0;
}

static _Noreturn void leave(const struct map *m, int number, const char *why)
{
    if (strstr(why, "is recorded"))
        cli_say("interrupted: %s", why);
    else
        cli_say("interrupted, but task %" PRIu64 " may go on (dtf cancel %" PRIu64 " ends it): %s", m->task,
                m->task, why);
    _exit(CLI_SIGNAL + number);
}

// Cancels the task, as soon as its server is there again. A cancel that is recorded takes effect when the
// state answers again: nobody need wait for it.
static void cancel(struct map *m, int number, const sigset_t *set)
{
    struct nrpc_status st;
    bool said = false;
    for (int64_t first_us = clock_mono_us(); !atomic_load(&m->is_over);) {
        if (!cli_is_not_reached(dtf_task_cancel(m->client, m->task, "interrupted", &st)))
            return;
        if (strstr(st.text, "is recorded") || (clock_mono_us() - first_us) / 1000 >= m->feed.gone_max_ms)
            leave(m, number, st.text);
        if (!said)
            cli_say(
                "interrupted; the task is cancelled when its server can be reached (interrupt again not to "
                "wait): %s",
                st.text);
        said = true;
        int another = wait_for_another(set, first_us);
        if (another)
            leave(m, another, st.text);
    }
}

// The first signal cancels the task, a second one ends the program immediately; unless it is the same that
// came twice, to the process and to its group, as timeout(1) sends it.
static void *wait_for_signals(void *arg)
{
    struct map *m = arg;
    sigset_t set;
    int64_t first_us = 0;
    block_signals(&set);
    for (int number; !sigwait(&set, &number) && !atomic_load(&m->is_over);) {
        if (number == SIGUSR1) // somebody else's
            continue;
        if (number == SIGTSTP) {
            dtf_service_suspend();
            continue;
        }
        if (first_us && clock_mono_us() - first_us > SIGNAL_AGAIN_US)
            _exit(CLI_SIGNAL + number);
        if (first_us)
            continue;
        first_us = clock_mono_us();
        atomic_store(&m->signal, number);
        cancel(m, number, &set);
    }
    return NULL;
}

// ---- beginning and end

static int start_service(struct map *m)
{
    struct nrpc_status st;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct dtf_service_options options = {
        .slots = m->slots                ? (unsigned)m->slots
                 : cores < 1             ? 1
                 : cores < DTF_SLOTS_MAX ? (unsigned)cores
                                         : DTF_SLOTS_MAX,
    };
    if (dtf_service_start(DTF_ROLE_ALL, &options, &m->service, &st))
        return cli_fail(&st);
    m->client = dtf_client_local(m->service);
    return CLI_OK;
}

static void describe(const struct map *m, char *out, size_t size)
{
    char line[1024];
    size_t at = 0;
    for (size_t i = 0; i < m->template.count && at < sizeof line; i++)
        at += (size_t)snprintf(line + at, sizeof line - at, "%s%s", i ? " " : "", m->template.args[i]);
    text_clean(out, size, line);
}

// A task in this process ends with it anyway.
static bool has_lease(const struct map *m)
{
    return !m->service && !m->detach;
}

static int create_task(struct map *m)
{
    char name[DTF_NAME_MAX + 1], description[DTF_DESCRIPTION_MAX + 1];
    struct nrpc_status st;
    describe(m, name, sizeof name);
    describe(m, description, sizeof description);
    struct dtf_task_param param = {
        .creator = cli_creator(),
        .creator_uid = getuid(),
        .name = name,
        .description = description,
        .type = "command",
        .timeout_ms = DTF_TASK_TIMEOUT_MAX_MS,
        .max_retries = (uint32_t)m->retries,
        .tolerated_failures = -1,
        .max_running = m->service ? 0 : (uint32_t)m->slots,
        .keep_results = true,
        .fed = true,
        .feeder_lease_ms = has_lease(m) ? MAP_LEASE_MS : 0,
    };
    return dtf_task_create(m->client, &param, &m->task, &st) ? cli_fail(&st) : CLI_OK;
}

static int open_task(struct map *m)
{
    int exit_code = m->cli->server ? cli_connect(m->cli, &m->client) : start_service(m);
    if (!exit_code)
        exit_code = create_task(m);
    if (!exit_code) // from here on each thread goes on by itself, so that one that is stopped stops
        dtf_client_set_patience(m->client, 0, NULL, NULL);
    return exit_code;
}

static void close_task(struct map *m)
{
    dtf_client_close(m->client);
    if (!m->service)
        return;
    dtf_service_notify_stop(m->service);
    dtf_service_join(m->service);
}

// ---- results

static void show_progress(struct map *m)
{
    struct progress_state state = {
        .done = m->print.done,
        .total = map_window_added(&m->window),
        .failed = m->print.failed,
        .total_known = atomic_load(&m->feed.done),
    };
    progress_draw(&m->progress, state, clock_mono_us());
}

// Reads what there is, waiting for something; false: that was all, or there is no use in going on.
static bool read_results(struct map *m, uint64_t *cursor, int64_t *answered_us)
{
    bool end = false;
    struct nrpc_status st;
    int64_t wait_ms = m->progress.on ? PROGRESS_EVERY_MS : WAIT_MS;
    int code =
        dtf_task_results(m->client, m->task, cursor, wait_ms, false, map_print_result, &m->print, &end, &st);
    if (code &&
        (!cli_is_not_reached(code) || (clock_mono_us() - *answered_us) / 1000 > m->feed.gone_max_ms)) {
        progress_hide(&m->progress);
        m->failed = cli_fail(&st);
        return false;
    }
    if (code)
        usleep(MAP_GONE_PAUSE_MS * 1000);
    else
        *answered_us = clock_mono_us();
    map_print_flush(&m->print);
    return !end;
}

static void read_all_results(struct map *m)
{
    uint64_t cursor = 0;
    int64_t answered_us = clock_mono_us();
    bool stopped = false;
    while (read_results(m, &cursor, &answered_us)) {
        if (m->print.write_error && !stopped)
            dtf_task_cancel(m->client, m->task, "the output could not be written", NULL);
        stopped = m->print.write_error;
        show_progress(m);
    }
    if (m->failed)
        dtf_task_cancel(m->client, m->task, "the results could not be read", NULL);
    progress_hide(&m->progress);
}

// ---- the outcome

// Says why the task ended early, if nobody else does.
static bool explain_end(const struct map *m)
{
    struct dtf_task_info info;
    struct nrpc_status st;
    if (m->failed || atomic_load(&m->signal) || m->print.write_error || m->feed.hand_in_failed)
        return true;
    if (dtf_task_status(m->client, m->task, &info, &st))
        return cli_fail(&st) == CLI_OK;
    if (info.status == DTF_TASK_COMPLETED)
        return true;
    cli_say("the task ended as %s%s%s", dtf_task_status_name(info.status), *info.message ? ": " : "",
            info.message);
    return false;
}

static int outcome(struct map *m)
{
    bool ended_well = explain_end(m);
    uint64_t left = map_window_added(&m->window) - m->print.done;
    int number = atomic_load(&m->signal);
    map_print_failures(&m->print);
    if (m->feed.input_failed || m->feed.hand_in_failed)
        cli_fail(&m->feed.st);
    if (m->print.write_error)
        cli_say("cannot write the output: %s", strerror(m->print.write_error));
    if (number)
        cli_say("interrupted");
    if (left && m->failed) // nobody is there to ask
        cli_say("the results of %" PRIu64 " %s were not received: they may or may not have been done", left,
                left == 1 ? "item" : "items");
    else if (left)
        cli_say("%" PRIu64 " %s not done", left, left == 1 ? "item was" : "items were");
    if (number)
        return CLI_SIGNAL + number;
    if (m->failed)
        return m->failed;
    bool all_done = ended_well && !m->print.failed && !left && !m->print.write_error &&
                    !m->feed.input_failed && !m->feed.hand_in_failed;
    return all_done ? CLI_OK : CLI_FAILED;
}

static int run_task(struct map *m)
{
    map_window_init(&m->window);
    bool show = isatty(STDERR_FILENO) && m->cli->output != CLI_QUIET;
    progress_init(&m->progress, show, clock_mono_us());
    map_print_init(&m->print, m->cli, &m->window, &m->progress, m->keep_order);
    m->feed.client = m->client;
    m->feed.task = m->task;
    m->feed.template = &m->template;
    m->feed.window = &m->window;
    m->feed.timeout_ms = (uint32_t)m->timeout_ms;
    m->feed.gone_max_ms = m->cli->patience_ms < 0 ? MAP_GONE_MS : m->cli->patience_ms;
    int exit_code = CLI_FAILED;
    if (map_feed_start(&m->feed, STDIN_FILENO, m->separator)) {
        read_all_results(m);
        map_feed_join(&m->feed);
        map_print_rest(&m->print);
        exit_code = outcome(m);
    }
    map_print_fini(&m->print);
    map_window_fini(&m->window);
    return exit_code;
}

static int run_with_signals(struct map *m)
{
    int code = pthread_create(&m->signal_thread, NULL, wait_for_signals, m);
    if (code) {
        cli_say("cannot start a thread: %s", strerror(code));
        return CLI_FAILED;
    }
    struct map_lease lease;
    bool leased = has_lease(m) && map_lease_start(&lease, m->client, m->task);
    int exit_code = leased == has_lease(m) ? run_task(m) : CLI_FAILED;
    if (leased)
        map_lease_stop(&lease);
    atomic_store(&m->is_over, true);
    pthread_kill(m->signal_thread, SIGUSR1);
    pthread_join(m->signal_thread, NULL);
    return exit_code;
}

int map_command(struct cli *cli, int argc, char **argv)
{
    struct map m = {.cli = cli, .separator = '\n', .timeout_ms = DTF_SUBTASK_TIMEOUT_MAX_MS};
    sigset_t set;
    if (!take_options(&m, argc, argv))
        return cli->exit_code;
    block_signals(&set);
    int exit_code = open_task(&m);
    if (!exit_code)
        exit_code = run_with_signals(&m);
    close_task(&m);
    return exit_code;
}
