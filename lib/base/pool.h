// SPDX-License-Identifier: Apache-2.0
// pool.h: threads that run jobs, and strands: queues on a pool, one a key, whose jobs run one after the
// other.
//
// Threads are started when jobs wait and all threads are busy, up to a maximum, and leave after some idle
// seconds. So a job that blocks delays only its own strand. With max_threads 0 nothing runs by itself: a test
// calls pool_run_all.
#ifndef BASE_POOL_H
#define BASE_POOL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pool;

struct pool_job { // embedded in the caller's own struct; the pool does not touch it once run was called
    struct pool_job *next;
    void (*run)(struct pool_job *job);
};

struct pool *pool_create(const char *name, unsigned max_threads);
void pool_post(struct pool *p, struct pool_job *job);
// Jobs may wait for something without keeping others from running: around the wait the running job calls
// these. Up to waiting_max (at first 0) such threads do not count as busy, and others are started for the
// jobs that wait. In a thread that is no pool's they do nothing.
void pool_let_wait(struct pool *p, unsigned waiting_max); // before the first job
void pool_wait_begin(void);
void pool_wait_end(void);
size_t
pool_run_all(struct pool *p); // runs what waits, and what that posts, in this thread; the number of jobs run
void pool_destroy(struct pool *p); // runs what still waits, waits for running jobs; NULL is allowed

// A queue per key, made when it is needed. Jobs of one key run in the order of their posting, never two at
// once; jobs of different keys run side by side.
struct strands;

struct strands *strands_create(struct pool *p);
void strands_post(struct strands *s, uint64_t key, struct pool_job *job);
size_t strands_active(struct strands *s); // keys with a job that runs or waits
void strands_destroy(struct strands *s); // before its pool; waits until no job runs or waits; NULL is allowed

#endif
