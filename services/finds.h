// SPDX-License-Identifier: Apache-2.0
// finds.h: what a role's periodic look found though no hint had told of it: a mistake that was caught.
//
// Hints make progress; the looks that a role takes by itself are for outages, which STATE_HINT_RESYNC ends.
// Where a look finds something otherwise, it is counted for the process and logged. A hint that is only on
// its way is no find: it has FINDS_GRACE_MS to arrive. Owned by its role; the role's thread.
#ifndef SERVICES_FINDS_H
#define SERVICES_FINDS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum { FINDS_GRACE_MS = 1000, FINDS_HEARD = 4096, FINDS_SUSPECTS = 64 };

struct finds_suspect {
    uint64_t task, after, upto; // the hints that would explain it
    int64_t since_ms;
    const char *what;
};

struct finds {
    const char *role;
    _Atomic uint64_t *total;     // of the process
    uint64_t heard[FINDS_HEARD]; // tasks that hints told of lately, by id modulo
    struct finds_suspect suspects[FINDS_SUSPECTS];
    size_t count;
    int64_t log_ms; // the next line not before
};

void finds_init(struct finds *f, const char *role, _Atomic uint64_t *total);
// A hint told of a task; number: the version that it told of, or whatever else says which hint this was.
void finds_heard(struct finds *f, uint64_t task, uint64_t number);
// A look found a task as no hint had said; one with a number above `after`, up to `upto`, may be on its way.
// `what` lives for ever.
void finds_suspect(struct finds *f, uint64_t task, uint64_t after, uint64_t upto, const char *what,
                   int64_t now_ms);
// For what is somebody's once a hint has told of it: finds_remember with that hint; finds_unheard when a look
// found the task, which is no find if the hint had come: then its owner has died.
void finds_remember(struct finds *f, uint64_t task);
void finds_unheard(struct finds *f, uint64_t task, uint64_t number, const char *what, int64_t now_ms);
// Found and sure: no hint can be on its way.
void finds_count(struct finds *f, uint64_t task, const char *what, int64_t now_ms);
// There was an outage: hints were lost.
void finds_excuse(struct finds *f);
// Counts what no hint has explained in time; returns when to come again.
int64_t finds_tick(struct finds *f, int64_t now_ms);

#endif
