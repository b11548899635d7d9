// SPDX-License-Identifier: Apache-2.0
// service.c: dtf_service_start and its sisters: the stores, the server, the coordinator roles and the
// executor of one process.
#include "service.h"
#include "versions.h"

#include "../clients/c/client.h"
#include "base/clock.h"
#include "base/log.h"
#include "coordinator.h"
#include "executor/executor.h"
#include "nrpc/interceptors/access_log.h"
#include "nrpc/services/channelz.h"
#include "nrpc/services/health.h"
#include "nrpc/services/reflection.h"
#include "plugin/reaper.h"
#include "store_watch.h"
#include "stores.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    CROSSING_MS = 100, // for calls that are on their way to us when the service stops
    DRAIN_MS = 3000,   // for answers that are on their way then
    NODE_LEASE_MS = 5000,
    POOL_THREADS = 256, // callbacks that may block at the same time
    // A node finds that its coordinator hangs, and goes on with another, well within its lease.
    NODE_KEEPALIVE_MS = 1000,
    NODE_KEEPALIVE_TIMEOUT_MS = 2000,
};

struct dtf_service {
    unsigned roles;
    struct dtf_service_options options;
    char *name;
    struct stores stores;
    struct nrpc_server *server;
    struct nrpc_health *health;
    struct store_watch *store_watch;
    struct coordinator *coordinator;
    struct nrpc_channel *channel; // the executor's
    struct executor *executor;
    pthread_mutex_t mu;
    pthread_cond_t stop_asked;
    int stops_asked;
    bool has_stopped;
};

// ---- names of roles

static const struct {
    const char *name;
    unsigned roles;
} role_names[] = {
    {"manager", DTF_ROLE_MANAGER},   {"generator", DTF_ROLE_GENERATOR}, {"scheduler", DTF_ROLE_SCHEDULER},
    {"executor", DTF_ROLE_EXECUTOR}, {"collector", DTF_ROLE_COLLECTOR}, {"coordinator", DTF_ROLE_COORDINATOR},
    {"all", DTF_ROLE_ALL},
};

const char *service_role_name(unsigned role)
{
    for (size_t i = 0; i < sizeof role_names / sizeof *role_names; i++)
        if (role_names[i].roles == role)
            return role_names[i].name;
    return "unknown";
}

static unsigned role_by_name(const char *name)
{
    for (size_t i = 0; i < sizeof role_names / sizeof *role_names; i++)
        if (!strcmp(role_names[i].name, name))
            return role_names[i].roles;
    return 0;
}

int service_parse_roles(const char *text, unsigned *out, struct nrpc_status *st)
{
    char *copy = mem_strdup(text), *rest = copy;
    int code = NRPC_OK;
    *out = 0;
    for (char *name; code == NRPC_OK && (name = strsep(&rest, ","));) {
        unsigned roles = role_by_name(name);
        *out |= roles;
        if (!roles)
            code = status_set(st, NRPC_INVALID_ARGUMENT,
                              "\"%s\" is no role; there are manager, generator, scheduler, executor, "
                              "collector, coordinator, "
                              "all",
                              name);
    }
    free(copy);
    return code;
}

// ---- starting

static int check_roles(unsigned roles, const struct dtf_service_options *o, struct nrpc_status *st)
{
    unsigned coordinator = roles & DTF_ROLE_COORDINATOR, exchange = DTF_ROLE_SCHEDULER | DTF_ROLE_COLLECTOR;
    bool executor = roles & DTF_ROLE_EXECUTOR, scheduler = roles & DTF_ROLE_SCHEDULER;
    const struct {
        bool wrong;
        int code;
        const char *text;
    } rules[] = {
        {coordinator && coordinator != DTF_ROLE_COORDINATOR && !o->mysql_url, NRPC_FAILED_PRECONDITION,
         "with the embedded store the manager, generator, scheduler and collector run in one process: start "
         "them together"},
        {roles & exchange && (roles & exchange) != exchange, NRPC_FAILED_PRECONDITION,
         "a scheduler and a collector run in one process, since a node's calls go through both: start them "
         "together"},
        {executor && !scheduler && !o->join_url, NRPC_INVALID_ARGUMENT,
         "an executor without a scheduler in its process needs a coordinator to join"},
        {o->join_url && !executor, NRPC_INVALID_ARGUMENT, "only an executor joins a coordinator"},
        {o->join_url && scheduler, NRPC_INVALID_ARGUMENT,
         "an executor beside a scheduler works for that one: it cannot join"},
        {!coordinator && o->listen_count, NRPC_INVALID_ARGUMENT, "an executor does not listen"},
        {!coordinator && (o->mysql_url || o->redis_url_count), NRPC_INVALID_ARGUMENT,
         "an executor has no stores: it joins a coordinator"},
        {!o->mysql_url != !o->redis_url_count, NRPC_INVALID_ARGUMENT,
         "a cluster needs both: Redis for the state and MySQL for the records"},
        {o->mysql_url && o->data_dir, NRPC_INVALID_ARGUMENT,
         "state and records live either in a folder or in Redis and MySQL"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].wrong)
            return status_set(st, rules[i].code, "%s", rules[i].text);
    return NRPC_OK;
}

