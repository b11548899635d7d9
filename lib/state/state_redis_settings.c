// SPDX-License-Identifier: Apache-2.0
// state_redis_settings.c: settings of a Redis that decide about what it may lose: looked at when the store is
// opened, every few seconds while it is watched, and when the server is another one (a promoted replica has
// settings of its own).
#include "base/log.h"
#include "state/state_redis_internal.h"

#include <stdio.h>
#include <string.h>

static bool is_noeviction(const struct rs_shard *shard, const char *value)
{
    (void)shard;
    return !strcmp(value, "noeviction");
}

static bool is_yes(const struct rs_shard *shard, const char *value)
{
    (void)shard;
    return !strcmp(value, "yes");
}

// Without a Sentinel or a cluster nobody else is made the master.
static bool waits_for_replicas(const struct rs_shard *shard, const char *value)
{
    return !redis_place_has_failover(redis_link_place(shard->link)) || strcmp(value, "0") != 0;
}

static const struct {
    const char *name;
    bool (*fits)(const struct rs_shard *shard, const char *value);
    bool refused; // the store does not serve with it
    const char *why;
} settings[] = {
    {"maxmemory-policy", is_noeviction, true,
     "it would throw parts of tasks away when its memory is full; it has to be noeviction"},
    {"appendonly", is_yes, false, "when it restarts, tasks go on from their last recorded point; set yes"},
    {"min-replicas-to-write", waits_for_replicas, false,
     "a master that is cut off from its replicas goes on taking writes, and they are lost when another "
     "takes over; set 1, and min-replicas-max-lag 10"},
};
enum { SETTINGS = sizeof settings / sizeof *settings };

// false: it does not show it.
static bool ask(struct rs_shard *shard, const char *name, char *out, size_t size)
{
    redisReply *r;
    if (redis_link_command(shard->link, 3, (const char *[]){"CONFIG", "GET", name},
                           (size_t[]){6, 3, strlen(name)}, &r, NULL))
        return false;
    const redisReply *value = rs_at(r, 1);
    bool shown = value->type == REDIS_REPLY_STRING;
    snprintf(out, size, "%s", shown ? value->str : "");
    freeReplyObject(r);
    return shown;
}

// Another shard, of the same server or of the same cluster, is as this one was.
static bool is_said(const struct rs_shard *shard, unsigned bit)
{
    const struct rs_store *store = shard->store;
    for (size_t i = 0; i < store->shard_count; i++) {
        const struct rs_shard *other = &store->shards[i];
        bool is_same = rs_is_cluster(shard) || i % store->server_count == shard->index % store->server_count;
        if (other != shard && is_same && atomic_load(&other->unfit) & bit)
            return true;
    }
    return false;
}

static void say(const struct rs_shard *shard, size_t i, bool fits, const char *value)
{
    const char *name = redis_link_name(shard->link);
    if (fits)
        log_info("Redis at %s: %s is %s now", name, settings[i].name, value);
    else
        log_line(settings[i].refused ? LOG_ERROR : LOG_WARN, "Redis at %s has %s %s: %s", name,
                 settings[i].name, value, settings[i].why);
}

void rs_look_at_settings(struct rs_shard *shard)
{
    char value[64];
    for (size_t i = 0; i < SETTINGS; i++) {
        unsigned bit = 1u << i, unfit = atomic_load(&shard->unfit);
        if (!ask(shard, settings[i].name, value, sizeof value)) {
            if (!shard->hides_settings)
                log_warn("Redis at %s does not show its settings: see that maxmemory-policy is noeviction, "
                         "appendonly yes, and with a Sentinel min-replicas-to-write at least 1",
                         redis_link_name(shard->link));
            shard->hides_settings = true;
            return;
        }
        bool fits = settings[i].fits(shard, value);
        if (fits != !(unfit & bit) && !is_said(shard, bit))
            say(shard, i, fits, value);
        atomic_store(&shard->unfit, fits ? unfit & ~bit : unfit | bit);
    }
}

int rs_check_settings(const struct rs_shard *shard, struct nrpc_status *st)
{
    unsigned unfit = atomic_load(&shard->unfit);
    for (size_t i = 0; i < SETTINGS; i++)
        if (settings[i].refused && unfit & 1u << i)
            return status_set(st, NRPC_FAILED_PRECONDITION, "Redis at %s: %s: %s",
                              redis_link_name(shard->link), settings[i].name, settings[i].why);
    return NRPC_OK;
}
