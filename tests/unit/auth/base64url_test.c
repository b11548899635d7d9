// SPDX-License-Identifier: Apache-2.0
// base64url_test.c: every spelling of bytes but one is refused.
#include "nrpc/auth/base64url.h"

#include "fixture.h"

#include <stdlib.h>
#include <string.h>

static void test_there_and_back(void **state)
{
    (void)state;
    unsigned char data[256], back[BASE64URL_BYTES(BASE64URL_SIZE(256))];
    char text[BASE64URL_SIZE(256) + 1];
    for (int i = 0; i < 256; i++)
        data[i] = (unsigned char)(i * 167 + 250);
    for (size_t n = 0; n <= sizeof data; n++) {
        size_t size = base64url_encode(data, n, text), bytes;
        char *expected = fixture_encode(data, n);
        assert_string_equal(text, expected);
        assert_int_equal(size, BASE64URL_SIZE(n));
        assert_true(base64url_decode(text, size, back, &bytes));
        assert_true(bytes <= BASE64URL_BYTES(size));
        assert_int_equal(bytes, n);
        assert_memory_equal(back, data, n);
        free(expected);
    }
}

static void test_refusals(void **state)
{
    (void)state;
    static const char *const bad[] = {"A",    "AAAAA", "AA==", "AAA=", "A A", "AA\n",       "AB",   "AAB",
                                      "AA+A", "AA/A",  "AA.A", "_x",   "__9", "AA\xc3\xa4", "AA,A", "===="};
    unsigned char out[16];
    size_t size;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (base64url_decode(bad[i], strlen(bad[i]), out, &size))
            fail_msg("\"%s\" is taken", bad[i]);
}

// Of the four last characters that differ in unused bits alone, one is taken.
static void test_one_spelling(void **state)
{
    (void)state;
    static const char all[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    unsigned char out[16];
    size_t size;
    int two = 0, three = 0;
    for (const char *c = all; *c; c++) {
        char text[] = {'A', *c, *c, 0};
        two += base64url_decode(text, 2, out, &size);
        three += base64url_decode(text, 3, out, &size);
    }
    assert_int_equal(two, 4);
    assert_int_equal(three, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_there_and_back),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_one_spelling),
    };
    return cmocka_run_group_tests_name("auth/base64url", tests, NULL, NULL);
}
