// SPDX-License-Identifier: Apache-2.0
// interrupt.h: SIGINT and SIGTERM end the call under way, so that the server hears of it; the second one, or
// one while there is no call, ends the program.
#ifndef NRPC_CLI_INTERRUPT_H
#define NRPC_CLI_INTERRUPT_H

// Before any other thread is started.
void interrupt_init(void);

// From now until interrupt_clear, cancel runs on an interrupt, at most once.
void interrupt_set(void (*cancel)(void *user), void *user);
void interrupt_clear(void); // waits for it

#endif
