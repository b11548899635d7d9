// SPDX-License-Identifier: Apache-2.0
// server.c: the server of docs/TUTORIAL.md.
#include "greeter.nrpc.h"

#include <stdio.h>

static void on_greet(struct nrpc_call *call, const Greeter__GreetRequest *q, void *user)
{
    (void)user;
    char text[200];
    Greeter__Greeting r = GREETER__GREETING__INIT;
    snprintf(text, sizeof text, "hello %s", q->name);
    r.text = text;
    greeter_greeter_greet_reply(call, &r);
}

static void on_countdown(struct nrpc_call *call, const Greeter__CountdownRequest *q, void *user)
{
    (void)user;
    for (unsigned i = q->from; i > 0; i--) {
        char text[20];
        Greeter__Greeting r = GREETER__GREETING__INIT;
        snprintf(text, sizeof text, "%u", i);
        r.text = text;
        if (greeter_greeter_countdown_send(call, &r)) // nobody listens any more
            break;
    }
    nrpc_finish(call);
}

int main(int argc, char **argv)
{
    static const struct greeter_greeter_handlers handlers = {.greet = on_greet, .countdown = on_countdown};
    struct nrpc_status st;
    struct nrpc_server *server = nrpc_server_create(NULL);
    int code = greeter_greeter_register(server, NRPC_POOLED, &handlers, NULL, &st);
    if (code == NRPC_OK)
        code = nrpc_server_listen(server, argc > 1 ? argv[1] : "tcp://127.0.0.1:5055", &st);
    fprintf(stderr, "%s\n", code ? st.text : nrpc_server_url(server, 0));
    while (code == NRPC_OK && getchar() != EOF) // serves until its input ends
        ;
    nrpc_server_drain(server, 5000);
    nrpc_server_destroy(server);
    return code != NRPC_OK;
}
