// SPDX-License-Identifier: Apache-2.0
// client.c: the client of docs/TUTORIAL.md.
#include "greeter.nrpc.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    struct nrpc_status st;
    struct nrpc_channel *channel;
    struct nrpc_stream *stream = NULL;
    struct nrpc_call_options options = {.timeout_ms = 2000};
    Greeter__GreetRequest q = GREETER__GREET_REQUEST__INIT;
    Greeter__CountdownRequest count = GREETER__COUNTDOWN_REQUEST__INIT;
    Greeter__Greeting *greeting;
    const Greeter__Greeting *next;

    int code = nrpc_channel_open(argc > 1 ? argv[1] : "tcp://127.0.0.1:5055", NULL, &channel, &st);
    q.name = argc > 2 ? argv[2] : "world";
    if (code == NRPC_OK && (code = greeter_greeter_greet(channel, &options, &q, &greeting, &st)) == NRPC_OK) {
        puts(greeting->text);
        greeter__greeting__free_unpacked(greeting, NULL);
    }
    count.from = 3;
    if (code == NRPC_OK)
        code = greeter_greeter_countdown(channel, &options, &count, &stream, &st);
    while (code == NRPC_OK && (code = greeter_greeter_countdown_read(stream, &next, &st)) == NRPC_OK && next)
        puts(next->text);
    nrpc_stream_close(stream);
    nrpc_channel_close(channel);
    if (code)
        fprintf(stderr, "%s: %s\n", nrpc_code_name(code), st.text);
    return code != NRPC_OK;
}
