// SPDX-License-Identifier: Apache-2.0
// wait.h: condition variables that wait by the monotonic clock.
#ifndef BASE_WAIT_H
#define BASE_WAIT_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

void wait_cond_init(pthread_cond_t *c);
struct timespec wait_until(int64_t ms_from_now); // for pthread_cond_timedwait; a negative time is now

#endif
