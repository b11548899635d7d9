// SPDX-License-Identifier: Apache-2.0
// trace.h: W3C Trace Context's traceparent: "00-<32 hex trace id>-<16 hex parent id>-<2 hex flags>".
#ifndef NRPC_TRACE_H
#define NRPC_TRACE_H

#include <stdbool.h>

enum { TRACE_SIZE = 56 }; // with the NUL

bool trace_is_valid(const char *traceparent);

// The same trace with a new parent id; false: traceparent is NULL or not valid.
bool trace_child(const char *traceparent, char out[TRACE_SIZE]);

// A new trace, to be recorded or not.
void trace_begin(bool sampled, char out[TRACE_SIZE]);

#endif
