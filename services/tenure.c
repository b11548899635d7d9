// SPDX-License-Identifier: Apache-2.0
#include "tenure.h"

#include "base/clock.h"
#include "base/log.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

enum {
    LOOK_MS = 200,
    BAR_AFTER = 2
}; // the first may be of a Redis that restarts, which others have noticed earlier

// For others to read.
static void say_who(const char *where, char *out, size_t size)
{
    char host[65] = "";
    gethostname(host, sizeof host - 1);
    snprintf(out, size, "%.60s (process %d on %s)", where, (int)getpid(), host);
}

static void bar(struct tenure *t, struct state *state, const struct nrpc_status *why)
{
    if (++t->refused >= BAR_AFTER)
        state->ops->bar(state, why->text);
}

int tenure_keep(struct tenure *t, struct state *state, struct records *records, struct nrpc_status *st)
{
    const char *where;
    char who[160];
    struct records_tenure ask = {.former = t->held, .who = who, .lease_ms = TENURE_MS};
    if (!state->disposable || !(ask.state = state->ops->identity(state, &where)))
        return NRPC_OK;
    say_who(where, who, sizeof who);
    int code = records->ops->tenure(records, &ask, st);
    if (code == NRPC_FAILED_PRECONDITION)
        bar(t, state, st);
    if (code)
        return code;
    t->held = ask.state;
    t->refused = 0;
    t->is_older |= ask.is_taken;
    if (t->is_older && state->ops->begin_anew(state, st))
        return st->code;
    t->is_older = false;
    state->ops->bar(state, NULL);
    return NRPC_OK;
}

int tenure_begin(struct tenure *t, struct state *state, struct records *records, struct nrpc_status *st)
{
    int64_t until_ms = clock_mono_us() / 1000 + TENURE_MS + TENURE_MS / 3;
    int code = tenure_keep(t, state, records, st);
    if (code == NRPC_FAILED_PRECONDITION)
        log_info("waits until whoever ran the tasks before is gone for %d s: %s", TENURE_MS / 1000, st->text);
    while (code == NRPC_FAILED_PRECONDITION && clock_mono_us() / 1000 < until_ms) {
        (void)poll(NULL, 0, LOOK_MS);
        code = tenure_keep(t, state, records, st);
    }
    return code;
}
