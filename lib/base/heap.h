// SPDX-License-Identifier: Apache-2.0
// heap.h: a binary heap of pointers to structs that carry their own key and place. The smallest key is on
// top.
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stddef.h>
#include <stdint.h>

struct heap_node { // first member of what is in the heap; zero: in no heap
    int64_t key;
    size_t place; // 1 and up while in a heap
};

struct heap {
    struct heap_node **items; // [1..count]
    size_t count, capacity;
};

void heap_put(struct heap *h, struct heap_node *n, int64_t key); // adds, or moves to where the key belongs
void heap_remove(struct heap *h, struct heap_node *n);           // fine if it is not in
struct heap_node *heap_top(const struct heap *h);                // NULL: empty
void heap_fini(struct heap *h);                                  // frees the heap's own memory

#endif
