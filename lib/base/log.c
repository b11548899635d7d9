// SPDX-License-Identifier: Apache-2.0
// log.c: formats a line and hands it to the sink.
#include "base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static _Atomic int least_level = LOG_WARN;
static log_sink_fn sink_fn;
static void *sink_user;

static const char *const names[] = {"debug", "info", "warn", "error"};

void log_set_level(enum log_level least)
{
    least_level = (int)least;
}

void log_set_sink(log_sink_fn sink, void *user)
{
    sink_fn = sink;
    sink_user = user;
}

int log_level_parse(const char *name, enum log_level *out)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(name, names[i])) {
            *out = (enum log_level)i;
            return 0;
        }
    return -1;
}

static void print_line(enum log_level level, const char *line)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct tm utc;
    gmtime_r(&now.tv_sec, &utc);
    char when[32];
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &utc);
    fprintf(stderr, "%s.%03ldZ %-5s %s\n", when, now.tv_nsec / 1000000, names[level], line);
}

void log_line(enum log_level level, const char *format, ...)
{
    if ((int)level < least_level)
        return;
    char line[1001];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    for (char *p = line; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    if (sink_fn)
        sink_fn(level, line, sink_user);
    else
        print_line(level, line);
}
