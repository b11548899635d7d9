// SPDX-License-Identifier: Apache-2.0
// emit.h: writes the C.
#ifndef PROTOC_GEN_NRPC_EMIT_H
#define PROTOC_GEN_NRPC_EMIT_H

#include "plan.h"

void emit_header(struct text *out, const struct plan_file *file); // <stem>.nrpc.h
void emit_source(struct text *out, const struct plan_file *file); // <stem>.nrpc.c

#endif
