// SPDX-License-Identifier: Apache-2.0
// wall.h: what the date is, for what is shown to people and for what destroys: deadlines, how long ended
// tasks and unread results are kept.
//
// The roles' time is one clock's, Redis', because leases must be measured alike everywhere; it may jump, and
// leases bear it. A date is the middle of three clocks: Redis', MySQL's and this machine's. While no two of
// them agree, or a clock has just jumped, `agreed` is false: then nothing is destroyed. Pure, but for the log
// line.
#ifndef MANAGER_WALL_H
#define MANAGER_WALL_H

#include <stdbool.h>
#include <stdint.h>

enum { WALL_AGREE_MS = 60000, WALL_JUMP_MS = 2000 };

struct wall {
    int64_t offset_ms; // a date less the roles' time
    bool agreed;
    int64_t seen_now_ms, seen_mono_ms; // of the last step
    bool warned;
};

// A step begins. true: the roles' time has moved otherwise than time does; dates have not.
bool wall_step(struct wall *w, int64_t now_ms, int64_t mono_ms);
// What the other clocks say now. MySQL may not have answered (has_records false).
void wall_look(struct wall *w, int64_t now_ms, int64_t machine_ms, bool has_records, int64_t records_ms);

static inline int64_t wall_ms(const struct wall *w, int64_t now_ms)
{
    return now_ms + w->offset_ms;
}

#endif
