// SPDX-License-Identifier: Apache-2.0
// task.h: the life of a task and of a subtask as tables and pure functions. No clock, no I/O, no threads.
#ifndef MODEL_TASK_H
#define MODEL_TASK_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

// ---- numbers

// The largest number of which every store holds each below it exactly: Redis's scripts count in doubles. Ids,
// positions and numbers of subtasks stay within it; an imported task's id within its half, so that no new id,
// which is above all others, gets there.
#define MODEL_NUMBER_MAX ((UINT64_C(1) << 53) - 1)
#define MODEL_IMPORTED_ID_MAX (UINT64_C(1) << 52)

// INVALID_ARGUMENT if the number is over MODEL_NUMBER_MAX; the text names it as `name`.
int model_check_number(const char *name, uint64_t number, struct nrpc_status *st);

// Where to go on after: what is over the largest number comes to the same as that.
static inline uint64_t model_after(uint64_t number)
{
    return number < MODEL_NUMBER_MAX ? number : MODEL_NUMBER_MAX;
}

// ---- the recorded status of a task (dtf.v1.TaskStatus has the same numbers)

enum model_status {
    MODEL_CREATED = 1,
    MODEL_RUNNING = 2,
    MODEL_PAUSED = 3,
    MODEL_CANCELLED = 4,
    MODEL_COMPLETED = 5,
    MODEL_FAILED = 6,
    MODEL_TIMED_OUT = 7,
};

enum model_event { // what can happen to a task
    MODEL_ADMIT,
    MODEL_PAUSE,
    MODEL_RESUME,
    MODEL_FINISH_COMPLETED,
    MODEL_FINISH_CANCELLED,
    MODEL_FINISH_FAILED,
    MODEL_FINISH_TIMED_OUT,
    MODEL_EVENT_COUNT,
};

const char *model_status_name(int status); // "running"; "unknown" for no status
bool model_status_is_terminal(int status);

// The status after an event; 0 if the event is not legal in that status. An event that leaves a status as it
// is (pausing what is paused) is legal: acting twice is harmless.
enum model_status model_status_after(enum model_status status, enum model_event event);

// A task whose callback has ended its process so often fails.
enum { MODEL_BLAMES_MAX = 3 };

// ---- the phase of a task that is under way

enum model_phase {
    MODEL_GENERATING = 1, // subtasks are still being added
    MODEL_DRAINING,       // all were added; some are queued or running
    MODEL_STOPPING,       // ends early: nothing is queued, what runs is being stopped
    MODEL_CLOSING,        // nothing is left; the closing callback is due
    MODEL_CLOSED,         // the end can be recorded
};

enum model_outcome {
    MODEL_OUTCOME_NONE = 0,
    MODEL_OUTCOME_COMPLETED,
    MODEL_OUTCOME_CANCELLED,
    MODEL_OUTCOME_FAILED,
    MODEL_OUTCOME_TIMED_OUT,
    MODEL_OUTCOME_DROPPED, // no end of the task: the state has given it up, since the records say otherwise
};

const char *model_phase_name(enum model_phase phase);
const char *model_outcome_name(enum model_outcome outcome); // "completed"
enum model_event model_outcome_event(enum model_outcome outcome);

struct model_counters {
    uint64_t
        generated; // follow-ups included; generated = succeeded+failed+timed_out+cancelled+running+queued
    uint64_t succeeded, failed, timed_out, cancelled;
    uint64_t retried, redispatched;
    uint64_t running, queued;
    bool generation_done;
};

struct model_policy {
    uint32_t max_retries, retry_backoff_ms;
    int64_t tolerated_failures; // -1: any number
};

// The phase a task belongs in, given where it is and its counters: the one place where a task moves on by
// itself. *outcome is set when it leaves GENERATING or DRAINING (it stays MODEL_OUTCOME_NONE otherwise).
enum model_phase model_phase_next(enum model_phase phase, const struct model_counters *counters,
                                  const struct model_policy *policy, bool closing_callback,
                                  enum model_outcome *outcome);

// The highest numbers that were ever given, of each kind: state and records keep them both, so that none
// comes again when one of them goes back in time.
struct model_marks {
    uint64_t task, event, node;
};

// ---- results and retries

enum model_kind { // of a result (dtf.v1.ResultKind has the same numbers)
    MODEL_SUCCESS = 1,
    MODEL_FAILURE = 2,
    MODEL_TIMEOUT = 3,
    MODEL_CANCELLED_RESULT = 4,
    MODEL_LOST = 5, // its node vanished
};

enum model_verdict { MODEL_SETTLE, MODEL_RETRY };

// What becomes of a result: `failures` and `losses` count what went wrong with this subtask before.
// MODEL_RETRY: *delay_ms says after which time. A loss is retried up to losses_max times, at once.
enum model_verdict model_retry(const struct model_policy *policy, enum model_kind kind, uint32_t failures,
                               uint32_t losses, uint32_t losses_max, int64_t *delay_ms);

// What a subtask's timeout is when this was asked for: 0 means the default.
uint32_t model_timeout_ms(uint32_t asked_ms);

// retry_backoff_ms (0: DTF_RETRY_BACKOFF_MS) doubled per earlier failure, at most DTF_RETRY_BACKOFF_MAX_MS.
int64_t model_backoff_ms(const struct model_policy *policy, uint32_t failures);

#endif
