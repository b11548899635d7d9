// SPDX-License-Identifier: Apache-2.0
// trace.c: reads and makes traceparent values.
#include "nrpc/trace.h"

#include "base/ids.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { TRACE_ID_AT = 3, TRACE_ID = 32, PARENT_ID_AT = 36, PARENT_ID = 16, FLAGS_AT = 53, FLAGS = 2 };

static bool is_hex(const char *at, size_t n)
{
    return strspn(at, "0123456789abcdef") >= n;
}

static bool is_zero(const char *at, size_t n)
{
    return strspn(at, "0") >= n;
}

bool trace_is_valid(const char *t)
{
    return strlen(t) >= TRACE_SIZE - 1 && is_hex(t, 2) && memcmp(t, "ff", 2) && t[2] == '-' &&
           is_hex(t + TRACE_ID_AT, TRACE_ID) && !is_zero(t + TRACE_ID_AT, TRACE_ID) &&
           t[PARENT_ID_AT - 1] == '-' && is_hex(t + PARENT_ID_AT, PARENT_ID) &&
           !is_zero(t + PARENT_ID_AT, PARENT_ID) && t[FLAGS_AT - 1] == '-' && is_hex(t + FLAGS_AT, FLAGS) &&
           // Version 00 ends here; later ones may go on after a '-'.
           (t[TRACE_SIZE - 1] == 0 || (memcmp(t, "00", 2) && t[TRACE_SIZE - 1] == '-'));
}

bool trace_child(const char *traceparent, char out[TRACE_SIZE])
{
    if (!traceparent || !trace_is_valid(traceparent))
        return false;
    snprintf(out, TRACE_SIZE, "00-%.32s-%016" PRIx64 "-%.2s", traceparent + TRACE_ID_AT, ids_random(),
             traceparent + FLAGS_AT);
    return true;
}

void trace_begin(bool sampled, char out[TRACE_SIZE])
{
    snprintf(out, TRACE_SIZE, "00-%016" PRIx64 "%016" PRIx64 "-%016" PRIx64 "-%02d", ids_random(),
             ids_random(), ids_random(), sampled ? 1 : 0);
}
