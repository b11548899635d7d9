// SPDX-License-Identifier: Apache-2.0
// map_feed.c: the feeding thread of the command map.
#include "map_feed.h"

#include "base/clock.h"
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
    BATCH_ITEMS = 2000,
    BATCH_BYTES = 1 << 20,
    GATHER_MS = 5, // how long a batch that is not full waits for more
};

// Whether a call is worth repeating: the queue was full, or nobody answered, but somebody did not long ago.
static bool try_again(struct map_feed *f, int code, int64_t since_us)
{
    if (code == NRPC_RESOURCE_EXHAUSTED)
        return true;
    if (map_window_is_closed(f->window) || !cli_is_not_reached(code) ||
        (clock_mono_us() - since_us) / 1000 > f->gone_max_ms)
        return false;
    usleep(MAP_GONE_PAUSE_MS * 1000);
    return true;
}

// Hands in what has gathered, however long the task's queue is full. A task that has ended refuses it:
// whoever reads its results learns that, too.
static bool hand_in(struct map_feed *f, bool finish)
{
    int64_t since_us = clock_mono_us();
    int code;
    do
        code = dtf_task_feed(f->client, f->task, f->handed_in, f->batch, f->count, finish, &f->st);
    while (try_again(f, code, since_us));
    f->handed_in += f->count;
    f->count = f->batch_bytes = 0;
    arena_reset(&f->arena);
    if (!code)
        return true;
    bool has_ended = code == NRPC_ABORTED || code == NRPC_NOT_FOUND || code == NRPC_FAILED_PRECONDITION;
    f->hand_in_failed = !has_ended;
    if (f->hand_in_failed)
        dtf_task_cancel(f->client, f->task, "not all items could be handed in", NULL);
    return false;
}

static bool give_up_input(struct map_feed *f)
{
    f->input_failed = true;
    struct nrpc_status why = f->st; // handing in overwrites it
    if (hand_in(f, true))
        f->st = why;
    return false;
}

// An item of a batch that is handed in late cannot make room in the window: so before waiting for room, hand
// in.
static bool add_item(struct map_feed *f, const char *item, size_t bytes)
{
    if (f->count && map_window_is_full(f->window) && !hand_in(f, false))
        return false;
    struct dtf_subtask_spec *spec = &f->batch[f->count];
    struct nrpc_status why;
    if (template_pack(f->template, item, bytes, &f->arena, &spec->param, &spec->param_bytes, &why)) {
        status_set(&f->st, why.code, "%s %llu: %s", f->items.separator ? "line" : "item",
                   (unsigned long long)f->items.number, why.text);
        return give_up_input(f);
    }
    if (!map_window_add(f->window, item, bytes))
        return false;
    spec->timeout_ms = f->timeout_ms;
    f->count++;
    f->batch_bytes += spec->param_bytes;
    return (f->count < BATCH_ITEMS && f->batch_bytes < BATCH_BYTES) || hand_in(f, false);
}

// Does one step; false: there is no other.
static bool feed_next(struct map_feed *f)
{
    const char *item;
    size_t bytes;
    switch (items_next(&f->items, f->count ? GATHER_MS : -1, &item, &bytes, &f->st)) {
    case ITEMS_ITEM:
        return add_item(f, item, bytes);
    case ITEMS_NOT_YET:
        return hand_in(f, false);
    case ITEMS_ERROR:
        return give_up_input(f);
    case ITEMS_END:
        hand_in(f, true);
        return false;
    case ITEMS_STOPPED:
        return false;
    }
    return false;
}

static void *run(void *arg)
{
    struct map_feed *f = arg;
    while (feed_next(f))
        ;
    atomic_store(&f->done, true);
    return NULL;
}

bool map_feed_start(struct map_feed *f, int fd, char separator)
{
    if (pipe2(f->stop_pipe, O_CLOEXEC)) {
        cli_say("cannot make a pipe: %m");
        return false;
    }
    f->batch = mem_calloc(BATCH_ITEMS, sizeof *f->batch);
    arena_init(&f->arena, 0);
    items_init(&f->items, fd, f->stop_pipe[0], separator);
    errno = pthread_create(&f->thread, NULL, run, f);
    if (!errno)
        return true;
    cli_say("cannot start a thread: %m");
    return false;
}

void map_feed_join(struct map_feed *f)
{
    map_window_close(f->window);
    close(f->stop_pipe[1]); // makes the other end readable
    pthread_join(f->thread, NULL);
    close(f->stop_pipe[0]);
    items_fini(&f->items);
    arena_fini(&f->arena);
    free(f->batch);
}
