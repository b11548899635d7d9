// SPDX-License-Identifier: Apache-2.0
// mem_test.c: growing arrays; arenas: alignment, no overlap, the budget, what a reset gives back.
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { PIECES = 2000 };

static void test_grow(void **state)
{
    (void)state;
    int *items = NULL;
    size_t capacity = 0;
    for (int i = 0; i < 1000; i++) {
        mem_grow(&items, &capacity, (size_t)i + 1, sizeof *items);
        assert_true(capacity > (size_t)i);
        items[i] = i;
    }
    for (int i = 0; i < 1000; i++)
        assert_int_equal(items[i], i);
    size_t before = capacity;
    mem_grow(&items, &capacity, 10, sizeof *items);
    assert_int_equal(capacity, before);
    free(items);
}

static void test_heap(void **state)
{
    (void)state;
    void *nothing = mem_alloc(0), *zeroed = mem_calloc(0, 8), *same = mem_dup(NULL, 0);
    assert_non_null(nothing);
    assert_non_null(zeroed);
    assert_non_null(same);
    assert_null(mem_strdup(NULL));
    char *text = mem_strdup("text");
    assert_string_equal(text, "text");
    free(text);
    free(same);
    free(zeroed);
    free(nothing);
}

// Fills pieces of random sizes, each with its own byte, and looks at them all afterwards.
static void fill(struct arena *a, size_t max_size)
{
    static unsigned char *pieces[PIECES];
    static size_t sizes[PIECES];
    for (size_t i = 0; i < PIECES; i++) {
        sizes[i] = (size_t)random() % max_size;
        pieces[i] = arena_alloc(a, sizes[i]);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], (int)(i & 0xff), sizes[i]);
    }
    for (size_t i = 0; i < PIECES; i++)
        for (size_t k = 0; k < sizes[i]; k++)
            assert_true(pieces[i][k] == (i & 0xff));
}

static void test_pieces(void **state)
{
    (void)state;
    struct arena a;
    srandom(2);
    arena_init(&a, 0);
    for (int round = 0; round < 5; round++) {
        fill(&a, round % 2 ? 200 : 20000);
        arena_reset(&a);
        assert_int_equal(a.used_bytes, 0);
    }
    arena_fini(&a);
}

static void test_budget(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 1000);
    for (int round = 0; round < 3; round++) {
        assert_non_null(arena_alloc(&a, 992));
        assert_null(arena_alloc(&a, 16));
        assert_null(arena_calloc(&a, 1));
        assert_null(arena_strdup(&a, "x"));
        assert_int_equal(a.used_bytes, 992);
        arena_reset(&a);
    }
    assert_null(arena_alloc(&a, 1001));
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX - 7));
    assert_int_equal(a.used_bytes, 0);
    arena_fini(&a);
}

static void test_edges(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 0);
    assert_non_null(arena_alloc(&a, 0)); // the first thing asked for
    assert_null(arena_alloc(&a, SIZE_MAX));
    unsigned char *zeroed = arena_calloc(&a, 40000);
    for (size_t i = 0; i < 40000; i++)
        assert_int_equal(zeroed[i], 0);
    assert_string_equal(arena_strdup(&a, "text"), "text");
    assert_memory_equal(arena_dup(&a, "a\0b", 3), "a\0b", 3);
    arena_fini(&a);
    arena_fini(&a); // once more is fine
    assert_non_null(arena_alloc(&a, 10));
    arena_fini(&a);
}

// A message's fields come from the allocator; freeing them one by one does nothing.
static void test_allocator(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 64);
    char *p = a.allocator.alloc(a.allocator.allocator_data, 48);
    assert_non_null(p);
    memset(p, 1, 48);
    a.allocator.free(a.allocator.allocator_data, p);
    assert_int_equal(p[47], 1);
    assert_null(a.allocator.alloc(a.allocator.allocator_data, 48));
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grow),   cmocka_unit_test(test_heap),  cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_budget), cmocka_unit_test(test_edges), cmocka_unit_test(test_allocator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
