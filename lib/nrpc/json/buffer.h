// SPDX-License-Identifier: Apache-2.0
// buffer.h: bytes that grow up to a limit. What would go beyond it is left out, and is_full says so.
#ifndef NRPC_JSON_BUFFER_H
#define NRPC_JSON_BUFFER_H

#include <stdbool.h>
#include <stddef.h>

struct buffer {
    unsigned char *data; // free() it
    size_t size, capacity, limit;
    bool is_full;
};

void buffer_add(struct buffer *b, const void *data, size_t size);

// Moves what is from `at` on up and puts the bytes there.
void buffer_insert(struct buffer *b, size_t at, const void *data, size_t size);

#endif
