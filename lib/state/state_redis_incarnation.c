// SPDX-License-Identifier: Apache-2.0
// state_redis_incarnation.c: whether a server is still the same, whose it is, and what it may be older than.
//
// A server that has started, or was made the master, since we heard of it may have lost its last moments, or
// be an old copy. hello.lua gives it another epoch then; the watching thread tells STATE_HINT_RESYNC, a
// manager compares it with the records and verifies it.
#include "state/state_redis_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

// ---- a new connection's first words

// The value behind `name` in a section of INFO.
static int info_value(struct redis_link *l, redisContext *c, const char *section, const char *name,
                      char out[64], struct nrpc_status *st)
{
    redisReply *info;
    char format[64];
    int code = redis_place_command(redis_link_place(l), c, 2, (const char *[]){"INFO", section},
                                   (size_t[]){4, strlen(section)}, &info, st);
    if (code)
        return code;
    const char *at = info->type == REDIS_REPLY_STRING ? strstr(info->str, name) : NULL;
    snprintf(format, sizeof format, "%s%%63[0-9a-f]", name);
    bool found = at && sscanf(at, format, out) == 1;
    freeReplyObject(info);
    return found ? NRPC_OK
                 : status_set(st, NRPC_FAILED_PRECONDITION, "Redis at %s does not say its %.*s",
                              redis_link_name(l), (int)strlen(name) - 1, name);
}

// A process has one run id all its life, and another replication id after each promotion.
static int identify(struct redis_link *l, redisContext *c, char out[128], struct nrpc_status *st)
{
    char run[64], replication[64];
    int code = info_value(l, c, "server", "run_id:", run, st);
    if (code == NRPC_OK)
        code = info_value(l, c, "replication", "master_replid:", replication, st);
    if (code == NRPC_OK)
        snprintf(out, 128, "%s:%s", run, replication);
    return code;
}

// What a server remembers of its place, so that nobody takes it for another: shard of how many; of a server
// that has several, "server/servers:shards".
static void write_place(const struct rs_shard *shard, char *out, size_t size)
{
    size_t shards = shard->store->shard_count, servers = shard->store->server_count;
    if (rs_is_cluster(shard) || shards == servers)
        snprintf(out, size, "%u/%zu", shard->index, shards);
    else
        snprintf(out, size, "%zu/%zu:%zu", shard->index % servers, servers, shards);
}

int rs_hello(void *user, redisContext *c, struct nrpc_status *st)
{
    struct rs_shard *shard = user;
    char server[128], place[64];
    struct rs_call call;
    if (identify(shard->link, c, server, st))
        return st->code;
    write_place(shard, place, sizeof place);
    rs_begin(&call, shard, RS_SEEN, NULL, st);
    rs_text(&call, place);
    rs_text(&call, server);
    rs_u64(&call, shard->store->installation);
    call.script = redis_scripts[SCRIPT_hello].name;
    call.code = redis_script_on(shard->link, c, &redis_scripts[SCRIPT_hello], call.count, call.args,
                                call.lengths, &call.reply, st);
    int code = call.code ? NRPC_OK : (int)rs_u32_at(&call, call.reply, 0, "code");
    if (call.code == NRPC_OK && code)
        call.code =
            status_set(st, code, "Redis at %s: %s", redis_link_name(shard->link), rs_at(call.reply, 1)->str);
    uint64_t epoch = call.code ? 0 : rs_u64_at(&call, call.reply, RS_REPLY, "epoch");
    if (call.code == NRPC_OK)
        atomic_store(&shard->epoch, epoch);
    return rs_end(&call);
}

// ---- comparing

// Epochs are microseconds, and they and the counts of outages only rise: their sum is another whenever one of
// them is.
static uint64_t sum_epochs(const struct rs_store *store, uint64_t *epochs, bool *verified)
{
    uint64_t sum = 0;
    *verified = true;
    for (size_t i = 0; i < store->shard_count; i++) {
        epochs[i] = atomic_load(&store->shards[i].epoch);
        *verified &= epochs[i] && epochs[i] == atomic_load(&store->shards[i].verified);
        sum += epochs[i] + atomic_load(&store->shards[i].outages); // what was away was not compared
    }
    return sum;
}

uint64_t rs_incarnation(struct state *s, bool *verified)
{
    uint64_t epochs[STATE_REDIS_SHARDS_MAX];
    return sum_epochs((const struct rs_store *)s, epochs, verified);
}

