// SPDX-License-Identifier: Apache-2.0
// fixture.h: a server with the service of sample.proto, and a channel to it: of its own process, or by tcp.
#ifndef TESTS_SERVICES_FIXTURE_H
#define TESTS_SERVICES_FIXTURE_H

#include "sample/v1/sample.nrpc.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct fixture {
    bool is_local; // how the server is reached; given
    struct nrpc_server *server;
    struct nrpc_channel *channel;
    pthread_mutex_t mu;
    struct nrpc_call *parked;
};

// A server that does not listen yet, for more services to be added.
void fixture_create(struct fixture *f, const struct nrpc_server_options *options);
void fixture_open(struct fixture *f);    // from now on there is a channel
void fixture_destroy(struct fixture *f); // once for each fixture_create

struct nrpc_channel *fixture_connect(struct fixture *f); // another channel; by tcp

// Until Park is running.
struct nrpc_call *fixture_parked(struct fixture *f);

#endif