static int check_options(unsigned roles, const struct dtf_service_options *o, struct nrpc_status *st)
{
    if (!roles || roles & ~(unsigned)DTF_ROLE_ALL)
        return status_set(st, NRPC_INVALID_ARGUMENT, "roles: 0x%x is no set of roles", roles);
    if (o->slots > DTF_SLOTS_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "slots: %u is over %d", o->slots, DTF_SLOTS_MAX);
    if (o->node_lease_ms &&
        (o->node_lease_ms < DTF_NODE_LEASE_MIN_MS || o->node_lease_ms > DTF_NODE_LEASE_MAX_MS))
        return status_set(st, NRPC_INVALID_ARGUMENT, "node lease: %lld ms is not in %d..%d",
                          (long long)o->node_lease_ms, DTF_NODE_LEASE_MIN_MS, DTF_NODE_LEASE_MAX_MS);
    if (o->grace_ms < 0)
        return status_set(st, NRPC_INVALID_ARGUMENT, "grace period: it is negative");
    if (o->node_name && strlen(o->node_name) > DTF_NAME_MAX)
        return status_set(st, NRPC_INVALID_ARGUMENT, "node name: over %d bytes", DTF_NAME_MAX);
    return check_roles(roles, o, st);
}

static void set_defaults(struct dtf_service_options *o)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    o->slots = o->slots ? o->slots : cores > 0 && cores < DTF_SLOTS_MAX ? (unsigned)cores : 1;
    o->grace_ms = o->grace_ms ? o->grace_ms : SERVICE_GRACE_MS;
    o->node_lease_ms = o->node_lease_ms ? o->node_lease_ms : NODE_LEASE_MS;
}

// What every nrpc server of ours offers besides its own services: for `nrpc`, for probes, for whoever looks
// on.
static int add_standard_services(struct dtf_service *s, struct nrpc_status *st)
{
    nrpc_access_log(s->server);
    versions_check_clients(s->server);
    s->health = nrpc_health_create();
    int code = nrpc_health_add(s->health, s->server, st);
    if (code == NRPC_OK)
        code = nrpc_channelz_add(s->server, st);
    return code ? code : nrpc_reflection_add(s->server, st);
}

static int start_coordinator(struct dtf_service *s, struct nrpc_status *st)
{
    const struct dtf_service_options *o = &s->options;
    int code = stores_open(&s->stores, o, st);
    if (code)
        return code;
    s->server = nrpc_server_create(NULL);
    code = coordinator_create(s->roles, s->stores.state, s->stores.records, s->server, o, POOL_THREADS,
                              clock_now_ms, &s->coordinator, st);
    if (code == NRPC_OK)
        code = add_standard_services(s, st);
    if (code)
        return code;
    coordinator_start(s->coordinator);
    for (size_t i = 0; code == NRPC_OK && i < o->listen_count; i++)
        code = nrpc_server_listen(s->server, o->listen_urls[i], st);
    return code;
}

static int start_executor(struct dtf_service *s, struct nrpc_status *st)
{
    char host[DTF_NAME_MAX + 1] = "";
    gethostname(host, sizeof host - 1);
    struct executor_options o = {
        .slots = s->options.slots,
        .name = s->options.node_name ? s->options.node_name : host,
        .grace_ms = s->options.grace_ms,
        .is_local = !s->options.join_url,
        .now_ms = clock_now_ms,
    };
    const struct nrpc_channel_options channel = {
        .choice = NRPC_STICKY,
        .keepalive_ms = NODE_KEEPALIVE_MS,
        .keepalive_timeout_ms = NODE_KEEPALIVE_TIMEOUT_MS,
    };
    int code = NRPC_OK;
    if (s->options.join_url)
        code = nrpc_channel_open(s->options.join_url, &channel, &s->channel, st);
    else
        s->channel = nrpc_channel_local(s->server);
    if (code)
        return code;
    s->executor = executor_create(s->channel, &o);
    executor_start(s->executor);
    return NRPC_OK;
}

