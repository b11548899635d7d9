// SPDX-License-Identifier: Apache-2.0
// map_window.c: keeps the items under way, in a table guarded by one mutex.
#include "map_window.h"

#include "base/mem.h"

#include <string.h>

void map_window_init(struct map_window *w)
{
    *w = (struct map_window){0};
    pthread_mutex_init(&w->mu, NULL);
    pthread_cond_init(&w->room, NULL);
}

static void free_item(struct map_item *item)
{
    outcome_free(&item->outcome);
    free(item->failure);
    free(item->note);
    free(item);
}

void map_window_fini(struct map_window *w)
{
    struct map_item *item, *next;
    HASH_ITER(hh, w->items, item, next)
    {
        HASH_DEL(w->items, item);
        free_item(item);
    }
    pthread_cond_destroy(&w->room);
    pthread_mutex_destroy(&w->mu);
}

// One item always has room, whatever its size: nothing would ever make more.
static bool is_full(const struct map_window *w)
{
    uint64_t count = w->added - w->released;
    return count >= MAP_WINDOW_ITEMS || (count && w->bytes >= MAP_WINDOW_BYTES);
}

bool map_window_is_full(struct map_window *w)
{
    pthread_mutex_lock(&w->mu);
    bool full = is_full(w);
    pthread_mutex_unlock(&w->mu);
    return full;
}

bool map_window_is_closed(struct map_window *w)
{
    pthread_mutex_lock(&w->mu);
    bool closed = w->closed;
    pthread_mutex_unlock(&w->mu);
    return closed;
}

bool map_window_add(struct map_window *w, const char *text, size_t bytes)
{
    struct map_item *item = mem_alloc(sizeof *item + bytes);
    *item = (struct map_item){.bytes = bytes, .held_bytes = sizeof *item + bytes};
    memcpy(item->text, text, bytes);
    pthread_mutex_lock(&w->mu);
    while (!w->closed && is_full(w))
        pthread_cond_wait(&w->room, &w->mu);
    bool added = !w->closed;
    if (added) {
        item->id = ++w->added;
        w->bytes += item->held_bytes;
        HASH_ADD(hh, w->items, id, sizeof item->id, item);
    }
    pthread_mutex_unlock(&w->mu);
    if (!added)
        free_item(item);
    return added;
}

void map_window_close(struct map_window *w)
{
    pthread_mutex_lock(&w->mu);
    w->closed = true;
    pthread_cond_broadcast(&w->room);
    pthread_mutex_unlock(&w->mu);
}

struct map_item *map_window_take(struct map_window *w, uint64_t id)
{
    struct map_item *item;
    pthread_mutex_lock(&w->mu);
    HASH_FIND(hh, w->items, &id, sizeof id, item);
    if (item)
        HASH_DEL(w->items, item);
    pthread_mutex_unlock(&w->mu);
    return item;
}

void map_window_hold(struct map_window *w, struct map_item *item, size_t bytes)
{
    pthread_mutex_lock(&w->mu);
    item->held_bytes += bytes;
    w->bytes += bytes;
    pthread_mutex_unlock(&w->mu);
}

void map_window_release(struct map_window *w, struct map_item *item)
{
    pthread_mutex_lock(&w->mu);
    w->released++;
    w->bytes -= item->held_bytes;
    if (!is_full(w))
        pthread_cond_signal(&w->room);
    pthread_mutex_unlock(&w->mu);
    free_item(item);
}

static uint64_t read_count(struct map_window *w, const uint64_t *count)
{
    pthread_mutex_lock(&w->mu);
    uint64_t n = *count;
    pthread_mutex_unlock(&w->mu);
    return n;
}

uint64_t map_window_added(struct map_window *w)
{
    return read_count(w, &w->added);
}

uint64_t map_window_released(struct map_window *w)
{
    return read_count(w, &w->released);
}
