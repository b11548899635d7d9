// SPDX-License-Identifier: Apache-2.0
// crash.c: a handler of fatal signals, and a thread beside it that may do what a handler may not.
//
// The handler runs on the thread that is going to end the process, if that is in a callback: it wakes the
// recording thread, waits for it, and then lets the signal do what it would have done, at the same place, so
// that a core dump and the exit status tell the truth. The handlers of others stay in force after ours.
#include "crash.h"

#include "base/log.h"
#include "base/mem.h"
#include "callbacks.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    RECORD_MS = 3000, // how long the record may take
    LOOK_MS = 2,
    STACK_BYTES = 64 * 1024, // for the handler, when the thread's own is full
};

static const int fatal[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS};
enum { FATAL = sizeof fatal / sizeof *fatal };
static struct sigaction before[FATAL]; // ours

static _Thread_local struct crash *watcher; // of the callback that this thread runs
static _Thread_local const struct callback_run *running;

// ---- recording

static int end_task(struct crash *c, const struct callback_run *run, uint64_t count, struct nrpc_status *st)
{
    char text[120];
    snprintf(text, sizeof text, "its %s ended the process %llu times", run->name, (unsigned long long)count);
    if (!strcmp(run->name, CALLBACK_CLOSING))
        return c->state->ops->close_task(c->state, run->task, text, st);
    return c->state->ops->stop(c->state, run->task, MODEL_OUTCOME_FAILED, text, st);
}

static void record(struct crash *c, const struct callback_run *run, int signal_number)
{
    struct nrpc_status st;
    uint64_t count = 0;
    int code = c->state->ops->blame(c->state, run->task, run->name, &count, &st);
    if (code == NRPC_OK && count >= MODEL_BLAMES_MAX)
        code = end_task(c, run, count, &st);
    log_error("task %llu: its %s ends the process (%s); time %llu of %d, then the task fails%s%s",
              (unsigned long long)run->task, run->name, signal_number ? strsignal(signal_number) : "exit",
              (unsigned long long)count, MODEL_BLAMES_MAX, code ? "; not recorded: " : "",
              code ? st.text : "");
}

static void *record_main(void *arg)
{
    struct crash *c = arg;
    pthread_setname_np(pthread_self(), "crash");
    while (sem_wait(&c->wake) != 0 || !(atomic_load(&c->stop) || atomic_load(&c->run)))
        continue;
    const struct callback_run *run = atomic_load(&c->run);
    if (run)
        record(c, run, atomic_load(&c->signal_number));
    atomic_store(&c->recorded, true);
    return NULL;
}

// Safe in a handler.
static void tell(int signal_number)
{
    const struct timespec look = {0, LOOK_MS * 1000000};
    const struct callback_run *none = NULL;
    struct crash *c = watcher;
    if (!c || getpid() != c->pid)
        return;
    watcher = NULL; // what else happens on this thread happens as ever
    if (atomic_compare_exchange_strong(&c->run, &none, running)) {
        atomic_store(&c->signal_number, signal_number);
        sem_post(&c->wake);
    }
    for (int waited_ms = 0; !atomic_load(&c->recorded) && waited_ms < RECORD_MS; waited_ms += LOOK_MS)
        nanosleep(&look, NULL);
}

// ---- noticing

static void on_fatal(int signal_number)
{
    int saved = errno;
    tell(signal_number);
    for (size_t i = 0; i < FATAL; i++)
        if (fatal[i] == signal_number)
            (void)sigaction(signal_number, &before[i], NULL);
    errno = saved;
    (void)raise(signal_number); // takes effect when the handler returns, where it was interrupted
}

void crash_exits(void)
{
    tell(0);
}

static void install(void)
{
    struct sigaction act = {.sa_handler = on_fatal, .sa_flags = SA_ONSTACK};
    sigemptyset(&act.sa_mask);
    for (size_t i = 0; i < FATAL; i++)
        (void)sigaction(fatal[i], &act, &before[i]);
    (void)atexit(crash_exits);
    (void)at_quick_exit(crash_exits);
}

static pthread_key_t stack_key; // a thread's own stack for the handler

static void take_stack(void *stack)
{
    (void)sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL);
    free(stack);
}

static void make_key(void)
{
    install();
    if (pthread_key_create(&stack_key, take_stack)) {
        log_error("no key is left for threads");
        abort();
    }
}

static void give_stack(void)
{
    stack_t now, own = {.ss_sp = mem_alloc(STACK_BYTES), .ss_size = STACK_BYTES};
    bool has_one = sigaltstack(NULL, &now) == 0 && !(now.ss_flags & SS_DISABLE);
    if (has_one || sigaltstack(&own, NULL) || pthread_setspecific(stack_key, own.ss_sp))
        free(own.ss_sp);
}

void crash_enter(struct crash *c, const struct callback_run *run)
{
    if (c && !pthread_getspecific(stack_key))
        give_stack();
    running = run;
    watcher = c;
}

void crash_leave(void)
{
    watcher = NULL;
}

// ---- life

void crash_start(struct crash *c, struct state *state)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    *c = (struct crash){.state = state, .pid = getpid()};
    pthread_once(&once, make_key);
    sem_init(&c->wake, 0, 0);
    if (pthread_create(&c->thread, NULL, record_main, c)) {
        log_error("cannot start a thread");
        abort();
    }
}

void crash_stop(struct crash *c)
{
    atomic_store(&c->stop, true);
    sem_post(&c->wake);
    pthread_join(c->thread, NULL);
    sem_destroy(&c->wake);
}
