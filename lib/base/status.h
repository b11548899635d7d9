// SPDX-License-Identifier: Apache-2.0
// status.h: how every layer reports an outcome: a code for the program, a sentence for the person.
//
// The codes are gRPC's, with gRPC's numbers. A function that can fail returns the code (0 is success) and, if
// the caller gave it a status, writes the sentence there. A status is a plain value: no ownership, any
// thread.
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#include <stdarg.h>

enum nrpc_code {
    NRPC_OK = 0,
    NRPC_CANCELLED = 1,
    NRPC_UNKNOWN = 2,
    NRPC_INVALID_ARGUMENT = 3,
    NRPC_DEADLINE_EXCEEDED = 4,
    NRPC_NOT_FOUND = 5,
    NRPC_ALREADY_EXISTS = 6,
    NRPC_PERMISSION_DENIED = 7,
    NRPC_RESOURCE_EXHAUSTED = 8,
    NRPC_FAILED_PRECONDITION = 9,
    NRPC_ABORTED = 10,
    NRPC_OUT_OF_RANGE = 11,
    NRPC_UNIMPLEMENTED = 12,
    NRPC_INTERNAL = 13,
    NRPC_UNAVAILABLE = 14,
    NRPC_DATA_LOSS = 15,
    NRPC_UNAUTHENTICATED = 16,
};

struct nrpc_status {
    int code;       // an enum nrpc_code; a number this build does not know is kept as it came
    char text[252]; // one sentence, no newline at the end; empty for NRPC_OK; cut off if longer
};

// The upper-case name of a code ("NOT_FOUND"); "CODE_<n>" is not made up: an unknown number is "UNKNOWN".
const char *nrpc_code_name(int code);

// Sets *st (which may be NULL) and returns code, so that failing is one line:
//     return status_set(st, NRPC_NOT_FOUND, "no task %llu", id);
int status_set(struct nrpc_status *st, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int status_setv(struct nrpc_status *st, int code, const char *format, va_list args);

// Sets *st from an errno value: the code that fits it best, the text "<what>: <strerror>".
int status_errno(struct nrpc_status *st, int errnum, const char *what);

// Makes *st (which may be NULL) NRPC_OK with an empty text; returns NRPC_OK.
int status_ok(struct nrpc_status *st);

#endif
