// SPDX-License-Identifier: Apache-2.0
// dtf.h: the public interface of Pterergate, the distributed task framework.
//
// In six steps: (1) implement the callback tables that the job needs, (2) put them into a dtf_task_type, (3)
// register it, or export it from a plugin, (4) start a service with the roles that this process is to play,
// (5) create tasks, (6) wait and join. README.md shows all six; clients/examples has two complete plugins.
//
// Errors: a function that can fail returns a code of enum nrpc_code (0: success) and writes a sentence to *st
// unless st is NULL. Strings are UTF-8. Times are milliseconds since 1970, durations milliseconds. Every
// function may be called from any thread unless it says otherwise.
#ifndef DTF_H
#define DTF_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// ---------------------------------------------------------------- limits

#define DTF_NAME_MAX 100             // bytes in names, groups, creators, idempotency keys
#define DTF_DESCRIPTION_MAX 255      // bytes
#define DTF_TYPE_PARAM_MAX (1 << 20) // bytes in a task's parameter
#define DTF_SUBTASK_PARAM_MAX (256 << 10)
#define DTF_RESULT_BODY_MAX (256 << 10)
#define DTF_COMMAND_OUTPUT_MAX                                                                               \
    114688 // bytes of a command's output that are kept of each of its two streams, at most
#define DTF_CHECKPOINT_MAX (256 << 10)
#define DTF_FOLLOWUPS_MAX 10000 // that one result may add
#define DTF_SUBTASK_TIMEOUT_MS 300000
#define DTF_SUBTASK_TIMEOUT_MAX_MS 86400000
#define DTF_TASK_TIMEOUT_MS INT64_C(86400000)
#define DTF_TASK_TIMEOUT_MAX_MS INT64_C(2592000000) // 30 days
#define DTF_RETRIES_MAX 1000
#define DTF_RETRY_BACKOFF_MS 100         // before the first retry, doubled with each more
#define DTF_RETRY_BACKOFF_MAX_MS 3600000 // also of what it is doubled to
#define DTF_REASON_MAX 255               // bytes of why a task was cancelled
#define DTF_FEEDER_LEASE_MIN_MS 5000
#define DTF_FEEDER_LEASE_MAX_MS 86400000
#define DTF_NODE_LEASE_MIN_MS 500
#define DTF_NODE_LEASE_MAX_MS 600000
#define DTF_SLOTS_MAX 4096 // of a node

#define DTF_PRIORITY_LOW 2000
#define DTF_PRIORITY_MEDIUM 6000
#define DTF_PRIORITY_HIGH 9000

// ---------------------------------------------------------------- what callbacks see

struct dtf_task { // lives during the callback
    uint64_t id;
    const char *type, *name, *resource_group, *creator;
    uint64_t creator_uid;
    uint32_t priority;
    int64_t created_ms, deadline_ms;
    const void *param; // TaskParam.type_param
    size_t param_bytes;
};

struct dtf_subtask {      // lives during the callback
    uint64_t task_id, id; // ids count from 1 within their task
    uint32_t attempt;     // 1 for the first dispatch, one more with each further one
    const char *type;
    uint32_t timeout_ms;
    const void *param;
    size_t param_bytes;
};

enum dtf_result_kind {
    DTF_RESULT_SUCCESS = 1,
    DTF_RESULT_FAILURE = 2,
    DTF_RESULT_TIMEOUT = 3,
    DTF_RESULT_CANCELLED = 4,
    DTF_RESULT_LOST = 5,
};

struct dtf_result {
    enum dtf_result_kind kind;
    int32_t code;
    const char *message;
    const void *body;
    size_t body_bytes;
    int64_t run_us;
};

// ---------------------------------------------------------------- callbacks
//
// Calls of one table for one task never overlap; different tasks run side by side, so what `user` points to
// must be safe for that. A callback that blocks delays its own task only; one that ends the process (a fatal
// signal, exit) three times fails its own task only. Every callback may be NULL unless marked "needed".

struct dtf_subtask_spec {
    const void *param;   // copied before the next call
    size_t param_bytes;  // at most DTF_SUBTASK_PARAM_MAX
    uint32_t timeout_ms; // 0: DTF_SUBTASK_TIMEOUT_MS
};

