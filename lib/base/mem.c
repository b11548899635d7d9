// SPDX-License-Identifier: Apache-2.0
// mem.c: aborting allocation and arenas.
#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 16 * 1024, ALIGNMENT = 16 };

struct arena_block {
    struct arena_block *next;
    size_t size;
    _Alignas(ALIGNMENT) unsigned char data[];
};

_Noreturn void mem_exhausted(size_t size)
{
    fprintf(stderr, "out of memory: %zu bytes asked for\n", size);
    abort();
}

void *mem_alloc(size_t size)
{
    void *p = malloc(size ? size : 1);
    if (!p)
        mem_exhausted(size);
    return p;
}

void *mem_calloc(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1);
    if (!p)
        mem_exhausted(count * size);
    return p;
}

void *mem_realloc(void *old, size_t size)
{
    void *p = realloc(old, size ? size : 1);
    if (!p)
        mem_exhausted(size);
    return p;
}

char *mem_strdup(const char *text)
{
    return text ? mem_dup(text, strlen(text) + 1) : NULL;
}

void *mem_dup(const void *data, size_t size)
{
    void *p = mem_alloc(size);
    if (size)
        memcpy(p, data, size);
    return p;
}

void mem_grow(void *items, size_t *capacity, size_t need, size_t item_size)
{
    if (need <= *capacity)
        return;
    size_t n = *capacity ? *capacity : 8;
    while (n < need)
        n *= 2;
    void *old;
    memcpy(&old, items, sizeof old);
    void *grown = mem_realloc(old, n * item_size);
    memcpy(items, &grown, sizeof grown);
    *capacity = n;
}

static void *allocator_alloc(void *a, size_t size)
{
    return arena_alloc(a, size);
}

static void allocator_free(void *a, void *p)
{
    (void)a;
    (void)p;
}

void arena_init(struct arena *a, size_t budget_bytes)
{
    *a = (struct arena){.budget_bytes = budget_bytes};
    a->allocator = (ProtobufCAllocator){allocator_alloc, allocator_free, a};
}

static void free_blocks(struct arena_block *b)
{
    while (b) {
        struct arena_block *next = b->next;
        free(b);
        b = next;
    }
}

void arena_reset(struct arena *a)
{
    struct arena_block *keep = a->blocks;
    while (keep && keep->size != BLOCK_BYTES)
        keep = keep->next;
    struct arena_block *b = a->blocks;
    while (b) {
        struct arena_block *next = b->next;
        if (b != keep)
            free(b);
        b = next;
    }
    if (keep)
        keep->next = NULL;
    a->blocks = keep;
    a->at = keep ? keep->data : NULL;
    a->end = keep ? keep->data + keep->size : NULL;
    a->used_bytes = 0;
}

void arena_fini(struct arena *a)
{
    free_blocks(a->blocks);
    a->blocks = NULL;
    a->at = a->end = NULL;
    a->used_bytes = 0;
}

// A large piece gets a block of its own behind the current one, so that the rest of the current one stays in
// use.
static void *alloc_block(struct arena *a, size_t size)
{
    size_t want = size > BLOCK_BYTES / 4 ? size : BLOCK_BYTES;
    struct arena_block *b = mem_alloc(sizeof *b + want);
    b->size = want;
    if (want == size && a->blocks) {
        b->next = a->blocks->next;
        a->blocks->next = b;
        return b->data;
    }
    b->next = a->blocks;
    a->blocks = b;
    a->at = b->data + size;
    a->end = b->data + want;
    return b->data;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > SIZE_MAX - ALIGNMENT)
        return NULL;
    size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (a->budget_bytes && (size > a->budget_bytes || a->used_bytes > a->budget_bytes - size))
        return NULL;
    a->used_bytes += size;
    if ((size_t)(a->end - a->at) < size || !a->at)
        return alloc_block(a, size);
    void *p = a->at;
    a->at += size;
    return p;
}

void *arena_calloc(struct arena *a, size_t size)
{
    void *p = arena_alloc(a, size);
    if (p)
        memset(p, 0, size);
    return p;
}

void *arena_dup(struct arena *a, const void *data, size_t size)
{
    void *p = arena_alloc(a, size);
    if (p && size)
        memcpy(p, data, size);
    return p;
}

char *arena_strdup(struct arena *a, const char *text)
{
    return arena_dup(a, text, strlen(text) + 1);
}
