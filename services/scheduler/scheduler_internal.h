// SPDX-License-Identifier: Apache-2.0
// scheduler_internal.h: what scheduler.c (the loop, and what is due) and exchange.c (calls and work) share.
#ifndef SCHEDULER_INTERNAL_H
#define SCHEDULER_INTERNAL_H

#include "node_table.h"
#include "sched/suspect.h"
#include "scheduler.h"
#include "vet.h"
#include "views.h"

enum mail_kind {
    MAIL_OFFER,
    MAIL_REGISTER,
    MAIL_LEAVE,
    MAIL_VIEW,
    MAIL_GONE,
    MAIL_STOP,
    MAIL_SETTLED,
    MAIL_DAMAGED,
    MAIL_RESYNC,
    MAIL_VETTED,
    MAIL_GROUPS,
    MAIL_GROUPS_READ
};

// Quota groups are read on the pool: records that do not answer are not to hold up dispatch.
struct groups_reading {
    struct pool_job job; // first member
    struct mail mail;
    const struct env *env;
    struct loop *loop;
    struct arena arena;
    struct records_group *groups;
    size_t count;
    int code;
    bool again; // asked for meanwhile
    bool under_way;
};

// A call that has brought something and takes what is ready; in the arena of the step.
struct report {
    struct report *next;
    uint64_t node;
    struct exchange *x;
};

struct scheduler {
    const struct env *env;
    struct loop loop;
    struct node_table nodes;
    struct views views;
    struct suspect *suspect;               // NULL: there is no quarantine
    struct strands *strands;               // for vetting
    struct arena arena;                    // of the step
    struct report *reports, **last_report; // of the step, not answered yet
    struct groups_reading groups;
    bool started; // has read what was there
    uint64_t owner_id;
    bool leads; // is the one scheduler that sweeps
    int64_t lead_until_ms;
    unsigned rebases; // how often the state is still to be told that the clock has jumped
    bool owes_grace;  // leases could not be renewed
    bool has_jumped;  // and it is not only this process that begins
    int64_t next_rebase_ms, renew_all_until_ms;
    int64_t seen_now_ms, seen_mono_ms; // of the last step
    int64_t next_refresh_ms, next_sweep_ms, next_renew_ms;
    int64_t next_dispatch_ms; // not before: the state did not answer
    uint64_t *to_note;        // nodes of which there is something new to be told
    size_t to_note_count, to_note_capacity;
    int64_t next_note_ms;
};

// How long a node that has work lets a call wait: so often is it heard of.
static inline int64_t scheduler_poll_ms(const struct scheduler *s)
{
    return s->env->node_lease_ms / 3;
}

// Leases of nodes (leases.c). Extends these; drops the nodes that have none.
int leases_extend(struct scheduler *s, const struct state_renewal *renewals, size_t count);
void leases_renew(struct scheduler *s, int64_t now_ms); // of all that were heard of
void leases_sweep(struct scheduler *s,
                  int64_t now_ms); // removes those that were not; if this scheduler leads
// The roles' time may jump with the clock that it follows.
void leases_notice_jump(struct scheduler *s, int64_t now_ms);

// What there is to be told of nodes (sick.c).
void sick_adopt(struct scheduler *s, struct node *n, const struct state_node *found); // as the state has it
void sick_heard(struct scheduler *s, struct node *n, const Dtf__V1__ExchangeRequest *r, int64_t now_ms);
void sick_set_apart(struct scheduler *s, struct node *n, const char *why); // NULL: it is well again
int64_t sick_tick(struct scheduler *s, int64_t now_ms); // keeps it in the state, and logs it; when to again

// Nodes that fail what others do well (quarantine.c).
void quarantine_heard(struct scheduler *s, struct node *n, const struct exchange *x, int64_t now_ms);
void quarantine_gave(struct scheduler *s, struct node *n, const struct state_work *work, size_t count);
void quarantine_returned(struct scheduler *s, uint64_t node, uint64_t task, size_t count);
int64_t quarantine_tick(struct scheduler *s, int64_t now_ms); // who may have how much; when to look again

// A node's call arrived: does what it says, then answers or parks it.
void exchange_take(struct scheduler *s, struct exchange *x, int64_t now_ms);
// Answers the step's reports, and gives what is ready to them and to the nodes whose parked calls want it.
void exchange_dispatch(struct scheduler *s, int64_t now_ms);
// Answers the parked call with this work, what waits in the node's outbox, and the tasks it is to stop.
void exchange_answer_parked(struct scheduler *s, struct node *n, const struct state_work *work, size_t count);
// From now on the node's calls are refused until one says what the node holds: what was leased to it may have
// been lost on the way, or the store has forgotten.
void exchange_doubt(struct scheduler *s, struct node *n, const char *why);
// Forgets a node; its parked call, if any, is answered NOT_FOUND.
void exchange_drop_node(struct scheduler *s, struct node *n, const char *why);
// Its parked call's time is up; but it was heard of by another call, so that it may wait on. false: it must
// not.
bool exchange_wait_on(struct scheduler *s, struct node *n, int64_t now_ms);
void exchange_free_outbox(struct node *n);
struct state_ref *exchange_refs(struct arena *a, Dtf__V1__SubtaskRef *const *in, size_t count);

#endif
