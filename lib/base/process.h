// SPDX-License-Identifier: Apache-2.0
// process.h: what a program does first, so that it does not matter how it was started.
#ifndef BASE_PROCESS_H
#define BASE_PROCESS_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

// Opens what is closed of the descriptors 0 to 2 on /dev/null: a file or connection that got such a number
// would be written to by whoever means the terminal.
void process_open_standard(void);

// As many open files as the process may have at all. Not for one that starts other programs: they would
// inherit it.
void process_raise_files(void);

// Threads of this process that wake each other do not push out whoever runs (SCHED_BATCH): for one whose
// threads hand work on, so that more of it waits at each and is done in one go; a fifth less of it when all
// cores are busy. Before threads are started. No effect if another policy was set. Not for one that starts
// other programs, likewise.
void process_prefer_batches(void);

// Whether whoever started the program wants it to ignore the signal (nohup, a shell's trap '').
bool process_ignores(int signal_number);

// Blocks these signals in the calling thread, and in those that it starts, for a thread that waits for them;
// but not those that are to be ignored. *set: the blocked ones.
void process_block_signals(const int *numbers, size_t count, sigset_t *set);

#endif
