// SPDX-License-Identifier: Apache-2.0
// url.h: the parts of an address of a server: scheme://user:password@host:port,host:port/path?name=value&...
//
// User, password, path and values may be percent-encoded. An IPv6 host stands in brackets.
#ifndef BASE_URL_H
#define BASE_URL_H

#include "base/status.h"

#include <stddef.h>

enum { URL_HOSTS_MAX = 8, URL_QUERY_MAX = 8 };

struct url {
    char *memory;
    const char *scheme, *user, *password; // user, password: NULL if not given
    const char *path;                     // without the slash before it; never NULL
    struct {
        const char *name; // without brackets; never empty
        unsigned port;    // 0: not given
    } hosts[URL_HOSTS_MAX];
    size_t host_count; // may be 0
    struct {
        const char *name, *value;
    } query[URL_QUERY_MAX];
    size_t query_count;
};

// INVALID_ARGUMENT with a text that does not show the password.
int url_parse(const char *text, struct url *out, struct nrpc_status *st);
void url_fini(struct url *u);
const char *url_query(const struct url *u, const char *name); // NULL: not given

#endif
