// SPDX-License-Identifier: Apache-2.0
// map_print.h: prints the results of a map, each whole, as they come or in the order of the items; collects
// failures. The printing thread's.
#ifndef CLI_MAP_PRINT_H
#define CLI_MAP_PRINT_H

#include "cli.h"
#include "map_window.h"
#include "progress.h"

enum { MAP_FAILURES_SHOWN = 20 };

struct map_print {
    const struct cli *cli;
    struct map_window *window;
    struct progress *progress;
    bool keep_order, shares_terminal; // shares_terminal: the progress line and the output
    struct map_item *waiting;         // by id: those whose turn has not come
    uint64_t printed;                 // with keep_order: the id that was printed last
    uint64_t done, failed;            // items with a result; those of them that are failures
    uint64_t cancelled;               // items that were stopped, or never begun, because the task ended early
    char *failures[MAP_FAILURES_SHOWN];
    int write_error; // errno of the first output that could not be written
};

void map_print_init(struct map_print *p, const struct cli *cli, struct map_window *w,
                    struct progress *progress, bool keep_order);
void map_print_fini(struct map_print *p);

// A dtf_result_fn; user: the struct map_print.
void map_print_result(void *user, const struct dtf_task_result *t);
// After a round of results: lets the reader of the output have them.
void map_print_flush(struct map_print *p);
// At the end: those that wait for an item that will not come any more.
void map_print_rest(struct map_print *p);
// At the end: how many failed, and which.
void map_print_failures(const struct map_print *p);

#endif
