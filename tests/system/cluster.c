// SPDX-License-Identifier: Apache-2.0
// cluster.c: starting clusters, making tasks, looking at files.
#include "system/cluster.h"

#include "base/clock.h"
#include "base/mem.h"
#include "dtf/v1/admin.nrpc.h"
#include "dtf/v1/command.pb-c.h"
#include "nrpc/v1/health.nrpc.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { ARGS_MAX = 24 };

static void check(int code, const struct nrpc_status *st, const char *what)
{
    if (code)
        fail_msg("%s: %s (%s)", what, st->text, nrpc_code_name(code));
}

// ---- processes

bool cluster_try_coordinator(struct cluster *c)
{
    const char *args[ARGS_MAX] = {"--role",   "coordinator", "--listen", c->listen, "--plugin",     c->ledger,
                                  "--plugin", c->gate,       "--log",    "error",   "--node-lease", "1000"};
    size_t n = 12;
    bool has_stores = c->options && !strcmp(c->options[0], "--redis");
    if (!has_stores) {
        args[n++] = "--data";
        args[n++] = c->data;
    }
    for (const char *const *option = c->options; option && *option && n < ARGS_MAX - 1;)
        args[n++] = *option++;
    if (!daemon_start(&c->coordinator, "dtfd", args))
        return false;
    strcpy(c->listen, c->coordinator.url);
    return true;
}

void cluster_start_coordinator(struct cluster *c)
{
    assert_true(cluster_try_coordinator(c));
}

void cluster_start_node(struct cluster *c, int i, const char *slots, const char *grace_ms)
{
    char name[20];
    snprintf(name, sizeof name, "node%d", i);
    const char *args[] = {"--role",   "executor", "--join",   c->listen, "--slots", slots,
                          "--plugin", c->ledger,  "--plugin", c->gate,   "--log",   "error",
                          "--grace",  grace_ms,   "--name",   name,      NULL};
    assert_true(daemon_start(&c->nodes[i], "dtfd", args));
}

void cluster_start_with(struct cluster *c, const char *const *options)
{
    struct nrpc_status st;
    memset(c, 0, sizeof *c);
    c->options = options;
    strcpy(c->listen, "tcp://127.0.0.1:0");
    daemon_folder(c->folder, sizeof c->folder);
    file_path(c, "data", c->data, sizeof c->data);
    daemon_path(c->ledger, sizeof c->ledger, "ledger.so");
    daemon_path(c->gate, sizeof c->gate, "gate.so");
    cluster_start_coordinator(c);
    check(dtf_client_open(c->listen, &c->client, &st), &st, "open");
}

void cluster_start(struct cluster *c)
{
    cluster_start_with(c, NULL);
}

void cluster_restart(struct cluster *c, int signal_number)
{
    daemon_kill(&c->coordinator, signal_number);
    cluster_start_coordinator(c);
}

// Hints make all progress: no periodic look had to (services/finds.h). A coordinator that does not answer was
// killed by its test, or is paused.
static void check_finds(const struct cluster *c)
{
    struct nrpc_channel *ch;
    struct nrpc_status st;
    struct nrpc_call_options o = {.timeout_ms = 1000};
    Dtf__V1__RolesRequest r = DTF__V1__ROLES_REQUEST__INIT;
    Dtf__V1__RolesResponse *roles = NULL;
    uint64_t finds = 0;
    check(nrpc_channel_open(c->listen, NULL, &ch, &st), &st, "open a channel");
    if (dtf_v1_admin_service_roles(ch, &o, &r, &roles, &st) == NRPC_OK)
        finds = roles->finds;
    dtf__v1__roles_response__free_unpacked(roles, NULL);
    nrpc_channel_close(ch);
    assert_int_equal(finds, 0);
}

int cluster_health(struct cluster *c, const char *service)
{
    Nrpc__V1__HealthCheckRequest q = NRPC__V1__HEALTH_CHECK_REQUEST__INIT;
    Nrpc__V1__HealthCheckResponse *r;
    struct nrpc_channel *ch;
    struct nrpc_status st;
    check(nrpc_channel_open(c->listen, NULL, &ch, &st), &st, "open a channel");
    q.service = (char *)service;
    check(nrpc_v1_health_check(ch, NULL, &q, &r, &st), &st, service);
    int status = (int)r->status;
    protobuf_c_message_free_unpacked(&r->base, NULL);
    nrpc_channel_close(ch);
    return status;
}

void cluster_stop(struct cluster *c)
{
    if (*c->listen)
        check_finds(c);
    dtf_client_close(c->client);
    for (int i = 0; i < CLUSTER_NODES; i++)
        daemon_kill(&c->nodes[i], SIGKILL);
    daemon_kill(&c->coordinator, SIGKILL);
    daemon_remove(c->folder);
}

