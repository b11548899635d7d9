// SPDX-License-Identifier: Apache-2.0
// suspect.h: which node fails what others do well, and how it comes back. A decision only: no clock, no I/O,
// no threads; one owner.
//
// A node on which a program is missing, or whose disk returns errors, fails everything fastest, and would get
// most of the work. So of each task, by node, the results that came last are counted: up to SUSPECT_WINDOW,
// and twice as many before the older half is forgotten. A node is compared with all others that are well, on
// the same tasks only (after Mantel and Haenszel: what differs between tasks says nothing of a node). It is
// **quarantined** if
//     it has failed SUSPECT_FAILURES times or more,
//     its share of failures is larger than that of the others by a half or more, and
//     chance is SUSPECT_SIGMAS standard deviations away from it: of 10 failures, 28 successes elsewhere tell.
// Then it is given one subtask at a time, as a probe: SUSPECT_PROBE_FIRST_MS later, and after each that fails
// twice as long as before, up to SUSPECT_PROBE_MAX_MS; immediately after one that succeeds. After
// SUSPECT_PROBES successes in a row it is well, and nothing of before counts; but who is quarantined again
// soon waits twice as long as it did last.
//
// A task whose items fail everywhere tells nothing of a node, nor do bad items that come to a node by chance;
// bad ones that lie together and come to a node in one batch may cost it a second. Others take longer to
// succeed than it takes to fail: a node that has failed SUSPECT_WATCHED times, and clearly more often than
// others, is **watched** as long as others hold subtasks of these tasks and too little is known: it gets
// probes likewise.
//
// No more than half of the nodes are quarantined or watched at the same time: if others leave, who is watched
// is let go, or who was quarantined first. What is kept is bounded by what is active: of a node the
// SUSPECT_TASKS tasks that it had last, and nothing after SUSPECT_FORGET_MS without work, unless it is in
// quarantine. A result costs a look-up.
//
// Several schedulers judge each by what it sees itself; a quarantine goes with its node (suspect_put).
#ifndef SUSPECT_H
#define SUSPECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SUSPECT_WINDOW = 24,
    SUSPECT_FAILURES = 10,
    SUSPECT_WATCHED = 8,
    SUSPECT_SIGMAS = 6,
    SUSPECT_PROBES = 3,
    SUSPECT_PROBE_FIRST_MS = 1000,
    SUSPECT_PROBE_MAX_MS = 60000,
    SUSPECT_TASKS = 16,
    SUSPECT_FORGET_MS = 600000,
};

enum suspect_grade { SUSPECT_WELL, SUSPECT_WATCHING, SUSPECT_QUARANTINED };

struct suspect_count {
    uint64_t failed, of;
};

struct suspect_news { // of a node
    uint64_t node;
    enum suspect_grade grade;
    bool may_probe; // not well: one subtask may go to it now, and no other until the next news
    struct suspect_count own, others; // quarantined: why
};

struct suspect;

struct suspect *suspect_create(void);
void suspect_destroy(struct suspect *s); // NULL is allowed

// A node was given subtasks of a task; it, or somebody on the way, has given some back that were not run; it
// holds nothing at all.
void suspect_gave(struct suspect *s, uint64_t node, uint64_t task, uint32_t count, int64_t now_ms);
void suspect_returned(struct suspect *s, uint64_t node, uint64_t task, uint32_t count, int64_t now_ms);
void suspect_idle(struct suspect *s, uint64_t node, int64_t now_ms);
// It has brought results of a task; the rest of `count` is neither, as of a task that was cancelled.
void suspect_results(struct suspect *s, uint64_t node, uint64_t task, uint32_t count, uint32_t succeeded,
                     uint32_t failed, int64_t now_ms);
// It is in quarantine already, as whoever says so knows: no news.
void suspect_put(struct suspect *s, uint64_t node, int64_t now_ms);
void suspect_remove(struct suspect *s, uint64_t node); // fine if unknown

// The next news, of whoever is not as was said last, or may be given a probe now; false: there is no other.
// nodes: how many there are, whether or not anything was said of them. *next_ms: when to ask again, if
// nothing is said before; CLOCK_NEVER.
bool suspect_news(struct suspect *s, size_t nodes, int64_t now_ms, struct suspect_news *out,
                  int64_t *next_ms);
size_t suspect_size(const struct suspect *s); // nodes and tasks of which something is kept

#endif
