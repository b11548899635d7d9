// SPDX-License-Identifier: Apache-2.0
// keeper.h: the processes beside a node that run its commands, and what is said between it and them.
//
// A keeper runs one command at a time, and is the parent of all that the command leaves behind
// (PR_SET_CHILD_SUBREAPER): so it knows when the last of it is gone, and can end it. The root makes the
// keepers, inherits what a killed keeper leaves, and, when the node is gone, however it ended, kills
// everything below it: the commands too, since they are below their keepers.
//
// Root and keepers come of fork() without exec, perhaps in a program of many threads, so they only call what
// is safe in a signal handler; no malloc, no stdio, no locks.
#ifndef PLUGIN_KEEPER_H
#define PLUGIN_KEEPER_H

#include <stdint.h>

// To a keeper, through its channel (a stream):
enum keeper_order_kind {
    KEEPER_RUN,    // a program; its output, errors and, perhaps, input come along as descriptors
    KEEPER_SIGNAL, // `number` to the program's group
    KEEPER_CLEAR,  // end all that is left
};

struct keeper_order {
    uint32_t kind, number;
    uint32_t argc, envc; // of the texts behind it, each with a zero byte: argv, env, folder (may be empty)
    uint64_t bytes;      // of the texts
};

// From a keeper. A run's last word is KEEPER_FAILED or KEEPER_EMPTY.
enum keeper_news_kind {
    KEEPER_FAILED, // it could not be started; value: errno
    KEEPER_ENDED,  // the program; value: its wait status
    KEEPER_EMPTY,  // nothing that it started is left
};

struct keeper_news {
    int32_t kind, value;
};

// What the root's process does. Each message through `socket` brings the channel of a new keeper along. Ends
// when the process `parent` has, or nobody can send any more.
_Noreturn void keeper_root(int socket, int parent);

#endif