// ---- tasks

uint64_t cluster_create(struct cluster *c, const struct dtf_task_param *p)
{
    struct nrpc_status st;
    uint64_t task = 0;
    check(dtf_task_create(c->client, p, &task, &st), &st, "create");
    return task;
}

uint64_t cluster_create_gate(struct cluster *c, const char *type, const struct gate_param *g,
                             const struct dtf_task_param *more)
{
    struct gate_param param = *g;
    struct dtf_task_param p = more ? *more : (struct dtf_task_param){0};
    snprintf(param.folder, sizeof param.folder, "%s", c->folder);
    p.type = type;
    p.type_param = &param;
    p.type_param_bytes = sizeof param;
    return cluster_create(c, &p);
}

static void feed(struct cluster *c, uint64_t task, const void *param, size_t size, size_t count,
                 uint32_t timeout_ms)
{
    struct nrpc_status st;
    struct dtf_subtask_spec *specs = mem_calloc(count, sizeof *specs);
    for (size_t i = 0; i < count; i++)
        specs[i] = (struct dtf_subtask_spec){param, size, timeout_ms};
    check(dtf_task_feed(c->client, task, 0, specs, count, true, &st), &st, "feed");
    free(specs);
}

uint64_t cluster_create_commands(struct cluster *c, const struct dtf_task_param *more, const char *script,
                                 size_t count, uint32_t timeout_ms)
{
    Dtf__V1__Command m = DTF__V1__COMMAND__INIT;
    ProtobufCBinaryData argv = {strlen(script), (uint8_t *)script};
    ProtobufCBinaryData directory = {strlen(c->folder), (uint8_t *)c->folder};
    m.argv = &argv;
    m.n_argv = 1;
    m.shell = true;
    m.directory = directory;
    size_t size = dtf__v1__command__get_packed_size(&m);
    uint8_t *packed = mem_alloc(size);
    dtf__v1__command__pack(&m, packed);
    struct dtf_task_param p = more ? *more : (struct dtf_task_param){0};
    p.type = "command";
    p.fed = true;
    uint64_t task = cluster_create(c, &p);
    feed(c, task, packed, size, count, timeout_ms);
    free(packed);
    return task;
}

struct dtf_task_info cluster_status(struct cluster *c, uint64_t task)
{
    struct nrpc_status st;
    struct dtf_task_info info;
    check(dtf_task_status(c->client, task, &info, &st), &st, "status");
    return info;
}

struct dtf_task_info cluster_wait(struct cluster *c, uint64_t task)
{
    struct nrpc_status st;
    struct dtf_task_info info;
    check(dtf_task_wait(c->client, task, PATIENCE_MS, &info, &st), &st, "wait");
    return info;
}

// ---- files

void file_path(const struct cluster *c, const char *name, char *out, size_t size)
{
    snprintf(out, size, "%s/%s", c->folder, name);
}

static FILE *file_open(const struct cluster *c, const char *name, const char *mode)
{
    char path[400];
    file_path(c, name, path, sizeof path);
    return fopen(path, mode);
}

void file_touch(const struct cluster *c, const char *name)
{
    FILE *f = file_open(c, name, "a");
    assert_non_null(f);
    fclose(f);
}

void file_remove(const struct cluster *c, const char *name)
{
    char path[400];
    file_path(c, name, path, sizeof path);
    unlink(path);
}

size_t file_lines(const struct cluster *c, const char *name, const char *prefix)
{
    char line[500];
    size_t n = 0;
    FILE *f = file_open(c, name, "r");
    while (f && fgets(line, sizeof line, f))
        n += !strncmp(line, prefix, strlen(prefix));
    if (f)
        fclose(f);
    return n;
}

long file_number(const struct cluster *c, const char *name)
{
    long number = 0;
    char end = 0;
    FILE *f = file_open(c, name, "r");
    if (f && (fscanf(f, "%ld%c", &number, &end) != 2 || end != '\n'))
        number = 0;
    if (f)
        fclose(f);
    return number;
}

// ---- the rest

int64_t cluster_now_ms(void)
{
    return clock_now_ms();
}

void cluster_pause(void)
{
    poll(NULL, 0, 3);
}

bool process_is_gone(long pid)
{
    char path[40], line[300] = "";
    snprintf(path, sizeof path, "/proc/%ld/stat", pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return true;
    bool gone = !fgets(line, sizeof line, f) || strstr(line, ") Z ");
    fclose(f);
    return gone;
}

long process_rss_kib(pid_t pid)
{
    char path[40], line[200];
    long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        sscanf(line, "VmRSS: %ld", &kib);
    if (f)
        fclose(f);
    return kib;
}
