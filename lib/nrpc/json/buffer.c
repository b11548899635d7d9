// SPDX-License-Identifier: Apache-2.0
// buffer.c: a growing array of bytes with a limit.
#include "nrpc/json/buffer.h"

#include "base/mem.h"

#include <string.h>

void buffer_insert(struct buffer *b, size_t at, const void *data, size_t size)
{
    if (b->is_full || size > b->limit - b->size) {
        b->is_full = true;
        return;
    }
    if (size == 0)
        return;
    mem_grow(&b->data, &b->capacity, b->size + size, 1);
    memmove(b->data + at + size, b->data + at, b->size - at);
    memcpy(b->data + at, data, size);
    b->size += size;
}

void buffer_add(struct buffer *b, const void *data, size_t size)
{
    buffer_insert(b, b->size, data, size);
}
