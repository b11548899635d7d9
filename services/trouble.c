// SPDX-License-Identifier: Apache-2.0
// trouble.c: a line a minute.
#include "trouble.h"

#include "base/clock.h"
#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

enum { QUIET_US = 60000000 };

static bool may_speak(struct trouble *t, int64_t now_us)
{
    int64_t until_us = atomic_load(&t->quiet_until_us);
    return now_us >= until_us &&
           atomic_compare_exchange_strong(&t->quiet_until_us, &until_us, now_us + QUIET_US);
}

void trouble_say(struct trouble *t, const struct nrpc_status *st, const char *format, ...)
{
    char what[200];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    if (st->code != NRPC_UNAVAILABLE) {
        log_warn("%s, will try again: %s", what, st->text);
        return;
    }
    if (!may_speak(t, clock_mono_us())) {
        atomic_fetch_add(&t->unsaid, 1);
        log_debug("%s, will try again: %s", what, st->text);
        return;
    }
    uint64_t unsaid = atomic_exchange(&t->unsaid, 0);
    if (unsaid)
        log_warn("%s, will try again: %s (and %llu more lines like this since the last)", what, st->text,
                 (unsigned long long)unsaid);
    else
        log_warn("%s, will try again: %s", what, st->text);
}