enum dtf_next {
    DTF_NEXT_SUBTASK,  // *out is a subtask
    DTF_NEXT_LAST,     // *out is a subtask, and the last
    DTF_NEXT_NONE_NOW, // nothing at the moment; ask again (after 10 ms, doubling to 1 s)
    DTF_NEXT_FINISHED, // there is no more
    DTF_NEXT_ERROR,    // the generator failed (*st says why): the task fails
};

// Where the framework keeps what save_status wrote. dtf_buffer_append copies.
struct dtf_buffer;
void dtf_buffer_append(struct dtf_buffer *buffer, const void *data, size_t size);

// Splits a task into subtasks, lazily. The calls for one task: begin, (next... save_status)..., end.
struct dtf_generator {
    // Starts, or goes on after `saved` (what save_status wrote last; NULL at the first start) in whatever
    // process. *state is handed to the other calls. Failing: the task fails with that error; `end` is not
    // called. Needed.
    int (*begin)(void *user, const struct dtf_task *task, const void *saved, size_t saved_bytes, void **state,
                 struct nrpc_status *st);
    // The next subtask. Called many times in a row; calls are batched and what they gave is stored together
    // with the status saved after the last of them, in one step. Needed.
    enum dtf_next (*next)(void *state, struct dtf_subtask_spec *out, struct nrpc_status *st);
    // Writes all that `begin` needs to go on right after the last `next`; at most DTF_CHECKPOINT_MAX. NULL:
    // after a crash the generator starts again from its beginning, skipping as many subtasks as it had
    // generated (it must be deterministic then).
    void (*save_status)(void *state, struct dtf_buffer *out);
    // How far it is, 0..100, or -1 if it cannot tell.
    int (*query_progress)(void *state);
    // The task was cancelled or timed out: `end` follows.
    void (*cancel)(void *state);
    // Frees *state. Called once after each successful begin, whatever the reason; not when the process is
    // killed.
    void (*end)(void *state);
};

// One run of execute.
struct dtf_execution;
bool dtf_execution_is_cancelled(
    const struct dtf_execution *x);                         // the task ended, or the time is up: return soon
int dtf_execution_cancel_fd(const struct dtf_execution *x); // becomes readable at that moment, for poll()
void dtf_execution_set_code(struct dtf_execution *x, int32_t code);
// The result's body; copied; at most DTF_RESULT_BODY_MAX, or the subtask fails.
void dtf_execution_set_body(struct dtf_execution *x, const void *data, size_t size);

struct dtf_executor {
    // Does the work. 0: success; otherwise a failure with the text in *st. Calls of *different subtasks* of
    // one task do run at the same time. A subtask that is still running at its timeout is cancelled,
    // and is timed out whatever it returns; what it set as its body is kept if it returns within 5 s. It
    // keeps its slot until execute returns. Needed.
    int (*execute)(void *user, const struct dtf_subtask *subtask, struct dtf_execution *x,
                   struct nrpc_status *st);
    // The running subtask is to stop; called from another thread, at most once, while execute runs. Must not
    // block.
    void (*cancel)(void *user, const struct dtf_subtask *subtask);
};

struct dtf_scheduler_callback {
    // Asked before a subtask goes to a node. false: not now; asked about this one again after 100 ms or
    // later. When it has declined all that was ready, or some hundreds in a row, nothing of the task is asked
    // about for 100 ms, and the next time for twice as long, up to 1 s; until it accepts one, or a subtask of
    // the task has ended.
    bool (*before_dispatch)(void *user, const struct dtf_subtask *subtask);
    // It goes to a node now.
    void (*after_dispatch)(void *user, const struct dtf_subtask *subtask);
};

// Collects follow-up subtasks during after_execution. Refused beyond DTF_FOLLOWUPS_MAX (RESOURCE_EXHAUSTED),
// for an oversized param (INVALID_ARGUMENT), or if the type does not iterate (FAILED_PRECONDITION).
struct dtf_followups;
int dtf_followup_add(struct dtf_followups *f, const struct dtf_subtask_spec *spec, struct nrpc_status *st);