static bool has_any(const struct rs_shard *shard, const uint64_t *tasks, size_t count)
{
    bool any = false;
    for (size_t i = 0; i < count; i++)
        any |= rs_shard_of(shard->store, tasks[i]) == shard;
    return any;
}

int rs_verify(struct state *s, uint64_t incarnation, const uint64_t *but, size_t but_count,
              struct nrpc_status *st)
{
    struct rs_store *store = (struct rs_store *)s;
    uint64_t epochs[STATE_REDIS_SHARDS_MAX];
    bool verified;
    int code = NRPC_OK;
    if (sum_epochs(store, epochs, &verified) != incarnation)
        return NRPC_OK;
    for (size_t i = 0; i < store->shard_count; i++) {
        struct rs_call c;
        struct nrpc_status own;
        if (has_any(&store->shards[i], but, but_count) || rs_is_down(&store->shards[i]))
            continue;
        rs_begin(&c, &store->shards[i], RS_SEEN, NULL, &own);
        rs_u64(&c, epochs[i]);
        if (rs_finish(&c, SCRIPT_verify) == NRPC_OK) {
            atomic_store(&store->shards[i].verified, epochs[i]);
        } else { // the others are verified all the same
            *st = own;
            code = own.code;
        }
    }
    return code;
}

int rs_marks(struct state *s, struct model_marks *inout, struct nrpc_status *st)
{
    struct rs_round round = rs_round(s, st);
    uint64_t *const marks[] = {&inout->task, &inout->event, &inout->node};
    enum { MARKS = sizeof marks / sizeof *marks };
    for (struct rs_shard *shard; (shard = rs_next(&round));) {
        struct rs_call c;
        rs_begin(&c, shard, RS_SEEN, NULL, st);
        for (size_t k = 0; k < MARKS; k++)
            rs_u64(&c, *marks[k]);
        if (rs_do(&c, SCRIPT_marks) == NRPC_OK)
            for (size_t k = 0; k < MARKS; k++) {
                uint64_t mark = rs_u64_at(&c, c.reply, RS_REPLY + k, "mark");
                *marks[k] = mark > *marks[k] ? mark : *marks[k];
            }
        rs_note(&round, rs_end(&c));
    }
    return rs_round_any(&round); // the marks of each are raised to those of all, once a second
}

// ---- whose turn it is

// The first shard's epoch is the whole state's number.
uint64_t rs_identity(struct state *s, const char **where)
{
    struct rs_shard *first = &((struct rs_store *)s)->shards[0];
    struct nrpc_status st;
    if (!atomic_load(&first->watching)) // nobody else notices that it has begun anew
        (void)rs_look_after(first, &st);
    *where = redis_link_name(first->link);
    return atomic_load(&first->epoch);
}

void rs_bar(struct state *s, const char *why)
{
    struct rs_store *store = (struct rs_store *)s;
    pthread_mutex_lock(&store->bar_lock);
    snprintf(store->bar, sizeof store->bar, "%s", why ? why : "");
    pthread_mutex_unlock(&store->bar_lock);
    if (atomic_exchange(&store->is_barred, why != NULL) == (why != NULL))
        return;
    for (size_t i = 0; i < store->shard_count; i++)
        atomic_fetch_add(&store->shards[i].outages, 1);
    if (!why && s->watch)
        s->watch(s->watch_user, &(struct state_hint){.kind = STATE_HINT_RESYNC});
}

static int shard_begins_anew(struct rs_shard *shard, struct nrpc_status *st)
{
    struct rs_call c;
    redisContext *fresh;
    rs_begin(&c, shard, RS_SEEN, NULL, st);
    if (rs_finish(&c, SCRIPT_begin_anew))
        return st->code;
    if (redis_place_connect(redis_link_place(shard->link), &fresh, st))
        return st->code;
    int code = rs_hello(shard, fresh, st);
    redisFree(fresh);
    return code;
}

int rs_begin_anew(struct state *s, struct nrpc_status *st)
{
    struct rs_store *store = (struct rs_store *)s;
    int code = NRPC_OK;
    for (size_t i = 0; i < store->shard_count && code == NRPC_OK; i++)
        if (!atomic_load(&store->shards[i].down))
            code = shard_begins_anew(&store->shards[i], st);
    return code;
}
