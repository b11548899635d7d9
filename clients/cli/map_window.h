// SPDX-License-Identifier: Apache-2.0
// map_window.h: the items that were fed and not printed yet, and the limit on them. The feeding thread adds,
// the printing thread takes; everything may be called from both.
#ifndef CLI_MAP_WINDOW_H
#define CLI_MAP_WINDOW_H

#include "outcome.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define uthash_fatal(message) abort()
#include <uthash.h>

enum {
    MAP_WINDOW_ITEMS = 50000,
    MAP_WINDOW_BYTES = 64 << 20, // of items, and of outputs that wait for their turn
};

struct map_item {
    uint64_t id; // its subtask's
    UT_hash_handle hh;
    // Set by the printing thread, once the result is there:
    struct outcome outcome;
    int kind;
    int32_t code;
    int64_t run_us;
    char *failure; // NULL: it succeeded
    char *note;    // what else is said of it; NULL: nothing
    size_t held_bytes;
    size_t bytes; // of text
    char text[];
};

struct map_window {
    pthread_mutex_t mu;
    pthread_cond_t room;
    struct map_item *items; // by id
    uint64_t added, released;
    size_t bytes;
    bool closed;
};

void map_window_init(struct map_window *w);
void map_window_fini(struct map_window *w);

// Whether map_window_add would wait.
bool map_window_is_closed(struct map_window *w);
bool map_window_is_full(struct map_window *w);
// Adds an item, waiting for room; its id counts from 1. False if the window was closed.
bool map_window_add(struct map_window *w, const char *text, size_t bytes);
// No more items: wakes who waits for room.
void map_window_close(struct map_window *w);

// Takes an item out to print it; NULL if it is not there (or not any more). It counts until it is released.
struct map_item *map_window_take(struct map_window *w, uint64_t id);
// Counts bytes that an item which was taken holds while it waits for its turn.
void map_window_hold(struct map_window *w, struct map_item *item, size_t bytes);
// It is printed: frees it and what it holds.
void map_window_release(struct map_window *w, struct map_item *item);

uint64_t map_window_added(struct map_window *w);
uint64_t map_window_released(struct map_window *w);

#endif
