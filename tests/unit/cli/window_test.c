// SPDX-License-Identifier: Apache-2.0
// window_test.c: what a map has under way is bounded, by number and by bytes.
#include "map_window.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <time.h>

static void items_are_numbered_and_taken_once(void **state)
{
    (void)state;
    struct map_window w;
    map_window_init(&w);
    assert_true(map_window_add(&w, "one", 3) && map_window_add(&w, "two", 3));
    assert_null(map_window_take(&w, 0));
    assert_null(map_window_take(&w, 3));
    struct map_item *item = map_window_take(&w, 2);
    assert_int_equal(item->bytes, 3);
    assert_memory_equal(item->text, "two", 3);
    assert_null(map_window_take(&w, 2));
    assert_int_equal(map_window_released(&w), 0);
    map_window_release(&w, item);
    assert_int_equal(map_window_released(&w), 1);
    assert_int_equal(map_window_added(&w), 2);
    map_window_fini(&w); // frees what was not taken
}

static void too_many_items_fill_it(void **state)
{
    (void)state;
    struct map_window w;
    map_window_init(&w);
    for (int i = 0; i < MAP_WINDOW_ITEMS; i++) {
        assert_false(map_window_is_full(&w));
        map_window_add(&w, "x", 1);
    }
    assert_true(map_window_is_full(&w));
    struct map_item *item = map_window_take(&w, 7);
    assert_true(map_window_is_full(&w)); // it is taken, but not printed
    map_window_release(&w, item);
    assert_false(map_window_is_full(&w));
    map_window_fini(&w);
}

static void held_bytes_fill_it(void **state)
{
    (void)state;
    struct map_window w;
    map_window_init(&w);
    map_window_add(&w, "a", 1);
    map_window_add(&w, "b", 1);
    struct map_item *item = map_window_take(&w, 1);
    map_window_hold(&w, item, MAP_WINDOW_BYTES);
    assert_true(map_window_is_full(&w));
    map_window_release(&w, item);
    assert_false(map_window_is_full(&w));
    assert_false(w.bytes > sizeof(struct map_item) + 1);
    map_window_fini(&w);
}

static void *add_one(void *arg)
{
    return map_window_add(arg, "late", 4) ? "added" : "closed";
}

static const char *result_of(pthread_t thread)
{
    void *result;
    pthread_join(thread, &result);
    return result;
}

static void adding_waits_for_room_or_the_end(void **state)
{
    (void)state;
    struct map_window w;
    pthread_t thread;
    struct timespec moment = {0, 20000000};
    map_window_init(&w);
    for (int i = 0; i < MAP_WINDOW_ITEMS; i++)
        map_window_add(&w, "x", 1);
    pthread_create(&thread, NULL, add_one, &w);
    nanosleep(&moment, NULL);
    assert_int_equal(map_window_added(&w), MAP_WINDOW_ITEMS);
    map_window_release(&w, map_window_take(&w, 1));
    assert_string_equal(result_of(thread), "added");
    assert_int_equal(map_window_added(&w), MAP_WINDOW_ITEMS + 1);
    pthread_create(&thread, NULL, add_one, &w);
    nanosleep(&moment, NULL);
    map_window_close(&w);
    assert_string_equal(result_of(thread), "closed");
    assert_false(map_window_add(&w, "x", 1));
    map_window_fini(&w);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_are_numbered_and_taken_once),
        cmocka_unit_test(too_many_items_fill_it),
        cmocka_unit_test(held_bytes_fill_it),
        cmocka_unit_test(adding_waits_for_room_or_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
