// SPDX-License-Identifier: Apache-2.0
// utf8.c: checks well-formedness by the Unicode standard's table of byte sequences.
#include "base/utf8.h"

#include <string.h>

static const struct {
    unsigned char first_min, first_max, second_min, second_max;
    size_t more; // bytes after the first
} sequences[] = {
    {0x01, 0x7f, 0, 0, 0},       {0xc2, 0xdf, 0x80, 0xbf, 1}, {0xe0, 0xe0, 0xa0, 0xbf, 2},
    {0xe1, 0xec, 0x80, 0xbf, 2}, {0xed, 0xed, 0x80, 0x9f, 2}, {0xee, 0xef, 0x80, 0xbf, 2},
    {0xf0, 0xf0, 0x90, 0xbf, 3}, {0xf1, 0xf3, 0x80, 0xbf, 3}, {0xf4, 0xf4, 0x80, 0x8f, 3},
};

// The length of the sequence at p, of which `left` bytes may be looked at; 0: there is none.
static size_t sequence(const unsigned char *p, size_t left)
{
    for (size_t i = 0; i < sizeof sequences / sizeof *sequences; i++) {
        if (p[0] < sequences[i].first_min || p[0] > sequences[i].first_max)
            continue;
        if (sequences[i].more >= left)
            return 0;
        if (sequences[i].more && (p[1] < sequences[i].second_min || p[1] > sequences[i].second_max))
            return 0;
        for (size_t k = 2; k <= sequences[i].more; k++)
            if ((p[k] & 0xc0) != 0x80)
                return 0;
        return 1 + sequences[i].more;
    }
    return 0;
}

bool utf8_is_valid_bytes(const void *data, size_t size)
{
    const unsigned char *p = data;
    while (size) {
        size_t n = sequence(p, size);
        if (!n)
            return false;
        p += n;
        size -= n;
    }
    return true;
}

bool utf8_is_valid(const char *text)
{
    return utf8_is_valid_bytes(text, strlen(text));
}

void utf8_repair(char *text)
{
    unsigned char *p = (unsigned char *)text;
    for (size_t left = strlen(text), n; left; left -= n, p += n) {
        n = sequence(p, left);
        if (!n) {
            *p = '?';
            n = 1;
        }
    }
}
