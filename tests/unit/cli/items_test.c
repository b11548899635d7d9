// SPDX-License-Identifier: Apache-2.0
// items_test.c: items are split as they come, however the bytes arrive.
#include "items.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct source { // writes bytes into a pipe, `piece` at a time
    int fds[2];
    const char *data;
    size_t n, piece;
    pthread_t thread;
};

static void *write_all(void *arg)
{
    struct source *s = arg;
    for (size_t at = 0; at < s->n;) {
        size_t n = s->n - at < s->piece ? s->n - at : s->piece;
        ssize_t written = write(s->fds[1], s->data + at, n);
        if (written < 0)
            break;
        at += (size_t)written;
    }
    close(s->fds[1]);
    return NULL;
}

static void begin(struct source *s, struct items *items, char separator)
{
    assert_int_equal(pipe(s->fds), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, write_all, s), 0);
    items_init(items, s->fds[0], -1, separator);
}

static void end(struct source *s, struct items *items)
{
    close(s->fds[0]);
    pthread_join(s->thread, NULL);
    items_fini(items);
}

static void assert_items(const char *data, size_t n, size_t piece, char separator, const char *expected)
{
    struct source s = {.data = data, .n = n, .piece = piece};
    struct items items;
    char text[256] = "";
    begin(&s, &items, separator);
    const char *item;
    size_t bytes;
    struct nrpc_status st;
    while (items_next(&items, -1, &item, &bytes, &st) == ITEMS_ITEM) {
        snprintf(text + strlen(text), sizeof text - strlen(text), "%d:", (int)items.number);
        strncat(text, item, bytes);
        strcat(text, "|");
    }
    end(&s, &items);
    assert_string_equal(text, expected);
}

static void items_are_split(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 8; piece++) {
        assert_items("", 0, piece, '\n', "");
        assert_items("\n\n", 2, piece, '\n', "");
        assert_items("a", 1, piece, '\n', "1:a|");
        assert_items("a\nbc\n", 5, piece, '\n', "1:a|2:bc|");
        assert_items("\na\n\n bc \r\nd", 11, piece, '\n', "2:a|4: bc \r|5:d|");
        assert_items("a\nb\0\0c", 6, piece, 0, "1:a\nb|3:c|");
    }
}

// Items of every length around the buffer's, with a number in each.
static void long_items_are_whole(void **state)
{
    (void)state;
    enum { COUNT = 40 };
    size_t n = 0;
    char *data = malloc(COUNT * (ITEM_MAX + 1));
    for (int i = 0; i < COUNT; i++) {
        size_t length = i % 3 ? (size_t)(ITEM_MAX - i % 7) : (size_t)(i + 1);
        memset(data + n, 'a' + i % 26, length);
        data[n += length] = '\n';
        n++;
    }
    struct source s = {.data = data, .n = n, .piece = 10007};
    struct items items;
    begin(&s, &items, '\n');
    const char *item;
    size_t bytes;
    struct nrpc_status st;
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(items_next(&items, -1, &item, &bytes, &st), ITEMS_ITEM);
        assert_int_equal(bytes, i % 3 ? ITEM_MAX - i % 7 : i + 1);
        for (size_t k = 0; k < bytes; k++)
            if (item[k] != 'a' + i % 26)
                fail_msg("item %d has a wrong byte at %zu", i, k);
    }
    assert_int_equal(items_next(&items, -1, &item, &bytes, &st), ITEMS_END);
    end(&s, &items);
    free(data);
}

static void assert_refused(const char *data, size_t n, char separator, const char *expected)
{
    struct source s = {.data = data, .n = n, .piece = 4096};
    struct items items;
    begin(&s, &items, separator);
    const char *item;
    size_t bytes;
    struct nrpc_status st;
    enum items_next next;
    while ((next = items_next(&items, -1, &item, &bytes, &st)) == ITEMS_ITEM)
        ;
    signal(SIGPIPE, SIG_IGN);
    end(&s, &items);
    assert_int_equal(next, ITEMS_ERROR);
    assert_string_equal(st.text, expected);
}

static void what_cannot_be_an_item_is_named(void **state)
{
    (void)state;
    char *data = malloc(1 << 20);
    memset(data, 'x', 1 << 20);
    memcpy(data, "a\n\nb\n", 5);
    assert_refused(data, 1 << 20, '\n', "line 4 is longer than 131072 bytes");
    data[5 + ITEM_MAX + 1] = '\n';
    assert_refused(data, 5 + ITEM_MAX + 2, '\n', "line 4 is longer than 131072 bytes");
    data[3] = 0;
    assert_refused(data, 4, '\n', "line 3 has a zero byte in it (use -0 if items end with one)");
    data[3] = 'b';
    assert_refused(data, 1 << 20, 0, "item 1 is longer than 131072 bytes");
    free(data);
}

static void a_quiet_input_gives_nothing_yet(void **state)
{
    (void)state;
    int in[2], stop[2];
    const char *item;
    size_t bytes;
    struct nrpc_status st;
    struct items items;
    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(stop), 0);
    items_init(&items, in[0], stop[0], '\n');
    assert_int_equal(items_next(&items, 0, &item, &bytes, &st), ITEMS_NOT_YET);
    assert_int_equal(write(in[1], "a\nb", 3), 3);
    assert_int_equal(items_next(&items, 0, &item, &bytes, &st), ITEMS_ITEM);
    assert_memory_equal(item, "a", bytes);
    assert_int_equal(items_next(&items, 0, &item, &bytes, &st), ITEMS_NOT_YET);
    assert_int_equal(write(in[1], "c\n", 2), 2);
    assert_int_equal(items_next(&items, 0, &item, &bytes, &st), ITEMS_ITEM);
    assert_memory_equal(item, "bc", bytes);
    close(stop[1]);
    assert_int_equal(items_next(&items, -1, &item, &bytes, &st), ITEMS_STOPPED);
    items_fini(&items);
    close(in[0]);
    close(in[1]);
    close(stop[0]);
}

static void a_read_error_is_told(void **state)
{
    (void)state;
    struct items items;
    const char *item;
    size_t bytes;
    struct nrpc_status st;
    int fd = open("/", O_RDONLY);
    items_init(&items, fd, -1, '\n');
    assert_int_equal(items_next(&items, -1, &item, &bytes, &st), ITEMS_ERROR);
    assert_string_equal(st.text, "cannot read standard input: Is a directory");
    items_fini(&items);
    close(fd);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_are_split),
        cmocka_unit_test(long_items_are_whole),
        cmocka_unit_test(what_cannot_be_an_item_is_named),
        cmocka_unit_test(a_quiet_input_gives_nothing_yet),
        cmocka_unit_test(a_read_error_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
