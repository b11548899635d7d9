// SPDX-License-Identifier: Apache-2.0
// pool.c: a queue, threads that come and go, and strands on top.
#include "base/pool.h"

#include "base/mem.h"
#include "base/wait.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

enum { IDLE_MS = 5000 };

struct pool {
    pthread_mutex_t mu;
    pthread_cond_t work, gone;
    struct pool_job *head, **tail;
    unsigned threads, idle, wakeups, max_threads;
    unsigned waiting, waiting_max; // threads whose job waits
    bool stopping;
    char name[16];
};

static struct pool_job *pop(struct pool *p)
{
    struct pool_job *job = p->head;
    if (job) {
        p->head = job->next;
        if (!p->head)
            p->tail = &p->head;
    }
    return job;
}

// A thread whose job waits, and its pool, which counts it.
static _Thread_local struct pool *mine;
static _Thread_local bool counted;

static unsigned busy(const struct pool *p)
{
    return p->threads - p->waiting;
}

// Waits for a job; NULL: this thread is to leave. A waker takes `idle` down itself, so that two posts in a
// row wake two threads, or start a second.
static struct pool_job *next_job(struct pool *p)
{
    struct timespec until = wait_until(IDLE_MS);
    for (;;) {
        if (busy(p) > p->max_threads && !p->stopping) // jobs that waited have gone on: there are enough
            return NULL;
        struct pool_job *job = pop(p);
        if (job || p->stopping)
            return job;
        p->idle++;
        int rv = 0;
        while (!p->wakeups && !p->stopping && rv != ETIMEDOUT)
            rv = pthread_cond_timedwait(&p->work, &p->mu, &until);
        if (p->wakeups) {
            p->wakeups--;
            continue;
        }
        p->idle--;
        if (rv == ETIMEDOUT && !p->head)
            return NULL;
    }
}

static void *thread_main(void *arg)
{
    struct pool *p = arg;
    pthread_setname_np(pthread_self(), p->name);
    mine = p;
    pthread_mutex_lock(&p->mu);
    for (struct pool_job *job; (job = next_job(p));) {
        pthread_mutex_unlock(&p->mu);
        job->run(job);
        pthread_mutex_lock(&p->mu);
    }
    p->threads--;
    pthread_cond_broadcast(&p->gone);
    pthread_mutex_unlock(&p->mu);
    return NULL;
}

static void start_thread(struct pool *p)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_t t;
    // With no thread at all the jobs would wait for ever; with some, they only wait longer.
    if (pthread_create(&t, &attr, thread_main, p) == 0)
        p->threads++;
    else if (p->threads == 0)
        abort();
    pthread_attr_destroy(&attr);
}

struct pool *pool_create(const char *name, unsigned max_threads)
{
    struct pool *p = mem_calloc(1, sizeof *p);
    pthread_mutex_init(&p->mu, NULL);
    wait_cond_init(&p->work);
    pthread_cond_init(&p->gone, NULL);
    p->tail = &p->head;
    p->max_threads = max_threads;
    strncpy(p->name, name, sizeof p->name - 1);
    return p;
}

void pool_post(struct pool *p, struct pool_job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&p->mu);
    *p->tail = job;
    p->tail = &job->next;
    if (p->idle) {
        p->idle--;
        p->wakeups++;
        pthread_cond_signal(&p->work);
    } else if (busy(p) < p->max_threads) {
        start_thread(p);
    }
    pthread_mutex_unlock(&p->mu);
}

void pool_let_wait(struct pool *p, unsigned waiting_max)
{
    p->waiting_max = waiting_max;
}

void pool_wait_begin(void)
{
    struct pool *p = mine;
    if (!p)
        return;
    pthread_mutex_lock(&p->mu);
    counted = p->waiting < p->waiting_max;
    if (counted) {
        p->waiting++;
        if (p->head && !p->idle && busy(p) < p->max_threads)
            start_thread(p);
    }
    pthread_mutex_unlock(&p->mu);
}

