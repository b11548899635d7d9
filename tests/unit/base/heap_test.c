// SPDX-License-Identifier: Apache-2.0
// heap_test.c: the heap against a sorted array, over random puts, moves and removals.
#include "base/heap.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { NODES = 300, STEPS = 20000 };

struct thing {
    struct heap_node node; // first member
    int64_t key;           // what was asked for
    bool in;
};

static struct thing things[NODES];

static int by_key(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static size_t sorted_keys(int64_t *out)
{
    size_t n = 0;
    for (size_t i = 0; i < NODES; i++)
        if (things[i].in)
            out[n++] = things[i].key;
    qsort(out, n, sizeof *out, by_key);
    return n;
}

static void check_order(const struct heap *h)
{
    for (size_t i = 1; i <= h->count; i++) {
        assert_int_equal(h->items[i]->place, i);
        if (i > 1)
            assert_true(h->items[i / 2]->key <= h->items[i]->key);
    }
}

static void step(struct heap *h)
{
    struct thing *t = &things[random() % NODES];
    if (random() % 3) {
        t->key = random() % 100 ? random() % 1000 - 500 : (random() % 2 ? INT64_MAX : INT64_MIN);
        heap_put(h, &t->node, t->key);
        t->in = true;
    } else {
        heap_remove(h, &t->node); // also when it is not in
        t->in = false;
        assert_int_equal(t->node.place, 0);
    }
}

static void test_random(void **state)
{
    (void)state;
    struct heap h = {0};
    int64_t keys[NODES];
    srandom(1);
    memset(things, 0, sizeof things);
    for (int i = 0; i < STEPS; i++) {
        step(&h);
        if (i % 50)
            continue;
        size_t n = sorted_keys(keys);
        assert_int_equal(h.count, n);
        assert_true(n == 0 || heap_top(&h)->key == keys[0]);
        check_order(&h);
    }
    size_t n = sorted_keys(keys);
    for (size_t i = 0; i < n; i++) {
        struct heap_node *top = heap_top(&h);
        assert_int_equal(top->key, keys[i]);
        heap_remove(&h, top);
    }
    assert_null(heap_top(&h));
    heap_fini(&h);
}

static void test_move(void **state)
{
    (void)state;
    struct heap h = {0};
    struct heap_node a = {0}, b = {0}, c = {0};
    assert_null(heap_top(&h));
    heap_remove(&h, &a);
    heap_put(&h, &a, 1);
    heap_put(&h, &b, 2);
    heap_put(&h, &c, 3);
    heap_put(&h, &a, 4);
    assert_ptr_equal(heap_top(&h), &b);
    heap_put(&h, &c, INT64_MIN);
    assert_ptr_equal(heap_top(&h), &c);
    assert_int_equal(h.count, 3);
    heap_fini(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_random), cmocka_unit_test(test_move)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
