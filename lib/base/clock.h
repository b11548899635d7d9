// SPDX-License-Identifier: Apache-2.0
// clock.h: the only places that read a clock. Everything else takes time as an argument.
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdint.h>

// "Never": later than every time.
#define CLOCK_NEVER INT64_MAX

// Milliseconds since 1970, from the wall clock read once at process start and the monotonic clock since: a
// clock step while the process runs moves nothing. This is the `now_ms` of all roles and stores.
int64_t clock_now_ms(void);

// Sets that clock by another one, which the processes of a cluster share (its time is now_us, in microseconds
// since 1970); any thread, any number of times. Returns by how many microseconds it moved.
int64_t clock_follow(int64_t now_us);

// Milliseconds since 1970 by the system's own clock, which follows NTP and whoever sets it. For what is
// compared with the outside's times (tokens, certificates) or read by people (logs); never for measuring.
int64_t clock_wall_ms(void);

// Microseconds on the monotonic clock, for measuring durations.
int64_t clock_mono_us(void);

#endif
