// SPDX-License-Identifier: Apache-2.0
// client.c: opening and closing a client; what all calls share: outcomes, pauses, deadlines, copies.
#include "client.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/version.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { AGAIN_FIRST_MS = 100, AGAIN_LAST_MS = 1000 }; // between tries

struct dtf_client *client_on_channel(struct nrpc_channel *channel)
{
    struct dtf_client *c = mem_calloc(1, sizeof *c);
    c->channel = channel;
    c->patience_ms = -1;
    return c;
}

void dtf_client_set_patience(struct dtf_client *c, int64_t patience_ms,
                             void (*tell)(void *user, const struct nrpc_status *st), void *user)
{
    c->patience_ms = patience_ms;
    c->tell = tell;
    c->tell_user = user;
}

// Every call says which protocol this library speaks: a coordinator that does not know it refuses.
static int say_version(void *user, struct nrpc_outgoing *call, struct nrpc_status *st)
{
    char text[12];
    (void)user;
    snprintf(text, sizeof text, "%d", VERSION_CLIENT_PROTOCOL);
    return nrpc_outgoing_add(call, &(struct nrpc_metadata){.key = VERSION_CLIENT_KEY, .value = text}, st);
}

static const struct nrpc_client_interceptor version = {.start = say_version};

// A server that hangs is left while people still wait.
static const struct nrpc_channel_options channel_options = {.choice = NRPC_STICKY,
                                                            .keepalive_ms = 5000,
                                                            .keepalive_timeout_ms = 3000,
                                                            .interceptors = &version,
                                                            .interceptor_count = 1};

int dtf_client_open(const char *url, struct dtf_client **out, struct nrpc_status *st)
{
    struct nrpc_channel *channel;
    if (!url || !*url)
        return status_set(st, NRPC_INVALID_ARGUMENT, "url: none given");
    int code = nrpc_channel_open(url, &channel_options, &channel, st);
    if (!code)
        *out = client_on_channel(channel);
    return code;
}

void dtf_client_close(struct dtf_client *client)
{
    if (!client)
        return;
    nrpc_channel_close(client->channel);
    free(client);
}

// ---- outcomes and pauses

static bool got_no_answer(int code)
{
    return code == NRPC_UNAVAILABLE || code == NRPC_DEADLINE_EXCEEDED;
}

int client_note(struct dtf_client *c, int code)
{
    if (!got_no_answer(code))
        atomic_store_explicit(&c->reached, true, memory_order_relaxed);
    return code;
}

static uint64_t count_connects(const struct dtf_client *c)
{
    struct nrpc_channel_stats stats;
    nrpc_channel_stats(c->channel, &stats);
    return stats.connects;
}

bool client_is_gone(const struct dtf_client *c, int code)
{
    return got_no_answer(code) &&
           (atomic_load_explicit(&c->reached, memory_order_relaxed) || count_connects(c) > 0);
}

bool client_was_connected(const struct dtf_client *c)
{
    return count_connects(c) > 0 || nrpc_channel_is_connected(c->channel); // a local one is not counted
}

void client_back_off(struct client_backoff *b, int64_t at_most_ms)
{
    int64_t ms = b->next_ms < at_most_ms ? b->next_ms : at_most_ms;
    struct timespec pause = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&pause, NULL);
    b->next_ms = b->next_ms * 2 < b->last_ms ? b->next_ms * 2 : b->last_ms;
}

bool client_again(struct dtf_client *c, struct client_tries *t, int code, const struct nrpc_status *st,
                  int64_t left_ms)
{
    if (!got_no_answer(code) || c->patience_ms <= 0)
        return false;
    int64_t now_us = clock_mono_us();
    if (!t->since_us) {
        *t = (struct client_tries){now_us, {AGAIN_FIRST_MS, AGAIN_LAST_MS}};
        if (c->tell && st)
            c->tell(c->tell_user, st);
    }
    int64_t rest_ms = c->patience_ms - (now_us - t->since_us) / 1000;
    left_ms = left_ms < rest_ms ? left_ms : rest_ms;
    if (left_ms <= 0)
        return false;
    client_back_off(&t->backoff, left_ms);
    return true;
}

bool client_keeps_on(struct dtf_client *c, struct client_tries *t, struct client_backoff *b, int code,
                     const struct nrpc_status *st, int64_t left_ms)
{
    if (c->patience_ms >= 0)
        return client_again(c, t, code, st, left_ms);
    if (!client_is_gone(c, code) || !left_ms)
        return false;
    client_back_off(b, left_ms);
    return true;
}

int64_t client_deadline_us(int64_t timeout_ms)
{
    int64_t now_us = clock_mono_us();
    return timeout_ms < 0 || timeout_ms > (CLOCK_NEVER - now_us) / 1000 ? CLOCK_NEVER
                                                                        : now_us + timeout_ms * 1000;
}

int64_t client_left_ms(int64_t deadline_us, int64_t max_ms)
{
    int64_t left_ms = deadline_us == CLOCK_NEVER ? max_ms : (deadline_us - clock_mono_us() + 999) / 1000;
    if (left_ms < 0)
        return 0;
    return left_ms < max_ms ? left_ms : max_ms;
}

// ---- copies

void client_copy_text(char *out, size_t size, const char *text)
{
    size_t n = text ? strlen(text) : 0;
    if (n >= size) {
        n = size - 1;
        while (n && ((unsigned char)text[n] & 0xc0) == 0x80)
            n--;
    }
    if (n)
        memcpy(out, text, n);
    out[n] = 0;
}

static void read_counters(const Dtf__V1__Counters *n, struct dtf_task_info *out)
{
    out->generated = n->generated;
    out->succeeded = n->succeeded;
    out->failed = n->failed;
    out->timed_out = n->timed_out;
    out->cancelled = n->cancelled;
    out->retried = n->retried;
    out->redispatched = n->redispatched;
    out->running = n->running;
    out->queued = n->queued;
    out->generation_done = n->generation_done;
}

void client_read_task(const Dtf__V1__Task *task, struct dtf_task_info *out)
{
    *out = (struct dtf_task_info){
        .id = task->id,
        .status = (int)task->status,
        .progress_percent = task->progress_percent,
        .state_unknown = task->state_unknown,
        .created_ms = task->created_ms,
        .finished_ms = task->finished_ms,
    };
    client_copy_text(out->message, sizeof out->message, task->message);
    if (task->param) {
        out->priority = task->param->priority;
        client_copy_text(out->name, sizeof out->name, task->param->name);
        client_copy_text(out->type, sizeof out->type, task->param->type);
        client_copy_text(out->resource_group, sizeof out->resource_group, task->param->resource_group);
    }
    if (task->counters)
        read_counters(task->counters, out);
}

int client_check_size(const char *field, size_t bytes, size_t max, struct nrpc_status *st)
{
    if (bytes <= max)
        return NRPC_OK;
    return status_set(st, NRPC_INVALID_ARGUMENT, "%s: %zu bytes are too many (at most %zu)", field, bytes,
                      max);
}
