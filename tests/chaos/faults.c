// SPDX-License-Identifier: Apache-2.0
// faults.c: the kinds of faults, one table.
#include "chaos/faults.h"

#include "base/clock.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

enum target { COORDINATOR, NODE, SHARD, DATABASE };

struct fault_kind {
    const char *name;
    enum target target;
    void (*begin)(struct site *s, const struct fault *f);
    void (*heal)(struct site *s, const struct fault *f);
    long least_ms, most_ms; // how long it lasts
    bool loses_state;
    unsigned weight;
};

// ---- processes

static void kill_coordinator(struct site *s, const struct fault *f)
{
    (void)program_end(&s->coordinators[f->target], SIGKILL);
}

static void start_coordinator(struct site *s, const struct fault *f)
{
    if (!program_runs(&s->coordinators[f->target]))
        site_start_coordinator(s, f->target);
}

static void stop_coordinator(struct site *s, const struct fault *f)
{
    program_signal(&s->coordinators[f->target], SIGSTOP);
}

static void continue_coordinator(struct site *s, const struct fault *f)
{
    program_signal(&s->coordinators[f->target], SIGCONT);
}

static void kill_node(struct site *s, const struct fault *f)
{
    (void)program_end(&s->nodes[f->target], SIGKILL);
}

static void start_node(struct site *s, const struct fault *f)
{
    if (!program_runs(&s->nodes[f->target]))
        site_start_node(s, f->target);
}

static void stop_node(struct site *s, const struct fault *f)
{
    program_signal(&s->nodes[f->target], SIGSTOP);
}

static void continue_node(struct site *s, const struct fault *f)
{
    program_signal(&s->nodes[f->target], SIGCONT);
}

static struct server *server_of(struct site *s, const struct fault *f)
{
    return f->kind->target == SHARD ? s->redis[f->target] : s->mariadb;
}

static void kill_server(struct site *s, const struct fault *f)
{
    server_kill(server_of(s, f));
}

static void wipe_server(struct site *s, const struct fault *f)
{
    server_kill(server_of(s, f));
    server_wipe(server_of(s, f));
}

static void start_server(struct site *s, const struct fault *f)
{
    server_start(server_of(s, f));
}

// It goes back in time by as long as the fault lasts: as with an old dump, a replica that lagged, or after a
// power failure.
static void save_server(struct site *s, const struct fault *f)
{
    server_save(server_of(s, f));
}

static void go_back(struct site *s, const struct fault *f)
{
    server_kill(server_of(s, f));
    server_go_back(server_of(s, f));
    server_start(server_of(s, f));
}

static void stop_server(struct site *s, const struct fault *f)
{
    server_resume(server_of(s, f)); // server_pause waits until it stops
    server_pause(server_of(s, f));
}

static void continue_server(struct site *s, const struct fault *f)
{
    server_resume(server_of(s, f));
}

static void flush_server(struct site *s, const struct fault *f)
{
    char answer[100];
    server_ask(server_of(s, f), "FLUSHALL", answer, sizeof answer);
}

static void nothing(struct site *s, const struct fault *f)
{
    (void)s;
    (void)f;
}

// ---- links; `other` says which links of the target, and how

enum { LINKS_REDIS, LINKS_MYSQL, LINKS_CLIENTS, LINKS_NODES, LINKS };

static void set_links(struct site *s, const struct fault *f, enum link_mode mode)
{
    unsigned c = f->target;
    unsigned which = f->other / LINK_MODES % LINKS;
    for (unsigned k = 0; k < s->options.shards && which == LINKS_REDIS; k++)
        link_set(s->to_redis[c][k], mode);
    for (unsigned k = 0; k < s->options.nodes && which == LINKS_NODES; k++)
        link_set(s->to_coordinator[k][c], mode);
    if (which == LINKS_MYSQL)
        link_set(s->to_mysql[c], mode);
    if (which == LINKS_CLIENTS)
        link_set(s->from_clients[c], mode);
}

static enum link_mode mode_of(const struct fault *f)
{
    return (enum link_mode)(LINK_DOWN + f->other % (LINK_MODES - LINK_DOWN));
}

