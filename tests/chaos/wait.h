// SPDX-License-Identifier: Apache-2.0
// wait.h: looks until a condition holds; fails the test after `ms`. For cmocka's tests.
#ifndef TESTS_CHAOS_WAIT_H
#define TESTS_CHAOS_WAIT_H

#include "base/clock.h"

#include <poll.h>

#define WAIT_FOR_MS(condition, ms)                                                                           \
    do {                                                                                                     \
        bool met_ = false;                                                                                   \
        for (int64_t until_us_ = clock_mono_us() + (ms)*1000ll;                                              \
             !(met_ = (condition)) && clock_mono_us() < until_us_;)                                          \
            (void)poll(NULL, 0, 5);                                                                          \
        if (!met_)                                                                                           \
            fail_msg("after %d ms not yet: %s", (int)(ms), #condition);                                      \
    } while (0)

#endif
