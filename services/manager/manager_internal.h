// SPDX-License-Identifier: Apache-2.0
// manager_internal.h: what manager.c (what happens to tasks) and requests.c (what is asked) share.
#ifndef MANAGER_INTERNAL_H
#define MANAGER_INTERNAL_H

#include "finds.h"
#include "manager.h"
#include "parked.h"
#include "wall.h"

enum { MANAGER_WAIT_MAX_MS = 60000 };

struct creation {
    struct request *request;
    const Dtf__V1__TaskParam *param;
};

struct events_read { // of the records; in the arena of the step
    uint64_t after, task, first_kept;
    size_t max, count;
    struct records_event *events;
};

struct answers;

struct events {               // requests_events.c
    bool is_known;            // what the newest is
    uint64_t tail;            // all up to this one was told to those who wait
    uint64_t noted;           // the newest that is known
    bool look;                // there may be more
    bool is_telling;          // who is asked again is answered on the pool
    struct events_read *last; // of this step; NULL: none that still holds
    struct answers *answers;  // gathered
};

// A walk through what is recorded, and what the state has: a slice in a step, others' work between them.
struct repair {
    struct manager *m;
    bool is_walking;
    bool is_asked;  // whoever leads
    bool is_urgent; // something is known to be amiss
    bool again;     // once more from the beginning, afterwards
    bool thorough;  // the state may be older than the records, or they than it
    bool was_verified;
    uint64_t incarnation;
    int phase;        // of the state's tasks; 0: it still walks through the records
    uint64_t after;   // this task
    uint64_t *failed; // tasks that could not be looked at
    size_t failed_count, failed_capacity;
    struct nrpc_status unheard; // a server of the state that did not answer
};

struct manager {
    const struct env *env;
    struct loop loop;
    struct parked parked;
    struct events events;
    struct arena arena; // of the step
    // gathered in a step, done together at its end
    struct creation *creations;
    struct records_new_task *new_tasks; // one a creation
    size_t creation_count, creation_capacity, new_task_capacity;
    uint64_t *closed; // tasks whose end is to be recorded, taken from the state
    size_t closed_count, closed_capacity;
    unsigned differing; // how often in a row some of them did not end: their failures are not those recorded
    uint64_t *dropped;  // of a step: tasks that the state gave up
    size_t dropped_count;
    bool stopping;
    int64_t now_ms; // of the step
    uint64_t owner_id;
    bool leads;           // is the one manager that does what is to be done once
    bool look_for_closed; // there may be some
    bool excused;         // the state did not answer: what is found next was told of, perhaps
    struct finds finds;
    bool repair_asked;  // by what failed here, whoever leads
    bool compare_asked; // one of the stores has gone back in time: look at all that the state has
    struct fed *fed;    // calls of Feed that were done, and are to be answered at the end of the step
    size_t fed_count, fed_capacity;
    bool numbers_known;       // which were given: until then none is
    struct model_marks marks; // the highest numbers that either store has given
    struct wall wall;         // dates
    struct noted *noted;      // failures that were recorded, of tasks under way
    struct repair walk;
    int64_t repair_pause_ms; // before the next try, if this one fails
    uint64_t forgotten;      // old tasks, since it was said last
    int64_t lead_until_ms;
    int64_t feeders_since_ms; // feeders could be heard of
    int64_t next_lead_ms, next_look_ms, next_overdue_ms, next_repair_ms, next_finish_ms, next_points_ms,
        next_witness_ms, next_trim_ms, next_feeders_ms;
};

// Runs the requests that waited for this.
void manager_signal(struct manager *m, uint64_t task, unsigned signals, int64_t now_ms);
void manager_announce(struct manager *m, const Dtf__V1__Event *event);
// What a crash, or a state store that lost what it had, has left half done (repair.c): of some tasks; one
// that the store cannot tell of is noted. Of one task, which somebody has met.
enum { REPAIR_SLICE = 50 }; // at the most; a checkpoint may be large
int repair_some(struct repair *r, const struct records_task *tasks, size_t count, struct arena *a,
                struct nrpc_status *st);
int repair_task(struct manager *m, uint64_t task, struct nrpc_status *st);
// The same for one that the state has taken out as damaged.
int repair_damaged(struct manager *m, uint64_t task, struct nrpc_status *st);
// Gives up what the state has of a task.
int repair_drop(struct manager *m, uint64_t task, const char *why, struct nrpc_status *st);
void repair_failed(struct repair *r, uint64_t task);
// Gives up what the state has and the records do not (compare.c): of the walk's next tasks.
int compare_slice(struct repair *r, bool *more, struct nrpc_status *st);
// A slice of the walk through all tasks (walk.c). It is due, and who leads, or was asked, walks.
void walk_step(struct manager *m, int64_t now_ms);
bool walk_is_wanted(const struct manager *m);
void walk_soon(struct manager *m, int64_t now_ms); // hints were lost, or what they told of
// Sees to it that neither store gives numbers again.
int compare_numbers(struct manager *m, struct nrpc_status *st);
// Gives a fed task what was recorded of it and is not in the state.
int repair_feed(struct manager *m, uint64_t task, struct nrpc_status *st);
// Records how far tasks have got for good, with what failed of that; *more: there are further ones.
int repair_points(struct manager *m, bool *more, struct nrpc_status *st);
void repair_forget(struct manager *m, uint64_t task);

// Records the failures of a task that points up to this segment include; UINT64_MAX: all.
int manager_record_failures(struct manager *m, uint64_t task, uint64_t segment, struct nrpc_status *st);

// The feeders of tasks (feeders.c). A task begins, or is admitted again; its feeder was heard of; it could
// not have been until now; what the leading manager does.
void feeders_begin(struct manager *m, uint64_t task, const Dtf__V1__TaskParam *p, int64_t now_ms);
void feeders_heard(struct manager *m, uint64_t task, int64_t now_ms);
void feeders_excuse(struct manager *m, int64_t now_ms);
void feeders_tick(struct manager *m, int64_t now_ms);

// Cancels a task, as a client's Cancel does.
int requests_stop(struct manager *m, uint64_t task, const char *message, int64_t now_ms,
                  struct nrpc_status *st);

// Records what was gathered, admits it, answers.
void requests_create_all(struct manager *m, int64_t now_ms);

// Sees to it that what was fed is kept, and answers who fed it.
void requests_feed_all(struct manager *m);

// What the files of requests share. Parks a request for up to wait_ms, or its caller's deadline if that is
// earlier. false: that time is up (or none was given).
bool requests_park(struct manager *m, struct request *r, uint64_t task, unsigned signals, uint64_t wait_ms,
                   int64_t now_ms, bool last);
int requests_page(uint32_t asked, int by_default, int max);
// Somebody has met a task that is under way, and that the state does not know: whoever recorded it may not
// have come to admit it.
void requests_admit_met(struct manager *m, uint64_t task);
// The state has taken it out as damaged.
void requests_admit_damaged(struct manager *m, uint64_t task, int64_t now_ms);
void requests_feed(struct manager *m, struct request *r, int64_t now_ms, bool last);
void requests_results(struct manager *m, struct request *r, int64_t now_ms, bool last);
void requests_events(struct manager *m, struct request *r, int64_t now_ms, bool last);

// An event was recorded (0: perhaps, elsewhere); tells those who wait for events, at the end of a step.
void events_note(struct manager *m, uint64_t sequence);
void events_tell(struct manager *m, int64_t now_ms);

#endif
