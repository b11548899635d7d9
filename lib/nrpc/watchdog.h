// SPDX-License-Identifier: Apache-2.0
// watchdog.h: tries a server's listeners from time to time and replaces those that accept nobody any more.
#ifndef NRPC_WATCHDOG_H
#define NRPC_WATCHDOG_H

struct nrpc_server;
struct watchdog;

// Starts a thread; the server must have listeners. It reopens them.
struct watchdog *watchdog_start(struct nrpc_server *server);
void watchdog_stop(struct watchdog *watchdog); // and waits for it; NULL is allowed

#endif
