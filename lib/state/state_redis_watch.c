// SPDX-License-Identifier: Apache-2.0
// state_redis_watch.c: hints: those of our own calls, and those of other processes, heard by a thread a
// shard.
//
// The thread also asks the server once a second for its time, which is the cluster's, and whether it still
// has its data. After a connection was lost, or the server started anew, or was wiped, it tells
// STATE_HINT_RESYNC.
#include "base/log.h"
#include "base/wait.h"
#include "state/state_redis_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SETTINGS_MS = 5000, TICK_MS = 1000, AGAIN_MS = 200, VIEW_FIELDS = 12, STEP_US = 2000000 };

// ---- hints as scripts write them

// Cuts fields off, each ended by a zero byte; false: there are not enough.
static bool read_fields(const char **at, const char *end, const char *fields[VIEW_FIELDS])
{
    for (int i = 0; i < VIEW_FIELDS; i++) {
        const char *stop = memchr(*at, 0, (size_t)(end - *at));
        if (!stop)
            return false;
        fields[i] = *at;
        *at = stop + 1;
    }
    return true;
}

bool rs_read_view(const char **at, const char *end, struct state_hint *hint, unsigned *bits)
{
    const char *f[VIEW_FIELDS];
    if (!read_fields(at, end, f))
        return false;
    enum { GROUP = 3, TYPE = 4, NEXT_RETRY = 7 };
    static const uint64_t most[VIEW_FIELDS] = {UINT32_MAX, UINT64_MAX, UINT64_MAX, 0,
                                               0,          UINT32_MAX, UINT64_MAX, INT64_MAX,
                                               UINT64_MAX, UINT32_MAX, UINT64_MAX, INT64_MAX};
    uint64_t n[VIEW_FIELDS] = {0};
    for (int i = 0; i < VIEW_FIELDS; i++) {
        if (i == GROUP || i == TYPE || (i == NEXT_RETRY && !strcmp(f[i], "-1")))
            continue;
        if (!rs_parse_u64(f[i], most[i], &n[i]))
            return false;
    }
    *bits = (unsigned)n[0];
    hint->task = n[1];
    hint->view = (struct state_view){
        .task = hint->task,
        .version = n[2],
        .group = f[GROUP],
        .type = f[TYPE],
        .priority = (uint32_t)n[5],
        .ready = n[6],
        .next_retry_ms = *f[NEXT_RETRY] == '-' ? CLOCK_NEVER : (int64_t)n[NEXT_RETRY],
        .running = n[8],
        .max_running = (uint32_t)n[9],
    };
    hint->count = n[10];
    hint->run_us = (int64_t)n[11];
    return true;
}

void rs_tell(struct rs_store *store, const char *hints, size_t bytes)
{
    struct state_hint hint;
    unsigned bits;
    const char *end = hints + bytes;
    if (!store->state.watch)
        return;
    for (const char *at = NULL; at != hints;) {
        at = hints;
        bits = 0;
        (void)rs_read_view(&hints, end, &hint, &bits);
        for (unsigned kind = 1; kind < 1u << STATE_HINTS; kind <<= 1)
            if (bits & kind) {
                hint.kind = (enum state_hint_kind)kind;
                store->state.watch(store->state.watch_user, &hint);
            }
    }
}

// ---- hearing

// Channels are a server's, not a database's: another installation may use the same. Programs from before name
// none.
static bool is_of_ours(const struct rs_store *store, const char *sender)
{
    const char *slash = strchr(sender, '/');
    size_t length = slash ? (size_t)(slash - sender) + 1 : 0;
    return strcmp(sender, store->sender) != 0 && !strncmp(sender, store->sender, length);
}

// false: the slot has gone to another server.
static bool hear(struct rs_shard *shard, const redisReply *message)
{
    const redisReply *kind = rs_at(message, 0);
    if (kind->type == REDIS_REPLY_STRING && !strcmp(kind->str, "sunsubscribe"))
        return false;
    const redisReply *body = rs_at(message, 2);
    const char *stop = body->type == REDIS_REPLY_STRING ? memchr(body->str, 0, body->len) : NULL;
    if (stop && is_of_ours(shard->store, body->str))
        rs_tell(shard->store, stop + 1, (size_t)(body->str + body->len - stop - 1));
    return true;
}

