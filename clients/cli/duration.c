// SPDX-License-Identifier: Apache-2.0
// duration.c: reads and writes durations, numbers and points in time.
#include "duration.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const struct {
    const char *name;
    int64_t ms;
} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};

static bool digits_parse(const char *text, size_t length, uint64_t max, uint64_t *out)
{
    uint64_t n = 0;
    for (size_t i = 0; i < length; i++) {
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (n > (max - digit) / 10 || digit > max)
            return false;
        n = n * 10 + digit;
    }
    *out = n;
    return length > 0;
}

bool number_parse(const char *text, uint64_t max, uint64_t *out)
{
    size_t length = strspn(text, "0123456789");
    return !text[length] && digits_parse(text, length, max, out);
}

bool duration_parse(const char *text, int64_t *ms)
{
    size_t length = strspn(text, "0123456789");
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        uint64_t n;
        if (strcmp(text + length, units[i].name))
            continue;
        if (!digits_parse(text, length, (uint64_t)(INT64_MAX / 2 / units[i].ms), &n))
            return false;
        *ms = (int64_t)n * units[i].ms;
        return true;
    }
    return false;
}

void duration_format(char out[DURATION_TEXT], int64_t ms)
{
    int64_t s = ms / 1000;
    if (ms < 1000)
        snprintf(out, DURATION_TEXT, "%d ms", (int)(ms > 0 ? ms : 0));
    else if (s < 60)
        snprintf(out, DURATION_TEXT, "%d.%d s", (int)s, (int)(ms % 1000 / 100));
    else if (s < 3600)
        snprintf(out, DURATION_TEXT, "%d m %02d s", (int)(s / 60), (int)(s % 60));
    else if (s < 86400)
        snprintf(out, DURATION_TEXT, "%d h %02d m", (int)(s / 3600), (int)(s % 3600 / 60));
    else
        snprintf(out, DURATION_TEXT, "%lld d %02d h", (long long)(s / 86400), (int)(s % 86400 / 3600));
}

void time_format(char out[DURATION_TEXT], int64_t ms)
{
    time_t s = (time_t)(ms / 1000);
    struct tm local;
    if (ms <= 0 || !localtime_r(&s, &local) || !strftime(out, DURATION_TEXT, "%Y-%m-%d %H:%M:%S", &local))
        strcpy(out, "-");
}