struct dtf_task_summary {
    uint64_t task_id;
    const char *outcome; // "completed", "cancelled", "failed" or "timed_out"
    uint64_t generated, succeeded, failed, timed_out, cancelled;
};

struct dtf_collector_callback {
    // A result arrived whose attempt is the current one. *finished is true when called; set to false to have
    // the subtask dispatched again (as a failure is, if the task's retries allow it). Follow-ups are stored
    // in the same step in which the result is counted. Called at least once for every counted result; again
    // if a process died in between. But the end of a task that is cancelled or failed, or whose time is up,
    // waits for no callback: what comes after it is counted without.
    void (*after_execution)(void *user, const struct dtf_subtask *subtask, const struct dtf_result *result,
                            struct dtf_followups *followups, bool *finished);
    // The last subtask is settled; the task is recorded as ended when this returned. Called at least once.
    // param is the task's. Failing: the task ends as failed with that error.
    int (*after_task_completed)(void *user, const struct dtf_task *task,
                                const struct dtf_task_summary *summary, struct nrpc_status *st);
};

// ---------------------------------------------------------------- task types and plugins

enum dtf_iteration {
    DTF_ITERATION_NONE,      // all subtasks come from the generator, or from feeding
    DTF_ITERATION_COLLECTOR, // the collector callback may add follow-ups
};

struct dtf_task_conf {
    enum dtf_iteration iteration;
    int64_t timeout_ms; // of a task that sets none; 0: 24 h
};

struct dtf_task_type {
    const char *name; // 1..DTF_NAME_MAX bytes
    const char *description;
    struct dtf_task_conf conf;
    const struct dtf_generator *generator; // NULL: tasks of this type must be fed
    const struct dtf_executor *executor;
    const struct dtf_scheduler_callback *scheduler; // NULL: every subtask may go
    const struct dtf_collector_callback *collector; // NULL: results are only counted
    void *user;                                     // handed to the callbacks
};

// Registers a type for all services of this process. The type and what it points to stay the caller's and
// must live as long as the process. Before the first dtf_service_start.
int dtf_register_task_type(const struct dtf_task_type *type, struct nrpc_status *st);

// A plugin is a shared object that exports this symbol.
#define DTF_PLUGIN_ABI 1
struct dtf_plugin {
    uint32_t abi; // DTF_PLUGIN_ABI
    uint32_t type_count;
    const struct dtf_task_type *types;
};
#define DTF_PLUGIN_SYMBOL "dtf_plugin_v1"
extern const struct dtf_plugin dtf_plugin_v1; // defined by each plugin

// Loads a plugin and registers its types. Refused when the file is no plugin or was made for another ABI.
int dtf_load_plugin(const char *path, struct nrpc_status *st);

// ---------------------------------------------------------------- services

enum dtf_role {
    DTF_ROLE_MANAGER = 1,
    DTF_ROLE_GENERATOR = 2,
    DTF_ROLE_SCHEDULER = 4,
    DTF_ROLE_EXECUTOR = 8,
    DTF_ROLE_COLLECTOR = 16,
    DTF_ROLE_COORDINATOR = DTF_ROLE_MANAGER | DTF_ROLE_GENERATOR | DTF_ROLE_SCHEDULER | DTF_ROLE_COLLECTOR,
    DTF_ROLE_ALL = 31,
};

struct dtf_service_options {
    const char *data_dir; // where state and records live; NULL: in memory, gone with the process
    // Instead of data_dir: a cluster, any number of processes over the same Redis and MySQL (or MariaDB)
    // servers, with any coordinator roles each; only the scheduler and the collector go together. Coordinator
    // roles need both. Redis is one url a server, all processes the same in the same order, or one url of a
    // Redis Cluster; MySQL's tables are made or brought up to date. The urls may hold passwords; they are
    // never logged.
    const char *const *redis_urls;
    size_t redis_url_count;
    // Parts that the state is in, redis_url_count..64; 0: one a server, 16 in a Redis Cluster. Decided when
    // the stores are first used: Redis remembers it, and another number is refused.
    unsigned redis_shards;
    const char *mysql_url;
    const char *const *listen_urls; // what to listen on; none: this process only
    size_t listen_count;
    // executor: the coordinator, or several separated by commas: the node keeps to one of them, and goes on
    // with another when that one fails; NULL: the scheduler in this process
    const char *join_url;
    unsigned slots;        // executor: subtasks run at once, 1..4096; 0: the number of cores
    const char *node_name; // executor; NULL: the host name
    int64_t grace_ms;      // how long running subtasks may finish at a stop; 0: 10,000
    int64_t node_lease_ms; // a node not heard of for this long is lost, 500..600,000; 0: 5,000
    const char *event_url; // manager: where task events are published; NULL: nowhere
    bool no_quarantine;    // scheduler: a node that fails what others do well gets its share all the same
};