static void trouble_links(struct site *s, const struct fault *f)
{
    set_links(s, f, mode_of(f));
}

static void heal_links(struct site *s, const struct fault *f)
{
    set_links(s, f, LINK_OPEN);
}

// From the stores, the clients and the nodes, but for those with an even number: they are cut off together.
static void cut_off(struct site *s, const struct fault *f, enum link_mode mode)
{
    unsigned c = f->target;
    for (unsigned k = 0; k < s->options.shards; k++)
        link_set(s->to_redis[c][k], mode);
    link_set(s->to_mysql[c], mode);
    link_set(s->from_clients[c], mode);
    for (unsigned k = 0; k < s->options.nodes; k++)
        for (unsigned i = 0; i < s->options.coordinators; i++)
            if ((k % 2 == 0) != (i == c))
                link_set(s->to_coordinator[k][i], mode);
}

static void cut_pair_off(struct site *s, const struct fault *f)
{
    cut_off(s, f, mode_of(f));
}

static void heal_pair(struct site *s, const struct fault *f)
{
    cut_off(s, f, LINK_OPEN);
}

static void step_clock(struct site *s, const struct fault *f)
{
    if (s->ahead_s)
        *s->ahead_s = (f->other % 2 ? 1 : -1) * (f->other % 3 ? 3600 : 40 * 86400);
}

static void set_clock(struct site *s, const struct fault *f)
{
    (void)f;
    if (s->ahead_s)
        *s->ahead_s = 0;
}

static void trouble_node_links(struct site *s, const struct fault *f)
{
    for (unsigned c = 0; c < s->options.coordinators; c++)
        link_set(s->to_coordinator[f->target][c], mode_of(f));
}

static void heal_node_links(struct site *s, const struct fault *f)
{
    for (unsigned c = 0; c < s->options.coordinators; c++)
        link_set(s->to_coordinator[f->target][c], LINK_OPEN);
}

static const struct fault_kind kinds[] = {
    {"kill coordinator", COORDINATOR, kill_coordinator, start_coordinator, 0, 1500, false, 4},
    {"stop coordinator", COORDINATOR, stop_coordinator, continue_coordinator, 300, 6000, false, 3},
    {"kill node", NODE, kill_node, start_node, 0, 1500, false, 4},
    {"stop node", NODE, stop_node, continue_node, 300, 3000, false, 2},
    {"kill Redis", SHARD, kill_server, start_server, 0, 1500, true, 2},
    {"wipe Redis", SHARD, wipe_server, start_server, 0, 1500, true, 3},
    {"flush Redis", SHARD, flush_server, nothing, 0, 0, true, 3},
    {"step back Redis", SHARD, save_server, go_back, 100, 2500, true, 5},
    {"stop Redis", SHARD, stop_server, continue_server, 300, 3000, false, 2},
    {"kill MySQL", DATABASE, kill_server, start_server, 0, 1500, false, 3},
    {"stop MySQL", DATABASE, stop_server, continue_server, 300, 3000, false, 2},
    {"links of coordinator", COORDINATOR, trouble_links, heal_links, 50, 3000, false, 8},
    {"cut off", COORDINATOR, cut_pair_off, heal_pair, 100, 3000, false, 3},
    {"step the clock", COORDINATOR, step_clock, set_clock, 100, 2500, false, 3},
    {"links of node", NODE, trouble_node_links, heal_node_links, 50, 3000, false, 3},
};
enum { KINDS = sizeof kinds / sizeof *kinds };

// ---- the plan

static const struct fault_kind *choose_kind(void)
{
    unsigned all = 0;
    for (size_t i = 0; i < KINDS; i++)
        all += kinds[i].weight;
    unsigned at = (unsigned)random() % all;
    size_t i = 0;
    for (; at >= kinds[i].weight; i++)
        at -= kinds[i].weight;
    return &kinds[i];
}

