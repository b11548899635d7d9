// SPDX-License-Identifier: Apache-2.0
// servers_cluster.c: Redis Clusters, made and changed by Redis' own tool.
#include "servers/servers_internal.h"

#include "base/clock.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARGS_MAX = 32, READY_MS = 30000 };

static struct server *start_server(bool aof)
{
    char config[300];
    snprintf(config, sizeof config,
             "cluster-enabled yes\ncluster-port %u\ncluster-node-timeout 1000\n"
             "cluster-require-full-coverage no\nmin-replicas-to-write 0\ncluster-config-file nodes.conf",
             servers_free_port());
    return server_redis(&(struct server_redis_options){.aof = aof, .config = config});
}

void server_cluster_tool(const struct server *s, const char *const *words)
{
    const char *args[ARGS_MAX] = {"redis-cli", "--cluster"};
    for (size_t i = 0; i < ARGS_MAX - 3 && words[i]; i++)
        args[i + 2] = words[i];
    if (servers_wait_for(servers_run(s, (char *const *)args)))
        servers_fail(s, "redis-cli --cluster failed");
}

const char *server_cluster_at(const struct server *s, char out[32])
{
    snprintf(out, 32, "127.0.0.1:%u", server_port(s));
    return out;
}

// Everybody knows everybody, all slots are served, every replica follows its master.
static bool is_ready(const struct server *s, size_t count)
{
    char text[8000], known[40];
    snprintf(known, sizeof known, "cluster_known_nodes:%zu\r", count);
    server_ask(s, "CLUSTER INFO", text, sizeof text);
    if (!strstr(text, "cluster_state:ok") || !strstr(text, known))
        return false;
    server_ask(s, "INFO replication", text, sizeof text);
    return strstr(text, "role:master") || strstr(text, "master_link_status:up");
}

void server_cluster_wait(struct server *const *servers, size_t count)
{
    int64_t until_ms = clock_mono_us() / 1000 + READY_MS;
    for (size_t i = 0; i < count; i++)
        while (!is_ready(servers[i], count)) {
            if (clock_mono_us() / 1000 > until_ms)
                servers_fail(servers[i], "the cluster did not get ready");
            (void)poll(NULL, 0, 20);
        }
}

void server_cluster_id(const struct server *s, char out[SERVER_CLUSTER_ID])
{
    char text[200];
    server_ask(s, "CLUSTER MYID", text, sizeof text); // $40, the id
    const char *id = strchr(text, '\n');
    if (!id || strlen(id + 1) < SERVER_CLUSTER_ID - 1)
        servers_fail(s, "it does not say its id");
    snprintf(out, SERVER_CLUSTER_ID, "%s", id + 1);
}

void server_cluster(struct server **servers, size_t masters, size_t replicas, bool aof)
{
    char at[SERVER_CLUSTER_MAX][32];
    const char *words[ARGS_MAX] = {"create"};
    size_t count = masters * (1 + replicas), n = 1;
    for (size_t i = 0; i < count; i++) {
        servers[i] = start_server(aof);
        words[n++] = server_cluster_at(servers[i], at[i]);
    }
    words[n++] = "--cluster-replicas";
    words[n++] = replicas ? "1" : "0";
    words[n++] = "--cluster-yes";
    server_cluster_tool(servers[0], words);
    server_cluster_wait(servers, count);
}

struct server *server_cluster_add(const struct server *of)
{
    char at[32], known[32];
    struct server *s = start_server(true);
    server_cluster_tool(
        s, (const char *[]){"add-node", server_cluster_at(s, at), server_cluster_at(of, known), NULL});
    return s;
}
