// SPDX-License-Identifier: Apache-2.0
// myurl.c: the address of a MySQL database.
#include "records/myurl.h"

#include <stdbool.h>
#include <string.h>

enum { DEFAULT_PORT = 3306 };

static int refuse(struct nrpc_status *st, const char *why)
{
    return status_set(st, NRPC_INVALID_ARGUMENT,
                      "the address of the database, mysql://user:password@host:port/database: %s", why);
}

// Hosts as they are given, in their order; no host is this machine's server.
static void take_hosts(struct myurl *u)
{
    u->host_count = u->url.host_count ? u->url.host_count : 1;
    u->hosts[0].name = "";
    for (size_t i = 0; i < u->url.host_count; i++) {
        u->hosts[i].name = u->url.hosts[i].name;
        u->hosts[i].port = u->url.hosts[i].port ? u->url.hosts[i].port : DEFAULT_PORT;
    }
}

static bool names_one_twice(const struct myurl *u)
{
    for (size_t i = 1; i < u->host_count; i++)
        for (size_t k = 0; k < i; k++)
            if (u->hosts[i].port == u->hosts[k].port && !strcmp(u->hosts[i].name, u->hosts[k].name))
                return true;
    return false;
}

int myurl_init(struct myurl *u, const char *text, struct nrpc_status *st)
{
    struct nrpc_status why;
    *u = (struct myurl){0};
    if (!text || strncmp(text, "mysql://", 8) != 0)
        return refuse(st, "it does not begin with mysql://");
    if (url_parse(text, &u->url, &why))
        return refuse(st, why.text);
    const struct url *url = &u->url;
    u->user = url->user;
    u->password = url->password ? url->password : "";
    u->database = url->path;
    u->socket = url_query(url, "socket");
    take_hosts(u);
    if (!u->user || !*u->user)
        return refuse(st, "there is no user");
    if (!*u->database)
        return refuse(st, "there is no database");
    if (names_one_twice(u))
        return refuse(st, "a host is named twice");
    if (url->query_count > (u->socket ? 1 : 0))
        return refuse(st, "the only parameter there is is socket=path");
    if (u->socket && url->host_count)
        return refuse(st, "either hosts or a socket, which is this machine's one server");
    return NRPC_OK;
}

void myurl_fini(struct myurl *u)
{
    url_fini(&u->url);
    *u = (struct myurl){0};
}