void faults_plan(struct faults *f, const struct site_options *o, int64_t length_ms)
{
    const unsigned counts[] = {
        [COORDINATOR] = o->coordinators, [NODE] = o->nodes, [SHARD] = o->shards, [DATABASE] = 1};
    *f = (struct faults){.count = 1 + (size_t)random() % FAULTS_MAX};
    for (size_t i = 0; i < f->count; i++) {
        const struct fault_kind *k = choose_kind();
        f->list[i] = (struct fault){
            .kind = k,
            .target = (unsigned)random() % counts[k->target],
            .other = (unsigned)random() % 1000,
            .at_ms = i && random() % 3 == 0 ? f->list[i - 1].at_ms : random() % length_ms,
            .for_ms = k->least_ms + random() % (k->most_ms - k->least_ms + 1),
        };
    }
}

bool fault_brings_back(const struct fault *f)
{
    return f->kind->heal == go_back;
}

bool fault_loses_state(const struct fault *f)
{
    return f->kind->loses_state;
}

size_t faults_print(const struct faults *f, char *out, size_t size)
{
    static const char *const links[LINKS] = {"Redis", "MySQL", "clients", "nodes"};
    static const char *const modes[LINK_MODES] = {"open",       "down",         "stalled",
                                                  "stalled to", "stalled from", "slow"};
    size_t n = 0;
    *out = 0;
    for (size_t i = 0; i < f->count && n < size; i++) {
        const struct fault *x = &f->list[i];
        bool is_links = x->kind->begin == trouble_links || x->kind->begin == trouble_node_links ||
                        x->kind->begin == cut_pair_off;
        n += (size_t)snprintf(out + n, size - n, "%s%s %u", i ? "; " : "", x->kind->name, x->target);
        if (is_links && n < size)
            n += (size_t)snprintf(out + n, size - n, " %s%s%s",
                                  x->kind->begin == trouble_links ? links[x->other / LINK_MODES % LINKS] : "",
                                  x->kind->begin == trouble_links ? " " : "", modes[mode_of(x)]);
        if (n < size)
            n += (size_t)snprintf(out + n, size - n, " at %lld ms for %lld", (long long)x->at_ms,
                                  (long long)x->for_ms);
    }
    return n < size ? n : size - 1;
}

// ---- doing it

static int64_t due_us(const struct fault *f, int64_t start_us)
{
    if (f->healed_us)
        return CLOCK_NEVER;
    return f->begun_us ? f->begun_us + f->for_ms * 1000 : start_us + f->at_ms * 1000;
}

static size_t next_due(const struct faults *f, int64_t start_us)
{
    size_t next = 0;
    for (size_t i = 1; i < f->count; i++)
        if (due_us(&f->list[i], start_us) < due_us(&f->list[next], start_us))
            next = i;
    return next;
}

// What two faults did to one thing may have been healed in the wrong order.
static void heal_all(struct site *s)
{
    for (unsigned i = 0; i < s->options.shards; i++) {
        server_resume(s->redis[i]);
        server_start(s->redis[i]);
    }
    server_resume(s->mariadb);
    server_start(s->mariadb);
    for (unsigned i = 0; i < s->options.coordinators; i++)
        if (program_runs(&s->coordinators[i]))
            program_signal(&s->coordinators[i], SIGCONT);
        else
            site_start_coordinator(s, i);
    for (unsigned i = 0; i < s->options.nodes; i++)
        if (program_runs(&s->nodes[i]))
            program_signal(&s->nodes[i], SIGCONT);
        else
            site_start_node(s, i);
}

void faults_do(struct faults *f, struct site *s, void (*before)(void *user, size_t fault), void *user)
{
    int64_t start_us = clock_mono_us();
    for (;;) {
        size_t i = next_due(f, start_us);
        struct fault *x = &f->list[i];
        int64_t due = due_us(x, start_us), now_us = clock_mono_us();
        if (due == CLOCK_NEVER)
            break;
        if (due > now_us) {
            (void)poll(NULL, 0, (int)((due - now_us) / 1000) + 1);
            continue;
        }
        if (x->begun_us) {
            x->kind->heal(s, x);
            x->healed_us = clock_mono_us();
            continue;
        }
        if (x->kind->loses_state)
            before(user, i);
        x->begun_us = clock_mono_us();
        x->kind->begin(s, x);
    }
    heal_all(s);
}
