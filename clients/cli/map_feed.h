// SPDX-License-Identifier: Apache-2.0
// map_feed.h: the thread that turns standard input into subtasks while others of them run already.
//
// It reads items as they come, and hands them in when enough have gathered or no more has come for a moment.
// It stops reading while the window is full. When the input has ended, or cannot be read on, it says that no
// more will come.
#ifndef CLI_MAP_FEED_H
#define CLI_MAP_FEED_H

#include "items.h"
#include "map_window.h"
#include "template.h"

#include <stdatomic.h>

enum {
    MAP_GONE_MS =
        300000, // how long the server may stay away once a map is under way, if nothing else is given
    MAP_GONE_PAUSE_MS = 100, // between tries
};

struct map_feed {
    struct dtf_client *client;
    uint64_t task;
    const struct template *template;
    struct map_window *window;
    uint32_t timeout_ms; // of each subtask
    int64_t gone_max_ms; // how long the server may stay away
    struct items items;
    int stop_pipe[2];
    pthread_t thread;
    atomic_bool done; // all there is was handed in; no more items will be added

    // The batch.
    struct dtf_subtask_spec *batch;
    size_t count, batch_bytes;
    uint64_t handed_in;
    struct arena arena;

    // The outcome, after map_feed_join.
    bool input_failed;   // part of the input was not used; *st says why
    bool hand_in_failed; // the task was cancelled then
    struct nrpc_status st;
};

// Before: client, task, template, window, timeout_ms and gone_max_ms are set. False with a message on stderr.
bool map_feed_start(struct map_feed *f, int fd, char separator);
// Stops reading, and waits for the thread.
void map_feed_join(struct map_feed *f);

#endif
