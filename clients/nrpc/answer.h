// SPDX-License-Identifier: Apache-2.0
// answer.h: shows what came back with a call.
#ifndef NRPC_CLI_ANSWER_H
#define NRPC_CLI_ANSWER_H

#include "source.h"

#include "nrpc/json/json.h"

// How this program reads and writes JSON.
struct nrpc_json_options answer_json(const struct cli *cli);

// Prints a message, of whatever type, as JSON to stdout. *type is replaced if more types had to be asked for.
// Returns an exit code.
int answer_print(struct source *source, const struct schema_message **type, const ProtobufCMessage *message);

// With -v: "header key: value" lines to stderr.
void answer_print_metadata(const struct cli *cli, const char *what, const struct nrpc_metadata *metadata,
                           size_t count);

// Says how the call ended, its details one JSON object after another; returns the exit code.
int answer_print_end(struct source *source, const struct nrpc_status *st, const void *details,
                     size_t details_bytes);

#endif
