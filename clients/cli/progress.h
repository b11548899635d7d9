// SPDX-License-Identifier: Apache-2.0
// progress.h: one line on the terminal that says how far a job is; there between outputs, gone at the end.
// One thread.
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PROGRESS_EVERY_MS = 100 };

struct progress_state {
    uint64_t done, total, failed;
    bool total_known; // otherwise more may come
    double rate;      // done per second; 0: not known yet
};

struct progress {
    bool on, shown;
    int64_t drawn_us, measured_us;
    uint64_t measured_done;
    double rate;
};

void progress_init(struct progress *p, bool on, int64_t now_us);
// Draws the line anew, unless it was drawn less than PROGRESS_EVERY_MS ago. state.rate is filled in.
void progress_draw(struct progress *p, struct progress_state state, int64_t now_us);
// Takes the line away, before something else is written.
void progress_hide(struct progress *p);

// The line, at most `columns` characters.
void progress_format(char *out, size_t size, const struct progress_state *state, unsigned columns);

#endif
