// SPDX-License-Identifier: Apache-2.0
// interrupt.c: a thread that waits for the signals, which all others have blocked.
#include "interrupt.h"

#include "base/process.h"
#include "cli.h"

#include <pthread.h>
#include <signal.h>
#include <unistd.h>

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER; // held while cancel runs
static void (*cancel_call)(void *user);
static void *cancel_user;

static void *wait_for_signals(void *signals)
{
    for (int number; sigwait(signals, &number) == 0;) {
        pthread_mutex_lock(&mu);
        if (!cancel_call)
            _exit(CLI_INTERRUPTED);
        cancel_call(cancel_user);
        cancel_call = NULL;
        pthread_mutex_unlock(&mu);
    }
    return NULL;
}

void interrupt_init(void)
{
    static sigset_t signals;
    pthread_t thread;
    static const int numbers[] = {SIGINT, SIGTERM};
    process_block_signals(numbers, sizeof numbers / sizeof *numbers, &signals);
    if (pthread_create(&thread, NULL, wait_for_signals, &signals) == 0)
        pthread_detach(thread);
    else
        pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
}

void interrupt_set(void (*cancel)(void *user), void *user)
{
    pthread_mutex_lock(&mu);
    cancel_call = cancel;
    cancel_user = user;
    pthread_mutex_unlock(&mu);
}

void interrupt_clear(void)
{
    interrupt_set(NULL, NULL);
}
