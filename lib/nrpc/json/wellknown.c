// SPDX-License-Identifier: Apache-2.0
// wellknown.c: dates by the C library's calendar, everything else digit by digit.
#include "nrpc/json/wellknown.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SECONDS_MIN INT64_C(-62135596800)  // 0001-01-01T00:00:00Z
#define SECONDS_MAX INT64_C(253402300799)  // 9999-12-31T23:59:59Z
#define DURATION_MAX INT64_C(315576000000) // 10,000 years

enum { NANOS_MAX = 999999999, NANO_DIGITS = 9 };

// ".250", with 0, 3, 6 or 9 digits.
static void print_nanos(int32_t nanos, char *out)
{
    int digits = nanos % 1000 ? 9 : nanos % 1000000 ? 6 : 3;
    *out = 0;
    if (nanos)
        snprintf(out, NANO_DIGITS + 2, ".%09" PRId32, nanos);
    if (nanos)
        out[1 + digits] = 0;
}

// Takes ".25", or nothing.
static bool take_nanos(const char **at, int32_t *nanos)
{
    *nanos = 0;
    if (**at != '.')
        return true;
    (*at)++;
    size_t digits = strspn(*at, "0123456789");
    if (digits == 0 || digits > NANO_DIGITS)
        return false;
    for (size_t i = 0; i < NANO_DIGITS; i++)
        *nanos = *nanos * 10 + (i < digits ? *(*at)++ - '0' : 0);
    return true;
}

// ---- Timestamp

bool timestamp_to_text(int64_t seconds, int32_t nanos, char *out)
{
    char fraction[NANO_DIGITS + 2];
    struct tm t;
    time_t when = (time_t)seconds;
    if (seconds < SECONDS_MIN || seconds > SECONDS_MAX || nanos < 0 || nanos > NANOS_MAX)
        return false;
    gmtime_r(&when, &t);
    print_nanos(nanos, fraction);
    snprintf(out, WELLKNOWN_TEXT_MAX, "%04d-%02d-%02dT%02d:%02d:%02d%sZ", t.tm_year + 1900, t.tm_mon + 1,
             t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, fraction);
    return true;
}

// Takes exactly so many digits and what must follow them (0: nothing).
static bool take_number(const char **at, int digits, char follows, int *out)
{
    *out = 0;
    for (; digits > 0; digits--, (*at)++) {
        if (**at < '0' || **at > '9')
            return false;
        *out = *out * 10 + **at - '0';
    }
    if (follows && *(*at)++ != follows)
        return false;
    return true;
}

// Takes "Z" or "+01:30".
static bool take_offset(const char **at, int64_t *seconds)
{
    int hours, minutes, sign = **at == '-' ? -1 : 1;
    *seconds = 0;
    if (*(*at) == 'Z') {
        (*at)++;
        return true;
    }
    if (**at != '+' && **at != '-')
        return false;
    (*at)++;
    if (!take_number(at, 2, ':', &hours) || !take_number(at, 2, 0, &minutes) || hours > 23 || minutes > 59)
        return false;
    *seconds = sign * (hours * 3600 + minutes * 60);
    return true;
}

bool timestamp_from_text(const char *text, int64_t *seconds, int32_t *nanos)
{
    struct tm t = {0};
    int64_t offset;
    if (!take_number(&text, 4, '-', &t.tm_year) || !take_number(&text, 2, '-', &t.tm_mon) ||
        !take_number(&text, 2, 'T', &t.tm_mday) || !take_number(&text, 2, ':', &t.tm_hour) ||
        !take_number(&text, 2, ':', &t.tm_min) || !take_number(&text, 2, 0, &t.tm_sec) ||
        !take_nanos(&text, nanos) || !take_offset(&text, &offset) || *text)
        return false;
    t.tm_year -= 1900;
    t.tm_mon -= 1;
    struct tm wanted = t;
    *seconds = (int64_t)timegm(&t) - offset;
    // timegm takes the 31st of June for the 1st of July; we do not.
    return t.tm_year == wanted.tm_year && t.tm_mon == wanted.tm_mon && t.tm_mday == wanted.tm_mday &&
           t.tm_hour == wanted.tm_hour && t.tm_min == wanted.tm_min && t.tm_sec == wanted.tm_sec &&
           *seconds >= SECONDS_MIN && *seconds <= SECONDS_MAX;
}

// ---- Duration

bool duration_to_text(int64_t seconds, int32_t nanos, char *out)
{
    char fraction[NANO_DIGITS + 2];
    if (seconds < -DURATION_MAX || seconds > DURATION_MAX || nanos < -NANOS_MAX || nanos > NANOS_MAX ||
        (seconds < 0 && nanos > 0) || (seconds > 0 && nanos < 0))
        return false;
    print_nanos(nanos < 0 ? -nanos : nanos, fraction);
    snprintf(out, WELLKNOWN_TEXT_MAX, "%s%" PRId64 "%ss", seconds < 0 || nanos < 0 ? "-" : "",
             seconds < 0 ? -seconds : seconds, fraction);
    return true;
}

bool duration_from_text(const char *text, int64_t *seconds, int32_t *nanos)
{
    enum { DIGITS_MAX = 12 }; // of DURATION_MAX
    int sign = *text == '-' ? -1 : 1;
    text += *text == '-';
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > DIGITS_MAX)
        return false;
    *seconds = sign * (int64_t)strtoll(text, NULL, 10);
    text += digits;
    if (!take_nanos(&text, nanos) || strcmp(text, "s") || *seconds < -DURATION_MAX || *seconds > DURATION_MAX)
        return false;
    *nanos *= sign;
    return true;
}

// ---- FieldMask

static bool is_upper(char c)
{
    return c >= 'A' && c <= 'Z';
}

// Only names that come back the same have a text form.
bool mask_to_text(const char *path, size_t size, char *out, size_t *out_size)
{
    *out_size = 0;
    for (size_t i = 0; i < size; i++) {
        char c = path[i];
        if (c == '_' && ++i < size && path[i] >= 'a' && path[i] <= 'z')
            c = (char)(path[i] - 'a' + 'A');
        else if (c == '_' || c == ',' || is_upper(c))
            return false;
        out[(*out_size)++] = c;
    }
    return size > 0;
}

bool mask_from_text(const char *text, size_t size, char *out, size_t *out_size)
{
    *out_size = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '_')
            return false;
        if (is_upper(text[i]))
            out[(*out_size)++] = '_';
        out[(*out_size)++] = is_upper(text[i]) ? (char)(text[i] - 'A' + 'a') : text[i];
    }
    return size > 0;
}
