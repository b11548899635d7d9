// SPDX-License-Identifier: Apache-2.0
// clock.c: reads the clocks.
#include "base/clock.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

static int64_t read_us(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static _Atomic int64_t wall_offset_us;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init_offset(void)
{
    atomic_store(&wall_offset_us, read_us(CLOCK_REALTIME) - read_us(CLOCK_MONOTONIC));
}

int64_t clock_mono_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

int64_t clock_wall_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

int64_t clock_now_ms(void)
{
    pthread_once(&once, init_offset);
    return (read_us(CLOCK_MONOTONIC) + atomic_load(&wall_offset_us)) / 1000;
}

int64_t clock_follow(int64_t now_us)
{
    pthread_once(&once, init_offset);
    int64_t offset_us = now_us - read_us(CLOCK_MONOTONIC);
    return offset_us - atomic_exchange(&wall_offset_us, offset_us);
}
