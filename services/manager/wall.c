// SPDX-License-Identifier: Apache-2.0
// wall.c: the middle of three clocks.
#include "wall.h"

#include "base/log.h"

#include <stdlib.h>

bool wall_step(struct wall *w, int64_t now_ms, int64_t mono_ms)
{
    bool first = !w->seen_mono_ms;
    int64_t jump_ms = now_ms - w->seen_now_ms - (mono_ms - w->seen_mono_ms);
    w->seen_now_ms = now_ms;
    w->seen_mono_ms = mono_ms;
    if (first || llabs(jump_ms) <= WALL_JUMP_MS)
        return first;
    w->offset_ms -= jump_ms;
    w->agreed = false;
    return true;
}

static bool agree(int64_t a_ms, int64_t b_ms)
{
    return llabs(a_ms - b_ms) <= WALL_AGREE_MS;
}

static int64_t middle(int64_t a, int64_t b, int64_t c)
{
    return a < b ? (b < c ? b : a < c ? c : a) : (a < c ? a : b < c ? c : b);
}

static void say(struct wall *w, int64_t now_ms, int64_t machine_ms, bool has_records, int64_t records_ms)
{
    bool odd = !w->agreed || !agree(now_ms, machine_ms) || (has_records && !agree(now_ms, records_ms));
    if (odd && !w->warned && has_records)
        log_warn("the clocks differ: seen from Redis', this machine's is %.0f s ahead, MySQL's %.0f s; %s",
                 (double)(machine_ms - now_ms) / 1000, (double)(records_ms - now_ms) / 1000,
                 w->agreed ? "dates are those of the two that agree"
                           : "deadlines and the forgetting of old tasks wait until two of them agree");
    else if (odd && !w->warned)
        log_warn(
            "the clocks differ: seen from Redis', this machine's is %.0f s ahead, and MySQL does not answer; "
            "deadlines and the forgetting of old tasks wait",
            (double)(machine_ms - now_ms) / 1000);
    else if (!odd && w->warned)
        log_info("the clocks agree again");
    w->warned = odd;
}

void wall_look(struct wall *w, int64_t now_ms, int64_t machine_ms, bool has_records, int64_t records_ms)
{
    if (has_records) {
        int64_t date_ms = middle(now_ms, machine_ms, records_ms);
        w->agreed = agree(date_ms, now_ms) + agree(date_ms, machine_ms) + agree(date_ms, records_ms) >= 2;
        if (w->agreed)
            w->offset_ms = agree(date_ms, now_ms) ? 0 : date_ms - now_ms;
    } else {
        w->agreed = agree(now_ms, machine_ms);
        w->offset_ms = w->agreed ? 0 : w->offset_ms;
    }
    say(w, now_ms, machine_ms, has_records, records_ms);
}
