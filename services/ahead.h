// SPDX-License-Identifier: Apache-2.0
// ahead.h: how much may wait at a node for its slots: enough that none stands idle while a call travels, so
// little that nothing waits long. The node asks by it, the scheduler bounds by it.
#ifndef SERVICES_AHEAD_H
#define SERVICES_AHEAD_H

enum {
    AHEAD_SLOT_US = 50000, // of slot time, for each slot
    AHEAD_MAX = 2000,      // subtasks
    AHEAD_WAIT_MS = 250,   // what has waited longer goes back: something took longer than was known
};

#endif