static bool hear_all(struct rs_shard *shard, redisContext *c)
{
    void *message;
    if (redisBufferRead(c) != REDIS_OK)
        return false;
    for (;;) {
        if (redisGetReplyFromReader(c, &message) != REDIS_OK)
            return false;
        if (!message)
            return true;
        bool goes_on = hear(shard, message);
        freeReplyObject(message);
        if (!goes_on)
            return false;
    }
}

// Also to a channel that carries nothing, so that others see which format this program knows (call.lua).
static int subscribe(struct rs_shard *shard, redisContext **out, struct nrpc_status *st)
{
    char channel[40], format[40];
    int length = snprintf(channel, sizeof channel, "%s:hints", shard->prefix);
    int format_length = snprintf(format, sizeof format, "%s:format%d", shard->prefix, STATE_REDIS_FORMAT);
    redisReply *reply;
    if (redis_place_connect(redis_link_place(shard->link), out, st))
        return st->code;
    const char *subscribe = rs_is_cluster(shard) ? "SSUBSCRIBE" : "SUBSCRIBE";
    int code = redis_place_command(
        redis_link_place(shard->link), *out, 3, (const char *[]){subscribe, channel, format},
        (size_t[]){strlen(subscribe), (size_t)length, (size_t)format_length}, &reply, st);
    if (reply)
        freeReplyObject(reply);
    if (code) {
        redisFree(*out);
        *out = NULL;
    }
    return code;
}

// ---- the server's time and its data

// The first shard's clock is everybody's. When it has jumped, what the roles are waiting for may be far off.
static void set_clock(struct rs_shard *shard, int64_t us)
{
    if (shard->index > 0)
        return;
    int64_t moved_us = clock_follow(us);
    if (moved_us < STEP_US && moved_us > -STEP_US)
        return;
    log_warn("the clock of Redis at %s is %.1f s from ours, which follows it", redis_link_name(shard->link),
             (double)moved_us / 1e6);
    atomic_store(&shard->store->now_ms, 0);
    shard->epoch_told = 0;
}

// Leases that others gave by the new time look void by the old one.
int rs_check_clock(struct rs_store *store, struct nrpc_status *st)
{
    redisReply *time;
    struct rs_shard *first = &store->shards[0];
    int64_t now_ms = clock_now_ms(); // it may be set meanwhile
    if (rs_is_down(first) ||
        redis_link_command(first->link, 1, (const char *[]){"TIME"}, (size_t[]){4}, &time, NULL))
        return NRPC_OK; // nobody follows it now
    struct rs_call c = {.shard = first, .st = st, .script = "TIME"};
    int64_t ahead_ms = (int64_t)rs_u32_at(&c, time, 0, "seconds") * 1000 - now_ms;
    freeReplyObject(time);
    if (c.code)
        return c.code;
    return llabs(ahead_ms) < STEP_US / 1000
               ? NRPC_OK
               : status_set(st, NRPC_ABORTED, "the clock of Redis has jumped, and is not followed yet");
}

int rs_tick(struct rs_shard *shard, struct nrpc_status *st)
{
    struct rs_call c;
    rs_begin(&c, shard, RS_SEEN, NULL, st);
    if (rs_do(&c, SCRIPT_tick) == NRPC_OK) {
        const redisReply *time = rs_array_at(&c, c.reply, RS_REPLY + 1, "time");
        int64_t us =
            (int64_t)rs_u32_at(&c, time, 0, "seconds") * 1000000 + rs_u32_at(&c, time, 1, "microseconds");
        bool wiped = rs_is_nil(rs_at(c.reply, RS_REPLY)); // under our connection
        uint64_t epoch = wiped ? 0 : rs_u64_at(&c, c.reply, RS_REPLY, "epoch");
        if (c.code == NRPC_OK) {
            set_clock(shard, us);
            atomic_store(&shard->epoch, epoch);
        }
    }
    return rs_end(&c);
}

// false: it does not answer, or did not have its data.
bool rs_look_after(struct rs_shard *shard, struct nrpc_status *st)
{
    redisContext *fresh;
    if (rs_tick(shard, st))
        return false;
    if (atomic_load(&shard->epoch))
        return true;
    if (redis_place_connect(redis_link_place(shard->link), &fresh, st))
        return false;
    int code = rs_hello(shard, fresh, st);
    redisFree(fresh);
    return code == NRPC_OK;
}

static void note_reachable(struct rs_shard *shard, bool reachable, const struct nrpc_status *st)
{
    pthread_mutex_lock(&shard->why_lock);
    snprintf(shard->why, sizeof shard->why, "%s", reachable ? "" : st->text);
    pthread_mutex_unlock(&shard->why_lock);
    if (reachable != shard->reachable && reachable)
        log_info("Redis at %s answers", redis_link_name(shard->link));
    else if (reachable != shard->reachable)
        log_warn("%s", st->text);
    shard->reachable = reachable;
}

