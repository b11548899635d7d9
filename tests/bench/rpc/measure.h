// SPDX-License-Identifier: Apache-2.0
// measure.h: what the benchmark programs of all stacks measure with. Also C++.
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static inline double measure_now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline double measure_own_cpu_s(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1e-6;
}

// User and system time of another process, all threads.
static inline double measure_cpu_s(int pid)
{
    char path[64], text[1024];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "r");
    if (!f)
        return 0;
    text[fread(text, 1, sizeof text - 1, f)] = 0;
    fclose(f);
    const char *rest = strrchr(text, ')');
    if (rest)
        sscanf(rest + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static inline int measure_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// One line for the driver: calls per second, median and 99th percentile in microseconds, CPU seconds of
// client and server per 100,000 calls. Sorts latencies (NULL: none were taken).
static inline void measure_print(long count, double seconds, double cpu_s, double *latencies)
{
    double p50 = 0, p99 = 0;
    if (latencies) {
        qsort(latencies, (size_t)count, sizeof *latencies, measure_compare);
        p50 = latencies[count / 2] * 1e6;
        p99 = latencies[count * 99 / 100] * 1e6;
    }
    printf("%.0f %.1f %.1f %.3f\n", (double)count / seconds, p50, p99, cpu_s * 1e5 / (double)count);
    fflush(stdout);
}

#endif
