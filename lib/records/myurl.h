// SPDX-License-Identifier: Apache-2.0
// myurl.h: the address of a MySQL database, as records_mysql.h describes it.
#ifndef RECORDS_MYURL_H
#define RECORDS_MYURL_H

#include "base/url.h"

struct myurl {
    struct url url; // the texts below lie in it
    const char *user, *password, *database;
    struct {
        const char *name; // "": this machine's server, over its socket
        unsigned port;    // 0: no name, so a socket
    } hosts[URL_HOSTS_MAX];
    size_t host_count;  // at least 1
    const char *socket; // NULL: the client library's
};

// INVALID_ARGUMENT: it cannot be read; the sentence never holds the password. Fini in any case.
int myurl_init(struct myurl *u, const char *url, struct nrpc_status *st);
void myurl_fini(struct myurl *u);

#endif