// Sends clients elsewhere, lets the roles answer what they have parked, and waits, for a while, until those
// answers have arrived. The second time it does nothing.
static void stop_serving(struct dtf_service *s)
{
    if (s->has_stopped)
        return;
    s->has_stopped = true;
    if (s->server) {
        (void)nrpc_server_drain(s->server, CROSSING_MS);
        (void)nrpc_server_drain(s->server, 0); // from now on the roles get nothing new
    }
    if (s->health)
        nrpc_health_shutdown(s->health);
    if (s->coordinator)
        coordinator_stop(s->coordinator);
    size_t left = s->server ? nrpc_server_drain(s->server, DRAIN_MS) : 0;
    if (left)
        log_info("%zu calls are cut off", left);
}

static void destroy(struct dtf_service *s)
{
    if (s->executor)
        executor_stop(s->executor);
    nrpc_channel_close(s->channel);
    store_watch_stop(s->store_watch);
    executor_destroy(s->executor);
    stop_serving(s);
    nrpc_server_destroy(s->server);
    nrpc_health_destroy(s->health);
    coordinator_destroy(s->coordinator);
    stores_close(&s->stores);
    pthread_mutex_destroy(&s->mu);
    pthread_cond_destroy(&s->stop_asked);
    free(s);
}

// Before there are threads, and files that its copies would hold.
static void start_reaper(unsigned roles)
{
    int error = roles & DTF_ROLE_EXECUTOR ? reaper_start() : 0;
    if (error) // tried again when a command is to be run
        log_warn("commands cannot be run yet: fork: %s", strerror(error));
}

int dtf_service_start(unsigned roles, const struct dtf_service_options *options, struct dtf_service **out,
                      struct nrpc_status *st)
{
    static const struct dtf_service_options none;
    struct nrpc_status own;
    st = st ? st : &own;
    *out = NULL;
    options = options ? options : &none;
    if (check_options(roles, options, st))
        return st->code;
    struct dtf_service *s = mem_calloc(1, sizeof *s);
    s->roles = roles;
    s->options = *options;
    set_defaults(&s->options);
    start_reaper(roles);
    pthread_mutex_init(&s->mu, NULL);
    pthread_cond_init(&s->stop_asked, NULL);
    int code = roles & DTF_ROLE_COORDINATOR ? start_coordinator(s, st) : NRPC_OK;
    if (code == NRPC_OK && roles & DTF_ROLE_EXECUTOR)
        code = start_executor(s, st);
    if (code == NRPC_OK && s->coordinator)
        s->store_watch =
            store_watch_start(&s->stores, coordinator_callbacks(s->coordinator), s->executor, s->health);
    if (code)
        destroy(s);
    else
        *out = s;
    return code;
}

int service_migrate(const char *mysql_url, struct nrpc_status *st)
{
    return stores_migrate(mysql_url, st);
}

const char *dtf_service_url(const struct dtf_service *service, size_t index)
{
    return service->server ? nrpc_server_url(service->server, index) : NULL;
}

struct dtf_client *dtf_client_local(struct dtf_service *service)
{
    return client_on_channel(nrpc_channel_local(service->server));
}

// ---- stopping

void dtf_service_notify_stop(struct dtf_service *s)
{
    pthread_mutex_lock(&s->mu);
    int asked = s->stops_asked++;
    pthread_cond_broadcast(&s->stop_asked);
    pthread_mutex_unlock(&s->mu);
    if (s->executor)
        executor_drain(s->executor, asked > 0);
}

void dtf_service_suspend(void)
{
    reaper_suspend();
}

void service_wait(struct dtf_service *s)
{
    pthread_mutex_lock(&s->mu);
    while (!s->stops_asked)
        pthread_cond_wait(&s->stop_asked, &s->mu);
    pthread_mutex_unlock(&s->mu);
    if (s->executor)
        executor_join(s->executor);
    stop_serving(s);
}

bool service_waits_for(struct dtf_service *s, char *text, size_t size)
{
    return s->coordinator && callbacks_oldest(coordinator_callbacks(s->coordinator), text, size);
}

void dtf_service_join(struct dtf_service *s)
{
    service_wait(s);
    destroy(s);
}