struct dtf_service;

// Starts the roles (an OR of enum dtf_role) and returns when they work. An executor's commands are started by
// child processes of this one, forked at the first start of an executor, when the program has few threads and
// little memory at best; they stay until the process ends, and then end what runs below them. Several
// services may run in one process. UNAVAILABLE: Redis or MySQL cannot be reached; to be called again.
int dtf_service_start(unsigned roles, const struct dtf_service_options *options, struct dtf_service **out,
                      struct nrpc_status *st);
// The url (with the real port) of listener `index`, NULL past the last; lives as long as the service.
const char *dtf_service_url(const struct dtf_service *service, size_t index);
// Begins an orderly stop: no new work; running subtasks get the grace period, then are cancelled and handed
// back. Safe to call again: the second call ends the grace period.
void dtf_service_notify_stop(struct dtf_service *service);
// Stops the commands that services of this process run, and the process, until SIGCONT: for whoever takes
// care of SIGTSTP (Ctrl-Z), which a terminal sends to the process alone.
void dtf_service_suspend(void);
// Waits until the service has stopped, then frees it.
void dtf_service_join(struct dtf_service *service);

// ---------------------------------------------------------------- clients

struct dtf_client;

// Connects to a coordinator, or to one of several, separated by commas: calls keep to one server and go on
// with another when that one fails. dtf_client_local connects to the coordinator in this process. Must be
// closed.
int dtf_client_open(const char *url, struct dtf_client **out, struct nrpc_status *st);
struct dtf_client *dtf_client_local(struct dtf_service *service);
void dtf_client_close(struct dtf_client *client);
// Calls that no server could be reached for, or that a server cannot do now (UNAVAILABLE; DEADLINE_EXCEEDED
// of one that does not answer), are made again for this long, from the first of them that fails; 0: not at
// all. dtf_task_wait lasts no longer than its timeout. tell, if not NULL, is called once when that begins, on
// the thread of the call. Without this, calls go on by themselves with a server that was there before, as
// each of them says.
void dtf_client_set_patience(struct dtf_client *client, int64_t patience_ms,
                             void (*tell)(void *user, const struct nrpc_status *st), void *user);

enum dtf_task_status {
    DTF_TASK_CREATED = 1,
    DTF_TASK_RUNNING = 2,
    DTF_TASK_PAUSED = 3,
    DTF_TASK_CANCELLED = 4,
    DTF_TASK_COMPLETED = 5,
    DTF_TASK_FAILED = 6,
    DTF_TASK_TIMED_OUT = 7,
};
const char *dtf_task_status_name(int status); // "running", ...; "unknown"

struct dtf_task_param { // zero is a good default for all but `type`; proto/dtf/v1/task.proto has the limits
    uint64_t creator_uid;
    const char *creator, *resource_group;
    uint32_t priority;
    const char *name, *description;
    const char *type;
    int64_t timeout_ms;
    const void *type_param;
    size_t type_param_bytes;
    const char *idempotency_key;
    uint32_t max_retries, retry_backoff_ms;
    int64_t tolerated_failures; // -1: any number
    uint32_t max_running;
    bool keep_results, fed;
    uint32_t feeder_lease_ms; // fed: how long the feeder may stay silent before the task is cancelled, 5,000
                              // or more; 0: it stays
};

