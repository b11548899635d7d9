// SPDX-License-Identifier: Apache-2.0
// checksum.h: the callback tables of the task type "checksum", and what they agree on.
#ifndef CHECKSUM_CHECKSUM_H
#define CHECKSUM_CHECKSUM_H

#include "checksum/checksum.pb-c.h"
#include "dtf.h"

enum { CHECKSUM_DIGEST_BYTES = 32 };

// Unpacks and checks a task's parameter; NULL and *st if it is wrong. Paths are checked where they are used.
Examples__Checksum__V1__Task *checksum_read_task(const struct dtf_task *task, struct nrpc_status *st);

extern const struct dtf_generator checksum_generator;
extern const struct dtf_executor checksum_executor;
extern const struct dtf_collector_callback checksum_collector;

#endif
