// SPDX-License-Identifier: Apache-2.0
// heap.c: sift up, sift down.
#include "base/heap.h"

#include "base/mem.h"

#include <stdlib.h>

static void set(struct heap *h, size_t place, struct heap_node *n)
{
    h->items[place] = n;
    n->place = place;
}

static void settle(struct heap *h, struct heap_node *n)
{
    size_t at = n->place;
    for (; at > 1 && h->items[at / 2]->key > n->key; at /= 2)
        set(h, at, h->items[at / 2]);
    for (size_t child; (child = at * 2) <= h->count; at = child) {
        if (child < h->count && h->items[child + 1]->key < h->items[child]->key)
            child++;
        if (h->items[child]->key >= n->key)
            break;
        set(h, at, h->items[child]);
    }
    set(h, at, n);
}

void heap_put(struct heap *h, struct heap_node *n, int64_t key)
{
    n->key = key;
    if (!n->place) {
        mem_grow(&h->items, &h->capacity, h->count + 2, sizeof *h->items);
        set(h, ++h->count, n);
    }
    settle(h, n);
}

void heap_remove(struct heap *h, struct heap_node *n)
{
    if (!n->place)
        return;
    struct heap_node *last = h->items[h->count--];
    if (last != n) {
        set(h, n->place, last);
        settle(h, last);
    }
    n->place = 0;
}

struct heap_node *heap_top(const struct heap *h)
{
    return h->count ? h->items[1] : NULL;
}

void heap_fini(struct heap *h)
{
    free(h->items);
    *h = (struct heap){0};
}
