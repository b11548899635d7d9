// SPDX-License-Identifier: Apache-2.0
// text_test.c: bytes from elsewhere are shown, quoted and cleaned so that they cannot steer a terminal.
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof *(array))

struct bytes {
    const char *data;
    size_t n;
};
#define BYTES(literal)                                                                                       \
    {                                                                                                        \
        literal, sizeof(literal) - 1                                                                         \
    }

static void assert_written(char *text, const char *expected)
{
    assert_string_equal(text, expected);
    free(text);
}

static void print_shows_what_is_plain(void **state)
{
    (void)state;
    static const struct {
        struct bytes in;
        const char *out;
    } cases[] = {
        {BYTES("plain text"), "plain text"},
        {BYTES(""), ""},
        {BYTES("a\x1b[31mb\n\t\r\x7f\0c"), "a?[31mb?????c"},
        {BYTES("caf\xc3\xa9 \xf0\x9f\xa6\x8a"), "caf\xc3\xa9 \xf0\x9f\xa6\x8a"},
        {BYTES("\xc2\x9b"), "?"},                  // C1: CSI
        {BYTES("\xe2\x80\xae\xe2\x81\xa6"), "??"}, // direction marks
        {BYTES("\xff\xfe"), "??"},                 // never in UTF-8
        {BYTES("\xc0\x80"), "??"},                 // overlong
        {BYTES("\xed\xa0\x80"), "???"},            // surrogate
        {BYTES("\xf4\x90\x80\x80"), "????"},       // above U+10FFFF
        {BYTES("\xf0\x9f\xa6"), "???"},            // cut off
        {BYTES("\xc3\x28"), "?("},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        char *text;
        size_t size;
        FILE *f = open_memstream(&text, &size);
        text_print(f, cases[i].in.data, cases[i].in.n);
        fclose(f);
        assert_written(text, cases[i].out);
        assert_int_equal(text_width(cases[i].in.data, cases[i].in.n),
                         text_width(cases[i].out, strlen(cases[i].out)));
    }
}

static void quote_is_what_a_shell_reads_back(void **state)
{
    (void)state;
    static const struct {
        struct bytes in;
        size_t max;
        const char *out;
    } cases[] = {
        {BYTES("plain"), 99, "'plain'"},
        {BYTES(""), 99, "''"},
        {BYTES("sp ace $x `y` \\n"), 99, "'sp ace $x `y` \\n'"},
        {BYTES("it's"), 99, "$'it\\'s'"},
        {BYTES("a\nb\tc\rd\\e"), 99, "$'a\\nb\\tc\\rd\\\\e'"},
        {BYTES("\x1b[0m\xff\0z"), 99, "$'\\x1b[0m\\xff\\x00z'"},
        {BYTES("caf\xc3\xa9"), 99, "'caf\xc3\xa9'"},
        {BYTES("caf\xc3\xa9\n"), 99, "$'caf\xc3\xa9\\n'"},
        {BYTES("\xe2\x80\xae"), 99, "$'\\xe2\\x80\\xae'"},
        {BYTES("abcdef"), 3, "'abc'…"},
        {BYTES("ab\xc3\xa9"), 3, "'ab'…"}, // not within a character
        {BYTES("\xff\xff\xff\xff"), 2, "$'\\xff\\xff'…"},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        char *text;
        size_t size;
        FILE *f = open_memstream(&text, &size);
        text_quote(f, cases[i].in.data, cases[i].in.n, cases[i].max);
        fclose(f);
        assert_written(text, cases[i].out);
    }
}

static void clean_gives_valid_text_that_fits(void **state)
{
    (void)state;
    char out[6];
    text_clean(out, sizeof out, "ab\xff\ncdef");
    assert_string_equal(out, "ab??c");
    text_clean(out, sizeof out, "abcd\xc3\xa9");
    assert_string_equal(out, "abcd");
    text_clean(out, sizeof out, "");
    assert_string_equal(out, "");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(print_shows_what_is_plain),
        cmocka_unit_test(quote_is_what_a_shell_reads_back),
        cmocka_unit_test(clean_gives_valid_text_that_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