static void tell_resync(struct rs_shard *shard)
{
    struct state *s = &shard->store->state;
    if (s->watch)
        s->watch(s->watch_user, &(struct state_hint){.kind = STATE_HINT_RESYNC});
}

// true: it is news.
static bool set_down(struct rs_shard *shard, bool down)
{
    if (atomic_exchange(&shard->down, down) == down)
        return false;
    atomic_fetch_add(&shard->outages, 1);
    return true;
}

void rs_doubt(struct rs_shard *shard)
{
    if (!atomic_load(&shard->watching) || !set_down(shard, true))
        return;
    while (write(shard->wake[1], "?", 1) < 0 && errno == EINTR)
        ;
}

// ---- the thread

enum woken { TIME_IS_UP, DOUBTED, ENDED };

static enum woken read_wake(struct rs_shard *shard)
{
    char bytes[64];
    ssize_t n = read(shard->wake[0], bytes, sizeof bytes);
    return n > 0 && memchr(bytes, 0, (size_t)n) ? ENDED : DOUBTED;
}

// Waits for a message, until a time, or to be woken.
static enum woken wait_for(struct rs_shard *shard, redisContext *c, int64_t until_us, bool *readable)
{
    struct pollfd fds[2] = {{.fd = shard->wake[0], .events = POLLIN},
                            {.fd = c ? c->fd : -1, .events = POLLIN}};
    int64_t wait_ms = (until_us - clock_mono_us() + 999) / 1000;
    int n = poll(fds, 2, wait_ms > 0 ? (int)wait_ms : 0);
    *readable = n > 0 && fds[1].revents;
    return n > 0 && fds[0].revents ? read_wake(shard) : TIME_IS_UP;
}

static void *watch_shard(void *arg)
{
    struct rs_shard *shard = arg;
    redisContext *c = NULL;
    int64_t tick_us = 0, settings_us = 0;
    bool readable = false;
    shard->reachable = true;
    for (enum woken woken; (woken = wait_for(shard, c, tick_us, &readable)) != ENDED;) {
        struct nrpc_status st = {0};
        bool well = true, subscribed = false;
        if (c && readable && !hear_all(shard, c)) {
            redisFree(c);
            c = NULL;
        }
        if (c && woken != DOUBTED && clock_mono_us() < tick_us)
            continue;
        if (!c)
            subscribed = well = subscribe(shard, &c, &st) == NRPC_OK;
        well = well && rs_look_after(shard, &st);
        uint64_t epoch = atomic_load(&shard->epoch);
        (void)set_down(shard, !well);
        bool anew = well && (subscribed || epoch != shard->epoch_told || !shard->reachable);
        if (well && (anew || clock_mono_us() >= settings_us)) {
            rs_look_at_settings(shard);
            settings_us = clock_mono_us() + SETTINGS_MS * 1000;
        }
        if (anew) {
            shard->epoch_told = epoch;
            tell_resync(shard);
        }
        note_reachable(shard, well, &st);
        tick_us = clock_mono_us() + (well ? TICK_MS : AGAIN_MS) * 1000;
    }
    if (c)
        redisFree(c);
    return NULL;
}

static void stop_watching(struct rs_shard *shard)
{
    if (!atomic_load(&shard->watching))
        return;
    while (write(shard->wake[1], "", 1) < 0 && errno == EINTR)
        ;
    pthread_join(shard->thread, NULL);
    atomic_store(&shard->watching, false);
    atomic_store(&shard->down, false); // nobody would say when it is back
}

static void start_watching(struct rs_shard *shard)
{
    if (pthread_create(&shard->thread, NULL, watch_shard, shard)) {
        log_error("no thread to hear what other processes change: %s", strerror(errno));
        abort();
    }
    pthread_setname_np(shard->thread, "redis-watch");
    atomic_store(&shard->watching, true);
}

void rs_watch(struct state *s, state_watch_fn fn, void *user)
{
    struct rs_store *store = (struct rs_store *)s;
    for (size_t i = 0; i < store->shard_count; i++)
        stop_watching(&store->shards[i]);
    s->watch = fn;
    s->watch_user = user;
    for (size_t i = 0; fn && i < store->shard_count; i++)
        start_watching(&store->shards[i]);
}
