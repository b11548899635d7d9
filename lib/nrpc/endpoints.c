// SPDX-License-Identifier: Apache-2.0
// endpoints.c: the connections of a channel: chosen for calls, opened, replaced when their server drains, and
// removed.
//
// A connection is made and unmade without the channel's mutex, by the thread that opens the channel, by the
// resolver's and by the timer's; only the timer's removes any before the channel is closed. One that goes
// stays in the list while calls are on it.
#include "nrpc/channel.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

enum { OPEN_AGAIN_MS = 1000, LASTED_MS = 1000 };

// ---- choosing

static bool is_well(const struct connection *c)
{
    return c->connected && !c->leaving && !c->going && !c->link.said_goodbye;
}

bool endpoints_connected(const struct nrpc_channel *ch)
{
    for (size_t i = 0; i < ch->connection_count; i++)
        if (is_well(ch->connections[i]))
            return true;
    return false;
}

static bool has_room(const struct nrpc_channel *ch, const struct connection *c)
{
    return c->outstanding < ch->options.max_outstanding && !c->link.is_full;
}

// The connection with the fewest calls under way, or the one that calls keep to; those that failed lately
// only if there is no other.
struct connection *endpoints_choose(struct nrpc_channel *ch)
{
    struct connection *best = NULL;
    unsigned best_score = 0;
    size_t n = ch->connection_count;
    bool sticky = ch->options.choice == NRPC_STICKY;
    int64_t now_us = n > 1 ? clock_mono_us() : 0;
    for (size_t i = 0; i < n; i++) {
        struct connection *c = ch->connections[(ch->next_choice + i) % n];
        unsigned score = sticky ? c != ch->kept : c->outstanding;
        if (n > 1 && c->avoid_until_us > now_us)
            score += CHANNEL_SLOTS_MAX;
        if (is_well(c) && (sticky || has_room(ch, c)) && (!best || score < best_score)) {
            best = c;
            best_score = score;
        }
    }
    ch->next_choice++;
    ch->kept = best;
    return best && has_room(ch, best) ? best : NULL;
}

// ---- losing

// Calls in line have as long again to wait for a connection. Not if the one that was lost never did anything:
// a server that only accepts and hangs up must not make them wait for ever.
void endpoints_lost(struct nrpc_channel *ch, const struct connection *c)
{
    int64_t now_us = clock_mono_us();
    bool lasted = c->useful || now_us - c->opened_us >= LASTED_MS * 1000;
    if (endpoints_connected(ch))
        return;
    for (struct pending *p = ch->line; p; p = p->next) {
        if (p->connect_by_us != CLOCK_NEVER && lasted)
            p->connect_by_us = now_us + ch->options.connect_timeout_ms * 1000;
        channel_arm(ch, channel_wake_at(ch, p));
    }
}

void endpoints_let_go(struct connection *c, bool replace)
{
    struct nrpc_channel *ch = c->channel;
    if (c->going)
        return;
    bool was_well = is_well(c);
    c->going = true;
    c->replace = replace;
    if (c->dialer)
        sp_dialer_rest(c->dialer);
    if (!c->outstanding)
        connection_say_goodbye(c);
    if (was_well)
        endpoints_lost(ch, c);
    channel_arm(ch, 0);
}

// ---- making

static size_t count_staying(const struct nrpc_channel *ch)
{
    size_t n = 0;
    for (size_t i = 0; i < ch->connection_count; i++)
        n += !ch->connections[i]->going;
    return n;
}

// Under the mutex.
static void insert(struct nrpc_channel *ch, struct connection *c)
{
    mem_grow(&ch->connections, &ch->connection_capacity, ch->connection_count + 1, sizeof *ch->connections);
    ch->connections[ch->connection_count++] = c;
}

