// SPDX-License-Identifier: Apache-2.0
// cluster.h: a coordinator and nodes as real processes, for the features tests; and the few things that all
// of these do.
#ifndef TESTS_CLUSTER_H
#define TESTS_CLUSTER_H

#include "dtf.h"
#include "system/daemon.h"
#include "system/gate.h"

enum { CLUSTER_NODES = 3, PATIENCE_MS = 60000 };

struct cluster {
    char folder[240], data[300]; // everything of this cluster; the coordinator's data in it
    char listen[200];            // the same over all restarts
    char ledger[4300], gate[4300];
    const char *const *options; // more of the coordinator's; NULL: none
    struct daemon coordinator, nodes[CLUSTER_NODES];
    struct dtf_client *client;
};

// Makes the folder and starts a coordinator; its client is open. Everything that fails fails the test.
void cluster_start(struct cluster *c);
// With more options of the coordinator, NULL at the end, which must live as long as the cluster. If --redis
// comes first, they name the stores; else these are embedded, in `data`.
void cluster_start_with(struct cluster *c, const char *const *options);
void cluster_stop(struct cluster *c); // kills what runs, removes the folder
void cluster_restart(struct cluster *c,
                     int signal_number); // ends the coordinator by this signal, starts it again
void cluster_start_coordinator(struct cluster *c);
bool cluster_try_coordinator(struct cluster *c); // false: it ended before it was ready
void cluster_start_node(struct cluster *c, int i, const char *slots, const char *grace_ms);

uint64_t cluster_create(struct cluster *c, const struct dtf_task_param *p);
uint64_t cluster_create_gate(struct cluster *c, const char *type, const struct gate_param *g,
                             const struct dtf_task_param *more); // more: NULL, or what else is wanted
// Creates a fed task of commands, feeds `count` times the shell script, with this timeout each.
uint64_t cluster_create_commands(struct cluster *c, const struct dtf_task_param *more, const char *script,
                                 size_t count, uint32_t timeout_ms);
int cluster_health(struct cluster *c, const char *service); // as nrpc/v1/health.proto numbers it
enum { HEALTH_SERVING = 1, HEALTH_NOT_SERVING = 2 };
struct dtf_task_info cluster_status(struct cluster *c, uint64_t task);
struct dtf_task_info cluster_wait(struct cluster *c, uint64_t task); // until it has ended

// ---- files in the cluster's folder

void file_touch(const struct cluster *c, const char *name);
void file_remove(const struct cluster *c, const char *name);
size_t file_lines(const struct cluster *c, const char *name,
                  const char *prefix);                       // that begin so; 0 if there is no file
long file_number(const struct cluster *c, const char *name); // the number on its first line; 0: none yet
void file_path(const struct cluster *c, const char *name, char *out, size_t size);

// ---- waiting

int64_t cluster_now_ms(void);
void cluster_pause(void); // between two looks

// Looks until the condition holds; fails the test after `ms`.
#define WAIT_FOR(condition, ms)                                                                              \
    do {                                                                                                     \
        bool met_ = false;                                                                                   \
        for (int64_t until_ms_ = cluster_now_ms() + (ms);                                                    \
             !(met_ = (condition)) && cluster_now_ms() < until_ms_;)                                         \
            cluster_pause();                                                                                 \
        if (!met_)                                                                                           \
            fail_msg("after %d ms not yet: %s", (int)(ms), #condition);                                      \
    } while (0)

bool process_is_gone(long pid); // a zombie counts as gone
long process_rss_kib(pid_t pid);

#endif
