// SPDX-License-Identifier: Apache-2.0
// mem.h: heap allocation that never returns NULL, and arenas.
//
// Running out of memory aborts the process (a restart recovers); sizes that come from outside are limited
// before they get here. An arena is a bump allocator that belongs to one request: everything taken from it is
// freed at once, and its byte budget bounds what a hostile message can make us allocate.
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

_Noreturn void mem_exhausted(size_t size);   // says so and aborts
void *mem_alloc(size_t size);                // uninitialised; free() with free
void *mem_calloc(size_t count, size_t size); // zeroed
void *mem_realloc(void *old, size_t size);
char *mem_strdup(const char *text); // NULL gives NULL
void *mem_dup(const void *data, size_t size);

// Grows the array *items, of *capacity items of item_size bytes each, until it holds at least `need` items.
void mem_grow(void *items, size_t *capacity, size_t need, size_t item_size);

struct arena_block;
struct arena {
    ProtobufCAllocator allocator; // hand &arena->allocator to protobuf-c; its free does nothing
    struct arena_block *blocks;
    unsigned char *at, *end; // the rest of the newest block
    size_t used_bytes, budget_bytes;
};

void arena_init(struct arena *a, size_t budget_bytes); // 0: no budget; allocates nothing yet
void arena_reset(struct arena *a);                     // frees what was taken, keeps one block for reuse
void arena_fini(struct arena *a);
void *arena_alloc(struct arena *a, size_t size);  // 16-byte aligned; NULL when the budget is used up
void *arena_calloc(struct arena *a, size_t size); // zeroed; NULL when the budget is used up
void *arena_dup(struct arena *a, const void *data, size_t size);
char *arena_strdup(struct arena *a, const char *text);

#endif
