// SPDX-License-Identifier: Apache-2.0
// fixture.c: Make answers what it was asked, or fails as asked; Park waits to be answered by the test.
#include "fixture.h"

#include "base/clock.h"

#include <poll.h>

static void on_make(struct nrpc_call *call, const Sample__V1__Thing *q, void *user)
{
    (void)user;
    if (q->fail_with)
        nrpc_reply_error(call, (int)q->fail_with, "as asked");
    else
        sample_v1_sample_make_reply(call, q);
}

static void on_park(struct nrpc_call *call, const Sample__V1__Thing *q, void *user)
{
    (void)q;
    struct fixture *f = user;
    pthread_mutex_lock(&f->mu);
    f->parked = call;
    pthread_mutex_unlock(&f->mu);
}

static void on_other(struct nrpc_call *call, const Sample__V1__Part *q, void *user)
{
    (void)user;
    sample_v1_other_make_reply(call, q);
}

static const struct sample_v1_sample_handlers sample_handlers = {.make = on_make, .park = on_park};
static const struct sample_v1_other_handlers other_handlers = {.make = on_other};

void fixture_create(struct fixture *f, const struct nrpc_server_options *options)
{
    struct nrpc_status st;
    pthread_mutex_init(&f->mu, NULL);
    f->parked = NULL;
    f->channel = NULL;
    f->server = nrpc_server_create(options);
    assert_int_equal(sample_v1_sample_register(f->server, NRPC_INLINE, &sample_handlers, f, &st), NRPC_OK);
    assert_int_equal(sample_v1_other_register(f->server, NRPC_INLINE, &other_handlers, f, &st), NRPC_OK);
}

struct nrpc_channel *fixture_connect(struct fixture *f)
{
    struct nrpc_channel *channel;
    struct nrpc_status st;
    assert_int_equal(nrpc_channel_open(nrpc_server_url(f->server, 0), NULL, &channel, &st), NRPC_OK);
    return channel;
}

void fixture_open(struct fixture *f)
{
    struct nrpc_status st;
    assert_int_equal(nrpc_server_listen(f->server, "tcp://127.0.0.1:0", &st), NRPC_OK);
    f->channel = f->is_local ? nrpc_channel_local(f->server) : fixture_connect(f);
}

void fixture_destroy(struct fixture *f)
{
    nrpc_channel_close(f->channel);
    nrpc_server_destroy(f->server);
    pthread_mutex_destroy(&f->mu);
}

struct nrpc_call *fixture_parked(struct fixture *f)
{
    int64_t deadline_us = clock_mono_us() + 30000000;
    for (;;) {
        pthread_mutex_lock(&f->mu);
        struct nrpc_call *call = f->parked;
        pthread_mutex_unlock(&f->mu);
        if (call)
            return call;
        assert_true(clock_mono_us() < deadline_us);
        poll(NULL, 0, 1);
    }
}
