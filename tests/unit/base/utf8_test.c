// SPDX-License-Identifier: Apache-2.0
// utf8_test.c: every code point is taken, in its shortest form only; the edges of the Unicode standard's
// table from both sides.
#include "base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

// Writes the code point in a form of `bytes` bytes, shortest or not.
static void encode(uint32_t c, int bytes, char *out)
{
    static const unsigned char first[] = {0, 0, 0xc0, 0xe0, 0xf0};
    out[bytes] = 0;
    for (int i = bytes - 1; i > 0; i--, c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(bytes == 1 ? c : first[bytes] | c);
}

static int shortest(uint32_t c)
{
    return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
}

static void test_code_points(void **state)
{
    (void)state;
    char text[8];
    for (uint32_t c = 1; c <= 0x10ffff; c++) {
        encode(c, shortest(c), text);
        assert_int_equal(utf8_is_valid(text), c < 0xd800 || c > 0xdfff);
    }
}

static void test_overlong(void **state)
{
    (void)state;
    static const uint32_t edges[] = {0, 1, 0x2f, 0x7f, 0x80, 0x7ff, 0x800, 0xffff};
    char text[8];
    for (size_t i = 0; i < sizeof edges / sizeof *edges; i++)
        for (int bytes = shortest(edges[i]) + 1; bytes <= 4; bytes++) {
            encode(edges[i], bytes, text);
            assert_false(utf8_is_valid(text));
        }
}

static void test_too_high(void **state)
{
    (void)state;
    char text[8];
    for (uint32_t c = 0x110000; c < 0x200000; c += 0x1000) {
        encode(c, 4, text);
        assert_false(utf8_is_valid(text));
    }
    assert_false(utf8_is_valid("\xf8\x88\x80\x80\x80"));
    assert_false(utf8_is_valid("\xfc\x84\x80\x80\x80\x80"));
    assert_false(utf8_is_valid("\xfe"));
    assert_false(utf8_is_valid("\xff"));
}

// Whatever the second byte of a sequence is, only the table's are taken; and no sequence may stop early.
static void test_second_bytes(void **state)
{
    (void)state;
    for (int first = 0x80; first <= 0xff; first++)
        for (int second = 0; second <= 0xff; second++) {
            char two[] = {(char)first, (char)second, 0};
            bool fits = first >= 0xc2 && first <= 0xdf && second >= 0x80 && second <= 0xbf;
            assert_int_equal(utf8_is_valid(two), fits);
        }
}

static void test_cut(void **state)
{
    (void)state;
    static const char *const whole[] = {"\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\xa6\x8a", "\xf4\x8f\xbf\xbf",
                                        "\xed\x9f\xbf"};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        for (size_t n = 1; n < strlen(whole[i]); n++) {
            char text[16];
            snprintf(text, sizeof text, "a%.*s", (int)n, whole[i]);
            assert_false(utf8_is_valid(text));
            snprintf(text, sizeof text, "a%.*sb", (int)n, whole[i]);
            assert_false(utf8_is_valid(text));
        }
    assert_false(utf8_is_valid("\x80"));
    assert_false(utf8_is_valid("a\xbf"));
}

static void test_text(void **state)
{
    (void)state;
    assert_true(utf8_is_valid(""));
    assert_true(utf8_is_valid("plain text, \t\n\x7f"));
    assert_true(utf8_is_valid("K\xc3\xbc\xc3\x9f"
                              "e \xe2\x82\xac \xf0\x9f\xa6\x8a"));
    assert_false(utf8_is_valid("latin1: K\xfc\xdf"
                               "e"));
}

static void test_repair(void **state)
{
    (void)state;
    static const struct {
        const char *text, *repaired;
    } rows[] = {
        {"", ""},
        {"K\xc3\xbc\xc3\x9f", "K\xc3\xbc\xc3\x9f"},
        {"K\xfc\xdf!", "K?"
                       "?!"},
        {"cut \xe2\x82", "cut ??"},
        {"\xed\xa0\x80\xf0\x9f\xa6\x8a\xff", "???\xf0\x9f\xa6\x8a?"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[40];
        strcpy(text, rows[i].text);
        utf8_repair(text);
        assert_string_equal(text, rows[i].repaired);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_code_points),  cmocka_unit_test(test_overlong), cmocka_unit_test(test_too_high),
        cmocka_unit_test(test_second_bytes), cmocka_unit_test(test_cut),      cmocka_unit_test(test_text),
        cmocka_unit_test(test_repair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
