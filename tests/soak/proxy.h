// SPDX-License-Identifier: Apache-2.0
// proxy.h: a TCP proxy on loopback that cuts, stalls and delays what it forwards, for tests.
#ifndef TEST_PROXY_H
#define TEST_PROXY_H

#include <stdbool.h>
#include <stdint.h>

struct proxy;

// Forwards connections to 127.0.0.1:target_port. Starts a thread.
struct proxy *proxy_start(uint16_t target_port, unsigned seed);
void proxy_stop(struct proxy *proxy); // cuts all connections

uint16_t proxy_port(const struct proxy *proxy);
void proxy_cut_some(struct proxy *proxy,
                    unsigned percent); // of the connections there are, with a reset or an end, by chance
void proxy_limit(struct proxy *proxy, int64_t bytes_per_s); // of each direction of a connection; 0: no limit
void proxy_target(struct proxy *proxy, uint16_t target_port); // of connections that come from now on
void proxy_stall(struct proxy *proxy, bool stalled); // forwards nothing while stalled; connections stay
unsigned proxy_connections(struct proxy *proxy);

#endif