// Opens a connection that is marked as opening.
static int open_one(struct connection *c, struct nrpc_status *st)
{
    struct nrpc_channel *ch = c->channel;
    struct sp_dialer *dialer;
    int code = connection_open(c, &dialer, st);
    channel_lock(ch);
    c->dialer = dialer;
    c->opening = false;
    c->open_at_us = code ? clock_mono_us() + OPEN_AGAIN_MS * 1000 : CLOCK_NEVER;
    if (dialer && c->going)
        sp_dialer_rest(dialer);
    channel_arm(ch, c->going ? 0 : c->open_at_us);
    channel_unlock(ch);
    return code;
}

int endpoints_add(struct nrpc_channel *ch, const char *url, bool resolved, struct nrpc_status *st)
{
    channel_lock(ch);
    bool is_full = count_staying(ch) >= CHANNEL_ENDPOINTS_MAX;
    struct connection *c = is_full ? NULL : connection_create(ch, url);
    if (c) {
        c->resolved = resolved;
        c->opening = true;
        insert(ch, c);
    }
    channel_unlock(ch);
    return c ? open_one(c, st)
             : status_set(st, NRPC_RESOURCE_EXHAUSTED, "%s: more than %d servers", ch->name,
                          CHANNEL_ENDPOINTS_MAX);
}

// ---- tending

// What takes the place of one whose server drains. While the address still leads to a server that does, the
// pauses grow, as they do for one that cannot be reached.
static struct connection *successor_of(struct connection *c)
{
    const struct nrpc_channel_options *o = &c->channel->options;
    struct connection *next = connection_create(c->channel, c->url);
    bool lasted = c->useful || clock_mono_us() - c->opened_us >= LASTED_MS * 1000;
    int64_t longer_ms = c->pause_ms ? 2 * c->pause_ms : o->reconnect_min_ms;
    next->pause_ms = lasted ? 0 : longer_ms < o->reconnect_max_ms ? longer_ms : o->reconnect_max_ms;
    next->resolved = c->resolved;
    next->open_at_us = 0;
    return next;
}

static void replace_those_that_drain(struct nrpc_channel *ch)
{
    for (size_t i = 0; i < ch->connection_count; i++)
        if (ch->connections[i]->replace) {
            ch->connections[i]->replace = false;
            insert(ch, successor_of(ch->connections[i]));
        }
}

static bool is_over(const struct connection *c)
{
    return c->going && !c->pipe && !c->opening && !c->outstanding && !c->replace;
}

// Takes one that is over out of the list; NULL: there is none.
static struct connection *take_over(struct nrpc_channel *ch)
{
    for (size_t i = 0; i < ch->connection_count; i++) {
        struct connection *c = ch->connections[i];
        if (!is_over(c))
            continue;
        ch->connections[i] = ch->connections[--ch->connection_count];
        if (ch->kept == c)
            ch->kept = NULL;
        return c;
    }
    return NULL;
}

// One that is to be opened now; NULL: none is. *next_us: when the next one is.
static struct connection *take_unopened(struct nrpc_channel *ch, int64_t now_us, int64_t *next_us)
{
    *next_us = CLOCK_NEVER;
    for (size_t i = 0; i < ch->connection_count; i++) {
        struct connection *c = ch->connections[i];
        if (c->dialer || c->opening || c->going || c->local)
            continue;
        if (c->open_at_us <= now_us) {
            c->opening = true;
            return c;
        }
        *next_us = c->open_at_us < *next_us ? c->open_at_us : *next_us;
    }
    return NULL;
}

int64_t endpoints_tend(struct nrpc_channel *ch)
{
    int64_t next_us;
    struct nrpc_status st;
    struct connection *over, *unopened;
    do {
        channel_lock(ch);
        replace_those_that_drain(ch);
        over = take_over(ch);
        unopened = over ? NULL : take_unopened(ch, clock_mono_us(), &next_us);
        channel_unlock(ch);
        if (over) {
            connection_close(over);
            connection_destroy(over);
        } else if (unopened && open_one(unopened, &st)) {
            log_warn("%s", st.text);
        }
    } while (over || unopened);
    return next_us;
}
