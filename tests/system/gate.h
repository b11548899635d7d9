// SPDX-License-Identifier: Apache-2.0
// gate.h: the parameters of the gate task type.
//
// Its subtasks are steered, and watched, through files in a folder:
//   closed    while it is there, before_dispatch declines
//   hold      while it is there, a subtask that runs goes on running (unless it is cancelled)
//   stuck     while it is there, after_execution does not return
//   log       a line for each thing that happened: "start INDEX ATTEMPT PID", "end ...", "cancel ...",
//   "ask ...", "dispatch ...", "review ...", "crash CALLBACK PID"
#ifndef TESTS_GATE_H
#define TESTS_GATE_H

#include <stdint.h>

enum gate_crash {
    GATE_ABORT = 1,
    GATE_SEGMENT,
    GATE_STACK,
    GATE_EXIT, // these with status 3
    GATE_EXIT_NOW,
    GATE_QUICK_EXIT,
    GATE_CHILD, // only a child that it forked ends, by exit
};

struct gate_param {
    uint32_t count;
    uint32_t run_ms;             // how long each runs at least
    uint32_t timeout_ms;         // of each
    uint32_t failures;           // attempts that fail before one succeeds
    uint32_t quiet;              // 1: leaves no traces
    uint32_t slow_from, slow_ms; // those from this one on run so long; 0: none
    uint32_t review_ms;          // how long each after_execution takes (reviewed_gate)
    uint32_t crash;              // how the callback of this name ends its process; enum gate_crash, 0: not
    char crash_in[32];
    char folder[240];
};

struct gate_subtask {
    uint32_t index; // from 1
    struct gate_param param;
};

#endif
