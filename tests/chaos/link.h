// SPDX-License-Identifier: Apache-2.0
// link.h: one way through a made-up network: a TCP proxy on loopback that refuses, holds back or delays what
// it is given, for tests. A thread each.
#ifndef TESTS_CHAOS_LINK_H
#define TESTS_CHAOS_LINK_H

#include <stdint.h>

struct link;

enum link_mode {
    LINK_OPEN,
    LINK_DOWN,         // connections are reset, and refused
    LINK_STALLED,      // nothing passes; connections stay
    LINK_STALLED_TO,   // nothing passes to the target
    LINK_STALLED_FROM, // nothing passes from the target
    LINK_SLOW,         // everything takes a while
    LINK_MODES,
};

struct link *
link_start(uint16_t target_port); // forwards to 127.0.0.1:target_port, whether somebody listens or not
void link_stop(struct link *l);   // resets all connections; NULL is fine
uint16_t link_port(const struct link *l);
void link_set(struct link *l, enum link_mode mode); // any thread

#endif
