// SPDX-License-Identifier: Apache-2.0
// peer_service.c: handlers for a client that says anything at all.
#include "peer_service.h"

#include <stdlib.h>

static void on_echo(struct nrpc_call *call, const Soak__Item *q, void *user)
{
    (void)user;
    size_t count;
    const struct nrpc_metadata *m = nrpc_call_all_metadata(call, &count);
    for (size_t i = 0; i < count; i++) {
        (void)nrpc_call_add_header(call, &m[i], NULL);
        (void)nrpc_call_add_trailer(call, &m[i], NULL);
    }
    if (q->number == 99) {
        struct nrpc_status st = {.code = NRPC_ABORTED, .text = "as asked"};
        const ProtobufCMessage *details[] = {&q->base};
        nrpc_reply_details(call, &st, details, 1);
        return;
    }
    nrpc_reply(call, &q->base);
}

static void park_changed(void *user, struct nrpc_call *call)
{
    (void)user;
    if (nrpc_call_is_cancelled(call))
        nrpc_reply_error(call, NRPC_CANCELLED, "the caller gave up");
}

static void on_park(struct nrpc_call *call, const Soak__Item *q, void *user)
{
    (void)q;
    (void)user;
    nrpc_call_on_ready(call, park_changed, NULL);
}

static void finish(struct nrpc_call *call, int code)
{
    if (code)
        nrpc_reply_error(call, code, "the call ended with %s", nrpc_code_name(code));
    else
        nrpc_finish(call);
}

static uint64_t limit(uint64_t number)
{
    return number < 200 ? number : 200;
}

static void block_many(struct nrpc_call *call, const Soak__Item *q, void *user)
{
    (void)user;
    int code = NRPC_OK;
    for (uint64_t i = 0, n = limit(q->number); i < n && !code; i++)
        code = soak_soak_many_send(call, q);
    finish(call, code);
}

static void block_sum(struct nrpc_call *call, void *user)
{
    (void)user;
    const Soak__Item *q;
    Soak__Item sum = SOAK__ITEM__INIT;
    int code;
    while ((code = soak_soak_sum_receive(call, &q)) == NRPC_OK && q)
        sum.number += q->number + q->data.len;
    if (code)
        finish(call, code);
    else
        soak_soak_sum_reply(call, &sum);
}

static void block_chat(struct nrpc_call *call, void *user)
{
    (void)user;
    const Soak__Item *q;
    int code;
    while ((code = soak_soak_chat_receive(call, &q)) == NRPC_OK && q)
        if ((code = soak_soak_chat_send(call, q)))
            break;
    finish(call, code);
}

struct progress { // of a handler that does not block, in the call's memory
    Soak__Item item;
    uint64_t left;
};

static struct progress *progress_of(struct nrpc_call *call, void (*on_ready)(void *, struct nrpc_call *))
{
    struct progress *p = nrpc_call_alloc(call, sizeof *p);
    if (!p)
        abort();
    *p = (struct progress){SOAK__ITEM__INIT, 0};
    nrpc_call_on_ready(call, on_ready, p);
    return p;
}

static void many_ready(void *user, struct nrpc_call *call)
{
    struct progress *p = user;
    int code = NRPC_OK;
    while (p->left && (code = soak_soak_many_send(call, &p->item)) == NRPC_OK)
        p->left--;
    if (code != NRPC_WOULD_BLOCK)
        finish(call, code);
}

static void on_many(struct nrpc_call *call, const Soak__Item *q, void *user)
{
    (void)user;
    struct progress *p = nrpc_call_alloc(call, sizeof *p);
    if (!p)
        abort();
    *p = (struct progress){*q, limit(q->number)};
    nrpc_call_on_ready(call, many_ready, p);
}

static void sum_ready(void *user, struct nrpc_call *call)
{
    struct progress *p = user;
    const Soak__Item *q;
    int code;
    while ((code = soak_soak_sum_receive(call, &q)) == NRPC_OK && q)
        p->item.number += q->number + q->data.len;
    if (code == NRPC_OK)
        soak_soak_sum_reply(call, &p->item);
    else if (code != NRPC_WOULD_BLOCK)
        finish(call, code);
}

static void on_sum(struct nrpc_call *call, void *user)
{
    (void)user;
    (void)progress_of(call, sum_ready);
}

static void chat_ready(void *user, struct nrpc_call *call)
{
    (void)user;
    const Soak__Item *q;
    int code;
    while ((code = soak_soak_chat_receive(call, &q)) == NRPC_OK && q)
        if ((code = soak_soak_chat_send(call, q)))
            break; // what there is no room for is not answered
    if (code != NRPC_WOULD_BLOCK)
        finish(call, code);
}

static void on_chat(struct nrpc_call *call, void *user)
{
    (void)user;
    (void)progress_of(call, chat_ready);
}

const struct soak_soak_handlers waiting_for_nothing = {
    .echo = on_echo,
    .echo_again = on_echo,
    .park = on_park,
    .many = on_many,
    .sum = on_sum,
    .chat = on_chat,
};

const struct soak_soak_handlers blocking = {
    .echo = on_echo,
    .echo_again = on_echo,
    .park = on_park,
    .many = block_many,
    .sum = block_sum,
    .chat = block_chat,
};