void pool_wait_end(void)
{
    struct pool *p = mine;
    if (!p || !counted)
        return;
    pthread_mutex_lock(&p->mu);
    p->waiting--;
    pthread_mutex_unlock(&p->mu);
    counted = false;
}

size_t pool_run_all(struct pool *p)
{
    size_t n = 0;
    pthread_mutex_lock(&p->mu);
    for (struct pool_job *job; (job = pop(p)); n++) {
        pthread_mutex_unlock(&p->mu);
        job->run(job);
        pthread_mutex_lock(&p->mu);
    }
    pthread_mutex_unlock(&p->mu);
    return n;
}

void pool_destroy(struct pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->mu);
    p->stopping = true;
    pthread_cond_broadcast(&p->work);
    while (p->threads)
        pthread_cond_wait(&p->gone, &p->mu);
    pthread_mutex_unlock(&p->mu);
    pool_run_all(p);
    pthread_mutex_destroy(&p->mu);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->gone);
    free(p);
}

// ---- strands

enum { STRAND_TURN = 16 }; // jobs a strand runs before it lets others have the thread

struct strand {
    struct pool_job runner; // first member
    UT_hash_handle hh;
    struct strands *owner;
    uint64_t key;
    struct pool_job *head, **tail;
};

struct strands {
    struct pool *pool;
    pthread_mutex_t mu;
    pthread_cond_t empty;
    struct strand *all; // hash by key: those with a job that runs or waits
};

// The next job; NULL: there is none, and the strand is gone.
static struct pool_job *strand_pop(struct strand *s)
{
    struct strands *o = s->owner;
    pthread_mutex_lock(&o->mu);
    struct pool_job *job = s->head;
    if (job) {
        s->head = job->next;
        if (!s->head)
            s->tail = &s->head;
    } else {
        HASH_DEL(o->all, s);
        free(s);
        if (!o->all)
            pthread_cond_broadcast(&o->empty);
    }
    pthread_mutex_unlock(&o->mu);
    return job;
}

static void strand_run(struct pool_job *runner)
{
    struct strand *s = (struct strand *)runner;
    for (int i = 0; i < STRAND_TURN; i++) {
        struct pool_job *job = strand_pop(s);
        if (!job)
            return;
        job->run(job);
    }
    pool_post(s->owner->pool, &s->runner);
}

struct strands *strands_create(struct pool *p)
{
    struct strands *s = mem_calloc(1, sizeof *s);
    s->pool = p;
    pthread_mutex_init(&s->mu, NULL);
    pthread_cond_init(&s->empty, NULL);
    return s;
}

void strands_post(struct strands *o, uint64_t key, struct pool_job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&o->mu);
    struct strand *s;
    HASH_FIND(hh, o->all, &key, sizeof key, s);
    bool start = !s;
    if (start) {
        s = mem_calloc(1, sizeof *s);
        *s = (struct strand){.runner.run = strand_run, .owner = o, .key = key};
        s->tail = &s->head;
        HASH_ADD(hh, o->all, key, sizeof s->key, s);
    }
    *s->tail = job;
    s->tail = &job->next;
    pthread_mutex_unlock(&o->mu);
    if (start)
        pool_post(o->pool, &s->runner);
}

size_t strands_active(struct strands *o)
{
    pthread_mutex_lock(&o->mu);
    size_t n = HASH_COUNT(o->all);
    pthread_mutex_unlock(&o->mu);
    return n;
}

void strands_destroy(struct strands *o)
{
    if (!o)
        return;
    pthread_mutex_lock(&o->mu);
    while (o->all && o->pool->max_threads)
        pthread_cond_wait(&o->empty, &o->mu);
    pthread_mutex_unlock(&o->mu);
    pool_run_all(o->pool);
    pthread_mutex_destroy(&o->mu);
    pthread_cond_destroy(&o->empty);
    free(o);
}
