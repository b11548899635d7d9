// SPDX-License-Identifier: Apache-2.0
// source.h: where the types come from: the server's reflection, piece by piece as they are asked for, or a
// file.
//
// What is looked up lives until source_close, whatever is added. Any thread.
#ifndef NRPC_CLI_SOURCE_H
#define NRPC_CLI_SOURCE_H

#include "cli.h"

#include "nrpc/json/schema.h"

#include <pthread.h>

struct source {
    struct cli *cli;
    pthread_mutex_t mu;
    ProtobufCBinaryData *files; // what the server sent
    size_t file_count, file_capacity, file_bytes;
    struct schema **schemas; // the last one has everything
    size_t schema_count, schema_capacity;
    bool is_complete; // there is nothing to be had any more
};

int source_open(struct source *source, struct cli *cli); // returns an exit code
void source_close(struct source *source);

// Asks the server for the file that declares the symbol, or for those of all services. Nothing happens if the
// types come from a file. Errors: the server's.
int source_add(struct source *source, const char *symbol, struct nrpc_status *st);
int source_add_all(struct source *source, struct nrpc_status *st);

// All that was added so far; only after something was.
const struct schema *source_schema(struct source *source);

// The names of all services, one allocation each, and of the array.
int source_services(struct source *source, char ***names, size_t *count, struct nrpc_status *st);
void source_free_names(char **names, size_t count);

#endif
