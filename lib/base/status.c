// SPDX-License-Identifier: Apache-2.0
// status.c: the status value and the table that turns errno into a code.
#include "base/status.h"

#include "base/utf8.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const char *const code_names[] = {
    "OK",        "CANCELLED",       "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
    "NOT_FOUND", "ALREADY_EXISTS",  "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
    "ABORTED",   "OUT_OF_RANGE",    "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
    "DATA_LOSS", "UNAUTHENTICATED",
};

static const struct {
    int errnum;
    int code;
} errno_codes[] = {
    {ENOENT, NRPC_NOT_FOUND},          {EEXIST, NRPC_ALREADY_EXISTS},
    {EACCES, NRPC_PERMISSION_DENIED},  {EPERM, NRPC_PERMISSION_DENIED},
    {EROFS, NRPC_PERMISSION_DENIED},   {ENOSPC, NRPC_RESOURCE_EXHAUSTED},
    {EDQUOT, NRPC_RESOURCE_EXHAUSTED}, {ENOMEM, NRPC_RESOURCE_EXHAUSTED},
    {EMFILE, NRPC_RESOURCE_EXHAUSTED}, {ENFILE, NRPC_RESOURCE_EXHAUSTED},
    {E2BIG, NRPC_RESOURCE_EXHAUSTED},  {EINVAL, NRPC_INVALID_ARGUMENT},
    {ENOTDIR, NRPC_INVALID_ARGUMENT},  {ETIMEDOUT, NRPC_DEADLINE_EXCEEDED},
    {ECANCELED, NRPC_CANCELLED},       {ECONNREFUSED, NRPC_UNAVAILABLE},
    {ECONNRESET, NRPC_UNAVAILABLE},    {EPIPE, NRPC_UNAVAILABLE},
    {EAGAIN, NRPC_UNAVAILABLE},        {EADDRINUSE, NRPC_FAILED_PRECONDITION},
};

const char *nrpc_code_name(int code)
{
    size_t n = sizeof code_names / sizeof *code_names;
    return code >= 0 && (size_t)code < n ? code_names[code] : "UNKNOWN";
}

int status_setv(struct nrpc_status *st, int code, const char *format, va_list args)
{
    if (st) {
        st->code = code;
        vsnprintf(st->text, sizeof st->text, format, args);
        utf8_repair(st->text); // it may be cut, or have a file's name in it, and travels as a protobuf string
    }
    return code;
}

int status_set(struct nrpc_status *st, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    status_setv(st, code, format, args);
    va_end(args);
    return code;
}

int status_errno(struct nrpc_status *st, int errnum, const char *what)
{
    int code = NRPC_INTERNAL;
    for (size_t i = 0; i < sizeof errno_codes / sizeof *errno_codes; i++)
        if (errno_codes[i].errnum == errnum)
            code = errno_codes[i].code;
    char reason[128];
    return status_set(st, code, "%s: %s", what, strerror_r(errnum, reason, sizeof reason));
}

int status_ok(struct nrpc_status *st)
{
    if (st) {
        st->code = NRPC_OK;
        st->text[0] = 0;
    }
    return NRPC_OK;
}
