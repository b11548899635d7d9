// SPDX-License-Identifier: Apache-2.0
// myurl.c: the address of a MySQL database.
#include "records/myurl.h"

#include "base/mem.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_PORT = 3306 };

static int hex_value(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, tolower((unsigned char)c)) : NULL;
    return at ? (int)(at - digits) : -1;
}

// In place. False: a % without two digits, or a %00.
static bool decode(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++) {
        int value = (unsigned char)*from;
        if (*from == '%') {
            int high = hex_value(from[1]), low = high < 0 ? -1 : hex_value(from[2]);
            value = high * 16 + low;
            if (low < 0 || !value)
                return false;
            from += 2;
        }
        *to++ = (char)value;
    }
    *to = 0;
    return true;
}

// Cuts text at the last or first c and gives what follows it; NULL if there is none.
static char *cut(char *text, char c, bool last)
{
    char *at = last ? strrchr(text, c) : strchr(text, c);
    if (at)
        *at++ = 0;
    return at;
}

static bool read_port(const char *text, unsigned *port)
{
    char *end;
    unsigned long n = isdigit((unsigned char)*text) ? strtoul(text, &end, 10) : 0;
    if (!n || n > 65535 || *end)
        return false;
    *port = (unsigned)n;
    return true;
}

static int refuse(struct nrpc_status *st, const char *why)
{
    return status_set(st, NRPC_INVALID_ARGUMENT,
                      "the address of the database, mysql://user:password@host:port/database: %s", why);
}

static int read_host(struct myurl *u, char *host, struct nrpc_status *st)
{
    char *port = NULL;
    if (*host == '[') {
        host++;
        port = cut(host, ']', false);
        if (!port || (*port && *port != ':'))
            return refuse(st, "the host's bracket is not closed");
        port = *port ? port + 1 : NULL;
    } else {
        port = cut(host, ':', true);
    }
    if (!decode(host))
        return refuse(st, "a % in the host is not followed by two digits");
    u->host = host;
    u->port = *host ? DEFAULT_PORT : 0;
    if (port && (!*host || !read_port(port, &u->port)))
        return refuse(st, "the port is not a number from 1 to 65535, or of no host");
    return NRPC_OK;
}

static int read_parameters(struct myurl *u, char *parameters, struct nrpc_status *st)
{
    if (!parameters || !*parameters)
        return NRPC_OK;
    if (strncmp(parameters, "socket=", 7) || strchr(parameters, '&'))
        return refuse(st, "the only parameter there is is socket=path");
    if (u->port)
        return refuse(st, "either a host or a socket");
    u->socket = parameters + 7;
    return decode(parameters + 7) ? NRPC_OK : refuse(st, "a % in the socket is not followed by two digits");
}

int myurl_init(struct myurl *u, const char *url, struct nrpc_status *st)
{
    *u = (struct myurl){0};
    if (!url || strncmp(url, "mysql://", 8))
        return refuse(st, "it does not begin with mysql://");
    u->copy = mem_strdup(url + 8);
    char *parameters = cut(u->copy, '?', false);
    char *database = cut(u->copy, '/', true);
    char *host = cut(u->copy, '@', true), *user = u->copy;
    if (!host || !database || !*database)
        return refuse(st, !host ? "there is no user" : "there is no database");
    char *password = cut(user, ':', false);
    if (!*user || !decode(user) || (password && !decode(password)) || !decode(database))
        return refuse(st, "there is no user, or a % is not followed by two digits");
    u->user = user;
    u->password = password ? password : "";
    u->database = database;
    int code = read_host(u, host, st);
    return code ? code : read_parameters(u, parameters, st);
}

void myurl_fini(struct myurl *u)
{
    free(u->copy);
    *u = (struct myurl){0};
}
