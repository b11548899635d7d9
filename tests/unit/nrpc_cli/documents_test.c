// SPDX-License-Identifier: Apache-2.0
// documents_test.c: documents cut apart, however they are written and however they come in.
#include "documents.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct {
    const char *text, *expected[6];
} cases[] = {
    {"", {NULL}},
    {" \n\t ", {NULL}},
    {"{}", {"{}"}},
    {" {\"a\": [1, {\"b\": 2}]}\n", {"{\"a\": [1, {\"b\": 2}]}"}},
    {"{}{}", {"{}", "{}"}},
    {"{} []\n\n{\"a\":1}", {"{}", "[]", "{\"a\":1}"}},
    {"{\"}\":\"{\\\"]\\\\\"}{}", {"{\"}\":\"{\\\"]\\\\\"}", "{}"}},
    {"\"a b\"\"c\" 12 true\n-1.5e3", {"\"a b\"", "\"c\"", "12", "true", "-1.5e3"}},
    {"1{}2[]3", {"1", "{}", "2", "[]", "3"}},
    {"null", {"null"}},
    {"{\"a\":", {"{\"a\":"}}, // not whole: for the reader to say so
    {"\"open", {"\"open"}},
    {"}{}", {"}", "{}"}},
    {"]]", {"]", "]"}},
    {"{]{}", {"{]", "{}"}},
};
enum { CASES = sizeof cases / sizeof *cases };

static void check(struct documents *d, const char *const *expected)
{
    const char *text;
    size_t length;
    struct nrpc_status st;
    for (size_t i = 0; i < 6 && expected[i]; i++) {
        assert_int_equal(documents_next(d, &text, &length, &st), NRPC_OK);
        assert_int_equal(length, strlen(expected[i]));
        assert_memory_equal(text, expected[i], length);
    }
    assert_int_equal(documents_next(d, &text, &length, &st), NRPC_OK);
    assert_int_equal(length, 0);
    assert_int_equal(documents_next(d, &text, &length, &st), NRPC_OK);
    assert_int_equal(length, 0);
}

static void test_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        struct documents d;
        assert_int_equal(documents_open(&d, cases[i].text, NULL), NRPC_OK);
        check(&d, cases[i].expected);
        documents_close(&d);
    }
}

static void *write_slowly(void *text)
{
    int *fd = ((void **)text)[0];
    for (const char *c = ((void **)text)[1]; *c; c++)
        assert_int_equal(write(*fd, c, 1), 1);
    close(*fd);
    return NULL;
}

// From a pipe, a byte at a time.
static void test_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        struct documents d;
        int ends[2];
        char path[64];
        pthread_t writer;
        assert_int_equal(pipe(ends), 0);
        snprintf(path, sizeof path, "@/dev/fd/%d", ends[0]);
        assert_int_equal(documents_open(&d, path, NULL), NRPC_OK);
        close(ends[0]);
        void *arguments[] = {&ends[1], (void *)cases[i].text};
        assert_int_equal(pthread_create(&writer, NULL, write_slowly, arguments), 0);
        check(&d, cases[i].expected);
        pthread_join(writer, NULL);
        documents_close(&d);
    }
}

// What has come is given out, though more may follow.
static void test_at_once(void **state)
{
    (void)state;
    struct documents d;
    int ends[2];
    char path[64];
    const char *text;
    size_t length;
    struct nrpc_status st;
    assert_int_equal(pipe(ends), 0);
    snprintf(path, sizeof path, "@/dev/fd/%d", ends[0]);
    assert_int_equal(documents_open(&d, path, NULL), NRPC_OK);
    close(ends[0]);
    assert_int_equal(write(ends[1], "{\"a\":1}{", 8), 8);
    assert_int_equal(documents_next(&d, &text, &length, &st), NRPC_OK);
    assert_int_equal(length, 7);
    assert_int_equal(write(ends[1], "} ", 2), 2);
    assert_int_equal(documents_next(&d, &text, &length, &st), NRPC_OK);
    assert_int_equal(length, 2);
    documents_stop(&d); // while the pipe is open
    assert_int_equal(documents_next(&d, &text, &length, &st), NRPC_OK);
    assert_int_equal(length, 0);
    close(ends[1]);
    documents_close(&d);
}

static void test_no_file(void **state)
{
    (void)state;
    struct documents d;
    struct nrpc_status st;
    assert_int_equal(documents_open(&d, "@/nonexistent/file", &st), NRPC_NOT_FOUND);
    documents_close(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_at_once),
        cmocka_unit_test(test_no_file),
    };
    return cmocka_run_group_tests_name("nrpc_cli/documents", tests, NULL, NULL);
}
