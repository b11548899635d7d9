// SPDX-License-Identifier: Apache-2.0
// sched.h: which task may use the next free slots. A decision only: no clock, no I/O, no threads; one owner.
//
// Slot time is shared between quota groups in proportion to their quotas, and inside a group between tasks in
// proportion to their priority's weight (1, 8 or 256). Each group and each task carries a virtual time: the
// slot time it was given divided by its weight; the one furthest behind is next, so that nobody starves. What
// a dispatch will cost is not known when it is made: it is charged at the task's average so far, and
// corrected when results tell how long it took.
#ifndef SCHED_H
#define SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SCHED_QUOTA_DEFAULT = 100, SCHED_QUOTA_MAX = 10000 };

struct sched;

struct sched_task { // what the decision needs to know
    uint64_t id;
    const char *group;
    uint32_t priority;
    uint64_t ready;       // subtasks that may go now
    uint64_t running;     // subtasks with a node
    uint32_t max_running; // 0: no limit
};

struct sched_pick {
    uint64_t task;
    uint32_t count;
};

struct sched *sched_create(void);
void sched_destroy(struct sched *s); // NULL is allowed

void sched_set_group(struct sched *s, const char *name, uint32_t quota); // 1..SCHED_QUOTA_MAX
void sched_set_task(struct sched *s, const struct sched_task *t);        // new, or changed
void sched_remove_task(struct sched *s, uint64_t id);                    // fine if unknown

// Decides on up to `want` subtasks; fills up to max picks, each of another task than the one before; returns
// their number. What was picked counts as running and no longer ready until sched_set_task says otherwise.
// Tasks that `fits` (NULL: all fit) says no to are passed over.
typedef bool (*sched_fits_fn)(void *user, uint64_t task);
size_t sched_pick(struct sched *s, uint32_t want, sched_fits_fn fits, void *user, struct sched_pick *out,
                  size_t max);

// In the picks that follow whose turn it is keeps it for up to `turn` subtasks, over several picks: what is
// decided together comes of fewer tasks. Nobody loses by it: all of it is charged. At first 1.
void sched_set_turn(struct sched *s, uint32_t turn);

// Likewise on up to `want` subtasks that are to wait at a node until a slot is free: as long as their slot
// time, as far as results have told what a subtask of theirs takes, fits into wait_us. Whose turn it is, but
// whose cost is not known or too much, ends it: nobody goes ahead of it.
size_t sched_pick_ahead(struct sched *s, uint32_t want, int64_t wait_us, sched_fits_fn fits, void *user,
                        struct sched_pick *out, size_t max);

// Takes a pick, or a part of it, back: the subtasks did not go. `ready` of them still can; that the others
// cannot is news, which sched_set_task will bring.
void sched_unpick(struct sched *s, uint64_t task, uint32_t count, uint32_t ready);

// `count` results of a task used run_us of slot time in all.
void sched_used(struct sched *s, uint64_t task, uint64_t count, int64_t run_us);
// While a task rests none of its subtasks may go.
void sched_rest(struct sched *s, uint64_t task, bool rests);
// Subtasks of it waited for a slot in vain: what one takes is not known any more, until results tell.
void sched_doubt(struct sched *s, uint64_t task);
int64_t sched_cost_us(const struct sched *s, uint64_t task); // of one subtask; 0: not known

uint64_t sched_ready_of(const struct sched *s, uint64_t task); // what it believes; 0 if unknown
uint64_t sched_ready(const struct sched *s);                   // subtasks that may go now, over all tasks
// Another number whenever more of a task may go than before; never 0.
uint64_t sched_news(const struct sched *s);

#endif
