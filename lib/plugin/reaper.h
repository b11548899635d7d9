// SPDX-License-Identifier: Apache-2.0
// reaper.h: starts programs so that nothing of them outlives this process, however it ends (keeper.h tells
// how). Any thread.
#ifndef PLUGIN_REAPER_H
#define PLUGIN_REAPER_H

#include "plugin/keeper.h"

#include <stdbool.h>
#include <stddef.h>

// Makes the root; where there is one, nothing happens. It is a copy of this process, and all that is run
// later is started by copies of it, in the folder and with the limits of now: so it is done early, while the
// process is small. 0, or errno.
int reaper_start(void);

struct reaper_program {
    const char *texts; // as struct keeper_order has them
    size_t bytes;
    uint32_t argc, envc;
    int out, err, in; // its descriptors; in -1: empty
};

// A keeper that runs the program. 0, or errno: the node is short of something. What comes of it is read from
// *fd, which stays the reaper's: struct keeper_news, or an end: the keeper is gone, and all that it ran.
struct reaper_run;
int reaper_run(const struct reaper_program *p, struct reaper_run **out, int *fd);
void reaper_signal(struct reaper_run *r, int number); // to the program's group
void reaper_clear(struct reaper_run *r);              // kills what is left, whatever group it is in
// whole: its last word was read, so that the keeper can run something else; otherwise it is dismissed, and
// kills what it has.
void reaper_release(struct reaper_run *r, bool whole);

// Stops all programs that run, or begin, and then this process; goes on, and they with it, at SIGCONT.
void reaper_suspend(void);

#endif
