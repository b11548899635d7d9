// SPDX-License-Identifier: Apache-2.0
// myurl.c: the address of a MySQL database.
#include "records/myurl.h"

#include <string.h>

enum { DEFAULT_PORT = 3306 };

static int refuse(struct nrpc_status *st, const char *why)
{
    return status_set(st, NRPC_INVALID_ARGUMENT,
                      "the address of the database, mysql://user:password@host:port/database: %s", why);
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
    u->host = url->host_count ? url->hosts[0].name : "";
    u->port = !url->host_count ? 0 : url->hosts[0].port ? url->hosts[0].port : DEFAULT_PORT;
    u->socket = url_query(url, "socket");
    if (!u->user || !*u->user)
        return refuse(st, "there is no user");
    if (!*u->database)
        return refuse(st, "there is no database");
    if (url->host_count > 1)
        return refuse(st, "there is more than one host");
    if (url->query_count > (u->socket ? 1 : 0))
        return refuse(st, "the only parameter there is is socket=path");
    if (u->socket && u->port)
        return refuse(st, "either a host or a socket");
    return NRPC_OK;
}

void myurl_fini(struct myurl *u)
{
    url_fini(&u->url);
    *u = (struct myurl){0};
}
