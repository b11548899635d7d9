// SPDX-License-Identifier: Apache-2.0
// client.h: the connection behind struct dtf_client, and how its calls are made; for this library and for
// services.
#ifndef CLIENT_H
#define CLIENT_H

#include "dtf.h"
#include "dtf/v1/task.pb-c.h"
#include "nrpc/nrpc.h"

#include <stdatomic.h>

enum {
    CLIENT_CALL_MS = 30000,      // the deadline of a call that does not wait for anything
    CLIENT_WAIT_MS = 30000,      // how long one long poll is held
    CLIENT_WAIT_SPARE_MS = 5000, // by which its answer may be late
};

struct dtf_client {
    struct nrpc_channel *channel;
    int64_t patience_ms; // -1: not set
    void (*tell)(void *user, const struct nrpc_status *st);
    void *tell_user;
    atomic_bool
        reached; // the server has answered once: it exists, and waiting for it to come back makes sense
};

// A client on a channel, which becomes the client's.
struct dtf_client *client_on_channel(struct nrpc_channel *channel);

// To be given every outcome: learns whether the server was reached. Returns the code.
int client_note(struct dtf_client *c, int code);
// The call may be made again: the server was not there or did not answer, but was there before.
bool client_is_gone(const struct dtf_client *c, int code);
// A server was there at least once.
bool client_was_connected(const struct dtf_client *c);

// Pauses between tries, doubling from first_ms to last_ms.
struct client_backoff {
    int64_t next_ms, last_ms;
};
void client_back_off(struct client_backoff *b, int64_t at_most_ms);

// What a call's tries share; zero at first, and after a success.
struct client_tries {
    int64_t since_us; // of the first that failed; 0: none has
    struct client_backoff backoff;
};
// Whether a call that ended with this code, and this status if not NULL, is to be made again by the client's
// patience; pauses then, for at most left_ms.
bool client_again(struct dtf_client *c, struct client_tries *t, int code, const struct nrpc_status *st,
                  int64_t left_ms);

// The same of a call that may last until a time that is left_ms away: without patience it goes on until then
// if a server was there before.
bool client_keeps_on(struct dtf_client *c, struct client_tries *t, struct client_backoff *b, int code,
                     const struct nrpc_status *st, int64_t left_ms);

// Milliseconds from now until deadline_us on the monotonic clock, at most max_ms, at least 0.
int64_t client_left_ms(int64_t deadline_us, int64_t max_ms);
int64_t client_deadline_us(int64_t timeout_ms); // < 0: CLOCK_NEVER

// Copies text into a field of `size` bytes; what does not fit is cut between characters. NULL: empty.
void client_copy_text(char *out, size_t size, const char *text);

void client_read_task(const Dtf__V1__Task *task, struct dtf_task_info *out);

// INVALID_ARGUMENT with "<field>: ..." if the bytes are too many.
int client_check_size(const char *field, size_t bytes, size_t max, struct nrpc_status *st);

#endif
