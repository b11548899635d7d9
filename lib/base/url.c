// SPDX-License-Identifier: Apache-2.0
// url.c: takes an address apart, in a copy of its own.
#include "base/url.h"

#include "base/mem.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// In place; false: a broken escape, or a zero byte.
static bool decode(char *text)
{
    char *out = text;
    for (const char *in = text; *in; in++) {
        if (*in != '%') {
            *out++ = *in;
            continue;
        }
        int high = hex(in[1]), low = high < 0 ? -1 : hex(in[2]);
        if (low < 0 || (high == 0 && low == 0))
            return false;
        *out++ = (char)(high * 16 + low);
        in += 2;
    }
    *out = 0;
    return true;
}

// Cuts text at the first of c; the rest, or NULL.
static char *cut(char *text, char c)
{
    char *at = strchr(text, c);
    if (!at)
        return NULL;
    *at = 0;
    return at + 1;
}

static bool read_port(const char *text, unsigned *port)
{
    char *end;
    unsigned long n = text ? strtoul(text, &end, 10) : 0;
    *port = (unsigned)n;
    return !text || (isdigit((unsigned char)*text) && !*end && n >= 1 && n <= 65535);
}

static const char *read_host(struct url *u, char *text)
{
    char *name = text, *port;
    if (u->host_count == URL_HOSTS_MAX)
        return "too many hosts";
    if (*text == '[') {
        name = text + 1;
        char *rest = cut(name, ']');
        if (!rest || (*rest && *rest != ':'))
            return "a broken IPv6 host";
        port = *rest ? rest + 1 : NULL;
    } else {
        port = cut(text, ':');
    }
    if (!*name)
        return "an empty host";
    if (!read_port(port, &u->hosts[u->host_count].port))
        return "a port that is no number from 1 to 65535";
    u->hosts[u->host_count++].name = name;
    return NULL;
}

static const char *read_authority(struct url *u, char *text)
{
    char *host = text, *at = strrchr(text, '@');
    const char *problem = NULL;
    if (at) {
        *at = 0;
        host = at + 1;
        char *password = cut(text, ':');
        if (!decode(text) || (password && !decode(password)))
            return "a broken escape in the user or password";
        u->user = text;
        u->password = password;
    }
    for (char *rest = *host ? host : NULL, *one; !problem && (one = strsep(&rest, ","));)
        problem = read_host(u, one);
    return problem;
}

static const char *read_query(struct url *u, char *text)
{
    for (char *name; (name = strsep(&text, "&"));) {
        if (!*name)
            continue;
        if (u->query_count == URL_QUERY_MAX)
            return "too many parameters";
        char *value = cut(name, '=');
        if (!value || !decode(value))
            return "a parameter without a value, or a broken escape";
        u->query[u->query_count].name = name;
        u->query[u->query_count++].value = value;
    }
    return NULL;
}

static const char *read_all(struct url *u)
{
    char *authority = strstr(u->memory, "://");
    if (!authority || authority == u->memory)
        return "no scheme";
    *authority = 0;
    u->scheme = u->memory;
    authority += 3;
    char *query = cut(authority, '?');
    char *path = cut(authority, '/');
    u->path = path ? path : "";
    if (path && !decode(path))
        return "a broken escape in the path";
    const char *problem = read_authority(u, authority);
    return problem || !query ? problem : read_query(u, query);
}

int url_parse(const char *text, struct url *out, struct nrpc_status *st)
{
    *out = (struct url){.memory = mem_strdup(text)};
    const char *problem = read_all(out);
    if (!problem)
        return NRPC_OK;
    url_fini(out);
    return status_set(st, NRPC_INVALID_ARGUMENT, "the address has %s", problem);
}

void url_fini(struct url *u)
{
    free(u->memory);
    *u = (struct url){0};
}

const char *url_query(const struct url *u, const char *name)
{
    for (size_t i = 0; i < u->query_count; i++)
        if (!strcmp(u->query[i].name, name))
            return u->query[i].value;
    return NULL;
}
