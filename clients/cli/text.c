// SPDX-License-Identifier: Apache-2.0
// text.c: decodes UTF-8 and writes it safely.
#include "text.h"

#include <string.h>

// What a first byte promises: how many bytes follow, and the smallest code point that needs so many.
static size_t following(unsigned char first, uint32_t *bits, uint32_t *least)
{
    static const struct {
        unsigned char mask, value;
        uint32_t least;
    } heads[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if ((first & heads[i].mask) == heads[i].value) {
            *bits = first & (unsigned char)~heads[i].mask;
            *least = heads[i].least;
            return i;
        }
    return SIZE_MAX;
}

size_t text_decode(const char *s, size_t n, uint32_t *code_point)
{
    uint32_t c = 0, least = 0;
    size_t more = following((unsigned char)*s, &c, &least);
    *code_point = TEXT_INVALID;
    if (more == SIZE_MAX || more >= n)
        return 1;
    for (size_t i = 1; i <= more; i++) {
        if (((unsigned char)s[i] & 0xc0) != 0x80)
            return 1;
        c = c << 6 | ((unsigned char)s[i] & 0x3f);
    }
    if (c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
        return 1;
    *code_point = c;
    return more + 1;
}

bool text_is_plain(uint32_t c)
{
    static const struct {
        uint32_t first, last;
    } others[] = {
        {0x00, 0x1f},     {0x7f, 0x9f},     {0x061c, 0x061c}, {0x200e, 0x200f},
        {0x2028, 0x202e}, {0x2066, 0x2069}, {0xfeff, 0xfeff}, {0xfff9, 0xfffb},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (c >= others[i].first && c <= others[i].last)
            return false;
    return c != TEXT_INVALID;
}

void text_print(FILE *f, const char *s, size_t n)
{
    uint32_t c;
    for (size_t bytes; n; s += bytes, n -= bytes) {
        bytes = text_decode(s, n, &c);
        if (text_is_plain(c))
            fwrite(s, 1, bytes, f);
        else
            fputc('?', f);
    }
}

size_t text_width(const char *s, size_t n)
{
    uint32_t c;
    size_t width = 0;
    for (size_t bytes; n; s += bytes, n -= bytes, width++)
        bytes = text_decode(s, n, &c);
    return width;
}

static bool is_all_plain(const char *s, size_t n)
{
    uint32_t c;
    for (size_t bytes; n; s += bytes, n -= bytes) {
        bytes = text_decode(s, n, &c);
        if (!text_is_plain(c) || c == '\'')
            return false;
    }
    return true;
}

static void quote_character(FILE *f, const char *s, size_t bytes, uint32_t c)
{
    static const char letters[] = "\n\t\r'\\", names[] = "ntr'\\";
    const char *letter = c && c < 0x80 ? strchr(letters, (int)c) : NULL;
    if (letter)
        fprintf(f, "\\%c", names[letter - letters]);
    else if (text_is_plain(c))
        fwrite(s, 1, bytes, f);
    else
        for (size_t i = 0; i < bytes; i++)
            fprintf(f, "\\x%02x", (unsigned char)s[i]);
}

void text_quote(FILE *f, const char *s, size_t n, size_t max)
{
    bool is_cut = n > max;
    if (is_cut)
        for (n = max; n && ((unsigned char)s[n] & 0xc0) == 0x80; n--)
            ; // not within a character
    bool is_plain = is_all_plain(s, n);
    fputs(is_plain ? "'" : "$'", f);
    uint32_t c;
    for (size_t bytes; n; s += bytes, n -= bytes) {
        bytes = text_decode(s, n, &c);
        if (is_plain)
            fwrite(s, 1, bytes, f);
        else
            quote_character(f, s, bytes, c);
    }
    fputs(is_cut ? "'…" : "'", f);
}

void text_clean(char *out, size_t size, const char *s)
{
    size_t n = strlen(s), at = 0;
    uint32_t c;
    for (size_t bytes; n; s += bytes, n -= bytes) {
        bytes = text_decode(s, n, &c);
        size_t need = text_is_plain(c) ? bytes : 1;
        if (at + need >= size)
            break;
        memcpy(out + at, text_is_plain(c) ? s : "?", need);
        at += need;
    }
    out[at] = 0;
}
