// SPDX-License-Identifier: Apache-2.0
// treesize.h: the callback tables of the task type "treesize", and what they agree on.
#ifndef TREESIZE_TREESIZE_H
#define TREESIZE_TREESIZE_H

#include "dtf.h"
#include "treesize/treesize.pb-c.h"

// Unpacks and checks a task's parameter; NULL and *st if it is wrong. Paths are checked where they are used.
Examples__Treesize__V1__Task *treesize_read_task(const struct dtf_task *task, struct nrpc_status *st);

// Packs a message of any kind. free() it.
void *treesize_pack(const ProtobufCMessage *message, size_t *size);

// "directory/name", or only one of the two if the other is empty. free() its data.
ProtobufCBinaryData treesize_join(ProtobufCBinaryData directory, ProtobufCBinaryData name);

extern const struct dtf_generator treesize_generator;
extern const struct dtf_executor treesize_executor;
extern const struct dtf_collector_callback treesize_collector;

#endif