struct dtf_task_info {
    uint64_t id;
    int status;           // enum dtf_task_status
    int progress_percent; // -1: unknown
    uint32_t priority;
    char name[DTF_NAME_MAX + 1], type[DTF_NAME_MAX + 1], resource_group[DTF_NAME_MAX + 1];
    char message[256];
    uint64_t generated, succeeded, failed, timed_out, cancelled, retried, redispatched, running, queued;
    bool generation_done;
    bool state_unknown; // the server that has its state does not answer, as message says: no counters are
                        // known
    int64_t created_ms, finished_ms;
};

// Without an idempotency key the library makes one for the call: a creation whose answer was lost is asked
// for again, at another server if there is one, and never done twice.
int dtf_task_create(struct dtf_client *c, const struct dtf_task_param *param, uint64_t *task_id,
                    struct nrpc_status *st);
int dtf_task_pause(struct dtf_client *c, uint64_t task_id, struct nrpc_status *st);
int dtf_task_resume(struct dtf_client *c, uint64_t task_id, struct nrpc_status *st);
int dtf_task_cancel(struct dtf_client *c, uint64_t task_id, const char *reason, struct nrpc_status *st);
int dtf_task_status(struct dtf_client *c, uint64_t task_id, struct dtf_task_info *out,
                    struct nrpc_status *st);
// Until the task has ended (then *out is its final state) or timeout_ms passed (DEADLINE_EXCEEDED, *out as it
// is then). timeout_ms < 0: for ever.
int dtf_task_wait(struct dtf_client *c, uint64_t task_id, int64_t timeout_ms, struct dtf_task_info *out,
                  struct nrpc_status *st);
// Newest first; status 0: all; before_id 0: from the newest. *count is capacity in, number out.
int dtf_task_list(struct dtf_client *c, int status, uint64_t before_id, struct dtf_task_info *out,
                  size_t *count, struct nrpc_status *st);

// Appends subtasks to a task made with `fed`; `at` is how many were fed before. Waits while the task's queue
// is full. What it says OK to is on the disk: hand in many at a time.
int dtf_task_feed(struct dtf_client *c, uint64_t task_id, uint64_t at,
                  const struct dtf_subtask_spec *subtasks, size_t count, bool finish, struct nrpc_status *st);

// Tells that the feeder of a task is there: with a feeder_lease_ms, to be called several times within it,
// until the task has ended; from a thread of its own, also while dtf_task_feed waits. Asks once, whatever the
// client's patience, and waits at most timeout_ms for the answer.
int dtf_task_keep(struct dtf_client *c, uint64_t task_id, int64_t timeout_ms, struct nrpc_status *st);

struct dtf_task_result {
    uint64_t subtask_id;
    uint32_t attempt;
    struct dtf_result result;
    const void *param; // the subtask's; only when failures are read
    size_t param_bytes;
};
// Reads kept results after *cursor (0 at first), waiting up to wait_ms for one. Calls `each` for every result
// (what it points to lives during the call), moves *cursor, and sets *end when the task is over and all were
// read.
typedef void (*dtf_result_fn)(void *user, const struct dtf_task_result *result);
int dtf_task_results(struct dtf_client *c, uint64_t task_id, uint64_t *cursor, int64_t wait_ms,
                     bool failed_only, dtf_result_fn each, void *user, bool *end, struct nrpc_status *st);

enum { DTF_NODE_NOTE_MAX = 250 };

struct dtf_node_info {
    uint64_t id;
    char name[DTF_NAME_MAX + 1], host[256];
    uint32_t pid, slots;
    uint64_t running, settled;
    int64_t seen_ms_ago;
    uint32_t usable; // of its slots: fewer than all while it is short of something
    // Of what, as it says; why it is given one subtask at a time, now and then. Sentences; empty: not so.
    char short_of[DTF_NODE_NOTE_MAX + 1], quarantine[DTF_NODE_NOTE_MAX + 1];
};
int dtf_nodes(struct dtf_client *c, struct dtf_node_info *out, size_t *count, struct nrpc_status *st);
int dtf_group_set(struct dtf_client *c, const char *group, uint32_t quota, struct nrpc_status *st);

#ifdef __cplusplus
}
#endif

#endif
